"""mien.joining: which rows meet, and which must not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.joining import join_tables
from mien.tables import PredictionTable

NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True)


def table(
    *clips: str, truth: tuple[str | None, ...] | None = None, seed: int = 0
) -> PredictionTable:
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(8), len(clips))
    return PredictionTable(clips=clips, probabilities=probabilities, truth=truth)


@given(NAMES, NAMES, NAMES)
def test_every_row_stands_at_its_clip(
    first: list[str], second: list[str], third: list[str]
) -> None:
    tables = [
        table(*clips, "shared", seed=seed) for seed, clips in enumerate((first, second, third))
    ]
    joined = join_tables(*tables)
    assert joined.clips == tuple(sorted({*first, *second, *third, "shared"}))
    for own, branch, lacking in zip(tables, joined.branches, joined.lacking, strict=True):
        assert branch.shape == (len(joined.clips), 8)
        assert lacking == len(joined.clips) - len(own.clips)
        for clip, row in zip(joined.clips, branch, strict=True):
            if clip in own.clips:
                np.testing.assert_array_equal(row, own.probabilities[own.clips.index(clip)])
            else:
                assert np.isnan(row).all()


def test_files_of_a_performance_meet() -> None:
    audio = table("03-01-05-01-02-01-12.wav", "03-01-01-01-01-01-01.wav")
    video = table("/data/02-01-01-01-01-01-01.mp4", "01-05-01-02-01-12", seed=1)
    joined = join_tables(audio, video)
    assert joined.clips == ("01-01-01-01-01-01", "01-05-01-02-01-12")
    np.testing.assert_array_equal(joined.branches[0], audio.probabilities[::-1])
    np.testing.assert_array_equal(joined.branches[1], video.probabilities)
    assert joined.truth == ("neutral", "angry")
    assert joined.lacking == (0, 0)


def test_one_table_is_joined_with_nothing() -> None:
    joined = join_tables(table("b", "a"))
    assert (joined.clips, joined.truth, joined.lacking) == (("a", "b"), (None, None), (0,))


def test_truth_of_one_table_is_that_of_all() -> None:
    joined = join_tables(table("a", "b", truth=("sad", None)), table("a", "b"))
    assert joined.truth == ("sad", None)


def test_a_told_truth_counts_more_than_a_name() -> None:
    # Somebody may have asked listeners instead of believing the actor.
    joined = join_tables(table("03-01-05-01-02-01-12.wav", truth=("sad",)))
    assert joined.truth == ("sad",)


def test_truths_that_differ_are_refused_by_clip() -> None:
    names = tuple("abcdefgh")
    first, second = table(*names, truth=EMOTIONS), table(*names, truth=("calm", *EMOTIONS[1:]))
    with pytest.raises(InvalidArgument, match="differ on the truth of 1 clips: a; correct"):
        join_tables(first, second)
    turned = table(*names, truth=EMOTIONS[::-1])
    with pytest.raises(InvalidArgument, match="of 8 clips: a, b, c, d, e, …; correct"):
        join_tables(first, turned)


def test_two_rows_of_one_performance_are_refused() -> None:
    twins = table("01-01-05-01-02-01-12.mp4", "03-01-05-01-02-01-12.wav")
    with pytest.raises(
        InvalidArgument,
        match=r"table 2: 01-01-05.*mp4 and 03-01-05.*wav are both of the performance 01-05-01",
    ):
        join_tables(table("03-01-05-01-02-01-12.wav"), twins)


def test_tables_that_share_no_clip_are_refused() -> None:
    with pytest.raises(
        InvalidArgument, match=r"table 1 shares no clip .*: a\.mp4, b\.mp4 there, x/a\.mp4 else"
    ):
        join_tables(table("a.mp4", "b.mp4"), table("x/a.mp4"))
    with pytest.raises(InvalidArgument, match="table 3 shares no clip"):
        join_tables(table("a", "b"), table("a", "b"), table("c"))
