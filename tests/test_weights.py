"""Loading Hugging Face's files into the Keras network."""

import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from mien.errors import InvalidArgument, NoEmbedder
from mien.lab import weights
from tiny_vit import CONFIG, DINOV2, PATCH, SIDE, WIDTH, Tensors, tensors, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "tiny-vit", tensors())


def embed(encoder: weights.Encoder) -> npt.NDArray[np.float32]:
    size = encoder.preparation.size
    pictures = np.random.default_rng(6).normal(size=(2, 3, size, size)).astype(np.float32)
    return np.asarray(encoder.network(pictures, training=False))


def test_a_folder_says_what_it_is(folder: Path) -> None:
    encoder = weights.load(folder)
    assert (encoder.name, encoder.source, encoder.licence) == ("tiny-vit", "tiny-vit", None)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert encoder.weights_sha256 == digest
    assert encoder.preparation.kernel == "bicubic"
    assert encoder.preparation.size == SIDE * PATCH
    assert embed(encoder).shape == (2, WIDTH)


@pytest.mark.parametrize("family", ["vit", "dinov2"])
def test_every_tensor_lands_in_its_place(tmp_path: Path, family: str) -> None:
    values = tensors(family)
    config = CONFIG if family == "vit" else DINOV2
    network = weights.load(write_folder(tmp_path / "f", values, config)).network
    held = {variable.path: np.asarray(variable.value) for variable in network.weights}
    assert len(held) == len(values)
    projection = values["embeddings.patch_embeddings.projection.weight"]
    np.testing.assert_array_equal(held["patch_embedding/kernel"], projection.reshape(WIDTH, -1).T)
    np.testing.assert_array_equal(
        held["block_1_attention/key/kernel"],
        values["encoder.layer.1.attention.attention.key.weight"].T,
    )
    # All are random and differ, so that equal sorted sums mean that none is lost or doubled.
    sums = sorted(array.sum(dtype=np.float64) for array in held.values())
    wanted = sorted(array.sum(dtype=np.float64) for array in values.values())
    np.testing.assert_allclose(sums, wanted, atol=1e-9)


@pytest.mark.parametrize("family", ["vit", "dinov2"])
def test_networks_around_the_encoder_load_too(tmp_path: Path, family: str) -> None:
    values = tensors(family)
    config = CONFIG if family == "vit" else DINOV2
    around = {f"{family}.{name}": value for name, value in values.items()}
    for name in ("pooler.dense.weight", "embeddings.mask_token"):
        around[f"{family}.{name}"] = np.zeros((1, WIDTH), np.float32)
    around["classifier.weight"] = np.zeros((7, WIDTH), np.float32)
    plain = weights.load(write_folder(tmp_path / "plain", values, config))
    wrapped = weights.load(write_folder(tmp_path / "wrapped", around, config))
    np.testing.assert_array_equal(embed(plain), embed(wrapped))


def test_half_precision_is_read(folder: Path) -> None:
    full = embed(weights.load(folder))
    half = {name: value.astype(np.float16) for name, value in tensors().items()}
    encoder = weights.load(write_folder(folder, half))
    assert {str(variable.dtype) for variable in encoder.network.weights} == {"float32"}
    np.testing.assert_allclose(embed(encoder), full, atol=0.05)


def test_bfloat16_is_read() -> None:
    data = np.array([0x3F80, 0xC000, 0x3E20], "<u2").tobytes()
    tensor = {"dtype": "BF16", "shape": [3], "data": data}
    np.testing.assert_array_equal(weights._as_float32("x", tensor), [1, -2, 0.15625])


def test_positions_are_stretched_to_another_size(tmp_path: Path) -> None:
    encoder = weights.load(write_folder(tmp_path / "f", tensors(), size=5 * PATCH))
    assert encoder.preparation.kernel == "bilinear"
    assert encoder.network.get_layer("places").positions.shape == (1, 26, WIDTH)
    assert embed(encoder).shape == (2, WIDTH)


def changed(name: str, value: Any) -> Tensors:
    values = tensors()
    values.pop(name, None)
    return values if value is None else {**values, name: value}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed("layernorm.bias", None), r"1 tensors of .* are missing: layernorm\.bias\. Take"),
        (
            changed("encoder.layer.2.norm1.bias", np.zeros(3, np.float32)),
            r"1 tensors of .* are unexpected: encoder\.layer\.2\.norm1\.bias\. Take",
        ),
        ({}, r"38 tensors of .* are missing: (\S+, ){5}\.\.\.\. Take"),
        (
            changed("layernorm.bias", np.zeros(3, np.float32)),
            r"tensor layernorm\.bias must have the shape \(16,\) .* not \(3,\)",
        ),
        (
            changed("encoder.layer.0.intermediate.dense.weight", np.zeros((16, 24), np.float32)),
            r"dense\.weight must have the shape \(24, 16\) .* not \(16, 24\)",
        ),
        (
            changed("embeddings.position_embeddings", np.zeros((1, 17, 16), np.float32)),
            r"position_embeddings must have the shape \(1, 10, 16\) .* not \(1, 17, 16\)",
        ),
        (
            changed("layernorm.bias", np.zeros(16, np.int64)),
            r"tensor layernorm\.bias must be F32, F16 or BF16, not I64",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(folder: Path, values: Tensors, message: str) -> None:
    with pytest.raises(NoEmbedder, match=message):
        weights.load(write_folder(folder, values))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{", r"config\.json must be JSON, but: "),
        ("config.json", "[]", r"config\.json must hold a JSON object, not list"),
        ("config.json", '{"model_type": "bert"}', "model_type must be 'vit' or 'dinov2'"),
        ("preprocessor_config.json", '{"resample": 0}', r"resample must be 2 \(bilinear\)"),
        ("model.safetensors", "nothing", r"model\.safetensors must be a safetensors file, but: "),
    ],
)
def test_files_that_cannot_be_read(folder: Path, name: str, content: str, message: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(NoEmbedder, match=message):
        weights.load(folder)


@pytest.fixture
def script() -> ModuleType:
    path = Path(__file__).parents[1] / "scripts" / "dinov2_from_onnx.py"
    specification = importlib.util.spec_from_file_location("dinov2_from_onnx", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def foreign_graph() -> tuple[onnx.ModelProto, Tensors]:
    """Make the beginning of an encoder as PyTorch exports it: folded, transposed, nameless."""
    rng = np.random.default_rng(9)
    constants = {
        "backbone.embeddings.cls_token": (1, 1, 8),
        "onnx::Concat_1": (1, 1, 8),
        "onnx::Reshape_2": (1, 9, 8),
        "backbone.encoder.layer.0.mlp.fc1.bias": (16,),
        "onnx::MatMul_3": (8, 16),
        "backbone.layernorm.weight": (16,),
        "backbone.layernorm.bias": (16,),
        "decoder.weight": (16,),
    }
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in constants.items()}
    node = onnx.helper.make_node
    nodes = [
        node("Shape", ["patches"], ["shape"]),
        node("Expand", ["backbone.embeddings.cls_token", "shape"], ["repeated"]),
        node("Concat", ["repeated", "patches"], ["tokens"], axis=1),
        node("Shape", ["tokens"], ["counts"]),
        node("Reshape", ["onnx::Reshape_2", "counts"], ["grid"]),
        node("Concat", ["onnx::Concat_1", "grid"], ["places"], axis=1),
        node("Add", ["tokens", "places"], ["placed"]),
        node("MatMul", ["placed", "onnx::MatMul_3"], ["product"]),
        node("Add", ["backbone.encoder.layer.0.mlp.fc1.bias", "product"], ["inner"]),
        node("Mul", ["inner", "backbone.layernorm.weight"], ["scaled"]),
        node("Add", ["scaled", "backbone.layernorm.bias"], ["out"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "foreign",
        [onnx.helper.make_tensor_value_info("patches", onnx.TensorProto.FLOAT, None)],
        [onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return onnx.helper.make_model(graph), values


def test_an_encoder_is_cut_out_of_a_foreign_graph(script: ModuleType) -> None:
    model, values = foreign_graph()
    found = script.encoder_tensors(script.Graph(model))
    assert set(found) == {
        "embeddings.cls_token",
        "embeddings.position_embeddings",
        "encoder.layer.0.mlp.fc1.bias",
        "encoder.layer.0.mlp.fc1.weight",
        "layernorm.weight",
        "layernorm.bias",
    }
    np.testing.assert_array_equal(
        found["encoder.layer.0.mlp.fc1.weight"], values["onnx::MatMul_3"].T
    )
    np.testing.assert_array_equal(
        found["embeddings.position_embeddings"],
        np.concatenate([values["onnx::Concat_1"], values["onnx::Reshape_2"]], axis=1),
    )


def test_a_bias_without_a_matrix_is_refused(script: ModuleType) -> None:
    model, _ = foreign_graph()
    model.graph.node[7].op_type = "Sub"
    with pytest.raises(NoEmbedder, match=r"must add .*fc1\.bias to a product with a constant"):
        script.encoder_tensors(script.Graph(model))


def test_a_value_that_nothing_reads_is_refused(script: ModuleType) -> None:
    model, _ = foreign_graph()
    with pytest.raises(NoEmbedder, match="must read product in one Concat, not 0"):
        script.Graph(model).reader("product", "Concat")


def test_another_file_is_refused(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"something else")
    with pytest.raises(InvalidArgument, match=r"must have a SHA-256 beginning 198644e3\w+, not "):
        script.cut(tmp_path / "model.onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()
