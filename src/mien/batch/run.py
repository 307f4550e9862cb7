"""The whole way of a job: what is asked for → a table, and what came of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

from mien.batch.chunks import Tally
from mien.batch.inputs import entries
from mien.batch.job import Job, beside, claim
from mien.batch.parts import read_tally
from mien.batch.pipeline import Cluster, Progress, connected, one_line, run
from mien.batch.places import Place
from mien.batch.plan import Plan, make_plan, sizes_of
from mien.errors import MissingDependency


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came of a job."""

    out: Place
    """Its folder, which ``into_new`` may have chosen."""
    whole: Tally
    """Of all runs."""
    now: Tally
    """Of this one."""
    took_s: float
    """Seconds of this run after its start."""
    doubled: int
    """Clips that the input names again."""
    first_doubled: str | None
    skipped: Sequence[str] = ()
    """Why folders were left out."""


def run_batch(
    job: Job, inputs: Sequence[str], *, cluster: Cluster, progress: Progress, into_new: bool = False
) -> Report:
    """Answer clips until all are answered; what earlier runs have answered is kept.

    Args:
        job: what is answered, with what, and where to.
        inputs: as :func:`mien.batch.inputs.entries` takes them.
        cluster: where it runs.
        progress: told how many clips are done, and how many there are; not by ``ray://``.
        into_new: use a folder beside the job's where that was made with other settings.

    Raises:
        InvalidArgument: inputs cannot be read, or the folder not be used or written.
        ClusterUnavailable: there is no Ray at the address, or it went away.
        MissingDependency: Ray is not installed.
        MienError: a worker cannot work at all.
    """
    if not (cluster.address or "").startswith("ray://"):
        asked = _prepare(job, inputs, into_new=into_new)
        with connected(cluster.address):
            return _report(asked, cluster=cluster, progress=progress)
    with connected(cluster.address) as ray:
        # Ray Data cannot be driven from outside; paths are those of the cluster.
        there = ray.remote(num_cpus=0, max_retries=0)(_there)
        with one_line():
            report: Report = ray.get(there.remote(job, inputs, cluster=cluster, into_new=into_new))
        return report


def _there(job: Job, inputs: Sequence[str], *, cluster: Cluster, into_new: bool) -> Report:
    asked = _prepare(job, inputs, into_new=into_new)
    return _report(asked, cluster=cluster, progress=lambda _, __: None)


class _Asked(NamedTuple):
    job: Job
    plan: Plan
    skipped: Sequence[str]


def _prepare(job: Job, inputs: Sequence[str], *, into_new: bool) -> _Asked:
    _require_pyarrow_and_ray()
    skipped: list[str] = []
    found = entries(inputs, access=job.access, skip=skipped.append)
    first = next(found)
    if into_new:
        job = replace(job, out=beside(job))
    claim(job)
    sizes = sizes_of(timeline=job.timeline)
    return _Asked(job, make_plan(job.work, chain([first], found), sizes=sizes), skipped)


def _report(asked: _Asked, *, cluster: Cluster, progress: Progress) -> Report:
    job, plan, skipped = asked
    started = time.perf_counter()
    now = run(job, plan, cluster=cluster, progress=progress)
    took_s = time.perf_counter() - started
    whole = Tally()
    for part in plan.lengths:
        whole.add(read_tally(job.out, part))
    return Report(
        out=job.out,
        whole=whole,
        now=now,
        took_s=took_s,
        doubled=plan.doubled,
        first_doubled=plan.first_doubled,
        skipped=skipped,
    )


def _require_pyarrow_and_ray() -> None:
    from importlib.util import find_spec  # noqa: PLC0415

    if missing := [name for name in ("ray", "pyarrow") if find_spec(name) is None]:
        raise MissingDependency(
            f"mien batch needs {' and '.join(missing)}: pip install 'mien[batch]', or '.[batch]' "
            "in a clone"
        )
