"""The plan's pieces through Ray Data: a pool of workers on one machine or on a cluster."""

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mien import errors
from mien.batch.chunks import Tally, starts_of
from mien.batch.job import Job
from mien.batch.parts import done_parts, finish_part
from mien.batch.places import numbers
from mien.batch.plan import Chunk, Plan, chunks_of, sizes_of
from mien.batch.worker import Worker
from mien.errors import ClusterUnavailable, InvalidArgument, MienError, MissingDependency

TASKS = 4_000
"""Into so many tasks the pieces are put together at most: each costs the driver some memory."""
TASKS_A_WORKER = 16
ROUNDS = 3
"""How often pieces are answered that turn out torn."""

QUIET = {
    # Ray would tell its makers that it is used, and listen to the whole network. The second, made
    # for other systems, is the only way to have a cluster of one machine listen to itself alone.
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Its notes on retries and restarts, which are no news here, would break up the progress bar.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where a job runs."""

    address: str | None = None
    """``"auto"``, ``"host:port"`` or ``"ray://host:port"``; a Ray of our own when ``None``."""
    workers: int | None = None
    """One a core, or as many as the graphics processors hold, when ``None``."""
    gpus_per_worker: float = 0.0

    def __post_init__(self) -> None:
        share = self.gpus_per_worker
        if not 0 <= share <= 1 and not (share > 1 and share.is_integer()):
            raise InvalidArgument(
                f"--gpus-per-worker must be between 0 and 1, or a whole number, not {share:g}"
            )


PORT_S = 10.0
"""Seconds that a cluster may take to accept a connection."""
Progress = Callable[[int, int], None]
"""Called with how many clips are done, by earlier runs too, and how many there are."""


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Be connected to Ray; gives its module.

    Raises:
        ClusterUnavailable: there is none.
        MissingDependency: Ray is not installed.
    """
    if address is None:
        os.environ.update(QUIET)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray  # noqa: PLC0415
        import ray.data  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependency(
            "mien batch needs Ray: pip install 'mien[batch]', or '.[batch]' in a clone"
        ) from error
    # What goes wrong is raised; Ray Data would also write the whole way that it took.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    own: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    options = {"address": "local", **own} if address is None else {"address": address}
    _require_port(address)
    try:
        with _quiet():
            ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise _unavailable(address, error) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_port(address: str | None) -> None:
    """Refuse an address where nobody listens; Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if not (host and port.isdecimal()) or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=PORT_S).close()
    except OSError as error:
        raise _unavailable(address, error) from error


def _unavailable(address: str | None, error: Exception) -> ClusterUnavailable:
    return ClusterUnavailable(
        f"no Ray cluster at --address {address} ({str(error).splitlines()[0]}); start one "
        "with 'ray start --head', or leave --address out"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Send standard error nowhere: Ray's core writes there that it was told to be quiet."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def run(job: Job, plan: Plan, *, cluster: Cluster, progress: Progress) -> Tally:
    """Do what is left of a plan; Ray is connected.

    Args:
        job: what is to be done.
        plan: all that is planned.
        cluster: how many workers there are, and what each has.
        progress: told at the start, and whenever something is done.

    Returns:
        What this run did.

    Raises:
        InvalidArgument: answers cannot be written.
        ClusterUnavailable: Ray went away.
        MienError: a worker cannot work at all.
    """
    import ray  # noqa: PLC0415

    open_parts, total = _Open(job, plan), Tally()
    with one_line():
        for _ in range(ROUNDS):
            before = plan.clips - open_parts.clips_left - total.clips
            progress(before + total.clips, plan.clips)
            finished = [_finish(open_parts, part) for part in open_parts.whole()]
            for chunk, tally in _answers(job, open_parts.left, cluster):
                total.add(tally)
                progress(before + total.clips, plan.clips)
                if open_parts.done(chunk):
                    finished.append(_finish(open_parts, chunk.part))
            torn = [chunk for chunks in ray.get(finished) for chunk in chunks]
            if not torn:
                return total
            open_parts.again(torn)
    raise InvalidArgument(
        f"expected whole files in {job.work.url}/chunks, got torn ones {ROUNDS} times, {torn[0]} "
        "among them; check the disk there"
    )


class _Open:
    """The parts that are not done, and their pieces."""

    def __init__(self, job: Job, plan: Plan) -> None:
        self.job = job
        self.chunks: dict[int, list[Chunk]] = {}
        self._waiting: dict[int, set[int]] = {}
        done, sizes = done_parts(job.out), sizes_of(timeline=job.timeline)
        for part, length in plan.lengths.items():
            if part not in done:
                chunks = list(chunks_of(part, length, sizes=sizes))
                (job.work / "chunks" / f"{part:06}").make()
                self.chunks[part] = chunks
                there = starts_of(job.work, part)
                self._waiting[part] = {chunk.start for chunk in chunks} - there
        for part in {*done} & {*_remains(job)}:
            (job.work / "chunks" / f"{part:06}").remove()

    @property
    def left(self) -> list[Chunk]:
        """The pieces that are not answered."""
        return [
            chunk
            for part, chunks in self.chunks.items()
            for chunk in chunks
            if chunk.start in self._waiting[part]
        ]

    @property
    def clips_left(self) -> int:
        """How many clips they hold."""
        return sum(stop - start for _, start, stop in self.left)

    def again(self, torn: Sequence[Chunk]) -> None:
        """Note that pieces are to be answered once more; what is done is left alone."""
        self.chunks = {part: self.chunks[part] for part in {chunk.part for chunk in torn}}
        self._waiting = {part: set() for part in self.chunks}
        for chunk in torn:
            self._waiting[chunk.part].add(chunk.start)

    def whole(self) -> list[int]:
        """Give the parts whose pieces are all answered."""
        return [part for part, waiting in self._waiting.items() if not waiting]

    def done(self, chunk: Chunk) -> bool:
        """Note that a piece is answered; whether it was the last of its part."""
        waiting = self._waiting[chunk.part]
        waiting.discard(chunk.start)
        return not waiting


def _remains(job: Job) -> list[int]:
    return numbers(job.work / "chunks")


def _finish(open_parts: _Open, part: int) -> Any:
    import ray  # noqa: PLC0415

    finish = ray.remote(num_cpus=0, max_retries=-1)(finish_part)
    return finish.remote(open_parts.job, part, open_parts.chunks[part])


def _answers(job: Job, left: Sequence[Chunk], cluster: Cluster) -> Iterator[tuple[Chunk, Tally]]:
    import pyarrow  # noqa: PLC0415
    from ray import data  # noqa: PLC0415

    if not left:
        return
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    workers = _workers(cluster)
    tasks = max(TASKS, TASKS_A_WORKER * workers)
    step = -(-len(left) // tasks)
    blocks = [
        pyarrow.Table.from_pylist([chunk._asdict() for chunk in left[start : start + step]])
        for start in range(0, len(left), step)
    ]
    answered = data.from_arrow(blocks).map_batches(
        Worker,
        fn_constructor_args=(job,),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=1,
        num_gpus=cluster.gpus_per_worker or None,
        compute=data.ActorPoolStrategy(size=min(workers, len(blocks))),
    )
    for table in answered.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
        for row in table.to_pylist():
            tally, refused = row.pop("tally"), row.pop("refused")
            if refused:
                kind, message = json.loads(refused)
                raise getattr(errors, kind)(message)
            yield Chunk(**row), Tally.of_json(tally)


def _workers(cluster: Cluster) -> int:
    import ray  # noqa: PLC0415

    there, share = ray.cluster_resources(), cluster.gpus_per_worker
    if not share:
        return cluster.workers or max(1, int(there.get("CPU", 1)))
    room = int(there.get("GPU", 0) / share)
    # To a cluster, machines may come that have what workers wait for; to this one, nothing does.
    if not room and (cluster.workers is None or cluster.address is None):
        raise InvalidArgument(
            f"--gpus-per-worker {share:g}: Ray knows of {there.get('GPU', 0):g} graphics "
            "processors; leave it out, or start the nodes with --num-gpus"
        )
    return cluster.workers or room


@contextmanager
def one_line() -> Iterator[None]:
    """Give what went wrong on a worker as it was raised there, without Ray's many lines."""
    from ray import exceptions  # noqa: PLC0415

    try:
        yield
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, MienError):
            raise error.cause from None
        raise
    except (exceptions.RayError, ConnectionError) as error:
        reason = str(error).partition("\n")[0]
        raise ClusterUnavailable(
            f"Ray failed ({reason}); the same command goes on from there"
        ) from error
