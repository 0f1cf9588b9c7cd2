"""Every error charlm raises on purpose, and the exit code each one ends the command with.

    CharlmError              1   (never raised itself)
    ├── ConfigError          2   a setting, flag, key or argument that cannot be used
    │   ├── UnknownNameError 2   a name that is in no table; carries the choices
    │   ├── CompleteError    2   a training that is to go on, but has come to its end
    │   └── UnavailableError 2   a device, kernels or number format that this machine does not have
    ├── CorpusError          3   a text that cannot be found, fetched, read or split
    │   └── TokenizerError   3   a text that the tokenizer cannot represent
    ├── RunError             4   a run or checkpoint that is missing, damaged or of another kind
    ├── OutputError          5   a file that cannot be written (disk full, no permission, there already)
    ├── DivergedError        6   training that stayed non-finite after its retries
    └── RunInUseError        7   a run folder that another live process holds

A message is one line: what is wrong, where, what to do. Signals end with 128 + their number
(130 SIGINT, 143 SIGTERM, 129 SIGHUP) and a closed pipe with 141; those are no errors of ours.
"""

from __future__ import annotations

import errno


class CharlmError(Exception):
    """Base of all errors that charlm raises on purpose."""

    exit_code = 1


class ConfigError(CharlmError):
    """A setting, flag, key or argument that cannot be used."""

    exit_code = 2


class UnknownNameError(ConfigError):
    """A name that is in no table. The message lists the choices and the nearest one."""


class CompleteError(ConfigError):
    """A training that is to go on, but has come to its end. The message says which one a larger number moves."""


class UnavailableError(ConfigError):
    """A device, kernels or a number format that this machine does not have; another machine may have it.

    Attributes:
        what: the message without its advice.
    """

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what}: {advice}")
        self.what = what


class CorpusError(CharlmError):
    """A text that cannot be found, fetched, read or split."""

    exit_code = 3


class TokenizerError(CorpusError):
    """A text that the tokenizer cannot represent. The message gives character and position.

    Attributes:
        position: of that character, counted from 0, where there is one; the message says ``at position 7``.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position

    def further_on(self, characters: int) -> TokenizerError:
        """The same error for a text that has so many characters before the one that was encoded."""
        if self.position is None:
            return self
        position = self.position + characters
        return TokenizerError(str(self).replace(f"at position {self.position}", f"at position {position}"), position)


class RunError(CharlmError):
    """A run or checkpoint that is missing, damaged or of another kind."""

    exit_code = 4

    @classmethod
    def of_ids(cls, least: int, most: int, vocab_size: int) -> RunError:
        """Ids from `least` to `most` were put before a model that does not have them all."""
        return cls(
            f"ids from {least} to {most} do not fit a vocabulary of {vocab_size}: "
            "this text was encoded for another model"
        )


class OutputError(CharlmError):
    """A file that cannot be written."""

    exit_code = 5


class DivergedError(CharlmError):
    """Training that stayed non-finite or exploding after its retries."""

    exit_code = 6


class RunInUseError(CharlmError):
    """A run folder that another live process holds."""

    exit_code = 7


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the processor or a device; torch has an error of its own for either."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    names = {cls.__name__ for cls in type(error).__mro__}
    return "OutOfMemoryError" in names or (
        isinstance(error, RuntimeError) and "alloc" in str(error) and "memory" in str(error)
    )
