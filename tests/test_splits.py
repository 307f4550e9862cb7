"""Nobody is trained on and tested; the same seed splits the same."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.emotions import EMOTIONS
from mien.errors import TrainingDataError
from mien.lab.corpora import Example
from mien.lab.splits import Split, sample, split_examples


def clip(
    key: str, speaker: str | None = None, *, part: str | None = None, emotion: str = "sad"
) -> Example:
    return Example(
        key=key, emotion=emotion, corpus="made", path=Path(key), speaker=speaker, part=part
    )


def by_speakers(speakers: int, clips: int = 5) -> list[Example]:
    return [
        clip(f"{speaker:02d}-{number}", f"{speaker:02d}")
        for speaker in range(speakers)
        for number in range(clips)
    ]


def parts(split: Split) -> list[tuple[Example, ...]]:
    return [split.train, split.validation, split.test]


@st.composite
def corpora(draw: st.DrawFn) -> list[Example]:
    """Some performances twice, some speakers unnamed, some parts prescribed."""
    examples = []
    for number in range(draw(st.integers(4, 25))):
        speaker = draw(st.sampled_from([None, "01", "02", "03", "04"]))
        part = None if speaker else draw(st.sampled_from([None, "train", "validation", "test"]))
        twins = draw(st.integers(1, 2))
        examples += [clip(f"clip {number}", speaker, part=part)] * twins
    return examples


@given(examples=corpora(), seed=st.integers(0, 5), share=st.floats(0.05, 0.9))
def test_every_clip_is_in_one_part_and_so_is_its_speaker(
    examples: list[Example], seed: int, share: float
) -> None:
    tested = sorted({example.speaker for example in examples if example.speaker})[:1]
    options = {"test_speakers": tested, "validation_share": share, "seed": seed}
    try:
        split = split_examples(examples, **options)  # type: ignore[arg-type]
    except TrainingDataError:
        return
    assert Counter(e for part in parts(split) for e in part) == Counter(examples)
    for name in ("key", "speaker"):
        values = [{getattr(e, name) for e in part} - {None} for part in parts(split)]
        others = {e.speaker for e in examples if e.speaker not in tested} - {None}
        single = name == "speaker" and len(others) < 2
        assert single or sum(map(len, values)) == len(set().union(*values))
    assert {e.speaker for e in split.test if e.part is None} <= set(tested)
    assert not {e.speaker for e in (*split.train, *split.validation)} & set(tested)
    assert all({"train": 0, "validation": 1, "test": 2}[e.part] == place
               for place, part in enumerate(parts(split)) for e in part if e.part)  # fmt: skip
    assert split_examples(examples, **options) == split  # type: ignore[arg-type]


def test_test_speakers_are_tested_and_others_are_not() -> None:
    split = split_examples(by_speakers(10), test_speakers=["03", "07"])
    assert {e.speaker for e in split.test} == {"03", "07"}
    assert len(split.test) == 10
    # 15 % of the eight speakers who are left.
    assert len({e.speaker for e in split.validation}) == 1
    assert len({e.speaker for e in split.train}) == 7


def test_another_seed_draws_another_validation_part() -> None:
    drawn = {split_examples(by_speakers(10), seed=seed).validation for seed in range(8)}
    assert len(drawn) > 1


def test_the_files_of_one_performance_stay_together() -> None:
    # No speakers: each clip is drawn by itself, its twins with it.
    examples = [clip(str(number)) for number in range(20)] * 3
    for seed in range(5):
        split = split_examples(examples, validation_share=0.5, seed=seed)
        assert not {e.key for e in split.train} & {e.key for e in split.validation}
        assert len(split.train) == len(split.validation) == 30


def test_a_test_speaker_who_is_not_there() -> None:
    with pytest.raises(TrainingDataError, match=r"speakers 99 are not .* its speakers are 00, 01"):
        split_examples(by_speakers(2), test_speakers=["99", "01"])
    with pytest.raises(TrainingDataError, match="its speakers are not named"):
        split_examples([clip("a"), clip("b")], test_speakers=["99"])


@pytest.mark.parametrize("speaker", [None, "01"])
def test_without_several_speakers_single_clips_are_drawn(speaker: str | None) -> None:
    split = split_examples([clip(str(number), speaker) for number in range(20)])
    assert [len(part) for part in parts(split)] == [17, 3, 0]


def test_a_speaker_stays_whole_beside_clips_without_one() -> None:
    examples = [*by_speakers(4), *(clip(f"free {number}") for number in range(6))]
    for seed in range(10):
        split = split_examples(examples, validation_share=0.5, seed=seed)
        speakers = [{e.speaker for e in part} - {None} for part in parts(split)]
        assert not speakers[0] & speakers[1]


def test_a_corpus_keeps_the_parts_it_prescribes() -> None:
    examples = [
        clip(f"{part} {number}", part=part)
        for part, count in (("train", 5), ("validation", 2), ("test", 3))
        for number in range(count)
    ]
    split = split_examples(examples)
    assert [len(part) for part in parts(split)] == [5, 2, 3]
    assert {e.part for e in split.test} == {"test"}


@pytest.mark.parametrize(
    ("examples", "tested"), [([], []), (by_speakers(1, clips=1), []), (by_speakers(1), ["00"])]
)
def test_too_little_to_train_on(examples: list[Example], tested: list[str]) -> None:
    with pytest.raises(TrainingDataError, match="give more, or hold out fewer"):
        split_examples(examples, test_speakers=tested)


@given(
    counts=st.lists(st.integers(0, 30), min_size=8, max_size=8),
    limit=st.integers(1, 100),
    seed=st.integers(0, 3),
)
def test_a_sample_holds_the_same_share_of_each_emotion(
    counts: list[int], limit: int, seed: int
) -> None:
    examples = [
        clip(f"{emotion} {number}", emotion=emotion)
        for emotion, count in zip(EMOTIONS, counts, strict=True)
        for number in range(count)
    ]
    drawn = sample(examples, limit=limit, seed=seed)
    assert len(drawn) == min(limit, len(examples))
    assert drawn == [example for example in examples if example in drawn]
    assert drawn == sample(examples, limit=limit, seed=seed)
    found = Counter(example.emotion for example in drawn)
    for emotion, count in zip(EMOTIONS, counts, strict=True):
        assert abs(found[emotion] - count * len(drawn) / max(len(examples), 1)) <= 1


def test_a_sample_holds_the_same_share_of_each_part() -> None:
    examples = [clip(str(n), part="train" if n < 80 else "test") for n in range(100)]
    assert Counter(e.part for e in sample(examples, limit=10)) == {"train": 8, "test": 2}
