"""What a job is: what is answered, with what, and where to."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mien.batch.places import WORK, Place, write_whole
from mien.errors import InvalidArgument

SETTINGS = "batch.json"
FOLDERS = (f"{WORK}/plan", f"{WORK}/chunks", "predictions", "errors")
ENGINE = "mien.batch.engine:open_engine"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What workers need to know; sent to each."""

    out: Place
    bundle: str | None
    """Folder, as seen from the workers; ``None`` is the embedded one."""
    bundle_sha256: str
    version: str
    """Of mien."""
    device: str = "cpu"
    timeline: bool = False
    retries: int = 2
    """How often a clip is tried again after its process died or took too long."""
    timeout_s: float = 120.0
    """Seconds that a clip may take."""
    access: Mapping[str, str] = field(default_factory=dict)
    engine: str = ENGINE
    """What answers clips: ``module:function``, as :mod:`mien.batch.engine` tells."""

    @property
    def work(self) -> Place:
        """Folder of what is only for this job."""
        return self.out / WORK

    @property
    def settings(self) -> dict[str, Any]:
        """What makes answers what they are; answers of one table share it."""
        return {
            "mien": self.version,
            "bundle_sha256": self.bundle_sha256,
            "device": self.device,
            "timeline": self.timeline,
            "engine": self.engine,
        }


def claim(job: Job) -> None:
    """Make the output folder this job's, or see that it is.

    Raises:
        InvalidArgument: the folder holds something else, or answers under other settings.
    """
    refusal = why_not(job)
    if refusal:
        raise InvalidArgument(refusal)
    # Settings come first: folders alone, after a stop in between, would look like somebody else's.
    (job.work / "part").make()
    settings = json.dumps(job.settings, indent=2).encode() + b"\n"
    write_whole(job.out / SETTINGS, lambda file: file.write(settings), work=job.work / "part")
    for folder in FOLDERS:
        (job.out / folder).make()


def why_not(job: Job) -> str | None:
    """Say why answers of this job cannot be put into its folder; ``None`` when they can."""
    kind = job.out.kind
    if kind == "nothing":
        return None
    if kind == "file":
        return f"--out {job.out.url} is a file; name a folder"
    if (job.out / SETTINGS).kind == "nothing":
        return _not_empty(job)
    found, wanted = _settings_in(job.out / SETTINGS), job.settings
    if found is None:
        return (
            f"expected the settings of a table in {job.out.url}/{SETTINGS}, got none; name another "
            "folder, or put the file back"
        )
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    if not differing:
        return None
    told = ", ".join(f"{name} {found.get(name)} (now {wanted[name]})" for name in differing)
    return (
        f"{job.out.url} was made with {told}; name another folder, or add --into-new to have one "
        "made beside it"
    )


def _settings_in(place: Place) -> dict[str, Any] | None:
    try:
        found = json.loads(place.read())
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _not_empty(job: Job) -> str | None:
    others = [info.base_name for info in job.out.children() if info.base_name != WORK]
    if not others:
        return None
    return (
        f"--out {job.out.url} holds {others[0]} and no {SETTINGS}: it is no table of mien batch; "
        "name a new or an empty folder"
    )


def beside(job: Job) -> Place:
    """Find the first folder that this job may use: its own, or that name with 2, 3, … after it."""
    place, number = job.out, 2
    while why_not(replace(job, out=place)):
        place = Place(f"{job.out.url}-{number}", job.out.access)
        number += 1
    return place


def to_json(job: Job) -> str:
    """Write a job for the process that answers."""
    return json.dumps(asdict(job))


def from_json(text: str) -> Job:
    """Read it there."""
    values = json.loads(text)
    return Job(**{**values, "out": Place(**values["out"])})
