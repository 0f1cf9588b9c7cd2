"""Which kernels and number format a training gets: by a trial, by order, again when it goes on."""

import contextlib
import dataclasses
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import numba
import pytest
import torch

from charlm.config import Layer, ModelConfig, TrainingConfig, resolve
from charlm.errors import ConfigError, UnavailableError
from charlm.kernels import KERNELS, torch_layers
from charlm.simd import HAS_BFLOAT16
from charlm.training import assembly, device, precision, resume_training, start_training
from charlm.training import trial as trials
from charlm.training.device import choose_machine
from charlm.training.machine import Machine
from charlm.training.trial import fastest, is_emulated, symbols_per_second

MODEL = ModelConfig(hidden_size=8, layers=1)
TRAINING = TrainingConfig(batch_size=4, window_length=8, threads=1)
FLOAT32, BFLOAT16 = torch.float32, torch.bfloat16
V = 65


@dataclass
class Stage:
    """A clock that knows whose turn it is: every round takes as long as its machine says."""

    now: float = 0.0
    running: bool = False
    machine: Machine | None = None
    rounds: Counter = field(default_factory=Counter)

    def __call__(self):
        if self.running:
            seconds = self.machine.seconds
            self.now += seconds[min(self.rounds[self.machine.name], len(seconds) - 1)]
            self.rounds[self.machine.name] += 1
        self.running = not self.running
        return self.now


@dataclass(frozen=True, kw_only=True)
class Actor(Machine):
    """A machine that takes the seconds it is given, the last of them for all further rounds."""

    seconds: tuple[float, ...]
    stage: Stage

    @property
    def name(self):
        return self.kernels, self.dtype

    @contextlib.contextmanager
    def in_use(self):
        self.stage.machine = self
        with super().in_use():
            yield


def trial(**seconds):
    """The kernels and format chosen, and how many rounds each had; names are such as torch_float32."""
    stage, actors = Stage(), []
    for name, taken in seconds.items():
        kernels, dtype = name.split("_")
        taken = taken if isinstance(taken, tuple) else (taken,)
        machine = {"device": torch.device("cpu"), "dtype": getattr(torch, dtype), "threads": 1, "kernels": kernels}
        actors.append(Actor(**machine, seconds=taken, stage=stage))
    found = fastest(actors, TRAINING, MODEL, V, stage)
    return f"{found.kernels}_{str(found.dtype)[6:]}", {actor.kernels: stage.rounds[actor.name] for actor in actors}


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"compiled_float32": 1.0, "torch_float32": 2.0}, "compiled_float32"),
        ({"compiled_float32": 2.0, "torch_float32": 1.0}, "torch_float32"),
        # bfloat16 rounds: it has to be more than a tenth faster, whatever the kernels
        ({"torch_float32": 1.09, "torch_bfloat16": 1.0}, "torch_float32"),
        ({"torch_float32": 1.12, "torch_bfloat16": 1.0}, "torch_bfloat16"),
        ({"compiled_float32": 1.09, "compiled_bfloat16": 1.0, "torch_bfloat16": 1.05}, "compiled_float32"),
        # torch's kernels have to be clearly faster than the compiled ones, which a short trial shows too slow
        ({"compiled_float32": 1.2, "torch_float32": 1.0}, "compiled_float32"),
        ({"compiled_float32": 1.3, "torch_float32": 1.0}, "torch_float32"),
        ({"torch_float32": 0.9, "compiled_bfloat16": 1.0, "torch_bfloat16": 0.85}, "compiled_bfloat16"),
        ({"torch_float32": 3.0, "compiled_bfloat16": 1.0, "torch_bfloat16": 2.0}, "compiled_bfloat16"),
        ({"compiled_float32": 1.05, "torch_float32": 4.0, "torch_bfloat16": 1.0}, "compiled_float32"),
        ({"compiled_bfloat16": 2.0, "torch_bfloat16": 1.0}, "torch_bfloat16"),
        # the first round compiles, the others count; of those the shortest
        ({"compiled_float32": (60.0, 9.0, 1.0, 9.0), "torch_float32": 2.0}, "compiled_float32"),
        ({"compiled_float32": 1.0, "torch_float32": (0.5, 2.0)}, "compiled_float32"),
    ],
)
def test_the_fastest_is_chosen(seconds, chosen):
    assert trial(**seconds)[0] == chosen


def test_what_is_hopeless_gets_no_more_rounds():
    _, rounds = trial(compiled_float32=1.0, torch_float32=6.0)
    assert rounds == {"compiled": 3, "torch": 1}
    # what compiles in its first round gets a second one
    _, rounds = trial(torch_float32=1.0, compiled_float32=7.0)
    assert rounds == {"torch": 3, "compiled": 2}
    _, rounds = trial(torch_float32=1.0, compiled_float32=(60.0, 2.0))
    assert rounds == {"torch": 3, "compiled": 3}


def test_short_rounds_are_tried_until_a_neighbour_has_gone():
    assert trial(compiled_float32=0.02, torch_float32=0.06)[1] == {"compiled": 6, "torch": 3}
    chosen, _ = trial(compiled_float32=(60.0, 0.045, 0.045, 0.02), torch_float32=0.03)
    assert chosen == "compiled_float32"


def test_one_candidate_is_compiled_and_not_tried():
    assert trial(compiled_bfloat16=1.0) == ("compiled_bfloat16", {"compiled": 1})
    assert trial(torch_bfloat16=1.0) == ("torch_bfloat16", {"torch": 0})


@pytest.mark.parametrize(
    ("vocab_size", "minutes", "steps"),
    [(65, None, 8), (65, 9.0, 8), (10**6, None, 6), (10**6, 9.0, 6), (10**6, 0.5, 3)],
)
def test_speed_is_that_of_the_texts_vocabulary(monkeypatch, vocab_size, minutes, steps):
    shapes, training = [], dataclasses.replace(TRAINING, minutes=minutes)

    class Recorded(trials.LanguageModel):
        def loss(self, ids, *others):
            shapes.append((self.vocab_size, tuple(ids.shape)))
            assert 0 <= ids.min() <= ids.max() < self.vocab_size
            assert (ids < self.vocab_size**0.5).float().mean() > 0.2  # half of them, as in texts
            return super().loss(ids, *others)

    monkeypatch.setattr(trials, "LanguageModel", Recorded)
    one_step = 6 * 8 * 4 * 10**6
    monkeypatch.setattr(trials, "BUDGET", 6 * one_step)
    monkeypatch.setattr(trials, "BUDGET_A_MINUTE", 6 * one_step)
    stage = Stage()
    machine = {"device": torch.device("cpu"), "dtype": FLOAT32, "threads": 1, "kernels": "torch"}
    actor = Actor(**machine, seconds=(9.0, 2.0), stage=stage)
    assert symbols_per_second(actor, training, MODEL, vocab_size, stage) == 4 * steps / 2
    # as many steps as the budget has for such an output layer, the whole window at most
    assert shapes == [(vocab_size, (4, steps))] * 3


def test_a_trial_runs_on_the_device_with_whole_windows_and_waits_for_it(monkeypatch):
    """As far as a CPU can tell, called by another name: model, symbols and masks are sent there."""
    sent, shapes, to, generator = [], [], torch.Tensor.to, torch.Generator

    class Recorded(trials.LanguageModel):
        def to(self, device):
            sent.append(device)
            return self

        def loss(self, ids, targets, state, masks):
            shapes.append(tuple(ids.shape))
            assert masks.device.type == "cpu"
            return super().loss(ids, targets, state, masks)

    class Elsewhere:
        """A device that is none of a processor's."""

        type = "other"

    def send(tensor, *arguments, **keywords):
        if arguments == (there,):
            sent.append(there)
            return tensor
        return to(tensor, *arguments, **keywords)

    monkeypatch.setattr(trials, "LanguageModel", Recorded)
    monkeypatch.setattr(torch.Tensor, "to", send)
    monkeypatch.setattr(torch, "Generator", lambda *device: sent.extend(device) or generator())
    monkeypatch.setattr(trials, "BUDGET", 1)
    stage, there = Stage(), Elsewhere()
    actor = Actor(device=there, dtype=FLOAT32, threads=1, kernels="torch", seconds=(9.0, 2.0), stage=stage)
    training = dataclasses.replace(TRAINING, batch_size=70)
    assert symbols_per_second(actor, training, MODEL, V, stage) == 70 * 8 / 2
    assert shapes == [(70, 8)] * 3
    assert sent == [there] * 3  # the model, its symbols, its masks


@pytest.fixture
def tried(monkeypatch):
    """What is left to a trial: (kernels, format) of each candidate; the last is taken."""
    candidates = []

    def take(machines, training, model, vocab_size, clock):
        candidates.extend((machine.kernels, machine.dtype) for machine in machines)
        return machines[-1]

    monkeypatch.setattr(device, "fastest", take)
    monkeypatch.setattr(device, "is_emulated", lambda dtype: False)
    return candidates


@pytest.fixture
def without_numba(monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] in ("numba", "llvmlite"):
            monkeypatch.setitem(sys.modules, name, None)
        elif name.startswith("charlm.simd"):
            monkeypatch.delitem(sys.modules, name)


def wanted(**settings):
    return TrainingConfig(batch_size=4, window_length=8, threads=1, **settings)


def test_what_is_asked_for_is_all_that_is_tried(tried, monkeypatch):
    monkeypatch.setattr("charlm.simd.HAS_BFLOAT16", True)  # whatever this processor has
    for kernels in ("compiled", "torch"):
        for name, dtype in (("float32", FLOAT32), ("bfloat16", BFLOAT16)):
            tried.clear()
            machine = choose_machine(wanted(kernels=kernels, dtype=name), MODEL, V)
            assert tried == [(kernels, dtype)] == [(machine.kernels, machine.dtype)]
    tried.clear()
    choose_machine(wanted(kernels="torch"), MODEL, V)
    assert tried == [("torch", FLOAT32), ("torch", BFLOAT16)]
    tried.clear()
    choose_machine(wanted(dtype="float32"), MODEL, V)
    assert tried == [("compiled", FLOAT32), ("torch", FLOAT32)]


def test_left_alone_both_kinds_of_kernels_and_both_formats_have_their_chance(tried):
    choose_machine(wanted(), MODEL, V)
    assert {kernels for kernels, _ in tried} == {"compiled", "torch"}
    assert {dtype for _, dtype in tried} == {FLOAT32, BFLOAT16}
    tried.clear()
    machine = choose_machine(wanted(), ModelConfig(cell="gru-reset-before", hidden_size=8), V)
    assert (tried, machine.kernels, machine.dtype) == ([], "torch", FLOAT32)


def test_without_bfloat16_in_the_processor_compiled_loops_compute_in_float32(tried, monkeypatch):
    monkeypatch.setattr("charlm.simd.HAS_BFLOAT16", False)
    monkeypatch.setattr("charlm.simd.BFLOAT16_PAYS", False)
    choose_machine(wanted(), MODEL, V)
    assert tried == [("compiled", FLOAT32), ("torch", FLOAT32), ("torch", BFLOAT16)]
    with pytest.raises(ConfigError, match=r"give --dtype float32 or --kernels torch$"):
        choose_machine(wanted(kernels="compiled", dtype="bfloat16"), MODEL, V)


def test_a_format_that_the_processor_emulates_is_tried_only_where_it_was_asked_for(tried, monkeypatch):
    """A window of it would take ten seconds, of a minute that somebody gives."""
    monkeypatch.setattr("charlm.simd.HAS_BFLOAT16", False)
    monkeypatch.setattr("charlm.simd.BFLOAT16_PAYS", False)
    monkeypatch.setattr(device, "is_emulated", lambda dtype: dtype == BFLOAT16)
    choose_machine(wanted(), MODEL, V)
    assert tried == [("compiled", FLOAT32), ("torch", FLOAT32)]
    tried.clear()
    assert choose_machine(wanted(dtype="bfloat16"), MODEL, V).dtype == BFLOAT16
    # torch may know nothing of instructions that charlm's own loops use
    monkeypatch.setattr("charlm.simd.HAS_BFLOAT16", True)
    monkeypatch.setattr("charlm.simd.BFLOAT16_PAYS", True)
    tried.clear()
    choose_machine(wanted(), MODEL, V)
    assert tried == [("torch", FLOAT32), ("compiled", BFLOAT16)]


@pytest.mark.parametrize(("seconds", "emulated"), [(3.0, False), (5.0, True)])
def test_what_takes_far_longer_than_float32_is_emulated(seconds, emulated):
    # five products of the format, the first of them getting ready, then five of float32
    takes = iter([60.0, *[seconds] * 4, 30.0, *[1.0] * 4])
    readings = [reading for taken in takes for reading in (0.0, taken)]
    clock = iter(readings)

    def read():
        assert torch.get_num_threads() == 1  # two wait for each other beside a neighbour
        return next(clock)

    assert is_emulated(BFLOAT16, read) is emulated


def test_compiled_loops_are_tried_in_both_formats_where_bfloat16_may_not_pay(tried, monkeypatch):
    """A vector of pairs takes some processors as long as two of float32."""
    monkeypatch.setattr("charlm.simd.HAS_BFLOAT16", True)
    for pays in (True, False):
        tried.clear()
        monkeypatch.setattr("charlm.simd.BFLOAT16_PAYS", pays)
        choose_machine(wanted(), MODEL, V)
        assert (("compiled", FLOAT32) in tried) is not pays
        assert ("compiled", BFLOAT16) in tried


@pytest.mark.usefixtures("without_numba")
def test_without_numba_training_computes_in_torch(tried):
    assert choose_machine(wanted(), MODEL, V).kernels == "torch"
    assert tried == [("torch", FLOAT32), ("torch", BFLOAT16)]
    with pytest.raises(ConfigError, match=r"^kernels 'compiled' need Numba, .*: give --kernels torch$") as raised:
        choose_machine(wanted(kernels="compiled"), MODEL, V)
    assert "\n" not in str(raised.value)


def test_kernels_that_a_cell_does_not_have_are_refused():
    with pytest.raises(ConfigError, match="there are no kernels 'compiled' for cell gru-reset-before: leave --kernels"):
        choose_machine(wanted(kernels="compiled"), ModelConfig(cell="gru-reset-before", hidden_size=8), V)


class Told:
    """A progress that notes what it is told."""

    def __init__(self):
        self.begun, self.ended = [], 0

    def start(self, what, total):
        self.begun.append(what)

    def advance(self, n):
        raise AssertionError("nobody knows how far a compiler is")

    def finish(self):
        self.ended += 1


@pytest.mark.parametrize("fails", [False, True], ids=["well", "badly"])
def test_that_loops_are_compiled_is_said_once_and_only_then(monkeypatch, fails):
    fresh = [numba.njit(lambda a: a + 1), numba.njit(lambda a: a + 2)]  # two functions that nobody has called

    def kernel(*arguments):
        for function in fresh:
            function(1)
        if fails:
            raise RuntimeError("of the kernel")
        return torch_layers.gru(*arguments)

    monkeypatch.setitem(KERNELS["compiled"], "gru", kernel)
    model = ModelConfig(cell="gru", hidden_size=8, layer_norm=True)  # whose layers are computed one by one
    for begun in (["compiling for this processor: some seconds, once"], []):
        progress = Told()
        with pytest.raises(RuntimeError, match="of the kernel") if fails else contextlib.nullcontext():
            choose_machine(wanted(dtype="float32"), model, V, progress=progress)
        assert (progress.begun, progress.ended) == (begun, len(begun))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    draws = random.Random(3)
    (tmp_path / "tale.txt").write_text("".join(draws.choice(["a cat sat. ", "it was dawn.\n"]) for _ in range(300)))
    return tmp_path


def begin(place, **settings):
    values = {"corpus": (str(place / "tale.txt"),), "hidden_size": 8, "layers": 1, "batch_size": 4, "window_length": 8}
    config = resolve([Layer(origin="flag", values={**values, "threads": 1, "steps": 2, **settings})]).config
    return start_training(config, run="tale", root=place / "runs", now=datetime(2026, 11, 21), samples=False)


def go_on(place, **changes):
    training = resume_training({"steps": 4, **changes}, run="tale", root=place / "runs", samples=False)
    training.held.close()
    return training.machine


@pytest.mark.parametrize("index", [0, -1])
def test_what_a_trial_chose_is_used_again(place, monkeypatch, index):
    monkeypatch.setattr(device, "fastest", lambda machines, *rest: machines[index])
    training = begin(place)
    list(training.events())
    chosen = training.machine
    # nothing is left to choose: the other end of the candidates is the same
    monkeypatch.setattr(device, "fastest", lambda machines, *rest: machines[-1 - index])
    assert go_on(place) == chosen
    other = "torch" if chosen.kernels == "compiled" else "compiled"
    if other == "compiled" and chosen.dtype == torch.bfloat16 and not HAS_BFLOAT16:
        with pytest.raises(UnavailableError, match="give --dtype float32 or --kernels torch"):
            go_on(place, kernels=other)
        return
    assert go_on(place, kernels=other).kernels == other
    assert go_on(place, kernels=other).dtype == chosen.dtype


def test_kernels_that_were_asked_for_are_used_again(place):
    for kernels in ("compiled", "torch"):
        training = begin(place, kernels=kernels, dtype="float32")
        list(training.events())
        assert training.machine.kernels == go_on(place).kernels == kernels
        assert training.run.load_training().progress["machine"] == training.machine.to_json()
        (place / "runs" / "tale").rename(place / kernels)


def test_without_numba_a_run_of_compiled_kernels_goes_on_in_torch_when_told_to(place, monkeypatch, request):
    # chosen by a trial: nobody has asked for compiled kernels
    monkeypatch.setattr(device, "fastest", lambda machines, *rest: machines[0])
    training = begin(place, dtype="float32")
    list(training.events())
    assert training.machine.kernels == "compiled"
    request.getfixturevalue("without_numba")
    with pytest.raises(ConfigError, match=r"^kernels 'compiled' need Numba, .*: give --kernels torch$"):
        go_on(place)
    assert go_on(place, kernels="torch").kernels == "torch"


def test_that_loops_are_compiled_when_formats_are_measured_is_said(place, monkeypatch):
    fresh = numba.njit(lambda a: a + 1)

    def measured(*arguments, **options):
        fresh(1)
        return {"exact": 1.0}

    monkeypatch.setattr(precision, "measure", measured)
    # long enough a validation split to measure on
    (place / "tale.txt").write_text((place / "tale.txt").read_text() * 4)
    training = begin(place, kernels="torch")
    training.progress = Told()
    list(training.events())
    assert training.progress.begun == ["compiling for this processor: some seconds, once"]
    assert training.progress.ended == 1


def test_another_device_has_formats_and_kernels_of_its_own(place, monkeypatch):
    monkeypatch.setattr(device, "fastest", lambda machines, *rest: machines[0])
    list(begin(place).events())
    asked = []

    def chosen(training, *rest, **keywords):
        asked.append(training)
        raise ConfigError("stop here")

    monkeypatch.setattr(assembly, "choose_machine", chosen)
    monkeypatch.setattr(assembly, "choose_device", lambda name: None)
    for wanted in ("cpu", "mps"):
        with pytest.raises(ConfigError, match="stop here"):
            go_on(place, device=wanted)
    same, other = asked
    assert same.threads == 1
    assert "auto" not in (same.kernels, same.dtype)
    assert (other.device, other.kernels, other.dtype, other.threads) == ("mps", "auto", "auto", 1)


def test_a_device_that_is_gone_is_named_with_what_goes_on_without_it():
    before = {"device": "cuda", "dtype": "bfloat16", "kernels": "torch", "threads": 1}
    training = resolve([Layer(origin="flag", values={"device": "auto"})]).config
    with pytest.raises(ConfigError, match="trained on cuda, which is not available here: --device cpu goes on without"):
        assembly.machine_again(training, before, 9)
    asked = resolve([Layer(origin="flag", values={"device": "cuda"})]).config  # as its first sitting was
    with pytest.raises(UnavailableError, match="--device cpu goes on without"):
        assembly.machine_again(asked, before, 9)
    cpu = resolve([Layer(origin="flag", values={"device": "cpu", "kernels": "torch", "dtype": "float32"})]).config
    assert assembly.machine_again(cpu, before, 9).device.type == "cpu"
