"""What ``mien serve`` can take: throughput, live answers, storms, mutated clips. Ends by itself.

``python benchmark/service.py CLIP... [--seconds 20] [--clients 200] [--live 30] [--mutated 200]``
starts a service on loopback, asks it, and prints a table:

- throughput: clips a second at saturation, and those of a ``Recogniser`` in process, by turns;
- live: answers a second at ten frames a second in, and how old the newest frame used is;
- storm: so many clients at once, each posting a clip: answers, refusals, the longest wait;
- mutated: clips with bytes changed at random: nothing but 200 and 422.

Memory is that of the service and all its workers together.
"""

import argparse
import itertools
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import av
import cv2
import httpx
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

import mien
from mien.errors import MienError
from mien.live import Client

RATE = 16_000
FRAMES_A_SECOND = 10
SHORT_SIDE = 480
START_S = 120
PATIENCE_S = 60


@dataclass
class Service:
    """A service that was started for this, and the most memory that it was seen to have."""

    url: str
    process: psutil.Process
    peak: int = 0
    ended: Event = field(default_factory=Event)

    def memory(self) -> int:
        """Give the bytes of the service and its workers."""
        total = 0
        for each in (self.process, *self.process.children()):
            try:
                total += each.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total

    def watch(self) -> None:
        """Remember the most."""
        while not self.ended.wait(0.5):
            self.peak = max(self.peak, self.memory())

    def post(self, clip: bytes) -> tuple[int, float]:
        """Post a clip; give the status, 0 where there was none, and the seconds it took."""
        start = time.monotonic()
        try:
            status = httpx.post(
                f"{self.url}/v1/predict", content=clip, timeout=PATIENCE_S
            ).status_code
        except httpx.HTTPError:
            status = 0
        return status, time.monotonic() - start


@contextmanager
def started(workers: int) -> Iterator[Service]:
    """Start a service and end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mien", "serve", "--port", str(port)]
    command += ["--workers", str(workers)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - mien itself
    service = Service(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
    watcher = Thread(target=service.watch)
    try:
        wait_for(service)
        watcher.start()
        yield service
    finally:
        service.ended.set()
        process.terminate()
        process.wait(30)


def wait_for(service: Service) -> None:
    """Wait until all workers are warm."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            if httpx.get(f"{service.url}/readyz").status_code == 200:
                return
        except httpx.ConnectError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"no service after {START_S} s")


def served(service: Service, clips: Sequence[bytes], *, seconds: float, clients: int) -> float:
    """Give the clips a second that some clients get answered, each asking again at once."""
    until = time.monotonic() + seconds
    turns = itertools.cycle(clips)

    def ask(_: int) -> int:
        answered = 0
        while time.monotonic() < until:
            answered += service.post(next(turns))[0] == 200
        return answered

    start = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        answered = sum(pool.map(ask, range(clients)))
    return answered / (time.monotonic() - start)


def in_process(clips: Sequence[bytes], *, seconds: float) -> float:
    """Give the clips a second of a recogniser in this process."""
    recogniser = mien.load()
    recogniser.predict(clips[0])
    turns = itertools.cycle(clips)
    start, answered = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        recogniser.predict(next(turns))
        answered += 1
    return answered / (time.monotonic() - start)


def throughput(service: Service, clips: Sequence[bytes], *, seconds: float) -> str:
    """Measure both by turns: the machine may have other work."""
    half = seconds / 2
    rounds = [
        (in_process(clips, seconds=half), served(service, clips, seconds=half, clients=4))
        for _ in range(2)
    ]
    alone, together = np.mean(rounds, axis=0)
    return f"{together:.2f} clips/s, in process {alone:.2f}: {together / alone:.0%}"


def pictures_of(clip: Path) -> list[bytes]:
    """Give ten JPEGs a second of a clip, as a camera would."""
    found: list[bytes] = []
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            if (frame.time or 0) >= len(found) / FRAMES_A_SECOND:
                image = frame.to_ndarray(format="bgr24")
                scale = SHORT_SIDE / min(image.shape[:2])
                small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                found.append(cv2.imencode(".jpg", small)[1].tobytes())
    return found


def live(service: Service, clip: Path, *, seconds: float) -> str:
    """Send pictures and noise, and look at the answers."""
    pictures = itertools.cycle(pictures_of(clip))
    noise = np.random.default_rng(0).normal(scale=3000, size=RATE // FRAMES_A_SECOND)
    sound = noise.astype("<i2").tobytes()
    ages: list[float] = []
    memory: list[int] = []
    with Client(service.url.replace("http", "ws"), rate=RATE) as client:
        start, stop = time.monotonic(), Event()

        def send() -> None:
            for step in itertools.count():
                if stop.wait(max(0.0, start + step / FRAMES_A_SECOND - time.monotonic())):
                    return
                client.send_picture(next(pictures), time_s=step / FRAMES_A_SECOND)
                client.send_sound(sound, time_s=(step - 1) / FRAMES_A_SECOND)

        sender = Thread(target=send)
        sender.start()
        while time.monotonic() - start < seconds:
            newest = client.receive(timeout_s=PATIENCE_S)["newest"]["frame_s"]
            if newest is not None:
                ages.append(time.monotonic() - start - newest)
            memory.append(service.memory())
        stop.set()
        sender.join()
    middle, late = np.median(ages), np.quantile(ages, 0.95)
    fifth = max(1, len(memory) // 5)
    growth = (np.mean(memory[-fifth:]) - np.mean(memory[fifth : 2 * fifth])) / 1e6
    return (
        f"{len(ages) / seconds:.1f} answers/s, newest frame {1000 * middle:.0f} ms old in the "
        f"median, {1000 * late:.0f} ms at 95 %; memory {growth:+.0f} MB"
    )


def storm(service: Service, clip: bytes, *, clients: int) -> str:
    """Let so many clients post a clip at once, and one after them."""
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda _: service.post(clip), range(clients)))
    codes = Counter(status for status, _ in answers)
    after = service.post(clip)[0]
    told = ", ".join(
        f"{count} got {status or 'nothing'}" for status, count in sorted(codes.items())
    )
    return f"{told}; longest {max(took for _, took in answers):.1f} s; the next one {after}"


def mutated(service: Service, clip: bytes, *, count: int) -> str:
    """Post clips of which some bytes are others."""
    chance = random.Random(7)  # noqa: S311 - no secret
    files = service.process.num_fds()
    codes: Counter[int] = Counter()
    for _ in range(count):
        data = bytearray(clip)
        for _ in range(chance.choice([1, 4, 30, 300])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        codes[service.post(bytes(data[: chance.choice([len(data), len(data) // 2])]))[0]] += 1
    told = ", ".join(f"{number} got {status}" for status, number in sorted(codes.items()))
    more = service.process.num_fds() - files
    return f"{told}; open files {more:+d}; {len(service.process.children())} workers"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line a quantity."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20, help="for the throughput")
    parser.add_argument("--live", type=float, default=30, help="seconds of a live session")
    parser.add_argument("--clients", type=int, default=200, help="at once in the storm")
    parser.add_argument("--mutated", type=int, default=200)
    given = parser.parse_args(arguments)
    table = Table("what", "measured")
    try:
        clips = [path.read_bytes() for path in given.clips]
        with started(given.workers) as service:
            table.add_row("memory, idle", f"{service.memory() / 1e6:.0f} MB")
            told = throughput(service, clips, seconds=given.seconds)
            table.add_row("throughput", told)
            table.add_row("live", live(service, given.clips[0], seconds=given.live))
            table.add_row("storm", storm(service, clips[0], clients=given.clients))
            table.add_row("mutated", mutated(service, clips[0], count=given.mutated))
            table.add_row("memory, most", f"{service.peak / 1e6:.0f} MB")
    except (MienError, OSError) as error:
        print(f"service: {error}", file=sys.stderr)
        return 2
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
