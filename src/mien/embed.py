"""Face crops → embeddings, by the frozen network of an ONNX file."""

import hashlib
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.errors import InvalidArgument, NoEmbedder
from mien.graphs import open_graph

Pixels = npt.NDArray[np.uint8]

BATCH = 32
"""Crops a call of the network: bounds memory, and one clip's 22 frames fit in one call."""


class Embedder:
    """A frozen network from face crop to vector; safe to call from several threads.

    The ONNX file takes ``crops``, float32 of shape ``(n, size, size, 3)``, RGB, 0 to 255, and
    gives ``embedding``, float32 of shape ``(n, width)``: resizing and normalisation are part of
    the graph, so that training and use cannot differ in them.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, device: str = "cpu", precision: str = "f32"
    ) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise NoEmbedder(
                f"{self.path}: no such embedder; make one with "
                "'mien embedder convert SOURCE --out F.onnx'"
            )
        self.sha256 = hash_file(self.path)
        self.precision = precision
        graph = open_graph(self.path, sha256=self.sha256, device=device, precision=precision)
        sizes = [*graph.takes[0][1:], *graph.gives[1:]]
        if len(graph.takes) != 1 or len(sizes) != 4 or not all(isinstance(n, int) for n in sizes):
            raise NoEmbedder(
                f"{self.path}: an embedder takes crops (n, size, size, 3) and gives (n, width), "
                f"but this graph takes {list(graph.takes)} and gives {graph.gives}"
            )
        self.name: str = graph.metadata.get("mien.embedder", self.path.stem)
        self.source: str | None = graph.metadata.get("mien.source")
        self.licence: str | None = graph.metadata.get("mien.licence")
        self.crop_size, self.width = int(sizes[0]), int(sizes[-1])
        self._run = graph.run

    def embed(self, crops: Pixels) -> npt.NDArray[np.float32]:
        """Embed face crops; of equal ones near each other, only the first is computed.

        Args:
            crops: uint8, RGB, shape ``(n, crop_size, crop_size, 3)``.

        Returns:
            Shape ``(n, width)``.

        Raises:
            InvalidArgument: crops of another shape or type.
        """
        expected = (self.crop_size, self.crop_size, 3)
        if crops.dtype != np.uint8 or crops.shape[1:] != expected:
            raise InvalidArgument(
                f"crops must be uint8 of shape (n, {', '.join(map(str, expected))}), "
                f"not {crops.dtype} of shape {crops.shape}"
            )
        rows = [np.empty((0, self.width), np.float32)]
        for start in range(0, len(crops), BATCH):
            distinct, places = _distinct(crops[start : start + BATCH])
            rows.append(self._run(distinct.astype(np.float32))[places])
        return np.concatenate(rows)


def _distinct(crops: Pixels) -> tuple[Pixels, list[int]]:
    """Leave out crops that came before: stills, slow clips and lost faces have many of them.

    Returns:
        The others, and the place among them of each one given.
    """
    places: dict[bytes, int] = {}
    of = [places.setdefault(crop.tobytes(), len(places)) for crop in crops]
    first = [of.index(place) for place in range(len(places))]
    return crops[first], of


def hash_file(path: Path) -> str:
    """Give the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
