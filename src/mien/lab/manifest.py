"""Any corpus as a table: one row a clip, in a CSV file beside the clips."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mien.emotions import EMOTIONS
from mien.errors import TrainingDataError
from mien.lab.examples import Corpus, Example, Exclusion
from mien.lab.naming import has_sound_and_picture

REQUIRED = ("clip", "emotion", "speaker")
PARTS = ("train", "validation", "test")
SEXES = ("female", "male")
INTENSITIES = ("normal", "strong")

SYNONYMS = {
    "calmness": "calm",
    "happiness": "happy",
    "joy": "happy",
    "joyful": "happy",
    "sadness": "sad",
    "anger": "angry",
    "fear": "fearful",
    "afraid": "fearful",
    "scared": "fearful",
    "disgusted": "disgust",
    "surprise": "surprised",
}
"""Other words that corpora use for the eight emotions."""

NAMED_AT_MOST = 10
"""Bad rows that an error names one by one."""


@dataclass(frozen=True)
class _Row:
    line: int
    cells: dict[str, str]
    """Column name → text, both without spaces around."""
    odd: str | None = None
    """What is wrong with its shape."""


def read_manifest(path: Path) -> Corpus:
    r"""Read a manifest: ``clip,emotion,speaker[,statement][,split][,sex][,intensity]``.

    ``clip`` is a path, relative to the manifest's folder, and the key of the example; ``emotion``
    one of the eight or a word like it, ``split`` ``train``, ``validation`` or ``test``, ``sex``
    ``female`` or ``male``, ``intensity`` ``normal`` or ``strong``. Case does not matter. Of sex,
    intensity and statement, cells may be empty; other columns are not looked at. Clips with the
    suffix of a sound file have sound only, those of a picture are stills, all others have both
    sound and a moving picture.

    Args:
        path: a CSV file in UTF-8.

    Returns:
        Examples of the corpus that the file is named for; empty clips are left out, by name.

    Raises:
        TrainingDataError: no such file, columns are missing, or rows are bad; the first ten are
            named by line.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.wav").write_bytes(b"sound")
    >>> _ = (folder / "mine.csv").write_text("clip,emotion,speaker\na.wav,Joy,anna\n")
    >>> (example,) = read_manifest(folder / "mine.csv").examples
    >>> example.corpus, example.key, example.emotion, example.speaker
    ('mine', 'a.wav', 'happy', 'anna')
    """
    if not path.is_file():
        raise TrainingDataError(f"{path}: no such file")
    rows = _rows(path)
    _require_good(path, rows)
    examples = [_example(path, row) for row in rows]
    excluded = [
        Exclusion(clip=example.title, reason="empty file")
        for example in examples
        if example.path.stat().st_size == 0
    ]
    empty = {exclusion.clip for exclusion in excluded}
    kept = [example for example in examples if example.title not in empty]
    if not kept:
        raise TrainingDataError(f"{path}: no clips, only {len(excluded)} empty files; list more")
    return Corpus(tuple(sorted(kept, key=lambda example: example.key)), tuple(excluded))


def _rows(path: Path) -> list[_Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            _require_columns(path, header)
            return [_row(header, cells, reader.line_num) for cells in reader if any(cells)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataError(
            f"{path} must be a table with commas in UTF-8 ({error}); save it as CSV UTF-8"
        ) from error


def _require_columns(path: Path, header: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    doubled = sorted({name for name in header if name and header.count(name) > 1})
    if missing or doubled:
        what = f"{', '.join(missing)} missing" if missing else f"{', '.join(doubled)} doubled"
        raise TrainingDataError(
            f"{path}: its first line must name the columns {', '.join(REQUIRED)} and perhaps "
            f"statement, split, sex, intensity, each once, not {','.join(header)!r}: {what}"
        )


def _row(header: list[str], cells: list[str], line: int) -> _Row:
    stripped = [cell.strip() for cell in cells]
    if len(cells) != len(header):
        return _Row(line, {}, f"{len(cells)} cells, not {len(header)} as the first line")
    return _Row(line, dict(zip(header, stripped, strict=True)))


def _require_good(path: Path, rows: list[_Row]) -> None:
    if not rows:
        raise TrainingDataError(f"{path}: no rows below the first line; list clips there")
    lines: dict[str, int] = {}
    faults = []
    for row in rows:
        whats = [row.odd] if row.odd else list(_faults(path.parent, row.cells))
        if row.cells.get("clip"):
            first = lines.setdefault(os.path.normpath(row.cells["clip"]), row.line)
            if first != row.line:
                whats.append(f"clip {row.cells['clip']!r} is doubled: also in line {first}")
        if whats:
            faults.append(f"line {row.line}: {'; '.join(whats)}")
    if faults:
        shown = faults[:NAMED_AT_MOST]
        if len(faults) > NAMED_AT_MOST:
            shown.append(f"and {len(faults) - NAMED_AT_MOST} more rows")
        raise TrainingDataError(
            "\n  ".join([f"{path}: {len(faults)} of {len(rows)} rows are bad; mend them:", *shown])
        )


def _faults(folder: Path, cells: dict[str, str]) -> Iterator[str]:
    clip = cells["clip"]
    if not clip:
        yield "clip is empty"
    elif not (folder / clip).is_file():
        yield f"no such file: {clip}"
    if _emotion(cells) not in EMOTIONS:
        yield f"emotion must be one of {', '.join(EMOTIONS)}, not {cells['emotion']!r}"
    if not cells["speaker"]:
        yield "speaker is empty"
    if "split" in cells and cells["split"].lower() not in PARTS:
        yield f"split must be {', '.join(PARTS[:-1])} or {PARTS[-1]}, not {cells['split']!r}"
    for column, words in (("sex", SEXES), ("intensity", INTENSITIES)):
        if (word := cells.get(column, "")) and word.lower() not in words:
            yield f"{column} must be {' or '.join(words)}, not {word!r}"


def _emotion(cells: dict[str, str]) -> str:
    word = cells["emotion"].lower()
    return SYNONYMS.get(word, word)


def _example(manifest: Path, row: _Row) -> Example:
    cells = row.cells
    has_sound, has_picture = has_sound_and_picture(PurePosixPath(cells["clip"]))
    return Example(
        key=cells["clip"],
        emotion=_emotion(cells),
        corpus=manifest.stem,
        path=manifest.parent / cells["clip"],
        speaker=cells["speaker"],
        sex=cells.get("sex", "").lower() or None,
        statement=cells.get("statement") or None,
        intensity=cells.get("intensity", "").lower() or None,
        part=cells.get("split", "").lower() or None,
        has_sound=has_sound,
        has_picture=has_picture,
    )
