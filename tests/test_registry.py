import pytest

from charlm.errors import CharlmError, UnknownNameError
from charlm.registry import lookup


def test_a_known_name_gives_its_entry():
    assert lookup({"lstm": 1, "gru": 2}, "gru", "cell") == 2


def test_an_unknown_name_lists_the_choices_and_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no cell 'lsmt': choose gru, lstm \(did you mean lstm\?\)"):
        lookup({"lstm": 1, "gru": 2}, "lsmt", "cell")


def test_every_error_has_an_exit_code_of_its_own_branch():
    codes = {error.__name__: error.exit_code for error in CharlmError.__subclasses__()}
    assert codes == {
        "ConfigError": 2,
        "CorpusError": 3,
        "RunError": 4,
        "OutputError": 5,
        "DivergedError": 6,
        "RunInUseError": 7,
    }
