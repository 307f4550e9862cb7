"""Fetching from a server that drops connections, ignores ranges, lies and serves wrong bytes."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mien.errors import DownloadFailed
from mien.lab import fetch as module
from mien.lab.fetch import (
    RemoteFile,
    Unreachable,
    bytes_at,
    fetch,
    fetch_json,
    is_whole,
    open_session,
    part_of,
)
from web import (
    Handler,
    Misbehaviour,
    Web,
    changed,
    dropping_after,
    hanging_up,
    serving,
    status,
    with_ranges,
    without_ranges,
)

CONTENT = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(module, "CHUNK", 10)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        web.contents["/a.zip"] = CONTENT
        yield web


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with open_session() as session:
        yield session


def remote(web: Web, *, size: int = len(CONTENT), content: bytes = CONTENT) -> RemoteFile:
    md5 = hashlib.md5(content).hexdigest()
    return RemoteFile(name="a.zip", url=f"{web.url}/a.zip", size=size, md5=md5)


def nothing(size: int) -> None:
    pass


def test_a_file_comes_whole(web: Web, session: requests.Session, tmp_path: Path) -> None:
    told: list[int] = []
    fetch(session, remote(web), tmp_path / "a.zip", tell=told.append)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert told[-1] == len(CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    assert is_whole(tmp_path / "a.zip", remote(web))
    assert web.asked == [("/a.zip", None)]


def test_broken_connections_are_gone_on_with(
    web: Web, session: requests.Session, tmp_path: Path
) -> None:
    web.misbehaviours["/a.zip"] = [
        dropping_after(1000),
        hanging_up,
        dropping_after(2000),
        status(503),
        with_ranges,
    ]
    fetch(session, remote(web), tmp_path / "a.zip", tell=nothing)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    ranges = [asked for _, asked in web.asked]
    assert ranges == [None, "bytes=1000-", "bytes=1000-", "bytes=3000-", "bytes=3000-"]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    cuts=st.lists(st.integers(0, len(CONTENT)), max_size=module.ATTEMPTS - 1),
    started=st.integers(0, len(CONTENT)),
    answer=st.sampled_from([with_ranges, without_ranges]),
)
def test_wherever_connections_break_the_file_comes_whole(
    web: Web,
    tmp_path_factory: pytest.TempPathFactory,
    cuts: list[int],
    started: int,
    answer: Misbehaviour,
) -> None:
    path = tmp_path_factory.mktemp("folder") / "a.zip"
    part_of(path).write_bytes(CONTENT[:started])
    web.misbehaviours["/a.zip"] = [*(dropping_after(cut, answer) for cut in cuts), answer]
    with open_session() as session:
        fetch(session, remote(web), path, tell=nothing)
    assert path.read_bytes() == CONTENT
    assert not part_of(path).exists()


def test_what_an_earlier_run_left_is_gone_on_with(
    web: Web, session: requests.Session, tmp_path: Path
) -> None:
    part_of(tmp_path / "a.zip").write_bytes(CONTENT[:5000])
    fetch(session, remote(web), tmp_path / "a.zip", tell=nothing)
    assert web.asked == [("/a.zip", "bytes=5000-")]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_run_stopped_before_the_last_check_asks_for_nothing(
    web: Web, session: requests.Session, tmp_path: Path
) -> None:
    part_of(tmp_path / "a.zip").write_bytes(CONTENT)
    fetch(session, remote(web), tmp_path / "a.zip", tell=nothing)
    assert web.asked == []
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_part_of_something_else_costs_one_more_fetch(
    web: Web, session: requests.Session, tmp_path: Path
) -> None:
    part_of(tmp_path / "a.zip").write_bytes(b"x" * 100)
    fetch(session, remote(web), tmp_path / "a.zip", tell=nothing)
    assert web.asked == [("/a.zip", "bytes=100-"), ("/a.zip", None)]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_thrown_away(
    web: Web, session: requests.Session, tmp_path: Path
) -> None:
    part_of(tmp_path / "a.zip").write_bytes(CONTENT + b"x")
    fetch(session, remote(web), tmp_path / "a.zip", tell=nothing)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_servers_that_ignore_ranges_start_again(
    web: Web, session: requests.Session, tmp_path: Path
) -> None:
    web.misbehaviours["/a.zip"] = [dropping_after(3000), without_ranges]
    told: list[int] = []
    fetch(session, remote(web), tmp_path / "a.zip", tell=told.append)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert told[299:301] == [3000, 10]


def test_a_range_from_another_place_is_not_trusted(
    web: Web, session: requests.Session, tmp_path: Path
) -> None:
    def elsewhere(handler: Handler, content: bytes) -> None:
        handler.send(206, content, place=f"bytes 0-{len(content) - 1}/{len(content)}")

    web.misbehaviours["/a.zip"] = [dropping_after(3000), elsewhere]
    fetch(session, remote(web), tmp_path / "a.zip", tell=nothing)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert len(web.asked) == 2


def test_a_wrong_byte_is_fetched_again_once(
    web: Web, session: requests.Session, tmp_path: Path
) -> None:
    web.misbehaviours["/a.zip"] = [changed, with_ranges]
    fetch(session, remote(web), tmp_path / "a.zip", tell=nothing)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert web.asked == [("/a.zip", None)] * 2


def test_a_wrong_byte_that_stays_is_told(
    web: Web, session: requests.Session, tmp_path: Path
) -> None:
    web.misbehaviours["/a.zip"] = [changed]
    wrong = hashlib.md5(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])).hexdigest()
    with pytest.raises(DownloadFailed, match=f"{wrong} instead of {remote(web).md5}"):
        fetch(session, remote(web), tmp_path / "a.zip", tell=nothing)
    assert len(web.asked) == 2
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_until_the_new_one_is_whole(
    web: Web, session: requests.Session, tmp_path: Path
) -> None:
    (tmp_path / "a.zip").write_bytes(b"older")
    web.misbehaviours["/a.zip"] = [changed]
    with pytest.raises(DownloadFailed):
        fetch(session, remote(web), tmp_path / "a.zip", tell=nothing)
    assert (tmp_path / "a.zip").read_bytes() == b"older"
    assert not is_whole(tmp_path / "a.zip", remote(web))


@pytest.mark.parametrize(
    ("size", "told"),
    [(len(CONTENT) - 1, "bytes or more instead of"), (len(CONTENT) + 1, "no more than")],
)
def test_another_length_than_listed(
    web: Web, session: requests.Session, tmp_path: Path, size: int, told: str
) -> None:
    with pytest.raises(DownloadFailed, match=rf"came wrong twice .*{told}.* {size}"):
        fetch(session, remote(web, size=size), tmp_path / "a.zip", tell=nothing)
    assert list(tmp_path.iterdir()) == []


def test_files_that_do_not_end_are_not_taken_in(
    web: Web, session: requests.Session, tmp_path: Path
) -> None:
    told: list[int] = []
    with pytest.raises(DownloadFailed, match="came wrong twice"):
        fetch(session, remote(web, size=500), tmp_path / "a.zip", tell=told.append)
    assert max(told) == 500 + module.CHUNK


def test_files_are_wanted_as_they_are_stored(
    web: Web, session: requests.Session, tmp_path: Path
) -> None:
    wanted: list[str | None] = []

    def packing(handler: Handler, content: bytes) -> None:
        wanted.append(handler.headers["Accept-Encoding"])
        with_ranges(handler, content)

    web.misbehaviours["/a.zip"] = [packing]
    fetch(session, remote(web), tmp_path / "a.zip", tell=nothing)
    assert wanted == ["identity"]


def test_a_server_that_promises_more_than_it_sends(
    web: Web, session: requests.Session, tmp_path: Path
) -> None:
    def promise(handler: Handler, content: bytes) -> None:
        handler.close_connection = True
        handler.send(200, content[:10], length=len(content))

    web.misbehaviours["/a.zip"] = [promise]
    with pytest.raises(Unreachable):
        fetch(session, remote(web), tmp_path / "a.zip", tell=nothing)
    assert len(web.asked) == module.ATTEMPTS
    assert bytes_at(part_of(tmp_path / "a.zip")) == 10
    assert not (tmp_path / "a.zip").exists()


def test_nothing_there_is_told_at_once(web: Web, session: requests.Session, tmp_path: Path) -> None:
    web.contents.clear()
    with pytest.raises(DownloadFailed, match=r"a\.zip: HTTP status 404") as caught:
        fetch(session, remote(web), tmp_path / "a.zip", tell=nothing)
    assert not isinstance(caught.value, Unreachable)
    assert len(web.asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_busy_server_is_asked_so_often_and_no_more(
    web: Web, session: requests.Session, tmp_path: Path
) -> None:
    web.misbehaviours["/a.zip"] = [status(500)]
    with pytest.raises(Unreachable, match="HTTP status 500"):
        fetch(session, remote(web), tmp_path / "a.zip", tell=nothing)
    assert len(web.asked) == module.ATTEMPTS


def test_pauses_grow(
    web: Web, session: requests.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(module, "FIRST_PAUSE", 4.0)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 60.0)
    monkeypatch.setattr("tenacity.nap.time.sleep", slept.append)
    web.misbehaviours["/a.zip"] = [hanging_up]
    with pytest.raises(Unreachable):
        fetch(session, remote(web), tmp_path / "a.zip", tell=nothing)
    assert slept == [4, 8, 16, 32, 60, 60, 60]


def test_lists(web: Web, session: requests.Session) -> None:
    web.contents.update({"/list": b'{"a": 1}', "/page": b"<html>"})
    web.misbehaviours["/list"] = [status(502), dropping_after(3), with_ranges]
    assert fetch_json(session, f"{web.url}/list") == {"a": 1}
    with pytest.raises(DownloadFailed, match=r"/page must be JSON"):
        fetch_json(session, f"{web.url}/page")


@pytest.mark.parametrize(
    "ask",
    [
        lambda session, file, path: fetch(session, file, path, tell=nothing),
        lambda session, file, path: fetch_json(session, file.url),
    ],
)
def test_no_server(ask: Callable[..., object], session: requests.Session, tmp_path: Path) -> None:
    with serving() as web:
        file = remote(web)
    with pytest.raises(Unreachable, match="refused"):
        ask(session, file, tmp_path / "a.zip")


def test_addresses_that_lead_in_circles(web: Web, session: requests.Session) -> None:
    def circle(handler: Handler, content: bytes) -> None:
        handler.send_response(302)
        handler.send_header("Location", handler.path)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    web.misbehaviours["/a.zip"] = [circle]
    with pytest.raises(DownloadFailed, match=r"cannot get .*redirects"):
        fetch_json(session, f"{web.url}/a.zip")
