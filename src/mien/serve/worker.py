"""The process that reads clips: one warm recogniser, within limits, and nothing on disk.

``python -m mien.serve.worker``, started by :mod:`mien.serve.pool`. It takes messages from its
standard input and answers on its standard output; a clip comes as an open file through the socket
whose number it is given. It ends when the service does.
"""

import io
import json
import os
import resource
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from mien.errors import ClipTooLong, LimitExceeded, MienError
from mien.live import PICTURE
from mien.serve.channel import Message, packed, read_message
from mien.serve.settings import processors

if TYPE_CHECKING:
    from mien.live_window import LiveWindow, Moment
    from mien.recognise import Recogniser

FULL_SCALE = 32_768.0


def main() -> None:
    """Answer until the service goes away."""
    options = json.loads(sys.argv[1])
    # Whatever a library prints must not come between the messages.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with socket.socket(fileno=options["socket"]) as files, suppress(BrokenPipeError):
        worker = _Worker(_recogniser(options), files, max_seconds=options["max_seconds"])
        _limit(options["memory"])
        for message in worker.run(sys.stdin.buffer):
            out.write(packed(message))
            out.flush()


def _recogniser(options: dict[str, Any]) -> "Recogniser":
    """Load the model, with as many threads as are this worker's share of the processors."""
    usable = processors()
    share = max(1, len(usable) // options["workers"])
    # Libraries count the processors that they may use when they are loaded.
    _keep_to(sorted(usable)[:share])
    import cv2  # noqa: PLC0415

    from mien.recognise import Recogniser  # noqa: PLC0415
    from mien.verify import GOLDEN_CLIP  # noqa: PLC0415

    cv2.setNumThreads(share)
    recogniser = Recogniser(options["bundle"])
    # The first clip is slower than all others.
    recogniser.predict(GOLDEN_CLIP)
    _keep_to(usable)
    return recogniser


def _keep_to(usable: Iterable[int]) -> None:
    # macOS lets nobody choose.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, usable)


def _limit(memory: int) -> None:
    """Bound what a clip may take: memory, files, core dumps."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (row for row in status.read_text().splitlines() if row.startswith("VmData:"))
        most = int(line.split()[1]) * 1024 + memory
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class _Worker:
    """Does what messages say, one after the other."""

    def __init__(
        self, recogniser: "Recogniser", files: socket.socket, *, max_seconds: float
    ) -> None:
        self._recogniser, self._files, self._max_seconds = recogniser, files, max_seconds
        self._live: LiveWindow | None = None

    def run(self, source: BinaryIO) -> Iterator[Message]:
        yield {"ready": True}
        while (received := read_message(source)) is not None:
            message, blobs = received
            try:
                yield from self._do(message, blobs)
            except MienError as error:
                yield _failure(error)
            except MemoryError:
                yield _failure(LimitExceeded("the clip takes too much memory to read"))
            yield {"done": True}

    def _do(self, message: Message, blobs: list[bytes]) -> Iterator[Message]:
        match message["do"]:
            case "predict":
                yield {"answer": self._predict(self._clip(message))}
            case "timeline":
                yield from self._timeline(self._clip(message), message["options"])
            case "open":
                self._live = self._recogniser.live(rate=message["rate"])
            case "close":
                self._live = None
            case "live":
                yield from self._moment(message, blobs)

    def _clip(self, message: Message) -> io.FileIO:
        _, numbers, _, _ = socket.recv_fds(self._files, 1, 1)
        clip = io.FileIO(numbers[0], "rb")
        # As which errors and answers know it.
        clip.name = message["name"]
        return clip

    def _predict(self, clip: io.FileIO) -> dict[str, Any]:
        with closing(clip):
            self._require_short(_claimed_seconds(clip))
            prediction = self._recogniser.predict(clip)
            self._require_short(prediction.duration_s)
            return prediction.to_dict()

    def _timeline(self, clip: io.FileIO, options: dict[str, Any]) -> Iterator[Message]:
        from mien.timeline import TimelineOptions  # noqa: PLC0415

        with closing(clip):
            self._require_short(_claimed_seconds(clip))
            windows = self._recogniser.timeline(clip, options=TimelineOptions(**options))
            for window in windows:
                self._require_short(window.end_s)
                yield {"window": asdict(window)}

    def _require_short(self, seconds: float | None) -> None:
        if seconds is not None and seconds > self._max_seconds:
            raise ClipTooLong(
                f"the clip must last at most {self._max_seconds:g} s, not {seconds:.1f} s; "
                "cut it, or start the service with a larger --max-seconds"
            )

    def _moment(self, message: Message, blobs: list[bytes]) -> Iterator[Message]:
        live = self._live
        assert live is not None  # noqa: S101 - the service opens before it asks
        for (kind, time_s), blob in zip(message["pieces"], blobs, strict=True):
            if kind == PICTURE:
                live.see(blob, time_s=time_s)
            else:
                samples = np.frombuffer(blob, "<i2").astype(np.float32) / np.float32(FULL_SCALE)
                live.hear(samples, time_s=time_s)
        moment = live.answer() if message["answer"] else None
        if moment is not None:
            yield {"answer": _answer(moment, self._recogniser)}


def _claimed_seconds(clip: io.FileIO) -> float | None:
    """Give the seconds that a clip's header claims; ``None`` where it does not."""
    from mien.media.container import claimed_seconds  # noqa: PLC0415
    from mien.media.reader import reading  # noqa: PLC0415

    with reading(clip) as reader:
        return claimed_seconds(reader)


def _answer(moment: "Moment", recogniser: "Recogniser") -> dict[str, Any]:
    """Give a prediction over the last seconds, and what only live answers have."""
    from mien.live_window import moment_dict  # noqa: PLC0415
    from mien.recognise import Prediction  # noqa: PLC0415

    prediction = Prediction(
        clip="live",
        **vars(moment.told.answer),
        duration_s=round(moment.end_s - moment.start_s, 3),
        faces_found=moment.told.faces_found,
        bundle={"name": recogniser.bundle.name, "sha256": recogniser.bundle.sha256},
        seconds={**moment.seconds, "total": round(sum(moment.seconds.values()), 4)},
    )
    return {**prediction.to_dict(), **moment_dict(moment)}


def _failure(error: MienError) -> Message:
    return {"error": {"type": type(error).__name__, "message": str(error)}}


if __name__ == "__main__":
    main()
