"""Where and with what a run was made: what a reader needs to make it again."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("numpy", "scipy", "scikit-learn", "keras", "jax", "librosa", "av")
"""Packages whose versions can change a score."""


def circumstances() -> dict[str, Any]:
    """Tell versions, hardware and commit.

    Returns:
        ``mien_version``, ``git_commit`` (``None`` outside a clone; ``+changes`` where files
        differ from the commit), ``versions`` and ``hardware``.

    >>> circumstances()["hardware"]["cores"] > 0
    True
    """
    return {
        "mien_version": version("mien"),
        "git_commit": _commit(),
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
        "hardware": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
            "devices": [device.device_kind for device in jax.devices()],
        },
    }


def _commit() -> str | None:
    folder = Path(__file__).parent
    commit = _git("rev-parse", "HEAD", folder=folder)
    # An installed mien may lie in somebody else's repository, which says nothing of it.
    if commit is None or _git("ls-files", Path(__file__).name, folder=folder) == "":
        return None
    changed = _git("status", "--porcelain", "--untracked-files=no", folder=folder)
    return f"{commit}+changes" if changed else commit


def _git(*arguments: str, folder: Path) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", *arguments],  # noqa: S607 - the user's own git
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    """Name the processor: Linux alone tells it in full."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
