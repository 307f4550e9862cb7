"""What was asked for → paths; which were there before; the plan."""

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from mien.batch import places
from mien.batch.inputs import Entry, entries
from mien.batch.places import (
    Place,
    access_of,
    fetched,
    hidden,
    numbers,
    open_place,
    stored_place,
    write_whole,
)
from mien.batch.plan import Sizes, chunks_of, make_plan, part_numbers, read_part
from mien.batch.seen import Seen
from mien.errors import InvalidArgument


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def clips(*inputs: str | Path) -> list[str]:
    return [entry.clip for entry in entries(map(str, inputs), access={})]


def test_folder_gives_clips_by_name_without_what_is_hidden_or_no_clip(tmp_path: Path) -> None:
    names = ["b.mp4", "a/x.WAV", "a/.hidden.mp4", ".git/y.mp4", "notes.txt", "_work/z.mp4"]
    touch(*(tmp_path / name for name in names))
    assert clips(tmp_path) == [f"{tmp_path}/a/x.WAV", f"{tmp_path}/b.mp4"]


def test_folder_is_walked_lazily(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a" / "1.mp4", tmp_path / "b" / "2.mp4")
    opened: list[str] = []
    scandir = os.scandir

    def noting(path: str) -> Any:
        opened.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noting)
    assert next(entries([str(tmp_path)], access={})).clip == f"{tmp_path}/a/1.mp4"
    assert opened == [str(tmp_path), f"{tmp_path}/a"]


def test_links_to_folders_do_not_lead_round(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "1.mp4")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    assert clips(tmp_path) == [f"{tmp_path}/a/1.mp4"]


def test_glob_takes_whatever_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a" / "1.dat", tmp_path / "2.dat")
    monkeypatch.chdir(tmp_path)
    found = list(entries(["**/*.dat"], access={}))
    assert sorted(entry.clip for entry in found) == ["2.dat", "a/1.dat"]
    assert sorted(entry.url for entry in found) == [f"{tmp_path}/2.dat", f"{tmp_path}/a/1.dat"]


def test_glob_is_in_order_and_goes_round_no_links(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("b/2.mp4", "a/c/1.mp4", "0.mp4", ".hidden/3.mp4")))
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    names = ["0.mp4", "a/c/1.mp4", "b/2.mp4"]
    assert clips(tmp_path / "**" / "*.mp4") == [f"{tmp_path}/{name}" for name in names]
    assert clips(tmp_path / "**") == [f"{tmp_path}/{name}" for name in names]
    assert clips(tmp_path / "[ab]" / "?.mp4") == [f"{tmp_path}/b/2.mp4"]
    assert clips(f"file://{tmp_path}/*/c/1.mp4") == [f"{tmp_path}/a/c/1.mp4"]


def test_folder_that_may_not_be_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "a" / "1.mp4", tmp_path / "b" / "2.mp4")
    scandir = os.scandir

    def refusing(path: str) -> Any:
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    for name in (tmp_path, tmp_path / "**" / "*.mp4"):
        skipped: list[str] = []
        found = entries([str(name)], access={}, skip=skipped.append)
        assert [entry.clip for entry in found] == [f"{tmp_path}/b/2.mp4"]
        assert any(f"cannot list {tmp_path}/a (Permission denied)" in why for why in skipped)
    with pytest.raises(InvalidArgument, match="cannot list"):
        clips(tmp_path / "a")


def test_glob_of_a_store_whose_name_is_not_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import fs

    touch(tmp_path / "a" / "1.mp4")
    opened = (fs.LocalFileSystem(), f"{tmp_path}/")
    monkeypatch.setattr(places, "_filesystem", lambda _: opened)
    url = "abfss://files@account.example/a/1.mp4"
    found = list(entries(["abfss://files@account.example/a/*.mp4"], access={}))
    assert found == [Entry(url, url)]


def test_one_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "1.mp4")
    monkeypatch.chdir(tmp_path)
    assert list(entries(["1.mp4"], access={})) == [Entry("1.mp4", f"{tmp_path}/1.mp4")]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_manifest_names_clips_from_its_own_folder(tmp_path: Path, ending: str) -> None:
    manifest = tmp_path / f"clips{ending}"
    cells = ["a.mp4", "/far/b.mp4", "s3://bucket/c d.mp4", "007"]
    if ending == ".csv":
        manifest.write_text("id,clip\n" + "".join(f"{n},{c}\n" for n, c in enumerate(cells)))
    else:
        parquet.write_table(pa.table({"id": [1, 2, 3, 4], "clip": cells}), manifest)
    found = list(entries([str(manifest)], access={}))
    assert [entry.clip for entry in found] == cells
    assert [entry.url for entry in found] == [
        f"{tmp_path}/a.mp4",
        "/far/b.mp4",
        "s3://bucket/c d.mp4",
        f"{tmp_path}/007",
    ]


def test_cells_that_tell_of_keys_are_shown_without_them(tmp_path: Path) -> None:
    cells = ["s3://KEY:SEC/RET@bucket/a.mp4", "https://me:SECRET@h/v?id=1", "https://h/v?id=2"]
    (tmp_path / "m.csv").write_text("clip\n" + "\n".join(cells) + "\n")
    found = list(entries([str(tmp_path / "m.csv")], access={}))
    assert found == [
        Entry("s3://bucket/a.mp4", "s3://bucket/a.mp4"),
        Entry("https://h/v?id=1", "https://h/v?id=1"),
        Entry("https://h/v?id=2", "https://h/v?id=2"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("m.csv", b"path\na.mp4\n", "is no manifest .*column 'clip'"),
        ("m.csv", b"clip,x\na.mp4,1\nb.mp4\n", "is no manifest"),
        ("m.csv", b"clip,x\n,1\n", "row 1: the clip has no name"),
        ("m.csv", b"clip\n", "no clips at"),
        ("m.csv", b"", "is no manifest"),
        ("m.parquet", b"PAR1", "is no manifest"),
    ],
)
def test_bad_manifests(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidArgument, match=told):
        clips(tmp_path / name)


def test_parquet_without_the_column(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"path": ["a"]}), tmp_path / "m.parquet")
    with pytest.raises(InvalidArgument, match="column 'clip'"):
        clips(tmp_path / "m.parquet")


def test_nothing_there(tmp_path: Path) -> None:
    for name in (tmp_path, tmp_path / "none", tmp_path / "*.mp4"):
        with pytest.raises(InvalidArgument, match="no clips at"):
            clips(name)


def test_scheme_that_nobody_knows() -> None:
    with pytest.raises(InvalidArgument, match="cannot open gopher://x"):
        clips("gopher://x/y")


def test_keys_and_options_stay_out_of_urls() -> None:
    place = open_place("s3://key:secret@bucket/a?region=x")
    assert place.url == "s3://bucket/a"
    assert access_of([place]) == {"s3://bucket": "s3://key:secret@bucket?region=x"}
    assert (place / "b").access == place.access
    assert open_place("s3://bucket/c", access_of([place])).access == place.access
    assert open_place("abfss://files@account.example/a").url == "abfss://files@account.example/a"
    assert open_place("s3://bucket/what?.mp4").url == "s3://bucket/what?.mp4"


def test_only_known_options_are_options() -> None:
    place = open_place("s3://bucket/watch?v=abc&region=x&scheme=http")
    assert place == Place("s3://bucket/watch?v=abc", "s3://bucket?region=x&scheme=http")
    assert open_place("https://h/v?id=1").url == "https://h/v?id=1"
    assert open_place("https://h/v?region=1").url == "https://h/v?region=1"
    assert open_place("https://h:80/a@b.mp4") == Place("https://h:80/a@b.mp4")
    assert open_place("hdfs://h:8020/a@b.mp4") == Place("hdfs://h:8020/a@b.mp4")
    known = {"s3://bucket": "s3://bucket?region=x"}
    assert stored_place("s3://bucket/a?region=y", known) == Place(
        "s3://bucket/a?region=y", "s3://bucket?region=x"
    )


def test_messages_show_no_keys(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot open gopher://x ") as caught:
        clips("gopher://KEY:SECRET@x/y")
    assert "SECRET" not in str(caught.value)
    place = open_place("s3://KEY:SEC/RET@bucket/a")
    (tmp_path / "m.csv").write_text("clip\ns3://KEY:SECRET@b/a.mp4,b\n")
    with pytest.raises(InvalidArgument, match=r"is no manifest .*s3://b/a\.mp4") as caught:
        clips(tmp_path / "m.csv")
    assert "SECRET" not in str(caught.value)
    assert hidden(f"no {place.access}!", place.access) == "no s3://bucket!"


def test_whole_file_or_none(tmp_path: Path) -> None:
    work, place = open_place(tmp_path / "work").make(), open_place(tmp_path / "file")

    def half(file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_whole(place, half, work=work)
    assert place.kind == "nothing"
    write_whole(place, lambda file: file.write(b"whole"), work=work)
    assert place.read() == b"whole"
    assert not list((tmp_path / "work").iterdir())


def test_whole_file_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append((tmp_path / "file").exists()))
    write_whole(open_place(tmp_path / "file"), lambda file: file.write(b"a"), work=Place("/tmp"))
    assert synced == [False]


def test_numbers_of_other_names_are_none(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("part-000001.parquet", "part-x.parquet", "000002", "._x")))
    assert numbers(open_place(tmp_path), before="part-", after=".parquet") == [1]
    assert numbers(open_place(tmp_path)) == [2]


def test_remote_clip_is_a_local_file_for_a_while() -> None:
    import fsspec

    with fsspec.open("memory://store/a.mp4", "wb") as file:
        file.write(b"clip")
    with fetched(Place("memory://store/a.mp4")) as path:
        assert path.read_bytes() == b"clip"
        assert path.suffix == ".mp4"
    assert not path.exists()


def test_seen_agrees_with_a_set() -> None:
    generator = np.random.default_rng(0)
    seen, known = Seen(), set()
    for _ in range(50):
        batch = [str(number) for number in generator.integers(0, 3000, 100)]
        expected = []
        for name in batch:
            expected.append(name not in known)
            known.add(name)
        assert seen.add(batch).tolist() == expected


def test_seen_takes_little_memory() -> None:
    tracemalloc.start()
    seen = Seen()
    for start in range(0, 60_000, 20_000):
        seen.add([f"/some/folder/{number}.mp4" for number in range(start, start + 20_000)])
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 60_000 * 20


SMALL = Sizes(part=10, chunk=4)


@pytest.fixture
def work(tmp_path: Path) -> Place:
    place = open_place(tmp_path / "work").make()
    for name in ("plan", "part"):
        (place / name).make()
    return place


def made(*numbers: int) -> Iterator[Entry]:
    return (Entry(f"{number}.mp4", f"/clips/{number}.mp4") for number in numbers)


def planned(work: Place) -> list[str]:
    return [row.clip for part in part_numbers(work) for row in read_part(work, part)]


def test_plan_holds_each_path_once(work: Place) -> None:
    plan = make_plan(work, made(*range(25), 3, 4), sizes=SMALL)
    assert plan.lengths == {0: 10, 1: 10, 2: 5}
    assert (plan.doubled, plan.first_doubled) == (2, "3.mp4")
    assert planned(work) == [f"{number}.mp4" for number in range(25)]


def test_plan_goes_on_and_takes_what_is_new(work: Place) -> None:
    def stops() -> Iterator[Entry]:
        yield from made(*range(20))
        yield from made(*range(20, 20_000))
        raise InvalidArgument("the disk is gone")

    with pytest.raises(InvalidArgument):
        make_plan(work, stops(), sizes=Sizes(part=10_000, chunk=4))
    plan = make_plan(work, made(*range(20_010)), sizes=Sizes(part=10_000, chunk=4))
    assert plan.doubled == 0
    assert planned(work) == [f"{number}.mp4" for number in range(20_010)]
    assert make_plan(work, made(*range(20_010)), sizes=SMALL).lengths == plan.lengths


def test_names_that_are_no_text(work: Place) -> None:
    url = os.fsdecode(b"/clips/caf\xe9.mp4")
    make_plan(work, [Entry(url, url)], sizes=SMALL)
    assert read_part(work, 0) == [("/clips/caf\\udce9.mp4", url)]


def test_pieces_cover_a_part() -> None:
    for length in (1, 63, 64, 129, 1440, 100_000):
        pieces = list(chunks_of(7, length, sizes=Sizes(part=100_000, chunk=100)))
        assert [n for piece in pieces for n in range(piece.start, piece.stop)] == [*range(length)]
        assert max(piece.stop - piece.start for piece in pieces) <= 100
