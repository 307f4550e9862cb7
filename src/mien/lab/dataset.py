"""Examples → arrays to train on: features cached once, stills shown as sequences."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from mien.config import FacesConfig, SpeechConfig, config_hash
from mien.detectors import Detector
from mien.embed import Embedder
from mien.errors import TrainingDataError, UnreadableClip
from mien.faces import follow_faces
from mien.lab.augment import variants
from mien.lab.batches import Arrays
from mien.lab.corpora import Example, Exclusion, read_contents, targets
from mien.lab.files import write_atomically
from mien.lab.moving import moving_sequence
from mien.media import open_clip
from mien.speech import speech_features

logger = logging.getLogger(__name__)

CACHE_FORMAT = "2"
"""Raised when features change without their config changing: old entries are then passed over."""

SEQUENCES_AN_ENTRY = 256
"""Stills whose embedded sequences are cached together: what a killed run loses at most."""


@dataclass(frozen=True)
class Loaded:
    """Inputs of the clips that could be read."""

    examples: tuple[Example, ...]
    """Those clips, in the order they were given."""
    arrays: Arrays
    """Their rows: one a clip, or as many as it has variants, which follow each other."""
    excluded: tuple[Exclusion, ...]
    """The clips that could not."""


class FeatureCache:
    """Arrays on disk, found by the hash of what they were computed from.

    Entries are written to a temporary file and renamed, so that a killed run leaves none half
    written, and runs side by side can share a cache.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, *parts: str | bytes, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Load the array computed from ``parts``, or compute and keep it.

        An entry that cannot be read, as a full disk leaves one, is computed again.
        """
        digest = hashlib.sha256(CACHE_FORMAT.encode())
        for part in parts:
            value = part.encode() if isinstance(part, str) else part
            digest.update(len(value).to_bytes(8, "big") + value)
        name = digest.hexdigest()
        path = self.folder / name[:2] / f"{name}.npy"
        try:
            return np.asarray(np.load(path, allow_pickle=False))
        except (FileNotFoundError, ValueError, EOFError):
            array = compute()
        write_atomically(path, lambda file: np.save(file, array))
        return array


def speech_arrays(
    examples: Sequence[Example],
    *,
    config: SpeechConfig,
    cache: FeatureCache,
    augmented: bool,
    seed: int = 0,
) -> Loaded:
    """Compute the audio branch's input for clips with sound.

    Args:
        examples: clips with sound; those that cannot be read or heard are left out, by name.
        config: how speech features are computed.
        cache: where they are kept.
        augmented: four rows a clip (as is, noise, pitch, both) instead of one; training only.
        seed: of the augmentation.

    Returns:
        Inputs of shape ``(clips or 4 x clips, frames * columns)``; the variants of a clip follow
        each other.

    Raises:
        TrainingDataError: no clip is left.
    """
    kind = f"augmented {seed}" if augmented else "plain"

    def compute(content: bytes) -> np.ndarray:
        waveform = _waveform(content, config)
        if not augmented:
            return speech_features(waveform, config=config)[None]
        heard = variants(waveform, rng=_chance(seed, content), config=config)
        return np.stack([speech_features(variant, config=config) for variant in heard])

    def load(example: Example) -> np.ndarray:
        (content,) = read_contents([example])
        return cache.get(
            "speech",
            kind,
            config_hash(config),
            content,
            compute=lambda: compute(content),
        )

    return _load_each(load, examples, description="speech features")


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
            raise TrainingDataError(f"{example.title} is no picture; leave it out")
        crops[place] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return Arrays(crops, np.stack([targets(example) for example in examples]))


def sequence_embeddings(
    crops: Arrays, *, config: FacesConfig, embedder: Embedder, cache: FeatureCache, seed: int
) -> Arrays:
    """Show each still as a clip of a face that moves a little, and embed its frames.

    How a face moves depends on the seed and on the still alone.

    Returns:
        Inputs float32 of shape ``(stills, frames, width)``, rounded to float16: three digits,
        far less than frames differ by, for half of the cache.
    """

    def embedded(crop: np.ndarray) -> np.ndarray:
        moving = moving_sequence(crop, frames=config.frames, rng=_chance(seed, crop.tobytes()))
        return embedder.embed(moving).astype(np.float16)

    def load(some: np.ndarray) -> np.ndarray:
        return cache.get(
            "sequences",
            config_hash(config),
            embedder.sha256,
            str(seed),
            some.tobytes(),
            compute=lambda: np.stack([embedded(crop) for crop in some]),
        )

    inputs = np.empty((len(crops.inputs), config.frames, embedder.width), np.float32)
    starts = range(0, len(inputs), SEQUENCES_AN_ENTRY)
    for start in _tracked(starts, total=len(starts), description="embeddings of sequences"):
        part = slice(start, start + SEQUENCES_AN_ENTRY)
        inputs[part] = load(crops.inputs[part])
    return Arrays(inputs, crops.targets)


def clip_embeddings(
    examples: Sequence[Example],
    *,
    config: FacesConfig,
    embedder: Embedder,
    detector: Detector,
    cache: FeatureCache,
) -> Loaded:
    """Compute the video branch's input for clips with a moving picture.

    Clips that cannot be read, or show a face in too few frames, are left out, by name.

    Returns:
        Inputs float32 of shape ``(clips, frames, width)``.

    Raises:
        TrainingDataError: no clip is left.
    """

    def compute(content: bytes) -> np.ndarray:
        with open_clip(content, frames=config.frames, sample_rate=8_000, samples=1) as clip:
            if clip.video_reason is not None:
                raise UnreadableClip(str(clip.video_reason))
            faces = follow_faces(clip.frames(), config=config, detector=detector)
        if faces.crops is None:
            return np.empty((0, config.frames, embedder.width), np.float32)
        return embedder.embed(faces.crops)[None]

    def load(example: Example) -> np.ndarray:
        (content,) = read_contents([example])
        row = cache.get(
            "clip",
            config_hash(config),
            embedder.sha256,
            content,
            compute=lambda: compute(content),
        )
        if not len(row):
            raise UnreadableClip("a face in too few frames")
        return row

    return _load_each(load, examples, description="faces and embeddings")


def _chance(seed: int, content: bytes) -> np.random.Generator:
    return np.random.default_rng([seed, *hashlib.sha256(content).digest()])


def _waveform(content: bytes, config: SpeechConfig) -> np.ndarray:
    with open_clip(
        content, frames=1, sample_rate=config.sample_rate, samples=config.samples
    ) as clip:
        if clip.waveform is None:
            raise UnreadableClip(str(clip.audio_reason))
        return clip.waveform


def _tracked(items: Iterable[Any], *, total: int, description: str) -> Iterable[Any]:
    console = Console(stderr=True)
    return track(
        items,
        description,
        total=total,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _load_each(
    load: Callable[[Example], np.ndarray], examples: Sequence[Example], *, description: str
) -> Loaded:
    """Load rows in threads, and name the clips that cannot be."""

    def attempt(example: Example) -> np.ndarray | Exclusion:
        try:
            return load(example)
        except (UnreadableClip, TrainingDataError) as error:
            reason = str(error).removeprefix("<bytes>: ").removeprefix(f"{example.title} ")
            return Exclusion(clip=example.title, reason=reason)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        loaded = pool.map(attempt, examples)
        answers = list(_tracked(loaded, total=len(examples), description=description))
    kept = [
        (example, rows)
        for example, rows in zip(examples, answers, strict=True)
        if not isinstance(rows, Exclusion)
    ]
    excluded = tuple(answer for answer in answers if isinstance(answer, Exclusion))
    for exclusion in excluded:
        logger.warning("left out: %s: %s", exclusion.clip, exclusion.reason)
    if not kept:
        raise TrainingDataError(
            f"{description}: none of {len(examples)} clips can be read"
            + (f"; the first, {excluded[0].clip}: {excluded[0].reason}" if excluded else "")
        )
    wanted = np.concatenate([np.tile(targets(example), (len(rows), 1)) for example, rows in kept])
    arrays = Arrays(np.concatenate([rows for _, rows in kept]), wanted)
    return Loaded(tuple(example for example, _ in kept), arrays, excluded)
