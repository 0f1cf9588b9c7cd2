"""What holds for every configuration: it survives each form it is kept in, and nothing else gets in."""

from __future__ import annotations

import json
import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlm.config import SECTIONS, Config, Layer, SamplingConfig, environment_layer, file_layer, resolve, to_toml
from charlm.config.settings import LARGEST, settings_of
from charlm.errors import ConfigError

IN_CONFIG = {name: known for section in SECTIONS.values() for name, known in settings_of(section).items()}
ALL = [*IN_CONFIG.values(), *settings_of(SamplingConfig).values()]
USES_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def values_of(known):
    """Values that the setting takes, its limits often among them."""
    if known.choices or known.names:
        found = st.sampled_from(known.choices or known.names)
    elif known.type is bool:
        found = st.booleans()
    elif known.type is int:
        low, high = int(known.minimum), LARGEST if known.maximum is None else int(known.maximum)
        found = st.one_of(st.sampled_from([low, high]), st.integers(low, high))
    elif known.type is float:
        found = st.floats(
            known.minimum if known.above is None else known.above,
            known.maximum if known.below is None else known.below,
            exclude_min=known.above is not None,
            exclude_max=known.below is not None,
            allow_nan=False,
            allow_infinity=False,
        )
    else:
        found = st.text() if known.type is str else st.lists(st.text(), max_size=3).map(tuple)
    return st.one_of(st.none(), found) if known.optional else found


SOME = st.fixed_dictionaries({}, optional={name: values_of(known) for name, known in IN_CONFIG.items()})
# what JSON, TOML, an environment or a caller from Python may hold
ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters()),
        st.binary(),
        st.complex_numbers(),
    ),
    lambda inner: st.one_of(st.lists(inner), st.tuples(inner), st.dictionaries(st.text(), inner)),
    max_leaves=5,
)


def brief(error, name):
    """One short line that names the setting."""
    text = str(error)
    assert name in text
    assert "\n" not in text
    assert len(text) < 400, text


@settings(USES_FOLDER, max_examples=max(1, settings.default.max_examples // 2))
@given(values=SOME)
def test_every_configuration_survives_toml_and_json(values, tmp_path):
    config = resolve([Layer(origin="flag", values=values)]).config
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert resolve([file_layer(path)]).config == config
    stored = json.loads(json.dumps(config.to_json(), allow_nan=False))
    assert Config.from_json(stored, "run.json") == config


@settings(max_examples=max(1, settings.default.max_examples // 3))
@given(layers=st.lists(SOME, max_size=4))
def test_the_last_layer_that_has_a_setting_gives_it(layers):
    resolved = resolve(Layer(origin=f"layer {number}", values=values) for number, values in enumerate(layers))
    found = {name: value for section in resolved.config.to_json().values() for name, value in section.items()}
    for name, known in IN_CONFIG.items():
        having = [number for number, values in enumerate(layers) if name in values]
        wanted = layers[having[-1]][name] if having else known.default
        assert found[name] == wanted
        assert resolved.origins[name] == (f"layer {having[-1]}" if having else "default")


@given(known=st.sampled_from(ALL), data=st.data())
@settings(max_examples=3 * settings.default.max_examples // 2)
def test_a_value_is_taken_as_it_is_or_refused_by_name(known, data):
    given_value = data.draw(st.one_of(st.sampled_from([math.inf, -math.inf, math.nan]), ANYTHING, values_of(known)))
    try:
        taken = known.check(given_value)
    except ConfigError as error:
        brief(error, known.name)
        return
    assert taken == (tuple(given_value) if known.type is tuple else given_value)
    assert known.check(taken) == taken
    assert taken is None or type(taken) is known.type
    assert not isinstance(taken, float) or math.isfinite(taken)


@given(known=st.sampled_from(ALL), data=st.data())
@settings(max_examples=3 * settings.default.max_examples // 2)
def test_a_text_gives_what_its_value_gives_or_is_refused_by_name(known, data):
    value = data.draw(values_of(known))
    if value is not None and known.type in (int, float, str):
        assert known.parse(str(value)) == value
    text = data.draw(st.text(st.one_of(st.sampled_from("0123456789.e-+naif_ "), st.characters())))
    try:
        taken = known.parse(text)
    except ConfigError as error:
        brief(error, known.name)
        return
    assert known.check(taken) == taken
    if known in IN_CONFIG.values():
        assert environment_layer({f"CHARLM_{known.name.upper()}": text}).values == {known.name: taken}


@USES_FOLDER
@given(content=st.one_of(st.binary(), st.text().map(str.encode), st.text("[]{}=\"'\n.#aelyrs10 ").map(str.encode)))
def test_a_file_of_anything_is_settings_or_an_error_of_one_line(content, tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    try:
        resolve([file_layer(path)])
    except ConfigError as error:
        brief(error, "config.toml")
