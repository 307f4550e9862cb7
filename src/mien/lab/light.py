"""The networks of the ``mien`` preset: small, trained from scratch, fast on a processor."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from mien.config import SpeechConfig
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.lab.networks import (
    Trunk,
    attended,
    feature_rows,
    probabilities,
    standardisation,
    standardise,
)

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey picture (ITU-R BT.601)."""

LISTENERS = 2
"""Small networks for each of the two ways to hear a voice."""

MEMBERS = "members"
"""Name of the layer that gives what each of them says."""

CEPSTRA = 20
"""Coefficients of the first way: the paper's."""

Standard = tuple[np.ndarray, np.ndarray]
"""Mean and standard deviation of each column over the training clips, each ``(columns,)``."""


@keras.saving.register_keras_serializable("mien")
class LogMel(layers.Layer):  # type: ignore[misc] # keras is untyped
    """Turn cepstral coefficients back into the mel bands they were made of, in decibels.

    With as many coefficients as bands nothing is lost; fewer give a smoothed spectrum.

    Args:
        bands: mel bands behind the coefficients.

    Input shape:
        ``(..., coefficients)``.

    Output shape:
        ``(..., bands)``.

    Source: the inverse of SciPy's ``dct(type=2, norm="ortho")``.

    >>> LogMel(2)(np.array([[2**0.5, 0.0]])).tolist()
    [[1.0, 1.0]]
    """

    def __init__(self, bands: int, **options: object) -> None:
        super().__init__(**options)
        self.bands = bands

    def call(self, cepstra: keras.KerasTensor) -> keras.KerasTensor:
        """Transform."""
        orders = np.arange(cepstra.shape[-1])[:, None]
        cosines = np.cos(np.pi * orders * (2 * np.arange(self.bands) + 1) / (2 * self.bands))
        cosines *= np.sqrt(np.where(orders == 0, 1, 2) / self.bands)
        return ops.matmul(cepstra, cosines.astype(np.float32))

    def get_config(self) -> dict[str, object]:
        """Give what rebuilds the layer."""
        return {**super().get_config(), "bands": self.bands}


def voice_views(
    features: keras.KerasTensor, config: SpeechConfig
) -> tuple[list[keras.KerasTensor], keras.KerasTensor]:
    """Look at speech features in two ways: as the paper's coefficients, and as a mel spectrum.

    Args:
        features: shape ``(batch, frames * columns)``: what :func:`mien.speech.speech_features`
            gives.
        config: how many frames and columns they are.

    Returns:
        The views, each of shape ``(batch, frames, numbers)``, and what is heard: shape
        ``(batch, frames, 1)``, 0 for padding.
    """
    rows = feature_rows(features, config)
    # Padding is exactly zero in every column; sound never is, its first coefficient is in dB.
    heard = ops.cast(ops.any(ops.not_equal(rows, 0.0), axis=-1, keepdims=True), "float32")
    # As loudness is heard; the first of both views says the same but for its flatter floor.
    loudness = ops.log10(rows[..., 1:2] + 1e-4)
    cepstra = rows[..., 2:]
    shared = [rows[..., :1], loudness]
    return [
        ops.concatenate([*shared, cepstra[..., :CEPSTRA]], axis=-1),
        ops.concatenate([*shared, LogMel(config.mel_bands)(cepstra)], axis=-1),
    ], heard


def voice_standards(training: np.ndarray, config: SpeechConfig) -> list[Standard]:
    """Measure what each view is standardised by, over the frames that are heard.

    Args:
        training: speech features of the training clips, shape ``(clips, frames * columns)``.
        config: how many frames and columns they are.
    """
    views, heard = voice_views(training, config)
    frames = np.asarray(heard)[..., 0] > 0
    if not frames.any():
        frames[:, 0] = True
    return [standardisation(np.asarray(view)[frames]) for view in views]


def light_audio_trunk(
    features: keras.KerasTensor, config: SpeechConfig, *, standards: Sequence[Standard]
) -> Trunk:
    """Build small networks that listen side by side, two to each view of the voice.

    In each, three layers of convolution slide over time, as the same coefficients at another time
    mean the same, and attention picks the frames that tell. Frames of padding are left out of it.

    Args:
        features: shape ``(batch, frames * columns)``.
        config: how many frames and columns they are.
        standards: of each view; see :func:`voice_standards`.

    Returns:
        Of 272 frames 34 steps of 4 x 128 channels, 4 x 256 numbers in all.

    Raises:
        InvalidArgument: too few frames for three poolings and attention.
    """
    if config.frames < 16:
        raise InvalidArgument(
            f"the light audio network needs at least 16 frames, not {config.frames}"
        )
    views, heard = voice_views(features, config)
    steps = heard
    for _ in range(3):
        steps = layers.MaxPooling1D(2)(steps)
    sequences = []
    for view, (mean, deviation) in zip(views, standards, strict=True):
        x = standardise(mean, deviation, columns=view.shape[-1])(view) * heard
        sequences += [_listened(x) for _ in range(LISTENERS)]
    pooled = [attended(sequence, steps) for sequence in sequences]
    return Trunk(layers.Concatenate()(sequences), steps, layers.Concatenate()(pooled))


def _listened(x: keras.KerasTensor) -> keras.KerasTensor:
    for filters in (96, 128, 128):
        x = layers.Conv1D(filters, 5, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling1D(2)(x)
        x = layers.SpatialDropout1D(0.1)(x)
    return x


def light_audio_head(trunk: Trunk) -> keras.KerasTensor:
    """Let each listener decide by itself, by two dense layers.

    Returns:
        Shape ``(batch, 4, 8)``; see :mod:`mien.lab.panel`.
    """
    vectors = ops.split(trunk.vector, 2 * LISTENERS, axis=-1)
    said = layers.Concatenate()([_decided(vector) for vector in vectors])
    return layers.Reshape((2 * LISTENERS, len(EMOTIONS)), name=MEMBERS)(said)


def _decided(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Dropout(0.4)(x)
    x = layers.Dense(96, activation="relu")(x)
    x = layers.Dropout(0.3)(x)
    return layers.Dense(len(EMOTIONS), activation="softmax")(x)


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


def expression_network(
    *, crop_size: int = 48, widths: Sequence[int] = (48, 96, 192), width: int = 256
) -> keras.Model:
    """Build a CNN on a face crop whose last features serve as embedding.

    Args:
        crop_size: pixels a side.
        widths: channels of each of the stages, which halve the picture in turn.
        width: numbers of the embedding.

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
    x = layers.MaxPooling2D(2)(_convolution(x, 32))
    for filters in widths:
        x = _convolution(x, filters)
        x = x + _convolution(x, filters)
        x = layers.MaxPooling2D(2)(x)
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


def _convolution(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.ReLU()(x)
