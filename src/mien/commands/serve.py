"""``mien serve``: answers over HTTP and WebSocket, and a page to try them."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from mien.errors import MissingDependency


def serve(
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than this machine need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of a trained model; the embedded one else.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Clips read at once; one a processor, up to 4, else.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that clients must send.")
    ] = None,
    max_upload: Annotated[str, typer.Option(help="Largest clip.")] = "200MB",
    max_seconds: Annotated[float, typer.Option(help="Longest clip.")] = 600.0,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Pages of this origin may ask too, once or more often."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let other machines in without a token.")
    ] = False,
) -> None:
    """Answer over HTTP, and show a page with your camera and microphone."""
    _require_serve()
    from mien.serve.run import serve as run
    from mien.serve.settings import Settings, read_token, size_in_bytes, usual_workers

    settings = Settings(
        host=host,
        port=port,
        bundle=bundle,
        workers=workers or usual_workers(),
        token=None if token_file is None else read_token(token_file),
        insecure=insecure,
        max_upload=size_in_bytes(max_upload),
        max_seconds=max_seconds,
        allow_origin=tuple(allow_origin or ()),
    )
    shown = f"[{host}]" if ":" in host else host
    typer.echo(f"mien: http://{shown}:{port}/ (Ctrl-C ends it)", err=True)
    run(settings)


def _require_serve() -> None:
    modules = ("fastapi", "uvicorn", "websockets", "python_multipart", "prometheus_client")
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingDependency(
            f"this command needs {', '.join(missing)}: pip install 'mien[serve]', "
            "or '.[serve]' in a clone"
        )
