"""Nobody is trained on and tested; the same seed splits the same."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument, TrainingDataError
from mien.lab.corpora import Example
from mien.lab.leaks import find_leaks
from mien.lab.splits import PROTOCOLS, Split, make_folds, sample, set_aside, split_examples


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
        assert abs(found[emotion] - count * len(drawn) / max(len(examples), 1)) < 2


def test_a_sample_holds_the_same_share_of_each_part() -> None:
    examples = [clip(str(n), part="train" if n < 80 else "test") for n in range(100)]
    assert Counter(e.part for e in sample(examples, limit=10)) == {"train": 8, "test": 2}


def study(
    speakers: int, *, corpus: str = "made", statements: int = 2, files: int = 1
) -> list[Example]:
    """Make a corpus in which every speaker says every statement with every emotion, twice."""
    return [
        Example(
            key=f"{speaker:02d}-{emotion}-{statement}-{take}",
            emotion=emotion,
            corpus=corpus,
            path=Path(f"{corpus}/{speaker:02d}-{emotion}-{statement}-{take}.{file}"),
            speaker=f"{speaker:02d}",
            statement=f"{statement:02d}",
        )
        for speaker in range(1, speakers + 1)
        for emotion in ("sad", "happy", "calm")
        for statement in range(1, statements + 1)
        for take in range(2)
        for file in range(files)
    ]


RAVDESS = study(24, corpus="ravdess", files=2)


def spoken(examples: Iterable[Example]) -> set[str | None]:
    return {example.speaker for example in examples}


@given(
    protocol=st.sampled_from(["random80", "luna5", "emobox6", "loso24", "statement"]),
    speakers=st.sets(st.integers(1, 24), min_size=12),
    files=st.integers(1, 2),
    seed=st.integers(0, 3),
    chance=st.randoms(),
)
@settings(max_examples=40, deadline=None)
def test_folds_keep_their_promises(
    protocol: str, speakers: set[int], files: int, seed: int, chance: random.Random
) -> None:
    everyone = study(24, corpus="ravdess", files=files)
    examples = [e for e in everyone if int(e.speaker or 0) in speakers]
    folds = make_folds(examples, protocol=protocol, seed=seed)
    apart = PROTOCOLS[protocol].speakers_apart
    for fold in folds:
        assert fold.train
        assert fold.test
        assert {*fold.train, *fold.test} <= set(examples)
        assert not {e.key for e in fold.train} & {e.key for e in fold.test}
        assert not (apart and spoken(fold.train) & spoken(fold.test))
        assert find_leaks(fold, speakers_apart=apart) == []
    assert len({fold.name for fold in folds}) == len(folds)
    assert all(fold.name.replace("-", "").isdecimal() for fold in folds)
    tested = Counter(e for fold in folds for e in fold.test)
    if protocol == "random80":
        assert round(len(examples) * 0.2) <= len(tested) <= len(examples) * 0.2 + files
    else:
        assert tested == Counter(examples)
    shuffled = chance.sample(examples, len(examples))
    assert make_folds(shuffled, protocol=protocol, seed=seed) == folds


@pytest.mark.parametrize(
    ("protocol", "tested"),
    [
        ("luna5", ["02 05 14 15 16", "03 06 07 13 18", "10 11 12 19 20", "08 17 21 23 24",
                   "01 04 09 22"]),
        ("emobox6", ["01 11 20 21", "04 10 12 14", "08 09 19 23", "03 05 07 24", "02 15 16 18",
                     "06 13 17 22"]),
        ("loso24", [f"{actor:02d}" for actor in range(1, 25)]),
    ],
)  # fmt: skip
def test_published_folds(protocol: str, tested: list[str]) -> None:
    folds = make_folds(RAVDESS, protocol=protocol)
    assert [" ".join(sorted(map(str, spoken(fold.test)))) for fold in folds] == tested
    assert all(len(fold.train) + len(fold.test) == len(RAVDESS) for fold in folds)


def test_a_partial_copy_makes_smaller_folds_and_keeps_their_names() -> None:
    some = [e for e in RAVDESS if e.speaker in {"02", "05", "10", "01"}]
    folds = make_folds(some, protocol="luna5")
    assert [(fold.name, spoken(fold.test)) for fold in folds] == [
        ("1", {"02", "05"}),
        ("3", {"10"}),
        ("5", {"01"}),
    ]


def test_statements_are_tested_by_networks_that_never_met_them() -> None:
    folds = make_folds(RAVDESS, protocol="statement")
    assert [fold.name for fold in folds][:3] == ["1-1", "1-2", "2-1"]
    for fold in folds:
        assert len({e.statement for e in fold.test}) == 1
        assert not {e.statement for e in fold.train} & {e.statement for e in fold.test}
    # Half of what the actors of the other groups say.
    assert len(folds[0].train) == 19 * 12
    assert spoken(folds[0].test) == {"02", "05", "14", "15", "16"}


def test_statements_of_another_corpus_are_other_statements() -> None:
    folds = make_folds([*study(4), *study(4, corpus="other")], protocol="statement")
    for fold in folds:
        (corpus,) = {e.corpus for e in fold.test}
        other = {e.statement for e in fold.train if e.corpus != corpus}
        assert other == {"01", "02"}


@pytest.mark.parametrize(("speakers", "groups"), [(2, 2), (4, 4), (11, 5)])
def test_speakers_of_other_corpora_are_drawn_into_groups(speakers: int, groups: int) -> None:
    folds = make_folds(study(speakers), protocol="statement")
    tested = {frozenset(spoken(fold.test)) for fold in folds}
    assert len(tested) == groups
    assert {len(group) for group in tested} <= {speakers // groups, -(-speakers // groups)}


def test_another_seed_draws_other_clips_and_groups() -> None:
    for protocol in ("random80", "statement"):
        first = [
            frozenset(make_folds(study(11), protocol=protocol, seed=seed)[0].test)
            for seed in range(4)
        ]
        assert len(set(first)) > 1, protocol


def test_random_clips_are_of_each_emotion_alike() -> None:
    (fold,) = make_folds(study(10), protocol="random80")
    assert Counter(e.emotion for e in fold.test) == dict.fromkeys(("sad", "happy", "calm"), 8)


def test_speakers_of_equal_name_in_two_corpora_are_two() -> None:
    both = [*study(2), *study(2, corpus="other")]
    assert len(make_folds(both, protocol="loso24")) == 4


def test_parts_that_a_manifest_prescribes() -> None:
    examples = [clip(part, part=part) for part in ("test", "train", "validation")]
    (fold,) = make_folds(examples, protocol="manifest")
    assert [e.key for e in fold.train] == ["train", "validation"]
    assert [e.key for e in fold.test] == ["test"]


@pytest.mark.parametrize(
    ("examples", "protocol", "message"),
    [
        ([], "luna5", "luna5 needs clips, and there are none"),
        (study(1), "loso24", "at least two speakers, and all 12 clips are by 01"),
        (
            [*study(2), *(clip(f"{n}.wav") for n in range(5))],
            "loso24",
            r"5 of 29 clips name none: 0\.wav, 1\.wav, 2\.wav and 2 more; name the speakers",
        ),
        (study(2), "luna5", "actors of RAVDESS, and there are clips of made; use loso24"),
        (study(25, corpus="ravdess"), "emobox6", r"not those of ravdess/25-calm-1-0\.0, "),
        (
            [e for e in RAVDESS if e.speaker in {"02", "05"}],
            "luna5",
            "fold 1 of luna5 has 0 clips to train on and 48 to test",
        ),
        (study(3, statements=1), "statement", "at least two statements, and all say '01'"),
        ([*by_speakers(3)], "statement", "what each clip says, and does not of 00-0, 00-1, 00-2"),
        (study(1)[:6], "random80", "15 clips in all .* there are 6|at least two clips"),
        (
            [*study(3), clip("a", emotion="angry")],
            "random80",
            "at least two clips of each emotion, .* of angry 1; give more",
        ),
        (
            [*study(3), clip("a", "01", emotion="angry"), clip("b", "01", emotion="fearful")],
            "loso24",
            "fold 1 of loso24 tests angry, fearful without a clip of it to train on",
        ),
        (
            [clip("a", part="train"), clip("b"), clip("c")],
            "manifest",
            "2 of 3 have none: b, c; fill the column 'split'",
        ),
        ([clip("a", part="train")], "manifest", "1 clips to train on and 0 to test"),
        ([clip("a", part="test")], "manifest", "0 clips to train on and 1 to test"),
    ],
)
def test_what_a_protocol_cannot_divide(
    examples: list[Example], protocol: str, message: str
) -> None:
    with pytest.raises(TrainingDataError, match=message):
        make_folds(examples, protocol=protocol)


def test_an_unknown_protocol() -> None:
    with pytest.raises(InvalidArgument, match=r"one of random80, luna5, .*, not 'luna6'"):
        make_folds(study(2), protocol="luna6")


def test_protocols_are_named_and_described() -> None:
    assert all(name == rule.name and rule.description for name, rule in PROTOCOLS.items())
    apart = {name for name, rule in PROTOCOLS.items() if rule.speakers_apart}
    assert apart == {"luna5", "emobox6", "loso24", "statement"}


@given(examples=corpora(), share=st.floats(0.05, 0.9), seed=st.integers(0, 3), by=st.booleans())
def test_what_is_set_aside(examples: list[Example], share: float, seed: int, by: bool) -> None:
    examples = [replace(e, emotion=("sad", "happy")[len(e.key) % 2]) for e in examples]
    try:
        rest, taken = set_aside(examples, share=share, by_speaker=by, seed=seed)
    except TrainingDataError:
        return
    assert taken
    assert Counter([*rest, *taken]) == Counter(examples)
    assert not {e.key for e in rest} & {e.key for e in taken}
    assert {e.emotion for e in rest} == {e.emotion for e in examples}
    if by and len(spoken(examples) - {None}) >= 2:
        assert not (spoken(rest) & spoken(taken)) - {None}
    assert set_aside(examples, share=share, by_speaker=by, seed=seed) == (rest, taken)


def test_whole_speakers_are_set_aside() -> None:
    rest, taken = set_aside(study(20), share=0.15, by_speaker=True, seed=0)
    assert (len(spoken(rest)), len(spoken(taken))) == (17, 3)
    others = {
        frozenset(spoken(set_aside(study(20), share=0.15, by_speaker=True, seed=seed)[1]))
        for seed in range(4)
    }
    assert len(others) > 1


def test_the_only_speaker_of_an_emotion_is_not_set_aside() -> None:
    examples = [*study(3), clip("a", "02", emotion="angry")]
    for seed in range(8):
        _, taken = set_aside(examples, share=0.5, by_speaker=True, seed=seed)
        assert spoken(taken) <= {"01", "03"}


@pytest.mark.parametrize("by_speaker", [True, False])
def test_clips_are_set_aside_of_each_emotion_alike(by_speaker: bool) -> None:
    rest, taken = set_aside(study(1, statements=20), share=0.2, by_speaker=by_speaker, seed=0)
    assert Counter(e.emotion for e in taken) == dict.fromkeys(("sad", "happy", "calm"), 8)
    assert len(rest) == 96


@pytest.mark.parametrize(
    ("examples", "by_speaker"),
    [
        ([clip("a"), clip("b", emotion="happy")], False),
        ([clip("a", "01"), clip("b", "02", emotion="happy")], True),
    ],
)
def test_nothing_can_be_set_aside(examples: list[Example], by_speaker: bool) -> None:
    with pytest.raises(TrainingDataError, match="none of 2 clips can be set aside"):
        set_aside(examples, share=0.5, by_speaker=by_speaker, seed=0)


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_share_that_is_none(share: float) -> None:
    with pytest.raises(InvalidArgument, match="share must be between 0 and 1"):
        set_aside(study(2), share=share, by_speaker=True, seed=0)
