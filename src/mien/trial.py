"""The fastest precision that answers as float32 does, by trial."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from mien.bundle import DEFAULT_BUNDLE, Bundle, Networks
from mien.detectors import make_detector
from mien.faces import follow_faces
from mien.graphs import engine_of, version_of
from mien.kept import kept
from mien.media import open_clip
from mien.processor import multiplies

GOLDEN_CLIP = DEFAULT_BUNDLE.parent / "astronaut.mp4"
"""A clip with a face and a voice, which every bundle stores its answer to."""
CANDIDATES = ("int8", "bf16")
"""The fastest first."""
LARGE = 2**25
"""Bytes from which an embedder is so large that less than float32 is worth it."""
TRIAL = "trial.json"
NEAR = 0.015
"""Largest difference from float32's probabilities of the face. The promise is 0.02, and few are
compared; where there is a voice too, its share halves the difference."""

Pixels = npt.NDArray[np.uint8]


def open_networks(bundle: Bundle, *, device: str, precision: str) -> Networks:
    """Open the networks of a bundle.

    Args:
        bundle: what answers.
        device: ``"cpu"`` or ``"cuda"``.
        precision: of the embedder: ``"f32"``, ``"bf16"``, ``"int8"``; or ``"auto"``, the fastest
            that answers as float32 does to the golden clip, to 0.015. That is tried once, which
            takes seconds, and kept in the user's cache.

    Raises:
        BundleMismatch: the graphs do not fit.
        DeviceUnavailable: the device, or the processor for that precision, is not there.
        InvalidArgument: an unknown precision, or one that the device does not do.
        MissingDependency: the precision needs a package that is not installed.
    """
    if precision == "auto":
        precision = trusted_precision(bundle, device=device)
    return Networks(bundle, device=device, precision=precision)


def trusted_precision(bundle: Bundle, *, device: str = "cpu") -> str:
    """Choose the precision of a bundle's embedder.

    >>> from mien.bundle import load_bundle
    >>> trusted_precision(load_bundle())  # small: there is little to win
    'f32'
    """
    embedder = bundle.file("embedder")
    if device != "cpu" or embedder is None or bundle.file("video") is None:
        return "f32"
    if embedder.stat().st_size < LARGE:
        return "f32"
    fast = (name for name in CANDIDATES if multiplies(name) and engine_of(name))
    try:
        return next((name for name in fast if _kept_trial(bundle, name).passed), "f32")
    except OSError:
        # A cache that cannot be written: what cannot be kept is not tried at every start.
        return "f32"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a precision did against float32."""

    difference: float
    """Largest of any probability; infinity where another emotion was the likeliest."""
    times_faster: float

    @property
    def passed(self) -> bool:
        """Whether it may be used, and is worth it."""
        return self.difference <= NEAR and self.times_faster > 1


def _kept_trial(bundle: Bundle, precision: str) -> Trial:
    engine = engine_of(precision) or ""
    folder = kept(
        f"{bundle.sha256[:24]}-{precision}-{engine}-{version_of(engine)}-trial",
        lambda folder: (folder / TRIAL).write_text(json.dumps(asdict(trial(bundle, precision)))),
    )
    return Trial(**json.loads((folder / TRIAL).read_text(encoding="utf-8")))


def trial(bundle: Bundle, precision: str) -> Trial:
    """Let a precision and float32 answer for the faces of the golden clip, and for noise.

    Args:
        bundle: one with faces.
        precision: of its embedder.
    """
    faces = bundle.config.faces
    size = (faces.frames, faces.crop_size, faces.crop_size, 3)
    noise = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    pictures = [noise, _golden_faces(bundle)]
    usual, usual_s = _seen(bundle, "f32", pictures)
    other, other_s = _seen(bundle, precision, pictures)
    same = (usual.argmax(axis=1) == other.argmax(axis=1)).all()
    difference = float(np.abs(usual - other).max()) if same else float("inf")
    return Trial(difference=difference, times_faster=usual_s / other_s)


def _seen(
    bundle: Bundle, precision: str, pictures: Sequence[Pixels]
) -> tuple[npt.NDArray[np.float32], float]:
    """Give the answer to each row of faces, and the seconds that the last row took."""
    networks = Networks(bundle, precision=precision)
    assert networks.embedder is not None  # noqa: S101 - only embedders are tried
    answers = []
    for crops in pictures:
        start = time.perf_counter()
        rows = networks.embedder.embed(crops)
        seconds = time.perf_counter() - start
        answer = networks.answer("video", rows[None])[0]
        answers.append(bundle.calibration.answers["video"].apply(answer))
    return np.stack(answers), seconds


def _golden_faces(bundle: Bundle) -> Pixels:
    faces = bundle.config.faces
    with open_clip(GOLDEN_CLIP, frames=faces.frames, sample_rate=8_000, samples=1) as clip:
        found = follow_faces(clip.frames(), config=faces, detector=make_detector("haar"))
    assert found.crops is not None  # noqa: S101 - there is a face in all of its frames
    return found.crops
