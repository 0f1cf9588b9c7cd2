"""Bad input, on every command and for every option that click knows of: one line, an exit code, nothing lost.

Commands run in this process; a sample of the same lines runs in processes of their own. The lines are in
bad_lines.py, texts in bad_texts.py, paths in bad_paths.py, amounts in bad_amounts.py.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterable, Iterator

import bad_amounts
import bad_paths
import bad_texts
from bad_lines import COMMANDS, GOOD, NEVER_A_NUMBER, NEVER_WHOLE, VALUES, flags, kind_of_number, line, options, word_of
from counting import Asked, Count, main
from inside import charlm
from place import ONE_LINE, attempt, chosen, made
from started import charlm as charlm_started

from charlm.config import SECTIONS, Setting, settings_of
from charlm.config.settings import LARGEST

# With these a command does more than there is time for, as it should.
ENDLESS = ("length", "samples", "steps", "epochs", "minutes", "trials")
# Commands that are quick in themselves.
LIGHT = ("tokenize", "corpora check", "corpora show", "runs show", "runs export-config", "config show", "completion")

Line = tuple[str, str, str]  # command, parameter, value


def lines(names: Iterable[str] = COMMANDS) -> list[Line]:
    """Every value for every parameter of the commands."""
    parameters = [(name, str(one.name)) for name in names for one in options(COMMANDS[name])]
    return [(name, parameter, value) for name, parameter in parameters for value in VALUES]


def number_lines() -> Iterator[Line]:
    """What is no number, for every parameter that is one."""
    for name, command in COMMANDS.items():
        for parameter in options(command):
            kind = kind_of_number(parameter)
            for value in {int: NEVER_WHOLE, float: NEVER_A_NUMBER}.get(kind, ()) if kind else ():
                yield name, str(parameter.name), value


def values(asked: Asked) -> Count:
    """Any value for any parameter, every second time with --json where there is such an option."""
    count = Count(what="nonsense for every parameter of every command", promise=ONE_LINE)
    with made(asked.folder) as place:
        with count.attempt("every command is tried"):
            assert GOOD.keys() == COMMANDS.keys()
        if not asked.quick:
            charlm(*line("train", {}), limit=60)  # torch comes once, and is nobody's slowness
            place.tidied()
        found = random.Random(asked.seed).sample(lines(LIGHT if asked.quick else COMMANDS), asked.of(8000, 30))
        for number, (name, parameter, value) in enumerate(found):
            changes: dict[str, str | None] = {parameter: value}
            if number % 2 and "json" in flags(COMMANDS[name]) and parameter != "output":
                changes["json"] = ""
            attempt(count, place, line(name, changes), endless=parameter in ENDLESS)
        with count.attempt("the cache in the end"):
            assert not place.leftovers()
    count.notes["parameters"] = len({(name, parameter) for name, parameter, _ in lines()})
    return count


def numbers(asked: Asked) -> Count:
    """What is no number is refused by name; and each setting takes exactly the range that it says it takes."""
    count = Count(
        what="what is no number, and the ends of every range", promise="exit 2, naming the flag; no value off"
    )
    with made(asked.folder) as place:
        for name, parameter, value in chosen(number_lines(), asked, 60):
            flag = next(word_of(one) for one in options(COMMANDS[name]) if one.name == parameter)
            for ended in attempt(count, place, line(name, {parameter: value})):
                with count.attempt(f"charlm {name} {flag}={value!r:.60}: the message"):
                    assert ended.code == 2, f"exit {ended.code}: {ended.errors}"
                    assert flag in ended.error, ended.error
        for flag, value, taken in chosen(ends(), asked, 20):
            for ended in attempt(count, place, ["config", "show", f"{flag}={value}"]):
                with count.attempt(f"charlm config show {flag}={value}: taken or not"):
                    assert (ended.code == 0) == taken, f"exit {ended.code}: {ended.error}"
    return count


def ends() -> Iterator[tuple[str, str, bool]]:
    """The first and last value of every setting's range, and the next ones outside it: flag, value, whether taken."""
    for section in SECTIONS.values():
        for one in settings_of(section).values():
            if one.type in (int, float):
                for value, taken in _ends_of(one):
                    yield "--" + one.name.replace("_", "-"), repr(value), taken


def _ends_of(one: Setting) -> Iterator[tuple[float, bool]]:
    low = one.minimum if one.minimum is not None else one.above
    high = one.maximum if one.maximum is not None else one.below
    assert low is not None, f"{one.name} has no least value"
    if one.type is int:
        largest = LARGEST if high is None else int(high)
        yield from [(int(low), True), (int(low) - 1, False), (largest, True), (largest + 1, False)]
        return
    yield float(low), one.minimum is not None
    yield math.nextafter(low, -math.inf), False
    yield math.nextafter(low, math.inf), True
    if high is None:
        yield sys.float_info.max, True
    else:
        yield float(high), one.maximum is not None
        yield math.nextafter(high, math.inf), False
        yield math.nextafter(high, -math.inf), True


def variables(asked: Asked) -> Count:
    """The same nonsense in the environment, which is asked before a command does anything."""
    count = Count(what="nonsense in CHARLM_ variables", promise="exit 2, naming the variable")
    kinds = {one.name: one.type for section in SECTIONS.values() for one in settings_of(section).values()}
    bad = [(name, value) for name, kind in kinds.items() if kind in (int, float) for value in NEVER_A_NUMBER]
    with made(asked.folder) as place:
        for name, value in chosen(bad, asked, 10):
            with bad_paths.variable(f"CHARLM_{name.upper()}", value):
                for ended in attempt(count, place, ["config", "show"]):
                    with count.attempt(f"CHARLM_{name.upper()}={value!r:.60}: the message"):
                        assert ended.code == 2
                        assert f"CHARLM_{name.upper()}" in ended.error, ended.error
    return count


def processes(asked: Asked) -> Count:
    """Lines of the other parts, each in a process of its own, which is what a user starts."""
    count = Count(what="the same in processes of their own", promise=ONE_LINE)
    draws = random.Random(asked.seed)
    with made(asked.folder) as place:
        # what a system call cannot carry, and what has no end of its own, is left to the other parts
        found = [one for one in lines() if one[1] not in ENDLESS and "\ud800" not in one[2]]
        for name, parameter, value in draws.sample(found, asked.of(300, 2)):
            words = line(name, {parameter: value})
            with count.attempt(" ".join(["charlm", *(ascii(word)[:60] for word in words)])):
                started = charlm_started(place.specimen, *words)
                new = place.tidied()
                assert not new or started.code == 0, f"left behind: {new}"
    return count


PARTS = {
    "values": values,
    "numbers": numbers,
    "variables": variables,
    "texts": bad_texts.texts,
    "prompts": bad_texts.prompts,
    "paths": bad_paths.paths,
    "places": bad_paths.places,
    "amounts": bad_amounts.amounts,
    "processes": processes,
}

if __name__ == "__main__":
    sys.exit(main("bad_input", PARTS, __doc__))
