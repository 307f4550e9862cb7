"""``mien timeline`` and ``mien plot`` with an engine of made-up windows."""

import os
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from made_windows import scene, window
from media_samples import sine, sound_bytes, write_clip
from mien import Timeline, cli, recognise
from mien.commands import shared
from mien.errors import UnreadableClip
from mien.timeline_files import ENDINGS
from mien.windows import Checkpoint, Window

SECONDS = 12


@dataclass(frozen=True)
class Options:
    window_s: float = 4.0
    hop_s: float = 1.0
    people: str = "largest"


class Engine:
    """Stands in for the recogniser."""

    asked: tuple[Any, ...] = ()
    start: Checkpoint | None = None

    def __init__(self, bundle: Path | None, **options: Any) -> None:
        self.bundle = types.SimpleNamespace(name=str(bundle), sha256="ab" * 32)
        Engine.asked = (bundle, options)

    def timeline(
        self, source: Path, *, options: Options, start: Checkpoint | None
    ) -> Iterator[Window]:
        Engine.start = start
        Engine.asked = (*Engine.asked, source, options)
        return self.windows()

    def windows(self) -> Iterator[Window]:
        yield from scene(SECONDS, people=(1,), size=(320, 240))


Use = Callable[[Callable[[], Iterator[Window]]], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Give what puts an engine of these windows in place."""
    engine = types.ModuleType("mien.timeline")
    engine.TimelineOptions = Options  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mien.timeline", engine)
    monkeypatch.setattr(recognise, "Recogniser", Engine)

    def put(windows: Callable[[], Iterator[Window]]) -> None:
        monkeypatch.setattr(Engine, "windows", lambda self: windows())

    return put


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a clip in the folder where commands run."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "clip.mp4"
    write_clip(
        path,
        frames=SECONDS * 10,
        fps=10,
        size=(320, 240),
        waveform=sine(300, seconds=SECONDS, rate=16_000),
    )
    return path


def run(*arguments: str | Path) -> int:
    original = sys.argv
    sys.argv = ["mien", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = original
    return 0


def outs(folder: Path, *endings: str) -> list[str]:
    return [word for ending in endings for word in ("--out", str(folder / f"t{ending}"))]


def test_all_files_in_one_pass(
    use: Use, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("timeline", clip, *outs(tmp_path, *ENDINGS), "--window", "4", "--hop", "1") == 0
    for ending in ENDINGS:
        assert (tmp_path / f"t{ending}").stat().st_size > 100
    printed = capsys.readouterr()
    assert printed.out.startswith("9 rows, 1 person, 12.0 s: ")
    assert printed.err == ""
    assert not list(tmp_path.glob(".*"))


def test_options_reach_the_engine(use: Use, clip: Path, tmp_path: Path) -> None:
    chosen = ["--window", "6", "--hop", "0.5", "--people", "all", "--bundle", "b"]
    more = ["--device", "cuda", "--precision", "f32", "--abstain-below", "0.4"]
    assert run("timeline", clip, *outs(tmp_path, ".csv"), *chosen, *more) == 0
    bundle, options, source, windows = Engine.asked
    assert (bundle, source) == (Path("b"), clip)
    assert options == {"device": "cuda", "precision": "f32", "abstain_below": 0.4}
    assert windows == Options(6.0, 0.5, "all")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--out", "t.srt"], "one of .csv, .parquet, .json, .vtt, .eaf, .html, .mp4"),
        (["--out", "t"], "one of .csv"),
        (["--out", "t.csv", "--out", "t.srt"], "one of .csv"),
        (["--out", "nowhere/t.csv"], "name a file in a folder that exists"),
        (["--out", "folder.csv"], "is a folder"),
        (["--out", "told.csv"], "told.csv-metadata.json is a folder"),
        (["--out", "clip.mp4"], "is the clip, which it would overwrite"),
        (["--out", "t.csv", "--out", "folder.csv/../t.csv"], "is named twice"),
        (["--out", "t.csv", "--out", "t.html", "--resume"], "--resume goes on with .csv and"),
    ],
)
@pytest.mark.usefixtures("use")
def test_what_cannot_be_written_is_refused_before_any_work(
    clip: Path,
    arguments: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("folder.csv").mkdir()
    Path("told.csv-metadata.json").mkdir()
    monkeypatch.setattr(Engine, "__init__", lambda *_, **__: pytest.fail("work was done"))
    before = sorted(clip.parent.iterdir())
    assert run("timeline", clip, *arguments) == 2
    printed = capsys.readouterr().err
    assert told in printed
    assert len(printed.splitlines()) == 1
    assert sorted(clip.parent.iterdir()) == before


def test_video_of_mere_sound_is_refused(
    use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = tmp_path / "sound.wav"
    sound.write_bytes(sound_bytes(sine(300, seconds=1, rate=8_000), rate=8_000))
    assert run("timeline", sound, *outs(tmp_path, ".csv", ".mp4")) == 2
    assert "has no moving picture" in capsys.readouterr().err
    assert not (tmp_path / "t.csv").exists()


def test_missing_clip_costs_no_old_results(
    use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text("old")
    assert run("timeline", tmp_path / "none.mp4", *outs(tmp_path, ".csv")) == 1
    assert "no such file" in capsys.readouterr().err
    assert (tmp_path / "t.csv").read_text() == "old"


def test_parquet_without_pyarrow_names_the_cure(
    use: Use,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run("timeline", clip, *outs(tmp_path, ".parquet")) == 2
    assert "pip install 'mien[tables]'" in capsys.readouterr().err


def test_clip_that_breaks_off_gives_rows_up_to_there(
    use: Use, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaking() -> Iterator[Window]:
        yield from (window(start) for start in (0, 1, 2))
        raise UnreadableClip("clip.mp4: breaks off at 7.2 s; copy it again")

    use(breaking)
    assert run("timeline", clip, *outs(tmp_path, *ENDINGS)) == 1
    assert "breaks off at 7.2 s" in capsys.readouterr().err
    for ending in (".csv", ".parquet"):
        assert len(Timeline.read(tmp_path / f"t{ending}").windows) == 3
    assert (tmp_path / "t.html").read_text("utf-8").rstrip().endswith("</html>")
    assert not list(tmp_path.glob(".*"))


def test_ctrl_c_leaves_whole_files_and_resume_goes_on(
    use: Use, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = list(scene(SECONDS, people=(1, 2)))

    def stopped() -> Iterator[Window]:
        for number, row in enumerate(rows):
            if number == 7:
                os.kill(os.getpid(), signal.SIGINT)
            yield row

    before = signal.getsignal(signal.SIGINT)
    use(stopped)
    tables = outs(tmp_path, ".csv", ".parquet")
    assert run("timeline", clip, *tables) == shared.INTERRUPTED
    assert signal.getsignal(signal.SIGINT) == before
    printed = capsys.readouterr().err
    assert "stopped at 7.0 s" in printed
    assert "--resume goes on" in printed
    # The row that was on its way is written whole.
    assert (
        Timeline.read(tmp_path / "t.csv").windows == Timeline.read(tmp_path / "t.parquet").windows
    )
    assert len(Timeline.read(tmp_path / "t.csv").windows) == 8
    use(lambda: iter(rows))
    assert run("timeline", clip, *tables, "--resume") == 0
    assert capsys.readouterr().out.startswith("12 more rows, 2 people, 12.0 s: ")
    assert run("timeline", clip, *tables, "--resume") == 0
    assert capsys.readouterr().out.startswith("nothing is missing: ")
    for ending in (".csv", ".parquet"):
        found = Timeline.read(tmp_path / f"t{ending}").windows
        assert [row.row() for row in found] == [row.row() for row in rows]
    assert run("timeline", clip, *tables, "--resume", "--hop", "2") == 2
    assert "made with hop_s = 1.0, this run has 2.0" in capsys.readouterr().err


def test_ctrl_c_leaves_the_other_files_whole_too(use: Use, clip: Path, tmp_path: Path) -> None:
    def stopped() -> Iterator[Window]:
        yield from (window(start) for start in (0, 1, 2))
        os.kill(os.getpid(), signal.SIGINT)
        yield window(3)
        pytest.fail("went on")

    use(stopped)
    assert run("timeline", clip, *outs(tmp_path, *ENDINGS)) == shared.INTERRUPTED
    assert sorted(path.suffix for path in tmp_path.glob("t.*")) == sorted([*ENDINGS, ".json"])
    assert not list(tmp_path.glob(".*"))


def test_second_ctrl_c_stops_at_once(use: Use, clip: Path, tmp_path: Path) -> None:
    # A shell has what it starts in the background ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def stubborn() -> Iterator[Window]:
        yield window(0)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            # Two that come at once are one to the system, and Python may take a moment.
            time.sleep(0.2)
        pytest.fail("went on")

    use(stubborn)
    assert run("timeline", clip, *outs(tmp_path, ".csv")) == shared.INTERRUPTED
    assert len(Timeline.read(tmp_path / "t.csv").windows) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_device_is_no_file(
    use: Use, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").symlink_to("/dev/full")
    assert run("timeline", clip, *outs(tmp_path, ".csv")) == 2
    assert "is a device" in capsys.readouterr().err


def test_links_are_followed(use: Use, clip: Path, tmp_path: Path) -> None:
    far = tmp_path / "far"
    far.mkdir()
    (tmp_path / "t.parquet").symlink_to(far / "real.parquet")
    assert run("timeline", clip, *outs(tmp_path, ".parquet")) == 0
    assert (tmp_path / "t.parquet").is_symlink()
    assert len(Timeline.read(tmp_path / "t.parquet").windows) == 9


@pytest.mark.parametrize("table", [".csv", ".parquet"])
@pytest.mark.parametrize("figure", [".png", ".pdf", ".svg"])
def test_plot(use: Use, clip: Path, tmp_path: Path, table: str, figure: str) -> None:
    use(lambda: scene(60))
    assert run("timeline", clip, *outs(tmp_path, table)) == 0
    out = tmp_path / f"f{figure}"
    assert run("plot", tmp_path / f"t{table}", "--out", out) == 0
    content = out.read_bytes()
    if figure == ".png":
        height, width = matplotlib.image.imread(out).shape[:2]
        assert width == 1890
        assert height > 900
    else:
        assert content.startswith(b"%PDF" if figure == ".pdf" else b"<?xml")
    if figure == ".svg":
        for word in (b"Person 1", b"Person 2", b"surprised"):
            assert word in content
    assert run("plot", tmp_path / f"t{table}", "--out", out) == 0
    assert out.read_bytes() == content


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["t.csv", "--out", "f.gif"], ".png, .pdf or .svg"),
        (["t.csv", "--out", "nowhere/f.png"], "no folder nowhere"),
        (["t.csv", "--out", "t.csv"], "would overwrite"),
        (["none.csv", "--out", "f.png"], "cannot read none.csv"),
        (["clip.mp4", "--out", "f.png"], "ends in .csv or .parquet"),
        (["empty.csv", "--out", "f.png"], "no answer that could be drawn"),
    ],
)
def test_plot_refuses(
    use: Use, clip: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("timeline", clip, "--out", "t.csv") == 0
    use(lambda: iter([window(0, emotion=None)]))
    assert run("timeline", clip, "--out", "empty.csv") == 0
    assert run("plot", *arguments) == 2
    assert told in capsys.readouterr().err


def test_plot_without_matplotlib_names_the_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shared, "find_spec", lambda name: None)
    assert run("plot", "t.csv", "--out", "f.png") == 2
    assert "pip install 'mien[lab]'" in capsys.readouterr().err
