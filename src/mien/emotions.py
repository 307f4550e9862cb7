"""The eight emotions: the one definition of their names, their order and their RAVDESS codes."""

EMOTIONS: tuple[str, ...] = (
    "neutral",
    "calm",
    "happy",
    "sad",
    "angry",
    "fearful",
    "disgust",
    "surprised",
)
"""Order of every probability vector in mien. RAVDESS numbers the same order from 01 to 08."""


def from_ravdess_code(code: str) -> str:
    """Name the emotion of a RAVDESS code, the third field of a RAVDESS file name.

    Args:
        code: ``"01"`` to ``"08"``.

    Raises:
        ValueError: the code is none of the eight.

    Source: Livingstone & Russo 2018, doi:10.1371/journal.pone.0196391.

    >>> from_ravdess_code("03")
    'happy'
    """
    if code not in {f"{number:02d}" for number in range(1, len(EMOTIONS) + 1)}:
        raise ValueError(f"code must be 01 to {len(EMOTIONS):02d}, not {code!r}")
    return EMOTIONS[int(code) - 1]
