"""One network for both branches: early and attention fusion, beside the paper's late one."""

import math
from collections.abc import Callable

import keras
import numpy as np
from keras import layers, ops

from mien.errors import InvalidArgument
from mien.lab.networks import Trunk, attended, probabilities
from mien.lab.presets import Design

MODALITY_DROPOUT = 0.2
"""Share of training clips that lose their sound, and share that lose their picture."""

ATTENTION_WIDTH = 64
"""Numbers a step that the two sequences are brought to before they look at each other."""


@keras.saving.register_keras_serializable("mien")
class ModalityDropout(layers.Layer):  # type: ignore[misc] # keras is untyped
    """Take the sound or the picture of some training clips away, never both.

    A network that fuses features would else lean on the easier branch alone.

    Args:
        rate: share of clips that lose their sound, and share that lose their picture: 0 to 0.5.

    Raises:
        InvalidArgument: the rate is outside that.

    Input shape:
        Two tensors of shape ``(batch, steps, channels)``.

    Output shape:
        The same.
    """

    def __init__(self, rate: float = MODALITY_DROPOUT, **options: object) -> None:
        if not 0.0 <= rate <= 0.5:
            raise InvalidArgument(
                f"rate must be within 0 to 0.5, not {rate}: a clip loses one of the two at most"
            )
        super().__init__(**options)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(
        self, audio: keras.KerasTensor, video: keras.KerasTensor, training: bool | None = None
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Drop in training; else pass both on."""
        if not training:
            return audio, video
        chance = keras.random.uniform((ops.shape(audio)[0], 1, 1), seed=self.seed_generator)
        keep_audio = ops.cast(chance >= self.rate, audio.dtype)
        keep_video = ops.cast(chance < 1.0 - self.rate, video.dtype)
        return audio * keep_audio, video * keep_video

    def get_config(self) -> dict[str, object]:
        """Give what rebuilds the layer."""
        return {**super().get_config(), "rate": self.rate}


def joined(audio: np.ndarray, video: np.ndarray) -> np.ndarray:
    """Lay the inputs of both branches side by side: the input of a joint network.

    Returns:
        float32 of shape ``(clips, numbers of audio + numbers of video)``.

    >>> joined(np.zeros((2, 5)), np.zeros((2, 3, 4))).shape
    (2, 17)
    """
    flat = [part.reshape(len(part), math.prod(part.shape[1:])) for part in (audio, video)]
    return np.concatenate(flat, axis=1).astype(np.float32, copy=False)


def early_network(
    audio: Design, video: Design, *, training: tuple[np.ndarray, np.ndarray]
) -> keras.Model:
    """Build early fusion: what both trunks see, joined, decided on by one head.

    Args:
        audio: design of the audio branch.
        video: design of the video branch.
        training: inputs of the training clips for each.

    Input shape:
        ``(batch, numbers)``: what :func:`joined` gives.

    Output shape:
        ``(batch, 8)``.
    """

    def head(heard: Trunk, seen: Trunk) -> keras.KerasTensor:
        return layers.Concatenate()([heard.vector, seen.vector])

    return _joint(audio, video, training=training, name="early", meet=head)


def attention_network(
    audio: Design, video: Design, *, training: tuple[np.ndarray, np.ndarray]
) -> keras.Model:
    """Build attention fusion: each branch's sequence looks at the other's, then both decide.

    One head of cross-attention each way, with modality dropout before it; arguments and shapes
    are those of :func:`early_network`.
    """

    def meet(heard: Trunk, seen: Trunk) -> keras.KerasTensor:
        sounds = layers.Dense(ATTENTION_WIDTH)(heard.sequence)
        pictures = layers.Dense(ATTENTION_WIDTH)(seen.sequence)
        sounds, pictures = ModalityDropout()(sounds, pictures)
        listening = _look(sounds, pictures, seen.present)
        watching = _look(pictures, sounds, heard.present)
        return layers.Concatenate()(
            [attended(listening, heard.present), attended(watching, seen.present)]
        )

    return _joint(audio, video, training=training, name="attention", meet=meet)


JOINT = {"early": early_network, "attention": attention_network}
"""Name of a fusion that is a network of its own → how to build it."""


def _look(
    asking: keras.KerasTensor, asked: keras.KerasTensor, present: keras.KerasTensor | None
) -> keras.KerasTensor:
    if asked.shape[1] == 1:
        # There is nothing to choose from.
        return layers.LayerNormalization()(asking + layers.Dense(ATTENTION_WIDTH)(asked))
    mask = None
    if present is not None:
        mask = ops.transpose(present, (0, 2, 1)) > 0.5
    found = layers.MultiHeadAttention(num_heads=1, key_dim=ATTENTION_WIDTH, dropout=0.1)(
        asking, asked, attention_mask=mask
    )
    return layers.LayerNormalization()(asking + found)


def _joint(
    audio: Design,
    video: Design,
    *,
    training: tuple[np.ndarray, np.ndarray],
    name: str,
    meet: Callable[[Trunk, Trunk], keras.KerasTensor],
) -> keras.Model:
    shapes = [part.shape[1:] for part in training]
    numbers = [math.prod(shape) for shape in shapes]
    inputs = keras.Input((sum(numbers),), name="inputs")
    heard = audio.trunk(layers.Reshape(shapes[0])(inputs[:, : numbers[0]]), training[0])
    seen = video.trunk(layers.Reshape(shapes[1])(inputs[:, numbers[0] :]), training[1])
    x = layers.Dropout(0.4)(meet(heard, seen))
    x = layers.Dense(96, activation="relu")(x)
    x = layers.Dropout(0.3)(x)
    return keras.Model(inputs, probabilities(x), name=name)
