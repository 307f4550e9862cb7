"""A timeline's windows → files that people's own tools open, one module a format.

``outputs`` knows the endings and opens the writers; ``writer`` says what a writer is, ``facts``
what every file tells about itself. ``source``, ``soundtrack``, ``box_paths`` and ``drawing`` make
the drawn video.
"""

from mien.timeline_files.facts import TimelineFacts
from mien.timeline_files.outputs import ENDINGS, RESUMABLE, check_outputs, open_writers

__all__ = ["ENDINGS", "RESUMABLE", "TimelineFacts", "check_outputs", "open_writers"]
