"""What `mien data ravdess` prints, and how it ends."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from media_samples import sine, sound_bytes
from mien.commands.data import LISTED_AT_MOST, data_app
from mien.errors import DownloadFailed, InvalidArgument
from mien.lab import download
from mien.lab.download import Selection
from mien.lab.ravdess import ACTORS, performances

WAV = sound_bytes(sine(400, seconds=0.05, rate=8000), rate=8000, audio_codec="pcm_s16le")


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(data_app, ["ravdess", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for name in performances(modality="03", channel="01", actors=[7]):
        (tmp_path / f"{name.stem}.wav").write_bytes(WAV)
    return tmp_path


def test_a_good_corpus(corpus: Path) -> None:
    result = run("check", corpus, "--actors", "7")
    assert result.exit_code == 0
    assert "audio speech  60     0" in result.stdout
    assert result.stdout.endswith(f"{corpus}: good\n")


def test_faults_are_listed(corpus: Path) -> None:
    (corpus / "03-01-05-01-02-01-07.wav").unlink()
    (corpus / "03-01-06-01-02-01-07.wav").write_bytes(b"")
    (corpus / "a song.wav").write_bytes(WAV)
    result = run("check", corpus, "--actors", "7,8")
    assert result.exit_code == 1
    sections = result.stdout.split("\n\n")
    assert sections[1] == ("missing, audio speech:\n  actor 08: 60 files\n  03-01-05-01-02-01-07")
    assert sections[2].splitlines()[1].endswith("03-01-06-01-02-01-07.wav: empty file")
    assert sections[3].splitlines()[1].endswith("a song.wav: not seven codes of two digits")
    assert result.stdout.endswith(": something is wrong\n")


def test_long_lists_are_cut(corpus: Path) -> None:
    for place in range(LISTED_AT_MOST + 3):
        (corpus / f"{place}.wav").write_bytes(WAV)
    result = run("check", corpus, "--actors", "7")
    assert result.stdout.count("not seven codes") == LISTED_AT_MOST
    assert "  and 3 more; --json lists all" in result.stdout


def test_json(corpus: Path) -> None:
    assert json.loads(run("check", corpus, "--actors", "7", "--json").stdout) == {
        "good": True,
        "folder": str(corpus),
        "files": {"audio speech": 60},
        "missing": {},
        "doubled": [],
        "truncated": [],
        "misnamed": [],
    }
    (corpus / "a.wav").touch()
    result = run("check", corpus, "--actors", "7", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert not found["good"]
    assert found["misnamed"] == [
        {"clip": str(corpus / "a.wav"), "reason": "not seven codes of two digits"}
    ]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ([], Selection()),
        (["--audio"], Selection()),
        (["--video"], Selection(audio=False, video=True)),
        (["--audio", "--video", "--song"], Selection(audio=True, video=True, song=True)),
        (["--video", "--actors", "1-3"], Selection(audio=False, video=True, actors=(1, 2, 3))),
    ],
)
def test_what_is_downloaded(
    options: list[str], wanted: Selection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[Path, Selection, str]] = []

    def fetched(folder: Path, *, wanted: Selection, base_url: str) -> tuple[Path, ...]:
        asked.append((folder, wanted, base_url))
        return (folder / "a.zip", folder / "b.zip")

    monkeypatch.setattr(download, "download_ravdess", fetched)
    result = run("download", tmp_path, *options)
    assert result.exit_code == 0
    assert asked == [(tmp_path, wanted, download.ZENODO)]
    assert result.stdout == f"{tmp_path / 'a.zip'}\n{tmp_path / 'b.zip'}\n"
    assert wanted.actors in (ACTORS, (1, 2, 3))


def test_errors_pass_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.lab.fetch.FIRST_PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(DownloadFailed, match="no working connection to 127"):
        run("download", tmp_path, "--base-url", "http://127.0.0.1:9")
    with pytest.raises(InvalidArgument, match="actors must be"):
        run("check", tmp_path, "--actors", "all")
