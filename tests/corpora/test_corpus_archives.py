"""Hostile and damaged archives install nothing, and nothing outside of the text folder is ever written."""

import gzip
import io
import stat
import tarfile
import zipfile

import pytest

from charlm.corpora import archives, get_corpus, patterns
from charlm.errors import CorpusError

GOOD = {"good.txt": b"good\n"}


def special(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member


def zip_with_mode(name, mode):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, "/etc/passwd")
    return buffer.getvalue()


def hostile(recipes):
    """Archive name, content, and what the refusal says."""
    tar, pack = recipes.tar, recipes.zip
    return {
        "dotdot.tar.gz": (tar({**GOOD, "../evil.txt": b"x"}), "leads out of the archive"),
        "dotdot-unlisted.tar.gz": (tar({**GOOD, "a/../../evil.bin": b"x"}), "leads out of the archive"),
        "absolute.tar.gz": (tar({**GOOD, "/tmp/evil.txt": b"x"}), "leads out of the archive"),
        "absolute-below-the-root.tar.gz": (tar({**GOOD, "a//evil.txt": b"x"}), "leads out of the archive"),
        "absolute-below-the-root.zip": (pack({**GOOD, "a//evil.txt": b"x"}), "leads out of the archive"),
        "dotdot.zip": (pack({**GOOD, "a/../../evil.txt": b"x"}), "leads out of the archive"),
        "absolute.zip": (pack({**GOOD, "/evil.txt": b"x"}), "leads out of the archive"),
        "drive.zip": (pack({**GOOD, "C:evil.txt": b"x"}), "leads out of the archive"),
        "symlink.tar.gz": (tar(GOOD, [special("a.txt", tarfile.SYMTYPE, "/etc/passwd")]), "is a link or a device"),
        "hardlink.tar.gz": (tar(GOOD, [special("a.txt", tarfile.LNKTYPE, "good.txt")]), "is a link or a device"),
        "device.tar.gz": (tar(GOOD, [special("a.txt", tarfile.CHRTYPE)]), "is a link or a device"),
        "fifo.tar.gz": (tar(GOOD, [special("a.txt", tarfile.FIFOTYPE)]), "is a link or a device"),
        "symlink.zip": (zip_with_mode("a.txt", stat.S_IFLNK | 0o777), "is a link or a device"),
        "twice.tar.gz": (tar(GOOD, [tarfile.TarInfo("good.txt")]), "is there twice"),
        "cut.tar.gz": (tar({"good.txt": bytes(range(256)) * 99})[:-40], "is damaged"),
        "cut.zip": (pack(GOOD)[:-30], "is damaged"),
        "empty.tar.gz": (b"", "is damaged"),
        "noise.tar.gz": (gzip.compress(b"no tar at all" * 100), "is damaged"),
        "none.tar.gz": (tar({"good.bin": b"x"}), r"no member '\*\*/\*.txt'"),
    }


def test_hostile_archives(server, recipes, tmp_path):
    for filename, (content, message) in hostile(recipes).items():
        source = recipes.url_source(server.serve(f"/{filename}", content), content, 'members = ["**/*.txt"]')
        recipes.write("demo", source=source)
        before = {path for path in tmp_path.rglob("*") if path.is_file()}
        with pytest.raises(CorpusError, match=message) as caught:
            get_corpus("demo", allow_loopback_http=True)
        assert filename in str(caught.value)
        assert "\n" not in str(caught.value)
        assert {path for path in tmp_path.rglob("*") if path.is_file()} == before, filename


def test_two_documents_of_one_name_are_refused(server, recipes):
    """The first would be lost without a word."""
    one, other = recipes.zip({"c.txt": b"first\n"}), recipes.zip({"b/c.txt": b"second\n"})
    sources = [
        recipes.url_source(server.serve(f"/{name}.zip", content), content, f'name = "{folder}"\nmembers = ["**/*.txt"]')
        for name, content, folder in (("one", one, "a/b"), ("other", other, "a"))
    ]
    recipes.write("demo", source="\n[[source]]\n".join(sources))
    with pytest.raises(CorpusError, match=r"two sources have a document 'a/b/c\.txt': give one another 'name'"):
        get_corpus("demo", allow_loopback_http=True)


def test_links_that_nobody_asked_for_do_no_harm(server, recipes):
    content = recipes.tar(GOOD, [special("docs/link", tarfile.SYMTYPE, "/etc/passwd")])
    source = recipes.url_source(server.serve("/demo.tar.gz", content), content, 'members = ["*.txt"]')
    recipes.write("demo", source=source)
    assert get_corpus("demo", allow_loopback_http=True).read_bytes() == b"good\n"


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_what_unpacks_to_too_much_is_refused(server, recipes, monkeypatch, kind):
    monkeypatch.setattr(archives, "LARGEST_CONTENT", 1000)
    content = getattr(recipes, kind)({"a.txt": b"a" * 600, "b.txt": b"b" * 600})
    name = "demo.tar.gz" if kind == "tar" else "demo.zip"
    recipes.write("demo", source=recipes.url_source(server.serve(f"/{name}", content), content, 'members = ["*"]'))
    with pytest.raises(CorpusError, match="makes more than 1000 bytes"):
        get_corpus("demo", allow_loopback_http=True)


def test_a_member_in_another_encoding_says_so(server, recipes):
    content = recipes.tar({"a.txt": "naïve".encode("latin-1")})
    source = recipes.url_source(server.serve("/demo.tar.gz", content), content, 'name = "d"\nmembers = ["*"]')
    recipes.write("demo", source=source)
    with pytest.raises(CorpusError, match=r"'d/a.txt': byte 0xEF at offset 2 is not UTF-8; the recipe's 'encoding'"):
        get_corpus("demo", allow_loopback_http=True)


@pytest.mark.parametrize(
    ("name", "pattern", "matches"),
    [
        ("a.c", "*.c", True),
        ("src/a.c", "*.c", False),
        ("src/a.c", "**/*.c", True),
        ("a.c", "**/*.c", True),
        ("src/deep/a.h", "src/**/*.[ch]", True),
        ("src/a.h", "src/**/*.[ch]", True),
        ("src/a.o", "src/**/*.[ch]", False),
        ("src/deep/any", "src/**", True),
        ("srcs/any", "src/**", False),
        ("a1", "a[!0-9]", False),
        ("ab", "a[!0-9]", True),
        ("a/", "a[!0-9]", False),
        ("a]", "a[]]", True),
        ("a[", "a[", True),
        ("a+b(c)", "a+b(c)", True),
        ("aXb", "a.b", False),
        ("line\nend.c", "*.c", True),
        ("A.c", "a.c", False),
        ("ab", "a?", True),
        ("a/", "a?", False),
    ],
)
def test_patterns(name, pattern, matches):
    assert patterns.matches(name, pattern) is matches
