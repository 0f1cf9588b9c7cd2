"""`get_corpus` over a server on this machine: what arrives is what the recipe pins, or nothing changes."""

import errno
import gzip
import json
import os
import shutil
import stat
import subprocess
import sys

import pytest

from charlm.config import CorpusConfig
from charlm.corpora import get_corpus, is_fetched, load_recipe, open_corpus
from charlm.corpora.fetch import Downloads
from charlm.corpora.install import find_installed
from charlm.corpora.workplace import workplace
from charlm.errors import CorpusError, OutputError

PLAY = "Once upon a time.\nThere was a test.\n" * 40


def fetch(name, **options):
    return get_corpus(name, allow_loopback_http=True, **options)


class Recorded:
    def __init__(self):
        self.told = []

    def start(self, what, total):
        self.told.append(["start", what, total])

    def advance(self, n):
        self.told.append(["advance", n])

    def finish(self):
        self.told.append(["finish"])


def test_a_plain_text_by_address(server, recipes):
    content = PLAY.encode()
    url = server.serve("/demo.txt", content)
    recipes.write("demo", source=recipes.url_source(url, content))
    assert not is_fetched(load_recipe("demo"))
    progress = Recorded()
    path = fetch("demo", progress=progress)
    assert path.read_bytes() == content
    assert is_fetched(load_recipe("demo"))
    assert progress.told[0] == ["start", "fetching demo.txt", len(content)]
    assert sum(told[1] for told in progress.told[1 : progress.told.index(["finish"])]) == len(content)
    facts = open_corpus(CorpusConfig(corpus=("demo",))).measure()
    assert (facts.characters, facts.sha256) == (len(PLAY), recipes.sha256(content))
    assert facts.split == "90/5/5, contiguous"


def test_gzip_and_encoding(server, recipes):
    content = gzip.compress("Füße\n".encode("latin-1"))
    url = server.serve("/demo.txt.gz", content)
    recipes.write("demo", source=recipes.url_source(url, content, 'encoding = "latin-1"'))
    assert fetch("demo").read_text(encoding="utf-8") == "Füße\n"


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_only_the_listed_members_in_part_order(server, recipes, kind):
    members = {
        "top/b/two.txt": b"two",
        "top/a.txt": b"one\n",
        "top/c.txt": b"three\n",
        "top/skipped.txt": b"no",
        "top/setup.py": b"raise SystemExit",
        "other/d.txt": b"no",
    }
    content = getattr(recipes, kind)(members)
    url = server.serve(f"/demo.{'tar.gz' if kind == 'tar' else 'zip'}", content)
    source = recipes.url_source(url, content, 'name = "demo"\nroot = "top"\nmembers = ["**/*.txt"]\nexclude = ["sk*"]')
    rest = '[split]\nunit = "tales"\nvalidation = ["demo/a.txt"]\n'
    recipes.write("demo", source=source, rest=rest)
    assert fetch("demo").read_text() == "two\nthree\none\n"
    facts = open_corpus(CorpusConfig(corpus=("demo",))).measure()
    assert facts.parts == {"train": (0, 10), "validation": (10, 14)}
    assert facts.split == "by document: 2/1 tales"


def test_a_file_of_a_package(server, recipes):
    content = recipes.tar({"demo-1.0/a.txt": b"text\n"})
    server.serve("/files/demo-1.0.tar.gz", content)
    page = '<html><body><a href="/files/demo-1.0.tar.gz">demo-1.0.tar.gz</a></body></html>'
    server.serve("/simple/demo/", page.encode(), "text/html")
    source = (
        f'package = "demo"\nversion = "1.0"\nfilename = "demo-1.0.tar.gz"\nsha256 = "{recipes.sha256(content)}"\n'
        'root = "demo-1.0"\nmembers = ["*.txt"]'
    )
    path = recipes.write("demo", source=source)
    assert fetch("demo", index_url=f"{server.url}/simple/").read_bytes() == b"text\n"
    path.write_text(path.read_text().replace("demo-1.0.tar.gz", "demo-2.0.tar.gz"))
    with pytest.raises(CorpusError, match=r"has no file 'demo-2.0.tar.gz' of demo 1.0"):
        fetch("demo", index_url=f"{server.url}/simple/")
    path.write_text(path.read_text().replace('package = "demo"', 'package = "nothing"'))
    with pytest.raises(CorpusError, match="no project 'nothing'"):
        fetch("demo", index_url=f"{server.url}/simple/")


def cut_short(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1900")
    handler.end_headers()
    handler.wfile.write(b"a" * 1000)


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"a" * 65536)


def no_length(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "9" * 5000)
    handler.end_headers()
    handler.wfile.write(b"a")


def too_long(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(10**15))
    handler.end_headers()


def broken_chunks(handler):
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"zz\r\nnot a length")


def refused(handler):
    handler.send_error(503)


def silent(handler):
    handler.connection.close()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (cut_short, "cut short or malformed"),
        (broken_chunks, "cut short or malformed"),
        (endless, r"longer than the 2000 bytes .*\(max_bytes\)"),
        (too_long, r"longer than the 2000 bytes .*\(max_bytes\)"),
        (no_length, "cut short or malformed|should be 000"),
        (refused, "answered 503"),
        (silent, "no connection to host '127.0.0.1'"),
    ],
)
def test_a_bad_download_changes_nothing(server, recipes, answer, message):
    old = PLAY.encode()
    path = recipes.write("demo", source=recipes.url_source(server.serve("/old.txt", old), old))
    fetch("demo")
    server.answers["/new.txt"] = answer
    path.write_text(
        path.read_text().replace("/old.txt", "/new.txt").replace(recipes.sha256(old), "0" * 64) + "max_bytes = 2000\n"
    )
    before = recipes.tree()
    with pytest.raises(CorpusError, match=message) as caught:
        fetch("demo")
    assert "\n" not in str(caught.value)
    assert recipes.tree() == before


def test_another_file_than_the_pinned_one_changes_nothing(server, recipes):
    old = PLAY.encode()
    recipes.write("demo", source=recipes.url_source(server.serve("/demo.txt", old), old))
    fetch("demo")
    server.serve("/demo.txt", b"something else")
    path = recipes.write("demo", source=recipes.url_source(f"{server.url}/demo.txt", b"yet another"))
    before = recipes.tree()
    with pytest.raises(CorpusError, match="not the file that the recipe pins"):
        fetch("demo")
    assert recipes.tree() == before
    recipes.write("demo", source=recipes.url_source(f"{server.url}/demo.txt", b"something else"))
    assert fetch("demo").read_bytes() == b"something else\n"
    assert len(list((path.parent / "text").iterdir())) == 1, "the text of the recipe's earlier version is removed"


def test_more_documents_than_are_read_back_are_not_installed(server, recipes, monkeypatch):
    content = recipes.tar({f"{number}.txt": b"one" for number in range(9)})
    source = recipes.url_source(server.serve("/demo.tar.gz", content), content, 'name = "d"\nmembers = ["*"]')
    recipes.write("demo", source=source)
    before = recipes.tree()
    monkeypatch.setattr("charlm.corpora.install.LARGEST_RECORD", 500)
    with pytest.raises(CorpusError, match="9 documents are more than a corpus can have; nothing was installed"):
        fetch("demo")
    assert recipes.tree() == before


@pytest.mark.parametrize("pin", ['sha256 = "' + "1" * 64 + '"', "characters = 7"])
def test_a_text_other_than_pinned_is_not_installed(server, recipes, pin):
    content = PLAY.encode()
    source = recipes.url_source(server.serve("/demo.txt", content), content)
    recipes.write("demo", source=source, rest=f"[text]\n{pin}\n")
    before = recipes.tree()
    with pytest.raises(CorpusError, match=rf"\[text\]: the text made of the sources has {len(PLAY)} characters"):
        fetch("demo")
    assert recipes.tree() == before


def test_plain_http_is_refused(server, recipes):
    content = PLAY.encode()
    recipes.write("demo", source=recipes.url_source(server.serve("/demo.txt", content), content))
    with pytest.raises(CorpusError, match=r"plain http from '127\.0\.0\.1'"):
        get_corpus("demo")
    assert server.requests == []


def test_a_redirect_to_plain_http_elsewhere_is_refused(server, recipes):
    url = server.redirect("/demo.txt", "http://192.0.2.1/demo.txt")
    recipes.write("demo", source=recipes.url_source(url, b""))
    with pytest.raises(CorpusError, match=r"refused to fetch over plain http from '192.0.2.1'"):
        fetch("demo")


def test_a_redirect_from_https_to_plain_http_is_refused(server, recipes, tmp_path):
    """The real redirect of `requests`, its https answer made up."""
    import requests
    from requests.adapters import BaseAdapter

    class Https(BaseAdapter):
        def send(self, request, **options):
            response = requests.Response()
            response.status_code, response.url, response.request = 302, request.url, request
            response.headers["Location"] = server.serve("/demo.txt", b"text")
            response.raw = None
            response._content = b""
            return response

        def close(self):
            pass

    recipes.write("demo", source=recipes.url_source("https://example.invalid/demo.txt", b"text"))
    with Downloads() as downloads:
        downloads.session.mount("https://", Https())
        with pytest.raises(CorpusError, match=r"plain http from '127\.0\.0\.1'"):
            downloads.fetch(load_recipe("demo").sources[0], tmp_path / "file", Recorded())
    assert server.requests == []


def test_redirects_end(server, recipes):
    url = server.redirect("/demo.txt", f"{server.url}/demo.txt")
    recipes.write("demo", source=recipes.url_source(url, b""))
    with pytest.raises(CorpusError, match="TooManyRedirects"):
        fetch("demo")


def test_offline_is_one_clear_line(recipes):
    # a port of this machine that nothing listens on
    recipes.write("demo", source=recipes.url_source("http://127.0.0.1:9/demo.txt", b""))
    with pytest.raises(CorpusError, match=r"no connection to host '127.0.0.1' .*try again when you are online"):
        fetch("demo")
    with pytest.raises(CorpusError, match="not here: get it with: charlm corpora get demo"):
        open_corpus(CorpusConfig(corpus=("demo",)))


def test_a_folder_that_cannot_be_written(server, recipes):
    content = PLAY.encode()
    path = recipes.write("demo", source=recipes.url_source(server.serve("/demo.txt", content), content))
    (path.parent / "text").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*text"):
        fetch("demo")


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_full_disk_changes_nothing(server, recipes, monkeypatch, call):
    old = PLAY.encode()
    url = server.serve("/demo.txt", old)
    recipes.write("demo", source=recipes.url_source(url, old))
    fetch("demo")
    server.serve("/demo.txt", b"new text")
    recipes.write("demo", source=recipes.url_source(url, b"new text"))
    before = recipes.tree()

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(f"charlm.corpora.install.os.{call}", full)
        with pytest.raises(OutputError, match="No space left on device; nothing was installed"):
            fetch("demo")
    assert recipes.tree() == before
    assert fetch("demo").read_bytes() == b"new text\n"


@pytest.mark.parametrize("error", [None, errno.ENOSPC, errno.EIO])
def test_a_fetch_with_a_failing_or_last_call_changes_all_or_nothing(server, recipes, tmp_path, every_file_call, error):
    def serve(content):
        path = recipes.write("demo", source=recipes.url_source(server.serve("/demo.txt", content), content))
        return path.parent / "text", load_recipe("demo").key

    text, _ = serve(PLAY.encode())
    old = fetch("demo")
    shutil.copytree(text, tmp_path / "before")
    text, key = serve(PLAY.upper().encode())

    def prepare():
        shutil.rmtree(text)
        shutil.copytree(tmp_path / "before", text)

    seen = set()
    for result, problem in every_file_call(prepare, lambda: fetch("demo"), error):
        assert problem is None or error is None or isinstance(problem, OutputError | CorpusError), problem
        found = find_installed(load_recipe("demo"))
        seen.add(found is not None)
        assert result is None or found is not None
        assert found is None or found.path.read_text() == PLAY.upper()
        assert found is not None or old.read_text() == PLAY
        assert "nothing was installed" not in str(problem) or found is None
        assert fetch("demo").read_text() == PLAY.upper()
        assert [path.name for path in text.iterdir()] == [key]
    assert seen == {False, True}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{}", "application/vnd.pypi.simple.v1+json"),
        (b"{", "application/vnd.pypi.simple.v1+json"),
        (b'{"meta": {"api-version": "99.0"}, "name": "demo", "files": []}', "application/vnd.pypi.simple.v1+json"),
        (b"hello", "text/plain"),
    ],
)
def test_an_index_that_answers_nonsense(server, recipes, content, kind):
    server.serve("/simple/demo/", content, kind)
    source = f'package = "demo"\nversion = "1"\nfilename = "demo-1.zip"\nsha256 = "{"0" * 64}"\nmembers = ["*"]'
    recipes.write("demo", source=source)
    with pytest.raises(CorpusError, match=r"the package index answered what is no list|malformed"):
        fetch("demo", index_url=f"{server.url}/simple/")


def bomb(handler):
    """A hundred million characters in a hundred thousand."""
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(gzip.compress(b"a" * 10**8))


@pytest.mark.parametrize("answer", [endless, bomb])
def test_an_index_that_does_not_end(server, recipes, answer):
    server.answers["/simple/demo/"] = answer
    source = f'package = "demo"\nversion = "1"\nfilename = "demo-1.zip"\nsha256 = "{"0" * 64}"\nmembers = ["*"]'
    recipes.write("demo", source=source)
    with pytest.raises(CorpusError, match="the package index answered more than 64 MB about 'demo'"):
        fetch("demo", index_url=f"{server.url}/simple/")


def test_a_damaged_text_is_noticed_and_fetched_again(server, recipes):
    content = PLAY.encode()
    recipes.write("demo", source=recipes.url_source(server.serve("/demo.txt", content), content))
    path = fetch("demo")
    path.write_bytes(content[:-2] + b"X\n")
    with pytest.raises(CorpusError, match="text of corpus 'demo' is damaged: get it again"):
        open_corpus(CorpusConfig(corpus=("demo",))).measure()
    assert fetch("demo").read_bytes() == content
    path.write_bytes(content[:-2])
    assert not is_fetched(load_recipe("demo"))
    assert fetch("demo").read_bytes() == content
    (path.parent / "documents.json").write_text("{")
    assert not is_fetched(load_recipe("demo"))
    assert fetch("demo").read_bytes() == content


def test_fetched_twice_asks_once(server, recipes):
    content = PLAY.encode()
    recipes.write("demo", source=recipes.url_source(server.serve("/demo.txt", content), content))
    assert fetch("demo") == fetch("demo")
    assert server.requests == ["/demo.txt"]


def test_what_a_killed_fetch_left_is_removed(server, recipes):
    content = PLAY.encode()
    path = recipes.write("demo", source=recipes.url_source(server.serve("/demo.txt", content), content))
    text = path.parent / "text"

    def left_behind():
        # numbers of processes come again, in a container always the same ones
        for name in (f".fetching-{os.getpid()}-0", f".fetching-{os.getpid()}-7", ".fetching-1-0", "0123456789abcdef"):
            (text / name).mkdir(parents=True, exist_ok=True)
            (text / name / "download").write_text("half")

    left_behind()
    with workplace(text) as living:
        fetch("demo")
        assert {entry.name for entry in text.iterdir()} == {living.name, load_recipe("demo").key}
    left_behind()
    fetch("demo")  # it is here: nothing is fetched, but what lies about goes
    assert [entry.name for entry in text.iterdir()] == [load_recipe("demo").key]
    assert server.requests == ["/demo.txt"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_text_follows_the_umask(server, recipes, mask):
    content = PLAY.encode()
    recipes.write("demo", source=recipes.url_source(server.serve("/demo.txt", content), content))
    before = os.umask(mask)
    try:
        path = fetch("demo")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o777 & ~mask


def test_the_record_says_where_each_document_lies(server, recipes):
    content = recipes.tar({"b.txt": "zwölf\n".encode(), "a.txt": b"one"})
    source = recipes.url_source(server.serve("/demo.tar.gz", content), content, 'name = "d"\nmembers = ["*"]')
    recipes.write("demo", source=source)
    path = fetch("demo")
    record = json.loads((path.parent / "documents.json").read_text())
    text = path.read_bytes()
    assert {d["name"]: text[d["start"] : d["end"]].decode() for d in record["documents"]} == {
        "d/a.txt": "one\n",
        "d/b.txt": "zwölf\n",
    }


def test_the_room_is_cheap_to_import():
    heavy = ["requests", "pypi_simple", "pydantic", "urllib3", "numpy", "torch"]
    program = f"import sys, charlm.corpora\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_certificates_of_the_environment_are_used(tmp_path, monkeypatch):
    bundle = tmp_path / "authorities.pem"
    bundle.write_text("")
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)

    def verifies(environment):
        with Downloads(environment=environment) as downloads:
            settings = downloads.session.merge_environment_settings("https://example.invalid", {}, None, None, None)
            return settings["verify"]

    assert verifies({}) is True
    assert verifies({"SSL_CERT_FILE": str(bundle)}) == str(bundle)
    assert verifies({"SSL_CERT_FILE": str(tmp_path / "missing.pem")}) is True
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/of/requests.pem")
    assert verifies({"SSL_CERT_FILE": str(bundle)}) == "/of/requests.pem"
