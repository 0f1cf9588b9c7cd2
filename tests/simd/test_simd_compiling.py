"""Machine code is kept from process to process, and made anew when any loop's source changes."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import charlm
from charlm.simd import code_files, compiled, telling

PACKAGE = Path(charlm.__file__).parent
PATHS = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
# prints how often Numba compiled, whether that was told, what was computed, and whether the clock stood
PROGRAM = """
import numpy as np
from numba.core import event
from charlm.simd import WIDTH, compiled, load, store, tanh, telling
from charlm.timing import paused_seconds

@compiled
def bend(x, out):
    store(out, 0, tanh(load(x, 0)))

told, out = [], np.empty(WIDTH, np.float32)
with event.install_recorder("numba:compile") as recorder, telling(lambda: told.append(True)):
    bend(np.full(WIDTH, 0.5, np.float32), out)
    bend(np.full(WIDTH, 0.5, np.float32), out)
print(sum(at.is_start for _, at in recorder.buffer), len(told), f"{out[0]:.4f}", paused_seconds() > 0)
"""
AN_LSTM = """
from numba.core import event
from charlm.config import ModelConfig
from charlm.kernels import using
from charlm.models.stack import Layer
import torch

layer = Layer(ModelConfig(cell="lstm", hidden_size=5, embedding_size=3), 0)
with event.install_recorder("numba:compile") as recorder, using("compiled"):
    layer(torch.ones(2, 3, 3), layer.initial_state(2), None)[0].sum().backward()
print(sum(at.is_start for _, at in recorder.buffer))
"""
# a training's window, of each cell and number format
WINDOWS = """
from numba.core import event
from charlm.config import ModelConfig
from charlm.kernels import KERNELS, using
from charlm.models import LanguageModel
from charlm.simd import HAS_BFLOAT16
import torch

ids = torch.arange(12).view(2, 6)
with event.install_recorder("numba:compile") as recorder, using("compiled"):
    for cell in KERNELS["compiled"]:
        model = LanguageModel(ModelConfig(cell=cell, hidden_size=16), 20)
        for rounded in {False, HAS_BFLOAT16}:
            with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
                model.loss(ids, ids, model.initial_state(2), torch.Generator())[0].backward()
print(sum(at.is_start for _, at in recorder.buffer))
"""
# whether a gradient is that of torch's kernels
A_GRADIENT = """
from charlm.config import ModelConfig
from charlm.kernels import using
from charlm.models.stack import Layer
import torch

layer = Layer(ModelConfig(cell="elman", hidden_size=16, embedding_size=16), 0)
x = torch.randn(4, 6, 16, generator=torch.Generator().manual_seed(1))

def gradient(kernels):
    layer.zero_grad()
    with using(kernels):
        layer(x, layer.initial_state(4), None)[0].square().sum().backward()
    return torch.cat([parameter.grad.flatten() for parameter in layer.parameters()])

print(bool((gradient("compiled") - gradient("torch")).abs().max() < 1e-4))
"""
TANH = "0.4621"


@pytest.fixture
def place(tmp_path):
    """A folder with the program, and how to run it: its own caches, or others that are named."""
    (tmp_path / "program.py").write_text(PROGRAM)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("CHARLM_", "NUMBA_", "PYTHONPATH"))
    }

    def run(program="program.py", *arguments, **environment):
        # a place of its own for what Numba would fall back on
        environment = {"HOME": tmp_path / "home", "CHARLM_CACHE": tmp_path / "cache", **environment}
        environment = kept | {"PYTHONPATH": str(PACKAGE.parent)} | {name: str(v) for name, v in environment.items()}
        command = [sys.executable, "-P" if sys.version_info >= (3, 11) else "-s", program, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    run.folder = tmp_path
    return run


def code_in(folder):
    return list(Path(folder).glob("charlm-*/**/*.nbc"))


def test_a_second_process_does_not_compile(place):
    first = place()
    assert int(first[0]) >= 1
    # told once, however much there is to compile; no budget of time counts it
    assert first[1:] == ["1", TANH, "True"]
    assert place() == ["0", "0", TANH, "False"]
    assert code_in(place.folder / "cache" / "compiled")


def test_numba_cache_dir_is_where_machine_code_lies(place):
    chosen = place.folder / "chosen"
    place(NUMBA_CACHE_DIR=chosen)
    assert code_in(chosen)
    assert not (place.folder / "cache").exists()
    assert place(NUMBA_CACHE_DIR=chosen)[0] == "0"


def test_a_folder_that_cannot_be_written_means_compiling_anew(place):
    """And not that code is kept beside the source, where a change of another file would go unnoticed."""
    (place.folder / "cache").write_text("a file")
    for _ in range(2):
        compilations, told, result, _ = place()
        assert (int(compilations) >= 1, told, result) == (True, "1", TANH)
    assert not list(place.folder.rglob("*.nb?"))


@pytest.mark.parametrize("where", ["file", "folder"])
def test_a_full_disk_ends_nothing_that_does_not_need_it(monkeypatch, where):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    @compiled
    def twice(number):
        return 2 * number

    if where == "file":
        monkeypatch.setattr(code_files, "write_code", full)
    else:
        monkeypatch.setattr(twice._cache._impl.locator, "ensure_cache_path", full)
    assert twice(21) == 42


def test_a_change_in_another_file_is_noticed(place):
    copy = place.folder / "copy"
    shutil.copytree(PACKAGE, copy / "charlm", ignore=shutil.ignore_patterns("__pycache__"))
    assert place(PYTHONPATH=copy)[2] == TANH
    assert place(PYTHONPATH=copy)[0] == "0"
    changed = copy / "charlm" / "simd" / "activations.py"
    changed.write_text(changed.read_text() + "\n\n@register_jitable\ndef tanh(x):\n    return x * 3.0\n")
    compilations, _, result, _ = place(PYTHONPATH=copy)
    assert int(compilations) >= 1
    assert result == "1.5000"


def test_a_kernel_is_compiled_once_for_all_processes(place):
    (place.folder / "lstm.py").write_text(AN_LSTM)
    shared = {"NUMBA_CACHE_DIR": code_files.code_folder().parent}
    place("lstm.py", **shared)
    assert place("lstm.py", **shared) == ["0"]


def test_a_trainings_windows_are_compiled_once_for_all_processes(place):
    (place.folder / "windows.py").write_text(WINDOWS)
    shared = {"NUMBA_CACHE_DIR": code_files.code_folder().parent}
    place("windows.py", **shared)
    assert place("windows.py", **shared) == ["0"]


@pytest.mark.slow
def test_code_of_another_process_calls_its_own_functions(place):
    """Its names tell functions of one process apart, not of two: elman called what lstm's process had named so."""
    (place.folder / "lstm.py").write_text(AN_LSTM)
    (place.folder / "gradient.py").write_text(A_GRADIENT)
    place("lstm.py")
    assert place("gradient.py") == ["True"]


@pytest.fixture
def folder_of(tmp_path, monkeypatch):
    """The code folder's name for the source as it stands in a copy, which a test may change."""
    for room in code_files.ROOMS:
        shutil.copytree(PACKAGE / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_files, "PACKAGE", tmp_path)
    code_files.code_folder.cache_clear()

    def name():
        code_files.code_folder.cache_clear()
        return code_files.code_folder().name

    name.folder = tmp_path
    yield name
    code_files.code_folder.cache_clear()


@pytest.mark.parametrize("room", code_files.ROOMS)
def test_each_state_of_the_source_has_a_folder_of_its_own(folder_of, room):
    before = folder_of()
    path = next(iter(sorted((folder_of.folder / room).glob("*.py"))))
    source = path.read_bytes()
    path.write_bytes(source + b"# another\n")
    other = folder_of()
    path.write_bytes(source)
    os.utime(path, (0, 0))
    assert folder_of() == before  # what counts is what stands in the files
    (folder_of.folder / room / "new.py").write_text("# a file more\n")
    assert len({before, other, folder_of()}) == 3


def test_every_room_with_compiled_functions_counts():
    using = {path.parent.name for path in PACKAGE.rglob("*.py") if "\nfrom numba" in path.read_text()}
    assert {"kernels", "runtime", "coding"} <= using <= set(code_files.ROOMS)


def test_one_is_told_only_of_what_is_compiled_inside():
    told = []

    @numba.njit  # not kept on disk: it has to be compiled in every run
    def add(a, b):
        return a + b

    add(1, 2)
    with telling(lambda: told.append("begun")):
        add(1, 2)
        assert told == []
        add(1.0, np.float32(2))
        add(np.float32(1), 2)
        assert told == ["begun"]


def test_code_for_matrix_tiles_is_kept_apart(monkeypatch):
    """A process that is not given the tiles would take up code that ends it; Numba's own key does not tell."""
    code_files.code_folder.cache_clear()
    here = code_files.code_folder()
    monkeypatch.setattr(code_files, "HAS_AMX", not code_files.HAS_AMX)
    code_files.code_folder.cache_clear()
    assert code_files.code_folder() != here
    code_files.code_folder.cache_clear()


ELSEWHERE = """
import charlm.simd
import numba
numba.config.CPU_FEATURES = "+sse2"
try:
    import charlm.simd.compiling
except ImportError as error:
    print(error)
"""


def test_numba_that_is_set_for_another_processor_meanwhile_is_refused(place):
    """Loops written for this one would ask for instructions that it does not use."""
    (place.folder / "elsewhere.py").write_text(ELSEWHERE)
    assert place("elsewhere.py")[:6] == ["Numba", "is", "set", "for", "another", "processor"]


FORKED = """
import os
from charlm.simd import compiling

def number():
    return next(compiling.FunctionIdentity._unique_ids)

print(number(), flush=True)
for _ in range(2):
    if not os.fork():
        print(number(), flush=True)
        os._exit(0)
    os.wait()
print(number(), flush=True)
"""


def test_forks_number_functions_each_from_a_place_of_its_own():
    """Code of two that bear one number would be taken for one another by whoever reads both from disk."""
    told = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True, env=PATHS)
    parent, one, other, again = map(int, told.stdout.split())
    assert again == parent + 1
    assert min(abs(one - parent), abs(other - parent), abs(one - other)) > 10**6
