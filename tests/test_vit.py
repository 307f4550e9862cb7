"""The Vision Transformer against transformers, its positions against PyTorch."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mien.errors import InvalidArgument
from mien.lab import vit
from mien.lab.preparation import Preparation
from mien.lab.vit_config import Family, VitConfig

# Keras reads its backend at import, so mien.lab, which chooses it, comes first.
# isort: split
import keras

TINY = VitConfig(
    width=24, depth=3, heads=4, inner_width=40, patch=8, trained_size=32, norm_epsilon=1e-6
)


def seeded(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def pixels(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(2).integers(0, 256, shape).astype(np.float32)


def parameters(config: VitConfig, tokens: int) -> int:
    """Count by hand what the network should hold."""
    width, inner = config.width, config.inner_width
    scales = 2 * width if config.family == "dinov2" else 0
    attention = 4 * (width**2 + width)
    block = 2 * 2 * width + attention + width * inner + inner + inner * width + width + scales
    places = width + tokens * width
    return (3 * config.patch**2 + 1) * width + places + config.depth * block + 2 * width


@pytest.mark.parametrize("family", ["vit", "dinov2"])
def test_shape_and_parameter_count(family: Family) -> None:
    config = VitConfig(
        family=family, width=24, depth=2, heads=3, inner_width=50, patch=4, trained_size=16
    )
    network = vit.network(config, size=16)
    assert network.output_shape == (None, 24)
    assert network.count_params() == parameters(config, tokens=17)
    assert vit.network(config, size=15).count_params() == parameters(config, tokens=10)


def test_vit_base_has_the_papers_parameters() -> None:
    assert parameters(VitConfig(), tokens=197) == 85_798_656


def test_without_bias_in_queries_keys_and_values() -> None:
    config = VitConfig(width=8, depth=1, heads=2, inner_width=8, patch=4, qkv_bias=False)
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
    model = vit.embedder(vit.network(TINY, size=32), Preparation(size=32), crop_size=12)
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


def test_a_picture_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at least a patch of 8 pixels, not 7"):
        vit.network(TINY, size=7)


def test_a_network_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="must take pictures of 3x24x24"):
        vit.embedder(vit.network(TINY, size=32), Preparation(size=24), crop_size=12)


def test_a_crop_without_pixels_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="crop_size must be at least 1 pixel, not 0"):
        vit.embedder(vit.network(TINY, size=32), Preparation(size=32), crop_size=0)
