"""Live sessions: what is dropped, how old answers are, who is turned away."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from media_samples import numbered, still_bytes
from mien.errors import ServiceFailed
from mien.live import PATH, PICTURE, SOUND, Client, Piece, pack
from mien.live_window import WINDOW_S
from mien.serve import live
from mien.serve.live import Mailbox
from serving import Serving, serving

RATE = 16_000


def picture(time_s: float) -> Piece:
    return Piece(PICTURE, time_s, b"jpeg")


def sound(time_s: float, *, seconds: float = 0.1) -> Piece:
    return Piece(SOUND, time_s, bytes(2 * round(seconds * RATE)))


def test_a_picture_takes_the_place_of_one_that_waits() -> None:
    mailbox = Mailbox(RATE)
    for time_s in (0.0, 0.1, 0.2):
        mailbox.put(picture(time_s))
    assert mailbox.take() == [picture(0.2)]
    assert mailbox.take() == []
    mailbox.put(picture(0.1))
    assert mailbox.take() == []
    assert (mailbox.looked_at, mailbox.dropped) == (1, 3)


def test_of_sound_what_no_window_holds_is_dropped() -> None:
    mailbox = Mailbox(RATE)
    for step in range(100):
        mailbox.put(sound(step / 10))
    kept = mailbox.take()
    assert kept[-1] == sound(9.9)
    assert kept[0].time_s == pytest.approx(10 - WINDOW_S)


def test_sound_that_lies_about_its_time_takes_no_memory() -> None:
    mailbox = Mailbox(RATE)
    for _ in range(100):
        mailbox.put(sound(1.0, seconds=1.0))
    assert len(mailbox.take()) <= 2 * WINDOW_S
    for _ in range(2 * live.MOST_PIECES):
        mailbox.put(sound(1.0, seconds=0.0))
    assert len(mailbox.take()) <= live.MOST_PIECES


def test_age_is_told_by_what_came_the_quickest(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.5, 101.2, 103.0, 104.0])
    monkeypatch.setattr(live.time, "monotonic", lambda: next(clock))  # type: ignore[attr-defined]
    mailbox = Mailbox(RATE)
    assert mailbox.age(0.0) is None
    mailbox.put(picture(0.0))
    mailbox.put(picture(1.0))
    assert mailbox.age(1.0) == pytest.approx(1.8)
    # The end of a piece of sound is as new as its last sample.
    mailbox.put(sound(3.0, seconds=1.0))
    assert mailbox._offset == pytest.approx(100.0)


@pytest.fixture(scope="module")
def service() -> Iterator[Serving]:
    with serving("--workers", "1") as found:
        yield found


def plain() -> bytes:
    return still_bytes(numbered(3, (320, 240)), "mjpeg")


def address(service: Serving) -> str:
    return service.url.replace("http", "ws")


@pytest.mark.slow
def test_answers_come_often_and_say_how_old_they_are(service: Serving) -> None:
    answers: list[Any] = []
    with Client(address(service), rate=RATE) as client:
        start = time.monotonic()
        for step in range(40):
            client.send_picture(plain(), time_s=step / 10)
            client.send_sound(bytes(RATE // 5), time_s=step / 10)
            time.sleep(max(0.0, start + step / 10 - time.monotonic()))
        while time.monotonic() - start < 4.5:
            answers.append(client.receive(timeout_s=10))
    last = answers[-1]
    assert len(answers) >= 8
    assert last["video"]["reason"] == "a face in 0 of 22 frames"
    assert last["audio"]["reason"].startswith("silent")
    assert last["emotion"] is None
    assert last["newest"]["frame_s"] > 3
    assert last["picture_size"] == [320, 240]
    assert last["age_s"]["frame"] < 3
    assert last["frames"]["looked_at"] + last["frames"]["dropped"] <= 40


@pytest.mark.slow
def test_late_frames_are_dropped_not_queued(service: Serving) -> None:
    # So large that reading one takes longer than sending it, however busy the machine is.
    large = still_bytes(numbered(3, (2560, 1440)), "mjpeg")
    with Client(address(service), rate=RATE) as client:
        for step in range(100):
            client.send_picture(large, time_s=step / 100)
        answer = client.receive(timeout_s=10)
        while answer["newest"]["frame_s"] < 0.985:
            answer = client.receive(timeout_s=10)
    frames = answer["frames"]
    assert frames["looked_at"] + frames["dropped"] == 100
    assert frames["dropped"] > frames["looked_at"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("messages", "told"),
    [
        (["no JSON"], "first message"),
        (["[]"], "first message"),
        ([b"bytes"], "first message"),
        (['{"rate": 1}'], "rate"),
        (['{"rate": "16000"}'], "rate"),
        (['{"rate": 16000}', "text"], "binary"),
        (['{"rate": 16000}', b"\x09" + bytes(8)], "kind"),
        (['{"rate": 16000}', pack(Piece(PICTURE, 0.0, b"no JPEG"))], "JPEG"),
    ],
)
def test_what_is_no_session_is_ended_with_the_reason(
    service: Serving, messages: list[str | bytes], told: str
) -> None:
    answers: list[dict[str, Any]] = []
    with connect(address(service) + PATH) as socket, pytest.raises(ConnectionClosed) as closed:
        for message in messages:
            socket.send(message)
        while True:
            answers.append(json.loads(socket.recv(timeout=10)))
    assert told in answers[-1]["error"]["message"]
    assert answers[-1]["error"]["type"] == "InvalidArgument"
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    assert httpx.get(f"{service.url}/readyz").status_code == 200


@pytest.mark.slow
def test_there_are_no_more_sessions_than_workers(service: Serving) -> None:
    with (
        Client(address(service), rate=RATE),
        pytest.raises(ServiceFailed, match="ServiceBusy"),
        Client(address(service), rate=RATE),
    ):
        pytest.fail("it opened")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with Client(address(service), rate=RATE):
                break
        except ServiceFailed:
            time.sleep(0.1)
    else:
        pytest.fail("the place stayed taken")


@pytest.mark.slow
def test_pages_of_other_places_open_no_session(service: Serving) -> None:
    with (
        pytest.raises(Exception, match="403"),
        connect(address(service) + PATH, origin=Origin("https://there.example")),
    ):
        pytest.fail("it opened")
