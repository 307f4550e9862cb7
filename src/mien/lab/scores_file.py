"""What an evaluation leaves for its report, read and checked: ``scores.json``, ``history.csv``."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.lab.figures import Curve
from mien.lab.findings import Scores

SCHEMA = 1

HISTORY_COLUMNS = ("protocol", "fold", "seed", "network", "epoch", "loss", "val_loss")

TEXT, TRUTH, LIST, OBJECT = (str,), (bool,), (list,), (dict,)
NUMBER = (int, float)
MAYBE_NUMBER = (*NUMBER, type(None))
MAYBE_TEXT = (str, type(None))

Kinds = tuple[type, ...]

MEASURES = ("accuracy", "uar", "f1_macro", "precision_macro", "brier", "ece")
HELD_OUT_AND_ALL: Mapping[str, Kinds] = {
    "clips": NUMBER,
    "interval_over": TEXT,
    **{f"{measure}.value": MAYBE_NUMBER for measure in MEASURES},
    **{f"{measure}.ci95": (list, type(None)) for measure in MEASURES},
}
SYSTEM: Mapping[str, Kinds] = {
    **{f"held_out.{key}": kinds for key, kinds in HELD_OUT_AND_ALL.items()},
    **{f"all_clips.{key}": kinds for key, kinds in HELD_OUT_AND_ALL.items()},
    "confusion": LIST,
    **{f"by_emotion.*.{key}": MAYBE_NUMBER for key in ("clips", "recall", "precision", "f1")},
    **{
        f"by_{group}.*.{key}": MAYBE_NUMBER
        for group in ("intensity", "sex", "speaker")
        for key in ("clips", "accuracy", "uar")
    },
    **{f"by_seed.*.{key}": MAYBE_NUMBER for key in ("accuracy", "uar", "f1_macro")},
    "reliability": LIST,
    "reliability.*.clips": NUMBER,
    "reliability.*.confidence": MAYBE_NUMBER,
    "reliability.*.accuracy": MAYBE_NUMBER,
}
PROTOCOL: Mapping[str, Kinds] = {
    "description": TEXT,
    "speakers_apart": TRUTH,
    "leak_override": MAYBE_TEXT,
    **dict.fromkeys(("leaks", "folds", "chosen", "tests"), LIST),
    "folds.*.name": TEXT,
    **{f"folds.*.{part}": NUMBER for part in ("train", "validation", "test")},
    "folds.*.speakers": LIST,
    "chosen.*": OBJECT,
    **{f"tests.*.{key}": TEXT for key in ("a", "b", "measure")},
    **{f"tests.*.{key}": MAYBE_NUMBER for key in ("speakers", "difference", "p")},
    "systems": OBJECT,
    **{f"systems.*.{key}": kinds for key, kinds in SYSTEM.items()},
}
SHAPE: Mapping[str, Kinds] = {
    **dict.fromkeys(("created", "command", "mien_version"), TEXT),
    "git_commit": MAYBE_TEXT,
    **dict.fromkeys(("versions", "hardware", "settings", "branches", "protocols"), OBJECT),
    "seconds": NUMBER,
    "corpus.sources": LIST,
    **dict.fromkeys(("corpus.clips", "corpus.speakers"), NUMBER),
    "corpus.emotions": OBJECT,
    "corpus.excluded": LIST,
    **{f"corpus.excluded.*.{key}": TEXT for key in ("clip", "reason")},
    **{f"branches.*.{key}": TEXT for key in ("network", "input")},
    "branches.*.parameters": MAYBE_NUMBER,
    "branches.*.recipe": OBJECT,
    **{f"protocols.*.{key}": kinds for key, kinds in PROTOCOL.items()},
}
"""What ``scores.json`` must hold: path, ``*`` for each of an object or a list, and kinds."""


def read_scores(folder: Path) -> Scores:
    """Read ``scores.json`` and check that all the report needs is there.

    Args:
        folder: that ``mien evaluate --out`` wrote.

    Raises:
        InvalidArgument: the file is missing, damaged or of another mien.

    >>> read_scores(Path("nowhere"))
    Traceback (most recent call last):
    mien.errors.InvalidArgument: nowhere/scores.json is missing; give the folder that 'mien ...
    """
    path = folder / "scores.json"
    try:
        scores: Any = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InvalidArgument(
            f"{path} is missing; give the folder that 'mien evaluate --out' wrote"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{path} is damaged ({error}); run 'mien evaluate' again") from error
    schema = scores.get("schema") if isinstance(scores, dict) else None
    if schema != SCHEMA:
        raise InvalidArgument(
            f"{path} must have schema {SCHEMA}, not {schema!r}; draw it with the mien that wrote "
            "it, or run 'mien evaluate' again"
        )
    if faults := list(_faults(scores)):
        raise InvalidArgument(f"{path} is damaged: {faults[0]}; run 'mien evaluate' again")
    return dict(scores)


def read_history(path: Path) -> dict[str, dict[str, list[Curve]]]:
    """Read the losses of the networks: protocol → network → one curve a fold and seed.

    Args:
        path: a CSV file with the columns ``HISTORY_COLUMNS``; ``val_loss`` may be empty. There
            is nothing in it when there is no such file.

    Raises:
        InvalidArgument: a column is missing or a row is damaged.

    >>> read_history(Path("nowhere.csv"))
    {}
    """
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        if missing := sorted(set(HISTORY_COLUMNS) - set(reader.fieldnames or ())):
            raise InvalidArgument(f"{path} lacks {', '.join(missing)}; run 'mien evaluate' again")
        try:
            return _curves(reader)
        except (TypeError, ValueError) as error:
            raise InvalidArgument(
                f"{path}, line {reader.line_num}: {error}; run 'mien evaluate' again"
            ) from error


def _curves(rows: Iterable[Mapping[str, str]]) -> dict[str, dict[str, list[Curve]]]:
    runs: dict[tuple[str, ...], list[tuple[int, float, float]]] = defaultdict(list)
    for row in rows:
        losses = (int(row["epoch"]), float(row["loss"]), float(row["val_loss"] or "nan"))
        runs[row["protocol"], row["network"], row["fold"], row["seed"]].append(losses)
    curves: dict[str, dict[str, list[Curve]]] = {}
    for (protocol, network, *_), run in runs.items():
        epochs, training, validation = zip(*sorted(run), strict=True)
        curve = Curve(epochs, training, validation)
        curves.setdefault(protocol, {}).setdefault(network, []).append(curve)
    return curves


def _faults(scores: Scores) -> Iterator[str]:
    unlike = [
        fault
        for path, kinds in SHAPE.items()
        for fault in _unlike(scores, path.split("."), kinds, place="")
    ]
    yield from unlike
    if unlike:
        return
    if not scores["protocols"]:
        yield "it has no protocol"
    for name, protocol in scores["protocols"].items():
        if not protocol["systems"]:
            yield f"protocols.{name} has no system"
        for system, each in protocol["systems"].items():
            if not _is_square_of_counts(each["confusion"]):
                yield f"protocols.{name}.systems.{system}.confusion is not 8 by 8 counts"


def _unlike(value: object, steps: Sequence[str], kinds: Kinds, *, place: str) -> Iterator[str]:
    """Say where a value is not of the kinds that ``SHAPE`` wants there."""
    if not steps:
        if not isinstance(value, kinds):
            yield f"{place[1:]} is {value!r}"
    elif steps[0] == "*" and isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in parts:
            yield from _unlike(part, steps[1:], kinds, place=f"{place}.{key}")
    elif not isinstance(value, dict) or steps[0] not in value:
        yield f"{place[1:] or 'it'} has no {steps[0]!r}"
    else:
        yield from _unlike(value[steps[0]], steps[1:], kinds, place=f"{place}.{steps[0]}")


def _is_square_of_counts(table: Sequence[Any]) -> bool:
    return len(table) == len(EMOTIONS) and all(
        isinstance(row, list)
        and len(row) == len(EMOTIONS)
        and all(isinstance(count, int) for count in row)
        for row in table
    )
