"""Face crops → the pictures of a Vision Transformer, as its ``preprocessor_config.json`` says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from mien.errors import InvalidArgument, NoEmbedder
from mien.lab.vit_config import square_side

Kernel = Literal["bilinear", "bicubic"]

KERNELS: Mapping[int, Kernel] = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of the resampling kernels, as ``preprocessor_config.json`` writes them."""
PILLOW_CUBIC = -0.5
"""Keys's coefficient of Pillow's bicubic kernel (``Resample.c``)."""


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
    bilinear = kernel == "bilinear"
    weights = _triangle(distances) if bilinear else cubic_kernel(distances, PILLOW_CUBIC)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def cubic_kernel(distances: npt.NDArray[np.float64], a: float) -> npt.NDArray[np.float64]:
    """Weigh pixels by their distance with a cubic spline.

    Keys 1981, "Cubic convolution interpolation for digital image processing".

    Args:
        distances: from the wanted place, in pixels, of any shape.
        a: Keys's coefficient, the slope at distance 1.

    Returns:
        Weights in the shape of the distances.
    """
    x = np.abs(distances)
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _triangle(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.maximum(1 - np.abs(distances), 0))


def _input_size(values: Mapping[str, Any]) -> int:
    if "crop_size" in values and values.get("do_center_crop", True):
        return square_side("preprocessor_config.json's crop_size", values["crop_size"])
    return square_side("preprocessor_config.json's size", values.get("size", 224))


def _colour(values: Mapping[str, Any], name: str, default: float) -> tuple[float, float, float]:
    numbers = values.get(name, [default] * 3)
    if not isinstance(numbers, Sequence) or len(numbers) != 3:
        raise NoEmbedder(
            f"preprocessor_config.json's {name} must be three numbers, not {numbers!r}: "
            "choose another embedder"
        )
    red, green, blue = map(float, numbers)
    return red, green, blue
