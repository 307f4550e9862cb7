"""Whether a bundle answers here as it did where it was trained."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.bundle import Bundle, Networks, load_bundle
from mien.calibration import FUSED
from mien.config import Config
from mien.errors import BundleMismatch
from mien.recognise import Prediction, Recogniser
from mien.trial import GOLDEN_CLIP as GOLDEN_CLIP  # noqa: PLC0414 - others know it from here

Arrays = Mapping[str, npt.NDArray[np.generic]]

SAME = 1e-4
"""Largest difference of probabilities between processors that still counts as the same answer."""
SAME_WAY = 0.02
"""The same for the whole way from a clip: decoders and face detectors round in their own ways."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One answer, given here and compared with the stored one."""

    what: str
    """Which answer, and to what: the stored input or the golden clip."""
    reference: str
    """What the stored answer was given by."""
    difference: float
    """Largest of any probability."""
    allowed: float


def verify_bundle(path: str | os.PathLike[str] | None = None) -> tuple[Check, ...]:
    """Check sums, label order and shapes, and that stored inputs still give the stored answers.

    The stored answers are those of the networks as Keras had them when they were trained, those of
    the exported graphs then, and those to a clip with a face and a voice, all the way from the
    file; as a timeline it must give the same answer. What a bundle has not stored is not checked.

    Args:
        path: the bundle's folder; the embedded default bundle when ``None``.

    Raises:
        BundleError: as :func:`mien.bundle.load_bundle`, or an answer differs by more than allowed.

    >>> max(check.difference for check in verify_bundle()) <= 0.02
    True
    """
    bundle = load_bundle(path)
    golden = bundle.file("golden")
    if golden is None:
        raise BundleMismatch(f"{bundle.path} has no golden output; export the bundle again")
    checks = tuple(_checks(bundle, _read_golden(golden)))
    for check in checks:
        if not check.difference <= check.allowed:
            raise BundleMismatch(
                f"{bundle.path}: {check.what} differs by {check.difference:.1e} from "
                f"{check.reference} ({check.allowed:.0e} is allowed); do not trust this bundle here"
            )
    return checks


def golden_inputs(config: Config) -> dict[str, np.ndarray]:
    """Make the inputs that a bundle's golden outputs are stored for.

    Returns:
        ``crops``: uint8 ``(frames, crop_size, crop_size, 3)``; ``features``: float32
        ``(frames * columns,)``.
    """
    generator = np.random.default_rng(0)
    faces, speech = config.faces, config.speech
    crops = generator.integers(
        0, 256, (faces.frames, faces.crop_size, faces.crop_size, 3), dtype=np.uint8
    )
    features = generator.normal(size=speech.frames * speech.columns).astype(np.float32)
    return {"crops": crops, "features": features}


def golden_outputs(networks: Networks, inputs: Arrays) -> dict[str, np.ndarray]:
    """Answer the golden inputs with each branch that the bundle has."""
    outputs = {}
    if networks.has("audio"):
        outputs["audio"] = networks.answer("audio", inputs["features"][None].astype(np.float32))[0]
    if networks.has("video") and networks.embedder:
        rows = networks.embedder.embed(inputs["crops"].astype(np.uint8))
        outputs["video"] = networks.answer("video", rows[None])[0]
    return outputs


def golden_answers(bundle: Path) -> dict[str, np.ndarray]:
    """Answer the golden clip: ``clip_audio``, ``clip_video``, ``clip_fused`` where there is one."""
    found = _by_name(Recogniser(bundle, precision="f32").predict(GOLDEN_CLIP))
    return {f"clip_{name}": np.array(list(row.values())) for name, row in found.items()}


def _by_name(prediction: Prediction) -> dict[str, dict[str, float]]:
    rows = {
        "audio": prediction.audio.probabilities,
        "video": prediction.video.probabilities,
        FUSED: prediction.probabilities,
    }
    return {name: row for name, row in rows.items() if row is not None}


def _checks(bundle: Bundle, stored: Arrays) -> Iterator[Check]:
    for name, answer in golden_outputs(Networks(bundle), stored).items():
        for prefix, reference in (("", "the graph when it was exported"), ("keras_", "Keras")):
            if f"{prefix}{name}" in stored or not prefix:
                yield Check(
                    what=f"the golden input's {name}",
                    reference=reference,
                    difference=_difference(answer, stored.get(f"{prefix}{name}")),
                    allowed=SAME,
                )
    wanted = {name: stored[name] for name in stored if name.startswith("clip_")}
    answers = golden_answers(bundle.path) if wanted else {}
    for name, answer in wanted.items():
        yield Check(
            what=f"the golden clip's {name.removeprefix('clip_')}",
            reference="the way from file to answer when it was exported",
            difference=_difference(answers.get(name), answer),
            allowed=SAME_WAY,
        )
    if wanted:
        yield _timeline_check(bundle)


def _timeline_check(bundle: Bundle) -> Check:
    """Compare the golden clip's only window with the clip: both go the same way."""
    recogniser = Recogniser(bundle.path, precision="f32")
    (window,) = recogniser.timeline(GOLDEN_CLIP)
    whole = recogniser.predict(GOLDEN_CLIP)
    answers = [np.array(list((x.probabilities or {}).values())) for x in (window, whole)]
    return Check(
        what="the golden clip's window in a timeline",
        reference="the answer to the clip",
        difference=_difference(*answers),
        allowed=SAME,
    )


def _difference(
    one: npt.NDArray[np.generic] | None, other: npt.NDArray[np.generic] | None
) -> float:
    if one is None or other is None or one.shape != other.shape:
        return float("inf")
    return float(np.abs(one.astype(float) - other.astype(float)).max())


def _read_golden(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, OSError) as error:
        raise BundleMismatch(
            f"{path} holds no golden input and output ({error}); export the bundle again"
        ) from error
