"""One file over HTTP: resumed where it broke off, repeated when the server is busy, checked before it gets its name.

A file grows as ``NAME.part``; ``NAME.part.version`` keeps the validator (a strong ETag, else Last-Modified) under which
it was begun. A later request continues it with ``Range`` and ``If-Range`` (RFC 9110, section 13.1.5), so that halves
of two versions are never joined. Only a file of the announced length, and of the announced checksum where the server
gives one, is renamed to ``NAME``.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import random
import re
import threading
from typing import TYPE_CHECKING, Literal, TypeVar

from fringewatch._version import __version__
from fringewatch.errors import FetchError, FringewatchError, OutputError, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import requests

__all__ = ["Client", "Item", "Outcome", "Status", "Version"]

Status = Literal["fetched", "kept", "absent", "failed"]
T = TypeVar("T")

_TIMEOUT_S = (20, 60)
_CHUNK = 1 << 16
"""Bytes read at a time; what a broken connection delivered of the last such piece is lost."""
_LONGEST_WAIT_S = 300.0
_LONGEST_BACKOFF_S = 30.0
_LARGEST_TEXT = 64_000_000
_BUSY = {408, 425, 429, 500, 502, 503, 504}
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """A file to fetch.

    Parameters
    ----------
    url, target
        From where, to where.
    size
        Bytes, where the archive's catalogue tells.
    group
        What it belongs to, such as a pair; ``""`` for what belongs to no interferogram.
    required
        Whether it holds the phase; a group without any such file is of no use.
    refresh
        Whether to ask the server for a newer version if the file is here.
    """

    url: str
    target: Path
    size: int | None = None
    group: str = ""
    required: bool = False
    refresh: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    """What a server says about the version of a file; empty where it says nothing."""

    etag: str = ""
    last_modified: str = ""

    @property
    def validator(self) -> str:
        """What ``If-Range`` may carry: a strong ETag, else the date of change; ``""`` for neither."""
        return self.etag if self.etag.startswith('"') else self.last_modified


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item.

    Parameters
    ----------
    item
        It.
    status
        ``"fetched"`` now, ``"kept"`` from before, ``"absent"`` on the server, or ``"failed"``.
    received
        Bytes that came over the network for it.
    sha256, version
        Of a fetched file.
    message
        Why it failed.
    """

    item: Item
    status: Status
    received: int = 0
    sha256: str = ""
    version: Version = Version()
    message: str = ""


class _TryAgainError(FetchError):
    """Something that may pass: a busy server, a broken connection, a damaged file."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class _AbsentError(FetchError):
    """The server has no such file."""


class Client:
    """Fetches files and pages; one for all threads of a run.

    Parameters
    ----------
    retries
        How often in a row a request may fail without a byte of progress before it is given up.
    connections
        Most connections at once.
    stop
        Ends waiting and transfers when it is set; what came so far stays for the next run.
    received
        Called with the number of bytes of every piece that comes.

    Raises
    ------
    MissingExtraError
        If the extra ``[fetch]`` is not installed.
    """

    def __init__(
        self,
        *,
        retries: int,
        connections: int,
        stop: threading.Event | None = None,
        received: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._requests = require("requests", extra="fetch")
        self._retries = retries
        self._stop = stop or threading.Event()
        self._received = received
        self._session: requests.Session = self._requests.Session()
        adapter = self._requests.adapters.HTTPAdapter(pool_maxsize=connections, pool_connections=connections)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        # A server that compresses on the way could neither continue a file nor announce its length.
        self._session.headers.update({"User-Agent": f"fringewatch/{__version__}", "Accept-Encoding": "identity"})

    def text(self, url: str) -> str:
        """Return a page, such as the listing of a folder.

        Raises
        ------
        FetchError
            If there is no such page or the server cannot be reached.
        """

        def attempt() -> str:
            with self._get(url, {}) as response:
                content = b""
                for piece in self._pieces(response):
                    content += piece
                    if len(content) > _LARGEST_TEXT:
                        message = f"{url}: is larger than {_LARGEST_TEXT // 10**6} MB, expected the listing of a folder"
                        raise FetchError(message)
                return content.decode("utf-8", errors="replace")

        return self._persist(attempt, lambda: 0)

    def fetch(self, item: Item, known: Version | None = None) -> Outcome:
        """Fetch a file unless it is here.

        Parameters
        ----------
        item
            The file. Its folder exists.
        known
            Version of the file that is here, if an earlier run wrote it down.

        Returns
        -------
        Outcome
            Failures of this one file are told, not raised.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        transfer = _Transfer(item)
        try:
            here = item.target.is_file()
            if here and not item.refresh and (known is not None or self._is_whole(item)):
                return Outcome(item, "kept")
            return self._persist(
                lambda: self._attempt(transfer, known if here and item.refresh else None), transfer.size
            )
        except _AbsentError:
            transfer.discard()
            return Outcome(item, "absent")
        except FetchError as error:
            return Outcome(item, "failed", transfer.received, message=str(error))

    def _is_whole(self, item: Item) -> bool:
        """Tell whether a file that no run has written down has the length that the server announces."""
        here = item.target.stat().st_size
        if item.size is not None:
            return here == item.size

        def attempt() -> bool:
            with self._get(item.url, {}, method="HEAD") as response:
                length = response.headers.get("Content-Length")
                return length == str(here)

        return self._persist(attempt, lambda: 0)

    def _persist(self, attempt: Callable[[], T], size: Callable[[], int]) -> T:
        """Repeat an attempt while it may pass; any byte more than ever before begins the count anew."""
        failures, best = 0, 0
        while True:
            try:
                return attempt()
            except _TryAgainError as trouble:
                failures = failures + 1 if size() <= best else 1
                best = max(best, size())
                if failures > self._retries:
                    raise FetchError(str(trouble)) from trouble
                wait_s = trouble.wait_s
                if wait_s is None:
                    wait_s = min(0.5 * 2 ** (failures - 1), _LONGEST_BACKOFF_S) * random.uniform(0.5, 1)
                if wait_s > _LONGEST_WAIT_S:
                    message = f"{trouble}; the server asks to wait {wait_s:.0f} s: run the same command again later"
                    raise FetchError(message) from trouble
                if self._pause(wait_s):
                    message = "stopped"
                    raise FetchError(message) from trouble

    def _pause(self, wait_s: float) -> bool:
        """Wait, and return whether it was cut short by a stop."""
        return self._stop.wait(wait_s)

    def _attempt(self, transfer: _Transfer, known: Version | None) -> Outcome:
        item = transfer.item
        offset, validator = transfer.resume()
        headers = {}
        if offset:
            headers = {"Range": f"bytes={offset}-", "If-Range": validator}
        elif known is not None and known.etag:
            headers = {"If-None-Match": known.etag}
        elif known is not None and known.last_modified:
            headers = {"If-Modified-Since": known.last_modified}
        with self._get(item.url, headers) as response:
            if response.status_code == 304:
                return Outcome(item, "kept")
            if response.status_code == 416:
                return self._finish_whole(transfer, response)
            _refuse_web_page(response, item)
            start, total = _extent(response, offset, item)
            if start is None:
                transfer.discard()
                message = f"{item.url}: the server continued another file than was asked for"
                raise _TryAgainError(message, wait_s=0)
            version = Version(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))
            transfer.write(start, version, self._pieces(response))
            expected = _checksums(response)
        transfer.check_length(total)
        return Outcome(item, "fetched", transfer.received, transfer.finish(expected), version)

    @staticmethod
    def _finish_whole(transfer: _Transfer, response: requests.Response) -> Outcome:
        """Take a part of which the server says that nothing is missing, as after a stop before it got its name."""
        if response.headers.get("Content-Range") != f"bytes */{transfer.size()}":
            transfer.discard()
            message = f"{transfer.item.url}: the server cannot continue the file"
            raise _TryAgainError(message, wait_s=0)
        version = Version(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))
        return Outcome(transfer.item, "fetched", transfer.received, transfer.finish(_checksums(response)), version)

    def _get(self, url: str, headers: dict[str, str], *, method: str = "GET") -> requests.Response:
        """Return a response with a status that means success; its content is not read yet."""
        errors = self._requests.exceptions
        try:
            response = self._session.request(
                method, url, headers=headers, stream=True, timeout=_TIMEOUT_S, allow_redirects=True
            )
        except (errors.InvalidURL, errors.InvalidSchema, errors.MissingSchema, errors.TooManyRedirects) as error:
            message = f"{url}: is no address that can be fetched ({error}); correct it"
            raise FetchError(message) from error
        except errors.SSLError as error:
            message = f"{url}: the server's certificate was not accepted ({error}); check the address and your clock"
            raise FetchError(message) from error
        except errors.RequestException as error:
            message = f"{url}: cannot be reached ({_reason(error)}); check the address and the network"
            raise _TryAgainError(message) from error
        status = response.status_code
        if status in {200, 206, 304, 416}:
            return response
        response.close()
        if status in {404, 410}:
            message = f"{url}: there is no such file on the server"
            raise _AbsentError(message)
        if status in {401, 403}:
            message = f"{url}: access was refused ({status}); check your credentials, such as those in ~/.netrc"
            raise FetchError(message)
        message = f"{url}: the server answered {status} {response.reason}"
        if status not in _BUSY:
            raise FetchError(message)
        raise _TryAgainError(message, _retry_after(response))

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        try:
            for piece in response.iter_content(_CHUNK):
                if self._stop.is_set():
                    message = "stopped"
                    raise FetchError(message)
                self._received(len(piece))
                yield piece
        except self._requests.exceptions.RequestException as error:
            message = f"{response.url}: the connection broke ({_reason(error)})"
            raise _TryAgainError(message) from error


class _Transfer:
    """The growing file of one item."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.received = 0
        self._part = item.target.with_name(f"{item.target.name}.part")
        self._note = item.target.with_name(f"{item.target.name}.part.version")

    def size(self) -> int:
        """Return how many bytes are here."""
        return self._part.stat().st_size if self._part.is_file() else 0

    def resume(self) -> tuple[int, str]:
        """Return how many bytes can be continued, and the validator of their version; 0 where they cannot."""
        size = self.size()
        validator = self._note.read_text(encoding="utf-8") if size and self._note.is_file() else ""
        # Half a file of an unknown version is worth nothing.
        return (size, validator) if validator else (0, "")

    def write(self, start: int, version: Version, pieces: Iterator[bytes]) -> None:
        """Write what comes from an offset on."""
        try:
            self._note.write_text(version.validator, encoding="utf-8")
            with self._part.open("r+b" if start else "wb") as sink:
                sink.seek(start)
                for piece in pieces:
                    sink.write(piece)
                    self.received += len(piece)
        except OSError as error:
            if isinstance(error, FringewatchError):
                raise
            message = f"{self._part}: cannot be written ({error.strerror}); free some space or choose another --out"
            raise OutputError(message) from error

    def check_length(self, total: int | None) -> None:
        """Refuse a file that is shorter or longer than was announced."""
        size = self.size()
        if total is None or size == total:
            return
        if size > total:
            self.discard()
        message = f"{self.item.url}: {size:,} bytes came, expected {total:,}"
        raise _TryAgainError(message)

    def finish(self, expected: dict[str, str]) -> str:
        """Check the file, give it its name and return its SHA-256."""
        with self._part.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            for name, digest in expected.items():
                stream.seek(0)
                found = sha256 if name == "sha256" else hashlib.file_digest(stream, name).hexdigest()
                if found != digest:
                    self.discard()
                    message = f"{self.item.url}: is damaged ({name} is {found}, the server says {digest})"
                    raise _TryAgainError(message)
        try:
            self._part.replace(self.item.target)
            self._note.unlink(missing_ok=True)
        except OSError as error:
            message = f"{self.item.target}: cannot be written ({error.strerror}); change the permissions"
            raise OutputError(message) from error
        return sha256

    def discard(self) -> None:
        """Forget what came so far."""
        self._part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _extent(response: requests.Response, offset: int, item: Item) -> tuple[int | None, int | None]:
    """Return where the content begins (None: not where it was asked to) and how long the whole file is, if known."""
    length = response.headers.get("Content-Length", "")
    coded = response.headers.get("Content-Encoding", "identity") != "identity"
    start, total = 0, int(length) if length.isdigit() and not coded else None
    if response.status_code == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != offset:
            return None, None
        start, total = offset, int(match[2]) if match[2] != "*" else total and total + offset
    if total is not None and item.size is not None and total != item.size:
        message = (
            f"{item.url}: is {total:,} bytes long, but the archive's catalogue says {item.size:,}; report it there"
        )
        raise FetchError(message)
    return start, item.size if total is None else total


def _refuse_web_page(response: requests.Response, item: Item) -> None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/html" and item.target.suffix.lower() not in {".html", ".htm"}:
        message = f"{item.url}: a web page came instead of the file, often that of a login; check your credentials"
        raise FetchError(message)


def _checksums(response: requests.Response) -> dict[str, str]:
    """Return the digests (hexadecimal, by name) of the whole file that a response announces."""
    found = {}
    headers = response.headers
    # Content-MD5 is that of the message: of a part only, where a part came.
    if response.status_code == 200 and (digest := _from_base64(headers.get("Content-MD5", ""))):
        found["md5"] = digest
    # RFC 9530: Repr-Digest is of the whole file, whatever part of it came.
    if match := re.search(r"\bsha-256=:([^:]+):", headers.get("Repr-Digest", "")):
        found["sha256"] = _from_base64(match[1])
    etag = headers.get("ETag", "").strip('"')
    plain = headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
    # The ETag of an S3 object is its MD5 if it was uploaded in one piece and not encrypted with a key of its own.
    if headers.get("Server", "") == "AmazonS3" and plain and _MD5.fullmatch(etag):
        found["md5"] = etag
    return {name: digest for name, digest in found.items() if digest}


def _from_base64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).hex()
    except (binascii.Error, ValueError):
        return ""


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, given as a number or a date; None without one."""
    header = response.headers.get("Retry-After")
    if header is None:
        return None
    urllib3 = require("urllib3", extra="fetch")
    try:
        return float(urllib3.util.Retry().parse_retry_after(header))
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        # A header that cannot be read is as good as none.
        return None


def _reason(error: Exception) -> str:
    """Return the innermost cause in a few words; libraries wrap it three times over."""
    text = str(error) or type(error).__name__
    inner = re.search(r"\[Errno -?\d+\] ([^'\")]+)|(timed out|IncompleteRead\([^)]*\))", text)
    return inner[0] if inner else text.splitlines()[0][:200]
