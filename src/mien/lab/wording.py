"""Scores, times and settings as a report writes them."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TypeGuard

SPACE = "\N{NO-BREAK SPACE}"
"""Between a number and its unit, which a line break must not part."""

Bounds = Sequence[float | None] | None


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a number, and neither None nor NaN.

    >>> is_number(0.5), is_number(float("nan"))
    (True, False)
    """
    return isinstance(value, int | float) and math.isfinite(value)


def percent(share: float | None) -> str:
    """Write a share as percent; a dash where there is none.

    >>> percent(0.8312).split(), percent(None)
    (['83.1', '%'], '-')
    """
    return f"{100 * share:.1f}{SPACE}%" if is_number(share) else "-"


def percent_interval(bounds: Bounds) -> str:
    """Write an interval of a share in percent; nothing where there is none.

    >>> percent_interval([0.8, 0.86]), percent_interval(None)
    ('80.0 to 86.0', '')
    """
    ends = finite_ends(bounds)
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}" if ends else ""


def decimal(value: float | None) -> str:
    """Write a number with three decimals; a dash where there is none.

    >>> decimal(0.04961), decimal(None)
    ('0.050', '-')
    """
    return f"{value:.3f}" if is_number(value) else "-"


def decimal_interval(bounds: Bounds) -> str:
    """Write an interval with three decimals; nothing where there is none.

    >>> decimal_interval([0.04, 0.06]), decimal_interval(None)
    ('0.040 to 0.060', '')
    """
    ends = finite_ends(bounds)
    return f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else ""


def finite_ends(bounds: Bounds) -> tuple[float, float] | None:
    """Give the ends of an interval; None where one is missing.

    >>> finite_ends([0.4, 0.6]), finite_ends([None, 0.6])
    ((0.4, 0.6), None)
    """
    ends = [end for end in bounds or () if is_number(end)]
    return (ends[0], ends[1]) if len(ends) == 2 else None


def signed(difference: float | None) -> str:
    """Write a difference of shares in percentage points, with its sign.

    >>> signed(0.083), signed(-0.004), signed(None)
    ('+8.3', '-0.4', '-')
    """
    return f"{100 * difference:+.1f}" if is_number(difference) else "-"


def p_value(p: float | None) -> str:
    """Write the p value of a test.

    >>> p_value(0.0213).split(), p_value(0.0004).split(), p_value(None)
    (['p', '=', '0.021'], ['p', '<', '0.001'], 'not tested')
    """
    if not is_number(p):
        return "not tested"
    return f"p{SPACE}<{SPACE}0.001" if p < 0.001 else f"p{SPACE}={SPACE}{p:.2g}"


def count(number: float | None) -> str:
    """Write how many; a dash where that is not known.

    >>> count(1440), count(None)
    ('1,440', '-')
    """
    return f"{number:,.0f}" if is_number(number) else "-"


def duration(seconds: float) -> str:
    """Write a time as hours, minutes and seconds.

    >>> duration(4000.4)
    '1:06:40'
    """
    return str(timedelta(seconds=round(seconds)))


def shown(system: str) -> str:
    """Name a system for people.

    >>> shown("log_average")
    'log-average'
    """
    return system.replace("_", "-")


def listed(parts: Sequence[str]) -> str:
    """Join parts of a sentence.

    >>> listed(["audio", "video", "early"])
    'audio, video and early'
    """
    return " and ".join([part for part in (", ".join(parts[:-1]), *parts[-1:]) if part])


def described(value: object) -> str:
    """Write settings for people.

    >>> described({"batch_size": 32, "rate": 0.0001, "fusions": ["average"], "resumed": False})
    'batch size 32, rate 0.0001, fusions average, resumed no'
    """
    if isinstance(value, Mapping):
        return ", ".join(
            f"{str(key).replace('_', ' ')} {described(each)}" for key, each in value.items()
        )
    if isinstance(value, list | tuple):
        return ", ".join(map(described, value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)
