"""Vision Transformers in Keras: ViT and DINOv2, from face crop to the class token's vector.

ViT: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", arXiv:2010.11929.
DINOv2: Oquab et al. 2023, "DINOv2: Learning Robust Visual Features without Supervision",
arXiv:2304.07193. Sizes and preparation come from Hugging Face's ``config.json`` and
``preprocessor_config.json``; :mod:`mien.lab.weights` fills in the weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from mien.errors import InvalidArgument, NoEmbedder

Kernel = Literal["bilinear", "bicubic"]
Family = Literal["vit", "dinov2"]

KERNELS: Mapping[int, Kernel] = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of the resampling kernels, as ``preprocessor_config.json`` writes them."""
PILLOW_CUBIC = -0.5
"""Keys's coefficient of Pillow's bicubic kernel (``Resample.c``)."""
TORCH_CUBIC = -0.75
"""Keys's coefficient of PyTorch's bicubic kernel (``UpSample.h``)."""

_SHARED_DEFAULTS = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "gelu",
    "image_size": 224,
    "num_channels": 3,
    "qkv_bias": True,
}
# config.json leaves out what equals the defaults of transformers' configuration classes.
_DEFAULTS: Mapping[Family, Mapping[str, Any]] = {
    "vit": {
        **_SHARED_DEFAULTS,
        "patch_size": 16,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-12,
    },
    "dinov2": {
        **_SHARED_DEFAULTS,
        "patch_size": 14,
        "mlp_ratio": 4,
        "layer_norm_eps": 1e-6,
        "use_swiglu_ffn": False,
    },
}


@dataclass(frozen=True, kw_only=True)
class VitConfig:
    """The sizes of a Vision Transformer."""

    family: Family = "vit"
    """``"vit"``, or ``"dinov2"`` for blocks with layer scale."""
    width: int = 768
    """Numbers a token, and of the embedding."""
    depth: int = 12
    """Blocks."""
    heads: int = 12
    inner_width: int = 3072
    """Hidden units of a block's multi-layer perceptron."""
    patch: int = 16
    """Pixels a side of a patch."""
    trained_size: int = 224
    """Pixels a side of the pictures that the position embeddings were trained on."""
    norm_epsilon: float = 1e-12
    qkv_bias: bool = True

    @property
    def trained_side(self) -> int:
        """Patches a side of the pictures that the position embeddings were trained on."""
        return self.trained_size // self.patch

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read Hugging Face's ``config.json``.

        Args:
            values: its content; a missing field means transformers' default.

        Raises:
            NoEmbedder: the network is of another kind; the message names the field.

        >>> VitConfig.from_dict({"model_type": "dinov2", "hidden_size": 384}).inner_width
        1536
        """
        family: Any = values.get("model_type")
        if family not in _DEFAULTS:
            raise _unsupported("model_type", family, "'vit' or 'dinov2'")
        fields = {**_DEFAULTS[family], **values}
        _require(fields, "hidden_act", "gelu")
        _require(fields, "num_channels", 3)
        if family == "dinov2":
            _require(fields, "use_swiglu_ffn", False)
        config = cls(
            family=family,
            width=_count(fields, "hidden_size"),
            depth=_count(fields, "num_hidden_layers"),
            heads=_count(fields, "num_attention_heads"),
            inner_width=_inner_width(family, fields),
            patch=_side("config.json's patch_size", fields["patch_size"]),
            trained_size=_side("config.json's image_size", fields["image_size"]),
            norm_epsilon=float(fields["layer_norm_eps"]),
            qkv_bias=bool(fields["qkv_bias"]),
        )
        if config.width % config.heads:
            raise _unsupported("num_attention_heads", config.heads, f"a divisor of {config.width}")
        if config.trained_size < config.patch:
            raise _unsupported("image_size", config.trained_size, f"at least {config.patch}")
        return config


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How a face crop becomes the network's picture."""

    size: int = 224
    """Pixels a side of the network's picture."""
    kernel: Kernel = "bicubic"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Subtracted from red, green and blue after rescaling."""
    deviation: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """What red, green and blue are divided by then."""
    rescale: float = 1 / 255
    """What pixel values of 0 to 255 are multiplied by."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read Hugging Face's ``preprocessor_config.json``.

        Args:
            values: its content; a missing field means the default of transformers'
                ``ViTImageProcessor`` (bilinear, 224 pixels, to [-1, 1]).

        Raises:
            NoEmbedder: the preparation is of another kind; the message names the field.

        >>> Preparation.from_dict({"size": {"height": 384, "width": 384}, "resample": 3}).size
        384
        """
        resample = values.get("resample", 2)
        if resample not in KERNELS:
            raise NoEmbedder(
                "preprocessor_config.json's resample must be 2 (bilinear) or 3 (bicubic), "
                f"not {resample!r}: choose another embedder"
            )
        normalises = values.get("do_normalize", True)
        return cls(
            size=_input_size(values),
            kernel=KERNELS[resample],
            mean=_colour(values, "image_mean", 0.5) if normalises else (0.0, 0.0, 0.0),
            deviation=_colour(values, "image_std", 0.5) if normalises else (1.0, 1.0, 1.0),
            rescale=float(values.get("rescale_factor", 1 / 255))
            if values.get("do_rescale", True)
            else 1.0,
        )


def resize_matrix(source: int, target: int, *, kernel: Kernel) -> npt.NDArray[np.float64]:
    """Give the matrix that resizes a row of pixels as Pillow does, without its rounding.

    Pixels are squares with centres at half numbers; the kernel grows with the step when the row
    shrinks; at the borders its weights are scaled up to sum to 1 again.

    Args:
        source: pixels before, at least 1.
        target: pixels after, at least 1.
        kernel: ``"bilinear"`` (a triangle) or ``"bicubic"`` (Keys, a = -0.5).

    Returns:
        Weights in shape (target, source); every row sums to 1.

    Raises:
        InvalidArgument: a size is below 1, or the kernel is unknown.

    >>> resize_matrix(2, 4, kernel="bilinear")
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]])
    """
    if min(source, target) < 1:
        raise InvalidArgument(f"source and target must be at least 1, not {source} and {target}")
    if kernel not in KERNELS.values():
        raise InvalidArgument(f"kernel must be 'bilinear' or 'bicubic', not {kernel!r}")
    step = source / target
    centres = (np.arange(target) + 0.5) * step
    distances = (np.arange(source) + 0.5 - centres[:, None]) / max(step, 1.0)
    weights = _triangle(distances) if kernel == "bilinear" else _keys(distances, PILLOW_CUBIC)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


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


@keras.saving.register_keras_serializable(package="mien")
class Resize(layers.Layer):  # type: ignore[misc]
    """Resizes square pictures by a constant matrix a side.

    Input shape: (n, channels, source, source). Output shape: (n, channels, target, target).
    """

    def __init__(self, source: int, target: int, *, kernel: Kernel, **options: Any) -> None:
        super().__init__(**options)
        self.source, self.target, self.kernel = source, target, kernel
        self.matrix = resize_matrix(source, target, kernel=kernel).astype(np.float32)

    def call(self, pictures: Any) -> Any:
        """Resize down the columns, then along the rows."""
        tall = ops.matmul(ops.convert_to_tensor(self.matrix), pictures)
        return ops.matmul(tall, ops.convert_to_tensor(self.matrix.T.copy()))

    def get_config(self) -> dict[str, Any]:
        """Give what the constructor needs."""
        own = {"source": self.source, "target": self.target, "kernel": self.kernel}
        return {**super().get_config(), **own}


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


def prepare(crops: Any, preparation: Preparation) -> Any:
    """Turn face crops into the network's pictures.

    A photograph's shortest edge would be resized and its middle cut out; a face crop has no border
    to spare, so that all of it becomes the picture.

    Args:
        crops: a Keras tensor in shape (n, crop, crop, 3), RGB of 0 to 255.
        preparation: kernel, size and colours.

    Returns:
        A Keras tensor in shape (n, 3, size, size).

    Raises:
        InvalidArgument: the crops have no pixels.
    """
    mean, deviation = np.array(preparation.mean), np.array(preparation.deviation)
    # Colours come first: the resize matrices' rows sum to 1, so that the order does not matter,
    # and crops are twenty times smaller than pictures.
    pixels = layers.Rescaling(
        scale=(preparation.rescale / deviation).tolist(),
        offset=(-mean / deviation).tolist(),
        name="colours",
    )(crops)
    pixels = layers.Permute((3, 1, 2), name="channels_first")(pixels)
    resize = Resize(crops.shape[1], preparation.size, kernel=preparation.kernel, name="resize")
    return resize(pixels)


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


def _triangle(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.maximum(1 - np.abs(distances), 0))


def _keys(distances: npt.NDArray[np.float64], a: float) -> npt.NDArray[np.float64]:
    """Keys 1981, "Cubic convolution interpolation for digital image processing"."""
    x = np.abs(distances)
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _torch_cubic_matrix(source: int, target: int) -> npt.NDArray[np.float64]:
    centres = (np.arange(target) + 0.5) * source / target - 0.5
    first = np.floor(centres).astype(int) - 1
    matrix = np.zeros((target, source))
    for tap in range(4):
        column = np.clip(first + tap, 0, source - 1)
        np.add.at(matrix, (np.arange(target), column), _keys(first + tap - centres, TORCH_CUBIC))
    return matrix


def _unsupported(field: str, value: object, supported: str) -> NoEmbedder:
    return NoEmbedder(
        f"config.json's {field} must be {supported}, not {value!r}: choose another embedder"
    )


def _require(fields: Mapping[str, Any], name: str, value: object) -> None:
    if fields[name] != value:
        raise _unsupported(name, fields[name], repr(value))


def _count(fields: Mapping[str, Any], name: str) -> int:
    value = fields[name]
    if not isinstance(value, int) or value < 1:
        raise _unsupported(name, value, "a whole number from 1")
    return value


def _inner_width(family: Family, fields: Mapping[str, Any]) -> int:
    if family == "vit":
        return _count(fields, "intermediate_size")
    return int(_count(fields, "hidden_size") * fields["mlp_ratio"])


def _side(name: str, value: Any) -> int:
    """Read a square's side, given as a number or as two equal ones."""
    sides = set(value.values() if isinstance(value, Mapping) else np.atleast_1d(value).tolist())
    if len(sides) != 1 or not isinstance(side := sides.pop(), int) or side < 1:
        raise NoEmbedder(
            f"{name} must be a square, as one whole number or two equal ones, not {value!r}: "
            "choose another embedder"
        )
    return side


def _input_size(values: Mapping[str, Any]) -> int:
    if "crop_size" in values and values.get("do_center_crop", True):
        return _side("preprocessor_config.json's crop_size", values["crop_size"])
    return _side("preprocessor_config.json's size", values.get("size", 224))


def _colour(values: Mapping[str, Any], name: str, default: float) -> tuple[float, float, float]:
    numbers = values.get(name, [default] * 3)
    if not isinstance(numbers, Sequence) or len(numbers) != 3:
        raise NoEmbedder(
            f"preprocessor_config.json's {name} must be three numbers, not {numbers!r}: "
            "choose another embedder"
        )
    red, green, blue = map(float, numbers)
    return red, green, blue
