"""Workers, their processes, pieces and parts: without Ray."""

import contextlib
import errno
import os
import resource
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from media_samples import sine, sound_bytes, write_clip
from mien import __version__
from mien.batch import child as children
from mien.batch import worker as workers
from mien.batch.child import Child
from mien.batch.chunks import Tally, has_chunk, read_chunk, starts_of, write_chunk
from mien.batch.job import Job, beside, claim, from_json, to_json
from mien.batch.parts import answers_place, errors_place, finish_part, read_tally
from mien.batch.places import Place, open_place
from mien.batch.plan import Chunk, Planned
from mien.batch.rows import Outcome
from mien.batch.worker import Worker
from mien.bundle import load_bundle
from mien.errors import (
    BundleMismatch,
    ClipTimedOut,
    InvalidArgument,
    WorkerCrashed,
    WorkerUnfit,
)
from mien.recognise import Recogniser
from mien.verify import GOLDEN_CLIP


@pytest.fixture
def job(tmp_path: Path) -> Job:
    made = Job(
        out=open_place(tmp_path / "out"),
        bundle=None,
        bundle_sha256="ab" * 32,
        version="1",
        engine="batch_stub:open_engine",
        timeout_s=30,
        retries=1,
    )
    claim(made)
    (made.work / "chunks" / "000000").make()
    return made


def clip(folder: Path, name: str) -> Planned:
    path = folder / name
    path.write_bytes(b"clip")
    return Planned(name, str(path))


def answered(worker: Worker, planned: Planned) -> Outcome:
    outcome = worker.answer(planned)
    worker.close()
    return outcome


def test_clip_that_is_answered(job: Job, tmp_path: Path) -> None:
    outcome = answered(Worker(job), clip(tmp_path, "a.mp4"))
    (row,) = outcome.rows
    assert outcome.error is None
    assert (row["clip"], row["path"], row["size"]) == ("a.mp4", f"{tmp_path}/a.mp4", 4)
    assert row["mtime"].timestamp() == pytest.approx((tmp_path / "a.mp4").stat().st_mtime, abs=1e-5)
    assert row["bundle_sha256"] == "ab" * 32
    assert 0 < row["seconds"] < 60


@pytest.mark.parametrize(
    ("name", "kind", "told", "attempts"),
    [
        ("corrupt.mp4", "UnreadableClip", "is no clip", 1),
        ("crash.mp4", "WorkerCrashed", "was ended by SIGSEGV", 2),
        ("bug.mp4", "WorkerCrashed", "ended with 1: ZeroDivisionError: a bug", 2),
    ],
)
def test_clip_that_fails(
    job: Job, tmp_path: Path, *, name: str, kind: str, told: str, attempts: int
) -> None:
    error = answered(Worker(job), clip(tmp_path, name)).error
    assert error is not None
    assert (error["kind"], error["attempts"]) == (kind, attempts)
    assert told in error["message"]
    assert str(tmp_path / name) in error["message"]


def test_clip_that_takes_too_much_memory(job: Job, tmp_path: Path) -> None:
    error = answered(Worker(job), clip(tmp_path, "greedy.mp4")).error
    assert error is not None
    assert error["kind"] == "WorkerCrashed"
    assert "MemoryError" in error["message"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("gopher://x/a.mp4", "cannot open gopher://x"),
        ("/a\0.mp4", "null byte"),
        ("s3://b/a//b.mp4", "Empty path component"),
    ],
)
def test_names_that_are_none_stop_nothing(job: Job, url: str, told: str) -> None:
    store = "s3://KEY:SECRET@b?region=x&endpoint_override=127.0.0.1:9&scheme=http"
    error = answered(Worker(replace(job, access={"s3://b": store})), Planned(url, url)).error
    assert error is not None
    assert (error["kind"], error["attempts"]) == ("UnreadableClip", 1)
    assert told in error["message"]
    assert "SECRET" not in error["message"]


def test_name_with_a_question_mark(job: Job) -> None:
    import fsspec

    url = "memory://store/watch?v=abc.mp4"
    with fsspec.open(url, "wb") as file:
        file.write(b"clip")
    outcome = answered(Worker(job), Planned(url, url))
    assert outcome.error is None
    assert outcome.rows[0]["path"] == url


def test_process_that_cannot_start_is_no_fault_of_the_clip(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "PAUSES_S", (0, 0))
    bad = replace(job, engine="no_such_module:open_engine")
    write_plan(job, clip(tmp_path, "a.mp4"))
    (refused,) = Worker(bad)(asked(Chunk(0, 0, 1)))["refused"].to_pylist()
    assert "WorkerUnfit" in refused
    assert "No module named 'no_such_module'" in refused
    assert WorkerUnfit.exit_code == 2
    assert not has_chunk(job.work, Chunk(0, 0, 1))


def test_machine_that_lacks_room_is_no_fault_of_the_clip(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "PAUSES_S", (0, 0))
    tries: list[Place] = []

    def full(place: Place) -> None:
        tries.append(place)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(workers, "fetched", full)
    with pytest.raises(WorkerUnfit, match=r"cannot answer clips \(No space left on device\)"):
        Worker(job).answer(clip(tmp_path, "a.mp4"))
    assert len(tries) == 3


def test_clip_that_is_gone(job: Job, tmp_path: Path) -> None:
    error = answered(Worker(job), Planned("a.mp4", str(tmp_path / "a.mp4"))).error
    assert error is not None
    assert (error["kind"], error["attempts"]) == ("UnreadableClip", 1)
    assert "No such file" in error["message"]


def test_crash_is_forgiven_once(job: Job, tmp_path: Path) -> None:
    assert answered(Worker(job), clip(tmp_path, "once.mp4")).error is None


def test_clip_that_hangs(job: Job, tmp_path: Path) -> None:
    child = Child(replace(job, timeout_s=0.5))
    with pytest.raises(ClipTimedOut, match=r"longer than 0.5 s"):
        child.ask(Path(clip(tmp_path, "hang.mp4").url))
    assert child._process is None
    assert child.ask(Path(clip(tmp_path, "a.mp4").url))["video_s"] == 2
    child.close()


def test_process_that_nobody_ends_ends_itself(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Child(replace(job, timeout_s=-9.5))
    monkeypatch.setattr(Connection, "poll", lambda *_: True)
    with pytest.raises(WorkerCrashed, match=r"SIGALRM"):
        child.ask(Path(clip(tmp_path, "hang.mp4").url))


def test_process_ends_with_its_worker(job: Job, tmp_path: Path) -> None:
    child = Child(job)
    child.ask(Path(clip(tmp_path, "a.mp4").url))
    process = child._process
    assert process is not None
    assert child._connection is not None
    child._connection.close()
    assert process.wait(timeout=30) == 0
    child.close()


def test_recogniser_answers_as_it_does_elsewhere(job: Job, tmp_path: Path) -> None:
    bundle = load_bundle().sha256
    real = replace(job, engine=Job.engine, bundle_sha256=bundle, version=__version__, timeout_s=120)
    worker = Worker(real)
    (row,) = worker.answer(Planned("a", str(GOLDEN_CLIP))).rows
    expected = Recogniser().predict(GOLDEN_CLIP)
    assert row["emotion"] == expected.emotion
    assert row["confidence"] == pytest.approx(expected.confidence, abs=1e-5)
    assert row["end_s"] == expected.duration_s
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"no clip")
    error = answered(worker, Planned("b", str(noise))).error
    assert error is not None
    assert error["kind"] == "UnreadableClip"


def test_timeline_has_a_row_a_window(job: Job, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(sound_bytes(sine(300, seconds=6, rate=8_000), rate=8_000))
    worker = Worker(timelines(job))
    outcome = worker.answer(Planned("long.wav", str(path)))
    assert [row["start_s"] for row in outcome.rows] == [0, 1, 2]
    assert {row["clip"] for row in outcome.rows} == {"long.wav"}
    short = tmp_path / "short.mp4"
    tone, first = sine(220, seconds=10, rate=16_000), {"movflags": "faststart"}
    write_clip(short, frames=100, fps=10, size=(320, 240), waveform=tone, file_options=first)
    short.write_bytes(short.read_bytes()[: short.stat().st_size * 6 // 10])
    broken = answered(worker, Planned("short.mp4", str(short)))
    assert not broken.rows
    assert broken.error is not None
    assert "what comes before is left out too" in broken.error["message"]


def timelines(job: Job) -> Job:
    real = replace(job, engine=Job.engine, bundle_sha256=load_bundle().sha256, timeline=True)
    return replace(real, version=__version__, timeout_s=120)


def test_other_bundle_on_a_worker_is_refused(job: Job) -> None:
    child = Child(replace(job, engine=Job.engine, version=__version__))
    with pytest.raises(BundleMismatch, match="another bundle"):
        child.ask(GOLDEN_CLIP)


def test_other_mien_on_a_worker_is_refused(job: Job) -> None:
    with pytest.raises(InvalidArgument, match=rf"must be the job's 1, not {__version__}"):
        Child(replace(job, engine=Job.engine)).ask(GOLDEN_CLIP)


def write_plan(job: Job, *clips: Planned) -> None:
    table = pa.table({"clip": [c.clip for c in clips], "url": [os.fsencode(c.url) for c in clips]})
    parquet.write_table(table, (job.work / "plan" / "000000.parquet").path)


def asked(*chunks: Chunk) -> pa.Table:
    return pa.Table.from_pylist([chunk._asdict() for chunk in chunks])


def test_pieces_are_written_once(job: Job, tmp_path: Path) -> None:
    write_plan(job, *(clip(tmp_path, name) for name in ("a.mp4", "corrupt.mp4", "b.mp4")))
    worker, chunks = Worker(job), (Chunk(0, 0, 2), Chunk(0, 2, 3))
    tallies = worker(asked(*chunks))["tally"].to_pylist()
    assert list(map(Tally.of_json, tallies)) == [
        Tally(1, Counter(UnreadableClip=1), 2.0),
        Tally(1, Counter(), 2.0),
    ]
    assert starts_of(job.work, 0) == {0, 2}
    again = worker(asked(chunks[0]))["tally"].to_pylist()
    assert Tally.of_json(again[0]) == Tally()
    finish_part(job, 0, chunks)
    assert Tally.of_json(worker(asked(chunks[1]))["tally"][0].as_py()) == Tally()
    worker.close()
    rows = parquet.read_table(answers_place(job.out, 0).path)
    assert rows["clip"].to_pylist() == ["a.mp4", "b.mp4"]
    assert rows.schema.names[0] == "clip"
    errors = parquet.read_table(errors_place(job.out, 0).path)
    assert errors["clip"].to_pylist() == ["corrupt.mp4"]
    assert read_tally(job.out, 0) == Tally(2, Counter(UnreadableClip=1), 4.0)


def outcome(name: str, *, fails: bool = False) -> Outcome:
    if fails:
        return Outcome([], {"clip": name, "kind": "K", "message": "m", "attempts": 1}, 0)
    return Outcome([{"clip": name, "start_s": 0.0, "end_s": 1.0}], None, 1.0)


def test_part_that_was_stopped_half_way_is_written_anew(job: Job) -> None:
    chunk = Chunk(0, 0, 1)
    write_chunk(job.work, chunk, [outcome("a", fails=True)])
    finish_part(job, 0, [chunk])
    # As if killed between the two files, after which the clip was tried again, and read.
    answers_place(job.out, 0).remove()
    (job.work / "chunks" / "000000").make()
    write_chunk(job.work, chunk, [outcome("a")])
    finish_part(job, 0, [chunk])
    assert errors_place(job.out, 0).kind == "nothing"
    assert parquet.read_table(answers_place(job.out, 0).path)["clip"].to_pylist() == ["a"]
    assert not has_chunk(job.work, chunk)


@pytest.mark.parametrize("left", [0, 1, 300, -9])
def test_torn_piece_is_removed_and_waited_for(job: Job, left: int) -> None:
    chunks = [Chunk(0, 0, 1), Chunk(0, 1, 2)]
    for chunk, name in zip(chunks, "ab", strict=True):
        write_chunk(job.work, chunk, [outcome(name, fails=name == "a")])
    torn = Path(job.work.url) / "chunks" / "000000" / "000000.arrows"
    torn.write_bytes(torn.read_bytes()[:left])
    assert finish_part(job, 0, chunks) == [chunks[0]]
    assert starts_of(job.work, 0) == {1}
    assert answers_place(job.out, 0).kind == errors_place(job.out, 0).kind == "nothing"
    write_chunk(job.work, chunks[0], [outcome("a")])
    assert finish_part(job, 0, chunks) == []
    assert parquet.read_table(answers_place(job.out, 0).path)["clip"].to_pylist() == ["a", "b"]


def test_piece_that_is_there_is_not_replaced(job: Job) -> None:
    write_chunk(job.work, Chunk(0, 0, 1), [outcome("a")])
    assert write_chunk(job.work, Chunk(0, 0, 1), [outcome("b")]) == Tally()
    assert read_chunk(job.work, Chunk(0, 0, 1)).rows["clip"].to_pylist() == ["a"]


def test_names_of_others_among_pieces_are_skipped(job: Job) -> None:
    (Path(job.work.url) / "chunks" / "000000" / ".DS_Store").touch()
    assert starts_of(job.work, 0) == set()


def test_piece_keeps_all(job: Job) -> None:
    chunk = Chunk(0, 0, 2)
    write_chunk(job.work, chunk, [outcome("a"), outcome("b", fails=True)])
    found = read_chunk(job.work, chunk)
    assert found.rows["clip"].to_pylist() == ["a"]
    assert found.errors["clip"].to_pylist() == ["b"]


def test_job_travels(job: Job) -> None:
    assert from_json(to_json(job)) == job


def test_folder_of_other_settings_is_refused(job: Job, tmp_path: Path) -> None:
    claim(job)
    other = replace(job, bundle_sha256="cd" * 32, timeline=True)
    with pytest.raises(InvalidArgument, match=r"bundle_sha256 abab.*now cdcd.*timeline False"):
        claim(other)
    assert beside(other).url == f"{tmp_path}/out-2"
    claim(replace(other, out=beside(other)))
    assert beside(other).url == f"{tmp_path}/out-2"
    assert beside(replace(other, version="2")).url == f"{tmp_path}/out-3"
    assert beside(job) == job.out


def test_folder_that_was_stopped_half_way_is_claimed_again(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, makes = replace(job, out=open_place(tmp_path / "new")), Place.make
    for stop in range(6):
        left = iter(range(stop))

        def stopping(place: Place, left: Iterator[int] = left) -> Place:
            next(left)
            return makes(place)

        monkeypatch.setattr(Place, "make", stopping)
        with contextlib.suppress(StopIteration):
            claim(made)
    monkeypatch.undo()
    claim(made)


@pytest.mark.parametrize("content", [b"", b'{"mien"', b"[]"])
def test_settings_that_are_torn_are_told(job: Job, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "out" / "batch.json").write_bytes(content)
    with pytest.raises(InvalidArgument, match=r"expected the settings .*batch.json, got none"):
        claim(job)


def test_folder_that_holds_other_things_is_refused(job: Job, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").touch()
    with pytest.raises(InvalidArgument, match=r"holds letter.txt"):
        claim(replace(job, out=open_place(tmp_path / "home")))
    with pytest.raises(InvalidArgument, match=r"is a file"):
        claim(replace(job, out=open_place(tmp_path / "home" / "letter.txt")))


def test_disk_that_is_full(job: Job, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(InvalidArgument, match=r"cannot write .*too large.*the free space"):
            write_chunk(job.work, Chunk(0, 0, 1), [outcome("a")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not has_chunk(job.work, Chunk(0, 0, 1))
    assert not (job.work / "part").children()
