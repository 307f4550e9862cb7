"""The preparation of pictures against transformers, the resizing against Pillow."""

import importlib
from typing import Any

import hypothesis
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st

from mien.errors import InvalidArgument, NoEmbedder
from mien.lab.preparation import Kernel, Preparation, prepare, resize_matrix

# Keras reads its backend at import, so mien.lab, which chooses it, comes first.
# isort: split
import keras

SIZES = st.integers(min_value=1, max_value=60)
KERNELS = st.sampled_from(["bilinear", "bicubic"])


def pixels(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(2).integers(0, 256, shape).astype(np.float32)


@hypothesis.settings(deadline=None)
@hypothesis.given(source=SIZES, target=SIZES, kernel=KERNELS)
def test_resizing_keeps_constants(source: int, target: int, kernel: Kernel) -> None:
    matrix = resize_matrix(source, target, kernel=kernel)
    assert matrix.shape == (target, source)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(matrix @ np.full(source, 7.0), 7, atol=1e-11)


@hypothesis.settings(deadline=None)
@hypothesis.given(size=SIZES, kernel=KERNELS)
def test_resizing_to_the_same_size_changes_nothing(size: int, kernel: Kernel) -> None:
    np.testing.assert_allclose(resize_matrix(size, size, kernel=kernel), np.eye(size), atol=1e-15)


@hypothesis.settings(deadline=None)
@hypothesis.given(source=SIZES, target=SIZES, kernel=KERNELS)
def test_resizing_is_the_same_mirrored(source: int, target: int, kernel: Kernel) -> None:
    matrix = resize_matrix(source, target, kernel=kernel)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-9)


def test_bicubic_golden_row() -> None:
    # Keys's cubic at distances 0.75, 0.25 and 1.25, by hand; the fourth tap is beyond the border.
    weights = np.array([0.2265625, 0.8671875, -0.0703125])
    row = resize_matrix(3, 6, kernel="bicubic")[2]
    np.testing.assert_allclose(row, weights / 1.0234375)


@pytest.mark.parametrize(("kernel", "number"), [("bilinear", 2), ("bicubic", 3)])
@pytest.mark.parametrize(("source", "target"), [(48, 224), (224, 48), (48, 49), (7, 3), (1, 5)])
def test_resizing_agrees_with_pillow(source: int, target: int, kernel: Kernel, number: int) -> None:
    image = pytest.importorskip("PIL.Image")
    values = pixels(source, source)
    matrix = resize_matrix(source, target, kernel=kernel)
    expected = image.fromarray(values).resize((target, target), resample=number)
    np.testing.assert_allclose(matrix @ values @ matrix.T, np.asarray(expected), atol=2e-4)


@pytest.mark.parametrize(
    ("source", "target", "kernel", "message"),
    [
        (0, 3, "bicubic", "must be at least 1, not 0 and 3"),
        (3, 0, "bicubic", "must be at least 1, not 3 and 0"),
        (3, 3, "nearest", "must be 'bilinear' or 'bicubic', not 'nearest'"),
    ],
)
def test_resizing_refuses(source: int, target: int, kernel: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        resize_matrix(source, target, kernel=kernel)


def pictures_of(preparation: Preparation, crops: npt.NDArray[np.float32]) -> Any:
    inputs = keras.Input(crops.shape[1:])
    return np.asarray(keras.Model(inputs, prepare(inputs, preparation))(crops))


@pytest.mark.parametrize("resample", [2, 3])
def test_preparation_agrees_with_transformers(resample: int) -> None:
    for package in ("torch", "transformers"):
        pytest.importorskip(package, reason="pip install 'mien[reference]'")
    values = {
        "size": {"height": 64, "width": 64},
        "resample": resample,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    processor = importlib.import_module(
        "transformers.models.vit.image_processing_pil_vit"
    ).ViTImageProcessorPil(**values)
    # Of middling colours, where a bicubic kernel cannot overshoot what 8 bits hold: Pillow rounds
    # to them after each of its two passes, which is all of the difference that may be.
    crops = 64 + np.floor(pixels(3, 48, 48, 3) / 2)
    expected = processor(images=list(crops.astype(np.uint8)), return_tensors="np")["pixel_values"]
    ours = pictures_of(Preparation.from_dict(values), crops)
    np.testing.assert_allclose(ours, expected, atol=1.5 / 255 / 0.224)


def test_colours_by_hand() -> None:
    preparation = Preparation(size=2, mean=(0.5, 0, 0.25), deviation=(0.5, 1, 0.5))
    crops = np.array([[[[255, 0, 51]]]], np.float32)
    pictures = pictures_of(preparation, crops)
    assert pictures.shape == (1, 3, 2, 2)
    np.testing.assert_allclose(pictures[0, :, 0, 0], [1, 0, -0.1], atol=1e-6)
    np.testing.assert_allclose(pictures[0, :, 1, 1], [1, 0, -0.1], atol=1e-6)


def test_preparation_of_the_papers_repository() -> None:
    # preprocessor_config.json of google/vit-base-patch16-224-in21k names no kernel.
    colours = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    values = {"do_normalize": True, "do_resize": True, **colours, "size": 224}
    assert Preparation.from_dict(values) == Preparation(kernel="bilinear")


@pytest.mark.parametrize(
    ("values", "size"),
    [
        ({}, 224),
        ({"size": 32}, 32),
        ({"size": {"height": 32, "width": 32}}, 32),
        ({"size": {"shortest_edge": 32}}, 32),
        ({"size": {"shortest_edge": 32}, "crop_size": 28}, 28),
        ({"size": 32, "crop_size": {"height": 28, "width": 28}, "do_center_crop": True}, 28),
        ({"size": {"shortest_edge": 32}, "crop_size": 28, "do_center_crop": False}, 32),
    ],
)
def test_preparation_sizes(values: dict[str, Any], size: int) -> None:
    assert Preparation.from_dict(values).size == size


def test_preparation_without_colours_or_rescaling() -> None:
    preparation = Preparation.from_dict({"do_normalize": False, "do_rescale": False})
    assert preparation.mean == (0, 0, 0)
    assert preparation.deviation == (1, 1, 1)
    assert preparation.rescale == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"resample": 1}, r"resample must be 2 \(bilinear\) or 3 \(bicubic\), not 1"),
        ({"size": {"height": 32, "width": 48}}, "size must be a square"),
        ({"size": 0}, "size must be a square"),
        ({"size": {}}, "size must be a square"),
        ({"crop_size": "224"}, "crop_size must be a square"),
        ({"image_mean": 0.5}, "image_mean must be three numbers, not 0.5"),
        ({"image_std": [0.5]}, "image_std must be three numbers"),
    ],
)
def test_preparation_refuses(values: dict[str, Any], message: str) -> None:
    with pytest.raises(NoEmbedder, match=f"preprocessor_config.json's {message}"):
        Preparation.from_dict(values)
