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
from mien.batch.plan import Chunk, Plan, chunks_of, sizes_of
from mien.batch.worker import Worker
from mien.errors import ClusterUnavailable, InvalidArgument, MienError, MissingDependency

TASKS = 4_000
"""Into so many tasks the pieces are put together at most: each costs the driver some memory."""
TASKS_A_WORKER = 16

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

    open_parts = _Open(job, plan)
    before = plan.clips - sum(stop - start for _, start, stop in open_parts.left)
    progress(before, plan.clips)
    total = Tally()
    with _one_line():
        finished = [_finish(open_parts, part) for part in open_parts.whole()]
        if open_parts.left:
            for chunk, tally in _answers(job, open_parts.left, cluster):
                total.add(tally)
                progress(before + total.clips, plan.clips)
                if open_parts.done(chunk):
                    finished.append(_finish(open_parts, chunk.part))
        ray.get(finished)
    return total


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

    def whole(self) -> list[int]:
        """Give the parts whose pieces are all answered."""
        return [part for part, waiting in self._waiting.items() if not waiting]

    def done(self, chunk: Chunk) -> bool:
        """Note that a piece is answered; whether it was the last of its part."""
        waiting = self._waiting[chunk.part]
        waiting.discard(chunk.start)
        return not waiting


def _remains(job: Job) -> list[int]:
    return [int(info.base_name) for info in (job.work / "chunks").children()]


def _finish(open_parts: _Open, part: int) -> Any:
    import ray  # noqa: PLC0415

    finish = ray.remote(num_cpus=0, max_retries=-1)(finish_part)
    return finish.remote(open_parts.job, part, open_parts.chunks[part])


def _answers(job: Job, left: Sequence[Chunk], cluster: Cluster) -> Iterator[tuple[Chunk, Tally]]:
    import pyarrow  # noqa: PLC0415
    from ray import data  # noqa: PLC0415

    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    workers = cluster.workers or _all(cluster.gpus_per_worker)
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


def _all(gpus_per_worker: float) -> int:
    import ray  # noqa: PLC0415

    there = ray.cluster_resources()
    if gpus_per_worker:
        workers = int(there.get("GPU", 0) / gpus_per_worker)
        if not workers:
            raise InvalidArgument(
                f"--gpus-per-worker {gpus_per_worker:g}: Ray knows of {there.get('GPU', 0):g} "
                "graphics processors; leave it out, or start the nodes with --num-gpus"
            )
        return workers
    return max(1, int(there.get("CPU", 1)))


@contextmanager
def _one_line() -> Iterator[None]:
    """Give what went wrong on a worker as it was raised there, without Ray's many lines."""
    from ray import exceptions  # noqa: PLC0415

    try:
        yield
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, MienError):
            raise error.cause from None
        raise
    except exceptions.RayError as error:
        raise ClusterUnavailable(
            f"Ray failed ({str(error).splitlines()[0]}); the same command goes on from there"
        ) from error
