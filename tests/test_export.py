"""Keras and ONNX Runtime must agree on what was exported, for every batch size."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mien.lab  # noqa: F401

# Keras reads its backend at import, so mien.lab, which chooses it, comes first.
# isort: split
import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers

from mien.errors import InvalidArgument
from mien.lab.export import IR_VERSION, OPSET, export_onnx


def chain(shape: tuple[int | None, ...], *parts: Any) -> keras.Model:
    keras.utils.set_random_seed(7)
    inputs = keras.Input(shape)
    outputs = inputs
    for part in parts:
        outputs = part(outputs)
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(7)
    for part in parts:
        if isinstance(part, layers.BatchNormalization):
            part.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in part.weights])
    return model


def picture_network() -> keras.Model:
    return chain(
        (22, 24),
        layers.Reshape((22, 24, 1)),
        layers.Conv2D(8, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling2D(2),
        layers.Dropout(0.5),
        layers.Conv2D(4, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(8, activation="softmax"),
    )


def sound_network() -> keras.Model:
    return chain(
        (61,),
        layers.Normalization(mean=np.linspace(-1, 1, 61), variance=np.full(61, 2.0)),
        layers.Reshape((61, 1)),
        layers.Conv1D(8, 5, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling1D(5, strides=2, padding="same"),
        layers.Conv1D(8, 3, padding="same", activation="relu"),
        layers.MaxPooling1D(3, strides=2, padding="same"),
        layers.Dropout(0.2),
        layers.Flatten(),
        layers.Dense(8, activation="softmax"),
    )


def paper_sound_network() -> keras.Model:
    parts: list[Any] = [
        layers.Normalization(mean=np.linspace(-1, 1, 5984), variance=np.full(5984, 2.0)),
        layers.Reshape((5984, 1)),
    ]
    for filters, kernel, pool in [(512, 5, 5), (512, 5, 5), (256, 5, 5), (256, 3, 5), (128, 3, 3)]:
        parts += [
            layers.Conv1D(filters, kernel, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling1D(pool, strides=2, padding="same"),
            layers.Dropout(0.2),
        ]
    parts += [layers.Flatten(), layers.Dense(512, activation="relu"), layers.BatchNormalization()]
    return chain((5984,), *parts, layers.Dense(8, activation="softmax"))


def paper_video_network() -> keras.Model:
    return chain(
        (22, 768),
        layers.Reshape((22, 768, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(64, activation="relu"),
        layers.Dense(8, activation="softmax"),
    )


def recurrent_network() -> keras.Model:
    return chain((9, 3), layers.Bidirectional(layers.GRU(5)), layers.Dense(2))


def pools_of_every_kind() -> keras.Model:
    return chain(
        (12, 15, 3),
        layers.SeparableConv2D(4, 3, strides=2, padding="same"),
        layers.MaxPooling2D((3, 2), strides=1, padding="same"),
        layers.AveragePooling2D(2),
        layers.GlobalAveragePooling2D(),
    )


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def largest_difference(model: keras.Model, path: Path, batch: int) -> float:
    inputs = np.random.default_rng(batch).normal(size=(batch, *model.input_shape[1:]))
    inputs = inputs.astype(np.float32)
    (answer,) = session(path).run(["answer"], {"features": inputs})
    assert answer.dtype == np.float32
    return float(np.abs(answer - np.asarray(model(inputs, training=False))).max())


def export(model: keras.Model, path: Path, **metadata: str) -> None:
    export_onnx(model, path, input_names=["features"], output_name="answer", metadata=metadata)


@pytest.mark.parametrize(
    "build", [picture_network, sound_network, recurrent_network, pools_of_every_kind]
)
def test_onnx_runtime_agrees_with_keras(
    build: Callable[[], keras.Model], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = build()
    export(model, tmp_path / "network.onnx")
    for batch in (1, 2, 7):
        assert largest_difference(model, tmp_path / "network.onnx", batch) < 1e-5
    assert "initializer" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("build", [paper_sound_network, paper_video_network])
def test_the_papers_networks_agree(build: Callable[[], keras.Model], tmp_path: Path) -> None:
    model = build()
    export(model, tmp_path / "network.onnx")
    for batch in (1, 2, 7):
        assert largest_difference(model, tmp_path / "network.onnx", batch) < 1e-5


def test_poolings_run_over_the_picture_only(tmp_path: Path) -> None:
    export(picture_network(), tmp_path / "network.onnx")
    model = onnx.load(tmp_path / "network.onnx")
    onnx.checker.check_model(model, full_check=True)
    pools = [node for node in model.graph.node if node.op_type == "MaxPool"]
    kernels = [list(item.ints) for node in pools for item in node.attribute if item.name[0] == "k"]
    assert kernels == [[2, 2], [2, 2]]


def test_several_inputs(tmp_path: Path) -> None:
    one, two = keras.Input((3,)), keras.Input((4,))
    model = keras.Model([one, two], layers.Dense(2)(layers.Concatenate()([one, two])))
    path = tmp_path / "fusion.onnx"
    export_onnx(model, path, input_names=["audio", "video"], output_name="fused", metadata={})
    inputs = {"audio": np.ones((2, 3), np.float32), "video": np.zeros((2, 4), np.float32)}
    (answer,) = session(path).run(None, inputs)
    expected = np.asarray(model(list(inputs.values()), training=False))
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_names_shapes_versions_and_metadata(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "network.onnx"
    export(sound_network(), path, **{"mien.b": "2", "mien.a": "ä"})
    loaded = session(path)
    assert [(item.name, item.shape, item.type) for item in loaded.get_inputs()] == [
        ("features", ["batch", 61], "tensor(float)")
    ]
    assert [(item.name, item.shape) for item in loaded.get_outputs()] == [("answer", ["batch", 8])]
    assert loaded.get_modelmeta().custom_metadata_map == {"mien.a": "ä", "mien.b": "2"}
    model = onnx.load(path)
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    # Layers draw their seeds when they are made, before chain's.
    keras.utils.set_random_seed(7)
    export(picture_network(), tmp_path / "one.onnx", b="2", a="1")
    keras.utils.set_random_seed(7)
    export(picture_network(), tmp_path / "two.onnx", a="1", b="2")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def test_the_root_logger_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    model = chain((4,), layers.Dense(2))
    export_onnx(model, tmp_path / "a.onnx", input_names=["x"], output_name="y", metadata={})
    assert logging.root.handlers == []


def test_dropout_and_batch_statistics_are_those_of_use(tmp_path: Path) -> None:
    model = chain((4,), layers.BatchNormalization(), layers.Dropout(0.9))
    export(model, tmp_path / "network.onnx")
    inputs = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    scale, offset, mean, variance = (np.asarray(item.value) for item in model.layers[1].weights)
    expected = (inputs - mean) / np.sqrt(variance + model.layers[1].epsilon) * scale + offset
    (answer,) = session(tmp_path / "network.onnx").run(None, {"features": inputs})
    np.testing.assert_allclose(answer, expected, atol=1e-5)


@pytest.mark.parametrize("names", [[], ["a", "b"], "features"])
def test_names_that_do_not_fit_are_refused(names: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="one name for each of the model's 1 inputs, not"):
        export_onnx(
            sound_network(), tmp_path / "x", input_names=names, output_name="y", metadata={}
        )


def test_open_axes_are_refused(tmp_path: Path) -> None:
    model = chain((None, 3), layers.Dense(2))
    with pytest.raises(InvalidArgument, match=r"'features' must leave only its first axis open"):
        export(model, tmp_path / "x.onnx")


def test_another_backend_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(InvalidArgument, match=r"KERAS_BACKEND must be 'jax' .* not 'torch'"):
        export(sound_network(), tmp_path / "x.onnx")


def test_too_large_a_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.lab.export.LARGEST_FILE", 1000)
    with pytest.raises(InvalidArgument, match="must fit an ONNX file of 1,000 bytes, not"):
        export(sound_network(), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
