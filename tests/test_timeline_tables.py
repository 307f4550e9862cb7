"""CSV and Parquet: one schema, whole at Ctrl-C, resumable; read by other people's tools."""

import csv
import json
import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas
import pyarrow
import pytest
from pyarrow import parquet

from made_windows import BUNDLE, scene, window
from mien import Timeline
from mien.acquaintance import Acquaintance
from mien.columns import TIMELINE_COLUMNS
from mien.errors import InvalidArgument
from mien.timeline_files import TimelineFacts, missing_from, open_writers, start_of
from mien.windows import COLUMNS, Checkpoint, Window

FACTS = TimelineFacts(clip=Path("talk.mp4"), window_s=4.0, hop_s=1.0, people="all", bundle=BUNDLE)
ROWS = list(scene(60))
TABLES = [".csv", ".parquet"]


def write(path: Path, rows: list[Window], *, stop: bool = False, **options: Any) -> None:
    facts = options.pop("facts", FACTS)
    stopped = pytest.raises(KeyboardInterrupt) if stop else nullcontext()
    with stopped, open_writers([path], facts, **options) as (writer,):
        for row in rows:
            writer.write(row)
        if stop:
            raise KeyboardInterrupt


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [row.row() for row in Timeline.read(path).windows]


@pytest.mark.parametrize("ending", TABLES)
def test_rows_come_back_exactly(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    odd = window(60, person=None, emotion=None, speech=None)
    write(path, [*ROWS, odd])
    assert rows_of(path) == [row.row() for row in (*ROWS, odd)]


def test_columns_are_the_contract() -> None:
    assert tuple(column.name for column in TIMELINE_COLUMNS) == COLUMNS
    assert all(column.meaning for column in TIMELINE_COLUMNS)


def test_every_column_is_documented() -> None:
    told = (Path(__file__).parents[1] / "docs" / "timeline.md").read_text("utf-8")
    lines = [line for line in told.splitlines() if line.startswith("| `")]
    listed = [line.split("`")[1] for line in lines]
    written = [name for name in COLUMNS if not name.startswith(("audio_", "video_"))]
    assert [name for name in listed if name in COLUMNS] == written
    assert {"audio_neutral … audio_surprised", "video_neutral … video_surprised"} <= set(listed)


def test_pandas_and_duckdb_read_the_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write(path, ROWS)
    frame = pandas.read_parquet(path)
    assert tuple(frame.columns) == COLUMNS
    assert frame["happy"].tolist() == [row.row()["happy"] for row in ROWS]
    assert frame["audio_happy"].isna().all()
    asked = f"SELECT person, count(*) FROM '{path}' GROUP BY person ORDER BY person"
    counts = [sum(row.person == person for row in ROWS) for person in (1, 2)]
    assert duckdb.sql(asked).fetchall() == [(1, counts[0]), (2, counts[1])]


def test_duckdb_reads_the_csv_with_the_same_types(tmp_path: Path) -> None:
    for ending in TABLES:
        write(tmp_path / f"t{ending}", ROWS)
    ask = "SELECT start_s, person, emotion, happy, speech FROM '{}' ORDER BY ALL"
    of_csv, of_parquet = (
        duckdb.sql(ask.format(tmp_path / f"t{ending}")).fetchall() for ending in TABLES
    )
    assert of_csv == of_parquet


def test_parquet_tells_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write(path, ROWS * 12)
    file = parquet.ParquetFile(path)
    assert file.num_row_groups > 1
    assert json.loads(file.schema_arrow.metadata[b"mien"]) == {
        "clip": "talk.mp4",
        "window_s": 4.0,
        "hop_s": 1.0,
        "people": "all",
        "abstain_below": 0.0,
        "bundle": BUNDLE["sha256"],
    }
    assert file.schema_arrow.field("speech").metadata[b"description"].startswith(b"share of")


def test_csv_has_metadata_as_the_w3c_asks(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write(path, ROWS)
    told = json.loads((tmp_path / "t.csv-metadata.json").read_text())
    assert told["@context"] == "http://www.w3.org/ns/csvw"
    assert told["url"] == "t.csv"
    assert [column["name"] for column in told["tableSchema"]["columns"]] == list(COLUMNS)


def test_csv_is_whole_after_each_row(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with open_writers([path], FACTS) as (writer,):
        for count, row in enumerate(ROWS[:5], 1):
            writer.write(row)
            assert len(list(csv.DictReader(path.read_text().splitlines()))) == count


@pytest.mark.parametrize("ending", TABLES)
@pytest.mark.parametrize("stop", [0, 1, 2, 7, len(ROWS)])
def test_resumed_table_is_that_of_one_run(tmp_path: Path, ending: str, stop: int) -> None:
    once, twice = tmp_path / f"once{ending}", tmp_path / f"t{ending}"
    write(once, ROWS)
    write(twice, ROWS[:stop], stop=True)
    write(twice, ROWS, resume=True)
    assert rows_of(twice) == rows_of(once)
    if ending == ".csv":
        assert twice.read_bytes() == once.read_bytes()


def test_rows_before_the_last_window_are_kept_not_written_again(tmp_path: Path) -> None:
    for ending in TABLES:
        path = tmp_path / f"t{ending}"
        write(path, ROWS[:10], stop=True)
        changed = [replace(row, speech=0.125) for row in ROWS]
        write(path, changed, resume=True)
        speech = [row["speech"] for row in rows_of(path)]
        last = ROWS[9].start_s
        kept = [row.speech for row in ROWS if row.start_s < last]
        assert speech == [*kept, *[0.125] * (len(ROWS) - len(kept))]


@pytest.mark.parametrize("torn", [1, 3, 40])
def test_csv_that_was_torn_off_in_a_row_is_resumed(tmp_path: Path, torn: int) -> None:
    once, path = tmp_path / "once.csv", tmp_path / "t.csv"
    write(once, ROWS)
    write(path, ROWS[:30], stop=True)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:torn])
    write(path, ROWS, resume=True)
    assert path.read_bytes() == once.read_bytes()


def test_csv_that_was_torn_off_in_its_first_row_is_resumed(tmp_path: Path) -> None:
    once, path = tmp_path / "once.csv", tmp_path / "t.csv"
    write(once, ROWS)
    write(path, ROWS[:1], stop=True)
    path.write_bytes(path.read_bytes()[:-40])
    write(path, ROWS, resume=True)
    assert path.read_bytes() == once.read_bytes()


@pytest.mark.parametrize("ending", TABLES)
def test_a_resumed_run_that_is_stopped_at_once_can_be_resumed(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    write(path, ROWS[:1], stop=True)
    # What it computes again first is in no table yet.
    write(path, [replace(ROWS[0], start_s=-1.0)], stop=True, resume=True)
    write(path, [], stop=True, resume=True)
    write(path, ROWS, resume=True)
    assert rows_of(path) == [row.row() for row in ROWS]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("ending", [".parquet", ".json", ".eaf", ".html"])
def test_what_fails_before_the_first_row_costs_no_old_results(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    path.write_text("old")
    write(path, [], stop=True)
    assert path.read_text() == "old"
    write(path, [])
    assert path.read_bytes() != b"old"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("ending", TABLES)
@pytest.mark.parametrize(
    "other",
    [
        {"window_s": 5.0},
        {"hop_s": 0.5},
        {"people": "largest"},
        {"bundle": {"name": "made", "sha256": "cd" * 32}},
        {"clip": Path("other.mp4")},
        {"abstain_below": 0.5},
    ],
)
def test_resuming_another_run_is_refused(
    tmp_path: Path, ending: str, other: dict[str, Any]
) -> None:
    path = tmp_path / f"t{ending}"
    write(path, ROWS[:9])
    before = path.read_bytes()
    with pytest.raises(InvalidArgument, match=f"made with {next(iter(other))} = "):
        write(path, ROWS, resume=True, facts=replace(FACTS, **other))
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("ending", TABLES)
def test_resuming_what_is_no_timeline_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    path.write_text("clip,happy\na.mp4,1\n")
    with pytest.raises(InvalidArgument, match="--resume"):
        write(path, ROWS, resume=True)
    write(tmp_path / "t.csv", ROWS, stop=True)
    (tmp_path / "t.csv").write_text("clip,happy\na.mp4,1\n")
    with pytest.raises(InvalidArgument, match="does not begin with a timeline's columns"):
        write(tmp_path / "t.csv", ROWS, resume=True)


def checkpoint(start: float) -> Checkpoint:
    return Checkpoint(start_s=start, same_from_s=start + 12.5, known=Acquaintance().to_dict())


CHECKED = [
    replace(row, checkpoint=checkpoint(row.start_s))
    if row.person == 1 and row.start_s % 10 == 9
    else row
    for row in ROWS
]
"""Those of every tenth second have a checkpoint."""


def until(seconds: float) -> list[Window]:
    return [row for row in CHECKED if row.start_s <= seconds]


@pytest.mark.parametrize("ending", TABLES)
@pytest.mark.parametrize(
    ("last", "start"), [(9, None), (21, None), (22, 9.0), (31, 9.0), (32, 19.0), (45, 29.0)]
)
def test_a_resumed_run_begins_at_the_last_checkpoint_that_is_early_enough(
    tmp_path: Path, ending: str, last: int, start: float | None
) -> None:
    path = tmp_path / f"t{ending}"
    write(path, until(last), stop=True)
    with open_writers([path], FACTS, resume=True) as writers:
        found = start_of(writers)
        assert (found and found.start_s) == start
        assert missing_from(writers) == last
        for row in CHECKED:
            if start is None or row.start_s >= start:
                writers[0].write(row)
    assert rows_of(path) == [row.row() for row in ROWS]
    assert not list(tmp_path.glob("*.resume"))


@pytest.mark.parametrize("ending", TABLES)
@pytest.mark.parametrize("spoilt", ["", "{}", "other", "damaged", "gone"])
def test_without_checkpoints_of_its_own_a_run_begins_at_the_start(
    tmp_path: Path, ending: str, spoilt: str
) -> None:
    path = tmp_path / f"t{ending}"
    write(path, until(40), stop=True)
    beside = tmp_path / f"t{ending}.resume"
    if spoilt == "other":
        beside.write_text(beside.read_text().replace("talk.mp4", "walk.mp4"))
    elif spoilt == "damaged":
        beside.write_text(beside.read_text().replace('"scene": null', '"scene": "half"'))
    elif spoilt == "gone":
        beside.unlink()
    else:
        beside.write_text(spoilt)
    with open_writers([path], FACTS, resume=True) as writers:
        assert start_of(writers) is None
        assert missing_from(writers) > 0


def test_checkpoints_that_no_run_needs_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with open_writers([path], FACTS) as (writer,):
        for row in CHECKED:
            writer.write(row)
        told = json.loads((tmp_path / "t.csv.resume").read_text())
    assert [each["start_s"] for each in told["checkpoints"]] == [29.0, 39.0, 49.0]


@pytest.mark.parametrize("ending", TABLES)
def test_nothing_is_missing_of_a_table_that_was_finished(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    write(path, CHECKED)
    for _ in range(2):
        with open_writers([path], FACTS, resume=True) as writers:
            assert missing_from(writers) == math.inf
        assert rows_of(path) == [row.row() for row in ROWS]


def test_the_table_that_lacks_most_says_where_to_begin(tmp_path: Path) -> None:
    paths = [tmp_path / f"t{ending}" for ending in TABLES]
    write(paths[0], until(40), stop=True)
    write(paths[1], until(25), stop=True)
    with open_writers(paths, FACTS, resume=True) as writers:
        found = start_of(writers)
        assert found is not None
        assert found.start_s == 9.0


@pytest.mark.parametrize("ending", TABLES)
def test_resuming_nothing_begins_anew(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"t{ending}", ROWS, resume=True)
    assert len(rows_of(tmp_path / f"t{ending}")) == len(ROWS)


def test_parquet_stands_in_its_place_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write(path, ROWS[:3])
    with open_writers([path], FACTS) as (writer,):
        writer.write(ROWS[0])
        assert parquet.read_table(path).num_rows == 3
    assert parquet.read_table(path).num_rows == 1


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.xlsx", "", "ends in .csv or .parquet"),
        ("t.csv", "clip,happy\n", "lacks the columns start_s, end_s, person, emotion and others"),
        ("t.csv", ",".join(COLUMNS) + "\nsoon" + "," * (len(COLUMNS) - 1) + "\n", "row 1"),
        ("t.parquet", "no table", "no whole Parquet file"),
        ("missing.csv", None, "cannot read"),
    ],
)
def test_what_is_no_timeline_is_not_read(
    tmp_path: Path, name: str, content: str | None, told: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidArgument, match=told):
        Timeline.read(path)


def test_timeline_and_parquet_have_one_schema(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write(path, ROWS)
    table = Timeline.gather(ROWS, clip="talk.mp4").to_arrow()
    assert isinstance(table, pyarrow.Table)
    assert table.schema.equals(parquet.read_schema(path), check_metadata=False)
    frame = Timeline.gather(ROWS, clip="talk.mp4").to_pandas()
    assert frame["person"].dtype == pandas.Int32Dtype()
    assert frame["start_s"].tolist() == [row.start_s for row in ROWS]
