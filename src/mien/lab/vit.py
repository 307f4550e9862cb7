"""Vision Transformers in Keras: ViT and DINOv2, from face crop to the class token's vector.

ViT: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", arXiv:2010.11929.
DINOv2: Oquab et al. 2023, "DINOv2: Learning Robust Visual Features without Supervision",
arXiv:2304.07193. Sizes come from :mod:`mien.lab.vit_config`, pictures from
:mod:`mien.lab.preparation`; :mod:`mien.lab.weights` fills in the weights.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from mien.errors import InvalidArgument
from mien.lab.preparation import Preparation, cubic_kernel, prepare
from mien.lab.vit_config import VitConfig

TORCH_CUBIC = -0.75
"""Keys's coefficient of PyTorch's bicubic kernel (``UpSample.h``)."""


@keras.saving.register_keras_serializable(package="mien")
class Patches(layers.Layer):  # type: ignore[misc]
    """Cuts pictures into patches: as a matrix product, the rest of a patch embedding is a Dense.

    Pixels beyond the last whole patch are left out, as by the strided convolution of transformers.
    Input shape: (n, 3, size, size). Output shape: (n, (size // patch)², 3 · patch²).
    """

    def __init__(self, patch: int, **options: Any) -> None:
        super().__init__(**options)
        self.patch = patch

    def call(self, pictures: Any) -> Any:
        """Order a patch's numbers by channel, row and column, as Hugging Face's weights are."""
        channels, side = pictures.shape[1], pictures.shape[2] // self.patch
        whole = pictures[:, :, : side * self.patch, : side * self.patch]
        grid = ops.reshape(whole, (-1, channels, side, self.patch, side, self.patch))
        return ops.reshape(
            ops.transpose(grid, (0, 2, 4, 1, 3, 5)), (-1, side**2, channels * self.patch**2)
        )

    def get_config(self) -> dict[str, Any]:
        """Give what the constructor needs."""
        return {**super().get_config(), "patch": self.patch}


@keras.saving.register_keras_serializable(package="mien")
class Places(layers.Layer):  # type: ignore[misc]
    """Puts the class token before the patches and tells each token where it is.

    Input shape: (n, patches, width). Output shape: (n, 1 + patches, width).
    """

    def build(self, shape: Sequence[int | None]) -> None:
        """Make the class token and a position a token."""
        _, patches, width = shape
        self.class_token = self.add_weight(
            shape=(1, 1, width), initializer="random_normal", name="class_token"
        )
        self.positions = self.add_weight(
            shape=(1, 1 + (patches or 0), width), initializer="random_normal", name="positions"
        )

    def call(self, patches: Any) -> Any:
        """Pad instead of joining: no graph needs to know the batch size then."""
        count = patches.shape[1]
        places = self.positions + ops.pad(self.class_token, ((0, 0), (0, count), (0, 0)))
        return ops.pad(patches, ((0, 0), (1, 0), (0, 0))) + places


@keras.saving.register_keras_serializable(package="mien")
class Attention(layers.Layer):  # type: ignore[misc]
    """Multi-head attention of the first tokens to all tokens.

    Input shape: (n, tokens, width). Output shape: (n, asking, width).
    """

    def __init__(self, heads: int, *, asking: int, bias: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.heads, self.asking, self.bias = heads, asking, bias

    def build(self, shape: Sequence[int | None]) -> None:
        """Make the projections to queries, keys and values, and one from the heads' answers."""
        width = shape[-1] or 0
        self.query = layers.Dense(width, use_bias=self.bias, name="query")
        self.key = layers.Dense(width, use_bias=self.bias, name="key")
        self.value = layers.Dense(width, use_bias=self.bias, name="value")
        self.output_projection = layers.Dense(width, name="output")
        for part in (self.query, self.key, self.value, self.output_projection):
            part.build(shape)

    def call(self, tokens: Any) -> Any:
        """Weigh the values by how well each key answers each query."""
        width = tokens.shape[-1]
        queries = self._split(self.query(tokens[:, : self.asking])) * (width // self.heads) ** -0.5
        keys, values = self._split(self.key(tokens)), self._split(self.value(tokens))
        scores = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
        answers = ops.matmul(ops.softmax(scores, axis=-1), values)
        joined = ops.reshape(ops.transpose(answers, (0, 2, 1, 3)), (-1, self.asking, width))
        return self.output_projection(joined)

    def _split(self, tokens: Any) -> Any:
        """Deal the width out to heads: (n, tokens, width) → (n, heads, tokens, width / heads)."""
        _, count, width = tokens.shape
        heads = ops.reshape(tokens, (-1, count, self.heads, width // self.heads))
        return ops.transpose(heads, (0, 2, 1, 3))

    def get_config(self) -> dict[str, Any]:
        """Give what the constructor needs."""
        own = {"heads": self.heads, "asking": self.asking, "bias": self.bias}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="mien")
class Norm(layers.Layer):  # type: ignore[misc]
    """Layer normalisation (Ba et al. 2016, arXiv:1607.06450) over the last axis.

    Keras's own, traced by jax2onnx 0.17, becomes thirty ONNX nodes; this one becomes the nine that
    ONNX Runtime recognises and runs as one. Input shape and output shape: (n, ..., width).
    """

    def __init__(self, epsilon: float, **options: Any) -> None:
        super().__init__(**options)
        self.epsilon = epsilon

    def build(self, shape: Sequence[int | None]) -> None:
        """Make a scale and an offset a feature."""
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")
        self.offset = self.add_weight(shape=(shape[-1],), initializer="zeros", name="offset")

    def call(self, tokens: Any) -> Any:
        """Bring every token to mean 0 and variance 1, then scale and shift."""
        centred = tokens - ops.mean(tokens, axis=-1, keepdims=True)
        variance = ops.mean(centred**2, axis=-1, keepdims=True)
        return centred / ops.sqrt(variance + self.epsilon) * self.scale + self.offset

    def get_config(self) -> dict[str, Any]:
        """Give what the constructor needs."""
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="mien")
class LayerScale(layers.Layer):  # type: ignore[misc]
    """Multiplies each feature by a learnt number (Touvron et al. 2021, arXiv:2103.17239).

    Input shape and output shape: (n, tokens, width).
    """

    def build(self, shape: Sequence[int | None]) -> None:
        """Make a factor a feature."""
        self.factors = self.add_weight(shape=(shape[-1],), initializer="ones", name="factors")

    def call(self, tokens: Any) -> Any:
        """Scale."""
        return tokens * self.factors


def network(config: VitConfig, *, size: int) -> keras.Model:
    """Build a Vision Transformer with random weights.

    The last block asks for the class token alone: nothing reads the other tokens after it.

    Args:
        config: the sizes.
        size: pixels a side of the pictures, at least one patch.

    Returns:
        A model from pictures in shape (n, 3, size, size), prepared, to the class token after the
        last LayerNorm in shape (n, width): ``last_hidden_state[:, 0]`` of transformers'
        ``ViTModel`` and ``Dinov2Model``.

    Raises:
        InvalidArgument: the picture is smaller than a patch.

    >>> config = VitConfig(width=8, depth=2, heads=2, inner_width=16, patch=4)
    >>> network(config, size=12).output_shape
    (None, 8)
    """
    side = size // config.patch
    if side < 1:
        raise InvalidArgument(f"size must be at least a patch of {config.patch} pixels, not {size}")
    pictures = keras.Input((3, size, size), name="pictures")
    tokens = Patches(config.patch, name="patches")(pictures)
    tokens = layers.Dense(config.width, name="patch_embedding")(tokens)
    tokens = Places(name="places")(tokens)
    for index in range(config.depth):
        last = index == config.depth - 1
        tokens = _block(tokens, config, name=f"block_{index}", asking=1 if last else side**2 + 1)
    token = layers.Reshape((config.width,), name="class_token")(tokens)
    return keras.Model(pictures, Norm(config.norm_epsilon, name="norm")(token), name=config.family)


def embedder(vit: keras.Model, preparation: Preparation, *, crop_size: int) -> keras.Model:
    """Put the preparation of face crops before a Vision Transformer.

    Args:
        vit: of :func:`network`, for pictures of ``preparation.size``.
        preparation: kernel, size and colours.
        crop_size: pixels a side of a face crop, at least 1.

    Returns:
        A model from crops in shape (n, crop_size, crop_size, 3), RGB of 0 to 255, to embeddings
        in shape (n, width).

    Raises:
        InvalidArgument: the crop size is below 1, or the network takes another picture size.
    """
    if vit.input_shape[1:] != (3, preparation.size, preparation.size):
        raise InvalidArgument(
            f"vit must take pictures of 3x{preparation.size}x{preparation.size} as preparation "
            f"says, not {vit.input_shape[1:]}"
        )
    if crop_size < 1:
        raise InvalidArgument(f"crop_size must be at least 1 pixel, not {crop_size}")
    crops = keras.Input((crop_size, crop_size, 3), name="crops")
    return keras.Model(crops, vit(prepare(crops, preparation)), name="embedder")


def interpolate_positions(
    positions: npt.NDArray[np.float32], *, side: int
) -> npt.NDArray[np.float32]:
    """Stretch position embeddings to another number of patches, as transformers does.

    That is PyTorch's bicubic interpolation (a = -0.75, half-pixel centres, the border repeated,
    no smoothing when it shrinks). The class token's position stays.

    Args:
        positions: shape (1, 1 + s², width) for s patches a side.
        side: patches a side wanted.

    Returns:
        Shape (1, 1 + side², width).
    """
    patches = positions[0, 1:].astype(np.float64)
    old_side = round(len(patches) ** 0.5)
    if side == old_side:
        return positions
    matrix = _torch_cubic_matrix(old_side, side)
    grid = patches.reshape(old_side, old_side, -1)
    stretched = np.einsum("yv,xh,vhc->yxc", matrix, matrix, grid).reshape(side**2, -1)
    return np.concatenate([positions[:, :1], stretched[None].astype(np.float32)], axis=1)


def _block(tokens: Any, config: VitConfig, *, name: str, asking: int) -> Any:
    spare = tokens.shape[1] - asking
    asked = Norm(config.norm_epsilon, name=f"{name}_norm1")(tokens)
    asked = Attention(config.heads, asking=asking, bias=config.qkv_bias, name=f"{name}_attention")(
        asked
    )
    asked = _scaled(asked, config, f"{name}_scale1")
    if spare:
        tokens = layers.Cropping1D((0, spare), name=f"{name}_asking")(tokens)
    tokens = layers.Add(name=f"{name}_add1")([tokens, asked])
    thought = Norm(config.norm_epsilon, name=f"{name}_norm2")(tokens)
    thought = layers.Dense(config.inner_width, activation="gelu", name=f"{name}_inner")(thought)
    thought = layers.Dense(config.width, name=f"{name}_outer")(thought)
    thought = _scaled(thought, config, f"{name}_scale2")
    return layers.Add(name=f"{name}_add2")([tokens, thought])


def _scaled(tokens: Any, config: VitConfig, name: str) -> Any:
    return LayerScale(name=name)(tokens) if config.family == "dinov2" else tokens


def _torch_cubic_matrix(source: int, target: int) -> npt.NDArray[np.float64]:
    centres = (np.arange(target) + 0.5) * source / target - 0.5
    first = np.floor(centres).astype(int) - 1
    matrix = np.zeros((target, source))
    for tap in range(4):
        column = np.clip(first + tap, 0, source - 1)
        weights = cubic_kernel(first + tap - centres, TORCH_CUBIC)
        np.add.at(matrix, (np.arange(target), column), weights)
    return matrix
