"""What ``mien serve`` was asked for."""

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mien.errors import InvalidArgument

MOST_WORKERS = 4
"""Processes that are started where nobody asks for a number: each holds a model."""
WAITING = 8
"""Requests a worker that may wait for their turn."""
SHORTEST_TOKEN = 16
"""Characters of the shortest token that is no guess."""
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the service is run."""

    host: str = "127.0.0.1"
    port: int = 8000
    bundle: Path | None = None
    """Folder of a trained model; the embedded one when ``None``."""
    workers: int = 1
    """Processes that read clips, and as many live sessions at once."""
    token: str | None = None
    """What clients must send; ``None`` lets everybody in."""
    insecure: bool = False
    """Whether others than this machine may come without a token."""
    max_upload: int = 200 * 10**6
    """Bytes."""
    max_seconds: float = 600.0
    """Longest clip."""
    allow_origin: tuple[str, ...] = ()
    """Origins of pages elsewhere that may ask."""
    clip_seconds: float = 60.0
    """Longest time for an answer about a clip, or for one window of it."""
    memory: int = 2**30
    """Bytes that a worker may take beyond what it takes when it is ready."""

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and self.token is None and not self.insecure:
            raise InvalidArgument(
                f"--host {self.host} lets other machines in, and there is no --token-file; give "
                "one, or --insecure to let everybody in"
            )
        for origin in self.allow_origin:
            parts = urlsplit(origin)
            if (
                parts.scheme not in {"http", "https"}
                or f"{parts.scheme}://{parts.netloc}" != origin
            ):
                raise InvalidArgument(
                    f"--allow-origin must be such as https://example.org, not {origin!r}"
                )
        numbers = {
            "--workers": self.workers,
            "--max-upload": self.max_upload,
            "--max-seconds": self.max_seconds,
        }
        for name, value in numbers.items():
            if not value > 0:
                raise InvalidArgument(f"{name} must be above 0, not {value}")

    @property
    def places(self) -> int:
        """Requests about clips that are taken at once: those that are read and those that wait."""
        return self.workers * (1 + WAITING)

    @property
    def hosts(self) -> frozenset[str] | None:
        """Names by which the service may be asked for; ``None``: any, as a token tells who asks.

        A page elsewhere that has its own name point at this machine is no page of ours.
        """
        if self.token or not is_loopback(self.host):
            return None
        return frozenset((*LOOPBACK, self.host.lower()))


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches a host.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def usual_workers() -> int:
    """Give one worker a processor, up to a few."""
    return min(len(processors()), MOST_WORKERS)


def processors() -> frozenset[int]:
    """Give the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def size_in_bytes(text: str) -> int:
    """Read a size.

    Raises:
        InvalidArgument: it is none.

    >>> size_in_bytes("200MB"), size_in_bytes("1.5 GB")
    (200000000, 1500000000)
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMG]?B?)", text.strip().upper())
    if found is None or found[2] not in UNITS:
        raise InvalidArgument(f"size must be such as 200MB, not {text!r}")
    return round(float(found[1]) * UNITS[found[2]])


def read_token(path: Path) -> str:
    """Read the token from its file.

    Raises:
        InvalidArgument: there is none, or it could be guessed.
    """
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"--token-file {path} cannot be read: {error}") from error
    if len(token) < SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise InvalidArgument(
            f"--token-file {path} must hold at least {SHORTEST_TOKEN} letters and digits, such as "
            "'openssl rand -hex 32' gives"
        )
    return token
