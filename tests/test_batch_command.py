"""mien batch: what is refused before anything is read, and what is told."""

import pytest
import typer
from typer.testing import CliRunner

from mien.commands import batch as command
from mien.errors import InvalidArgument

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(command.batch)


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, InvalidArgument)
    return str(result.exception)


@pytest.mark.parametrize("share", ["1.5", "inf"])
def test_share_of_a_graphics_processor(share: str) -> None:
    told = refused("a", "--out", "b", "--gpus-per-worker", share)
    assert told.startswith("--gpus-per-worker must be between 0 and 1, or a whole number, not ")


@pytest.mark.parametrize(
    "arguments",
    [("a", "--out", "/b"), ("/a", "--out", "b"), ("/a", "--out", "s3://b", "--bundle", "c")],
)
def test_paths_of_a_cluster_are_whole(arguments: tuple[str, ...]) -> None:
    assert "must be whole" in refused(*arguments, "--address", "ray://127.0.0.1:9")


def test_progress_is_told_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([0, 1, 31, 32, 62])
    monkeypatch.setattr("mien.commands.batch.monotonic", lambda: next(times))
    with command._bar() as progress:
        for done in (0, 1000, 2000, 3000):
            progress(done, 10_000)
    told = ["mien: 1,000 of 10,000 clips", "mien: 3,000 of 10,000 clips"]
    assert capsys.readouterr().err.splitlines() == told
