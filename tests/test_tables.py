"""mien.tables: what is read and written, and every mistake a table can hold."""

import csv
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument, MissingDependency
from mien.tables import (
    PredictionTable,
    normal_key,
    read_table,
    speaker_of_key,
    truth_of_key,
    write_table,
)

HEADER = ",".join(["clip", *EMOTIONS])
EVEN = ",".join(["0.125"] * 8)
EMPTY = "," * 7
ENDINGS = pytest.mark.parametrize("ending", [".csv", ".parquet"])


def written(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join([header, *lines]) + "\n", "utf-8")
    return path


def stored(folder: Path, **columns: Any) -> Path:
    path = folder / "table.parquet"
    rows = len(columns["clip"])
    parquet.write_table(pa.table(dict.fromkeys(EMOTIONS, [0.125] * rows) | columns), path)
    return path


@pytest.mark.parametrize(
    "clip",
    [
        "01-05-01-02-01-12",
        "01-01-05-01-02-01-12",
        "02-01-05-01-02-01-12.mp4",
        "03-01-05-01-02-01-12.wav",
        "/data/Actor_12/03-01-05-01-02-01-12.flac",
        r"C:\data\Actor_12\03-01-05-01-02-01-12.WAV",
    ],
)
def test_all_names_of_a_performance_are_one_key(clip: str) -> None:
    assert normal_key(clip) == "01-05-01-02-01-12"
    assert truth_of_key(clip) == "angry"
    assert speaker_of_key(clip) == "12"


@pytest.mark.parametrize(
    "clip",
    [
        "party.mp4",
        "01-09-01-02-01-12",
        "04-01-05-01-02-01-12.wav",
        "03-01-05-01-02-01-12-noise.wav",
        "03-01-05-01-02-01-12.noise.wav",
        "x03-01-05-01-02-01-12.wav",
        "01-05-01-02-01-12/a.mp4",
        "",
    ],
)
def test_other_names_stay_and_tell_nothing(clip: str) -> None:
    assert normal_key(clip) == clip
    assert truth_of_key(clip) is None
    assert speaker_of_key(clip) is None


@given(st.text("0123-./\\a"))
def test_any_text_may_be_a_clip(clip: str) -> None:
    assert normal_key(normal_key(clip)) == normal_key(clip)


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    header = ",".join(["note", *reversed(EMOTIONS), "truth", "clip", "fold"])
    path = written(tmp_path, "x,0,0,0,0,0,0,0,1,sad,a.mp4,3", header=header)
    table = read_table(path)
    assert (table.clips, table.folds, table.truth) == (("a.mp4",), ("3",), ("sad",))
    np.testing.assert_array_equal(table.probabilities, [[1, 0, 0, 0, 0, 0, 0, 0]])


def test_rows_are_scaled_to_add_up_to_1(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a,0.5,0.495,0,0,0,0,0,0"))
    np.testing.assert_allclose(table.probabilities[0, :2], [0.5 / 0.995, 0.495 / 0.995])
    assert table.probabilities.dtype == np.float64
    assert table.folds is table.truth is None


def test_clips_without_an_answer_are_kept(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, f"a,{EVEN}", f"b,{EMPTY}"))
    assert table.clips == ("a", "b")
    assert np.isnan(table.probabilities).all(axis=1).tolist() == [False, True]


def test_what_excel_and_windows_write_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(f"\ufeff{HEADER}\r\na,{EVEN}\r\n\r\n".encode())
    assert read_table(path).clips == ("a",)


def test_truth_may_be_known_for_some_clips(tmp_path: Path) -> None:
    path = written(tmp_path, f"a,sad,{EVEN}", f"b,,{EVEN}", header=HEADER.replace("p,", "p,truth,"))
    assert read_table(path).truth == ("sad", None)


def test_parquet_may_hold_other_types_and_columns(tmp_path: Path) -> None:
    path = stored(
        tmp_path,
        clip=["a", "b"],
        fold=[1, 2],
        truth=["sad", None],
        neutral=[0.125, None],
        calm=[0.125, float("nan")],
        **{emotion: [0.125, None] for emotion in EMOTIONS[2:]},
        frames=[[1, 2], [3]],
    )
    table = read_table(path)
    assert (table.clips, table.folds, table.truth) == (("a", "b"), ("1", "2"), ("sad", None))
    assert np.isnan(table.probabilities).all(axis=1).tolist() == [False, True]


def table_of(*clips: str, seed: int = 0) -> PredictionTable:
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(8), len(clips))
    probabilities[-1] = np.nan
    return PredictionTable(
        clips=clips,
        probabilities=probabilities,
        folds=tuple("ab"[place % 2] for place in range(len(clips))),
        truth=("sad", *[None] * (len(clips) - 1)),
    )


@ENDINGS
def test_tables_come_back_as_they_were(tmp_path: Path, ending: str) -> None:
    table = table_of("ünïcode, with comma.mp4", 'a "quoted"\nline', "c", "d")
    write_table(table, tmp_path / f"table{ending}")
    back = read_table(tmp_path / f"table{ending}")
    assert (back.clips, back.folds, back.truth) == (table.clips, table.folds, table.truth)
    np.testing.assert_allclose(back.probabilities, table.probabilities, rtol=1e-15)
    assert [path.name for path in tmp_path.iterdir()] == [f"table{ending}"]


@ENDINGS
def test_columns_are_in_the_contract_s_order(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table{ending}"
    write_table(table_of("a", "b"), path)
    if ending == ".csv":
        with path.open(newline="") as file:
            names = next(csv.reader(file))
    else:
        names = parquet.read_schema(path).names
    assert names == ["clip", "fold", "truth", *EMOTIONS]


def test_columns_that_are_not_known_are_not_written(tmp_path: Path) -> None:
    table = PredictionTable(clips=("a",), probabilities=np.full((1, 8), 0.125))
    write_table(table, tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text().startswith(HEADER)


def test_where_there_is_no_answer_cells_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "table"
    write_table(table_of("a", "b"), path.with_suffix(".csv"))
    assert path.with_suffix(".csv").read_text().splitlines()[2] == f"b,b,,{EMPTY}"
    write_table(table_of("a", "b"), path.with_suffix(".parquet"))
    assert parquet.read_table(path.with_suffix(".parquet"))["sad"].null_count == 1


def test_names_that_are_no_text_come_back_from_csv(tmp_path: Path) -> None:
    name = os.fsdecode(b"bad \xff name.mp4")
    write_table(table_of(name, "b"), tmp_path / "table.csv")
    assert read_table(tmp_path / "table.csv").clips[0] == name
    with pytest.raises(InvalidArgument, match=r"a name that is no text; write .csv"):
        write_table(table_of(name, "b"), tmp_path / "table.parquet")
    assert not (tmp_path / "table.parquet").exists()


@ENDINGS
def test_an_old_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"table{ending}"
    write_table(table_of("a", "b"), path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InvalidArgument, match=r"cannot write .* \(No space left on device\)"):
        write_table(table_of("c", "d"), path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@ENDINGS
def test_folders_that_do_not_exist_are_named(tmp_path: Path, ending: str) -> None:
    with pytest.raises(InvalidArgument, match=r"cannot write .* in a folder that exists"):
        write_table(table_of("a"), tmp_path / "nowhere" / f"table{ending}")
    with pytest.raises(InvalidArgument, match=r"cannot read .*No such file"):
        read_table(tmp_path / f"nowhere{ending}")
    (tmp_path / f"folder{ending}").mkdir()
    with pytest.raises(InvalidArgument, match=r"cannot read .*Is a directory"):
        read_table(tmp_path / f"folder{ending}")


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"ends in \.csv or \.parquet, not 'out\.xlsx'"):
        write_table(table_of("a"), tmp_path / "out.xlsx")
    with pytest.raises(InvalidArgument, match=r"ends in \.csv or \.parquet, not 'in\.txt'"):
        read_table(tmp_path / "in.txt")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "lacks the columns clip, neutral, calm"),
        ("clip,neutral,calm,happy,sad,angry,fearful,disgust", "lacks the columns surprised"),
        (HEADER.replace("clip", "name"), "lacks the columns clip"),
        (HEADER + ",sad,clip", "has the columns clip, sad twice; keep one each"),
    ],
)
def test_columns_that_do_not_fit_are_named(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        read_table(written(tmp_path, header=header))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"a,{EVEN}", "rows 1 and 2: both are of a; keep one row a clip"),
        (f",{EVEN}", "row 2: the clip has no name"),
        ("b,0.5,half,0,0,0,0,0,0", "row 2, calm: expected a number, not 'half'"),
        ("b,1,nan,0,0,0,0,0,0", "row 2: expected eight probabilities"),
        ("b,1,inf,0,0,0,0,0,0", "row 2: expected eight probabilities"),
        ("b,1.5,-0.5,0,0,0,0,0,0", r"row 2: .* not \[1\.5, -0\.5,"),
        ("b,0.5,0.4,0,0,0,0,0,0", "row 2: expected eight probabilities, .* that add up to 1"),
        ("b,0.5,0.5,0,0,0,0,0,", "or eight empty cells, not"),
        ("b,0,0,0,0,0,0,0,0", "row 2: expected eight probabilities"),
        ("b,0.5,0.", "row 2: expected 9 cells as in the header, not 3; the file may be cut off"),
        ("b", "row 2: expected 9 cells as in the header, not 1"),
        (f"b,{EVEN},1", "row 2: expected 9 cells as in the header, not 10"),
    ],
)
def test_rows_that_do_not_fit_are_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        read_table(written(tmp_path, f"a,{EVEN}", line))


def test_an_unknown_truth_lists_the_choices(tmp_path: Path) -> None:
    path = written(tmp_path, f"a,joy,{EVEN}", header=HEADER.replace("p,", "p,truth,"))
    with pytest.raises(
        InvalidArgument, match=r"row 1: truth must be one of neutral, .*, not 'joy'"
    ):
        read_table(path)


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="holds no clips"):
        read_table(written(tmp_path))


def test_text_with_cells_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"line 2: field larger than field limit"):
        read_table(written(tmp_path, "a" * 200_000))


def test_mistakes_in_parquet_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="rows 1 and 3: both are of a"):
        read_table(stored(tmp_path, clip=["a", "b", "a"]))
    with pytest.raises(InvalidArgument, match="row 2: the clip has no name"):
        read_table(stored(tmp_path, clip=["a", None]))
    with pytest.raises(InvalidArgument, match=r"row 1, happy: expected a number, not \[1\]"):
        read_table(stored(tmp_path, clip=["a"], happy=[[1]]))
    path = tmp_path / "other.parquet"
    parquet.write_table(pa.table({"clip": ["a"]}), path)
    with pytest.raises(InvalidArgument, match="lacks the columns neutral"):
        read_table(path)


@pytest.mark.parametrize("kept", [0, 3, 200, -1])
def test_parquet_that_is_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    path = stored(tmp_path, clip=["a", "b"])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InvalidArgument, match=r"table\.parquet"):
        read_table(path)


def test_parquet_needs_pyarrow_and_csv_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored(tmp_path, clip=["a"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependency, match=r"pip install pyarrow, or use a .csv table"):
        read_table(path)
    with pytest.raises(MissingDependency, match="pip install pyarrow"):
        write_table(table_of("a"), tmp_path / "out.parquet")
    write_table(table_of("a"), tmp_path / "out.csv")
    assert read_table(tmp_path / "out.csv").clips == ("a",)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out.csv", "table.parquet"]
