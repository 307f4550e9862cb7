"""Read which of eight emotions the face and the voice in a clip express.

>>> import mien
>>> recogniser = mien.load()
>>> recogniser.bundle.name
'default'
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

from mien.emotions import EMOTIONS

if TYPE_CHECKING:
    from mien.recognise import Failure, Prediction, Recogniser, load, predict
    from mien.timelines import Timeline

# ONNX Runtime 1.29 and later report to their makers, and keep an identifier on disk, unless this is
# set before they are imported. mien sends nothing anywhere.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = [
    "EMOTIONS",
    "Failure",
    "Prediction",
    "Recogniser",
    "Timeline",
    "__version__",
    "load",
    "predict",
]


def __getattr__(name: str) -> object:
    # OpenCV, PyAV and ONNX Runtime take half a second to import; `import mien` need not wait.
    if name in __all__:
        place = "mien.timelines" if name == "Timeline" else "mien.recognise"
        return getattr(import_module(place), name)
    raise AttributeError(f"module 'mien' has no attribute {name!r}")
