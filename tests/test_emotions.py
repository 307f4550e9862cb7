import pytest

from mien import EMOTIONS
from mien.emotions import from_ravdess_code


def test_order_is_ravdess_order() -> None:
    expected = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
    assert list(EMOTIONS) == expected
    assert [from_ravdess_code(f"0{code}") for code in range(1, 9)] == expected


@pytest.mark.parametrize("code", ["00", "09", "1", "", "0٣"])
def test_other_codes_are_refused(code: str) -> None:
    with pytest.raises(ValueError, match="01 to 08"):
        from_ravdess_code(code)
