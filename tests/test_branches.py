"""What branches are given of each clip: joined by performance, in the clips' own places."""

from dataclasses import replace
from pathlib import Path

import mien.lab  # noqa: F401

# isort: split
import numpy as np
import pytest

from mien.config import SpeechConfig
from mien.errors import InvalidArgument, TrainingDataError
from mien.lab.branches import embedder_for, performances, speech_branch, table_branch
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
    assert {exclusion.reason for exclusion in branch.excluded} == {"video: no row in units.csv"}
    assert len(branch.excluded) == 3
    other = tmp_path / "other.csv"
    other.write_text("clip,a\nx,1\n")
    with pytest.raises(TrainingDataError, match=r"other\.csv has none of the 12 clips"):
        table_branch(clips, table=read_feature_table(other), use="video")


def test_sound_is_augmented_for_training_alone_and_known_again(tmp_path: Path) -> None:
    corpus = tiny_ravdess(tmp_path / "corpus", actors=(2,))
    one, two = sorted(corpus.rglob("*.wav"))[:2]
    two.write_bytes(one.read_bytes())
    clips = performances(read_corpus(corpus).examples)
    branch = speech_branch(
        clips,
        preset=PRESETS["mien"],
        config=SpeechConfig(),
        cache=FeatureCache(tmp_path / "cache"),
    )
    assert branch is not None
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
