from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.config import SpeechConfig
from mien.emotions import EMOTIONS
from mien.lab import crossfit
from mien.lab.answers import Answers
from mien.lab.batches import Arrays
from mien.lab.corpora import Example
from mien.lab.crossfit import cross_fit, fold_numbers
from mien.lab.dataset import Loaded
from mien.lab.fit import Recipe
from mien.lab.presets import TABLE, Design


def clip(number: int, *, speaker: str | None, corpus: str = "mine") -> Example:
    return Example(
        key=f"{number}",
        emotion=EMOTIONS[number % 8],
        corpus=corpus,
        path=Path(f"{number}.wav"),
        speaker=speaker,
        has_sound=True,
    )


def loaded(examples: list[Example], *, variants: int = 1) -> Loaded:
    """Number each row: clip + variant / 10."""
    inputs = np.array([[n + v / 10] for n in range(len(examples)) for v in range(variants)])
    targets = np.repeat(np.eye(8)[[n % 8 for n in range(len(examples))]], variants, axis=0)
    return Loaded(tuple(examples), Arrays(inputs, targets), excluded=())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Answer with the number of the fold, and note what was trained on and asked."""
    calls: list[dict[str, Any]] = []

    def answer(build: Any, batches: Any, *, asked: np.ndarray, **rest: Any) -> Answers:
        calls.append({"build": build, "batches": batches, "asked": asked, **rest})
        number = len(calls) / 10
        return Answers(
            probabilities=np.full((len(asked), 8), number),
            network="table",
            parameters=1,
            epoch=1,
            history=[],
        )

    monkeypatch.setattr(crossfit, "train_and_ask", answer)
    return calls


def fitted(clips: Loaded, folder: Path, **changes: Any) -> Any:
    given: dict[str, Any] = {"design": TABLE, "recipe": Recipe(epochs=1), "seed": 0}
    return cross_fit(clips, folder=folder, resume=False, **given | changes)


def test_each_speaker_is_asked_of_a_network_that_never_met_them(
    asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    speakers = [f"speaker {n % 7}" for n in range(28)]
    examples = [clip(n, speaker=speaker) for n, speaker in enumerate(speakers)]
    found = fitted(loaded(examples, variants=4), tmp_path, recipe=Recipe(variants="one"))
    assert len(asked) == 5
    for call in asked:
        tested = {speakers[round(row)] for row in call["asked"][:, 0]}
        trained = {speakers[int(row)] for row in call["batches"].arrays.inputs[:, 0]}
        assert tested.isdisjoint(trained)
        assert tested | trained == set(speakers)
        # Asked about the clips as they are, trained on all their variants, one an epoch.
        assert (call["asked"] % 1 == 0).all()
        assert call["batches"].variants == 4
        assert len(call["batches"].arrays.inputs) == 4 * (28 - len(call["asked"]))
        assert call["validation"] is None
    assert sorted(np.concatenate([call["asked"][:, 0] for call in asked])) == list(range(28))
    assert len({call["folder"] for call in asked}) == 5
    # Every clip has the answer of its own fold's network.
    for number, call in enumerate(asked, 1):
        places = call["asked"][:, 0].astype(int)
        assert (found.probabilities[places] == number / 10).all()
        assert len(set(found.folds[places])) == 1
    assert found.examples == tuple(examples)


def test_all_variants_are_rows_of_their_own_where_the_recipe_takes_all(
    asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    fitted(loaded([clip(n, speaker=str(n)) for n in range(10)], variants=4), tmp_path)
    assert {call["batches"].variants for call in asked} == {1}


def test_where_nobody_is_named_whole_performances_are_apart(
    asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    twins = [clip(n // 2, speaker=None) for n in range(20)]
    folds = fold_numbers(twins, seed=0)
    assert (folds[::2] == folds[1::2]).all()
    assert len(set(folds.tolist())) == 5


def test_one_speaker_s_performances_are_apart() -> None:
    assert len(set(fold_numbers([clip(n, speaker="Ann") for n in range(9)], seed=0).tolist())) == 5


def test_ravdess_s_speakers_are_grouped_as_published() -> None:
    actors = [clip(n, speaker=f"{n:02d}", corpus="ravdess") for n in range(1, 25)]
    folds = dict(zip(range(1, 25), fold_numbers(actors, seed=3).tolist(), strict=True))
    assert [actor for actor, fold in folds.items() if fold == 5] == [1, 4, 9, 22]


@pytest.mark.parametrize("actors", [[1], [2, 5, 14], [1, 2]])
def test_a_few_of_ravdess_s_actors_are_parted_too(actors: list[int]) -> None:
    """Also those of one published group, who would else all be in one fold."""
    clips = [
        clip(number, speaker=f"{actors[number % len(actors)]:02d}", corpus="ravdess")
        for number in range(30)
    ]
    folds = fold_numbers(clips, seed=0)
    assert len(set(folds.tolist())) > 1
    if len(actors) > 1:
        of = {actor: set(folds[n :: len(actors)].tolist()) for n, actor in enumerate(actors)}
        assert all(len(found) == 1 for found in of.values())


def test_a_clip_of_nobody_leaves_the_speakers_apart() -> None:
    named = [clip(n, speaker=f"speaker {n % 10}") for n in range(200)]
    folds = fold_numbers([*named, clip(200, speaker=None)], seed=0)
    assert len(set(folds.tolist())) == 5
    for speaker in range(10):
        assert len(set(folds[:200][speaker::10].tolist())) == 1


def test_one_clip_has_no_unseen_answer(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    found = fitted(loaded([clip(0, speaker="Ann")]), tmp_path)
    assert not asked
    assert (len(found.examples), found.probabilities.shape, found.folds.shape) == (0, (0, 8), (0,))


@pytest.mark.slow
def test_a_network_is_really_trained_and_answers_are_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(0)
    examples = [clip(n, speaker=str(n // 8 % 4)) for n in range(64)]
    targets = np.eye(8)[[n % 8 for n in range(64)]]
    inputs = (targets + 0.05 * chance.normal(size=targets.shape)).astype(np.float32)
    clips = Loaded(tuple(examples), Arrays(inputs, targets), excluded=())
    design = Design(name="t", trunk=TABLE.trunk, head=TABLE.head, recipe=TABLE.recipe)
    run = partial(
        cross_fit,
        clips,
        design=design,
        recipe=Recipe(epochs=60, learning_rate=1e-2),
        seed=0,
        folder=tmp_path,
    )
    found = run(resume=False)
    assert (found.probabilities.argmax(axis=1) == targets.argmax(axis=1)).mean() > 0.9
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)
    monkeypatch.setattr("mien.lab.answers.fit", None)
    np.testing.assert_array_equal(run(resume=True).probabilities, found.probabilities)


def test_the_voice_of_a_preset_can_be_cross_fitted() -> None:
    from mien.lab.presets import PRESETS

    for preset in PRESETS.values():
        if preset.calibrated:
            assert preset.audio(SpeechConfig()).recipe.keep == "last"


@pytest.mark.parametrize(("variants", "every"), [("all", 1), ("one", 3)])
def test_networks_are_standardised_by_what_their_own_fold_trains_on(
    variants: Any, every: int, asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    given: list[np.ndarray] = []

    def trunk(features: Any, training: np.ndarray) -> Any:
        given.append(training)
        return TABLE.trunk(features, training)

    clips = loaded([clip(n, speaker=str(n % 3)) for n in range(24)], variants=3)
    recipe = Recipe(epochs=1, variants=variants)
    fitted(clips, tmp_path, design=replace(TABLE, trunk=trunk), recipe=recipe)
    for call in asked:
        call["build"]()
        np.testing.assert_array_equal(given.pop(), call["batches"].arrays.inputs[::every])
