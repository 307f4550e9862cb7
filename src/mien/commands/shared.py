"""What several commands share: options, and what must be there before they start."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mien.errors import InvalidArgument, MissingDependency

INTERRUPTED = 130
"""128 and the number of the signal that Ctrl-C sends, as shells count."""

MEASURES = {"accuracy": "accuracy", "uar": "UAR", "f1_macro": "macro-F1"}
"""Scores that commands print: name in JSON → name for people."""

Corpora = Annotated[
    list[Path],
    typer.Argument(
        metavar="DATA",
        help="Folders, zip files or CSV manifests (clip,emotion,speaker) of clips or stills.",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="Of the embedder: f32, bf16 or int8; auto: the fastest that answers as f32 does."
    ),
]
Preset = Annotated[str, typer.Option(help="paper or mien.")]
AllowLeak = Annotated[
    str | None,
    typer.Option(metavar="WHY", help="Let leaks pass; what is written keeps the reason."),
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Instead of the preset's.")]
Variants = Annotated[
    Literal["all", "one"] | None,
    typer.Option(
        help="Of the four variants of a recording (as is, noise, pitch, both), train on all in "
        "every epoch, or on one drawn afresh; the preset's own else."
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run that was stopped.")]
Song = Annotated[bool, typer.Option("--song", help="RAVDESS's songs too.")]
TensorBoard = Annotated[Path | None, typer.Option(help="Folder to write losses into.")]
Cache = Annotated[
    Path | None, typer.Option(help="Folder of computed features; the user's cache else.")
]


def require(*modules: str) -> None:
    """Refuse to go on without some modules of the ``lab`` extra.

    Raises:
        MissingDependency: one is not installed.

    >>> require("json")
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingDependency(
            f"this command needs {', '.join(missing)}: pip install 'mien[lab]', "
            "or '.[lab]' in a clone"
        )


def require_lab() -> None:
    """Refuse to go on without the training libraries.

    Raises:
        MissingDependency: they are not installed.
        InvalidArgument: Keras is told to run on something else than JAX.
    """
    require("keras", "jax", "jax2onnx", "pyarrow", "sklearn", "matplotlib", "jinja2")
    backend = os.environ.get("KERAS_BACKEND", "jax")
    if backend != "jax":
        raise InvalidArgument(
            f"KERAS_BACKEND must be jax, not {backend!r}: only from there networks are exported"
        )


def tell_progress() -> None:
    """Let mien's own log through: the device, clips that are left out."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("mien: %(message)s"))
    logger = logging.getLogger("mien")
    logger.setLevel(logging.INFO)
    logger.handlers = [handler]


@contextmanager
def interruptible() -> Iterator[None]:
    """Say how to go on when a long run is stopped with Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("mien: stopped; the same command with --resume goes on from there", err=True)
        raise typer.Exit(INTERRUPTED) from None


def score_cells(found: dict[str, Any]) -> list[str]:
    """Show scores in percent.

    >>> score_cells({"clips": 9, **dict.fromkeys(MEASURES, {"value": 0.5, "ci95": [0.25, 0.75]})})
    ['9', '50.0 [25.0, 75.0]', '50.0 [25.0, 75.0]', '50.0 [25.0, 75.0]']
    """
    if not found["clips"]:
        return ["0", *"···"]
    return [
        str(found["clips"]),
        *(
            f"{100 * found[name]['value']:.1f} "
            f"[{100 * found[name]['ci95'][0]:.1f}, {100 * found[name]['ci95'][1]:.1f}]"
            for name in MEASURES
        ),
    ]
