"""One colour an emotion, the same in every picture that mien draws.

Okabe & Ito 2008, which people with any colour vision tell apart; grey stands for their black, which
a dark page would swallow. Wherever the colours are used, a name or a pattern stands beside them.
"""

from mien.emotions import EMOTIONS

EMOTION_COLOURS: dict[str, str] = dict(
    zip(
        EMOTIONS,
        (
            *("#7f7f7f", "#56b4e9", "#f0e442", "#0072b2"),
            *("#d55e00", "#cc79a7", "#009e73", "#e69f00"),
        ),
        strict=True,
    )
)
"""Emotion → colour, as in CSS."""


def rgb(colour: str) -> tuple[int, int, int]:
    """Give red, green and blue, 0 to 255, of a colour as CSS writes it.

    >>> rgb(EMOTION_COLOURS["angry"])
    (213, 94, 0)
    """
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
