"""One worker of a job: pieces of the plan → their answers, each piece in a file of its own."""

import errno
import json
import os
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from mien.batch.child import PAUSES_S, Child, patiently, unfit
from mien.batch.chunks import Tally, has_chunk, write_chunk
from mien.batch.job import Job
from mien.batch.parts import is_done
from mien.batch.places import Place, fetched, hidden, stored_place
from mien.batch.plan import Chunk, Planned, read_part
from mien.batch.rows import Outcome, as_text
from mien.errors import ClipTimedOut, MienError, WorkerCrashed

LACKING = frozenset(
    {errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC}
)
"""Numbers of errors that tell of this machine, not of a clip."""


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
            if attempt <= self._job.retries:
                time.sleep(PAUSES_S[0])
        for row in outcome.rows:
            row["seconds"] = round(time.perf_counter() - started, 4)
        return outcome

    def _try(self, clip: Planned, attempt: int) -> Outcome:
        from pyarrow import ArrowException  # noqa: PLC0415

        place = stored_place(clip.url, self._job.access)
        with ExitStack() as stack:
            try:
                facts, path = patiently(partial(_at_hand, place, stack))
            except (OSError, ValueError, ArrowException) as error:
                return self._unreadable(clip, attempt, hidden(_reason(error), place.access), error)
            try:
                reply = self._child.ask(path)
            except (WorkerCrashed, ClipTimedOut) as error:
                message = f"{clip.url}: {error}"
                return self._failed(clip, attempt, type(error).__name__, message, again=True)
        if failure := reply.get("error"):
            message = failure[1].replace(str(path), clip.url)
            return self._failed(clip, attempt, failure[0], message)
        named = {"clip": clip.clip, "path": as_text(clip.url), "worker": self._name, **facts}
        named["bundle_sha256"] = self._job.bundle_sha256
        return Outcome([{**row, **named} for row in reply["rows"]], None, reply["video_s"])

    def _unreadable(self, clip: Planned, attempt: int, reason: str, error: Exception) -> Outcome:
        # What a store refuses now it may give later; a name that is none stays so.
        cause = error if isinstance(error, OSError) else error.__cause__
        again = isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
        message = f"{clip.url}: cannot be read ({reason})"
        return self._failed(clip, attempt, "UnreadableClip", message, again=again)

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


def _at_hand(place: Place, stack: ExitStack) -> tuple[dict[str, Any], Path]:
    """Give what is known of a clip, and a local file of it.

    Raises:
        OSError, ValueError, ArrowException: there is none.
        WorkerUnfit: this machine has no room for it.
    """
    try:
        return _facts(place), stack.enter_context(fetched(place))
    except OSError as error:
        if error.errno in LACKING:
            raise unfit(_reason(error)) from error
        raise


def _reason(error: Exception) -> str:
    told = error.strerror if isinstance(error, OSError) else None
    return (told or str(error)).partition("\n")[0]


def _facts(place: Place) -> dict[str, Any]:
    """Give size and last change of a clip.

    Raises:
        OSError: it is not there.
    """
    if place.is_local:
        found = os.stat(place.url)  # noqa: PTH116 - the name need not be text
        return {"size": found.st_size, "mtime": datetime.fromtimestamp(found.st_mtime, UTC)}
    info = place.filesystem.get_file_info(place.path)
    if info.type.name != "File":
        raise FileNotFoundError(2, "no such file")
    return {"size": info.size, "mtime": info.mtime}
