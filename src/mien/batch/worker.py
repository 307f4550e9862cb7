"""One worker of a job: pieces of the plan → their answers, each piece in a file of its own."""

import json
import os
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from mien.batch.child import Child
from mien.batch.chunks import Tally, has_chunk, write_chunk
from mien.batch.job import Job
from mien.batch.parts import is_done
from mien.batch.places import fetched, open_place
from mien.batch.plan import Chunk, Planned, read_part
from mien.batch.rows import Outcome, as_text
from mien.errors import ClipTimedOut, MienError, WorkerCrashed


class Worker:
    """Answers pieces of the plan; Ray keeps one a core, each with a process that may crash."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._child = Child(job)
        self._part = lru_cache(maxsize=1)(lambda number: read_part(job.work, number))
        self._name = f"{socket.gethostname()}:{os.getpid()}"

    def __call__(self, asked: Any) -> Any:
        """Answer some pieces: a table of their places → the same with what came of each.

        What stops the whole job, as a full disk does, is told in the column ``refused`` and not
        raised: Ray would try again, and then tell it in many lines.
        """
        import pyarrow  # noqa: PLC0415

        tallies: list[str | None] = []
        refused: list[str | None] = []
        for row in asked.to_pylist():
            try:
                tallies.append(self._answer(Chunk(**row)).as_json())
                refused.append(None)
            except MienError as error:
                tallies.append(None)
                refused.append(json.dumps([type(error).__name__, str(error)]))
        for name, values in (("tally", tallies), ("refused", refused)):
            asked = asked.append_column(name, pyarrow.array(values, pyarrow.string()))
        return asked

    def _answer(self, chunk: Chunk) -> Tally:
        if has_chunk(self._job.work, chunk) or is_done(self._job.out, chunk.part):
            # Asked again: Ray's note of the answer was lost with a machine.
            return Tally()
        planned: Sequence[Planned] = self._part(chunk.part)[chunk.start : chunk.stop]
        return write_chunk(self._job.work, chunk, [self.answer(clip) for clip in planned])

    def close(self) -> None:
        """End the process."""
        self._child.close()

    def answer(self, clip: Planned) -> Outcome:
        """Answer one clip, however it ends."""
        started = time.perf_counter()
        for attempt in range(1, self._job.retries + 2):
            outcome = self._try(clip, attempt)
            if outcome.error is None or not outcome.error.pop("again"):
                break
        for row in outcome.rows:
            row["seconds"] = round(time.perf_counter() - started, 4)
        return outcome

    def _try(self, clip: Planned, attempt: int) -> Outcome:
        place = open_place(clip.url, self._job.access)
        try:
            facts = _facts(clip.url, self._job)
            with fetched(place) as path:
                reply = self._child.ask(path)
                if error := reply.get("error"):
                    return self._failed(
                        clip, attempt, error[0], error[1].replace(str(path), clip.url)
                    )
        except (WorkerCrashed, ClipTimedOut) as error:
            return self._failed(
                clip, attempt, type(error).__name__, f"{clip.url}: {error}", again=True
            )
        except OSError as error:
            reason = str(error.strerror or error).partition("\n")[0]
            message = f"{clip.url}: cannot be read ({reason})"
            again = not isinstance(error, FileNotFoundError)
            return self._failed(clip, attempt, "UnreadableClip", message, again=again)
        named = {"clip": clip.clip, "path": as_text(clip.url), "worker": self._name, **facts}
        named["bundle_sha256"] = self._job.bundle_sha256
        return Outcome([{**row, **named} for row in reply["rows"]], None, reply["video_s"])

    @staticmethod
    def _failed(
        clip: Planned, attempt: int, kind: str, message: str, *, again: bool = False
    ) -> Outcome:
        error = {
            "clip": clip.clip,
            "kind": kind,
            "message": as_text(message),
            "attempts": attempt,
            "path": as_text(clip.url),
            "again": again,
        }
        return Outcome([], error, 0.0)


def _facts(url: str, job: Job) -> dict[str, Any]:
    """Give size and last change of a clip.

    Raises:
        OSError: it is not there.
    """
    place = open_place(url, job.access)
    if place.is_local:
        found = os.stat(url)  # noqa: PTH116 - the name need not be text
        return {"size": found.st_size, "mtime": datetime.fromtimestamp(found.st_mtime, UTC)}
    info = place.filesystem.get_file_info(place.path)
    if info.type.name != "File":
        raise FileNotFoundError(2, "no such file")
    return {"size": info.size, "mtime": info.mtime}
