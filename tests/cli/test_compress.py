"""compress and decompress through the real entry: files, pipes, figures, and what is never overwritten."""

import errno
import io
import json
import os
import sys
import tempfile
from types import SimpleNamespace

import pytest

from charlm.cli import console, entry, whole_file
from charlm.coding import figures
from charlm.errors import OutputError
from charlm.runtime import open_engine


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("CHARLM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(entry, "_end_on_signals", lambda: None)
    monkeypatch.setattr(entry.console, "prepare_streams", lambda: None)
    return tmp_path


@pytest.fixture
def charlm(capsysbinary, hostile_run):
    def run(command, *arguments, code=0):
        found = entry.run([command, *arguments, "--run", str(hostile_run)])
        run.out, run.err = capsysbinary.readouterr()
        assert found == code, run.err
        return run.out

    return run


def test_a_file_there_and_back(charlm, workplace, hostile_text):
    name = str(hostile_text)
    facts = charlm("compress", name).decode()
    assert facts.splitlines()[1].split()[0] == "text"
    assert b"to get it back keep step-00000001 of " in charlm.err
    assert "\x1b" not in facts
    hostile_text.rename(workplace / "kept")
    charlm("decompress", f"{name}.charlm")
    assert hostile_text.read_bytes() == (workplace / "kept").read_bytes()
    assert not [path for path in workplace.iterdir() if path.name.endswith("tmp")]


def test_the_figures_in_json(charlm, workplace, hostile_text):
    found = json.loads(charlm("compress", str(hostile_text), "--output", "x", "--json"))
    assert found["compressed_bytes"] == (workplace / "x").stat().st_size
    assert found["bytes"] == hostile_text.stat().st_size
    assert found["characters"] == 2000
    assert abs(found["compressed_bytes"] - found["evaluated_bytes"]) < 64 + 0.001 * found["compressed_bytes"]
    assert found["bits_per_character"] == 8 * found["compressed_bytes"] / 2000
    assert found["output"] == "x"


def test_what_the_vocabulary_leaves_out_is_counted_and_told(charlm, workplace, hostile_text):
    with hostile_text.open("a", encoding="utf-8") as file:
        file.write("QQQ")
    name = str(hostile_text)
    found = json.loads(charlm("compress", name, "--output", "x", "--json"))
    assert (found["characters"], found["dropped_characters"]) == (2003, 3)
    assert found["evaluated_bits_per_character"] == pytest.approx(8 * found["evaluated_bytes"] / 1999)
    assert "without what is kept beside (3 of the characters)" in charlm("compress", name).decode()
    charlm("eval", name, "--unknown", "drop")
    assert b"as the vocabulary has no such characters: 3 of 2,003; no figure speaks of them" in charlm.err


def test_through_pipes(charlm, monkeypatch):
    content = b"\xff\x00 \r\n" * 30
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    packed = charlm("compress", "-")
    assert b"text" in charlm.err  # the figures, for whoever looks
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(packed)))
    assert charlm("decompress", "-") == content
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert charlm("compress", "-", "--quiet") == packed
    assert charlm.err == b""


def test_no_room_for_what_can_be_read_once_is_told_as_that(charlm, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"text")))
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda buffering: io.FileIO("/dev/full", "wb"))
    assert charlm("compress", "-", code=5) == b""
    assert charlm.err.startswith(b"charlm: error: cannot keep '-'")
    assert charlm.err.endswith(b"while reading it: No space left on device\n")


def test_nothing_is_overwritten_without_force(charlm, workplace, hostile_text):
    (workplace / "there").write_text("mine")
    charlm("compress", str(hostile_text), "--output", "there", code=5)
    assert b"--force replaces it" in charlm.err
    assert (workplace / "there").read_text() == "mine"
    charlm("compress", str(hostile_text), "--output", "there", "--force")
    charlm("decompress", "there", "--output", "there", code=5)
    charlm("decompress", "there", "--output", "there", "--force")
    assert (workplace / "there").read_bytes() == hostile_text.read_bytes()


def test_a_link_stays_a_link_and_a_pipe_a_pipe(charlm, workplace, hostile_text):
    (workplace / "target").write_text("old")
    (workplace / "link").symlink_to("target")
    charlm("compress", str(hostile_text), "--output", "link", "--force")
    assert (workplace / "link").is_symlink()
    assert (workplace / "target").read_bytes().startswith(b"CLM1")
    charlm("compress", str(hostile_text), "--output", "/dev/null", "--force")
    assert not os.path.isfile("/dev/null")


def test_somebody_elses_file_that_appears_meanwhile_is_kept(workplace):
    def write():
        with whole_file.written("late", force=False, text=False) as out:
            out.write(b"ours")
            (workplace / "late").write_text("theirs")

    with pytest.raises(OutputError, match="cannot write late"):
        write()
    assert (workplace / "late").read_text() == "theirs"
    assert [path.name for path in workplace.iterdir()] == ["late"]


@pytest.mark.parametrize("error", [None, errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("force", [False, True])
def test_a_file_written_with_a_failing_or_last_call_is_old_or_new(workplace, every_file_call, force, error):
    old, place = b"old" if force else None, workplace / "here"
    place.mkdir()
    stranger = place / ".mine.tmp"

    def write():
        with whole_file.written(str(place / "x"), force=force, text=False) as out:
            out.write(b"new")
        return True

    def prepare():
        for path in place.iterdir():
            path.unlink()
        stranger.write_text("mine")
        if force:
            (place / "x").write_bytes(old)

    for result, problem in every_file_call(prepare, write, error):
        assert error is None or problem is None or isinstance(problem, OutputError)
        found = (place / "x").read_bytes() if (place / "x").exists() else None
        assert found in ((b"new",) if result else (old, b"new"))
        (place / "x").unlink(missing_ok=True)
        write()  # and nothing that is ours is left behind
        assert sorted(path.name for path in place.iterdir()) == [".mine.tmp", "x"]


def test_a_damaged_file_leaves_nothing(charlm, workplace, hostile_text):
    charlm("compress", str(hostile_text), "--output", "x.charlm")
    packed = bytearray((workplace / "x.charlm").read_bytes())
    packed[-30] ^= 4
    (workplace / "x.charlm").write_bytes(packed)
    charlm("decompress", "x.charlm", code=3)
    assert charlm.err.count(b"\n") == 2  # what it does, and the error
    assert b"'x.charlm' is damaged" in charlm.err
    assert not (workplace / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["compress", "absent"], 3, "cannot read absent: it is not there"),
        (["compress", "."], 3, "cannot read .: Is a directory"),
        (["compress", "a\0b"], 3, "cannot read"),
        (["compress", "/dev/zero"], 3, "'/dev/zero' is a device, not a text"),
        (
            ["compress", "x", "--output", "no/such/folder"],
            5,
            "cannot write no/such/folder: the folder no/such is not there",
        ),
        (["compress", "x", "--output", "/", "--force"], 5, "/ is a folder: name a file in it"),
        (["compress", "x", "--output", "."], 5, ". is a folder: name a file in it"),
        (["compress", "x", "--output", ""], 2, "a file to write has a name, was ''"),
        (["compress", ""], 3, "cannot read ''"),
        (["compress", "-", "--json"], 2, "cannot both go to standard output"),
        (["compress", "x", "--json", "--quiet"], 2, "--quiet leaves out the figures that --json prints"),
        (["decompress", "x"], 2, "does not end in .charlm"),
        (["decompress", "x", "--output", ""], 2, "a file to write has a name, was ''"),
        (["decompress", "x", "--output", "y"], 3, "'x' is not a text that this version of charlm compressed"),
    ],
    ids=lambda x: str(x)[:50],
)
def test_bad_input_is_one_line(charlm, workplace, arguments, code, words):
    (workplace / "x").write_text("some text")
    charlm(*arguments, code=code)
    assert charlm.out == b""
    lines = charlm.err.decode().splitlines()
    assert words in lines[-1]
    assert [line for line in lines if "error" in line] == lines[-1:]
    assert sorted(path.name for path in workplace.iterdir()) == ["x"]


def test_what_is_compressed_is_there_before_its_figures_are(charlm, hostile_text, monkeypatch):
    content = hostile_text.read_bytes()

    def broken(source, *arguments, **keywords):
        raise OutputError("no figures")

    monkeypatch.setattr(figures, "figures_of", broken)
    charlm("compress", str(hostile_text), code=5)
    hostile_text.unlink()
    charlm("decompress", f"{hostile_text}.charlm")
    assert hostile_text.read_bytes() == content


def test_a_terminal_gets_whole_characters(charlm, workplace, monkeypatch):
    (workplace / "x").write_bytes("Ünïcödé→\xff".encode() + b"\xe2\x86")
    charlm("compress", "x")
    monkeypatch.setattr(whole_file, "BUFFER", 1)
    monkeypatch.setattr(console, "is_terminal", lambda stream: True)
    assert charlm("decompress", "x.charlm", "--output", "-").decode() == "Ünïcödé→ÿ\\xe2\\x86\n"


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_threads_are_those_of_the_environment_as_everywhere(charlm, workplace, monkeypatch, command):
    monkeypatch.setenv("CHARLM_THREADS", "0")
    (workplace / "x.charlm").write_text("some text")
    charlm(command, "x.charlm", code=2)
    assert b"environment CHARLM_THREADS: threads must be a whole number in [1, 4096], was 0" in charlm.err


def test_the_figures_keep_to_the_threads_too(charlm, hostile_text, monkeypatch):
    asked = []

    def opened(*arguments, threads=None, **keywords):
        asked.append(threads)
        return open_engine(*arguments, threads=threads, **keywords)

    monkeypatch.setattr(figures, "open_engine", opened)
    charlm("compress", str(hostile_text), "--threads", "1")
    assert asked == [1]
