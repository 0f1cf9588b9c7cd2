"""More than there is time or memory for: endless texts, very long prompts, models that do not fit."""

from __future__ import annotations

import os
import resource
import signal

from bad_lines import line
from counting import Asked, Count, resident
from place import MEMORY, Place, made
from started import TOO_LONG

MEBIBYTE = 1 << 20
# What a text may cost beside the model: buffers, and what the allocator keeps.
FLAT = 32 * MEBIBYTE


def amounts(asked: Asked) -> Count:
    """Each in a process of its own, whose memory is looked at."""
    count = Count(
        what="endless texts, long prompts, models that do not fit",
        promise="memory stays flat and Ctrl-C ends it; or exit 5 that says how much is needed",
    )
    with made(asked.folder) as place:
        _endless(count, place, asked.of(2_000_000, 20_000))
        for characters in () if asked.quick else (10_000, 1_000_000):
            _long_prompt(count, place, characters)
        for changes in () if asked.quick else ({"hidden_size": "40000"}, {"hidden_size": "30000", "layers": "64"}):
            _too_large(count, place, changes)
    return count


def _endless(count: Count, place: Place, characters: int) -> None:
    with count.attempt(f"--length {10**12}, {characters} of them read"):
        process = place.start(line("generate", {"length": str(10**12), "engine": "auto"}))
        assert process.stdout is not None
        seen = []
        for share in (4, 1):
            process.stdout.read(characters // share)
            seen.append(resident(process.pid))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TOO_LONG)
        assert seen[1] - seen[0] < FLAT, f"{seen[0]:,} bytes, then {seen[1]:,}"
        assert process.returncode == 130, errors
        assert b"Traceback" not in errors, errors


def _long_prompt(count: Count, place: Place, characters: int) -> None:
    """The text is its prompt and what follows; the memory that of a short one and of the text itself."""
    prompt = ("the cat sat on a mat and saw a rat\n" * (characters // 35 + 1))[:characters]
    with count.attempt(f"a prompt of {characters} characters"), place.open():
        peaks = []
        for text in ("the", prompt):
            (place.folder / "prompt.txt").write_text(text, encoding="utf-8")
            with (place.folder / "prompt.txt").open("rb") as given, (place.folder / "out").open("w+b") as out:
                process = place.start(line("generate", {"prompt": "-", "engine": "auto"}), stdin=given, stdout=out)
                _, status, used = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                out.seek(0)
                assert process.returncode == 0, process.stderr.read() if process.stderr else b""
                assert out.read().decode("utf-8", "replace").startswith(text)
            peaks.append(used.ru_maxrss * 1024)
        # the text, its ids and their row in the model's own type
        assert peaks[1] - peaks[0] < FLAT + 32 * characters, f"{peaks[0]:,} bytes, and {peaks[1]:,} with the prompt"


def _too_large(count: Count, place: Place, changes: dict[str, str | None]) -> None:
    """Memory runs out before any of it is used: addresses are limited, as a container does it."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    with count.attempt(f"train with {changes}"):
        process = place.start(line("train", changes), preexec_fn=limited)
        _, errors = process.communicate(timeout=TOO_LONG)
        text = errors.decode("utf-8")
        assert process.returncode == 5, text
        assert "this training needs about " in text, text
        assert "try --hidden-size " in text, text
        assert not place.tidied(), "something was left behind"
