"""Fetch one pinned file: of a release of a package, without running any of it, or at an https address."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from charlm.corpora.progress import Progress
from charlm.corpora.recipe import Source
from charlm.errors import CorpusError, OutputError

if TYPE_CHECKING:
    import requests
    from pypi_simple import ProjectPage, PyPISimple

CHUNK = 2**16
LONGEST_PAGE = 64 * 10**6  # bytes; that of a package with ten thousand releases has some 20 million
TIMEOUT = 30.0  # seconds to connect, and seconds without a byte
MOST_REDIRECTS = 5
LONGEST_LENGTH = 18  # digits of what a server may call a length
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Downloads:
    """Fetches the files of recipes; use it in a ``with``.

    Args:
        index_url: simple index of the packages; None is the public one.
        allow_loopback_http: take plain http from this machine itself, for tests. All else must be https.
        environment: where ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` are looked up (``REQUESTS_CA_BUNDLE`` and
            ``CURL_CA_BUNDLE``, which `requests` knows, win).
    """

    def __init__(
        self,
        *,
        index_url: str | None = None,
        allow_loopback_http: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        # subtle: imported here, so that nothing but a fetch pays for the network libraries
        import requests

        self.index_url = index_url
        self.session = requests.Session()
        self.session.max_redirects = MOST_REDIRECTS
        # subtle: the file is wanted as it is stored, not as a server may compress it on the way
        self.session.headers["Accept-Encoding"] = "identity"
        self.session.mount("http://", _plain_http(allow_loopback_http))
        environment = os.environ if environment is None else environment
        authorities = environment.get("SSL_CERT_FILE") or environment.get("SSL_CERT_DIR")
        if authorities and os.path.exists(authorities):
            self.session.verify = authorities

    def __enter__(self) -> Downloads:
        return self

    def __exit__(self, *details: object) -> None:
        self.session.close()

    def fetch(self, source: Source, target: Path, progress: Progress) -> None:
        """Write the file of `source` to `target`, which must not exist; only a file with the pinned hash stays.

        Raises:
            CorpusError: no connection, not found, cut short, too long, another hash, or an unsafe address.
            OutputError: `target` cannot be written.
        """
        try:
            with _network_errors(source):
                self._download(source, self._address(source), target, progress)
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def _address(self, source: Source) -> str:
        if source.url:
            return source.url
        from pypi_simple import NoSuchProjectError, PyPISimple, UnsupportedContentTypeError, UnsupportedRepoVersionError

        options = {"endpoint": self.index_url} if self.index_url else {}
        client = PyPISimple(session=self.session, **options)
        try:
            page = self._project_page(client, str(source.package))
        except NoSuchProjectError:
            raise CorpusError(f"the package index has no project {source.package!r}") from None
        except (UnsupportedContentTypeError, UnsupportedRepoVersionError, ValueError) as error:
            if isinstance(error, OSError):  # one of the network's, which derive from several built-in errors
                raise
            raise CorpusError(
                f"the package index answered what is no list of the files of {source.package!r}"
                f" ({type(error).__name__})"
            ) from None
        for package in page.packages:
            if package.filename == source.filename:
                return str(package.url)
        raise CorpusError(f"the package index has no file {source.filename!r} of {source.package} {source.version}")

    def _project_page(self, client: PyPISimple, package: str) -> ProjectPage:
        """What the index has of a package: `PyPISimple.get_project_page`, but of an answer that has an end."""
        from pypi_simple import NoSuchProjectError, ProjectPage

        address = client.get_project_url(package)
        with self.session.get(address, stream=True, timeout=TIMEOUT, headers={"Accept": client.accept}) as response:
            if response.status_code == 404:
                raise NoSuchProjectError(package, address)
            response.raise_for_status()
            body = io.BytesIO()
            for piece in response.raw.stream(CHUNK, decode_content=True):
                if body.tell() + len(piece) > LONGEST_PAGE:
                    raise CorpusError(
                        f"the package index answered more than {LONGEST_PAGE // 10**6} MB about {package!r}: "
                        "this is no list of files"
                    )
                body.write(piece)
            body.seek(0)
            response.raw = body
            return ProjectPage.from_response(response, package)

    def _download(self, source: Source, address: str, target: Path, progress: Progress) -> None:
        with self.session.get(address, stream=True, timeout=TIMEOUT) as response:
            response.raise_for_status()
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() and len(length) <= LONGEST_LENGTH else None
            if total is not None and total > source.max_bytes:
                raise _too_long(source)
            progress.start(f"fetching {source.filename}", total)
            try:
                digest = _write(response.raw, target, source, progress)
            finally:
                progress.finish()
        if digest != source.sha256:
            raise CorpusError(
                f"{source.filename!r} is not the file that the recipe pins: its sha256 is {digest},"
                f" should be {source.sha256}; nothing was installed"
            )


def _write(stream: Any, target: Path, source: Source, progress: Progress) -> str:
    """Write what arrives and return its SHA-256. (What fails on the network is no `OSError` here.)"""
    digest = hashlib.sha256()
    size = 0
    try:
        with open(target, "xb") as file:
            for chunk in stream.stream(CHUNK, decode_content=False):
                size += len(chunk)
                if size > source.max_bytes:
                    raise _too_long(source)
                digest.update(chunk)
                file.write(chunk)
                progress.advance(len(chunk))
    except OSError as error:
        raise OutputError(f"cannot write {str(target)!r}: {error.strerror}; nothing was installed") from None
    return digest.hexdigest()


def _too_long(source: Source) -> CorpusError:
    return CorpusError(
        f"{source.filename!r} is longer than the {source.max_bytes} bytes that its recipe allows (max_bytes);"
        " nothing was installed"
    )


def _plain_http(allow_loopback: bool) -> requests.adapters.BaseAdapter:
    """What the session uses for http addresses, those of redirects included: refuses them."""
    from requests.adapters import HTTPAdapter

    class PlainHttp(HTTPAdapter):
        def send(self, request: Any, *arguments: Any, **options: Any) -> Any:
            host = urlsplit(request.url).hostname
            if not (allow_loopback and host in LOOPBACK):
                raise CorpusError(f"refused to fetch over plain http from {host!r}: only https is safe")
            return super().send(request, *arguments, **options)

    return PlainHttp()


@contextmanager
def _network_errors(source: Source) -> Iterator[None]:
    """Turn whatever the network libraries raise into one line."""
    import requests
    import urllib3

    where = f"host {urlsplit(source.url).hostname!r}" if source.url else "the package index"
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise CorpusError(
            f"cannot fetch {source.filename!r}: {where} has no certificate that this machine trusts"
            f" ({_reason(error)}); SSL_CERT_FILE names a file of trusted authorities"
        ) from None
    except requests.exceptions.HTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        raise CorpusError(f"cannot fetch {source.filename!r}: {where} answered {status}") from None
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise CorpusError(
            f"cannot fetch {source.filename!r}: no connection to {where} ({_reason(error)});"
            " charlm needs the network only for this: try again when you are online"
        ) from None
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise CorpusError(
            f"cannot fetch {source.filename!r}: the download from {where} was cut short or malformed"
            f" ({_reason(error)}); nothing was installed"
        ) from None


def _reason(error: BaseException) -> str:
    """The innermost cause, in one line and without addresses, which may hold a password."""
    while (inner := _inner(error)) is not None:
        error = inner
    return type(error).__name__


def _inner(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    return next((argument for argument in error.args if isinstance(argument, BaseException)), None)
