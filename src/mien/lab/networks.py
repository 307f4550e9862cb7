"""What networks are made of, the paper's two, and one on features that somebody else computed.

A branch network is a trunk, which sees, and a head, which decides: early and attention fusion
(:mod:`mien.lab.joint`) put two trunks under one head. Each ends in eight probabilities in the
order of :data:`mien.EMOTIONS`. Sizes follow the config, so that another embedder's width or
another number of frames works.
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops

from mien.config import SpeechConfig
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument

PAPER_AUDIO_CONVOLUTIONS = ((512, 5, 5), (512, 5, 5), (256, 5, 5), (256, 3, 5), (128, 3, 3))
"""Filters, kernel and pooling window of the paper's five layers of convolution."""

PAPER_AUDIO_DROPOUT_AFTER = (2, 4, 5)
"""Counted from 1: the layers that are followed by dropout."""


@dataclass(frozen=True)
class Trunk:
    """What the layers of a branch make of a clip before they decide."""

    sequence: keras.KerasTensor
    """Shape ``(batch, steps, channels)``: what is seen when."""
    present: keras.KerasTensor | None
    """Shape ``(batch, steps, 1)``: 0 for padding, 1 elsewhere; ``None`` when there is none."""
    vector: keras.KerasTensor
    """Shape ``(batch, numbers)``: all of it."""


def standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure what the networks subtract and divide by.

    Args:
        features: shape ``(clips, columns)``.

    Returns:
        Mean and standard deviation, each of shape ``(columns,)``. Where a column never varies
        the deviation is 1: dividing by almost nothing would blow up the first clip that is
        longer than all of the training set's (scikit-learn's StandardScaler does the same).

    >>> mean, deviation = standardisation(np.array([[1.0, 0.0], [3.0, 0.0]]))
    >>> mean.tolist(), deviation.tolist()
    ([2.0, 0.0], [1.0, 1.0])
    """
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = features.std(axis=0, dtype=np.float64)
    deviation[deviation < 1e-6] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)


@keras.saving.register_keras_serializable("mien")
class Standardise(layers.Layer):  # type: ignore[misc] # keras is untyped
    """Subtract a mean and divide by a deviation that are given, not learned.

    Both are weights, where keras.layers.Normalization would make them constants of the compiled
    network: networks that differ in nothing else then share what was compiled.

    Args:
        mean: shape ``(columns,)``; ``None`` when the weights are loaded.
        deviation: likewise.

    Input shape:
        ``(batch, ..., columns)``.

    Output shape:
        The same.
    """

    def __init__(
        self,
        mean: np.ndarray | None = None,
        deviation: np.ndarray | None = None,
        **options: object,
    ) -> None:
        super().__init__(**options)
        self.given = (mean, deviation)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the weights, of the values that were given."""
        self.mean, self.deviation = (
            self.add_weight(shape=shape[-1:], initializer=start, trainable=False, name=name)
            for name, start in (("mean", "zeros"), ("deviation", "ones"))
        )
        for weight, values in zip((self.mean, self.deviation), self.given, strict=True):
            if values is not None:
                weight.assign(values)

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Standardise."""
        return (inputs - self.mean) / self.deviation

    def get_config(self) -> dict[str, object]:
        """Give what rebuilds the layer; mean and deviation are saved with the weights."""
        return dict(super().get_config())


def standardise(mean: np.ndarray, deviation: np.ndarray, *, columns: int) -> layers.Layer:
    """Make the layer that subtracts a mean and divides by a deviation.

    Raises:
        InvalidArgument: they are not of shape ``(columns,)``.
    """
    for name, values in (("mean", mean), ("deviation", deviation)):
        if values.shape != (columns,):
            raise InvalidArgument(f"{name} must have shape ({columns},), not {values.shape}")
    return Standardise(mean, deviation)


def paper_audio_trunk(
    features: keras.KerasTensor, *, mean: np.ndarray, deviation: np.ndarray
) -> Trunk:
    """Build the paper's five layers of convolution.

    Args:
        features: shape ``(batch, numbers)``: what :func:`mien.speech.speech_features` gives.
        mean: of each number over the training clips.
        deviation: likewise.

    Returns:
        Of 5,984 numbers 187 steps of 128 channels, 23,936 numbers in all.

    Source: Srihari M. & Bhaskaran V. 2024.
    """
    size = features.shape[1]
    x = standardise(mean, deviation, columns=size)(features)
    x = layers.Reshape((size, 1))(x)
    for number, (filters, kernel, pool) in enumerate(PAPER_AUDIO_CONVOLUTIONS, start=1):
        x = layers.Conv1D(filters, kernel, padding="same", activation="relu")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling1D(pool, strides=2, padding="same")(x)
        if number in PAPER_AUDIO_DROPOUT_AFTER:
            x = layers.Dropout(0.2)(x)
    return Trunk(x, None, layers.Flatten()(x))


def paper_audio_head(trunk: Trunk) -> keras.KerasTensor:
    """Build the paper's two dense layers."""
    x = layers.Dense(512, activation="relu")(trunk.vector)
    x = layers.BatchNormalization()(x)
    return probabilities(x)


def paper_video_trunk(embeddings: keras.KerasTensor) -> Trunk:
    """Build the paper's two layers of convolution over one embedding a frame.

    Args:
        embeddings: shape ``(batch, frames, width)``.

    Returns:
        Of 22 embeddings of 768 numbers 4 steps, 48,640 numbers in all.

    Raises:
        InvalidArgument: too few frames or too narrow an embedding for two poolings.

    Source: Srihari M. & Bhaskaran V. 2024.
    """
    frames, width = embeddings.shape[1:]
    if min(frames, width) < 10:
        raise InvalidArgument(
            "the paper's video network needs at least 10 frames and an embedding of at least "
            f"10 numbers, not {frames} and {width}"
        )
    x = layers.Reshape((frames, width, 1))(embeddings)
    for filters in (32, 64):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    sequence = layers.Reshape((x.shape[1], x.shape[2] * x.shape[3]))(x)
    return Trunk(sequence, None, layers.Flatten()(x))


def paper_video_head(trunk: Trunk) -> keras.KerasTensor:
    """Build the paper's three dense layers."""
    x = layers.Dense(128, activation="relu")(trunk.vector)
    x = layers.Dense(64, activation="relu")(x)
    return probabilities(x)


def attended(x: keras.KerasTensor, present: keras.KerasTensor | None) -> keras.KerasTensor:
    """Pool a sequence: the mean and the spread of the steps that attention picks.

    Args:
        x: shape ``(batch, steps, channels)``.
        present: shape ``(batch, steps, 1)``, 0 for steps that attention must not pick.

    Returns:
        Shape ``(batch, 2 * channels)``; of a single step ``(batch, channels)``.
    """
    if x.shape[1] == 1:
        return layers.Flatten()(x)
    scores = layers.Dense(1)(layers.Dense(64, activation="tanh")(x))
    if present is not None:
        scores = scores - 1e4 * (1.0 - present)
    attention = ops.softmax(scores, axis=1)
    pooled = ops.sum(attention * x, axis=1)
    # The spread over time tells lively from flat speech, which a mean cannot.
    spread = ops.sqrt(ops.sum(attention * ops.square(x - pooled[:, None]), axis=1) + 1e-5)
    return layers.Concatenate()([pooled, spread])


def table_trunk(features: keras.KerasTensor, *, mean: np.ndarray, deviation: np.ndarray) -> Trunk:
    """Build a small network on features that somebody else computed.

    Each row is standardised by ``mean`` and ``deviation``, of shape ``(columns,)``, and read by
    two dense layers of 128 and 64; of several rows a clip attention picks those that tell, after
    a convolution over five of them.

    Args:
        features: shape ``(batch, columns)``, or ``(batch, rows, columns)``.
        mean: of each column over the training clips.
        deviation: likewise.
    """
    x = standardise(mean, deviation, columns=features.shape[-1])(features)
    x = layers.Dropout(0.2)(x)
    if len(features.shape) == 3:
        x = layers.Conv1D(128, 5, padding="same", activation="relu")(x)
        x = layers.Dropout(0.3)(x)
        x = layers.Dense(64, activation="relu")(x)
        return Trunk(x, None, attended(x, None))
    x = layers.Dense(128, activation="relu")(x)
    x = layers.Dropout(0.3)(x)
    x = layers.Dense(64, activation="relu")(x)
    return Trunk(layers.Reshape((1, 64))(x), None, x)


def table_head(trunk: Trunk) -> keras.KerasTensor:
    """Build the last layer over features that somebody else computed."""
    return probabilities(layers.Dropout(0.3)(trunk.vector))


def probabilities(x: keras.KerasTensor) -> keras.KerasTensor:
    """Build the last layer of every network: eight probabilities."""
    return layers.Dense(len(EMOTIONS), activation="softmax", name="probabilities")(x)


def feature_rows(features: keras.KerasTensor, config: SpeechConfig) -> keras.KerasTensor:
    """Turn the flat vector of speech features into one row a frame.

    Args:
        features: shape ``(batch, frames * columns)``.
        config: how many frames and columns they are.

    Returns:
        Shape ``(batch, frames, columns)``: ZCR, RMS, the cepstral coefficients, and pitch and
        aperiodicity where the configuration has them.
    """
    frames, kept = config.frames, config.mfcc
    places = np.cumsum([frames, frames, frames * kept, *([frames] * 2 * config.pitch)])
    kinds = ops.split(features, places[:-1].tolist(), axis=-1)
    columns = [1, 1, kept, *([1] * 2 * config.pitch)]
    shaped = [
        ops.reshape(kind, (-1, frames, count)) for kind, count in zip(kinds, columns, strict=True)
    ]
    return ops.concatenate(shaped, axis=-1)
