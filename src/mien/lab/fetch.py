"""Large files over HTTP: gone on with after a broken connection, checked, whole or not there."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.errors import DownloadFailed, MissingDependency

try:
    import requests
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential
except ImportError as error:
    raise MissingDependency(
        f"downloads need requests and tenacity ({error}): pip install 'mien[lab]'"
    ) from error

ATTEMPTS = 8
"""Connections to try for one file; what each has brought is kept."""
ATTEMPTS_OF_LISTS = 3
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between them; each pause is twice the one before."""
TIMEOUTS = (10.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""
CHUNK = 2**16
"""Bytes written at a time; of a chunk during which a connection breaks, nothing is kept."""
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that may be others in a moment."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to fetch, and what it must be."""

    name: str
    url: str
    size: int
    """Bytes."""
    md5: str
    """In hexadecimal digits."""


class Unreachable(DownloadFailed):
    """A server cannot be reached, or breaks off again and again; another time it may not."""


class _WrongContentError(Exception):
    """A complete file is not what it must be."""


def open_session() -> requests.Session:
    """Open a session whose answers come as they are stored, so that lengths on disk are true."""
    session = requests.Session()
    session.headers["Accept-Encoding"] = "identity"
    return session


def fetch_json(session: requests.Session, url: str) -> Any:
    """Fetch a short list.

    Raises:
        Unreachable: no connection.
        DownloadFailed: nothing there, or no JSON.
    """
    return _retrying(ATTEMPTS_OF_LISTS)(_get_json, session, url)


def _get_json(session: requests.Session, url: str) -> Any:
    with _get(session, url, {}) as answer:
        try:
            return answer.json()
        except requests.JSONDecodeError as error:
            raise DownloadFailed(f"{url} must be JSON ({error}); check the address") from error
        except requests.RequestException as error:
            raise Unreachable(_reason(error)) from error


def is_whole(path: Path, file: RemoteFile) -> bool:
    """Whether a file is there, with the right length and sum."""
    return path.is_file() and path.stat().st_size == file.size and _md5(path) == file.md5


def part_of(path: Path) -> Path:
    """Where a file is until it is whole."""
    return path.with_name(f"{path.name}.part")


def bytes_at(path: Path) -> int:
    """Size of a file; 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def fetch(
    session: requests.Session,
    file: RemoteFile,
    path: Path,
    *,
    tell: Callable[[int], object],
) -> None:
    """Fetch a file, going on with what an earlier connection or run has left beside it.

    Broken connections and busy servers are tried again after growing pauses. A file with a wrong
    sum or length is removed and fetched once more.

    Args:
        session: what :func:`open_session` opens.
        file: what to fetch.
        path: where to; an older file there is replaced, once the new one is whole.
        tell: called with the bytes that are there.

    Raises:
        Unreachable: the server cannot be reached, or breaks off again and again.
        DownloadFailed: nothing is there, or it is wrong twice.
    """
    transfer = _Transfer(session, file, path, tell)
    try:
        transfer.run()
    except _WrongContentError:
        try:
            transfer.run()
        except _WrongContentError as error:
            raise DownloadFailed(
                f"{file.name} came wrong twice and was removed: {error}; try again later, or "
                "another address"
            ) from error


class _Transfer:
    """One file on its way."""

    def __init__(
        self,
        session: requests.Session,
        file: RemoteFile,
        path: Path,
        tell: Callable[[int], object],
    ) -> None:
        self.session, self.file, self.path, self.tell = session, file, path, tell
        self.part = part_of(path)

    def run(self) -> None:
        """Fetch the file up to its end, over as many connections as it takes, and check it."""
        _retrying(ATTEMPTS)(self._go_on)
        if (found := _md5(self.part)) != self.file.md5:
            self.part.unlink()
            raise _WrongContentError(f"MD5 sum {found} instead of {self.file.md5}")
        self.part.replace(self.path)

    def _go_on(self) -> None:
        """Fetch what is missing, over one connection."""
        start = bytes_at(self.part)
        if start < self.file.size:
            headers = {"Range": f"bytes={start}-"} if start else {}
            with _get(self.session, self.file.url, headers) as answer:
                self._append(answer, start)
        size = bytes_at(self.part)
        if size > self.file.size:
            self.part.unlink()
            raise _WrongContentError(f"{size} bytes or more instead of {self.file.size}")
        if size < self.file.size:
            raise Unreachable(f"the connection ended after {size} of {self.file.size} bytes")

    def _append(self, answer: requests.Response, start: int) -> None:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            self.part.unlink()
            raise _WrongContentError(f"no more than {start} bytes instead of {self.file.size}")
        goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if answer.status_code != requests.codes.partial_content or not goes_on:
            # The server sends all of the file again.
            start = 0
        with self.part.open("r+b" if start else "wb") as opened:
            opened.seek(start)
            try:
                for chunk in answer.iter_content(CHUNK):
                    opened.write(chunk)
                    self.tell(opened.tell())
                    if opened.tell() > self.file.size:
                        return
            except requests.RequestException as error:
                raise Unreachable(_reason(error)) from error


def _retrying(attempts: int) -> Retrying:
    return Retrying(
        stop=stop_after_attempt(attempts),
        wait=wait_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
        retry=retry_if_exception_type(Unreachable),
        reraise=True,
    )


def _get(session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
    try:
        answer = session.get(url, headers=headers, timeout=TIMEOUTS, stream=True)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise Unreachable(_reason(error)) from error
    except requests.RequestException as error:
        raise DownloadFailed(f"cannot get {url}: {_reason(error)}") from error
    past_the_end = answer.status_code == requests.codes.requested_range_not_satisfiable
    if answer.ok or ("Range" in headers and past_the_end):
        return answer
    answer.close()
    status = f"HTTP status {answer.status_code} {answer.reason}"
    raise (
        Unreachable(status)
        if answer.status_code in BUSY
        else DownloadFailed(f"cannot get {url}: {status}; check the address")
    )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _reason(error: requests.RequestException) -> str:
    """Say what lies below the layers of the HTTP library."""
    below = error.args[0] if error.args else error
    return str(getattr(below, "reason", None) or below) or type(error).__name__
