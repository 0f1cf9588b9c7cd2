"""Bad input through the real entry: the exit code, and one line on standard error."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from charlm.cli import entry, failure
from charlm.cli.escape import escape_line
from charlm.errors import CharlmError, RunError

HOSTILE = "[/x]\x1b[2J\n\u202e:smile:"

BAD = [
    # arguments, exit code, words of the line
    (["trian"], 2, "no command 'trian'", "did you mean train?"),
    (["--nonsense"], 2, "no option --nonsense", "see charlm --help"),
    (
        ["compress", "tale.txt", "--output=\ud800"],
        2,
        r"'--output=\ud800' holds half of a surrogate pair at character 9",
    ),
    (["sample", "--temperature", "0.8"], 2, "no command 'sample'", "use charlm generate\n"),
    (["help", "train"], 2, "no command 'help'", "use charlm --help\n"),
    (["runs", "lst"], 2, "no command 'lst'", "did you mean list?"),
    (["train", "--hiden-size", "3"], 2, "no option --hiden-size", "did you mean --hidden-size?"),
    (["train", "--hidden-size", "0"], 2, "--hidden-size must be a whole number in [1, 65536], was 0"),
    (["train", "--hidden-size", "many"], 2, "--hidden-size must be a whole number", "was 'many'"),
    (["train", "--hidden-size", "9" * 5000], 2, "--hidden-size must be a whole number"),
    (["train", "--hidden-size"], 2, "'--hidden-size' requires an argument"),
    (["train", "--dropout", "nan"], 2, "--dropout must be a number in [0, 1)"),
    (["train", "--dropout", "1"], 2, "--dropout must be a number in [0, 1)"),
    (["train", "--device", "gpu"], 2, "--device must be one of auto, cpu, cuda, mps"),
    (["train", "--minutes", "0"], 2, "--minutes must be"),
    (["train", "--seed", "-1"], 2, "--seed must be a whole number in [0, 9223372036854775807]"),
    (["train", "--accept-change"], 2, "--accept-change goes with --resume"),
    (["train", "--preset", "huge"], 2, "no preset 'huge'"),
    (["train", "--config", "absent.toml"], 2, "cannot read 'absent.toml'"),
    (["train", "--config", HOSTILE], 2, escape_line(HOSTILE.replace("\n", " "))[:4]),
    *(
        ([*command, "--cell", "lsmt"], 2, "error: no cell 'lsmt': choose elman,", "(did you mean lstm?)")
        for command in (["train"], ["config", "show"])
    ),
    (["config", "show", "--optimizer", "adma"], 2, "error: no optimizer 'adma'", "did you mean adam"),
    (["config", "show", "--schedule", "cosin"], 2, "error: no schedule 'cosin'", "did you mean cosine?"),
    (["config", "show", "--tokenizer", "bpe"], 2, "tokenizer bpe needs a size"),
    (["config", "show", "--tokenizer", "chra"], 2, "no tokenizer 'chra'", "did you mean char?"),
    (["config", "show", "--split", "90/20"], 2, "90/20"),
    (["config", "show", "--learning-rate", "1e-310"], 2, "--learning-rate must be a number in [1e-30, 1e+06]"),
    (["config", "show", "--hidden-size", HOSTILE], 2, "[/x]"),
    (["generate", "--temperature", "nan"], 2, "--temperature must be a number >= 0"),
    (["generate", "--temperature", "inf"], 2, "--temperature must be a number >= 0"),
    (["generate", "--temperature", "-0.1"], 2, "--temperature must be a number >= 0"),
    (["generate", "--top-k", "0"], 2, "--top-k must be a whole number >= 1"),
    (["generate", "--top-p", "0"], 2, "--top-p must be a number in (0, 1]"),
    (["generate", "--top-p", "1.5"], 2, "--top-p must be a number in (0, 1]"),
    (["generate", "--seed", str(2**70)], 2, "--seed must be a whole number in [0, 9223372036854775807]"),
    (["generate", "--length", "-1"], 2, "--length must be a whole number >= 0"),
    (["generate", "extra"], 2, "unexpected extra argument (extra)", "see charlm generate --help"),
    (["generate"], 4, "no runs yet in", "charlm train makes one"),
    (["generate", "--run", HOSTILE], 4, "no run", "[/x]"),
    (["generate", "--run", "model.pt"], 4, "may run code"),
    (["tokenize", "--tokenizer", "byte", "--file", "/dev/zero"], 3, "'/dev/zero' is a device, not a text"),
    (["eval", "--run", "absent"], 4, "no run"),
    (["eval", "--engine", "numpy"], 2, "--engine must be one of auto, numba, torch, was 'numpy'"),
    (["compress", "x", "--engine", "torch"], 2, "--engine must be one of auto, numba, numpy, was 'torch'"),
    (["decompress", "x", "--engine", "torch"], 2, "--engine must be one of auto, numba, numpy, was 'torch'"),
    (["eval", "--encoding", "latin-1"], 2, "--encoding says how to read a TEXT"),
    (["runs", "show"], 4, "no runs yet in"),
    (["runs", "show", "/"], 4, "/ is no run folder: it has no run.json"),
    (["runs", "show", "a", "--run", "b"], 2, "give RUN or --run, not both, was 'a' and 'b'"),
    (["runs", "rm", "--yes"], 2, "which run?"),
    (["runs", "rm", "absent", "--yes"], 4, "no run"),
    (["runs", "export-config", "absent"], 4, "no run"),
    (["tokenize", "x", "--tokenizer", "chra"], 2, "no tokenizer 'chra'", "did you mean char?"),
    (["tokenize", "--file", "absent.txt", "--tokenizer", "char"], 3, "no corpus or file 'absent.txt'"),
    (["tokenize", "--file", "empty", "--tokenizer", "bpe:300", "--bytes"], 2, "bytes needs the tokenizer byte", "add"),
    (["tokenize", "x", "--newlines", "unix"], 2, "--newlines goes with --file"),
    (["tokenize", "x", "--run", "a", "--tokenizer", "byte"], 2, "give --run or --tokenizer, not both"),
    (["tokenize", "x", "--run", "a", "--min-count", "5"], 2, "--min-count goes with --tokenizer"),
    (["tokenize", "x", "--min-count", "5"], 2, "--min-count goes with --tokenizer"),
    (["score", "x", "--top", str(2**70)], 2, "--top must be a whole number >= 1, was 1180591620717411303424"),
    (["completion", "tcsh"], 2, "no shell 'tcsh': choose bash, fish, zsh"),
    (["completion"], 2, "missing argument"),
]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("CHARLM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(entry, "_end_on_signals", lambda: None)
    monkeypatch.setattr(entry.console, "prepare_streams", lambda: None)
    monkeypatch.setattr(entry.console, "discard_output", lambda: None)


@pytest.mark.parametrize(("arguments", "code", "words"), [(a, c, w) for a, c, *w in BAD], ids=lambda x: str(x)[:60])
def test_bad_input_is_one_line_and_a_code(arguments, code, words, capsys):
    assert entry.run(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("charlm: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert len(err) < 2000
    assert err.rstrip("\n").isprintable(), repr(err)
    for word in words:
        assert word in err


def test_a_plan_is_refused_where_its_training_would_be(tmp_path, capsys):
    (tmp_path / "tale.txt").write_text("a cat sat. " * 200)
    (tmp_path / "checkpoints" / "mine").mkdir(parents=True)
    (tmp_path / "checkpoints" / "mine" / "run.json").write_text("")
    line = ["train", "tale.txt", "--steps", "1", "--run", "mine"]
    assert [entry.run([*line, *plan]) for plan in ([], ["--plan"])] == [4, 4]
    first, second = capsys.readouterr().err.splitlines()
    assert "mine is there already" in first
    assert second == first


def test_a_current_folder_that_is_gone_is_one_line(tmp_path, monkeypatch, capsys):
    """What torch loads would end the process there, with a line and a code of its own."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert entry.run(["runs", "list"]) == 2
    assert capsys.readouterr().err == "charlm: error: the current folder is not there any more: change to another one\n"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CHARLM_HIDDEN_SIZE", "0", "environment: hidden_size must be"),
        ("CHARLM_HIDEN_SIZE", "1", "did you mean CHARLM_HIDDEN_SIZE?"),
    ],
)
def test_bad_environment(variable, value, words, monkeypatch, capsys):
    monkeypatch.setenv(variable, value)
    assert entry.run(["config", "show"]) == 2
    err = capsys.readouterr().err
    assert words.replace("environment: ", "") in err
    assert "environment" in err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("foo = 3", "file mine.toml: no setting 'foo'"),
        ("dropout = 3", "file mine.toml: dropout must be a number in [0, 1), was 3"),
        ("steps = -5", "file mine.toml: steps must be"),
    ],
)
def test_a_settings_file_is_checked_before_a_run_is_resumed_with_it(line, words, capsys):
    Path("mine.toml").write_text(line)
    assert entry.run(["train", "--resume", "--run", "none", "--config", "mine.toml"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["train", "absent.txt"], 3),
        (["train", "--config", "absent.toml"], 2),
        (["sweep", "absent.txt", "--range", "layers=1,2"], 3),
    ],
    ids=str,
)
def test_what_can_be_refused_without_torch_does_not_wait_for_it(arguments, code):
    program = (
        "import sys; from charlm.cli.entry import run; code = run(sys.argv[1:])\n"
        "sys.exit('torch was imported' if 'torch' in sys.modules else code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert done.returncode == code, done.stderr


ERRORS = [
    (RunError("damaged"), 4, "damaged"),
    (CharlmError("what"), 1, "what"),
    (KeyboardInterrupt(), 130, ""),
    (click.Abort(), 130, ""),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
    (MemoryError(), 5, "--batch-size"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), 5, "--batch-size"),
    (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), 5, "--batch-size"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), 5, "--batch-size"),
    (PermissionError(errno.EACCES, "Permission denied", "/x/y"), 5, "/x/y: Permission denied"),
    (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError: division by zero (this is a fault of charlm"),
]


@pytest.mark.parametrize(("error", "code", "words"), ERRORS, ids=lambda x: repr(x)[:40])
def test_every_kind_of_error_has_its_code(error, code, words):
    found, message = failure.explain(error)
    assert found == code
    assert words in message
    assert bool(message) == bool(words)


def broken(*arguments, **keywords):
    raise ZeroDivisionError(f"by {HOSTILE}")


def test_a_fault_shows_its_traceback_with_debug_only(monkeypatch, capsys):
    monkeypatch.setattr("charlm.cli.layers.resolve_layers", broken)
    monkeypatch.setattr("charlm.cli.config.resolve_layers", broken)
    assert entry.run(["config", "show"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "run again with --debug" in err
    assert entry.run(["config", "show", "--debug"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "in broken" in err
    assert "\x1b" not in err


def charlm(*arguments, **keywords):
    environment = {n: v for n, v in os.environ.items() if not n.startswith("CHARLM_")}
    return subprocess.Popen(
        [sys.executable, "-m", "charlm", *arguments], env=environment, stderr=subprocess.PIPE, **keywords
    )


def test_a_reader_that_went_away_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    process = charlm("train", "--help", stdout=writer)
    os.close(writer)
    assert process.communicate()[1] == b""
    assert process.returncode == 141


def test_closed_standard_output_is_silent():
    process = charlm("config", "show", preexec_fn=lambda: os.close(1))
    assert process.communicate()[1] == b""
    assert process.returncode == 141


@pytest.mark.parametrize("arguments", [["--version"], ["train", "-h"], ["config", "show", "--json"]], ids=" ".join)
def test_a_full_disk_is_one_line(arguments):
    if not Path("/dev/full").exists():
        pytest.fail("this test needs /dev/full")
    with open("/dev/full", "wb") as full:
        process = charlm(*arguments, stdout=full)
        err = process.communicate()[1].decode()
    assert err == "charlm: error: cannot write to standard output: No space left on device\n"
    assert process.returncode == 5


@pytest.mark.parametrize(
    "setting",
    [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}, {"TERM": "dumb"}, {"NO_COLOR": "1"}],
    ids=str,
)
def test_the_same_bytes_in_any_locale(environment, setting, tmp_path):
    def run(*arguments):
        command = [sys.executable, "-m", "charlm", *arguments]
        return subprocess.run(command, env=environment | setting, cwd=tmp_path, capture_output=True)

    done = run("tokenize", "--tokenizer", "char", "naïve ☃ 😀")
    assert done.stdout.decode() == "n a ï v e ␣ ☃ ␣ 😀\n"
    assert done.stderr.decode() == "9 characters, 9 ids, char of 264\n"
    done = run("generate", "--run", "☃/😀")
    assert (done.returncode, done.stdout) == (4, b"")
    assert "☃/😀" in done.stderr.decode()
