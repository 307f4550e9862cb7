"""The rules by which clips are divided into those trained on and those tested."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import numpy as np
from sklearn.model_selection import train_test_split

from mien.errors import InvalidArgument, TrainingDataError
from mien.lab.examples import Example
from mien.tables import normal_key

Name = tuple[str, str]
"""A corpus, and the key of a performance in it or the name of a speaker or statement."""
Actors = tuple[tuple[int, ...], ...]

TEST_SHARE = 0.2
"""Of the clips, tested by ``random80``."""
SPEAKER_GROUPS = 5
"""Groups of speakers that ``statement`` tests one after the other: as many as ``LUNA5``."""

LUNA5: Actors = (
    (2, 5, 14, 15, 16),
    (3, 6, 7, 13, 18),
    (10, 11, 12, 19, 20),
    (8, 17, 21, 23, 24),
    (1, 4, 9, 22),
)
"""RAVDESS actors tested in each fold of Luna-Jiménez et al. (2022)."""
EMOBOX6: Actors = (
    (1, 11, 20, 21),
    (4, 10, 12, 14),
    (8, 9, 19, 23),
    (3, 5, 7, 24),
    (2, 15, 16, 18),
    (6, 13, 17, 22),
)
"""RAVDESS actors tested in each fold of EmoBox (Ma et al., 2024)."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Which clips are trained on, and which are tested."""

    name: str
    """Numbers, also good as the name of a folder."""
    train: tuple[Example, ...]
    test: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A rule that says which clips train and which test."""

    name: str
    description: str
    speakers_apart: bool
    """Whether nobody may be trained on and tested."""
    divide: Callable[[Sequence[Example], int], list[Fold]] = field(repr=False)
    """Sorted examples and a seed → folds."""


def performance_of(example: Example) -> Name:
    """Name what was performed: several files may hold it, also where a manifest lists them.

    >>> from pathlib import Path
    >>> performance_of(Example(key="a", emotion="sad", corpus="mine", path=Path("a.wav")))
    ('mine', 'a')
    """
    return example.corpus, normal_key(example.key)


def speaker_of(example: Example) -> Name:
    """Name the speaker; speakers of different corpora are different people.

    >>> from pathlib import Path
    >>> speaker_of(Example(key="a", emotion="sad", corpus="mine", path=Path("a"), speaker="Ann"))
    ('mine', 'Ann')
    """
    return example.corpus, example.speaker or ""


def statement_of(example: Example) -> Name:
    """Name what is said; equal numbers of different corpora are different statements.

    >>> from pathlib import Path
    >>> statement_of(Example(key="a", emotion="sad", corpus="mine", path=Path("a"), statement="1"))
    ('mine', '1')
    """
    return example.corpus, example.statement or ""


def some(names: Iterable[str], *, most: int = 3) -> str:
    """List the first few names, and say how many more there are.

    >>> some(["a", "b", "c", "d"]), some(["a"])
    ('a, b, c and 1 more', 'a')
    """
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def stratified_folds(examples: Sequence[Example], seed: int) -> list[Fold]:
    """Test a share of the performances, of each emotion alike, whoever speaks."""
    emotion_of = {performance_of(example): example.emotion for example in examples}
    counts = Counter(emotion_of.values())
    fewest = round(len(counts) / TEST_SHARE)
    if min(counts.values()) < 2 or len(emotion_of) < fewest:
        rarest = min(counts, key=lambda emotion: counts[emotion])
        raise TrainingDataError(
            f"random80 needs at least two clips of each emotion, and {fewest} clips in all for "
            f"{len(counts)} emotions; there are {len(emotion_of)}, of {rarest} "
            f"{counts[rarest]}; give more clips"
        )
    _, drawn = train_test_split(
        list(emotion_of),
        test_size=TEST_SHARE,
        stratify=list(emotion_of.values()),
        random_state=seed,
    )
    tested = set(drawn)
    return [_fold("1", examples, [e for e in examples if performance_of(e) in tested])]


def actor_folds(
    examples: Sequence[Example],
    seed: int,  # noqa: ARG001 - published folds are not drawn
    *,
    protocol: str,
    actors: Actors,
) -> list[Fold]:
    """Test one published group of RAVDESS actors after the other."""
    others = sorted({example.corpus for example in examples} - {"ravdess"})
    if others:
        raise TrainingDataError(
            f"{protocol} names actors of RAVDESS, and there are clips of {some(others)}; "
            "use loso24 or statement, which take the speakers of any corpus"
        )
    groups = _actor_groups(actors)
    strangers = [e.title for e in examples if speaker_of(e) not in groups]
    if strangers:
        raise TrainingDataError(
            f"{protocol} knows actors 01 to 24, not those of {some(strangers)}; "
            "rename or leave out these files"
        )
    return _group_folds(examples, groups)


def one_speaker_out(
    examples: Sequence[Example],
    seed: int,  # noqa: ARG001 - everyone is tested
) -> list[Fold]:
    """Test one speaker after the other."""
    speakers = sorted({speaker_of(example) for example in examples})
    return _group_folds(examples, {speaker: n for n, speaker in enumerate(speakers, 1)})


def unseen_statements(examples: Sequence[Example], seed: int) -> list[Fold]:
    """Test what a group of speakers says, one statement at a time, trained on neither."""
    unknown = [example.title for example in examples if not example.statement]
    if unknown:
        raise TrainingDataError(
            f"statement needs to know what each clip says, and does not of {some(unknown)}; "
            "add a column 'statement' to the manifest, or use loso24"
        )
    statements = sorted({statement_of(example) for example in examples})
    if len(statements) < 2:
        raise TrainingDataError(
            "statement needs clips of at least two statements, and all say "
            f"{statements[0][1]!r}; use loso24"
        )
    folds = []
    for fold in _group_folds(examples, _speaker_groups(examples, seed=seed)):
        for number, statement in enumerate(statements, 1):
            test = tuple(e for e in fold.test if statement_of(e) == statement)
            train = tuple(e for e in fold.train if statement_of(e) != statement)
            folds.append(Fold(name=f"{fold.name}-{number}", train=train, test=test))
    return [fold for fold in folds if fold.test]


def prescribed_parts(
    examples: Sequence[Example],
    seed: int,  # noqa: ARG001 - the corpus has drawn
) -> list[Fold]:
    """Test the part that the corpus itself prescribes."""
    without = [example.title for example in examples if not example.part]
    if without:
        raise TrainingDataError(
            f"manifest needs a part for each clip, and {len(without)} of {len(examples)} have "
            f"none: {some(without)}; fill the column 'split' of the manifest, or use another "
            "protocol"
        )
    return [_fold("1", examples, [example for example in examples if example.part == "test"])]


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            Protocol(
                name="random80",
                description="80 % of the clips, of each emotion alike, are trained on and 20 % "
                "tested, whoever speaks: the paper's kind",
                speakers_apart=False,
                divide=stratified_folds,
            ),
            Protocol(
                name="luna5",
                description="five groups of RAVDESS actors, each tested by networks that never "
                "met its actors (Luna-Jiménez et al., 2022)",
                speakers_apart=True,
                divide=partial(actor_folds, protocol="luna5", actors=LUNA5),
            ),
            Protocol(
                name="emobox6",
                description="six groups of four RAVDESS actors, each tested by networks that "
                "never met its actors (EmoBox: Ma et al., 2024)",
                speakers_apart=True,
                divide=partial(actor_folds, protocol="emobox6", actors=EMOBOX6),
            ),
            Protocol(
                name="loso24",
                description="each speaker tested by networks trained on all others",
                speakers_apart=True,
                divide=one_speaker_out,
            ),
            Protocol(
                name="statement",
                description="groups of speakers, each tested on one statement by networks that "
                "met neither these speakers nor this statement",
                speakers_apart=True,
                divide=unseen_statements,
            ),
            Protocol(
                name="manifest",
                description="the parts that the corpus itself prescribes",
                speakers_apart=False,
                divide=prescribed_parts,
            ),
        )
    }
)
"""All protocols by name, the paper's first."""


def make_folds(examples: Sequence[Example], *, protocol: str, seed: int = 0) -> list[Fold]:
    """Divide clips by a protocol.

    The files of one performance go to one side, except under ``manifest``, which follows the
    corpus's own parts. The order of the examples does not matter. What leaks all the same is
    found by :func:`mien.lab.leaks.find_leaks`.

    Args:
        examples: one or several files a performance.
        protocol: one of ``PROTOCOLS``.
        seed: draws the clips of ``random80``, and the groups of speakers of ``statement`` in
            corpora other than RAVDESS; the other protocols draw nothing.

    Returns:
        Folds with clips to train on and clips to test. All but ``random80`` and ``manifest``,
        which have one fold, test each clip once.

    Raises:
        InvalidArgument: there is no such protocol.
        TrainingDataError: the clips do not allow this protocol; says which, and why.

    >>> from pathlib import Path
    >>> clips = [Example(key=f"{speaker}-{n}", emotion="sad", corpus="mine", path=Path(f"{n}.wav"),
    ...                  speaker=speaker) for speaker in ("Ann", "Bob") for n in range(2)]
    >>> [sorted({clip.speaker for clip in fold.test})
    ...  for fold in make_folds(clips, protocol="loso24")]
    [['Ann'], ['Bob']]
    """
    if protocol not in PROTOCOLS:
        raise InvalidArgument(f"protocol must be one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    if not examples:
        raise TrainingDataError(f"{protocol} needs clips, and there are none; give a corpus")
    rule = PROTOCOLS[protocol]
    ordered = sorted(examples, key=lambda example: (*performance_of(example), example.title))
    if rule.speakers_apart:
        _require_speakers(ordered, protocol=protocol)
    folds = rule.divide(ordered, seed)
    for fold in folds:
        _require_trainable(fold, protocol=protocol)
    return folds


def _fold(name: str, examples: Sequence[Example], test: Sequence[Example]) -> Fold:
    tested = set(test)
    train = tuple(example for example in examples if example not in tested)
    return Fold(name=name, train=train, test=tuple(test))


def _group_folds(examples: Sequence[Example], groups: Mapping[Name, int]) -> list[Fold]:
    """Test one group of speakers after the other; groups of nobody are passed over."""
    group_of = {example: groups[speaker_of(example)] for example in examples}
    return [
        _fold(str(group), examples, [e for e in examples if group_of[e] == group])
        for group in sorted(set(group_of.values()))
    ]


def _actor_groups(actors: Actors) -> dict[Name, int]:
    return {
        ("ravdess", f"{actor:02d}"): number
        for number, group in enumerate(actors, 1)
        for actor in group
    }


def _speaker_groups(examples: Sequence[Example], *, seed: int) -> dict[Name, int]:
    speakers = sorted({speaker_of(example) for example in examples})
    if LUNA5_GROUPS.keys() >= set(speakers):
        return dict(LUNA5_GROUPS)
    count = min(SPEAKER_GROUPS, len(speakers))
    order = np.random.default_rng(seed).permutation(len(speakers)).tolist()
    return {speakers[place]: 1 + number % count for number, place in enumerate(order)}


LUNA5_GROUPS = MappingProxyType(_actor_groups(LUNA5))
"""Number of the group of each actor of RAVDESS, as :func:`speaker_of` names them."""


def _require_speakers(examples: Sequence[Example], *, protocol: str) -> None:
    unnamed = [example.title for example in examples if not example.speaker]
    if unnamed:
        raise TrainingDataError(
            f"{protocol} keeps speakers apart, and {len(unnamed)} of {len(examples)} clips name "
            f"none: {some(unnamed)}; name the speakers, leave these clips out, or use random80"
        )
    speakers = {speaker_of(example) for example in examples}
    if len(speakers) < 2:
        raise TrainingDataError(
            f"{protocol} needs at least two speakers, and all {len(examples)} clips are by "
            f"{examples[0].speaker}; add speakers, or use random80"
        )


def _require_trainable(fold: Fold, *, protocol: str) -> None:
    where = f"fold {fold.name} of {protocol}"
    if not (fold.train and fold.test):
        raise TrainingDataError(
            f"{where} has {len(fold.train)} clips to train on and {len(fold.test)} to test; "
            "add clips of the side that is empty, or use another protocol"
        )
    missing = {e.emotion for e in fold.test} - {e.emotion for e in fold.train}
    if missing:
        raise TrainingDataError(
            f"{where} tests {', '.join(sorted(missing))} without a clip of it to train on; add "
            "such clips by other speakers, leave the emotion out, or use another protocol"
        )
