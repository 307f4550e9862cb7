import zipfile
from pathlib import Path

import pytest

from mien.errors import TrainingDataError
from mien.lab.archives import open_zip, read_member, stored_files

OFFICIAL = "Video_Speech_Actor_01.zip"


def zip_of(path: Path, *names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        for name in names:
            archive.writestr(name, name)
    return path


def test_files_of_a_folder_and_of_official_zip_files_in_it(tmp_path: Path) -> None:
    zip_of(tmp_path / "b" / OFFICIAL, "z/2.mp4", "1.mp4")
    zip_of(tmp_path / "other.zip", "hidden.wav")
    (tmp_path / "a.wav").write_bytes(b"1234")
    files = list(stored_files(tmp_path))
    assert [(str(file.name), file.member) for file in files] == [
        ("a.wav", None),
        ("1.mp4", "1.mp4"),
        ("z/2.mp4", "z/2.mp4"),
        ("other.zip", None),
    ]
    assert [file.size for file in files[:3]] == [4, 5, 7]
    assert files[0].title == str(tmp_path / "a.wav")
    assert files[2].title == f"{tmp_path / 'b' / OFFICIAL}: z/2.mp4"


def test_any_zip_file_is_looked_into_when_it_is_named(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "any.zip", "a.wav")
    (file,) = stored_files(path)
    with open_zip(path) as archive:
        assert read_member(archive, file.member or "") == b"a.wav"


def test_zip_files_that_are_none(tmp_path: Path) -> None:
    path = zip_of(tmp_path / OFFICIAL, "a.mp4")
    path.write_bytes(path.read_bytes()[:-30])
    for place in (tmp_path, path):
        with pytest.raises(TrainingDataError, match=rf"{OFFICIAL}: neither .* or cut off"):
            list(stored_files(place))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="no such file or folder"):
        list(stored_files(tmp_path / "nowhere"))


def test_a_password(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", "a.wav")
    content = bytearray(path.read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for place in range(len(content)):
            if content[place : place + 4] == header:
                content[place + flags] |= 1
    path.write_bytes(content)
    with (
        open_zip(path) as archive,
        pytest.raises(TrainingDataError, match=r"a\.wav is damaged .*encrypted.* fetch"),
    ):
        read_member(archive, "a.wav")


def test_linked_folders_are_walked_through_once_even_in_a_ring(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "a.wav").write_bytes(b"sound")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "Actor_01").symlink_to(disk)
    (disk / "ring").symlink_to(corpus)
    names = [str(file.name) for file in stored_files(corpus)]
    assert names == ["Actor_01/a.wav"]
