"""A timeline's windows → files that people's own tools open, one module a format.

``outputs`` knows the endings and opens the writers; ``writer`` says what a writer is, ``facts``
what every file tells about itself, ``resume_file`` where to go on. ``source``, ``soundtrack``,
``box_paths`` and ``drawing`` make the drawn video.
"""

from mien.timeline_files.facts import TimelineFacts
from mien.timeline_files.outputs import (
    ENDINGS,
    RESUMABLE,
    check_outputs,
    missing_from,
    open_writers,
    start_of,
)

__all__ = [
    "ENDINGS",
    "RESUMABLE",
    "TimelineFacts",
    "check_outputs",
    "missing_from",
    "open_writers",
    "start_of",
]
