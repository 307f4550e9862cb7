"""mien.lab.wording: numbers that are there, and numbers that are not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.lab.wording import (
    count,
    decimal,
    decimal_interval,
    described,
    finite_ends,
    listed,
    p_value,
    percent,
    percent_interval,
    signed,
)

MISSING = (None, math.nan, math.inf)


@pytest.mark.parametrize("value", MISSING)
def test_a_number_that_is_missing(value: float | None) -> None:
    assert [write(value) for write in (percent, decimal, signed, count)] == ["-"] * 4
    assert p_value(value) == "not tested"


@pytest.mark.parametrize("bounds", [None, [], [0.5], [None, 0.5], [0.5, math.nan], [0.1, 0.2, 0.3]])
def test_an_interval_that_is_missing(bounds: list[float | None] | None) -> None:
    assert finite_ends(bounds) is None
    assert percent_interval(bounds) == decimal_interval(bounds) == ""


@given(st.floats(0, 1))
def test_percent_keeps_a_tenth_of_a_point_and_never_breaks(share: float) -> None:
    assert float(percent(share).split()[0]) == pytest.approx(100 * share, abs=0.0501)
    assert " " not in percent(share)


@given(st.floats(0, 1))
def test_p_is_never_written_as_zero(p: float) -> None:
    _, sign, value = p_value(p).split()
    assert float(value) > 0
    assert (sign == "<") == (p < 0.001)


@pytest.mark.parametrize(
    ("parts", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_lists(parts: list[str], text: str) -> None:
    assert listed(parts) == text


def test_settings_in_settings() -> None:
    assert described(
        {"weighted": {"audio": 0.45, "used": True}, "seeds": [0, 1], "limit": None}
    ) == ("weighted audio 0.45, used yes, seeds 0, 1, limit none")
