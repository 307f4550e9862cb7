"""Loading Hugging Face's files, from a folder and from a hub, and converting them to ONNX."""

import hashlib
import http.server
import importlib.util
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import huggingface_hub
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import safetensors.numpy
from huggingface_hub import errors as hub_errors

from mien.errors import InvalidArgument, NoEmbedder
from mien.lab import weights

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
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "somebody/tiny-vit"


def shapes(family: str) -> dict[str, tuple[int, ...]]:
    """Write down Hugging Face's names and shapes once more, apart from the code under test."""
    linear = {
        "attention.attention.query": (WIDTH, WIDTH),
        "attention.attention.key": (WIDTH, WIDTH),
        "attention.attention.value": (WIDTH, WIDTH),
        "attention.output.dense": (WIDTH, WIDTH),
        ("intermediate.dense" if family == "vit" else "mlp.fc1"): (INNER, WIDTH),
        ("output.dense" if family == "vit" else "mlp.fc2"): (WIDTH, INNER),
    }
    norms = ["layernorm_before", "layernorm_after"] if family == "vit" else ["norm1", "norm2"]
    names: dict[str, tuple[int, ...]] = {
        "embeddings.cls_token": (1, 1, WIDTH),
        "embeddings.position_embeddings": (1, 1 + SIDE**2, WIDTH),
        "embeddings.patch_embeddings.projection.weight": (WIDTH, 3, PATCH, PATCH),
        "embeddings.patch_embeddings.projection.bias": (WIDTH,),
        "layernorm.weight": (WIDTH,),
        "layernorm.bias": (WIDTH,),
    }
    for index in range(DEPTH):
        block = f"encoder.layer.{index}"
        for name, shape in linear.items():
            names |= {f"{block}.{name}.weight": shape, f"{block}.{name}.bias": shape[:1]}
        for name in norms:
            names |= {f"{block}.{name}.weight": (WIDTH,), f"{block}.{name}.bias": (WIDTH,)}
        if family == "dinov2":
            names |= {f"{block}.layer_scale{number}.lambda1": (WIDTH,) for number in (1, 2)}
    return names


def tensors(family: str = "vit") -> Tensors:
    rng = np.random.default_rng(5)
    return {
        name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes(family).items()
    }


def write_folder(
    folder: Path, values: Tensors, config: dict[str, Any] | None = None, size: int | None = None
) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG if config is None else config))
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(values))
    if size is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps({"size": size}))
    return folder


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


def test_a_card_says_the_licence(folder: Path) -> None:
    card = folder / "README.md"
    card.write_text("---\ntags:\n- vision\nlicense: apache-2.0\n---\nlicense: mit\n")
    assert weights.load(folder).licence == "apache-2.0"
    card.write_text("license: mit\n")
    assert weights.load(folder).licence is None


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


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(NoEmbedder, match=rf"{name} is missing\.$"):
        weights.load(folder)


def test_pickles_are_never_read(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(NoEmbedder, match=r"pytorch_model\.bin is never read.*save_pretrained"):
        weights.load(folder)


def test_no_such_folder() -> None:
    with pytest.raises(NoEmbedder, match=r"source must be a folder or .* not './nowhere'"):
        weights.load("./nowhere")


def test_a_folder_has_no_revision(folder: Path) -> None:
    with pytest.raises(InvalidArgument, match="revision must be left out for a folder, not 'v1'"):
        weights.load(folder, revision="v1")


def run(path: Path, crops: npt.NDArray[np.float32]) -> Any:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["embedding"], {"crops": crops})[0]


def test_convert_writes_an_embedder(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "tiny.onnx"
    info = weights.convert(folder, out, crop_size=10)
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
    weights.convert(folder, tmp_path / "tiny.onnx", crop_size=8)
    crops = np.random.default_rng(8).integers(0, 256, (7, 8, 8, 3)).astype(np.float32)
    together = run(tmp_path / "tiny.onnx", crops)
    for index in range(7):
        alone = run(tmp_path / "tiny.onnx", crops[index : index + 1])
        np.testing.assert_allclose(alone[0], together[index], atol=1e-5)


@pytest.mark.parametrize("int8", [False, True])
def test_the_same_source_gives_the_same_bytes(folder: Path, tmp_path: Path, int8: bool) -> None:
    one = weights.convert(folder, tmp_path / "one.onnx", int8=int8)
    two = weights.convert(folder, tmp_path / "two.onnx", int8=int8)
    assert one.sha256 == two.sha256


def test_layer_norms_are_recognised(folder: Path, tmp_path: Path) -> None:
    weights.convert(folder, tmp_path / "tiny.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(
        tmp_path / "tiny.onnx", options, providers=["CPUExecutionProvider"]
    )
    nodes = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert nodes.count("LayerNormalization") == 2 * DEPTH + 1


def test_int8_is_a_quarter_of_the_size_and_close(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"WIDTH": 128, "INNER": 512, "DEPTH": 4}.items():
        monkeypatch.setitem(globals(), name, value)
    config = {
        **CONFIG,
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": 4,
    }
    values = {
        name: value / np.sqrt(value.shape[-1]).astype(np.float32)
        for name, value in tensors().items()
    }
    folder = write_folder(tmp_path / "medium", values, config)
    full = weights.convert(folder, tmp_path / "full.onnx")
    caplog.set_level(logging.INFO)
    small = weights.convert(folder, tmp_path / "small.onnx", int8=True)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert small.precision == "int8"
    assert small.least_cosine > 0.99
    assert small.bytes < 0.3 * full.bytes
    model = onnx.load(tmp_path / "small.onnx")
    nodes = [node.op_type for node in model.graph.node]
    assert nodes.count("MatMulInteger") == weights.MATRICES_A_BLOCK * DEPTH
    # Two to resize, one to embed patches, two of attention a block.
    assert nodes.count("MatMul") == 3 + 2 * DEPTH
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
    monkeypatch.setattr(weights, "_compare", lambda *_: outcome)
    with pytest.raises(NoEmbedder, match=message):
        weights.convert(folder, out, int8=int8)
    assert out.read_bytes() == b"old"
    assert list(out.parent.iterdir()) == [out]


def test_a_crop_without_pixels_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="crop_size must be at least 1 pixel, not 0"):
        weights.convert(folder, tmp_path / "tiny.onnx", crop_size=0)


class Cache:
    """Stands in for the hub: gives files of a folder as the cache would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.rename(folder.with_name(COMMIT))
        self.asked: list[tuple[str, str, str]] = []

    def __call__(self, repository: str, name: str, *, revision: str) -> str:
        self.asked.append((repository, name, revision))
        if not (self.folder / name).is_file():
            raise hub_errors.EntryNotFoundError(f"no {name}\nand so on")
        return str(self.folder / name)


@pytest.fixture
def cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    cache = Cache(folder)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", cache)
    return cache


@pytest.mark.parametrize("revision", [None, "v1.0"])
def test_a_branch_is_resolved_once(cache: Cache, revision: str | None) -> None:
    encoder = weights.load(REPOSITORY, revision=revision)
    assert encoder.name == REPOSITORY
    assert encoder.source == f"{REPOSITORY}@{COMMIT}"
    assert cache.asked == [
        (REPOSITORY, "config.json", revision or "main"),
        (REPOSITORY, "preprocessor_config.json", COMMIT),
        (REPOSITORY, "model.safetensors", COMMIT),
    ]


def test_a_repository_of_pickles_is_refused(cache: Cache) -> None:
    (cache.folder / "model.safetensors").unlink()
    with pytest.raises(NoEmbedder) as caught:
        weights.load(REPOSITORY)
    assert str(caught.value) == (
        f"cannot get model.safetensors of {REPOSITORY}@{COMMIT}: no model.safetensors. Without a "
        "connection, put config.json, preprocessor_config.json and model.safetensors of "
        f"{REPOSITORY} into a folder by hand and run: mien embedder convert FOLDER --out F.onnx "
        "(pytorch_model.bin is never read: a pickle can run any code)"
    )


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_file_out_of_reach_is_an_error_not_an_absence(
    cache: Cache, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(repository: str, wanted: str, *, revision: str) -> str:
        if wanted == name:
            raise hub_errors.LocalEntryNotFoundError("offline")
        return cache(repository, wanted, revision=revision)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(NoEmbedder, match=rf"cannot get {name} of .*: offline\. Without a conn"):
        weights.load(REPOSITORY)


def test_the_default_source_is_pinned(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    release = weights.RELEASES[weights.DEFAULT_SOURCE]
    assert len(release.revision) == 40
    digest = hashlib.sha256((cache.folder / "model.safetensors").read_bytes()).hexdigest()
    known = weights.Release(revision=COMMIT, weights_sha256=digest, licence="apache-2.0")
    monkeypatch.setattr(weights, "RELEASES", {weights.DEFAULT_SOURCE: known})
    encoder = weights.load()
    assert cache.asked[0] == (weights.DEFAULT_SOURCE, "config.json", COMMIT)
    assert encoder.source == f"{weights.DEFAULT_SOURCE}@{COMMIT}"
    assert encoder.licence == "apache-2.0"
    other = weights.Release(revision=COMMIT, weights_sha256="0" * 64, licence="apache-2.0")
    monkeypatch.setattr(weights, "RELEASES", {weights.DEFAULT_SOURCE: other})
    with pytest.raises(NoEmbedder, match=r"must have the SHA-256 0{64}, not [0-9a-f]{64}: delete"):
        weights.load()


class Hub(http.server.BaseHTTPRequestHandler):
    """Speaks as much of the hub's protocol as a download needs."""

    folder: Path

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.wfile.write(self.answer())

    def answer(self) -> bytes:
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        file = self.folder / name
        if repository != REPOSITORY or revision not in {"main", COMMIT} or not file.is_file():
            self.send_response(404)
            code = "EntryNotFound" if repository == REPOSITORY else "RepoNotFound"
            self.send_header("X-Error-Code", code)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return b""
        content = file.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(folder: Path) -> Iterator[str]:
    handler = type("FolderHub", (Hub,), {"folder": folder})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


SCRIPT = """
import sys
from mien.errors import NoEmbedder
from mien.lab import weights
for source in sys.argv[1:]:
    try:
        encoder = weights.load(source)
        print(encoder.source, encoder.weights_sha256, encoder.preparation.kernel)
    except NoEmbedder as error:
        print(error)
"""


def load_elsewhere(home: Path, *sources: str, **environment: str) -> list[str]:
    """Load in a fresh process: the hub's client reads its environment at import."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT, *sources],
        env={**kept, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", **environment},
        capture_output=True,
        check=True,
        text=True,
    )
    return finished.stdout.splitlines()


@pytest.mark.slow
def test_download_then_offline(hub: str, folder: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    wanted = f"{REPOSITORY}@{COMMIT} {digest} bilinear"
    (folder / "preprocessor_config.json").write_text('{"size": 12}')
    home = tmp_path / "home"
    loaded, unknown = load_elsewhere(home, REPOSITORY, "somebody/else", HF_ENDPOINT=hub)
    assert loaded == wanted
    assert unknown.startswith("cannot get config.json of somebody/else@main: 404")
    loaded, absent = load_elsewhere(home, REPOSITORY, "somebody/else", HF_HUB_OFFLINE="1")
    assert loaded == wanted
    assert absent.startswith("cannot get config.json of somebody/else@main: ")
    assert "into a folder by hand and run: mien embedder convert FOLDER --out F.onnx" in absent
    refused = load_elsewhere(tmp_path / "empty", REPOSITORY, HF_ENDPOINT="http://127.0.0.1:9")
    assert refused[0].startswith(f"cannot get config.json of {REPOSITORY}@main: ")


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
