"""The presets: which networks are trained, and how."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from mien.config import SpeechConfig
from mien.lab.fit import Recipe
from mien.lab.light import (
    light_audio_head,
    light_audio_trunk,
    light_video_head,
    light_video_trunk,
    voice_standard,
)
from mien.lab.networks import (
    Trunk,
    feature_rows,
    paper_audio_head,
    paper_audio_trunk,
    paper_video_head,
    paper_video_trunk,
    standardisation,
    table_head,
    table_trunk,
)


@dataclass(frozen=True, kw_only=True)
class Design:
    """How the network of one branch is built and trained."""

    name: str
    trunk: Callable[[keras.KerasTensor, np.ndarray], Trunk]
    """From the network's input, and all training inputs to standardise by, to the trunk."""
    head: Callable[[Trunk], keras.KerasTensor]
    recipe: Recipe

    def network(self, training: np.ndarray) -> keras.Model:
        """Build the network, untrained.

        Args:
            training: inputs of the training clips, shape ``(clips, …)``: they give the input's
                shape, and what it is standardised by.

        Returns:
            Of output shape ``(batch, 8)``, or ``(batch, members, 8)``: see :mod:`mien.lab.panel`.

        >>> PRESETS["paper"].video.network(np.zeros((4, 22, 768))).output_shape
        (None, 8)
        """
        inputs = keras.Input(training.shape[1:], name="inputs")
        return keras.Model(inputs, self.head(self.trunk(inputs, training)), name=self.name)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Which networks are trained, and how."""

    speech: SpeechConfig
    """How it hears."""
    audio: Callable[[SpeechConfig], Design]
    video: Design
    expression_recipe: Recipe | None
    """How the preset trains its own embedder; ``None`` when one must be given."""
    fusion: str
    """One of :data:`mien.calibration.FUSIONS`."""
    calibrated: bool
    """Whether temperatures and sets are fitted; the paper's probabilities are as they come."""


def _heard_standardisation(
    training: np.ndarray, config: SpeechConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Measure each kind of feature (ZCR, RMS, each coefficient) over the frames that are heard.

    Number by number instead, those of late frames would be divided by almost nothing, as few
    clips are so long: a long clip then has a hundred times the variance of the others, and a
    batch normalisation after it running averages that fit no clip.

    Returns:
        Mean and deviation, each of shape ``(columns,)``.
    """
    rows = np.asarray(feature_rows(training, config))
    heard = rows[rows.any(axis=-1)]
    return standardisation(heard if len(heard) else rows[:, 0])


def _paper_audio(config: SpeechConfig) -> Design:
    def laid_out(kinds: np.ndarray) -> np.ndarray:
        rate, loudness, cepstra = kinds[:1], kinds[1:2], kinds[2:]
        return np.concatenate([np.tile(kind, config.frames) for kind in (rate, loudness, cepstra)])

    def trunk(features: keras.KerasTensor, training: np.ndarray) -> Trunk:
        mean, deviation = map(laid_out, _heard_standardisation(training, config))
        return paper_audio_trunk(features, mean=mean, deviation=deviation)

    return Design(name="paper_audio", trunk=trunk, head=paper_audio_head, recipe=Recipe())


def _light_audio(config: SpeechConfig) -> Design:
    def trunk(features: keras.KerasTensor, training: np.ndarray) -> Trunk:
        return light_audio_trunk(features, config, standard=voice_standard(training, config))

    recipe = Recipe(
        epochs=80,
        learning_rate=1e-3,
        schedule="cosine",
        label_smoothing=0.1,
        weight_decay=1e-3,
        variants="one",
        as_is=0.7,
    )
    return Design(name="light_audio", trunk=trunk, head=light_audio_head, recipe=recipe)


def _table_trunk(features: keras.KerasTensor, training: np.ndarray) -> Trunk:
    mean, deviation = standardisation(training.reshape(-1, training.shape[-1]))
    return table_trunk(features, mean=mean, deviation=deviation)


TABLE = Design(
    name="table",
    trunk=_table_trunk,
    head=table_head,
    recipe=Recipe(
        epochs=60,
        learning_rate=1e-3,
        schedule="cosine",
        label_smoothing=0.1,
        weight_decay=1e-3,
    ),
)
"""The branch on features that somebody else computed, whatever the preset."""

PRESETS = {
    "paper": Preset(
        speech=SpeechConfig(),
        audio=_paper_audio,
        video=Design(
            name="paper_video",
            trunk=lambda embeddings, _: paper_video_trunk(embeddings),
            head=paper_video_head,
            recipe=Recipe(),
        ),
        expression_recipe=None,
        fusion="average",
        calibrated=False,
    ),
    "mien": Preset(
        speech=SpeechConfig(pitch=True),
        audio=_light_audio,
        video=Design(
            name="light_video",
            trunk=lambda embeddings, _: light_video_trunk(embeddings),
            head=light_video_head,
            recipe=Recipe(
                epochs=8, batch_size=64, learning_rate=1e-3, schedule="cosine", keep="best"
            ),
        ),
        expression_recipe=Recipe(
            epochs=60,
            batch_size=64,
            learning_rate=1e-3,
            schedule="cosine",
            label_smoothing=0.1,
            weight_decay=1e-2,
        ),
        fusion="log_average",
        calibrated=True,
    ),
}
