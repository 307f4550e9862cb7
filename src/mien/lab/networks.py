"""The networks: the paper's two, the light ones of the ``mien`` preset, the expression network.

Each branch network ends in eight probabilities in the order of :data:`mien.EMOTIONS`.
Sizes follow the config, so that another embedder's width or another number of frames works.
"""

import keras
import numpy as np
from keras import layers, ops

from mien.config import FacesConfig, SpeechConfig
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey picture (ITU-R BT.601)."""

PAPER_AUDIO_CONVOLUTIONS = ((512, 5, 5), (512, 5, 5), (256, 5, 5), (256, 3, 5), (128, 3, 3))
"""Filters, kernel and pooling window of the paper's five layers of convolution."""

PAPER_AUDIO_DROPOUT_AFTER = (2, 4, 5)
"""Counted from 1: the layers that are followed by dropout."""


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


def _standardise(mean: np.ndarray, deviation: np.ndarray, *, columns: int) -> layers.Layer:
    for name, values in (("mean", mean), ("deviation", deviation)):
        if values.shape != (columns,):
            raise InvalidArgument(f"{name} must have shape ({columns},), not {values.shape}")
    return layers.Normalization(mean=mean, variance=deviation**2, name="standardise")


def paper_audio_network(
    config: SpeechConfig, *, mean: np.ndarray, deviation: np.ndarray
) -> keras.Model:
    """Build the paper's 1-D CNN: five layers of convolution, two dense layers.

    Input shape:
        ``(batch, frames * columns)``: what :func:`mien.speech.speech_features` gives.

    Output shape:
        ``(batch, 8)``.

    Source: Srihari M. & Bhaskaran V. 2024.
    """
    size = config.frames * config.columns
    features = keras.Input((size,), name="features")
    x = _standardise(mean, deviation, columns=size)(features)
    x = layers.Reshape((size, 1))(x)
    for number, (filters, kernel, pool) in enumerate(PAPER_AUDIO_CONVOLUTIONS, start=1):
        x = layers.Conv1D(filters, kernel, padding="same", activation="relu")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling1D(pool, strides=2, padding="same")(x)
        if number in PAPER_AUDIO_DROPOUT_AFTER:
            x = layers.Dropout(0.2)(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(512, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    return keras.Model(features, _probabilities(x), name="paper_audio")


def paper_video_network(config: FacesConfig, *, width: int) -> keras.Model:
    """Build the paper's 2-D CNN over one embedding a frame.

    Input shape:
        ``(batch, frames, width)``.

    Output shape:
        ``(batch, 8)``.

    Raises:
        InvalidArgument: too few frames or too narrow an embedding for two poolings.

    Source: Srihari M. & Bhaskaran V. 2024.
    """
    if min(config.frames, width) < 10:
        raise InvalidArgument(
            "the paper's video network needs at least 10 frames and an embedding of at least "
            f"10 numbers, not {config.frames} and {width}"
        )
    embeddings = keras.Input((config.frames, width), name="embeddings")
    x = layers.Reshape((config.frames, width, 1))(embeddings)
    for filters in (32, 64):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu")(x)
    x = layers.Dense(64, activation="relu")(x)
    return keras.Model(embeddings, _probabilities(x), name="paper_video")


def light_audio_network(
    config: SpeechConfig, *, mean: np.ndarray, deviation: np.ndarray
) -> keras.Model:
    """Build a small convolutional network over time that takes the paper's features.

    The same coefficients at another time mean the same, so the kernels slide over time with the
    coefficients as channels, and attention picks the frames that tell. Frames of padding are
    left out of it.

    Input shape:
        ``(batch, frames * columns)``; ``mean`` and ``deviation`` are per column: ``(columns,)``.

    Output shape:
        ``(batch, 8)``.

    Raises:
        InvalidArgument: too few frames for three poolings and attention.
    """
    if config.frames < 16:
        raise InvalidArgument(
            f"the light audio network needs at least 16 frames, not {config.frames}"
        )
    features = keras.Input((config.frames * config.columns,), name="features")
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
    scores = layers.Dense(1)(layers.Dense(64, activation="tanh")(x))
    attention = ops.softmax(scores - 1e4 * (1.0 - heard), axis=1)
    pooled = ops.sum(attention * x, axis=1)
    # The spread over time tells lively from flat speech, which a mean cannot.
    spread = ops.sqrt(ops.sum(attention * ops.square(x - pooled[:, None]), axis=1) + 1e-5)
    x = layers.Dropout(0.4)(layers.Concatenate()([pooled, spread]))
    x = layers.Dense(96, activation="relu")(x)
    x = layers.Dropout(0.3)(x)
    return keras.Model(features, _probabilities(x), name="light_audio")


def light_video_network(config: FacesConfig, *, width: int) -> keras.Model:
    """Build a small network that reads each frame by itself and averages over the clip.

    Trained on stills, it must not lean on the order of frames, which stills do not have.

    Input shape:
        ``(batch, frames, width)``.

    Output shape:
        ``(batch, 8)``.
    """
    embeddings = keras.Input((config.frames, width), name="embeddings")
    x = layers.LayerNormalization()(embeddings)
    x = layers.Dropout(0.3)(x)
    x = layers.Dense(64, activation="relu")(x)
    x = ops.mean(x, axis=1)
    x = layers.Dropout(0.2)(x)
    return keras.Model(embeddings, _probabilities(x), name="light_video")


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
    return keras.Model(crops, _probabilities(x), name="expression")


def embedder_of(expression: keras.Model) -> keras.Model:
    """Cut an expression network after its embedding.

    Output shape:
        ``(batch, width)``.
    """
    return keras.Model(expression.input, expression.get_layer("embedding").output)


def _probabilities(x: keras.KerasTensor) -> keras.KerasTensor:
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
