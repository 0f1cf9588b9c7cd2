"""Which engine is opened, what happens without Numba or a place for its code, and what a second process pays."""

import os
import subprocess
import sys

import numpy as np
import pytest

from charlm.config import ModelConfig
from charlm.config.shapes import parameter_shapes
from charlm.errors import ConfigError
from charlm.runtime import NumbaModel, NumpyModel, engines, open_engine

V = 11
CONFIG = ModelConfig(hidden_size=20)
ARRAYS = {
    name: (0.2 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    for name, shape in parameter_shapes(CONFIG, V).items()
}
NEAR = {"exact": 2.0, "int16": 2.0, "int8": 2.0}


def opened(**settings):
    return open_engine(CONFIG, ARRAYS, V, **settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "exact"),
        ({"measured": {**NEAR, "int8": 2.1}}, "int16"),
        ({"measured": NEAR, "precision": "exact"}, "exact"),
        ({"precision": "int8"}, "int8"),
        ({"engine": "numba", "precision": "int16"}, "int16"),
    ],
)
def test_the_compiled_engine_is_opened_in_the_precision_that_fits(settings, expected):
    engine = opened(**settings)
    assert isinstance(engine, NumbaModel)
    assert engine.precision == expected


def test_the_numpy_engine_computes_in_float32_alone():
    assert isinstance(opened(engine="numpy", measured=NEAR), NumpyModel)
    with pytest.raises(ConfigError, match="precision must be exact with engine numpy, was int8"):
        opened(engine="numpy", precision="int8")


def test_without_numba_numpy_serves(monkeypatch):
    monkeypatch.setitem(sys.modules, "charlm.runtime.numba_model", None)
    assert isinstance(opened(measured=NEAR), NumpyModel)
    for settings in ({"engine": "numba"}, {"precision": "int8"}):
        with pytest.raises(ConfigError, match=r"engine numba cannot be imported .*: take engine numpy"):
            opened(**settings)


MISSING = [
    ("cell mogrifier-lstm", {"cell": "mogrifier-lstm"}),
    ("attention_window", {"attention_window": 9}),
]


@pytest.mark.parametrize(("what", "settings"), MISSING)
def test_numpy_serves_what_the_compiled_loop_does_not_compute(what, settings):
    config = ModelConfig(hidden_size=20, **settings)
    arrays = {name: np.ones(shape, np.float32) for name, shape in parameter_shapes(config, V).items()}
    assert isinstance(open_engine(config, arrays, V, measured=NEAR), NumpyModel)
    for asked in ({"engine": "numba"}, {"precision": "int8"}):
        with pytest.raises(ConfigError, match=f"^engine numba does not compute {what}: take engine numpy"):
            open_engine(config, arrays, V, **asked)
    with pytest.raises(ConfigError, match=f"does not compute {what}$"):
        NumbaModel(config, arrays, V)


def test_where_code_cannot_be_kept_numpy_serves(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(str(tmp_path)))
    for variable in ("NUMBA_CACHE_DIR", "CHARLM_CACHE"):
        monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
        monkeypatch.setenv(variable, str(tmp_path / "there" / "is" / "none"))
        assert not engines.can_keep_code()
        assert isinstance(opened(), NumpyModel)
    assert isinstance(opened(engine="numba"), NumbaModel)
    monkeypatch.setenv("CHARLM_CACHE", f"{tmp_path}/file")
    (tmp_path / "file").write_text("")
    assert not engines.can_keep_code()


PROGRAM = """
import sys
import numpy as np
from charlm.config import ModelConfig, SamplingConfig
from charlm.config.shapes import parameter_shapes
from charlm.generation import generate
from charlm.runtime import open_engine
from charlm.tokenizers import ByteTokenizer

config = ModelConfig(hidden_size=8)
arrays = {name: np.zeros(shape, dtype=np.float32) for name, shape in parameter_shapes(config, 256).items()}
told = []
model = open_engine(config, arrays, 256, engine="numba", on_compile=lambda: told.append(1))
list(generate(model, ByteTokenizer(), SamplingConfig(length=20, samples=3), 1))
print(len(told), "numba" in sys.modules)
"""


@pytest.mark.slow
def test_the_loop_is_compiled_once_and_a_second_process_finds_it_and_needs_no_numba(tmp_path):
    # what is compiled is not looked at: in haste is enough
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_OPT": "0"}
    outputs = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, env=environment)
        outputs.append(done.stdout.split())
    assert outputs == [[b"1", b"True"], [b"0", b"False"]]


def test_without_llvm_all_but_the_compiled_engine_works():
    """Numba brings llvmlite; where neither can be loaded nothing may need them that has another way."""
    code = """
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None
import charlm.coding, charlm.evaluation, charlm.generation, charlm.training
import numpy as np
from charlm.config import ModelConfig
from charlm.config.shapes import parameter_shapes
from charlm.runtime import open_engine
config = ModelConfig(hidden_size=8)
arrays = {name: np.zeros(shape, np.float32) for name, shape in parameter_shapes(config, 5).items()}
print(type(open_engine(config, arrays, 5)).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("NumpyModel\n", "")
