"""Tiny Vision Transformers of random weights, in Hugging Face's layout."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

Tensors = dict[str, npt.NDArray[Any]]

WIDTH, INNER, PATCH, SIDE, DEPTH = 16, 24, 4, 3, 2
CONFIG: dict[str, Any] = {
    "model_type": "vit",
    "hidden_size": WIDTH,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 2,
    "intermediate_size": INNER,
    "image_size": SIDE * PATCH,
    "patch_size": PATCH,
}
DINOV2 = {**CONFIG, "model_type": "dinov2", "mlp_ratio": INNER / WIDTH}


def shapes(
    family: str = "vit", *, width: int = WIDTH, inner: int = INNER, depth: int = DEPTH
) -> dict[str, tuple[int, ...]]:
    """Write down Hugging Face's names and shapes once more, apart from the code under test."""
    linear = {
        "attention.attention.query": (width, width),
        "attention.attention.key": (width, width),
        "attention.attention.value": (width, width),
        "attention.output.dense": (width, width),
        ("intermediate.dense" if family == "vit" else "mlp.fc1"): (inner, width),
        ("output.dense" if family == "vit" else "mlp.fc2"): (width, inner),
    }
    norms = ["layernorm_before", "layernorm_after"] if family == "vit" else ["norm1", "norm2"]
    names: dict[str, tuple[int, ...]] = {
        "embeddings.cls_token": (1, 1, width),
        "embeddings.position_embeddings": (1, 1 + SIDE**2, width),
        "embeddings.patch_embeddings.projection.weight": (width, 3, PATCH, PATCH),
        "embeddings.patch_embeddings.projection.bias": (width,),
        "layernorm.weight": (width,),
        "layernorm.bias": (width,),
    }
    for index in range(depth):
        block = f"encoder.layer.{index}"
        for name, shape in linear.items():
            names |= {f"{block}.{name}.weight": shape, f"{block}.{name}.bias": shape[:1]}
        for name in norms:
            names |= {f"{block}.{name}.weight": (width,), f"{block}.{name}.bias": (width,)}
        if family == "dinov2":
            names |= {f"{block}.layer_scale{number}.lambda1": (width,) for number in (1, 2)}
    return names


def random_tensors(shapes: Mapping[str, tuple[int, ...]]) -> Tensors:
    """Draw weights: all differ, so that none can stand in for another unseen."""
    rng = np.random.default_rng(5)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def tensors(family: str = "vit") -> Tensors:
    """Draw the weights of the tiny network."""
    return random_tensors(shapes(family))


def write_folder(
    folder: Path, values: Tensors, config: dict[str, Any] | None = None, size: int | None = None
) -> Path:
    """Write a network as Hugging Face's ``save_pretrained`` does."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG if config is None else config))
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(values))
    if size is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps({"size": size}))
    return folder
