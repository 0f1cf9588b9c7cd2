"""The real command on a real (pseudo) terminal and in a pipe: what reaches it, byte for byte."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata

import pytest

from charlm.__main__ import main
from charlm.api import load
from charlm.cli.screen import Screen
from charlm.cli.signals import stop_requests
from charlm.config import SamplingConfig
from charlm.generation import generate

# What we and rich may write ourselves: colours, cursor off and on, up, erase, to the start of the line.
OURS = re.compile("\x1b\\[[0-9;]*m|\x1b\\[\\?25[lh]|\x1b\\[[0-9]*[AK]|\x1b\\[2K|\r")


def on_terminal(arguments, environment, folder, size=(24, 80)):
    """Run charlm with all streams on a terminal of so many rows and columns; returns exit code and output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    command = [sys.executable, "-m", "charlm", *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder)
    os.close(theirs)
    output = b""
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # the last writer has gone
            break
        if not block:
            break
        output += block
    os.close(ours)
    return process.wait(), output.decode("utf-8")


def in_pipe(arguments, environment, folder, **options):
    command = [sys.executable, "-m", "charlm", *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, **options)


def assert_harmless(text):
    for character in text.replace("\r\n", "\n"):
        category = unicodedata.category(character)
        assert character in "\n\t" or category not in ("Cc", "Cf", "Cs", "Zl", "Zp"), repr(character)


GENERATE = ["generate", "--length", "400", "--seed", "3", "--temperature", "1"]


@pytest.mark.parametrize("extra", [[], ["--samples", "2"], ["--json"], ["--beam", "2"]], ids=" ".join)
def test_hostile_model_text_is_escaped_on_a_terminal(hostile_run, environment, tmp_path, extra):
    code, shown = on_terminal([*GENERATE, *extra, "--run", str(hostile_run)], environment, tmp_path)
    assert code == 0, shown
    assert_harmless(shown)
    if not extra:
        for word in ("\\x1b", "\\x9b", "\\u202e", "\\a", "\\r", "\\x00", "\\x7f", "☃", "😀", "é"):
            assert word in shown
        assert shown.endswith("\r\n")


def test_hostile_model_text_is_exact_in_a_pipe(hostile_run, environment, tmp_path):
    model = load(hostile_run)
    sampling = SamplingConfig(length=400, temperature=1.0)
    text = "".join(piece.text for piece in generate(model.runtime, model.tokenizer, sampling, 3))
    assert "\x1b" in text
    done = in_pipe([*GENERATE, "--run", str(hostile_run)], environment, tmp_path)
    assert done.stdout == text.encode("utf-8")
    assert done.stderr == b""
    record = json.loads(in_pipe([*GENERATE, "--json", "--run", str(hostile_run)], environment, tmp_path).stdout)
    assert (record["text"], record["seed"], record["ended_by"]) == (text, 3, "length")


def test_hostile_prompts_paths_and_texts_are_escaped(hostile_run, environment, tmp_path):
    for arguments in (
        ["tokenize", "\x1b]52;c;x\x07[/x]\u202e", "--run", str(hostile_run)],
        ["generate", "--prompt", "\x1b[2J\x01", "--run", str(hostile_run)],
        ["generate", "--run", "\x1b[2J[/x]\u202e"],
        ["train", "\x1b[2J[/x]\u202e.txt"],
        ["runs", "show", "\x9b31m"],
        ["config", "show", "--boundary", "\x1b[2J\u202e"],
        ["\x1b[2J"],
    ):
        _, shown = on_terminal(arguments, environment, tmp_path)
        assert shown.strip()
        assert_harmless(shown)


@pytest.mark.parametrize(("more", "code"), [((), 0), (("--max-copy", "20"), 3)])
def test_generate_imports_no_torch(hostile_run, environment, tmp_path, more, code):
    command = [sys.executable, "-X", "importtime", "-m", "charlm", *GENERATE, *more, "--run", str(hostile_run)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code
    assert ("max_copy needs the text that run hostile[x] was trained on" in done.stderr) == bool(code)
    modules = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "numpy" in modules
    assert not modules & {"torch", "rich"}


def endless(run, environment, folder):
    """A command that writes a text without end into a pipe."""
    arguments = ["generate", "--length", str(10**12), "--seed", "1", "--run", str(run)]
    command = [sys.executable, "-m", "charlm", *arguments]
    return subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_a_signal_ends_an_endless_text(hostile_run, environment, tmp_path, number, code):
    process = endless(hostile_run, environment, tmp_path)
    assert len(process.stdout.read(1000)) == 1000  # it streams
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (code, b"")


def test_a_reader_that_has_enough_ends_an_endless_text(hostile_run, environment, tmp_path):
    process = endless(hostile_run, environment, tmp_path)
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=20) == 141


TRAIN = ["--hidden-size", "8", "--layers", "1", "--batch-size", "2", "--window-length", "16", "--threads", "1"]
TRAIN += ["--steps", "6", "--evaluate-every", "2"]


@pytest.mark.parametrize(
    ("size", "setting"), [((24, 80), {}), ((24, 20), {"NO_COLOR": "1"}), ((24, 80), {"TERM": "dumb"})], ids=str
)
def test_training_on_a_terminal_draws_and_only_draws(hostile_text, environment, tmp_path, size, setting):
    where = environment | {"CHARLM_CACHE": str(tmp_path / "cache")} | setting
    code, shown = on_terminal(["train", str(hostile_text), *TRAIN, "--sample-every", "2"], where, tmp_path, size)
    assert code == 0, shown
    assert "charlm generate --run" in " ".join(shown.split())
    assert_harmless(OURS.sub("", shown))
    if "TERM" in setting:
        assert "\x1b" not in shown
        assert "step 6  validation" in shown
        return
    assert "100 %" in shown
    assert bool(re.search("\x1b\\[[0-9;]*3[0-9]m", shown)) == ("NO_COLOR" not in setting)
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1  # the cursor comes back


def test_in_a_pipe_training_says_all_on_standard_error(hostile_text, environment, tmp_path):
    where = environment | {"CHARLM_CACHE": str(tmp_path / "cache")}
    done = in_pipe(["train", str(hostile_text), *TRAIN], where, tmp_path)
    assert (done.returncode, done.stdout) == (0, b"")
    assert_harmless(done.stderr.decode())
    assert b"\xe2\x94\x81" not in done.stderr  # no bars
    assert b"validation" in done.stderr


def test_sigterm_saves_a_training(hostile_text, environment, tmp_path):
    where = environment | {"CHARLM_CACHE": str(tmp_path / "cache")}
    arguments = ["train", str(hostile_text), *TRAIN, "--steps", "100000000", "--run", "long"]
    command = [sys.executable, "-m", "charlm", *arguments]
    process = subprocess.Popen(command, env=where, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    metrics = tmp_path / "checkpoints" / "long" / "metrics.jsonl"
    while not metrics.exists():
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert b"charlm train --resume --run long" in err
    assert b"Traceback" not in err
    assert json.loads(metrics.read_text().splitlines()[-1])["reason"] == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_second_signal_ends_at_once_and_the_first_where_nothing_is_to_be_finished(number):
    asked = []

    def finish():
        asked.append(number)
        return True

    before = signal.getsignal(number)
    with stop_requests(finish) as received:
        os.kill(os.getpid(), number)
        assert (asked, received.exit_code) == ([number], 128 + number)
        with pytest.raises(SystemExit, match=str(128 + number)):
            os.kill(os.getpid(), number)
    assert asked == [number]
    with stop_requests(lambda: False) as received, pytest.raises(SystemExit, match=str(128 + number)):
        os.kill(os.getpid(), number)
    assert received.exit_code == 128 + number
    assert signal.getsignal(number) == before


def test_a_terminal_that_is_closed_does_not_end_what_was_shown_on_it(monkeypatch):
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        screen = Screen()
        screen.open()
        os.close(ours)
        for line in ("a", "b"):
            screen.draw(lambda width, height, line=line: [[(line, "bold")]])
        screen.close()
        # raises where the descriptor still leads to the terminal that is gone
        stream.write("nothing of it waits for the interpreter's end")
        stream.flush()
        assert os.fstat(stream.fileno()).st_rdev == os.stat(os.devnull).st_rdev


def test_when_all_is_done_a_signal_is_no_exception(monkeypatch):
    """What the interpreter puts in order at its end could do nothing with one but print it."""
    monkeypatch.setattr("charlm.cli.entry.run", lambda arguments: 0)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # which main sets
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with pytest.raises(SystemExit, match="0"):
            main()
        after = [signal.getsignal(number) for number in numbers]
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    assert after == [signal.SIG_DFL, signal.SIG_DFL, signal.SIG_IGN]


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests(lambda: pytest.fail("asked to stop")) as received:
            os.kill(os.getpid(), signal.SIGHUP)
        assert received.exit_code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


SWALLOWED = """
import signal, sys, time
from charlm.cli import entry

class Gone:
    def __del__(self):
        signal.raise_signal(int(sys.argv[1]))

def run(arguments):
    entry._end_on_signals()
    Gone()
    time.sleep(20)
    return 0

entry.run = run
from charlm.__main__ import main
main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_that_python_ignores_the_exception_of_ends_the_command_all_the_same(environment, number, code):
    command = [sys.executable, "-c", SWALLOWED, str(int(number))]
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=15)
    assert (ended.returncode, ended.stderr) == (code, b"")


FAILED_BY_IT = """
import contextlib, signal, sys, types
from charlm.cli import entry

def make_context(*arguments):
    with contextlib.suppress(BaseException):
        signal.raise_signal(int(sys.argv[1]))
    raise RecursionError

entry.charlm = lambda: types.SimpleNamespace(make_context=make_context)
raise SystemExit(entry.run([]))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_library_that_fails_by_a_signal_that_it_swallowed_is_no_fault_to_be_told(environment, number, code):
    command = [sys.executable, "-c", FAILED_BY_IT, str(int(number))]
    ended = subprocess.run(command, env=environment, capture_output=True)
    assert (ended.returncode, ended.stderr) == (code, b"")


def test_other_exceptions_that_python_ignores_are_told_as_ever(environment):
    fails = "class Gone:\n    def __del__(self):\n        raise ValueError('mine')\n"
    code = f"import sys, charlm.__main__\nsys.unraisablehook = charlm.__main__.hear_again\n{fails}\nGone()"
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0
    assert ended.stderr.startswith("Exception ignored in: <function Gone.__del__")
    assert "ValueError: mine" in ended.stderr


def test_until_charlm_answers_signals_nothing_slow_is_imported(environment):
    """All that comes before `main` is a traceback of Python's when Ctrl-C is pressed."""
    told = "import sys; before = set(sys.modules); import charlm.__main__; print(*set(sys.modules) - before)"
    found = subprocess.run([sys.executable, "-c", told], env=environment, capture_output=True, text=True, check=True)
    assert set(found.stdout.split()) == {"__future__", "charlm", "charlm.__main__"}


IMPORTING = """
import sys
from charlm.cli import entry

def run(arguments):
    entry._end_on_signals()
    # as at the end of a training that is saved, where nothing is left to finish
    with stop_requests(lambda: False) if sys.argv[2] == "training" else contextlib.nullcontext():
        import struck
        time.sleep(20)
    return 0

import contextlib, time
from charlm.cli.signals import stop_requests
entry.run = run
from charlm.__main__ import main
main()
"""

STRUCK = """
import signal, sys, time
try:
    signal.raise_signal(int(sys.argv[1]))
    time.sleep(0.2)
except BaseException:
    sys.exit(77)
# in here, for once it is imported the signal may come before anything is said
print("imported", flush=True)
"""


@pytest.mark.parametrize("when", ["anywhere", "training"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_waits_until_a_module_is_imported(environment, tmp_path, number, code, when):
    """Native code of a half-loaded module would die of an exception, or a bare except take it."""
    (tmp_path / "struck.py").write_text(STRUCK)
    command = [sys.executable, "-c", IMPORTING, str(int(number)), when]
    path = os.pathsep.join((str(tmp_path), environment["PYTHONPATH"]))
    ended = subprocess.run(command, env=environment | {"PYTHONPATH": path}, capture_output=True, timeout=15)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, b"imported\n", b"")
