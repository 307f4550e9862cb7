"""An engine in the recogniser's place: quick, and does by a clip's name whatever goes wrong."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from mien.batch.engine import Answer
from mien.batch.job import Job
from mien.emotions import EMOTIONS
from mien.errors import UnreadableClip


def open_engine(job: Job) -> Answer:
    return answer


def answer(path: Path) -> tuple[list[dict[str, Any]], float]:
    name = path.name
    if "corrupt" in name:
        raise UnreadableClip(f"{path}: is no clip")
    if "crash" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "once" in name and not Path(f"{path}.tried").exists():
        Path(f"{path}.tried").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in name:
        time.sleep(3600)
    if "bug" in name:
        raise ZeroDivisionError("a bug")
    if "greedy" in name:
        bytearray(2**33)
    if "slow" in name:
        time.sleep(0.05)
    row = {"start_s": 0.0, "end_s": 2.0, "emotion": "happy", **dict.fromkeys(EMOTIONS, 0.125)}
    return [row], 2.0
