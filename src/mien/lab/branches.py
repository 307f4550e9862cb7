"""What the branches of an evaluation learn from: inputs of all clips, and the design over them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from mien.config import FacesConfig, SpeechConfig
from mien.detectors import make_detector
from mien.embed import Embedder
from mien.errors import InvalidArgument, TrainingDataError
from mien.lab.copies import COMPARED
from mien.lab.corpora import Example, Exclusion
from mien.lab.dataset import FeatureCache, Loaded, clip_embeddings, speech_arrays
from mien.lab.feature_table import FeatureTable
from mien.lab.presets import TABLE, Design, Preset
from mien.lab.protocols import performance_of
from mien.tables import normal_key


@dataclass(frozen=True, kw_only=True)
class Performance:
    """One clip of an evaluation: all files of one performance."""

    key: str
    sound: Example | None
    picture: Example | None

    @property
    def example(self) -> Example:
        """The file that tells who, what and how."""
        example = self.sound or self.picture
        assert example is not None  # noqa: S101 - performances() makes none without either
        return example


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One branch of an evaluation: how it is built, and what it is given of each clip."""

    design: Design
    description: str
    places: np.ndarray
    """Which performances it has something of, rising: shape ``(rows,)``."""
    plain: np.ndarray
    """Shape ``(rows, …)``."""
    augmented: np.ndarray | None = None
    """Shape ``(rows, variants, …)``: what training clips are replaced by."""
    excluded: tuple[Exclusion, ...] = ()
    prints: dict[str, str]
    """Name of a file → fingerprint of what was decoded from it; empty for tables."""
    speech: dict[str, np.ndarray]
    """Name of a file → its speech features by :data:`mien.lab.copies.COMPARED`, to find copies by;
    empty but for sound."""

    @property
    def variants(self) -> int:
        """Rows that a training clip is trained on as."""
        return 1 if self.augmented is None else self.augmented.shape[1]

    def moved(self, places: np.ndarray) -> Self:
        """Give the same branch where its clips stand at other places."""
        return replace(self, places=places)

    def training_rows(self, chosen: np.ndarray) -> np.ndarray:
        """Give the inputs to train on: the variants of a clip follow each other.

        Args:
            chosen: rows of clips, shape ``(clips,)``.

        Returns:
            Shape ``(clips * variants, …)``.
        """
        rows: np.ndarray = self.plain[chosen]
        if self.augmented is not None:
            rows = self.augmented[chosen].reshape(-1, *self.plain.shape[1:])
        return rows


def performances(examples: Sequence[Example]) -> list[Performance]:
    """Join the files of each performance by key, sorted by corpus and key.

    Of sound with and without a picture the latter is heard: its sound is not compressed.

    >>> both = Example(key="a", emotion="sad", corpus="ravdess", path=Path("01-a.mp4"),
    ...                has_sound=True, has_picture=True)
    >>> sound = Example(key="a", emotion="sad", corpus="ravdess", path=Path("03-a.wav"),
    ...                 has_sound=True)
    >>> [(p.sound == sound, p.picture == both) for p in performances([both, sound])]
    [(True, True)]
    """
    sounds: dict[tuple[str, str], Example] = {}
    pictures: dict[tuple[str, str], Example] = {}
    for example in sorted(examples, key=lambda example: example.has_sound and example.has_picture):
        if example.has_sound:
            sounds.setdefault(performance_of(example), example)
        if example.has_picture:
            pictures.setdefault(performance_of(example), example)
    return [
        Performance(key=name[1], sound=sounds.get(name), picture=pictures.get(name))
        for name in sorted(sounds.keys() | pictures.keys())
    ]


def described(config: SpeechConfig) -> str:
    """Say what of a voice is heard.

    >>> described(SpeechConfig()), described(SpeechConfig(mfcc=13, frames=9, pitch=True))
    ('ZCR, RMS and 20 MFCC of 272 frames', 'ZCR, RMS, 13 MFCC and pitch of 9 frames')
    """
    kinds = f"RMS, {config.mfcc} MFCC and pitch" if config.pitch else f"RMS and {config.mfcc} MFCC"
    return f"ZCR, {kinds} of {config.frames} frames"


def speech_branch(
    clips: Sequence[Performance],
    *,
    preset: Preset,
    config: SpeechConfig,
    cache: FeatureCache,
    seed: int = 0,
) -> Branch | None:
    """Give the voice as mien hears it, augmented as in the paper; ``None`` without any sound."""
    sounds = {clip.sound: place for place, clip in enumerate(clips) if clip.sound}
    if not sounds:
        return None
    plain = speech_arrays(list(sounds), config=config, cache=cache, augmented=False)
    heard = speech_arrays(plain.examples, config=config, cache=cache, augmented=True, seed=seed)
    compared = speech_arrays(plain.examples, config=COMPARED, cache=cache, augmented=False)
    inputs = plain.arrays.inputs
    return Branch(
        design=preset.audio(config),
        description=described(config),
        places=np.array([sounds[example] for example in plain.examples]),
        plain=inputs,
        augmented=heard.arrays.inputs.reshape(len(inputs), -1, inputs.shape[1]),
        excluded=plain.excluded,
        prints=fingerprints(plain),
        speech=by_title(compared),
    )


def picture_branch(
    clips: Sequence[Performance],
    *,
    preset: Preset,
    config: FacesConfig,
    embedder: Embedder,
    cache: FeatureCache,
) -> Branch | None:
    """Give the faces as mien sees them; ``None`` without any moving picture."""
    pictures = {clip.picture: place for place, clip in enumerate(clips) if clip.picture}
    if not pictures:
        return None
    seen = clip_embeddings(
        list(pictures),
        config=config,
        embedder=embedder,
        detector=make_detector(config.detector, model=None),
        cache=cache,
    )
    inputs = seen.arrays.inputs
    return Branch(
        design=preset.video,
        description=f"{embedder.name}: {embedder.width} numbers for each of {config.frames} faces",
        places=np.array([pictures[example] for example in seen.examples]),
        plain=inputs,
        excluded=seen.excluded,
        prints=fingerprints(seen),
        speech={},
    )


def table_branch(clips: Sequence[Performance], *, table: FeatureTable, use: str) -> Branch:
    """Give features that somebody else computed, for the clips that the table has.

    Args:
        clips: of the evaluation.
        table: features by key.
        use: ``"audio"`` or ``"video"``: what they stand in for.

    Raises:
        TrainingDataError: the table has none of the clips.
    """
    keys = [normal_key(clip.key) for clip in clips]
    places = [place for place, key in enumerate(keys) if key in table.rows]
    if not places:
        raise TrainingDataError(
            f"{table.name} has none of the {len(clips)} clips: its first is "
            f"{next(iter(table.rows), 'missing')!r}, theirs is {keys[0]!r}"
        )
    missing = [
        clip.example.title for clip, key in zip(clips, keys, strict=True) if key not in table.rows
    ]
    return Branch(
        design=replace(TABLE, name="frame_table" if table.per_frame else "clip_table"),
        description=table.description,
        places=np.array(places),
        plain=np.stack([table.rows[keys[place]] for place in places]),
        excluded=tuple(
            Exclusion(clip=title, reason=f"{use}: no row in {table.name}") for title in missing
        ),
        prints={},
        speech={},
    )


def embedder_for(preset_name: str, preset: Preset, given: Path | None) -> Embedder:
    """Open the embedder of the pixel branch: the one given, or that of the default bundle.

    The default bundle's was trained on stills of another corpus, so that it knows none of the
    clips.

    Raises:
        InvalidArgument: the preset needs one that must be given.
    """
    if given is not None:
        return Embedder(given)
    if preset.expression_recipe is None:
        raise InvalidArgument(
            f"preset {preset_name!r} looks at faces through --embedder F.onnx; make one with 'mien "
            "embedder convert google/vit-base-patch16-224-in21k --out F.onnx', or give "
            "--video-features TABLE"
        )
    from mien.bundle import load_bundle  # noqa: PLC0415

    path = load_bundle().file("embedder")
    assert path is not None  # noqa: S101
    return Embedder(path)


def by_title(loaded: Loaded) -> dict[str, np.ndarray]:
    """Give the row of each file, one a file, by its name for people."""
    titles = [example.title for example in loaded.examples]
    return dict(zip(titles, loaded.arrays.inputs, strict=True))


def fingerprints(loaded: Loaded) -> dict[str, str]:
    """Hash the row of each file: equal decoded sound or pictures give equal features.

    Files that differ in nothing but their container or lossless codec therefore have one
    fingerprint.

    Returns:
        SHA-256 by the file's name for people.
    """
    return {
        title: hashlib.sha256(np.ascontiguousarray(row).data).hexdigest()
        for title, row in by_title(loaded).items()
    }
