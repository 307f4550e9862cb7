"""Where a trained network's files are: a folder, or a repository on the Hugging Face hub."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mien.errors import InvalidArgument, MissingDependency, NoEmbedder

try:
    import huggingface_hub
    from huggingface_hub import errors as hub_errors
except ImportError as error:
    raise MissingDependency(
        f"embedders need huggingface-hub ({error}): pip install 'mien[lab]'"
    ) from error

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PREPARATION = "preprocessor_config.json"


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
class Files:
    """The files of a trained network, on disk."""

    name: str
    """The repository's id, or the folder's name."""
    source: str
    """Repository@commit, or the folder's name."""
    licence: str | None
    """SPDX identifier, if known."""
    config: Path
    weights: Path
    preparation: Path | None


def find(source: str | Path, *, revision: str | None) -> Files:
    """Find a network's files, and download those that are not here yet.

    Args:
        source: a folder, or the id of a repository on the hub.
        revision: commit, branch or tag of a repository; default: the pinned commit of a known
            one, the main branch of others.

    Raises:
        NoEmbedder: the files cannot be found or downloaded; the message says what to do.
        InvalidArgument: a revision was given for a folder.
    """
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


def check_release(source: str, digest: str) -> None:
    """Refuse weights that are not those of the pinned commit.

    Args:
        source: as :class:`Files` tells it.
        digest: SHA-256 of ``model.safetensors``.

    Raises:
        NoEmbedder: the release's weights have another sum.
    """
    repository, _, commit = source.partition("@")
    release = RELEASES.get(repository)
    if release and commit == release.revision and digest != release.weights_sha256:
        raise NoEmbedder(
            f"{WEIGHTS} of {source} must have the SHA-256 {release.weights_sha256}, not {digest}: "
            "delete it from the Hugging Face cache and download it again"
        )


def _in_folder(folder: Path) -> Files:
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise NoEmbedder(
                f"{folder} must hold {CONFIG}, {WEIGHTS} and, if the network has one, "
                f"{PREPARATION}; {name} is missing.{_about_pickles(folder)}"
            )
    name = folder.resolve().name
    preparation = folder / PREPARATION
    return Files(
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


def _on_hub(repository: str, revision: str | None) -> Files:
    release = RELEASES.get(repository)
    wanted = revision or (release.revision if release else "main")
    config = _download(repository, CONFIG, wanted)
    # The cache keeps a commit's files in a folder of its name; a branch may move meanwhile.
    commit = config.parent.name
    try:
        preparation = _download(repository, PREPARATION, commit)
    except _NotInRepository:
        preparation = None
    return Files(
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
