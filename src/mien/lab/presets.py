"""The presets: which networks are trained, and how."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from mien.config import SpeechConfig
from mien.lab.fit import Recipe
from mien.lab.networks import (
    light_audio_network,
    light_video_network,
    paper_audio_network,
    paper_video_network,
    standardisation,
)

AudioBuilder = Callable[[np.ndarray, SpeechConfig], keras.Model]
VideoBuilder = Callable[..., keras.Model]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Which networks are trained, and how."""

    audio: AudioBuilder
    """From the training set's features and the config to a network."""
    audio_recipe: Recipe
    video: VideoBuilder
    video_recipe: Recipe
    expression_recipe: Recipe | None
    """How the preset trains its own embedder; ``None`` when one must be given."""


def _paper_audio(features: np.ndarray, config: SpeechConfig) -> keras.Model:
    mean, deviation = standardisation(features)
    return paper_audio_network(config, mean=mean, deviation=deviation)


def _light_audio(features: np.ndarray, config: SpeechConfig) -> keras.Model:
    frames = config.frames
    rows = np.dstack(
        [
            features[:, :frames],
            features[:, frames : 2 * frames],
            features[:, 2 * frames :].reshape(-1, frames, config.mfcc),
        ]
    )
    mean, deviation = standardisation(rows[rows.any(axis=-1)])
    return light_audio_network(config, mean=mean, deviation=deviation)


PRESETS = {
    "paper": Preset(
        audio=_paper_audio,
        audio_recipe=Recipe(),
        video=paper_video_network,
        video_recipe=Recipe(),
        expression_recipe=None,
    ),
    "mien": Preset(
        audio=_light_audio,
        audio_recipe=Recipe(
            epochs=20,
            learning_rate=1e-3,
            schedule="cosine",
            label_smoothing=0.1,
            weight_decay=1e-3,
        ),
        video=light_video_network,
        video_recipe=Recipe(epochs=8, batch_size=64, learning_rate=1e-3, schedule="cosine"),
        expression_recipe=Recipe(
            epochs=30,
            batch_size=64,
            learning_rate=1e-3,
            schedule="cosine",
            label_smoothing=0.1,
            weight_decay=1e-4,
        ),
    ),
}
