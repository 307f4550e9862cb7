"""What is heard and seen of a clip, or of a window of one → an answer, by one bundle."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mien.bundle import Bundle
from mien.calibration import rate_place
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.fusion import Probabilities
from mien.speech import speech_features
from mien.trial import open_networks
from mien.windows import Branch

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


class Said(NamedTuple):
    """What the network of one branch says, or why it says nothing."""

    probabilities: Probabilities | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What both branches say together; its fields are those of a prediction."""

    emotion: str | None
    confidence: float | None
    abstained: bool
    set: tuple[str, ...] | None
    set_rate: float | None
    probabilities: dict[str, float] | None
    audio: Branch
    video: Branch


class Answering:
    """The networks of a bundle, calibrated; safe to call from several threads.

    Args:
        bundle: what answers.
        device: ``"cpu"`` or ``"cuda"``.
        precision: of the embedder; see :func:`mien.trial.open_networks`.
        abstain_below: give no emotion when the likeliest is less likely than this, 0 to 1.
        set_rate: how often the likely emotions must hold the truth, 0.5 to 0.99.

    Raises:
        DeviceUnavailable: the device, or the processor for that precision, is not there.
        InvalidArgument: a probability out of range, or an unknown precision.
        MissingDependency: the precision needs a package that is not installed.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str,
        precision: str,
        abstain_below: float,
        set_rate: float,
    ) -> None:
        if not 0 <= abstain_below <= 1:
            raise InvalidArgument(
                f"abstain_below must be a probability, 0 to 1, not {abstain_below}"
            )
        rate_place(set_rate)
        self.bundle = bundle
        self.abstain_below, self.set_rate = abstain_below, set_rate
        self._networks = open_networks(bundle, device=device, precision=precision)

    def lacks(self, branch: str) -> str | None:
        """Say that the bundle cannot answer for a branch; ``None`` when it can."""
        return None if self._networks.has(branch) else f"the bundle has no {branch} network"

    def features(self, waveform: Floats) -> Floats:
        """Compute what the audio network hears; see :func:`mien.speech.speech_features`.

        Args:
            waveform: at the rate of the bundle's configuration, shape (samples,), not empty.
        """
        return speech_features(waveform, config=self.bundle.config.speech)

    def hear(self, features: Floats) -> Said:
        """Ask the audio network.

        Args:
            features: of a waveform.
        """
        return _said(self._networks.answer("audio", features[None]))

    def embed(self, crops: Pixels) -> Floats:
        """Embed face crops.

        Args:
            crops: RGB, shape (crops, crop_size, crop_size, 3).

        Returns:
            Shape (crops, width).
        """
        embedder = self._networks.embedder
        assert embedder is not None  # noqa: S101 - lacks("video") says so first
        return embedder.embed(crops)

    def see(self, embeddings: Floats) -> Said:
        """Ask the video network.

        Args:
            embeddings: one a frame, shape (frames, width).
        """
        return _said(self._networks.answer("video", embeddings[None]))

    def answer(self, audio: Said, video: Said) -> Answer:
        """Put both branches together: what is likeliest, how likely, and what else it may be."""
        found = self.bundle.calibration.combine(audio.probabilities, video.probabilities)
        branches = {
            "audio": Branch(audio.probabilities is not None, audio.reason, _named(found.audio)),
            "video": Branch(video.probabilities is not None, video.reason, _named(found.video)),
        }
        if found.fused is None or found.by is None:
            return Answer(
                emotion=None,
                confidence=None,
                abstained=False,
                set=None,
                set_rate=None,
                probabilities=None,
                **branches,
            )
        best = int(np.argmax(found.fused))
        confidence = float(found.fused[best])
        abstained = confidence < self.abstain_below
        likely = self.bundle.calibration.answers[found.by].likely(found.fused, rate=self.set_rate)
        return Answer(
            emotion=None if abstained else EMOTIONS[best],
            confidence=confidence,
            abstained=abstained,
            set=likely,
            set_rate=None if likely is None else self.set_rate,
            probabilities=_named(found.fused),
            **branches,
        )


def _said(answers: Floats) -> Said:
    if np.isfinite(answers[0]).all():
        return Said(answers[0], None)
    return Said(None, "the network's answer is not a number")


def _named(probabilities: Probabilities | None) -> dict[str, float] | None:
    if probabilities is None:
        return None
    return dict(zip(EMOTIONS, map(float, probabilities), strict=True))
