"""Trained Vision Transformers: Hugging Face folder or repository → Keras network → ONNX file."""

import contextlib
import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from mien.errors import InvalidArgument, MissingDependency, NoEmbedder
from mien.lab import vit
from mien.lab.export import export_onnx, write_whole

try:
    import huggingface_hub
    import onnx
    import onnxruntime
    import safetensors
    from huggingface_hub import errors as hub_errors
    from onnxruntime.quantization import QuantType, quantize_dynamic
except ImportError as error:
    raise MissingDependency(
        f"embedders need huggingface-hub, onnx and safetensors ({error}): pip install 'mien[lab]'"
    ) from error

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PREPARATION = "preprocessor_config.json"

LARGEST_DIFFERENCE = 1e-4
"""Between Keras's float32 embeddings and those of the exported file."""
LEAST_COSINE = 0.99
"""Between Keras's embeddings and those of an int8 file."""
CHECK_CROPS = 3
MATRICES_A_BLOCK = 6
"""Query, key, value, output, and the two of the multi-layer perceptron."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """What is known of a published network."""

    revision: str
    """The commit that is loaded unless another revision is asked for."""
    weights_sha256: str
    """Of ``model.safetensors`` at that commit."""
    licence: str


RELEASES: Mapping[str, Release] = {
    "google/vit-base-patch16-224-in21k": Release(
        revision="b4569560a39a0f1af58e3ddaf17facf20ab919b0",
        weights_sha256="fd4e1169c7aa6c2dbfa8a6448be13b35abc0ee256190857c90009d12c094619b",
        licence="apache-2.0",
    ),
}
DEFAULT_SOURCE = "google/vit-base-patch16-224-in21k"
"""The embedder of the paper."""


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
    config: vit.VitConfig
    preparation: vit.Preparation
    network: keras.Model
    """Prepared pictures in shape (n, 3, size, size) → class tokens in shape (n, width)."""


@dataclass(frozen=True, kw_only=True)
class EmbedderInfo:
    """An embedder that was written to an ONNX file."""

    path: Path
    name: str
    source: str
    licence: str | None
    weights_sha256: str
    width: int
    """Numbers an embedding."""
    crop_size: int
    """Pixels a side of a face crop."""
    parameters: int
    precision: str
    """``"float32"`` or ``"int8"``."""
    sha256: str
    """Of the ONNX file."""
    bytes: int
    """Of the ONNX file."""
    largest_difference: float
    """Between Keras's embeddings and the file's, over random crops."""
    least_cosine: float
    """Between Keras's embeddings and the file's, over random crops."""


@dataclass(frozen=True, kw_only=True)
class _Files:
    name: str
    source: str
    licence: str | None
    config: Path
    weights: Path
    preparation: Path | None


def load(source: str | Path = DEFAULT_SOURCE, *, revision: str | None = None) -> Encoder:
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
    files = _find(source, revision)
    config = vit.VitConfig.from_dict(_read_json(files.config))
    preparation = (
        vit.Preparation.from_dict(_read_json(files.preparation))
        if files.preparation
        else vit.Preparation(size=config.trained_size)
    )
    content = files.weights.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    _check_release(files.source, digest)
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


def convert(
    source: str | Path,
    out: str | Path,
    *,
    crop_size: int = 48,
    int8: bool = False,
    revision: str | None = None,
) -> EmbedderInfo:
    """Write an embedder that the light run-time reads: one ONNX file from crops to embeddings.

    Its input ``crops`` is float32 in shape (n, crop_size, crop_size, 3), RGB of 0 to 255; its
    output ``embedding`` float32 in shape (n, width). The same source gives the same bytes.

    Args:
        source: as :func:`load` takes it.
        out: the file to write; an old one is replaced.
        crop_size: pixels a side of a face crop, at least 1.
        int8: store and multiply the matrices of the blocks as 8-bit numbers: a quarter of the
            size, and embeddings that differ a little.
        revision: as :func:`load` takes it.

    Raises:
        NoEmbedder: as :func:`load` does; or the file does not give Keras's embeddings.
        InvalidArgument: the crop size is below 1, or as :func:`load` does.
    """
    encoder = load(source, revision=revision)
    model = vit.embedder(encoder.network, encoder.preparation, crop_size=crop_size)
    precision = "int8" if int8 else "float32"
    out = Path(out)
    draft = out.with_name(f".{out.name}.draft")
    try:
        export_onnx(
            model,
            draft,
            input_names=["crops"],
            output_name="embedding",
            metadata=_metadata(encoder, crop_size, precision),
        )
        if int8:
            _quantise(draft, encoder.config.depth)
        difference, cosine = _compare(model, draft, crop_size)
        _refuse_bad_file(out, precision, difference, cosine)
        content = draft.read_bytes()
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return EmbedderInfo(
        path=out,
        name=encoder.name,
        source=encoder.source,
        licence=encoder.licence,
        weights_sha256=encoder.weights_sha256,
        width=encoder.config.width,
        crop_size=crop_size,
        parameters=encoder.network.count_params(),
        precision=precision,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        largest_difference=difference,
        least_cosine=cosine,
    )


def _find(source: str | Path, revision: str | None) -> _Files:
    folder = Path(source)
    if folder.is_dir():
        if revision is not None:
            raise InvalidArgument(
                f"revision must be left out for a folder, not {revision!r}: folders hold one"
            )
        return _in_folder(folder)
    if isinstance(source, str) and re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source):
        return _on_hub(source, revision)
    raise NoEmbedder(
        f"source must be a folder or a repository's id like {DEFAULT_SOURCE!r}, "
        f"not {str(source)!r}: there is no such folder"
    )


def _in_folder(folder: Path) -> _Files:
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise NoEmbedder(
                f"{folder} must hold {CONFIG}, {WEIGHTS} and, if the network has one, "
                f"{PREPARATION}; {name} is missing.{_about_pickles(folder)}"
            )
    name = folder.resolve().name
    preparation = folder / PREPARATION
    return _Files(
        name=name,
        source=name,
        licence=_licence_of_card(folder / "README.md"),
        config=folder / CONFIG,
        weights=folder / WEIGHTS,
        preparation=preparation if preparation.is_file() else None,
    )


def _about_pickles(folder: Path) -> str:
    if not any(folder.glob("pytorch_model*.bin")):
        return ""
    return (
        " pytorch_model.bin is never read: a pickle can run any code. Save the network with "
        "transformers' save_pretrained(FOLDER), which writes model.safetensors."
    )


def _licence_of_card(card: Path) -> str | None:
    """Read the licence from a model card's front matter, where the hub expects it."""
    if not card.is_file():
        return None
    front = card.read_text(encoding="utf-8").split("\n---", maxsplit=1)[0]
    found = re.search(r"^license:\s*(\S+)", front, re.MULTILINE) if front[:3] == "---" else None
    return found[1] if found else None


def _on_hub(repository: str, revision: str | None) -> _Files:
    release = RELEASES.get(repository)
    wanted = revision or (release.revision if release else "main")
    config = _download(repository, CONFIG, wanted)
    # The cache keeps a commit's files in a folder of its name; a branch may move meanwhile.
    commit = config.parent.name
    try:
        preparation = _download(repository, PREPARATION, commit)
    except _NotInRepository:
        preparation = None
    return _Files(
        name=repository,
        source=f"{repository}@{commit}",
        licence=release.licence if release else None,
        config=config,
        weights=_download(repository, WEIGHTS, commit),
        preparation=preparation,
    )


class _NotInRepository(NoEmbedder):
    pass


def _download(repository: str, name: str, revision: str) -> Path:
    try:
        return Path(huggingface_hub.hf_hub_download(repository, name, revision=revision))
    except (
        hub_errors.HTTPError,
        hub_errors.EntryNotFoundError,
        OSError,
        ValueError,
    ) as error:
        absent = isinstance(error, hub_errors.EntryNotFoundError) and not isinstance(
            error, hub_errors.LocalEntryNotFoundError
        )
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        kind = _NotInRepository if absent else NoEmbedder
        raise kind(
            f"cannot get {name} of {repository}@{revision}: {reason}. Without a connection, put "
            f"{CONFIG}, {PREPARATION} and {WEIGHTS} of {repository} into a folder by hand and "
            "run: mien embedder convert FOLDER --out F.onnx (pytorch_model.bin is never read: a "
            "pickle can run any code)"
        ) from error


def _check_release(source: str, digest: str) -> None:
    repository, _, commit = source.partition("@")
    release = RELEASES.get(repository)
    if release and commit == release.revision and digest != release.weights_sha256:
        raise NoEmbedder(
            f"{WEIGHTS} of {source} must have the SHA-256 {release.weights_sha256}, not {digest}: "
            "delete it from the Hugging Face cache and download it again"
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
_BLOCK_MODULES: Mapping[vit.Family, Mapping[str, str]] = {
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


def _tensor_name(path: str, family: vit.Family) -> str:
    """Translate a Keras variable's path to Hugging Face's name of the tensor."""
    module, leaf = path.rsplit("/", maxsplit=1)
    if module == "places":
        return f"embeddings.{_LEAVES[leaf]}"
    block = re.fullmatch(r"block_(\d+)_(.+)", module)
    if block is None:
        return f"{_MODULES[module]}.{_LEAVES[leaf]}"
    part = {**_MODULES, **_BLOCK_MODULES[family]}[block[2]]
    return f"encoder.layer.{block[1]}.{part}.{_LEAVES[leaf]}"


def _tensor_shape(variable: Any, config: vit.VitConfig) -> tuple[int, ...]:
    if variable.path == "patch_embedding/kernel":
        return (config.width, 3, config.patch, config.patch)
    if variable.path == "places/positions":
        return (1, 1 + config.trained_side**2, config.width)
    return tuple(reversed(variable.shape)) if variable.name == "kernel" else tuple(variable.shape)


def _assign(
    network: keras.Model, config: vit.VitConfig, tensors: dict[str, npt.NDArray[np.float32]]
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
        f"{len(names)} tensors of {WEIGHTS} {what}: {shown}. "
        "Take it and config.json from the same ViT or DINOv2 network"
    )


def _metadata(encoder: Encoder, crop_size: int, precision: str) -> dict[str, str]:
    values = {
        "mien.embedder": encoder.name,
        "mien.crop_size": str(crop_size),
        "mien.width": str(encoder.config.width),
        "mien.source": encoder.source,
        "mien.weights_sha256": encoder.weights_sha256,
        "mien.precision": precision,
    }
    return values if encoder.licence is None else {**values, "mien.licence": encoder.licence}


def _quantise(path: Path, depth: int) -> None:
    """Replace the blocks' matrices by 8-bit ones, one scale a column, in place.

    The patch embedding and the resizing stay float32: they are small, and pixels are what all
    else is computed from. Weights use 7 of 8 bits (``reduce_range``), because processors without
    VNNI saturate when two 8-bit products are added, and the answer must not depend on the machine.
    """
    quantised = path.with_name(f"{path.name}.int8")
    try:
        with _quiet_root_logger():
            quantize_dynamic(
                path,
                quantised,
                nodes_to_quantize=_block_matrices(onnx.load(path).graph, depth),
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
        model = onnx.load(quantised)
        own = {prop.key: prop.value for prop in model.metadata_props if prop.key[:5] == "mien."}
        onnx.helper.set_model_props(model, own)
        write_whole(path, model.SerializeToString(deterministic=True))
    finally:
        quantised.unlink(missing_ok=True)


def _block_matrices(graph: onnx.GraphProto, depth: int) -> list[str]:
    constants = {tensor.name for tensor in graph.initializer}
    names = [
        node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] in constants
    ]
    # Before the blocks come resizing (if it is not the identity) and the patch embedding.
    return names[-MATRICES_A_BLOCK * depth :]


@contextlib.contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """Hide the advice that quantisation gives on the root logger about each of its steps."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _compare(model: keras.Model, path: Path, crop_size: int) -> tuple[float, float]:
    shape = (CHECK_CROPS, crop_size, crop_size, 3)
    crops = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    expected = np.asarray(model(crops, training=False))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (answer,) = session.run(["embedding"], {"crops": crops})
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(answer, axis=1)
    cosines = (expected * answer).sum(axis=1) / lengths
    return float(np.abs(expected - answer).max()), float(cosines.min())


def _refuse_bad_file(out: Path, precision: str, difference: float, cosine: float) -> None:
    if precision == "float32" and not difference <= LARGEST_DIFFERENCE:
        raise NoEmbedder(
            f"{out} was not written: its embeddings differ from Keras's by {difference:.1e}, and "
            f"may by {LARGEST_DIFFERENCE:.0e}: try other versions of jax2onnx and onnxruntime"
        )
    if not cosine >= LEAST_COSINE:
        raise NoEmbedder(
            f"{out} was not written: the cosine between its embeddings and Keras's is "
            f"{cosine:.4f}, and must be at least {LEAST_COSINE}: convert it without int8"
        )
