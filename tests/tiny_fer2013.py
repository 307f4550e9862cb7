"""A zip file of noise named like FER2013, and an embedder that costs nothing."""

import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx


def fer2013(path: Path, *, stills: int = 3) -> Path:
    """Make so many stills of two emotions in each part."""
    generator = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for part in ("train", "public", "private"):
            for emotion in ("happy", "neutral"):
                for number in range(stills):
                    picture = generator.integers(0, 256, (48, 48), dtype=np.uint8)
                    content = cv2.imencode(".jpg", picture)[1].tobytes()
                    archive.writestr(f"fer2013/{part}/{emotion}/{number}.jpg", content)
    return path


def smooth_picture(seed: int, size: int = 48) -> np.ndarray:
    """Draw something smooth with structure, as faces are."""
    coarse = np.random.default_rng(seed).integers(40, 216, (6, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC))


def embedder(path: Path, *, size: int = 48, width: int = 16) -> Path:
    """Make an embedder that gives the mean colour of each of some rows of a crop."""
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    constants: dict[str, Any] = {
        "axes": np.array([2, 3]),
        "first": np.array([0]),
        "end": np.array([width]),
        "rows": np.array([1]),
    }
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["crops", "axes"], ["means"], keepdims=0),
            helper.make_node("Slice", ["means", "first", "end", "rows"], ["embedding"]),
        ],
        "rows",
        [helper.make_tensor_value_info("crops", number, ["batch", size, size, 3])],
        [helper.make_tensor_value_info("embedding", number, ["batch", width])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", 21)
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[opset]), path)
    return path
