"""``mien train``: a bundle from corpora."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mien.commands.shared import (
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
    tell_progress,
)
from mien.errors import InvalidArgument


def train(
    data: Corpora,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the bundle to write.")],
    preset: Preset = "paper",
    embedder: Annotated[
        Path | None, typer.Option(help="ONNX file of 'mien embedder convert'; for paper.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="Hold one fold of it out: random80, luna5, emobox6, loso24, ..."),
    ] = None,
    fold: Annotated[str | None, typer.Option(help="Which one; the first else.")] = None,
    hold_out: Annotated[
        str, typer.Option(help="Or speakers to test on and never train on: 02,05,14")
    ] = "",
    allow_leak: AllowLeak = None,
    epochs: Epochs = None,
    variants: Variants = None,
    limit: Annotated[
        int | None, typer.Option(min=8, help="Use so many clips or stills of each corpus.")
    ] = None,
    song: Song = False,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    resume: Resume = False,
    work: Annotated[
        Path | None, typer.Option(help="Folder of the checkpoints; OUT.work else.")
    ] = None,
    tensorboard: TensorBoard = None,
    cache: Cache = None,
) -> None:
    """Train both branches on corpora and write a bundle, with its scores on what is held out."""
    require_lab()
    from mien.lab.train import train_bundle
    from mien.lab.training_data import TrainingOptions
    from mien.writers import bundle_panel

    speakers = tuple(name.strip() for name in hold_out.split(",") if name.strip())
    if protocol and speakers:
        raise InvalidArgument("--protocol and --hold-out both say what to test on; give one")
    options = TrainingOptions(
        preset=preset,
        embedder=embedder,
        epochs=epochs,
        variants=variants,
        protocol=protocol,
        fold=fold,
        hold_out=speakers,
        allow_leak=allow_leak,
        limit=limit,
        song=song,
        seed=seed,
        resume=resume,
        work=work or out.resolve().with_name(f"{out.resolve().name}.work"),
        tensorboard=tensorboard,
        cache=cache,
    )
    tell_progress()
    with interruptible():
        bundle = train_bundle(data, out.resolve(), options=options)
    Console(highlight=False).print(bundle_panel(bundle))
