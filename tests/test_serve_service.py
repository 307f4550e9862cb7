"""A real service on loopback: its answers, and what hostile clients and clips do to it."""

import http.client
import json
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

import mien
from media_samples import clip_bytes, sine, sound_bytes, write_clip
from mien.timeline import TimelineOptions
from mien.verify import GOLDEN_CLIP
from serving import Serving, predicted, serving

pytestmark = pytest.mark.slow

ANSWER = ("emotion", "confidence", "set", "duration_s", "faces_found", "bundle")
MB = 10**6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service puts its temporary files."""
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Serving]:
    options = ("--workers", "1", "--max-upload", "2MB", "--max-seconds", "20")
    with serving(*options, folder=folder) as found:
        yield found


@pytest.fixture(scope="module")
def recogniser() -> mien.Recogniser:
    return mien.load()


def is_well(service: Serving, folder: Path) -> None:
    """Check that the service answers as ever, and that nothing is left of what came before."""
    assert predicted(service.url).json()["emotion"] == "happy"
    assert list(folder.iterdir()) == []
    metrics = httpx.get(f"{service.url}/metrics").text
    assert "mien_queue_length 0.0" in metrics
    assert "mien_clips_read_now 0.0" in metrics


def test_predict_answers_as_in_process(service: Serving, recogniser: mien.Recogniser) -> None:
    expected = recogniser.predict(GOLDEN_CLIP).to_dict()
    with GOLDEN_CLIP.open("rb") as file:
        as_form = httpx.post(f"{service.url}/v1/predict", files={"file": file}, timeout=60).json()
    as_body = predicted(service.url).json()
    for answer in (as_form, as_body):
        assert {name: answer[name] for name in ANSWER} == {name: expected[name] for name in ANSWER}
        assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)
    assert (as_form["clip"], as_body["clip"]) == ("astronaut.mp4", "upload")


def test_timeline_answers_as_in_process(service: Serving, recogniser: mien.Recogniser) -> None:
    options: dict[str, Any] = {"window_s": 2.0, "hop_s": 0.5, "people": "all"}
    url = f"{service.url}/v1/timeline"
    content = GOLDEN_CLIP.read_bytes()
    with httpx.stream("POST", url, params=options, content=content, timeout=60) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        lines = [json.loads(line) for line in response.iter_lines()]
    expected = recogniser.timeline(GOLDEN_CLIP, options=TimelineOptions(**options))
    windows = json.loads(json.dumps([asdict(window) for window in expected]))
    assert [line["start_s"] for line in lines] == [window["start_s"] for window in windows]
    for line, window in zip(lines, windows, strict=True):
        assert line["sightings"] == window["sightings"]
        assert line["probabilities"] == pytest.approx(window["probabilities"], abs=1e-4)


def test_clips_that_cannot_be_read(service: Serving, folder: Path) -> None:
    broken = clip_bytes(frames=50, fps=5)[:-2000]
    for path in ("predict", "timeline"):
        answer = httpx.post(f"{service.url}/v1/{path}", content=b"no clip at all", timeout=60)
        assert (answer.status_code, answer.json()["type"]) == (422, "UnreadableClip")
        empty = httpx.post(f"{service.url}/v1/{path}", content=b"", timeout=60)
        assert empty.json()["type"] == "UnreadableClip"
        assert httpx.post(f"{service.url}/v1/{path}", content=broken, timeout=60).status_code in {
            200,
            422,
        }
    is_well(service, folder)


def test_what_breaks_off_ends_with_an_error_line(service: Serving, tmp_path: Path) -> None:
    path = tmp_path / "whole.mp4"
    write_clip(path, frames=100, fps=10, file_options={"movflags": "faststart"}, size=(320, 240))
    part = path.read_bytes()[: path.stat().st_size * 2 // 3]
    lines = httpx.post(f"{service.url}/v1/timeline", content=part, timeout=60).text.splitlines()
    assert len(lines) > 1
    assert json.loads(lines[0])["end_s"] == 4.0
    assert json.loads(lines[-1])["error"]["type"] == "UnreadableClip"


def test_clips_that_are_too_long(service: Serving) -> None:
    long = clip_bytes(frames=25, fps=1, waveform=sine(300, seconds=25, rate=16_000))
    hidden = sound_bytes(
        sine(300, seconds=30, rate=8_000), rate=8_000, file_format="mp3", audio_codec="mp3"
    )
    for clip in (long, hidden):
        for path in ("predict", "timeline"):
            answer = httpx.post(f"{service.url}/v1/{path}", content=clip, timeout=60)
            told = answer.json() if path == "predict" else json.loads(answer.text.splitlines()[-1])
            kind = told["error"]["type"] if "error" in told else told.get("type")
            assert kind == "ClipTooLong", (path, told)


def test_ten_gigabytes_are_refused_at_once(service: Serving, folder: Path) -> None:
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n"
        )
        assert b"413" in client.recv(100)
    # And where nothing was said of the size, as soon as it is too much.
    chunks = (b"x" * MB for _ in range(10_000))
    with suppress(httpx.WriteError):
        assert httpx.post(f"{service.url}/v1/predict", content=chunks).status_code == 413
    assert time.monotonic() - start < 10
    is_well(service, folder)


def test_clients_that_go_away(service: Serving, folder: Path) -> None:
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    before = service.files()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(head + b"x" * 50_000)
    with httpx.stream(
        "POST",
        f"{service.url}/v1/timeline",
        params={"hop_s": 0.1},
        content=clip_bytes(frames=150, fps=10, size=(320, 240)),
        timeout=60,
    ) as response:
        next(response.iter_lines())
    is_well(service, folder)
    until = time.monotonic() + 20
    while service.files() > before + 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert service.files() <= before + 2


def test_slow_clients_take_nobodys_place_for_long(service: Serving, folder: Path) -> None:
    """One byte a second, in the headers and in the body."""
    ended: dict[str, float] = {}

    def drip(name: str, sent: bytes) -> None:
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(sent)
            client.settimeout(1.0)
            while time.monotonic() - start < 30:
                try:
                    if not client.recv(1000) or name == "body":
                        break
                except TimeoutError:
                    client.sendall(b"x")
                except ConnectionError:
                    break
        ended[name] = time.monotonic() - start

    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
    drips = [
        threading.Thread(target=drip, args=given)
        for given in (("headers", head), ("body", head + b"\r\n"), ("nothing", b""))
    ]
    for each in drips:
        each.start()
    assert predicted(service.url).status_code == 200
    for each in drips:
        each.join()
    assert all(seconds < 20 for seconds in ended.values()), ended
    is_well(service, folder)


HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"


def test_a_body_that_goes_on_after_the_answer_keeps_no_connection(service: Serving) -> None:
    refused = HEAD + b"Origin: http://elsewhere\r\nContent-Length: 100\r\n\r\n"
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(refused)
        assert b" 403 " in client.recv(10_000).splitlines()[0]
        client.settimeout(1.0)
        while time.monotonic() - start < 20:
            try:
                client.sendall(b"x")
                if not client.recv(1000):
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
    assert time.monotonic() - start < 12


def answered(client: socket.socket) -> int:
    """Read one answer, whose head and body may come apart, and give its status."""
    answer = http.client.HTTPResponse(client)
    answer.begin()
    answer.read()
    return answer.status


def test_a_connection_whose_body_came_late_is_used_again(service: Serving) -> None:
    refused = HEAD + b"Origin: http://elsewhere\r\nContent-Length: 3\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.settimeout(10.0)
        client.sendall(refused)
        assert answered(client) == 403
        client.sendall(b"abc")
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answered(client) == 200


def test_whoever_left_while_waiting_keeps_no_place(service: Serving, folder: Path) -> None:
    clip = clip_bytes(frames=150, fps=10, size=(320, 240))
    head = HEAD + f"Content-Length: {len(clip)}\r\n\r\n".encode()
    gone = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(8)]
    for client in gone:
        client.sendall(head + clip)
    time.sleep(0.1)
    for client in gone:
        client.close()
    assert predicted(service.url).status_code == 200
    queue = next(
        line
        for line in httpx.get(f"{service.url}/metrics").text.splitlines()
        if line.startswith("mien_queue_length ")
    )
    assert queue == "mien_queue_length 0.0"
    is_well(service, folder)


def test_a_worker_that_dies_is_replaced(service: Serving, folder: Path) -> None:
    workers = service.workers()
    for worker in workers:
        worker.kill()
    psutil.wait_procs(workers, timeout=5)
    # No clip is to blame for it.
    assert [predicted(service.url).status_code for _ in range(2)] == [200, 200]
    is_well(service, folder)
    assert "mien_worker_restarts_total 0.0" not in httpx.get(f"{service.url}/metrics").text


def test_bombs_take_no_more_than_they_may(service: Serving, folder: Path) -> None:
    # Black pictures take no bytes: 4096x4096, and as many as 20 seconds hold.
    bomb = clip_bytes(frames=3, fps=1, size=(4096, 4096), image_of_frame=_black)
    huge = clip_bytes(frames=2, fps=1, size=(64, 48)).replace(
        (64).to_bytes(2) + (48).to_bytes(2), (65_535).to_bytes(2) * 2
    )
    before = service.memory()
    for clip in (bomb, huge):
        assert predicted(service.url, clip).status_code in {200, 422}
    assert service.memory() < before + 1500 * MB
    is_well(service, folder)


def _black(_: int) -> "mien.media.pictures.Pixels":
    import numpy as np

    return np.zeros((4096, 4096, 3), np.uint8)


def test_mutated_clips_do_no_harm(service: Serving, folder: Path) -> None:
    """A sample of what ``benchmark/service.py --mutated 1000`` does."""
    is_well(service, folder)
    files, workers = service.files(), len(service.workers())
    clip = clip_bytes(frames=8, fps=8, waveform=sine(300, seconds=1, rate=16_000))
    chance = random.Random(7)
    for _ in range(40):
        data = bytearray(clip)
        for _ in range(chance.choice([1, 4, 30])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        answer = predicted(service.url, bytes(data[: chance.choice([len(data), len(data) // 2])]))
        assert answer.status_code in {200, 422}
        assert "Traceback" not in answer.text
    is_well(service, folder)
    assert service.files() <= files + 3
    assert len(service.workers()) == workers


def test_a_storm_is_answered_or_sent_away(service: Serving, folder: Path) -> None:
    clip = sound_bytes(sine(300, seconds=1, rate=8_000), rate=8_000)
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: predicted(service.url, clip), range(40)))
    codes = {answer.status_code for answer in answers}
    assert codes == {200, 503}
    assert all("retry-after" in each.headers for each in answers if each.status_code == 503)
    is_well(service, folder)


def test_nothing_of_anybody_is_logged(folder: Path) -> None:
    import subprocess
    import sys

    from serving import free_port

    port = free_port()
    log = folder.parent / "log"
    with log.open("w") as file:
        started = subprocess.Popen(
            [sys.executable, "-m", "mien", "serve", "--workers", "1", "--port", str(port)],
            stdout=file,
            stderr=file,
            env=os.environ,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                try:
                    if httpx.get(f"{url}/readyz").status_code == 200:
                        break
                except httpx.ConnectError:
                    pass
                time.sleep(0.1)
            files = {"file": ("Jane Doe.mp4", b"no clip", "video/mp4")}
            assert "Jane Doe" in httpx.post(f"{url}/v1/predict", files=files, timeout=60).text
            httpx.get(f"{url}/jane")
        finally:
            started.terminate()
            started.wait(20)
    assert log.read_text().splitlines() == [f"mien: {url}/ (Ctrl-C ends it)"]
