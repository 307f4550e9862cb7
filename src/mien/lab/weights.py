"""Trained Vision Transformers: Hugging Face's files → Keras network."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from mien.errors import MissingDependency, NoEmbedder
from mien.lab import hub, vit
from mien.lab.preparation import Preparation
from mien.lab.vit_config import Family, VitConfig

try:
    import safetensors
except ImportError as error:
    raise MissingDependency(
        f"embedders need safetensors ({error}): pip install 'mien[lab]'"
    ) from error


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A trained network and how its pictures are prepared."""

    name: str
    """The repository's id, or the folder's name."""
    source: str
    """Repository@commit, or the folder's name."""
    licence: str | None
    """SPDX identifier, if known."""
    weights_sha256: str
    config: VitConfig
    preparation: Preparation
    network: keras.Model
    """Prepared pictures in shape (n, 3, size, size) → class tokens in shape (n, width)."""


def load(source: str | Path = hub.DEFAULT_SOURCE, *, revision: str | None = None) -> Encoder:
    """Load a ViT or DINOv2 in Hugging Face's layout.

    Nothing is ever unpickled: weights come from ``model.safetensors`` alone.

    Args:
        source: a folder with ``config.json``, ``model.safetensors`` and, where the preparation is
            not bicubic to [-1, 1], ``preprocessor_config.json``; or the id of a repository on the
            hub, like ``"google/vit-base-patch16-224-in21k"``, which is downloaded once to the
            user's Hugging Face cache (``HF_HOME``, ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE`` work as
            everywhere).
        revision: commit, branch or tag of a repository; default: the pinned commit of a known
            one, the main branch of others.

    Raises:
        NoEmbedder: the files cannot be found, downloaded or read, or hold another kind of
            network; the message says what to do.
        InvalidArgument: a revision was given for a folder.
    """
    files = hub.find(source, revision=revision)
    config = VitConfig.from_dict(_read_json(files.config))
    preparation = (
        Preparation.from_dict(_read_json(files.preparation))
        if files.preparation
        else Preparation(size=config.trained_size)
    )
    content = files.weights.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    hub.check_release(files.source, digest)
    network = vit.network(config, size=preparation.size)
    _assign(network, config, _read_tensors(files.weights, content))
    return Encoder(
        name=files.name,
        source=files.source,
        licence=files.licence,
        weights_sha256=digest,
        config=config,
        preparation=preparation,
        network=network,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise NoEmbedder(f"{path} must be JSON, but: {error}") from error
    if not isinstance(values, dict):
        raise NoEmbedder(f"{path} must hold a JSON object, not {type(values).__name__}")
    return values


def _read_tensors(path: Path, content: bytes) -> dict[str, npt.NDArray[np.float32]]:
    try:
        tensors = safetensors.deserialize(content)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise NoEmbedder(f"{path} must be a safetensors file, but: {error}") from error
    return {name: _as_float32(name, tensor) for name, tensor in tensors}


def _as_float32(name: str, tensor: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    kind, data, shape = tensor["dtype"], tensor["data"], tensor["shape"]
    if kind == "BF16":
        # bfloat16 is the upper half of float32; NumPy has no such type.
        upper = np.frombuffer(data, "<u2").astype("<u4") << 16
        return upper.view("<f4").reshape(shape)
    if kind not in {"F32", "F16"}:
        raise NoEmbedder(f"tensor {name} must be F32, F16 or BF16, not {kind}")
    return np.frombuffer(data, "<f4" if kind == "F32" else "<f2").astype(np.float32).reshape(shape)


_MODULES: Mapping[str, str] = {
    "patch_embedding": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
    "attention/query": "attention.attention.query",
    "attention/key": "attention.attention.key",
    "attention/value": "attention.attention.value",
    "attention/output": "attention.output.dense",
}
_BLOCK_MODULES: Mapping[Family, Mapping[str, str]] = {
    "vit": {
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "inner": "intermediate.dense",
        "outer": "output.dense",
    },
    "dinov2": {
        "norm1": "norm1",
        "norm2": "norm2",
        "scale1": "layer_scale1",
        "scale2": "layer_scale2",
        "inner": "mlp.fc1",
        "outer": "mlp.fc2",
    },
}
_LEAVES: Mapping[str, str] = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "offset": "bias",
    "factors": "lambda1",
    "class_token": "cls_token",
    "positions": "position_embeddings",
}
_UNUSED = re.compile(r"(pooler|classifier)\.|embeddings\.mask_token$")
"""What networks around the encoder hold besides it."""


def _tensor_name(path: str, family: Family) -> str:
    """Translate a Keras variable's path to Hugging Face's name of the tensor."""
    module, leaf = path.rsplit("/", maxsplit=1)
    if module == "places":
        return f"embeddings.{_LEAVES[leaf]}"
    block = re.fullmatch(r"block_(\d+)_(.+)", module)
    if block is None:
        return f"{_MODULES[module]}.{_LEAVES[leaf]}"
    part = {**_MODULES, **_BLOCK_MODULES[family]}[block[2]]
    return f"encoder.layer.{block[1]}.{part}.{_LEAVES[leaf]}"


def _tensor_shape(variable: Any, config: VitConfig) -> tuple[int, ...]:
    if variable.path == "patch_embedding/kernel":
        return (config.width, 3, config.patch, config.patch)
    if variable.path == "places/positions":
        return (1, 1 + config.trained_side**2, config.width)
    return tuple(reversed(variable.shape)) if variable.name == "kernel" else tuple(variable.shape)


def _assign(
    network: keras.Model, config: VitConfig, tensors: dict[str, npt.NDArray[np.float32]]
) -> None:
    tensors = {name.removeprefix(f"{config.family}."): value for name, value in tensors.items()}
    names = {
        variable.path: _tensor_name(variable.path, config.family) for variable in network.weights
    }
    _refuse("are missing", set(names.values()) - set(tensors))
    _refuse(
        "are unexpected",
        {name for name in set(tensors) - set(names.values()) if not _UNUSED.match(name)},
    )
    for variable in network.weights:
        name = names[variable.path]
        tensor, shape = tensors[name], _tensor_shape(variable, config)
        if tensor.shape != shape:
            raise NoEmbedder(
                f"tensor {name} must have the shape {shape} that config.json implies, "
                f"not {tensor.shape}: take both files from the same network"
            )
        variable.assign(_as_keras_has_it(variable, tensor, network))


def _as_keras_has_it(
    variable: Any, tensor: npt.NDArray[np.float32], network: keras.Model
) -> npt.NDArray[np.float32]:
    if variable.path == "places/positions":
        patches = network.get_layer("places").output.shape[1] - 1
        return vit.interpolate_positions(tensor, side=round(patches**0.5))
    if variable.name == "kernel":
        return tensor.reshape(len(tensor), -1).T
    return tensor


def _refuse(what: str, names: set[str]) -> None:
    if not names:
        return
    shown = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
    raise NoEmbedder(
        f"{len(names)} tensors of {hub.WEIGHTS} {what}: {shown}. "
        "Take it and config.json from the same ViT or DINOv2 network"
    )
