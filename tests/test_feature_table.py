"""Tables of features that somebody else computed: what they give, and what is refused."""

from pathlib import Path

import mien.lab  # noqa: F401

# isort: split
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from mien.errors import InvalidArgument
from mien.lab.feature_table import SLICES, read_feature_table


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_row_a_clip(tmp_path: Path) -> None:
    table = read_feature_table(
        written(tmp_path / "t.csv", "clip,a,b\n01-05-01-01-01-02,1,2.5\n01-03-01-01-01-01,3,4\n")
    )
    assert table.columns == ("a", "b")
    assert not table.per_frame
    assert table.rows["01-05-01-01-01-02"].tolist() == [1.0, 2.5]
    assert table.rows["01-03-01-01-01-01"].dtype == np.float32
    assert table.description == "2 columns of t.csv, one row a clip"


def test_names_of_files_join_with_keys(tmp_path: Path) -> None:
    table = read_feature_table(
        written(tmp_path / "t.csv", "clip,a\nActor_02/02-01-05-01-01-01-02.mp4,1\n")
    )
    assert set(table.rows) == {"01-05-01-01-01-02"}


def test_parquet_gives_the_same_as_csv(tmp_path: Path) -> None:
    csv = written(tmp_path / "t.csv", "clip,a,b\nx.wav,1,2.5\ny.wav,3,4\n")
    parquet.write_table(
        pa.table({"clip": ["x.wav", "y.wav"], "a": [1, 3], "b": [2.5, 4.0]}), tmp_path / "t.parquet"
    )
    one, two = read_feature_table(csv), read_feature_table(tmp_path / "t.parquet")
    assert one.columns == two.columns
    assert {key: row.tolist() for key, row in one.rows.items()} == {
        key: row.tolist() for key, row in two.rows.items()
    }


def test_frames_are_ordered_by_frame_and_averaged_in_slices(tmp_path: Path) -> None:
    frames = list(range(2 * SLICES))
    lines = [f"x.wav,{frame / 25},{frame}" for frame in reversed(frames)]
    table = read_feature_table(
        written(tmp_path / "t.csv", "clip,frame,a\n" + "\n".join(lines) + "\n")
    )
    assert table.per_frame
    assert table.rows["x.wav"].shape == (SLICES, 1)
    assert table.rows["x.wav"][:, 0].tolist() == [2 * n + 0.5 for n in range(SLICES)]


@given(count=st.integers(1, 300))
def test_slices_keep_the_range_and_ends_of_any_clip(count: int) -> None:
    from mien.lab.feature_table import _in_slices

    rows = np.arange(count, dtype=np.float32)[:, None]
    slices = _in_slices(rows)[:, 0]
    assert slices.shape == (SLICES,)
    assert (np.diff(slices) >= 0).all()
    assert 0 <= slices[0] <= count / SLICES
    assert count - 1 - count / SLICES <= slices[-1] <= count - 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,a\nx,1\n", "column named clip"),
        ("clip\nx\n", "at least one of features"),
        ("clip,a\nx,1\nx,2\n", "several rows"),
        ("clip,a\nx,one\n", "must hold numbers"),
        ("clip,a\nx,1\ny,nan\n", "finite numbers.*1 rows.*clip y"),
        ("clip,a\nx,1\ny,\n", "finite numbers.*1 rows.*clip y"),
        ("clip,a,Emotion\nx,1,3\n", "'Emotion' would give the answer away"),
        (",clip,a\n0,x,1\n", "'' would give the answer away, or numbers the rows"),
        ("clip,a,a\nx,1,2\n", "two columns have one name"),
        ("clip,a,speaker\nx,1,3\n", "give the answer away"),
        ("clip,a\nx,1,2\n", "no table"),
        ("", "no table"),
    ],
)
def test_what_is_no_table_of_features(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        read_feature_table(written(tmp_path / "t.csv", text))


def test_a_file_that_is_not_there_or_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="no such file"):
        read_feature_table(tmp_path / "t.csv")
    with pytest.raises(InvalidArgument, match="no such file"):
        read_feature_table(tmp_path / "t.parquet")
    with pytest.raises(InvalidArgument, match=r"must end in \.csv or \.parquet"):
        read_feature_table(written(tmp_path / "t.xlsx", ""))
    with pytest.raises(InvalidArgument, match="no table"):
        read_feature_table(written(tmp_path / "t.parquet", "clip,a\n"))
