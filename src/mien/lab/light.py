"""The networks of the ``mien`` preset: small, trained from scratch, fast on a processor."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
"""Networks that follow the voice through time, for each of two choices of what they hear."""

COUNTERS = 4
"""Networks that are given statistics of the whole clip."""

WEIGHERS = 2
"""Members that only weigh those statistics, without a layer between."""

WEIGHT_COST = 1.5e-3
"""What the square of a weight adds to the loss of all members together."""

LISTENED = 160
"""Numbers that each of the former makes of a clip."""

MEMBERS = "members"
"""Name of the layer that gives what each of them says."""

LOG_10 = math.log(10.0)

PAUSE = 1.5
"""Orders of magnitude below the loudest frame (30 dB) at which a frame counts as a pause."""

FAR = 4.0
"""Deviations beyond which a statistic is not followed: noise would drown all others."""

AT_ONCE = 256
"""Clips whose statistics are taken at once to measure their standard."""

Standard = tuple[np.ndarray, np.ndarray]
"""Mean and standard deviation over the training clips, each ``(columns,)``."""


@dataclass(frozen=True)
class VoiceStandard:
    """What the voice's numbers are standardised by."""

    rows: Standard
    """Of the columns of :func:`voice_rows`."""
    statistics: Standard
    """Of :func:`clip_statistics` over standardised rows."""


def voice_rows(
    features: keras.KerasTensor, config: SpeechConfig
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Turn speech features into rows that suit a network.

    Loudness becomes its logarithm, as it is heard. Of pitch and aperiodicity come how periodic the
    sound is, 0 to 1, and octaves above 184 Hz, as far as it is periodic: where a sound has no pitch
    the number that YIN gives is chance.

    Args:
        features: shape ``(batch, frames * columns)``: what :func:`mien.speech.speech_features`
            gives.
        config: how many frames and columns they are.

    Returns:
        Rows of shape ``(batch, frames, columns)``, and what is heard: shape ``(batch, frames, 1)``,
        0 for padding.
    """
    rows = feature_rows(features, config)
    # Padding is exactly zero in every column; sound never is, its first coefficient is in dB.
    heard = ops.cast(ops.any(ops.not_equal(rows, 0.0), axis=-1, keepdims=True), "float32")
    loudness = ops.log10(ops.maximum(rows[..., 1:2], 0.0) + 1e-4)
    changed = [rows[..., :1], loudness, rows[..., 2 : 2 + config.mfcc]]
    if config.pitch:
        octaves, aperiodicity = rows[..., -2:-1], rows[..., -1:]
        periodic = ops.clip(1.0 - aperiodicity, 0.0, 1.0) * heard
        changed += [periodic, (octaves - 1.5) * periodic]
    return ops.concatenate(changed, axis=-1), heard


def voice_standard(training: np.ndarray, config: SpeechConfig) -> VoiceStandard:
    """Measure what rows, over the frames that are heard, and statistics are standardised by.

    Args:
        training: speech features of the training clips as they are, shape
            ``(clips, frames * columns)``. Those of noisy copies would be spread so widely that
            what clear ones differ in becomes small.
        config: how many frames and columns they are.
    """
    rows, heard = map(np.asarray, voice_rows(training, config))
    frames = heard[..., 0] > 0
    mean, deviation = standardisation(rows[frames] if frames.any() else rows[:, 0])
    starts = range(0, len(rows), AT_ONCE)
    parts = [(rows[start : start + AT_ONCE], heard[start : start + AT_ONCE]) for start in starts]
    statistics = [
        clip_statistics((part - mean) / deviation * there, heard=there, loudness=part[..., 1:2])
        for part, there in parts
    ]
    return VoiceStandard((mean, deviation), standardisation(np.concatenate(statistics)))


def light_audio_trunk(
    features: keras.KerasTensor, config: SpeechConfig, *, standard: VoiceStandard
) -> Trunk:
    """Build small networks side by side, which know the voice in different ways.

    Two follow all columns through time, and two all but pitch: three layers of convolution, as the
    same coefficients at another time mean the same, and attention, which picks the frames that
    tell. Six see statistics of the whole clip alone. Frames of padding are left out of it all.

    Args:
        features: shape ``(batch, frames * columns)``.
        config: how many frames and columns they are.
        standard: see :func:`voice_standard`.

    Returns:
        Of 272 frames 34 steps of 4 x 80 channels; 4 x 160 numbers and the statistics in all.

    Raises:
        InvalidArgument: too few frames for three strides and attention.
    """
    if config.frames < 16:
        raise InvalidArgument(
            f"the light audio network needs at least 16 frames, not {config.frames}"
        )
    rows, heard = voice_rows(features, config)
    x = standardise(*standard.rows, columns=rows.shape[-1])(rows) * heard
    steps = heard
    for _ in range(3):
        steps = layers.MaxPooling1D(2, padding="same")(steps)
    choices = (x, x[..., : 2 + config.mfcc])
    sequences = [_listened(choice) for choice in choices for _ in range(LISTENERS)]
    pooled = [attended(sequence, steps) for sequence in sequences]
    counted = clip_statistics(x, heard=heard, loudness=rows[..., 1:2])
    normal = standardise(*standard.statistics, columns=counted.shape[-1])(counted)
    vector = layers.Concatenate()([*pooled, ops.clip(normal, -FAR, FAR)])
    return Trunk(layers.Concatenate()(sequences), steps, vector)


def _listened(x: keras.KerasTensor) -> keras.KerasTensor:
    for filters in (56, 80, LISTENED // 2):
        # Strides cost a third of what pooling after each layer does, and tell as much.
        x = layers.Conv1D(filters, 5, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.SpatialDropout1D(0.1)(x)
    return x


def clip_statistics(
    x: keras.KerasTensor, *, heard: keras.KerasTensor, loudness: keras.KerasTensor
) -> keras.KerasTensor:
    """Sum up a clip: how its columns are spread, how they step, and how they run through time.

    Only frames within 30 dB of the loudest count, but for the length. Of each column come mean and
    spread, skewness and kurtosis, extremes, those of its steps, its first five cosines over time,
    mean and spread of the beginning, the middle and the end, and the mean by loudness.

    Args:
        x: shape ``(batch, frames, columns)``.
        heard: shape ``(batch, frames, 1)``, 0 for padding.
        loudness: in orders of magnitude, shape ``(batch, frames, 1)``.

    Returns:
        Shape ``(batch, 22 * columns + 3)``.
    """
    loudest = ops.max(ops.where(heard > 0, loudness, -9.0), axis=1, keepdims=True)
    loud = heard * ops.cast(loudness > loudest - PAUSE, "float32")
    level, spread = _mean(x, loud), _spread(x, loud)
    normal = (x - level[:, None]) / spread[:, None]
    amplitude = ops.exp(LOG_10 * ops.maximum(loudness - loudest, -PAUSE))
    by_loudness = _mean(x, loud * amplitude)
    length, spoken = ops.sum(heard, axis=1), ops.sum(loud, axis=1)
    return layers.Concatenate()(
        [
            level,
            ops.log(spread),
            ops.clip(_mean(normal * ops.square(normal), loud), -3.0, 3.0),
            ops.clip(_mean(ops.square(ops.square(normal)), loud), 0.0, 10.0),
            ops.max(ops.where(loud > 0, x, -9.0), axis=1),
            ops.min(ops.where(loud > 0, x, 9.0), axis=1),
            *_steps(x, loud),
            *_course(x, loud, level=level),
            by_loudness - level,
            length / 100,
            spoken / 100,
            spoken / (length + 1e-3),
        ]
    )


def _steps(x: keras.KerasTensor, loud: keras.KerasTensor) -> list[keras.KerasTensor]:
    both = loud[:, 1:] * loud[:, :-1]
    step = x[:, 1:] - x[:, :-1]
    return [
        _mean(ops.abs(step), both),
        _spread(step, both),
        ops.max(step * both, axis=1),
        ops.min(step * both, axis=1),
    ]


def _course(
    x: keras.KerasTensor, loud: keras.KerasTensor, *, level: keras.KerasTensor
) -> list[keras.KerasTensor]:
    counted = ops.cumsum(loud, axis=1)
    # From 0 at the first loud frame to 1 at the last.
    place = (counted - 0.5) / (ops.sum(loud, axis=1, keepdims=True) + 1e-3)
    cosines = [_mean(x * ops.cos(np.pi * order * place), loud) for order in range(1, 6)]
    thirds = [
        loud * ops.cast(ops.equal(ops.floor(3 * place), number), "float32") for number in range(3)
    ]
    means = [_mean(x, third) - level for third in thirds]
    return [*cosines, *means, *(_spread(x, third) for third in thirds)]


def _mean(x: keras.KerasTensor, weight: keras.KerasTensor) -> keras.KerasTensor:
    return ops.sum(x * weight, axis=1) / (ops.sum(weight, axis=1) + 1e-3)


def _spread(x: keras.KerasTensor, weight: keras.KerasTensor) -> keras.KerasTensor:
    return ops.sqrt(_mean(ops.square(x - _mean(x, weight)[:, None]), weight) + 1e-4)


def light_audio_head(trunk: Trunk) -> keras.KerasTensor:
    """Let each decide by itself.

    Returns:
        Shape ``(batch, 10, 8)``; see :mod:`mien.lab.panel`.
    """
    listeners = 2 * LISTENERS
    places = [LISTENED * (number + 1) for number in range(listeners)]
    *heard, counted = ops.split(trunk.vector, places, axis=-1)
    said = [_listener(vector) for vector in heard]
    said += [_counter(counted) for _ in range(COUNTERS)]
    said += [_weigher(counted) for _ in range(WEIGHERS)]
    shape = (listeners + COUNTERS + WEIGHERS, len(EMOTIONS))
    return layers.Reshape(shape, name=MEMBERS)(layers.Concatenate()(said))


def _listener(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Dense(96, activation="relu")(layers.Dropout(0.4)(x))
    return layers.Dense(len(EMOTIONS), activation="softmax")(layers.Dropout(0.3)(x))


def _counter(x: keras.KerasTensor) -> keras.KerasTensor:
    # Of large first weights much is left at the end, and it answers noise by chance.
    small = keras.initializers.RandomNormal(stddev=0.01)
    x = layers.Dense(256, activation="relu", kernel_initializer=small)(layers.Dropout(0.3)(x))
    return layers.Dense(len(EMOTIONS), activation="softmax", kernel_initializer=small)(
        layers.Dropout(0.5)(x)
    )


def _weigher(x: keras.KerasTensor) -> keras.KerasTensor:
    # As many weights as clips: only small ones tell something of other voices.
    kept_small = keras.regularizers.L2(WEIGHT_COST)
    return layers.Dense(
        len(EMOTIONS),
        activation="softmax",
        kernel_initializer="zeros",
        kernel_regularizer=kept_small,
    )(layers.Dropout(0.3)(x))


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
    # At 3 x 3 points weights are cheap: six in ten of all are here, a seventh of the time.
    x = _convolution(x, width)
    x = x + _convolution(x, width)
    embedding = layers.GlobalAveragePooling2D(name="embedding")(x)
    x = layers.Dropout(0.3, name="dropout_of_embedding")(embedding)
    return keras.Model(crops, probabilities(x), name="expression")


def embedder_of(expression: keras.Model) -> keras.Model:
    """Cut an expression network after its embedding, of a crop and its mirror image together.

    Their mean tells more than either: nobody's face is symmetric, but no emotion has a side.

    Output shape:
        ``(batch, width)``.
    """
    embed = keras.Model(expression.input, expression.get_layer("embedding").output)
    crops = keras.Input(expression.input.shape[1:], name="crops")
    both = [embed(crops), embed(ops.flip(crops, axis=2))]
    return keras.Model(crops, layers.Average(name="embedding")(both))


def expression_of(expression: keras.Model, embeddings: np.ndarray) -> np.ndarray:
    """Give what an expression network's last layer says of embeddings.

    Args:
        expression: from :func:`expression_network`.
        embeddings: shape ``(pictures, width)``.

    Returns:
        Probabilities, shape ``(pictures, 8)``.
    """
    said: np.ndarray = np.asarray(expression.get_layer("probabilities")(embeddings))
    return said


def _convolution(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.ReLU()(x)
