"""Finding a network's files in a folder, and on a hub that stands in for Hugging Face's."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import errors as hub_errors

from mien.errors import InvalidArgument, NoEmbedder
from mien.lab import hub, weights
from tiny_vit import tensors, write_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "somebody/tiny-vit"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "tiny-vit", tensors())


def test_a_card_says_the_licence(folder: Path) -> None:
    card = folder / "README.md"
    card.write_text("---\ntags:\n- vision\nlicense: apache-2.0\n---\nlicense: mit\n")
    assert weights.load(folder).licence == "apache-2.0"
    card.write_text("license: mit\n")
    assert weights.load(folder).licence is None


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
    release = hub.RELEASES[hub.DEFAULT_SOURCE]
    assert len(release.revision) == 40
    digest = hashlib.sha256((cache.folder / "model.safetensors").read_bytes()).hexdigest()
    known = hub.Release(revision=COMMIT, weights_sha256=digest, licence="apache-2.0")
    monkeypatch.setattr(hub, "RELEASES", {hub.DEFAULT_SOURCE: known})
    encoder = weights.load()
    assert cache.asked[0] == (hub.DEFAULT_SOURCE, "config.json", COMMIT)
    assert encoder.source == f"{hub.DEFAULT_SOURCE}@{COMMIT}"
    assert encoder.licence == "apache-2.0"
    other = hub.Release(revision=COMMIT, weights_sha256="0" * 64, licence="apache-2.0")
    monkeypatch.setattr(hub, "RELEASES", {hub.DEFAULT_SOURCE: other})
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
def endpoint(folder: Path) -> Iterator[str]:
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
def test_download_then_offline(endpoint: str, folder: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    wanted = f"{REPOSITORY}@{COMMIT} {digest} bilinear"
    (folder / "preprocessor_config.json").write_text('{"size": 12}')
    home = tmp_path / "home"
    loaded, unknown = load_elsewhere(home, REPOSITORY, "somebody/else", HF_ENDPOINT=endpoint)
    assert loaded == wanted
    assert unknown.startswith("cannot get config.json of somebody/else@main: 404")
    loaded, absent = load_elsewhere(home, REPOSITORY, "somebody/else", HF_HUB_OFFLINE="1")
    assert loaded == wanted
    assert absent.startswith("cannot get config.json of somebody/else@main: ")
    assert "into a folder by hand and run: mien embedder convert FOLDER --out F.onnx" in absent
    refused = load_elsewhere(tmp_path / "empty", REPOSITORY, HF_ENDPOINT="http://127.0.0.1:9")
    assert refused[0].startswith(f"cannot get config.json of {REPOSITORY}@main: ")
