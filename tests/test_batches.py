"""Batches come the same again, and hold each clip once."""

import itertools

import mien.lab  # noqa: F401

# Keras reads its backend at import, so mien.lab, which chooses it, comes first.
# isort: split
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import InvalidArgument
from mien.lab.batches import Arrays, Batches


def numbered(examples: int) -> Arrays:
    return Arrays(np.arange(examples)[:, None], np.arange(examples)[:, None] * 10)


def epoch_of(batches: Batches) -> list[list[int]]:
    seen = [batches[place] for place in range(len(batches))]
    assert all((wanted == inputs * 10).all() for inputs, wanted in seen)
    return [inputs[:, 0].tolist() for inputs, _ in seen]


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 3))
def test_an_epoch_has_each_example_once(examples: int, size: int, seed: int) -> None:
    batches = Batches(numbered(examples), batch_size=size, seed=seed)
    for _ in range(2):
        epoch = epoch_of(batches)
        assert sorted(itertools.chain(*epoch)) == list(range(examples))
        assert [len(batch) for batch in epoch[:-1]] == [size] * (len(epoch) - 1)
        assert 1 <= len(epoch[-1]) <= size
        batches.on_epoch_end()


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 5), st.integers(0, 3))
def test_an_epoch_sees_one_variant_of_each_clip(
    clips: int, size: int, variants: int, seed: int
) -> None:
    batches = Batches(numbered(clips * variants), batch_size=size, seed=seed, variants=variants)
    for _ in range(2):
        rows = [row for batch in epoch_of(batches) for row in batch]
        assert sorted(row // variants for row in rows) == list(range(clips))
        assert len(batches) == -(-clips // size)
        batches.on_epoch_end()


def test_batches_as_used_hold_clips_as_they_are() -> None:
    batches = Batches(
        numbered(12), batch_size=2, seed=1, variants=3, augment=lambda inputs, _: -inputs
    )
    rows = [row for batch in epoch_of(batches.as_used()) for row in batch]
    assert sorted(rows) == [0, 3, 6, 9]


@pytest.mark.parametrize("as_is", [0.0, 0.7, 1.0])
def test_so_many_clips_are_seen_as_they_are_and_the_others_alike(as_is: float) -> None:
    batches = Batches(numbered(4000), batch_size=100, seed=1, variants=4, as_is=as_is)
    drawn = np.concatenate(epoch_of(batches)) % 4
    shares = [as_is, *[(1 - as_is) / 3] * 3]
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 1000, shares, atol=0.04)


def test_variants_are_drawn_alike_and_anew_each_epoch() -> None:
    batches = Batches(numbered(400), batch_size=16, seed=1, variants=4)
    drawn = []
    for epoch in range(40):
        batches.epoch = epoch
        rows = np.sort(np.concatenate(epoch_of(batches)))
        drawn.append(rows % 4)
    shares = np.mean(np.array(drawn)[..., None] == np.arange(4), axis=(0, 1))
    np.testing.assert_allclose(shares, 0.25, atol=0.03)
    # What a clip was heard as in one epoch says nothing of the next.
    same = np.mean(np.array(drawn[:-1]) == np.array(drawn[1:]))
    assert same == pytest.approx(0.25, abs=0.04)


def test_the_order_without_variants_is_numpys_permutation() -> None:
    batches = Batches(numbered(20), batch_size=6, seed=1)
    for epoch in range(2):
        batches.epoch = epoch
        expected = np.random.default_rng([1, epoch]).permutation(20).tolist()
        assert list(itertools.chain(*epoch_of(batches))) == expected


def test_the_order_depends_on_the_seed_and_the_epoch_alone() -> None:
    first, second = (Batches(numbered(20), batch_size=6, seed=1) for _ in range(2))
    one = epoch_of(first)
    assert [len(batch) for batch in one] == [6, 6, 6, 2]
    first.on_epoch_end()
    two = epoch_of(first)
    assert two != one
    second.epoch = 1
    assert epoch_of(second) == two
    assert epoch_of(Batches(numbered(20), batch_size=6, seed=2)) != one


def test_augmentation_is_drawn_anew_each_epoch_and_again_the_same() -> None:
    def shake(inputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return inputs + rng.random(inputs.shape)

    arrays = Arrays(np.zeros((4, 1)), np.zeros((4, 1)))
    batches = Batches(arrays, batch_size=2, seed=1, augment=shake)
    drawn = []
    for epoch in (0, 0, 1):
        batches.epoch = epoch
        drawn.append(np.concatenate([batches[place][0] for place in (1, 0)]).tolist())
    assert drawn[0] == drawn[1] != drawn[2]
    assert len({value for values in drawn[1:] for (value,) in values}) == 8


@pytest.mark.parametrize("as_is", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(as_is: float) -> None:
    with pytest.raises(InvalidArgument, match="as_is must be a probability"):
        Batches(numbered(8), batch_size=2, seed=1, variants=4, as_is=as_is)
