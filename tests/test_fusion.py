"""mien.fusion: the mean, its relatives, and temperatures."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from mien.errors import InvalidArgument
from mien.fusion import FLOOR, METHODS, fuse, temper

vectors = arrays(np.float32, 8, elements=st.floats(0.015625, 1, width=32)).map(
    lambda values: values / values.sum()
)
methods = st.sampled_from(METHODS)


def options(method: str, *weights: float) -> Any:
    """Weights for the method that takes them."""
    return {"method": method, "weights": weights if method == "weighted" else None}


@given(vectors, vectors)
def test_mean_of_two_is_a_probability_vector_between_them(
    audio: np.ndarray, video: np.ndarray
) -> None:
    fused = fuse(audio, video)
    assert fused is not None
    assert fused.sum() == pytest.approx(1, abs=1e-6)
    assert np.all(fused >= np.minimum(audio, video) - 1e-7)
    assert np.all(fused <= np.maximum(audio, video) + 1e-7)


@given(vectors, vectors, methods)
def test_every_fusion_is_a_probability_vector_of_the_same_type(
    audio: np.ndarray, video: np.ndarray, method: str
) -> None:
    fused = fuse(audio, video, **options(method, 0.3, 0.7))
    assert fused.dtype == np.float32
    assert fused.sum() == pytest.approx(1, abs=1e-6)
    assert np.all(fused > 0)
    again = fuse(video, audio, **options(method, 0.7, 0.3))
    np.testing.assert_allclose(fused, again, rtol=1e-6)


@given(vectors, methods)
def test_missing_branch_leaves_the_other(one: np.ndarray, method: str) -> None:
    out = np.full_like(one, np.nan)
    for fused in (
        fuse(one, None, **options(method, 0.3, 0.7)),
        fuse(None, one, **options(method, 0.3, 0.7)),
        fuse(one, out, **options(method, 0.3, 0.7)),
        fuse(one, **options(method, 2)),
        # Those who answered have no weight: still they are all there is.
        fuse(one, out, **options(method, 0, 1)),
    ):
        assert fused is not None
        np.testing.assert_allclose(fused, one, rtol=1e-6)


@given(vectors)
def test_missing_branch_leaves_the_other_bit_by_bit(one: np.ndarray) -> None:
    for fused in (fuse(one, None), fuse(None, one), fuse(one)):
        np.testing.assert_array_equal(fused, one)


@pytest.mark.parametrize("method", METHODS)
def test_without_any_branch_there_is_no_answer(method: str) -> None:
    assert fuse(None, None, **options(method, 1, 1)) is None
    out = np.full((2, 8), np.nan)
    assert np.isnan(fuse(out, out, **options(method, 1, 1))).all()


def test_tables_fuse_row_by_row() -> None:
    audio, video = np.eye(8, dtype=np.float32)[:2], np.eye(8, dtype=np.float32)[1:3]
    fused = fuse(audio, video)
    np.testing.assert_array_equal(fused[0, :3], [0.5, 0.5, 0])
    np.testing.assert_array_equal(fused[1, :3], [0, 0.5, 0.5])


def test_weights_count_in_their_proportion() -> None:
    audio, video = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    for weights in ([0.2, 0.8], [1, 4], [20.0, 80.0], [1e-320, 4e-320]):
        fused = fuse(audio, video, method="weighted", weights=weights)
        np.testing.assert_allclose(fused, [0.2, 0.8], rtol=1e-3)
    np.testing.assert_array_equal(fuse(audio, video, method="weighted", weights=[1, 0]), audio)


def test_a_missing_branch_s_weight_goes_to_the_others_in_their_proportion() -> None:
    first, second, third = np.eye(3)
    single = fuse(first, None, third, method="weighted", weights=[0.2, 0.5, 0.3])
    assert single is not None
    np.testing.assert_allclose(single, [0.4, 0, 0.6])
    # Row by row: here the second branch is out for the second clip alone.
    out = np.full(3, np.nan)
    fused = fuse(
        np.stack([first, first]),
        np.stack([second, out]),
        np.stack([third, third]),
        method="weighted",
        weights=[0.2, 0.5, 0.3],
    )
    np.testing.assert_allclose(fused, [[0.2, 0.5, 0.3], [0.4, 0, 0.6]])


def test_log_average_by_hand() -> None:
    audio, video = np.array([0.9, 0.1]), np.array([0.2, 0.8])
    roots = np.sqrt(audio * video)
    np.testing.assert_allclose(
        fuse(audio, video, method="log_average"), roots / roots.sum(), rtol=1e-12
    )


def test_a_zero_does_not_overrule_the_other_branch() -> None:
    fused = fuse(np.array([0.0, 1.0]), np.array([1.0, 0.0]), method="log_average")
    np.testing.assert_allclose(fused, [0.5, 0.5])
    fused = fuse(np.array([0.0, 1.0]), np.array([0.5, 0.5]), method="log_average")
    np.testing.assert_allclose(fused[0] / fused[1], np.sqrt(FLOOR), rtol=1e-9)


@given(vectors, st.floats(0.05, 20))
def test_tempered_is_the_softmax_of_logits_over_the_temperature(
    one: np.ndarray, temperature: float
) -> None:
    tempered = temper(one, temperature)
    assert tempered.dtype == one.dtype
    expected = softmax(np.log(one.astype(float)) / temperature)
    np.testing.assert_allclose(tempered, expected, rtol=1e-5, atol=1e-30)
    assert tempered.sum() == pytest.approx(1, abs=1e-6)
    if temperature >= 1:
        assert tempered.max() <= one.max() + 1e-6
    else:
        assert tempered.max() >= one.max() - 1e-6


@given(vectors)
def test_temperature_1_changes_nothing(one: np.ndarray) -> None:
    np.testing.assert_allclose(temper(one, 1), one, rtol=1e-6)


def test_tables_are_tempered_row_by_row_and_what_is_out_stays_out() -> None:
    table = np.array([[0.8, 0.2], [np.nan, np.nan], [0.0, 1.0]])
    tempered = temper(table, 2.0)
    np.testing.assert_allclose(tempered[0], [2 / 3, 1 / 3])
    assert np.isnan(tempered[1]).all()
    assert 0 < tempered[2, 0] < 1e-3


def test_tempering_is_stable_where_powers_would_vanish() -> None:
    np.testing.assert_allclose(temper(np.full(8, 1 / 8), 1e-4), 1 / 8)


@pytest.mark.parametrize("temperature", [0, -1, np.nan, np.inf])
def test_what_is_no_temperature_is_refused(temperature: float) -> None:
    with pytest.raises(InvalidArgument, match="temperature must be above 0 and finite, not"):
        temper(np.full(8, 1 / 8), temperature)


def test_different_shapes_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="one shape"):
        fuse(np.zeros(8, np.float32), np.zeros(7, np.float32))


def test_an_unknown_method_lists_the_choices() -> None:
    with pytest.raises(InvalidArgument, match="one of average, weighted, log_average, not 'mean'"):
        fuse(np.eye(8)[0], method="mean")


@pytest.mark.parametrize("weights", [[1], [1, 1, 1], [-1, 2], [np.nan, 1], [np.inf, 1], [[1, 1]]])
def test_weights_that_do_not_fit_are_refused(weights: Any) -> None:
    with pytest.raises(InvalidArgument, match="weights must be 2 numbers of 0 or more"):
        fuse(np.eye(8)[0], np.eye(8)[1], method="weighted", weights=weights)


def test_weights_that_are_all_0_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="must not all be 0"):
        fuse(np.eye(8)[0], np.eye(8)[1], method="weighted", weights=[0, 0])


@pytest.mark.parametrize(
    ("method", "weights"), [("average", [1, 1]), ("log_average", [1, 1]), ("weighted", None)]
)
def test_weights_belong_to_one_method(method: str, weights: Any) -> None:
    with pytest.raises(InvalidArgument, match="weights belong to the method weighted"):
        fuse(np.eye(8)[0], np.eye(8)[1], method=method, weights=weights)


@pytest.mark.parametrize("wrong", [-0.1, np.inf, np.nan])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    branch = np.full(8, 1 / 8)
    branch[2] = wrong
    with pytest.raises(InvalidArgument, match="some numbers are negative or not finite"):
        fuse(branch, np.full(8, 1 / 8))
