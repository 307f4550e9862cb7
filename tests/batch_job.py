"""Runs a job of the stub engine as a process of its own: ``batch_job.py OUT ADDRESS INPUT``."""

import sys
from dataclasses import dataclass

from mien.batch.job import Job
from mien.batch.pipeline import Cluster
from mien.batch.places import access_of, open_place
from mien.batch.run import run_batch
from mien.batch.summary import summary_lines
from mien.errors import MienError


@dataclass(frozen=True)
class Peak:
    """Notes each step of a job, for those who watch."""

    def __call__(self, done: int, clips: int) -> None:
        sys.stdout.write(f"progress {done} {clips}\n")
        sys.stdout.flush()


def main(out: str, address: str, workers: str, *inputs: str) -> int:
    places = [open_place(name) for name in (*inputs, out)]
    job = Job(
        out=places[-1],
        bundle=None,
        bundle_sha256="ab" * 32,
        version="1",
        engine="batch_stub:open_engine",
        timeout_s=5,
        retries=1,
        access=access_of(places),
    )
    cluster = Cluster(address=address or None, workers=int(workers))
    try:
        report = run_batch(job, inputs, cluster=cluster, progress=Peak())
    except MienError as error:
        sys.stderr.write(f"mien: {error}\n")
        return error.exit_code
    sys.stdout.write("\n".join(summary_lines(report)) + "\n")
    return 1 if report.whole.failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
