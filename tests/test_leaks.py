"""Each kind of leak is found, and nothing else is."""

from pathlib import Path

import numpy as np
import pytest

from mien.errors import LeakError
from mien.lab.corpora import Example
from mien.lab.leaks import SENTENCES, Leak, find_leaks, refuse_leaks
from mien.lab.splits import Fold


def clip(name: str, *, key: str | None = None, speaker: str | None = None) -> Example:
    return Example(key=key or name, emotion="sad", corpus="made", path=Path(name), speaker=speaker)


def fold(test: list[Example], train: list[Example]) -> Fold:
    return Fold(name="1", train=tuple(train), test=tuple(test))


def voice(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=5_984).astype(np.float32)


def kinds(leaks: list[Leak]) -> list[tuple[str, str, str]]:
    return [(leak.kind, leak.test, leak.train) for leak in leaks]


CLEAN = fold([clip("a", speaker="01"), clip("b")], [clip("c", speaker="02"), clip("d")])
CONTENTS = {name: name * 8 for name in "abcd"}
SPEECH = {name: voice(seed) for seed, name in enumerate("abcd")}


def test_nothing_leaks() -> None:
    found = find_leaks(
        CLEAN, speakers_apart=True, sounds=CONTENTS, pictures=CONTENTS, speech=SPEECH
    )
    assert found == []
    refuse_leaks(found)


def test_the_twin_of_a_tested_clip() -> None:
    twins = fold([clip("03-a.wav", key="a"), clip("b")], [clip("01-a.mp4", key="a"), clip("c")])
    assert kinds(find_leaks(twins, speakers_apart=False)) == [("key", "03-a.wav", "01-a.mp4")]


def test_a_key_of_another_corpus_is_another_performance() -> None:
    other = Example(key="a", emotion="sad", corpus="other", path=Path("x"))
    assert find_leaks(fold([clip("a")], [other]), speakers_apart=False) == []


@pytest.mark.parametrize(("kind", "what"), [("sound", "sounds"), ("picture", "pictures")])
def test_equal_content(kind: str, what: str) -> None:
    contents = {**CONTENTS, "d": CONTENTS["a"]}
    found = find_leaks(CLEAN, speakers_apart=True, **{what: contents})  # type: ignore[arg-type]
    assert kinds(found) == [(kind, "a", "d")]


def test_files_of_unknown_content_are_not_equal() -> None:
    assert find_leaks(CLEAN, speakers_apart=False, sounds={"a": "x"}, speech={"c": voice(0)}) == []


def test_a_copy_of_a_tested_clip() -> None:
    louder = SPEECH["b"].copy()
    louder[272:544] *= 2
    found = find_leaks(CLEAN, speakers_apart=True, speech={**SPEECH, "c": louder})
    assert kinds(found) == [("copy", "b", "c")]


def test_a_speaker_on_both_sides_where_that_is_forbidden() -> None:
    same = fold(
        [clip("a", speaker="01"), clip("b", speaker="01")],
        [clip("c", speaker="01"), clip("d", speaker="02")],
    )
    assert kinds(find_leaks(same, speakers_apart=True)) == [("speaker", "a", "c")]
    assert find_leaks(same, speakers_apart=False) == []


def test_a_speaker_of_equal_name_in_another_corpus_is_another() -> None:
    other = Example(key="b", emotion="sad", corpus="other", path=Path("b"), speaker="01")
    assert find_leaks(fold([clip("a", speaker="01")], [other]), speakers_apart=True) == []


def test_a_pair_is_named_once_and_its_other_leaks_all_the_same() -> None:
    twins = fold([clip("a1", key="a")], [clip("a2", key="a"), clip("x"), clip("y")])
    found = find_leaks(
        twins,
        speakers_apart=False,
        sounds=dict.fromkeys(["a1", "a2", "x"], "same"),
        pictures=dict.fromkeys(["a1", "y"], "same"),
        speech=dict.fromkeys(["a1", "a2", "x", "y"], voice(0)),
    )
    # The copies are those three files again.
    assert kinds(found) == [("key", "a1", "a2"), ("sound", "a1", "x"), ("picture", "a1", "y")]


def test_one_leak_a_tested_clip() -> None:
    silent = fold([clip(f"t{n}") for n in range(3)], [clip(f"s{n}") for n in range(5)])
    titles = [e.title for e in (*silent.test, *silent.train)]
    found = find_leaks(silent, speakers_apart=False, sounds=dict.fromkeys(titles, "silence"))
    assert kinds(found) == [("sound", f"t{n}", "s0") for n in range(3)]


def test_a_refusal_names_ten_and_counts_the_others() -> None:
    leaks = [Leak(kind="key", test=f"test {n}.", train=f"train {n}.") for n in range(13)]
    with pytest.raises(LeakError) as refusal:
        refuse_leaks(leaks)
    message = str(refusal.value)
    assert all(f"test {n}." in message and f"train {n}." in message for n in range(10))
    assert "test 10." not in message
    assert "and 3 more" in message
    assert "--allow-leak WHY" in message
    with pytest.raises(LeakError) as refusal:
        refuse_leaks(leaks[:10])
    assert "more" not in str(refusal.value).replace("performance", "")


@pytest.mark.parametrize("kind", SENTENCES)
def test_a_leak_is_a_sentence_that_names_both_clips(kind: str) -> None:
    sentence = str(Leak(kind=kind, test="a.wav", train="b.wav"))
    assert "a.wav is tested" in sentence
    assert sentence.endswith("trained on: b.wav")
