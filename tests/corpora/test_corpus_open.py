"""Documents joined, measured, split and cut into pieces."""

import errno
import hashlib
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm import timing
from charlm.config import CorpusConfig
from charlm.corpora import corpus as corpus_module
from charlm.corpora import get_corpus, open_corpus, sources
from charlm.corpora.corpus import pieces_of
from charlm.corpora.patterns import matches
from charlm.errors import ConfigError, CorpusError


def opened(*paths, **settings):
    return open_corpus(CorpusConfig(corpus=tuple(map(str, paths)), **settings))


def text_of(corpus, part="all"):
    return "".join(corpus.chunks(part))


@pytest.fixture
def folder(tmp_path):
    """Four texts in a folder, and what should not be taken for one."""
    files = {"b.txt": "bee\n", "a/z.txt": "zed", "a.txt": "ay", "a/empty.txt": "", "c.md": "sea\n", ".hidden.txt": "no"}
    for name, text in {**files, ".git/config.txt": "no"}.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "folder" / "broken-link.txt").symlink_to("nowhere")
    return tmp_path / "folder"


def test_a_folder_in_name_order(folder):
    corpus = opened(folder)
    assert text_of(corpus) == "zed\nay\nbee\nsea\n"
    assert corpus.measure().documents == 4
    assert corpus.name == "folder"


@pytest.mark.parametrize(
    ("include", "text"),
    [
        (("*.txt",), "zed\nay\nbee\n"),
        (("*.md", "a.txt"), "ay\nsea\n"),
        (("a/*",), "zed"),
        (("**/z.*",), "zed"),
        ((".hidden*",), "no"),
    ],
)
def test_include(folder, include, text):
    assert text_of(opened(folder, include=include)) == text


def test_minutes_do_not_count_the_fetching(monkeypatch):
    now = [0.0]

    def slow(*arguments, **options):
        now[0] += 30.0
        raise CorpusError("no connection")

    monkeypatch.setattr(timing, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(sources, "get_corpus", slow)
    monkeypatch.setattr(sources, "find_installed", lambda recipe: None)
    begun = timing.counted_time()
    with pytest.raises(CorpusError, match="no connection"):
        open_corpus(CorpusConfig(corpus=("shakespeare",)), fetch=True)
    assert (now[0], timing.counted_time()) == (30.0, begun)


def test_what_charlm_wrote_itself_is_no_text(folder):
    """A training on ``.`` would read its own run, and could not be resumed."""
    for name, files in {"checkpoints/a": ("run.json", "tokenizer.json"), "s": ("sweep.json", "lock")}.items():
        (folder / name / "steps" / "step-00000001").mkdir(parents=True)
        for file in (*files, "metrics.jsonl", "steps/step-00000001/weights.safetensors"):
            (folder / name / file).write_bytes(b"\xff\xa0")
    (folder / "mine").mkdir()
    (folder / "mine" / "run.json").write_text("a text of that name")
    corpus = opened(folder)
    assert "a text of that name" in text_of(corpus)
    assert corpus.measure().documents == 5
    (notice,) = corpus.notices
    assert notice == f"left out, for charlm wrote it: '{folder}/checkpoints/a' and 1 more"


def test_links_to_folders_are_told(folder, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "b.txt").write_text("elsewhere")
    (folder / "link").symlink_to(tmp_path / "real")
    (folder / "file.txt").symlink_to(tmp_path / "real" / "b.txt")
    corpus = opened(folder)
    assert text_of(corpus).count("elsewhere") == 1
    assert corpus.notices == (f"links to folders are not followed, name what they lead to: '{folder}/link'",)
    assert text_of(opened(folder / "link")) == "elsewhere"


def test_what_may_not_be_looked_at_is_not_said_to_be_absent(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(sources.os, "lstat", refuse)
    with pytest.raises(CorpusError, match=r"^cannot read 'locked/x\.txt': Permission denied$"):
        opened("locked/x.txt")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("[+--]*", {"+a", ",a", "-a"}),
        ("[a-c]*", {"ab", "ca"}),
        ("[!a-c]*", {"+a", ",a", "-a", "]a", "^a", "da"}),
        ("[]^]*", {"]a", "^a"}),
        ("[a-]*", {"ab", "-a"}),
        ("[&&-~]?", {"ab", "ca", "da", "]a", "^a", "+a", ",a", "-a"}),
    ],
)
def test_sets_of_characters(pattern, names, recwarn):
    all_names = ["+a", ",a", "-a", "]a", "^a", "ab", "ca", "da"]
    assert {name for name in all_names if matches(name, pattern)} == names
    assert not recwarn.list


def test_include_that_fits_nothing(folder):
    with pytest.raises(CorpusError, match=r"no file in folder .* that matches '\*.c' or '\*.h'"):
        opened(folder, include=("*.c", "*.h"))
    corpus = opened(folder / "b.txt", include=("*.c",))
    assert corpus.notices == ("include has no effect: no folder is named",)


def test_files_join_in_name_order_whatever_the_order_given(folder):
    text = "zed\nay\nbee\n"
    paths = [folder / "b.txt", folder / "a.txt", folder / "a"]
    assert text_of(opened(*paths)) == text_of(opened(*reversed(paths))) == text
    corpus = opened(*paths, folder / "a" / "z.txt")
    assert text_of(corpus) == text
    assert len(corpus.notices) == 1
    assert "is there twice and counts once" in corpus.notices[0]
    assert corpus.name == "b+3-more"


@pytest.mark.parametrize(
    ("boundary", "text"), [(None, "ay\nbee\nsea\n"), ("", "aybee\nsea\n"), ("\n\n--\n", "ay\n\n--\nbee\n\n\n--\nsea\n")]
)
def test_boundary(folder, boundary, text):
    corpus = opened(folder / "a.txt", folder / "b.txt", folder / "c.md", boundary=boundary)
    assert text_of(corpus) == text
    assert corpus.measure().characters == len(text)


def test_facts(tmp_path):
    text = "Zwölf Boxkämpfer 👩\n" * 10
    (tmp_path / "input.txt").write_text(text, encoding="utf-8")
    facts = opened(tmp_path / "input.txt").measure()
    assert facts.characters == len(text)
    assert facts.bytes == len(text.encode())
    assert facts.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert facts.documents == 1
    assert facts.split == "90/5/5, contiguous"
    assert facts.parts == {"train": (0, 171), "validation": (171, 180), "test": (180, 190)}


@pytest.mark.parametrize("length", range(1, 21))
@pytest.mark.parametrize("split", [None, "90/10", "100"])
def test_tiny_texts(tmp_path, length, split):
    text = "abcdefghij\nklmnopqrstuv"[:length]
    (tmp_path / "t").write_text(text)
    corpus = opened(tmp_path / "t", split=split)
    assert "".join(text_of(corpus, part) for part in corpus.measure().parts) == text
    assert list(corpus.measure().parts) == ["train", "validation", "test"][: 3 if split is None else 2]


@pytest.mark.parametrize(("content", "message"), [(b"", "is empty"), (b" \n\t\r\n", "holds white space only")])
def test_nothing_to_read(tmp_path, content, message):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        opened(tmp_path / "t").measure()


def test_parts_that_are_not_there(tmp_path):
    (tmp_path / "t").write_text("text")
    with pytest.raises(CorpusError, match="the split 90/10, contiguous has no test part"):
        list(opened(tmp_path / "t", split="90/10").chunks("test"))
    with pytest.raises(ConfigError, match=r"no part 'tran'.*did you mean train"):
        list(opened(tmp_path / "t").chunks("tran"))
    with pytest.raises(ConfigError, match="split must be"):
        opened(tmp_path / "t", split="90/20")


@given(st.lists(st.text("ab\n", max_size=7), max_size=8), st.integers(1, 9))
def test_pieces(texts, size):
    pieces = list(pieces_of(texts, size))
    assert "".join(pieces) == "".join(texts)
    assert all(0 < len(piece) <= size for piece in pieces)
    assert all(piece.endswith("\n") or "\n" not in piece for piece in pieces[:-1])


@pytest.mark.parametrize("kept", [0, 10**9])
def test_chunks_are_the_parts(tmp_path, monkeypatch, kept):
    monkeypatch.setattr(corpus_module, "KEPT", kept)
    monkeypatch.setattr(corpus_module, "PIECE", 1000)
    monkeypatch.setattr("charlm.corpora.reading.BLOCK", 777)
    text = "".join(f"line {number} of ünïcode\n" for number in range(1000))
    (tmp_path / "t").write_text(text, encoding="utf-8")
    corpus = opened(tmp_path / "t")
    for part, (start, end) in {"all": (0, len(text)), **corpus.measure().parts}.items():
        assert text_of(corpus, part) == text[start:end]
        assert max(map(len, corpus.chunks(part))) <= 1000
    two = zip(corpus.chunks("all"), corpus.chunks("all"), strict=True)
    assert all(first == second for first, second in two)


@pytest.mark.parametrize(("rare", "in_memory"), [("b", True), ("é", True), ("☃", False), ("😀", False)])
def test_what_is_kept_in_memory_is_counted_as_it_lies_there(tmp_path, monkeypatch, rare, in_memory):
    """A character outside of Latin-1 makes two or four bytes of each of its piece."""
    monkeypatch.setattr(corpus_module, "KEPT", 15_000)
    monkeypatch.setattr("charlm.corpora.reading.BLOCK", 1000)
    path = tmp_path / "t"
    path.write_text(("a" * 990 + rare) * 10, encoding="utf-8")
    corpus = opened(path)
    corpus.measure()
    path.unlink()
    if in_memory:
        assert text_of(corpus, "all") == ("a" * 990 + rare) * 10
    else:
        with pytest.raises(CorpusError, match="cannot read"):
            text_of(corpus, "all")


def test_a_corpus_larger_than_what_it_may_use(tmp_path):
    """126 MB of text through a process whose memory may grow by 40 MB."""
    path = tmp_path / "large.txt"
    with open(path, "wb") as file:
        for _ in range(30):
            file.write(b"all work and no play\n" * 200_000)
    program = f"""if True:
        import resource, sys
        from charlm.config import CorpusConfig
        from charlm.corpora import corpus, open_corpus
        corpus.KEPT = 2**20
        corpus = open_corpus(CorpusConfig(corpus=({str(path)!r},)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        total = sum(map(len, corpus.chunks("all")))
        print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    total, grown = map(int, done.stdout.split())
    assert total == path.stat().st_size
    assert grown * 1024 < 40e6


def install(server, recipes, name, members, rest):
    content = recipes.tar(members)
    source = recipes.url_source(server.serve(f"/{name}.tar.gz", content), content, 'name = "d"\nmembers = ["*"]')
    recipes.write(name, source=source, rest=rest)
    get_corpus(name, allow_loopback_http=True)


def test_splits_by_document(server, recipes, tmp_path):
    by_document = '[split]\nvalidation = ["d/a"]\ntest = ["d/b"]\nunit = "{}"\n'
    install(server, recipes, "one", {"a": b"1a", "b": b"1b", "c": b"1c"}, by_document.format("plays"))
    install(server, recipes, "two", {"a": b"2a", "b": b"2b", "c": b"2c"}, by_document.format("plays"))
    install(server, recipes, "flat", {"a": b"3a"}, '[split]\nshares = "50/50"\n')
    (tmp_path / "own.txt").write_text("own")

    one = opened("one").measure()
    assert (one.split, one.parts) == (
        "by document: 1/1/1 plays",
        {"train": (0, 3), "validation": (3, 6), "test": (6, 9)},
    )
    both = opened("one", "two")
    assert {part: text_of(both, part) for part in both.measure().parts} == {
        "train": "1c\n2c\n",
        "validation": "1a\n2a\n",
        "test": "1b\n2b\n",
    }
    assert both.measure().split == "by document: 2/2/2 plays"
    assert both.name == "one+two"
    marked = opened("one", boundary="#\n")
    assert {part: text_of(marked, part) for part in marked.measure().parts} == {
        "train": "1c\n#\n",
        "validation": "1a\n#\n",
        "test": "1b\n",
    }
    assert opened("one", split="50/50").measure().split == "50/50, contiguous"
    assert opened("flat").measure().split == "50/50, contiguous"
    assert opened("one", "flat").measure().split == "90/5/5, contiguous"
    mixed = opened(tmp_path / "own.txt", "one")
    assert (text_of(mixed), mixed.measure().split) == ("1c\n1a\n1b\nown", "90/5/5, contiguous")


def test_a_file_of_a_corpus_name_is_told_apart(server, recipes, tmp_path):
    install(server, recipes, "one", {"a": b"text"}, "")
    (tmp_path / "work" / "one").write_text("file")
    corpus = opened("one")
    assert text_of(corpus) == "text\n"
    assert corpus.notices == ("'one' is the named corpus; for the file or folder write './one'",)
    assert text_of(opened("./one")) == "file"
