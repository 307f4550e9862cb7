"""Converting trained networks to the ONNX files that the run-time embeds with."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from mien.errors import InvalidArgument, NoEmbedder
from mien.lab.convert import convert
from tiny_vit import CONFIG, DEPTH, WIDTH, random_tensors, shapes, tensors, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "tiny-vit", tensors())


def run(path: Path, crops: npt.NDArray[np.float32]) -> Any:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["embedding"], {"crops": crops})[0]


def test_convert_writes_an_embedder(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "tiny.onnx"
    info = convert(folder, out, crop_size=10)
    content = out.read_bytes()
    assert info.path == out
    assert info.sha256 == hashlib.sha256(content).hexdigest()
    assert info.bytes == len(content)
    assert (info.name, info.width, info.crop_size) == ("tiny-vit", WIDTH, 10)
    assert info.precision == "float32"
    assert info.parameters == sum(value.size for value in tensors().values())
    assert info.largest_difference < 1e-5
    assert info.least_cosine > 0.999999
    assert [path.name for path in out.parent.iterdir()] == ["tiny.onnx"]
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert [(item.name, item.shape) for item in session.get_inputs()] == [
        ("crops", ["batch", 10, 10, 3])
    ]
    assert [(item.name, item.shape) for item in session.get_outputs()] == [
        ("embedding", ["batch", WIDTH])
    ]
    assert session.get_modelmeta().custom_metadata_map == {
        "mien.embedder": "tiny-vit",
        "mien.crop_size": "10",
        "mien.width": "16",
        "mien.source": "tiny-vit",
        "mien.weights_sha256": info.weights_sha256,
        "mien.precision": "float32",
    }


def test_crops_do_not_see_each_other(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "tiny.onnx", crop_size=8)
    crops = np.random.default_rng(8).integers(0, 256, (7, 8, 8, 3)).astype(np.float32)
    together = run(tmp_path / "tiny.onnx", crops)
    for index in range(7):
        alone = run(tmp_path / "tiny.onnx", crops[index : index + 1])
        np.testing.assert_allclose(alone[0], together[index], atol=1e-5)


@pytest.mark.parametrize("int8", [False, True])
def test_the_same_source_gives_the_same_bytes(folder: Path, tmp_path: Path, int8: bool) -> None:
    one = convert(folder, tmp_path / "one.onnx", int8=int8)
    two = convert(folder, tmp_path / "two.onnx", int8=int8)
    assert one.sha256 == two.sha256


def test_layer_norms_are_recognised(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "tiny.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(
        tmp_path / "tiny.onnx", options, providers=["CPUExecutionProvider"]
    )
    nodes = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert nodes.count("LayerNormalization") == 2 * DEPTH + 1


def test_int8_is_a_quarter_of_the_size_and_close(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    width, inner, depth = 128, 512, 4
    config = {
        **CONFIG,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": depth,
        "num_attention_heads": 4,
    }
    values = {
        name: value / np.sqrt(value.shape[-1]).astype(np.float32)
        for name, value in random_tensors(shapes(width=width, inner=inner, depth=depth)).items()
    }
    folder = write_folder(tmp_path / "medium", values, config)
    full = convert(folder, tmp_path / "full.onnx")
    caplog.set_level(logging.INFO)
    small = convert(folder, tmp_path / "small.onnx", int8=True)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert small.precision == "int8"
    assert small.least_cosine > 0.99
    assert small.bytes < 0.3 * full.bytes
    model = onnx.load(tmp_path / "small.onnx")
    nodes = [node.op_type for node in model.graph.node]
    assert (
        nodes.count("MatMulInteger") == 6 * depth
    )  # query, key, value, output, two of the perceptron
    # Two to resize, one to embed patches, two of attention a block.
    assert nodes.count("MatMul") == 3 + 2 * depth
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    assert metadata["mien.precision"] == "int8"
    assert {key.split(".")[0] for key in metadata} == {"mien"}


@pytest.mark.parametrize(
    ("int8", "outcome", "message"),
    [
        (False, (2e-4, 1.0), "differ from Keras's by 2.0e-04, and may by 1e-04"),
        (False, (float("nan"), 1.0), "differ from Keras's by nan"),
        (True, (0.5, 0.98), "is 0.9800, and must be at least 0.99: convert it without int8"),
        (True, (0.5, float("nan")), "is nan, and must be"),
    ],
)
def test_a_file_that_differs_is_not_left(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    int8: bool,
    outcome: tuple[float, float],
    message: str,
) -> None:
    out = folder.with_name("out") / "tiny.onnx"
    out.parent.mkdir()
    out.write_bytes(b"old")
    monkeypatch.setattr("mien.lab.convert._compare", lambda *_: outcome)
    with pytest.raises(NoEmbedder, match=message):
        convert(folder, out, int8=int8)
    assert out.read_bytes() == b"old"
    assert list(out.parent.iterdir()) == [out]


def test_a_crop_without_pixels_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="crop_size must be at least 1 pixel, not 0"):
        convert(folder, tmp_path / "tiny.onnx", crop_size=0)
