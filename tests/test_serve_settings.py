from pathlib import Path

import pytest

from mien.errors import InvalidArgument
from mien.serve.settings import Settings, is_loopback, read_token, size_in_bytes, usual_workers

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_other_machines_need_a_token_or_somebody_who_does_not_mind(host: str) -> None:
    with pytest.raises(InvalidArgument, match=r"--token-file.*--insecure"):
        Settings(host=host)
    assert Settings(host=host, token=TOKEN).hosts is None
    assert Settings(host=host, insecure=True).hosts is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_this_machine_needs_none_but_goes_by_its_own_names(host: str) -> None:
    assert is_loopback(host)
    hosts = Settings(host=host).hosts
    assert hosts is not None
    assert "localhost" in hosts
    assert "example.org" not in hosts


@pytest.mark.parametrize(
    "origin", ["*", "example.org", "https://example.org/", "ftp://a", "https://a/b"]
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(InvalidArgument, match="--allow-origin"):
        Settings(allow_origin=(origin,))
    Settings(allow_origin=("https://example.org", "http://localhost:3000"))


@pytest.mark.parametrize(
    "wrong",
    [{"workers": 0}, {"max_upload": 0}, {"max_seconds": 0.0}, {"max_seconds": float("nan")}],
)
def test_limits_are_above_nothing(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match="above 0"):
        Settings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "size"), [("10", 10), ("1kb", 1000), ("2 GB", 2 * 10**9), ("0.5MB", 500_000)]
)
def test_sizes(text: str, size: int) -> None:
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1TB", "1e3", "1MBs", "1K"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidArgument, match="such as 200MB"):
        size_in_bytes(text)


def test_token_is_read_and_may_not_be_guessed(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    assert read_token(path) == TOKEN
    for bad in ("short", "", "with a space in the middle of it", "x" * 8 + "\n" + "y" * 8):
        path.write_text(bad)
        with pytest.raises(InvalidArgument, match="16"):
            read_token(path)
    with pytest.raises(InvalidArgument, match="cannot be read"):
        read_token(tmp_path / "none")


def test_a_few_workers_at_most() -> None:
    assert 1 <= usual_workers() <= 4
    assert Settings(workers=2).places == 18
