"""The networks: the paper's two, the light ones of the ``mien`` preset, the expression network.

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

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey picture (ITU-R BT.601)."""

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


def _standardise(mean: np.ndarray, deviation: np.ndarray, *, columns: int) -> layers.Layer:
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
    x = _standardise(mean, deviation, columns=size)(features)
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


def light_audio_trunk(
    features: keras.KerasTensor, config: SpeechConfig, *, mean: np.ndarray, deviation: np.ndarray
) -> Trunk:
    """Build three layers of convolution over time, and attention, on the paper's features.

    The same coefficients at another time mean the same, so the kernels slide over time with the
    coefficients as channels, and attention picks the frames that tell. Frames of padding are
    left out of it.

    Args:
        features: shape ``(batch, frames * columns)``.
        config: how many frames and columns they are.
        mean: of each column over the training clips, shape ``(columns,)``.
        deviation: likewise.

    Returns:
        Of 272 frames 34 steps of 128 channels, 256 numbers in all.

    Raises:
        InvalidArgument: too few frames for three poolings and attention.
    """
    if config.frames < 16:
        raise InvalidArgument(
            f"the light audio network needs at least 16 frames, not {config.frames}"
        )
    rows = _feature_rows(features, config)
    # Padding is exactly zero in every column; sound never is, its first coefficient is in dB.
    heard = ops.cast(ops.any(ops.not_equal(rows, 0.0), axis=-1, keepdims=True), "float32")
    x = _standardise(mean, deviation, columns=config.columns)(rows) * heard
    for filters in (96, 128, 128):
        x = layers.Conv1D(filters, 5, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling1D(2)(x)
        x = layers.SpatialDropout1D(0.1)(x)
        heard = layers.MaxPooling1D(2)(heard)
    return Trunk(x, heard, attended(x, heard))


def light_audio_head(trunk: Trunk) -> keras.KerasTensor:
    """Build the light audio network's two dense layers."""
    x = layers.Dropout(0.4)(trunk.vector)
    x = layers.Dense(96, activation="relu")(x)
    x = layers.Dropout(0.3)(x)
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


def light_video_trunk(embeddings: keras.KerasTensor) -> Trunk:
    """Build one dense layer that reads each frame by itself, and average over the clip.

    Trained on stills, it must not lean on the order of frames, which stills do not have.

    Args:
        embeddings: shape ``(batch, frames, width)``.

    Returns:
        64 numbers a frame, and their mean.
    """
    x = layers.LayerNormalization()(embeddings)
    x = layers.Dropout(0.3)(x)
    x = layers.Dense(64, activation="relu")(x)
    return Trunk(x, None, ops.mean(x, axis=1))


def light_video_head(trunk: Trunk) -> keras.KerasTensor:
    """Build the light video network's last layer."""
    return probabilities(layers.Dropout(0.2)(trunk.vector))


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
    x = _standardise(mean, deviation, columns=features.shape[-1])(features)
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


def expression_network(*, crop_size: int = 48, width: int = 256) -> keras.Model:
    """Build a small CNN on a face crop whose last features serve as embedding.

    Input shape:
        ``(batch, crop_size, crop_size, 3)``, RGB, 0 to 255.

    Output shape:
        ``(batch, 8)``; the layer named ``embedding`` has shape ``(batch, width)``.
    """
    crops = keras.Input((crop_size, crop_size, 3), name="crops")
    grey = ops.sum(crops * np.array(LUMA, np.float32), axis=-1, keepdims=True)
    # Contrast of each crop by itself: the light of a room is no emotion.
    centred = grey - ops.mean(grey, axis=(1, 2), keepdims=True)
    x = centred / ops.sqrt(ops.mean(ops.square(centred), axis=(1, 2), keepdims=True) + 25.0)
    x = _convolution(x, 32, kernel=5, strides=2)
    for filters in (32, 64, 128):
        x = _convolution(_convolution(x, filters), filters)
        x = layers.MaxPooling2D(2)(x)
        x = layers.SpatialDropout2D(0.1)(x)
    x = _convolution(x, width)
    embedding = layers.GlobalAveragePooling2D(name="embedding")(x)
    x = layers.Dropout(0.4)(embedding)
    return keras.Model(crops, probabilities(x), name="expression")


def embedder_of(expression: keras.Model) -> keras.Model:
    """Cut an expression network after its embedding.

    Output shape:
        ``(batch, width)``.
    """
    return keras.Model(expression.input, expression.get_layer("embedding").output)


def probabilities(x: keras.KerasTensor) -> keras.KerasTensor:
    """Build the last layer of every network: eight probabilities."""
    return layers.Dense(len(EMOTIONS), activation="softmax", name="probabilities")(x)


def _convolution(
    x: keras.KerasTensor, filters: int, *, kernel: int = 3, strides: int = 1
) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.ReLU()(x)


def _feature_rows(features: keras.KerasTensor, config: SpeechConfig) -> keras.KerasTensor:
    """Turn the flat vector into one row a frame: ``(batch, frames, columns)``."""
    frames = config.frames
    rates = layers.Reshape((frames, 1))(features[:, :frames])
    energies = layers.Reshape((frames, 1))(features[:, frames : 2 * frames])
    cepstra = layers.Reshape((frames, config.mfcc))(features[:, 2 * frames :])
    return layers.Concatenate()([rates, energies, cepstra])
