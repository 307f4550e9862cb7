"""``mien evaluate``: scores of the same models under protocols that leak and such that do not."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mien.commands.shared import (
    MEASURES,
    AllowLeak,
    Cache,
    Corpora,
    Epochs,
    Preset,
    Resume,
    Song,
    TensorBoard,
    Variants,
    interruptible,
    require_lab,
    score_cells,
    tell_progress,
)


def evaluate(
    data: Corpora,
    *,
    out: Annotated[Path, typer.Option(help="Folder to write scores and the report into.")],
    protocol: Annotated[
        str,
        typer.Option(
            help="One or more of random80, luna5, emobox6, loso24, statement, manifest; "
            "with commas between."
        ),
    ] = "random80,luna5",
    preset: Preset = "paper",
    fusion: Annotated[
        str,
        typer.Option(
            help="all, or one or more of average, weighted, log_average, stacked, early, attention."
        ),
    ] = "average",
    video_features: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet table of features in place of the faces' pixels."),
    ] = None,
    audio_features: Annotated[
        Path | None, typer.Option(help="CSV or Parquet table of features in place of the sound.")
    ] = None,
    embedder: Annotated[
        Path | None, typer.Option(help="ONNX file of 'mien embedder convert' to look through.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Repeat all so often.")] = 1,
    epochs: Epochs = None,
    variants: Variants = None,
    song: Song = False,
    allow_leak: AllowLeak = None,
    shuffle_test_labels: Annotated[
        bool,
        typer.Option(
            "--shuffle-test-labels", help="A control: scores must fall to chance, 12.5 %."
        ),
    ] = False,
    resume: Resume = False,
    tensorboard: TensorBoard = None,
    cache: Cache = None,
) -> None:
    """Train and test by one or more protocols, and say how far the scores can be trusted."""
    require_lab()
    from mien.lab.evaluate import EvaluationOptions
    from mien.lab.evaluate import evaluate as run
    from mien.lab.report import write_report
    from mien.lab.study import FUSIONS

    options = EvaluationOptions(
        protocols=_listed(protocol),
        preset=preset,
        fusions=FUSIONS if fusion == "all" else _listed(fusion),
        embedder=embedder,
        audio_features=audio_features,
        video_features=video_features,
        seeds=seeds,
        epochs=epochs,
        variants=variants,
        song=song,
        resume=resume,
        allow_leak=allow_leak,
        shuffle_test_labels=shuffle_test_labels,
        tensorboard=tensorboard,
        cache=cache,
        command=shlex.join(["mien", *sys.argv[1:]]),
    )
    tell_progress()
    with interruptible():
        scores = run(data, out, options=options)
    console = Console(highlight=False)
    for name, entry in scores["protocols"].items():
        console.print(_table(name, entry), "")
    console.print(f"report: {write_report(out)}")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _table(name: str, entry: dict[str, Any]) -> Table:
    """Show held-out scores, and beside them what the paper's way of counting makes of them."""
    table = Table(
        box=None,
        pad_edge=False,
        title_justify="left",
        caption_justify="left",
        title=f"{name}: clips held out",
        caption="all clips: accuracy with the training clips counted, as the paper does",
    )
    table.add_column("")
    for title in MEASURES.values():
        table.add_column(title, no_wrap=True)
    table.add_column("all clips", no_wrap=True, justify="right", style="dim")
    for system, found in entry["systems"].items():
        counted = f"{100 * found['all_clips']['accuracy']['value']:.1f}"
        table.add_row(system, *score_cells(found["held_out"])[1:], counted)
    return table
