"""The whole way of a job: what is asked for → a table, and what came of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from mien.batch.chunks import Tally
from mien.batch.inputs import entries
from mien.batch.job import Job, beside, claim
from mien.batch.parts import read_tally
from mien.batch.pipeline import Cluster, Progress, connected, run
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
        job, plan = _prepare(job, inputs, into_new=into_new)
        with connected(cluster.address):
            return _report(job, plan, cluster=cluster, progress=progress)
    with connected(cluster.address) as ray:
        # Ray Data cannot be driven from outside; paths are those of the cluster.
        there = ray.remote(num_cpus=0, max_retries=0)(_there)
        report: Report = ray.get(there.remote(job, inputs, cluster=cluster, into_new=into_new))
        return report


def _there(job: Job, inputs: Sequence[str], *, cluster: Cluster, into_new: bool) -> Report:
    job, plan = _prepare(job, inputs, into_new=into_new)
    return _report(job, plan, cluster=cluster, progress=lambda _, __: None)


def _prepare(job: Job, inputs: Sequence[str], *, into_new: bool) -> tuple[Job, Plan]:
    _require_pyarrow_and_ray()
    found = entries(inputs, access=job.access)
    first = next(found)
    if into_new:
        job = replace(job, out=beside(job))
    claim(job)
    return job, make_plan(job.work, chain([first], found), sizes=sizes_of(timeline=job.timeline))


def _report(job: Job, plan: Plan, *, cluster: Cluster, progress: Progress) -> Report:
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
    )


def _require_pyarrow_and_ray() -> None:
    from importlib.util import find_spec  # noqa: PLC0415

    if missing := [name for name in ("ray", "pyarrow") if find_spec(name) is None]:
        raise MissingDependency(
            f"mien batch needs {' and '.join(missing)}: pip install 'mien[batch]', or '.[batch]' "
            "in a clone"
        )
