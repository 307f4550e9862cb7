"""Predictions → what people and other tools read."""

import csv
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mien.bundle import Bundle
from mien.calibration import AnswerCalibration
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.recognise import Failure, Prediction
from mien.windows import Branch
from mien.wording import per_cent

BAR_WIDTH = 12
"""Characters of a bar that stands for probability 1."""
AROUND_BARS = 36
"""Characters of a line that are not bars: the emotion's name, percentages, space between."""
EIGHTHS = " ▏▎▍▌▋▊▉"


class TableWriter:
    """Writes predictions to a file while they come; the ending says how.

    ``.jsonl`` and ``.json`` hold one JSON object a line, as ``mien predict --json`` prints.
    ``.csv`` holds the prediction table: ``clip`` and the eight fused probabilities, which are
    empty where there is no answer.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix not in {".jsonl", ".json", ".csv"}:
            raise InvalidArgument(f"--out must end in .jsonl, .json or .csv, not {path.name!r}")
        self._is_table = path.suffix == ".csv"
        try:
            self._file: TextIO = path.open(
                "w", encoding="utf-8", errors="surrogateescape", newline=""
            )
        except OSError as error:
            raise InvalidArgument(
                f"cannot write {path} ({error.strerror}); name a file in a folder that exists"
            ) from error
        self._csv = csv.DictWriter(self._file, ["clip", *EMOTIONS])
        if self._is_table:
            self._csv.writeheader()

    def write(self, answer: Prediction | Failure) -> None:
        """Append one answer, and have it on disk before the next clip."""
        if self._is_table:
            probabilities = getattr(answer, "probabilities", None) or {}
            self._csv.writerow({"clip": answer.clip, **probabilities})
        else:
            self._file.write(json_line(answer) + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def json_line(answer: Prediction | Failure) -> str:
    """Give one JSON object in one line, in ASCII: file names need not be text."""
    return json.dumps(answer.to_dict())


def panel(prediction: Prediction, *, width: int = 80) -> RenderableType:
    """Show a prediction as a person likes to read it: bars, reasons and times.

    Args:
        prediction: what to show.
        width: characters of a line; bars are shorter in a narrow terminal.
    """
    return Group(
        _headline(prediction),
        "",
        _bars(prediction, bar_width=min(BAR_WIDTH, max(1, (width - AROUND_BARS) // 3))),
        "",
        *_reasons(prediction),
        *_likely(prediction),
        _times(prediction),
    )


def _headline(prediction: Prediction) -> Text:
    # A file name may be no text, or hold commands for the terminal.
    name = prediction.clip if prediction.clip.isprintable() else ascii(prediction.clip)
    line = Text(f"{name}  ", style="bold")
    line.append(f"{prediction.duration_s:.1f} s\n", style="dim")
    if prediction.probabilities is None or prediction.confidence is None:
        return line.append("no answer: neither the face nor the voice could be read", "yellow")
    ranked = sorted(prediction.probabilities.items(), key=lambda pair: -pair[1])
    if prediction.abstained:
        line.append("not sure enough", style="bold yellow")
        line.append(f": {ranked[0][0]} {per_cent(prediction.confidence)}%", style="yellow")
    else:
        line.append(str(prediction.emotion), style="bold green")
        line.append(f" {per_cent(prediction.confidence)}%", style="green")
    line.append(f", or else {ranked[1][0]} {per_cent(ranked[1][1])}%", style="dim")
    return line


def _bars(prediction: Prediction, *, bar_width: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("")
    columns = (prediction.audio.probabilities, prediction.video.probabilities)
    for name in ("audio", "video", "fused"):
        table.add_column(
            name, min_width=bar_width + 5, no_wrap=True, style="bold" if name == "fused" else ""
        )
    for emotion in EMOTIONS:
        cells = [
            _bar(values, emotion, bar_width) for values in (*columns, prediction.probabilities)
        ]
        chosen = emotion == prediction.emotion
        table.add_row(emotion, *cells, style="green" if chosen else "")
    return table


def _bar(values: dict[str, float] | None, emotion: str, width: int) -> str:
    if values is None:
        return "·"
    eighths = round(values[emotion] * width * 8)
    whole, part = divmod(eighths, 8)
    bar = "█" * whole + (EIGHTHS[part] if part else "")
    return f"{bar:<{width}} {per_cent(values[emotion]):>3}%"


def _reasons(prediction: Prediction) -> list[Text]:
    found = prediction.faces_found
    faces = "" if found is None else f"; a face in {found:.0%} of the frames looked at"
    return [
        _reason("audio", prediction.audio, verb="sounds", more=""),
        _reason("video", prediction.video, verb="looks", more=faces),
    ]


def _reason(name: str, branch: Branch, *, verb: str, more: str) -> Text:
    if branch.probabilities is None:
        return Text.assemble((f"{name}  ", "bold"), ("not used", "yellow"), f": {branch.reason}")
    emotion = max(branch.probabilities, key=branch.probabilities.__getitem__)
    told = f": {verb} {emotion}, {per_cent(branch.probabilities[emotion])}%{more}"
    return Text.assemble((f"{name}  ", "bold"), ("used", "green"), told)


def _likely(prediction: Prediction) -> list[Text]:
    if prediction.probabilities is None:
        return []
    if prediction.set is None:
        told = "unknown: this bundle's confidence is not calibrated"
        return [Text.assemble(("set    ", "bold"), (told, "yellow"))]
    promise = f"  such sets hold the truth in {prediction.set_rate:.0%} of clips"
    return [Text.assemble(("set    ", "bold"), ", ".join(prediction.set), (promise, "dim"))]


def _times(prediction: Prediction) -> Text:
    stages: dict[str, Any] = prediction.seconds
    parts = ", ".join(f"{name} {value:.2f} s" for name, value in stages.items())
    return Text.assemble(("time   ", "bold"), (parts, "dim"))


def bundle_panel(bundle: Bundle) -> RenderableType:
    """Show what a bundle is: networks, training data, held-out scores, terms."""
    manifest = bundle.manifest
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")

    def row(name: str, value: str) -> None:
        # As Text: a path in square brackets is no markup.
        table.add_row(name, Text(value))

    row("bundle", f"{bundle.name} at {bundle.path}")
    row("sha256", bundle.sha256)
    for branch, network in manifest["networks"].items():
        row(branch, f"{network['architecture']}, {network['parameters']:,} parameters")
    if manifest["embedder"]:
        width = bundle.config.embedding.width
        row("embedder", f"{manifest['embedder']['name']}, {width} numbers a face")
    for key in ("preset", "corpora", "protocol"):
        row(key, _plain(manifest["training"][key]))
    for what, scores in manifest["scores"].items():
        plain = {name: value for name, value in scores.items() if not isinstance(value, dict)}
        # Calibration clips were not trained on, but they have chosen: they were not held out.
        row(what if what.endswith("calibrated") else f"held out, {what}", _plain(plain))
    row("fusion", bundle.calibration.fusion)
    for name, answer in bundle.calibration.answers.items():
        row(f"confidence, {name}", _calibrated(answer))
    row("licence", manifest["licence"])
    if card := bundle.file("card"):
        row("more", str(card))
    return table


def _calibrated(answer: AnswerCalibration) -> str:
    if not answer.clips:
        return "not calibrated: may be far from how often it is right"
    return f"calibrated on {answer.clips} clips, temperature {answer.temperature:.2f}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return str(value)
