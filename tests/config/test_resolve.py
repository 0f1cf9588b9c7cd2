"""Layers of settings: which one wins, and what each one's mistakes look like."""

import tracemalloc

import pytest

from charlm.config import PRESETS, Config, Layer, environment_layer, file_layer, resolve, to_toml
from charlm.errors import ConfigError


def test_later_layers_win_and_origins_are_told(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("layers = 3\n[model]\nhidden_size = 100\n[training]\nseed = 5\n")
    resolved = resolve(
        [
            Layer(origin="preset tiny", values=PRESETS["tiny"]),
            file_layer(path),
            environment_layer({"CHARLM_SEED": "6", "CHARLM_CACHE": "/x", "OTHER": "y"}),
            Layer(origin="flag", values={"hidden_size": 64}),
        ]
    )
    assert (resolved.config.model.layers, resolved.config.model.hidden_size, resolved.config.training.seed) == (
        3,
        64,
        6,
    )
    wanted = {"hidden_size": "flag", "seed": "environment", "layers": f"file {path}", "dropout": "preset tiny"}
    assert {name: resolved.origins[name] for name in wanted} == wanted
    assert resolved.origins["keep"] == "default"


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid_and_survive_toml_and_json(preset, tmp_path):
    config = resolve([Layer(origin="preset", values=PRESETS[preset])]).config
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert resolve([file_layer(path)]).config == config
    assert Config.from_json(config.to_json(), "run.json") == config


def test_toml_keeps_awkward_text(tmp_path):
    config = resolve(
        [Layer(origin="flag", values={"boundary": '"\\\n\x00\x7f\u2028]é', "corpus": ("a b", "[/x]")})]
    ).config
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert resolve([file_layer(path)]).config == config


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hiden_size = 1", r"no setting 'hiden_size' \(did you mean hidden_size\?\)"),
        ("[modl]\nlayers = 1", r"no section 'modl' \(did you mean model\?\)"),
        ("[model]\nlearning_rate = 1", r"'learning_rate' belongs in \[training\]"),
        ("[model]\nlayer = 1", r"no setting 'layer' \(did you mean layers\?\)"),
        ("layers = ", "is not valid TOML"),
        ("layers = 0", r"file .*: layers must be a whole number in \[1, 64\], was 0"),
        ("learning_rate = nan", "learning_rate must be a number"),
        ("steps = 1979-05-27", "steps must be a whole number"),
        ("steps = 5\n[training]\nsteps = 7", r"\[training\]: 'steps' stands before all sections too: leave one out"),
    ],
)
def test_a_files_mistake_is_named(tmp_path, content, message):
    path = tmp_path / "config.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        resolve([file_layer(path)])


HOSTILE = {
    "a number of many digits": (b"layers = " + b"9" * 5000, "is not valid TOML"),
    "one that Python will not show": (b"corpus = [0x" + b"F" * 5000 + b"]", "corpus must be a list of texts"),
    "lists in lists": (b"layers = " + b"[" * 50_000, "is not valid TOML"),
    "a key whose beginnings take gigabytes": (b"a" + b".a" * 30_000 + b" = 1", "line 1 has more than 100 dots"),
    "a key of many lines": (b'["a\\n\\u001b"]\nx = 1', r"no section 'a\\n\\x1b'"),
    "a long key": (b"a" * 100_000 + b" = 1", "no setting 'aaa"),
    "two long keys": ((b"a" * 50_000 + b" = 1\n") * 2, "is not valid TOML"),
    "a long file": (b"#" * 50_000_000, "longer than 2097152 bytes"),
    "a long file beside its strings": (b"#" * 200_000, "beside strings it is longer than 131072 bytes"),
    "a long key of quoted parts": (b'"a"' + b'."a"' * 30_000 + b" = 1", "line 1 has more than 100 dots"),
    "one that looks as if within a string": (
        b'corpus = ["""\n""", {a' + b".a" * 30_000 + b' = 1}, "x"]',
        "line 2 has more than 100 dots",
    ),
    "a name of a cell that is long": (b'cell = "' + b"x" * 100_000 + b'"', "no cell 'xxx"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_one_short_line_and_little_memory(tmp_path, case):
    content, message = HOSTILE[case]
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError, match=message) as caught:
            resolve([file_layer(path)])
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_what_toml_cannot_hold_is_refused():
    config = resolve([Layer(origin="flag", values={"corpus": ("caf\udce9.txt",)})]).config
    with pytest.raises(ConfigError, match=r"cannot hold \('caf\\udce9.txt',\), which is not UTF-8: rename the file"):
        to_toml(config)


def test_dots_and_lengths_are_no_matter_in_strings(tmp_path):
    """So a run of many texts can be trained again from what `export-config` writes."""
    texts = tuple(f"parts\\\"{number}/it's a.long.name.txt" for number in range(20_000))
    config = resolve([Layer(origin="flag", values={"corpus": texts})]).config
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert resolve([file_layer(path)]).config == config


def test_comments_and_a_byte_order_mark_are_no_matter(tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf# " + b"." * 200 + b"\n  #" + b". " * 200 + b"\r\nlayers = 3\r\n")
    assert file_layer(path).values == {"layers": 3}


def test_an_empty_variable_is_an_empty_list():
    assert environment_layer({"CHARLM_INCLUDE": ""}).values == {"include": ()}


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        file_layer(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        file_layer(tmp_path / "binary.toml")


def test_the_environments_mistakes_are_named():
    with pytest.raises(ConfigError, match=r"CHARLM_HIDEN_SIZE is no setting \(did you mean CHARLM_HIDDEN_SIZE\?\)"):
        environment_layer({"CHARLM_HIDEN_SIZE": "1"})
    with pytest.raises(ConfigError, match=r"CHARLM_CASHE is no setting \(did you mean CHARLM_CACHE\?\)"):
        environment_layer({"CHARLM_CASHE": "/x"})
    with pytest.raises(
        ConfigError, match=r"CHARLM_FOO is no setting: unset it; charlm train --help lists the settings$"
    ):
        environment_layer({"CHARLM_FOO": "1"})  # no neighbour: what all names have in common makes none
    with pytest.raises(ConfigError, match="environment CHARLM_LAYERS: layers must be a whole number"):
        environment_layer({"CHARLM_LAYERS": "two"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"layers": float("nan")}}, "layers must be a whole number"),
        ({"model": {"hidden_size": 10**9}}, "hidden_size must be a whole number"),
        ({"modle": {}}, "no section 'modle'"),
        ({"model": 3}, r"\[model\] must be a table"),
        ([], "must be a table of sections"),
    ],
)
def test_a_stored_configs_mistake_is_named(content, message):
    with pytest.raises(ConfigError, match=message):
        Config.from_json(content, "run.json")
