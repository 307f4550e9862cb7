import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mien.errors import InvalidArgument
from mien.fusion import fuse

vectors = arrays(np.float32, 8, elements=st.floats(0.015625, 1, width=32)).map(
    lambda values: values / values.sum()
)


@given(vectors, vectors)
def test_mean_of_two_is_a_probability_vector_between_them(
    audio: np.ndarray, video: np.ndarray
) -> None:
    fused = fuse(audio, video)
    assert fused is not None
    assert fused.sum() == pytest.approx(1, abs=1e-6)
    assert np.all(fused >= np.minimum(audio, video) - 1e-7)
    assert np.all(fused <= np.maximum(audio, video) + 1e-7)


@given(vectors)
def test_missing_branch_leaves_the_other(one: np.ndarray) -> None:
    for fused in (fuse(one, None), fuse(None, one), fuse(one)):
        np.testing.assert_array_equal(fused, one)


def test_tables_fuse_row_by_row() -> None:
    audio, video = np.eye(8, dtype=np.float32)[:2], np.eye(8, dtype=np.float32)[1:3]
    fused = fuse(audio, video)
    assert fused is not None
    np.testing.assert_array_equal(fused[0, :3], [0.5, 0.5, 0])
    np.testing.assert_array_equal(fused[1, :3], [0, 0.5, 0.5])


def test_different_shapes_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="one shape"):
        fuse(np.zeros(8, np.float32), np.zeros(7, np.float32))
