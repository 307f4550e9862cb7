"""What branches are given of each clip: joined by performance, in the clips' own places."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mien.lab  # noqa: F401

# isort: split
import numpy as np
import pytest
import skimage.data

from media_samples import write_clip
from mien.bundle import load_bundle
from mien.config import FacesConfig, SpeechConfig
from mien.errors import InvalidArgument, NoEmbedder, TrainingDataError
from mien.lab.branches import (
    Branch,
    Performance,
    embedder_for,
    performances,
    picture_branch,
    speech_branch,
    table_branch,
)
from mien.lab.corpora import Example, read_corpus
from mien.lab.dataset import FeatureCache
from mien.lab.feature_table import read_feature_table
from mien.lab.presets import PRESETS
from tiny_ravdess import tiny_ravdess, unit_table

SOUND = Example(
    key="01-05-01-01-01-02", emotion="angry", corpus="mine", path=Path("a.wav"), has_sound=True
)
BOTH = replace(SOUND, path=Path("a.mp4"), has_picture=True)
PICTURE = replace(SOUND, path=Path("b.mp4"), has_sound=False, has_picture=True)


def test_files_of_one_performance_are_joined_and_the_purest_is_heard() -> None:
    (clip,) = performances([BOTH, PICTURE, SOUND])
    assert (clip.sound, clip.picture) == (SOUND, PICTURE)
    assert clip.example == SOUND
    (clip,) = performances([BOTH])
    assert (clip.sound, clip.picture) == (BOTH, BOTH)


def test_twins_that_a_manifest_lists_are_one_performance() -> None:
    twins = [
        replace(SOUND, key="Actor_02/03-01-05-01-01-01-02.wav"),
        replace(PICTURE, key="Actor_02/02-01-05-01-01-01-02.mp4"),
    ]
    (clip,) = performances(twins)
    assert (clip.sound, clip.picture) == tuple(twins)


def test_equal_keys_of_two_corpora_are_two_performances() -> None:
    assert len(performances([SOUND, replace(SOUND, corpus="theirs")])) == 2


def test_a_table_gives_rows_in_the_clips_places_and_names_those_it_lacks(tmp_path: Path) -> None:
    corpus = tiny_ravdess(tmp_path / "corpus", actors=(2, 3))
    path = unit_table(tmp_path / "units.csv", corpus)
    clips = performances(read_corpus(corpus).examples)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *reversed(lines[4:])]))
    table = read_feature_table(path)
    branch = table_branch(clips, table=table, use="video")
    assert len(branch.places) == len(clips) - 3
    for row, place in enumerate(branch.places):
        np.testing.assert_array_equal(branch.plain[row], table.rows[clips[place].key])
    assert branch.design.name == "clip_table"
    assert {exclusion.reason for exclusion in branch.excluded} == {"video: no row in units.csv"}
    assert len(branch.excluded) == 3
    other = tmp_path / "other.csv"
    other.write_text("clip,a\nx,1\n")
    with pytest.raises(TrainingDataError, match=r"other\.csv has none of the 12 clips"):
        table_branch(clips, table=read_feature_table(other), use="video")


def test_a_table_of_frames_joins_clips_that_a_manifest_names_by_file(tmp_path: Path) -> None:
    corpus = tiny_ravdess(tmp_path / "corpus", actors=(2,))
    table = read_feature_table(unit_table(tmp_path / "units.csv", corpus, frames=3))
    clips = [
        Performance(key=key, sound=replace(SOUND, key=key), picture=None)
        for key in ("Actor_02/03-01-05-01-02-01-02.wav", "Actor_02/03-01-03-01-01-01-02.wav")
    ]
    branch = table_branch(clips, table=table, use="audio")
    assert branch.places.tolist() == [0, 1]
    np.testing.assert_array_equal(branch.plain[0], table.rows["01-05-01-02-01-02"])
    assert branch.design.name == "frame_table"
    assert branch.variants == 1


def voice(clips: list[Performance], cache: Path, *, seed: int = 0) -> Branch:
    branch = speech_branch(
        clips, preset=PRESETS["mien"], config=SpeechConfig(), cache=FeatureCache(cache), seed=seed
    )
    assert branch is not None
    return branch


def test_clips_that_cannot_be_heard_leave_gaps(tmp_path: Path) -> None:
    corpus = tiny_ravdess(tmp_path / "corpus", actors=(2,))
    clips = performances(read_corpus(corpus).examples)
    clips[1] = replace(clips[1], sound=None, picture=PICTURE)
    damaged = clips[3].example
    damaged.path.write_bytes(b"RIFF no sound at all")
    branch = voice(clips, tmp_path / "cache")
    assert branch.places.tolist() == [0, 2, 4, 5]
    assert [exclusion.clip for exclusion in branch.excluded] == [damaged.title]
    # Another seed gives other variants of the same clips.
    other = voice(clips, tmp_path / "cache", seed=1)
    np.testing.assert_array_equal(branch.plain, other.plain)
    one, two = (each.training_rows(np.array([0])) for each in (branch, other))
    np.testing.assert_array_equal(one[0], two[0])
    assert np.abs(one[1:] - two[1:]).max(axis=1).min() > 0
    assert speech_branch(
        clips[1:2],
        preset=PRESETS["mien"],
        config=SpeechConfig(),
        cache=FeatureCache(tmp_path / "cache"),
    ) is None  # fmt: skip


def filmed(path: Path, *, light: float) -> Performance:
    """Film a still face, under some light."""
    picture = skimage.data.astronaut()[:256, 96:352]
    image = np.clip(picture * light, 0, 255).astype(np.uint8)
    write_clip(path, size=(256, 256), image_of_frame=lambda _: image, frames=2)
    example = replace(PICTURE, key=path.stem, path=path)
    return Performance(key=path.stem, sound=None, picture=example)


def test_faces_are_embedded_and_known_again(tmp_path: Path) -> None:
    heard = Performance(key="h", sound=SOUND, picture=None)
    clips = [
        heard,
        filmed(tmp_path / "dark.mp4", light=0),
        filmed(tmp_path / "one.mp4", light=1),
        filmed(tmp_path / "dim.mp4", light=0.6),
        filmed(tmp_path / "two.mp4", light=1),
    ]
    embedder = embedder_for("mien", PRESETS["mien"], None)
    options: dict[str, Any] = {
        "preset": PRESETS["mien"],
        "config": FacesConfig(),
        "embedder": embedder,
        "cache": FeatureCache(tmp_path / "cache"),
    }
    branch = picture_branch(clips, **options)
    assert branch is not None
    assert branch.places.tolist() == [2, 3, 4]
    assert branch.plain.shape == (3, 22, embedder.width)
    assert branch.design.name == "light_video"
    (dark,) = branch.excluded
    assert dark.clip == str(tmp_path / "dark.mp4")
    one, dim, two = (branch.prints[str(tmp_path / f"{name}.mp4")] for name in ("one", "dim", "two"))
    assert one == two != dim
    assert picture_branch(clips[:1], **options) is None


def test_an_embedder_that_is_given_is_the_one_looked_through(tmp_path: Path) -> None:
    own = embedder_for("mien", PRESETS["mien"], None)
    path = tmp_path / "mine.onnx"
    path.write_bytes(load_bundle().file("embedder").read_bytes())  # type: ignore[union-attr]
    for name in ("paper", "mien"):
        assert embedder_for(name, PRESETS[name], path).sha256 == own.sha256
    with pytest.raises(NoEmbedder):
        embedder_for("mien", PRESETS["mien"], tmp_path / "none.onnx")


def test_sound_is_augmented_for_training_alone_and_known_again(tmp_path: Path) -> None:
    corpus = tiny_ravdess(tmp_path / "corpus", actors=(2,))
    one, two = sorted(corpus.rglob("*.wav"))[:2]
    two.write_bytes(one.read_bytes())
    clips = performances(read_corpus(corpus).examples)
    branch = voice(clips, tmp_path / "cache")
    assert branch.plain.shape == (6, 5984)
    assert branch.variants == 4
    rows = branch.training_rows(np.array([3, 1]))
    np.testing.assert_array_equal(rows[0], branch.plain[3])
    np.testing.assert_array_equal(rows[4], branch.plain[1])
    assert np.abs(rows[1] - rows[0]).max() > 0
    assert len(set(branch.prints.values())) == 5
    assert branch.prints[str(one)] == branch.prints[str(two)]
    np.testing.assert_array_equal(branch.speech[str(one)], branch.plain[0])


def test_the_paper_s_embedder_must_be_given_and_mien_has_its_own() -> None:
    with pytest.raises(InvalidArgument, match=r"'paper' looks at faces through --embedder"):
        embedder_for("paper", PRESETS["paper"], None)
    assert embedder_for("mien", PRESETS["mien"], None).crop_size == 48
