"""The Vision Transformer against transformers, the resizing against Pillow."""

import importlib
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st

from mien.errors import InvalidArgument, NoEmbedder
from mien.lab import vit

# Keras reads its backend at import, so mien.lab, which chooses it, comes first.
# isort: split
import keras

TINY = vit.VitConfig(
    width=24, depth=3, heads=4, inner_width=40, patch=8, trained_size=32, norm_epsilon=1e-6
)
SIZES = st.integers(min_value=1, max_value=60)
KERNELS = st.sampled_from(["bilinear", "bicubic"])


def seeded(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def pixels(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(2).integers(0, 256, shape).astype(np.float32)


def parameters(config: vit.VitConfig, tokens: int) -> int:
    """Count by hand what the network should hold."""
    width, inner = config.width, config.inner_width
    scales = 2 * width if config.family == "dinov2" else 0
    attention = 4 * (width**2 + width)
    block = 2 * 2 * width + attention + width * inner + inner + inner * width + width + scales
    places = width + tokens * width
    return (3 * config.patch**2 + 1) * width + places + config.depth * block + 2 * width


@pytest.mark.parametrize("family", ["vit", "dinov2"])
def test_shape_and_parameter_count(family: vit.Family) -> None:
    config = vit.VitConfig(
        family=family, width=24, depth=2, heads=3, inner_width=50, patch=4, trained_size=16
    )
    network = vit.network(config, size=16)
    assert network.output_shape == (None, 24)
    assert network.count_params() == parameters(config, tokens=17)
    assert vit.network(config, size=15).count_params() == parameters(config, tokens=10)


def test_vit_base_has_the_papers_parameters() -> None:
    assert parameters(vit.VitConfig(), tokens=197) == 85_798_656


def test_without_bias_in_queries_keys_and_values() -> None:
    config = vit.VitConfig(width=8, depth=1, heads=2, inner_width=8, patch=4, qkv_bias=False)
    names = [variable.path for variable in vit.network(config, size=8).weights]
    assert [name for name in names if "attention" in name] == [
        "block_0_attention/query/kernel",
        "block_0_attention/key/kernel",
        "block_0_attention/value/kernel",
        "block_0_attention/output/kernel",
        "block_0_attention/output/bias",
    ]


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
def test_save_and_load(tmp_path: Path) -> None:
    model = vit.embedder(vit.network(TINY, size=32), vit.Preparation(size=32), crop_size=12)
    model.save(tmp_path / "embedder.keras")
    again = keras.saving.load_model(tmp_path / "embedder.keras")
    crops = pixels(2, 12, 12, 3)
    np.testing.assert_array_equal(np.asarray(again(crops)), np.asarray(model(crops)))


def test_a_training_step_lowers_the_loss() -> None:
    network = vit.network(TINY, size=16)
    network.compile("adam", "mse")
    targets = np.tile(seeded(1, 24), (4, 1))
    losses = network.fit(seeded(4, 3, 16, 16), targets, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_every_patch_and_its_place_count() -> None:
    network = vit.network(TINY, size=24)
    picture = seeded(1, 3, 24, 24)
    before = np.asarray(network(picture))
    for row in range(3):
        for column in range(3):
            changed = picture.copy()
            changed[:, :, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] += 1
            assert np.abs(np.asarray(network(changed)) - before).max() > 1e-6
    swapped = np.concatenate([picture[..., 8:16], picture[..., :8], picture[..., 16:]], axis=-1)
    assert np.abs(np.asarray(network(swapped)) - before).max() > 1e-6


def reference() -> tuple[Any, Any]:
    reason = "pip install 'mien[reference]'"
    torch = pytest.importorskip("torch", reason=reason)
    return torch, pytest.importorskip("transformers", reason=reason)


def random_reference(model: Any, scale: float) -> None:
    """Draw all weights anew: fresh networks have zeros that would hide mistakes."""
    torch, _ = reference()
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * scale)
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)


def largest_difference(model: Any, folder: Path, size: int, **options: Any) -> float:
    torch, _ = reference()
    weights = importlib.import_module("mien.lab.weights")
    model.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(f'{{"size": {size}, "resample": 3}}')
    pictures = seeded(2, 3, size, size)
    with torch.no_grad():
        expected = model(torch.from_numpy(pictures), **options).last_hidden_state[:, 0].numpy()
    assert expected.std() > 0.1
    ours = np.asarray(weights.load(folder).network(pictures, training=False))
    return float(np.abs(ours - expected).max())


@pytest.mark.parametrize(("size", "bias"), [(32, True), (48, False), (20, True)])
def test_vit_agrees_with_transformers(tmp_path: Path, size: int, bias: bool) -> None:
    _, transformers = reference()
    config = transformers.ViTConfig(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=40,
        image_size=32,
        patch_size=8,
        qkv_bias=bias,
    )
    model = transformers.ViTModel(config)
    random_reference(model, 0.3)
    assert largest_difference(model, tmp_path, size, interpolate_pos_encoding=True) < 1e-4


@pytest.mark.parametrize("size", [70, 32])
def test_dinov2_agrees_with_transformers(tmp_path: Path, size: int) -> None:
    _, transformers = reference()
    config = transformers.Dinov2Config(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        mlp_ratio=2,
        image_size=70,
        patch_size=14,
    )
    model = transformers.Dinov2Model(config)
    random_reference(model, 0.3)
    assert largest_difference(model, tmp_path, size) < 1e-4


@pytest.mark.slow
def test_vit_base_agrees_with_transformers(tmp_path: Path) -> None:
    _, transformers = reference()
    model = transformers.ViTModel(transformers.ViTConfig())
    random_reference(model, 0.05)
    assert largest_difference(model, tmp_path, 224) < 1e-4


@hypothesis.settings(deadline=None)
@hypothesis.given(source=SIZES, target=SIZES, kernel=KERNELS)
def test_resizing_keeps_constants(source: int, target: int, kernel: vit.Kernel) -> None:
    matrix = vit.resize_matrix(source, target, kernel=kernel)
    assert matrix.shape == (target, source)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(matrix @ np.full(source, 7.0), 7, atol=1e-11)


@hypothesis.settings(deadline=None)
@hypothesis.given(size=SIZES, kernel=KERNELS)
def test_resizing_to_the_same_size_changes_nothing(size: int, kernel: vit.Kernel) -> None:
    np.testing.assert_allclose(
        vit.resize_matrix(size, size, kernel=kernel), np.eye(size), atol=1e-15
    )


@hypothesis.settings(deadline=None)
@hypothesis.given(source=SIZES, target=SIZES, kernel=KERNELS)
def test_resizing_is_the_same_mirrored(source: int, target: int, kernel: vit.Kernel) -> None:
    matrix = vit.resize_matrix(source, target, kernel=kernel)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-9)


def test_bicubic_golden_row() -> None:
    # Keys's cubic at distances 0.75, 0.25 and 1.25, by hand; the fourth tap is beyond the border.
    weights = np.array([0.2265625, 0.8671875, -0.0703125])
    row = vit.resize_matrix(3, 6, kernel="bicubic")[2]
    np.testing.assert_allclose(row, weights / 1.0234375)


@pytest.mark.parametrize(("kernel", "number"), [("bilinear", 2), ("bicubic", 3)])
@pytest.mark.parametrize(("source", "target"), [(48, 224), (224, 48), (48, 49), (7, 3), (1, 5)])
def test_resizing_agrees_with_pillow(
    source: int, target: int, kernel: vit.Kernel, number: int
) -> None:
    image = pytest.importorskip("PIL.Image")
    values = pixels(source, source)
    matrix = vit.resize_matrix(source, target, kernel=kernel)
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
        vit.resize_matrix(source, target, kernel=kernel)


def pictures_of(preparation: vit.Preparation, crops: npt.NDArray[np.float32]) -> Any:
    inputs = keras.Input(crops.shape[1:])
    return np.asarray(keras.Model(inputs, vit.prepare(inputs, preparation))(crops))


@pytest.mark.parametrize("resample", [2, 3])
def test_preparation_agrees_with_transformers(resample: int) -> None:
    reference()
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
    ours = pictures_of(vit.Preparation.from_dict(values), crops)
    np.testing.assert_allclose(ours, expected, atol=1.5 / 255 / 0.224)


def test_colours_by_hand() -> None:
    preparation = vit.Preparation(size=2, mean=(0.5, 0, 0.25), deviation=(0.5, 1, 0.5))
    crops = np.array([[[[255, 0, 51]]]], np.float32)
    pictures = pictures_of(preparation, crops)
    assert pictures.shape == (1, 3, 2, 2)
    np.testing.assert_allclose(pictures[0, :, 0, 0], [1, 0, -0.1], atol=1e-6)
    np.testing.assert_allclose(pictures[0, :, 1, 1], [1, 0, -0.1], atol=1e-6)


@pytest.mark.parametrize("side", [3, 5, 8, 11])
def test_positions_are_stretched_as_by_torch(side: int) -> None:
    torch, _ = reference()
    positions = seeded(1, 26, 4)
    grid = torch.from_numpy(positions[:, 1:]).reshape(1, 5, 5, 4).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(grid, size=(side, side), mode="bicubic")
    ours = vit.interpolate_positions(positions, side=side)
    np.testing.assert_array_equal(ours[:, 0], positions[:, 0])
    np.testing.assert_allclose(
        ours[0, 1:], expected.permute(0, 2, 3, 1).reshape(-1, 4).numpy(), atol=5e-6
    )


def test_config_reads_the_published_base() -> None:
    assert vit.VitConfig.from_dict({"model_type": "vit"}) == vit.VitConfig()
    small = {"model_type": "dinov2", "hidden_size": 384, "num_attention_heads": 6}
    assert vit.VitConfig.from_dict({**small, "image_size": 518}) == vit.VitConfig(
        family="dinov2",
        width=384,
        heads=6,
        inner_width=1536,
        patch=14,
        trained_size=518,
        norm_epsilon=1e-6,
    )


@pytest.mark.parametrize(
    ("field", "value", "supported"),
    [
        ("model_type", "swin", "'vit' or 'dinov2'"),
        ("model_type", "dinov2_with_registers", "'vit' or 'dinov2'"),
        ("model_type", None, "'vit' or 'dinov2'"),
        ("hidden_act", "gelu_new", "'gelu'"),
        ("num_channels", 1, "3"),
        ("use_swiglu_ffn", True, "False"),
        ("num_hidden_layers", 0, "a whole number from 1"),
        ("hidden_size", "768", "a whole number from 1"),
        ("num_attention_heads", 7, "a divisor of 768"),
        ("image_size", 13, "at least 14"),
        ("patch_size", [14, 16], "a square"),
    ],
)
def test_config_refuses(field: str, value: object, supported: str) -> None:
    with pytest.raises(NoEmbedder, match=rf"config.json's {field} must be {supported}.*, not "):
        vit.VitConfig.from_dict({"model_type": "dinov2", field: value})


def test_preparation_of_the_papers_repository() -> None:
    # preprocessor_config.json of google/vit-base-patch16-224-in21k names no kernel.
    colours = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    values = {"do_normalize": True, "do_resize": True, **colours, "size": 224}
    assert vit.Preparation.from_dict(values) == vit.Preparation(kernel="bilinear")


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
    assert vit.Preparation.from_dict(values).size == size


def test_preparation_without_colours_or_rescaling() -> None:
    preparation = vit.Preparation.from_dict({"do_normalize": False, "do_rescale": False})
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
        vit.Preparation.from_dict(values)


def test_a_picture_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at least a patch of 8 pixels, not 7"):
        vit.network(TINY, size=7)


def test_a_network_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="must take pictures of 3x24x24"):
        vit.embedder(vit.network(TINY, size=32), vit.Preparation(size=24), crop_size=12)


def test_a_crop_without_pixels_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="crop_size must be at least 1 pixel, not 0"):
        vit.embedder(vit.network(TINY, size=32), vit.Preparation(size=32), crop_size=0)
