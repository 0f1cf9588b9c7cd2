"""A folder of recipes, and a server on this machine that serves what a test tells it to."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Serves `answers` by path; `requests` counts what was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                answer = outer.answers.get(self.path)
                if answer is None:
                    self.send_error(404)
                    return
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def serve(self, path: str, content: bytes, kind: str = "application/octet-stream") -> str:
        """Serve `content` and return its address."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Type", kind)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)

        self.answers[path] = answer
        return self.url + path

    def redirect(self, path: str, target: str) -> str:
        """Answer `path` with a redirect and return its address."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(302)
            handler.send_header("Location", target)
            handler.end_headers()

        self.answers[path] = answer
        return self.url + path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    served = Server()
    thread = threading.Thread(target=served.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.http.shutdown()
    thread.join()
    served.http.server_close()


class Recipes:
    """A folder of recipes that charlm looks in first, and ways to fill it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, *, source: str, rest: str = "") -> Path:
        """Write a recipe with one source table and return its file."""
        path = self.folder / name / "corpus.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'title = "Test"\nlicence = "none"\n{rest}\n[[source]]\n{source}\n')
        return path

    def url_source(self, url: str, content: bytes, more: str = "") -> str:
        """A source table's content that pins `content` at `url`."""
        return f'url = "{url}"\nsha256 = "{self.sha256(content)}"\n{more}'

    def sha256(self, content: bytes) -> str:
        return hashlib.sha256(content).hexdigest()

    def tar(self, members: dict[str, bytes], extra: list[tarfile.TarInfo] | None = None) -> bytes:
        """A tar.gz of `members`, and of members without content."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            for member in extra or []:
                archive.addfile(member)
        return buffer.getvalue()

    def zip(self, members: dict[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return buffer.getvalue()

    def tree(self) -> dict[str, bytes]:
        """Every file below the folder with its content."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()
        }


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipes:
    """Recipes in a folder of their own; the working folder and the cache are empty, too."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("CHARLM_CORPORA", str(tmp_path / "recipes"))
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    return Recipes(tmp_path / "recipes")
