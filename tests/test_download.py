"""RAVDESS's record on a server that stands in for Zenodo, up to what is read from it."""

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mien.errors import DownloadFailed, InvalidArgument
from mien.lab import fetch
from mien.lab.corpora import read_contents, read_corpus
from mien.lab.download import RECORD, Selection, download_ravdess
from web import Web, changed, dropping_after, serving, with_ranges, without_ranges

SPEECH = "Audio_Speech_Actors_01-24.zip"
SONG = "Audio_Song_Actors_01-24.zip"
VIDEO = "Video_Speech_Actor_01.zip"
LIST = f"/api/records/{RECORD}"
MEMBERS = {
    SPEECH: ["Actor_01/03-01-03-01-02-01-01.wav", "Actor_02/03-01-08-02-01-02-02.wav"],
    SONG: ["Actor_01/03-02-03-01-02-01-01.wav"],
    VIDEO: ["Actor_01/01-01-03-01-02-01-01.mp4", "Actor_01/02-01-03-01-02-01-01.mp4"],
}


def zip_of(members: list[str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in members:
            archive.writestr(name, name.encode() * 100)
    return packed.getvalue()


ZIPS = {name: zip_of(members) for name, members in MEMBERS.items()}


def address(name: str) -> str:
    return f"/records/{RECORD}/files/{name}?download=1"


def entry(name: str, content: bytes) -> dict[str, object]:
    checksum = f"md5:{hashlib.md5(content).hexdigest()}"
    return {"id": "1-2-3", "key": name, "size": len(content), "checksum": checksum, "links": {}}


@pytest.fixture
def zenodo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(fetch, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(fetch, "CHUNK", 10)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as web:
        web.contents = {address(name): content for name, content in ZIPS.items()}
        record = {"id": int(RECORD), "files": [entry(*item) for item in ZIPS.items()]}
        web.contents[LIST] = json.dumps(record).encode()
        yield web


def test_what_is_downloaded_is_read_in_place(zenodo: Web, tmp_path: Path) -> None:
    zenodo.misbehaviours[address(SPEECH)] = [dropping_after(50), without_ranges]
    zenodo.misbehaviours[address(VIDEO)] = [changed, dropping_after(70), with_ranges]
    folder = tmp_path / "new" / "ravdess"
    wanted = Selection(audio=True, video=True, song=True, actors=[1])
    zenodo.contents[address("Video_Song_Actor_01.zip")] = zip_of([])
    record = json.loads(zenodo.contents[LIST])
    record["files"].append(entry("Video_Song_Actor_01.zip", zip_of([])))
    zenodo.contents[LIST] = json.dumps(record).encode()
    paths = download_ravdess(folder, wanted=wanted, base_url=f"{zenodo.url}/")
    assert {path.name for path in folder.iterdir()} == {path.name for path in paths}
    assert all((folder / name).read_bytes() == content for name, content in ZIPS.items())
    corpus = read_corpus(folder, song=True)
    contents = [content.decode() for content in read_contents(corpus.examples)]
    assert sorted(contents) == sorted(name * 100 for names in MEMBERS.values() for name in names)
    assert len(read_corpus(folder).examples) == len(contents) - 1
    assert corpus.excluded == ()


def test_what_is_there_is_not_fetched_again(zenodo: Web, tmp_path: Path) -> None:
    wanted = Selection(song=True)
    download_ravdess(tmp_path, wanted=wanted, base_url=zenodo.url)
    (tmp_path / SONG).write_bytes(ZIPS[SONG][:-1] + b"!")
    zenodo.asked.clear()
    assert download_ravdess(tmp_path, wanted=wanted, base_url=zenodo.url) == (
        tmp_path / SPEECH,
        tmp_path / SONG,
    )
    assert [path for path, _ in zenodo.asked] == [LIST, address(SONG)]
    assert (tmp_path / SONG).read_bytes() == ZIPS[SONG]


def test_mirrors_below_another_address(zenodo: Web, tmp_path: Path) -> None:
    zenodo.contents = {f"/mirror{path}": content for path, content in zenodo.contents.items()}
    download_ravdess(tmp_path, base_url=f"{zenodo.url}/mirror/")
    assert (tmp_path / SPEECH).read_bytes() == ZIPS[SPEECH]


def test_sound_of_speech_is_what_is_wanted_unless_told_otherwise(
    zenodo: Web, tmp_path: Path
) -> None:
    assert download_ravdess(tmp_path, base_url=zenodo.url) == (tmp_path / SPEECH,)


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (Selection(), 1),
        (Selection(song=True), 2),
        (Selection(audio=False, video=True), 24),
        (Selection(audio=False, video=True, song=True), 47),
        (Selection(audio=True, video=True, song=True, actors=[18]), 3),
    ],
)
def test_archives_of_a_selection(wanted: Selection, count: int) -> None:
    assert len(set(wanted.names)) == len(wanted.names) == count
    assert "Video_Song_Actor_18.zip" not in wanted.names


@pytest.mark.parametrize("actors", [[0], [25], [1, 99], []])
def test_actors_that_are_none(actors: list[int]) -> None:
    with pytest.raises(InvalidArgument, match="actors must be numbers from 1 to 24, not"):
        Selection(actors=actors)


def test_nothing_wanted() -> None:
    with pytest.raises(InvalidArgument, match="one of them must be wanted"):
        Selection(audio=False)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_too_little_space(zenodo: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = len(ZIPS[SPEECH]) + len(ZIPS[SONG]) - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 0, free))
    wanted = Selection(song=True)
    folder = tmp_path / "new"
    with pytest.raises(DownloadFailed, match=r"new needs 0\.0 MB for .* are free; name another"):
        download_ravdess(folder, wanted=wanted, base_url=zenodo.url)
    assert not folder.exists()
    assert [path for path, _ in zenodo.asked] == [LIST]
    folder.mkdir()
    (folder / f"{SONG}.part").write_bytes(ZIPS[SONG][:1])
    download_ravdess(folder, wanted=wanted, base_url=zenodo.url)
    assert (folder / SONG).read_bytes() == ZIPS[SONG]


def test_without_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "FIRST_PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as web:
        pass
    folder = tmp_path / "new"
    wanted = Selection(audio=True, video=True)
    with pytest.raises(DownloadFailed) as caught:
        download_ravdess(folder, wanted=wanted, base_url=web.url)
    told = str(caught.value)
    assert told.startswith(f"no working connection to 127.0.0.1:{web.port} (")
    assert f"By hand: fetch {SPEECH}, Video_Speech_Actor_01.zip" in told
    assert f"and 22 more from https://zenodo.org/records/{RECORD}" in told
    assert f"put them into {folder}" in told
    assert "\n" not in told
    assert not folder.exists()


def test_a_connection_that_is_lost_on_the_way(zenodo: Web, tmp_path: Path) -> None:
    zenodo.misbehaviours[address(SPEECH)] = [dropping_after(50), dropping_after(0)]
    with pytest.raises(DownloadFailed, match=r"connection to .* The same command goes on later"):
        download_ravdess(tmp_path, base_url=zenodo.url)
    zenodo.misbehaviours.clear()
    zenodo.asked.clear()
    download_ravdess(tmp_path, base_url=zenodo.url)
    assert zenodo.asked[1:] == [(address(SPEECH), "bytes=50-")]


def test_a_wrong_byte_leaves_nothing(zenodo: Web, tmp_path: Path) -> None:
    zenodo.misbehaviours[address(SPEECH)] = [changed]
    with pytest.raises(
        DownloadFailed, match=r"came wrong twice .* MD5 sum \w{32} instead of \w{32}"
    ):
        download_ravdess(tmp_path, base_url=zenodo.url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({}, "must list key, size and checksum"),
        ([], "must list key, size and checksum"),
        ({"files": [{"key": SPEECH}]}, "must list key, size and checksum"),
        ({"files": [{**entry(SPEECH, b""), "size": "many"}]}, "must list key, size and checksum"),
        ({"files": [{**entry(SPEECH, b""), "checksum": "sha256:1"}]}, "checksum 'sha256:1'"),
        ({"files": [entry(SONG, b"")]}, rf"lists no {SPEECH}; take another --base-url"),
    ],
)
def test_records_that_are_none(zenodo: Web, tmp_path: Path, record: object, told: str) -> None:
    zenodo.contents[LIST] = json.dumps(record).encode()
    with pytest.raises(DownloadFailed, match=told):
        download_ravdess(tmp_path / "new", base_url=zenodo.url)
    assert not (tmp_path / "new").exists()


def test_no_such_record(zenodo: Web, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="HTTP status 404"):
        download_ravdess(tmp_path, base_url=f"{zenodo.url}/elsewhere")


@pytest.mark.parametrize("base_url", ["", "zenodo.org", "ftp://zenodo.org", "https://"])
def test_addresses_that_are_none(base_url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="base URL must begin with https://"):
        download_ravdess(tmp_path, base_url=base_url)
