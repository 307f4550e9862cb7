"""The command line: one command a task; each parses, calls one function and prints."""

import io
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

import mien
from mien.commands.batch import batch
from mien.commands.data import data_app
from mien.commands.evaluate import evaluate
from mien.commands.fuse import fuse
from mien.commands.plot import plot
from mien.commands.report import report
from mien.commands.serve import serve
from mien.commands.shared import Precision, require_lab
from mien.commands.timeline import timeline
from mien.commands.train import train
from mien.errors import InvalidArgument, MienError

if TYPE_CHECKING:
    from mien.bundle import Bundle as LoadedBundle
    from mien.recognise import Failure, Prediction

app = typer.Typer(
    help="Read which of eight emotions the face and the voice in a clip express.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
bundle_app = typer.Typer(help="Look at a trained model on disk.", no_args_is_help=True)
embedder_app = typer.Typer(help="Make embedders.", no_args_is_help=True)

SOME_CLIP_FAILED = 1

Bundle = Annotated[
    Path | None, typer.Option("--bundle", help="Folder of a trained model; the embedded one else.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mien {mien.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error arose.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Options of all commands."""


@app.command()
def predict(
    clips: Annotated[list[Path], typer.Argument(help="Video, sound or picture files.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    bundle: Bundle = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    precision: Precision = "auto",
    out: Annotated[
        Path | None,
        typer.Option(help="Also write here: .csv is a table, .jsonl and .json one object a line."),
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="haar or yunet; the bundle's own else.")
    ] = None,
    detector_model: Annotated[Path | None, typer.Option(help="YuNet's ONNX file.")] = None,
    abstain_below: Annotated[
        float, typer.Option(help="Name no emotion when the likeliest is less likely than this.")
    ] = 0.0,
    set_rate: Annotated[
        float, typer.Option(help="How often sets of likely emotions must hold the truth.")
    ] = 0.9,
) -> None:
    """Say what each clip expresses, how sure that is, and why."""
    from mien.recognise import Failure, Recogniser
    from mien.writers import TableWriter

    recogniser = Recogniser(
        bundle,
        device=device,
        precision=precision,
        detector=detector,
        detector_model=detector_model,
        abstain_below=abstain_below,
        set_rate=set_rate,
    )
    if out is not None and any(out.exists() and _same(out, clip) for clip in clips):
        raise InvalidArgument(f"--out {out} is one of the clips, which it would overwrite")
    failed = False
    with nullcontext() if out is None else TableWriter(out) as writer:
        for answer in recogniser.predict_each(clips):
            failed |= isinstance(answer, Failure)
            _show(answer, as_json=as_json)
            if writer is not None:
                writer.write(answer)
    if failed:
        raise typer.Exit(SOME_CLIP_FAILED)


@bundle_app.command("show")
def bundle_show(
    bundle: Annotated[Path | None, typer.Argument(help="The embedded one else.")] = None,
) -> None:
    """Tell what a bundle was trained on, how well it did and under which terms it is."""
    from mien.bundle import load_bundle

    _print_bundle(load_bundle(bundle))


@bundle_app.command("verify")
def bundle_verify(
    bundle: Annotated[Path | None, typer.Argument(help="The embedded one else.")] = None,
) -> None:
    """Check sums, label order and that stored inputs still give the stored answers."""
    from mien.bundle import load_bundle
    from mien.verify import verify_bundle

    for check in verify_bundle(bundle):
        typer.echo(
            f"{check.what} differs by {check.difference:.1e} from {check.reference}; "
            f"{check.allowed:.0e} is allowed"
        )
    typer.echo(f"{load_bundle(bundle).path}: good")


@embedder_app.command("convert")
def embedder_convert(
    source: Annotated[
        str, typer.Argument(help="Folder of a Hugging Face ViT or DINOv2, or its name on the hub.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="ONNX file to write.")],
    int8: Annotated[bool, typer.Option("--int8", help="A quarter of the size.")] = False,
    revision: Annotated[str | None, typer.Option(help="Commit on the hub.")] = None,
    crop_size: Annotated[int, typer.Option(min=8, help="Pixels a side of a face crop.")] = 48,
) -> None:
    """Turn a Vision Transformer into an embedder that needs no Keras."""
    require_lab()
    from mien.lab.convert import convert

    made = convert(source, out, crop_size=crop_size, int8=int8, revision=revision)
    typer.echo(
        f"{out}: {made.name}, {made.width} numbers a face, {made.parameters / 1e6:.1f} million "
        f"parameters, {out.stat().st_size / 1e6:.0f} MB, sha256 {made.sha256}"
    )


@app.command()
def info() -> None:
    """Tell versions, devices and the bundle, what is missing and how to get it."""
    from mien.info import installation

    for line in installation():
        typer.echo(line)


for command in (timeline, batch, serve, plot, train, evaluate, report, fuse):
    app.command()(command)
app.add_typer(data_app, name="data")
app.add_typer(bundle_app, name="bundle")
app.add_typer(embedder_app, name="embedder")


def main() -> None:
    """Run the command line; the one place where errors become exit codes."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a bar or a name shows a question mark.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    # Taken out here, so that it may also stand after the command, where one thinks of it.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments)
    except MienError as error:
        if "--debug" in sys.argv[1:]:
            raise
        _say(f"{error}")
        sys.exit(error.exit_code)
    except OSError as error:
        # A full disk, a folder that may not be written: no fault of mien's.
        if "--debug" in sys.argv[1:]:
            raise
        _say(f"{error.filename or 'output'}: {error.strerror}; free space or name another place")
        sys.exit(MienError.exit_code)


def _show(answer: "Prediction | Failure", *, as_json: bool) -> None:
    from mien.recognise import Failure
    from mien.writers import json_line, panel

    if as_json:
        typer.echo(json_line(answer))
    elif isinstance(answer, Failure):
        _say(answer.message)
    else:
        console = Console(highlight=False)
        console.print(panel(answer, width=console.width), "")


def _same(out: Path, clip: Path) -> bool:
    return clip.exists() and out.samefile(clip)


def _say(message: str) -> None:
    typer.echo(f"mien: {message}", file=sys.stderr)


def _print_bundle(bundle: "LoadedBundle") -> None:
    from mien.writers import bundle_panel

    Console(highlight=False).print(bundle_panel(bundle))
