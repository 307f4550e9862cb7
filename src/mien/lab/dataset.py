"""Examples → arrays to train on: features cached once, stills shown as sequences, batches."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from rich.console import Console
from rich.progress import track

from mien.config import FacesConfig, SpeechConfig, config_hash
from mien.embed import Embedder
from mien.errors import TrainingDataError
from mien.faces import Detector, follow_faces
from mien.lab.augment import variants
from mien.lab.corpora import Example, read_contents, targets
from mien.media import open_clip
from mien.speech import speech_features

CACHE_FORMAT = "1"
"""Raised when features change without their config changing: old entries are then passed over."""


@dataclass(frozen=True)
class Arrays:
    """What one branch trains on."""

    inputs: np.ndarray
    """Shape ``(examples, …)``: the network's input."""
    targets: np.ndarray
    """Shape ``(examples, 8)``."""


class FeatureCache:
    """Arrays on disk, found by the hash of what they were computed from.

    Entries are written to a temporary file and renamed, so that a killed run leaves none half
    written, and runs side by side can share a cache.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, *parts: str | bytes, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Load the array computed from ``parts``, or compute and keep it."""
        digest = hashlib.sha256(CACHE_FORMAT.encode())
        for part in parts:
            value = part.encode() if isinstance(part, str) else part
            digest.update(len(value).to_bytes(8, "big") + value)
        name = digest.hexdigest()
        path = self.folder / name[:2] / f"{name}.npy"
        if path.exists():
            return np.asarray(np.load(path, allow_pickle=False))
        array = compute()
        write_atomically(path, lambda file: np.save(file, array))
        return array


def write_atomically(path: Path, write: Callable[[Any], None]) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        dir=path.parent, suffix=f".part{path.suffix}", delete=False
    ) as file:
        try:
            write(file)
            file.close()
            Path(file.name).replace(path)
        finally:
            Path(file.name).unlink(missing_ok=True)


def speech_arrays(
    examples: Sequence[Example],
    *,
    config: SpeechConfig,
    cache: FeatureCache,
    augmented: bool,
    seed: int = 0,
) -> Arrays:
    """Compute the audio branch's input for clips with sound.

    Args:
        examples: clips with sound.
        config: how speech features are computed.
        cache: where they are kept.
        augmented: four rows a clip (as is, noise, pitch, both) instead of one; training only.
        seed: of the augmentation.

    Returns:
        Inputs of shape ``(clips or 4 x clips, frames * columns)``; the variants of a clip follow
        each other.

    Raises:
        TrainingDataError: a clip has no sound.
    """
    kind = f"augmented {seed}" if augmented else "plain"

    def compute(example: Example, content: bytes) -> np.ndarray:
        waveform = _waveform(example, content, config)
        if not augmented:
            return speech_features(waveform, config=config)[None]
        generator = np.random.default_rng([seed, *hashlib.sha256(content).digest()])
        heard = variants(waveform, rng=generator, config=config)
        return np.stack([speech_features(variant, config=config) for variant in heard])

    def load(example: Example) -> np.ndarray:
        (content,) = read_contents([example])
        return cache.get(
            "speech",
            kind,
            config_hash(config),
            content,
            compute=lambda: compute(example, content),
        )

    rows = _in_threads(load, examples, description="speech features")
    counts = [len(row) for row in rows]
    wanted = np.repeat(np.stack([targets(example) for example in examples]), counts, axis=0)
    return Arrays(np.concatenate(rows), wanted)


def still_crops(examples: Sequence[Example], *, config: FacesConfig) -> Arrays:
    """Read stills that are face crops already.

    Returns:
        Inputs uint8 of shape ``(stills, crop_size, crop_size, 3)``, RGB.

    Raises:
        TrainingDataError: a file is no picture.
    """
    size = (config.crop_size, config.crop_size)
    crops = np.empty((len(examples), *size, 3), np.uint8)
    contents = read_contents(examples)
    for place, (example, content) in enumerate(zip(examples, contents, strict=True)):
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
        if picture is None:
            raise TrainingDataError(f"{example.path}: {example.member or ''} is no picture")
        crops[place] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return Arrays(crops, np.stack([targets(example) for example in examples]))


def sequence_embeddings(
    crops: Arrays, *, config: FacesConfig, embedder: Embedder, cache: FeatureCache, seed: int
) -> Arrays:
    """Show each still as a clip of a face that moves a little, and embed its frames.

    Returns:
        Inputs float32 of shape ``(stills, frames, width)``.
    """

    def compute() -> np.ndarray:
        generator = np.random.default_rng(seed)
        rows = np.empty((len(crops.inputs), config.frames, embedder.width), np.float16)
        for place, crop in _progress(crops.inputs, description="embeddings of sequences"):
            rows[place] = embedder.embed(moving_sequence(crop, frames=config.frames, rng=generator))
        return rows

    rows = cache.get(
        "sequences",
        config_hash(config),
        embedder.sha256,
        str(seed),
        crops.inputs.tobytes(),
        compute=compute,
    )
    return Arrays(rows.astype(np.float32), crops.targets)


def clip_embeddings(
    examples: Sequence[Example],
    *,
    config: FacesConfig,
    embedder: Embedder,
    detector: Detector,
    cache: FeatureCache,
) -> Arrays:
    """Compute the video branch's input for clips with a moving picture.

    Clips in which too few frames show a face are left out.

    Returns:
        Inputs float32 of shape ``(clips, frames, width)``.
    """

    def compute(content: bytes) -> np.ndarray:
        with open_clip(content, frames=config.frames, sample_rate=8_000, samples=1) as clip:
            faces = follow_faces(clip.frames(), config=config, detector=detector)
        if faces.crops is None:
            return np.empty((0, config.frames, embedder.width), np.float32)
        return embedder.embed(faces.crops)[None]

    def load(example: Example) -> np.ndarray:
        (content,) = read_contents([example])
        return cache.get(
            "clip",
            config_hash(config),
            embedder.sha256,
            content,
            compute=lambda: compute(content),
        )

    rows = _in_threads(load, examples, description="faces and embeddings")
    kept = [targets(e) for e, row in zip(examples, rows, strict=True) if len(row)]
    empty = np.empty((0, config.frames, embedder.width), np.float32)
    return Arrays(np.concatenate([empty, *rows]), np.reshape(kept, (-1, 8)).astype(np.float32))


def moving_sequence(crop: np.ndarray, *, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Make a short clip of a still face: drifting, trembling, zooming, under changing light.

    The pose starts somewhere at random and drifts smoothly, as a followed face does; each frame
    trembles by itself, as detected boxes do.

    Args:
        crop: uint8 of shape ``(size, size, 3)``.
        frames: frames to make.
        rng: the chance behind it.

    Returns:
        uint8 of shape ``(frames, size, size, 3)``.
    """
    size = crop.shape[0]
    face = crop[:, ::-1] if rng.random() < 0.5 else crop
    start = rng.normal(0.0, (0.05, 0.05, 0.08, 5.0, 0.12, 12.0))
    end = start + rng.normal(0.0, (0.03, 0.03, 0.04, 3.0, 0.04, 4.0))
    path = np.linspace(start, end, frames)
    path += rng.normal(0.0, (0.015, 0.015, 0.02, 0.7, 0.01, 1.0), (frames, 6))
    return np.stack([_posed(face, pose, size=size) for pose in path])


def _posed(face: np.ndarray, pose: np.ndarray, *, size: int) -> np.ndarray:
    """Apply shift x, shift y (of the size), log2 of zoom x 2, degrees, log contrast, brightness."""
    shift_x, shift_y, zoom, degrees, contrast, brightness = pose.tolist()
    centre = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), degrees, float(np.exp(zoom)))
    matrix[:, 2] += (shift_x * size, shift_y * size)
    posed = cv2.warpAffine(face, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    lit = (posed.astype(np.float32) - 128.0) * float(np.exp(contrast)) + 128.0 + brightness
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


class Batches(keras.utils.PyDataset):  # type: ignore[misc] # keras is untyped
    """Arrays in batches, shuffled anew each epoch by seed and epoch number alone.

    A resumed run therefore sees the very batches that an unbroken one would have seen.
    """

    def __init__(
        self,
        arrays: Arrays,
        *,
        batch_size: int,
        seed: int,
        augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
    ) -> None:
        super().__init__()
        self.arrays = arrays
        self.batch_size = batch_size
        self.seed = seed
        self.augment = augment
        self.epoch = 0

    def __len__(self) -> int:
        """Batches an epoch; the last one may be smaller."""
        return -(-len(self.arrays.inputs) // self.batch_size)

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Give one batch of inputs and targets."""
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.arrays.inputs))
        chosen = order[place * self.batch_size : (place + 1) * self.batch_size]
        inputs = self.arrays.inputs[chosen]
        if self.augment is not None:
            generator = np.random.default_rng([self.seed, self.epoch, place])
            inputs = self.augment(inputs, generator)
        return inputs, self.arrays.targets[chosen]

    def on_epoch_end(self) -> None:
        """Go on to the next shuffle."""
        self.epoch += 1


def augment_stills(crops: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pose each still at random and blot out a patch of some: shape ``(batch, size, size, 3)``."""
    posed = np.concatenate([moving_sequence(crop, frames=1, rng=rng) for crop in crops])
    size = posed.shape[1]
    for place in np.flatnonzero(rng.random(len(posed)) < 0.4):
        side = int(rng.integers(size // 6, size // 3))
        top, left = rng.integers(0, size - side, 2)
        posed[place, top : top + side, left : left + side] = posed[place].mean()
    return posed


def _waveform(example: Example, content: bytes, config: SpeechConfig) -> np.ndarray:
    with open_clip(
        content, frames=1, sample_rate=config.sample_rate, samples=config.samples
    ) as clip:
        if clip.waveform is None:
            raise TrainingDataError(f"{example.path}: {clip.audio_reason}; leave the clip out")
        return clip.waveform


def _progress(items: Sequence[Any] | np.ndarray, *, description: str) -> Iterable[tuple[int, Any]]:
    return enumerate(
        track(items, description, console=Console(stderr=True), total=len(items), transient=True)
    )


def _in_threads(
    load: Callable[[Example], np.ndarray],
    examples: Sequence[Example],
    *,
    description: str,
) -> list[np.ndarray]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(
            track(
                pool.map(load, examples),
                description,
                total=len(examples),
                console=Console(stderr=True),
                transient=True,
            )
        )
