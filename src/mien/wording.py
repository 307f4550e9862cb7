"""Answers, people, times and names in words, the same in captions, notebooks and figures."""

from collections.abc import Mapping


def per_cent(share: float) -> str:
    """Write a probability in whole hundredths, without ever saying that something is sure.

    >>> per_cent(0.624), per_cent(0.9987), per_cent(0.0004), per_cent(0.994)
    ('62', '>99', '<1', '99')
    """
    if share >= 0.995:
        return ">99"
    return "<1" if share <= 0.005 else f"{100 * share:.0f}"


def headline(probabilities: Mapping[str, float] | None, emotion: str | None) -> str:
    """Tell an answer by its two likeliest emotions: which one is first is often close.

    Args:
        probabilities: of the eight; ``None`` without an answer.
        emotion: ``None`` where the likeliest is too unlikely to be named.

    >>> headline({"happy": 0.62, "sad": 0.3, "calm": 0.08}, "happy")
    'happy 62 %, or else sad 30 %'
    >>> headline(None, None)
    'no answer'
    """
    if probabilities is None:
        return "no answer"
    ranked = sorted(probabilities.items(), key=lambda pair: -pair[1])
    first, second = (f"{name} {per_cent(share)} %" for name, share in ranked[:2])
    return f"{'not sure: ' if emotion is None else ''}{first}, or else {second}"


def person_name(person: int | None) -> str:
    """Name a person.

    >>> person_name(2), person_name(None)
    ('Person 2', 'No face, only the voice')
    """
    return "No face, only the voice" if person is None else f"Person {person}"


def clock(seconds: float) -> str:
    """Write a time, to the second.

    >>> clock(75.2), clock(3675)
    ('1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def shown_name(name: str) -> str:
    r"""Write a file's name in letters that every format can hold; names need not be text.

    >>> shown_name("café.mp4"), shown_name("caf\udce9.mp4")
    ('café.mp4', 'caf\\udce9.mp4')
    """
    return name if name.isprintable() else ascii(name)[1:-1]
