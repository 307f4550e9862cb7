"""Whole jobs on Ray: here, on a cluster of two nodes, from and to S3, killed all over."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

import batch_job
import batch_nodes
from mien.bundle import load_bundle
from mien.recognise import Recogniser
from mien.verify import GOLDEN_CLIP

pytestmark = pytest.mark.slow

BAD = ("corrupt.mp4", "crash.mp4", "hang.mp4")
RAVDESS = Path(os.environ.get("MIEN_DATA", "/none")) / "ravdess"
SRC = Path(batch_job.__file__).parents[1] / "src"
PLACES = os.pathsep.join([str(SRC), str(Path(batch_job.__file__).parent)])


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": PLACES, **more}


def start(
    out: object, *inputs: object, address: str = "", workers: int = 2
) -> subprocess.Popen[str]:
    command = [sys.executable, batch_job.__file__, str(out), address, str(workers)]
    return subprocess.Popen(
        [*command, *map(str, inputs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def finish(job: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    out, err = job.communicate(timeout=300)
    return job.returncode, out.splitlines(), err


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    nodes = subprocess.Popen(
        [sys.executable, batch_nodes.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert nodes.stdout is not None
    yield nodes.stdout.readline().strip()
    nodes.communicate(timeout=60)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Make a folder of made-up clips, some bad."""
    folder = tmp_path / "clips"
    for number in range(200):
        path = folder / f"{number % 3}" / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"clip")
    for name in BAD:
        (folder / name).touch()
    return folder


def table(out: Path, name: str) -> pa.Table:
    return ds.dataset(out / name).to_table()


def check_each_once(out: Path, folder: Path, *, failed: int = len(BAD)) -> None:
    expected = sorted(str(path) for path in folder.rglob("*.mp4"))
    done, errors = (table(out, name)["clip"].to_pylist() for name in ("predictions", "errors"))
    assert sorted([*done, *errors]) == expected
    assert len(errors) == failed


def test_job_goes_on_with_what_is_new(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, told, err = finish(start(out, clips))
    assert (code, err) == (1, "")
    assert told[0] == "progress 0 203"
    assert "200 done, 3 failed (1 ClipTimedOut, 1 UnreadableClip, 1 WorkerCrashed), " in told[-4]
    check_each_once(out, clips)
    attempts = {row["kind"]: row["attempts"] for row in table(out, "errors").to_pylist()}
    assert attempts == {"UnreadableClip": 1, "WorkerCrashed": 2, "ClipTimedOut": 2}
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    (clips / "new.mp4").touch()
    code, told, _ = finish(start(out, clips, clips / "new.mp4"))
    assert told[0] == "progress 203 204"
    assert any(line.startswith("1 named again and done once, first ") for line in told)
    check_each_once(out, clips)
    assert all(path.stat().st_mtime_ns == then for path, then in files.items())
    assert not list((out / "_work" / "chunks").iterdir())


def test_torn_piece_is_answered_again(clips: Path, tmp_path: Path) -> None:
    pieces = tmp_path / "out" / "_work" / "chunks" / "000000"
    pieces.mkdir(parents=True)
    for name in ("000000.arrows", ".DS_Store"):
        (pieces / name).write_bytes(b"")
    assert finish(start(tmp_path / "out", clips))[0] == 1
    check_each_once(tmp_path / "out", clips)


def test_graphics_processors_that_are_not_there(clips: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mien", "batch", str(clips), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--workers", "2", "--gpus-per-worker", "0.5"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("mien: --gpus-per-worker 0.5: Ray knows of 0 graphics processors")
    assert len(done.stderr.splitlines()) == 1


def listening(processes: list[psutil.Process]) -> set[str]:
    found = [c for process in processes for c in process.net_connections("tcp")]
    return {c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN}


def test_ray_listens_to_this_machine_alone(clips: Path, tmp_path: Path) -> None:
    (clips / "slow.mp4").touch()
    job = start(tmp_path / "out", clips)
    assert job.stdout is not None
    job.stdout.readline()
    assert listening(psutil.Process(job.pid).children(recursive=True)) <= {
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
    }
    finish(job)


@pytest.mark.skipif(not RAVDESS.is_dir(), reason="needs MIEN_DATA with ravdess")
def test_two_nodes_answer_real_clips_as_one_does(address: str, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for path in sorted(RAVDESS.rglob("*.flac"))[:40]:
        shutil.copy(path, folder)
    shutil.copy(GOLDEN_CLIP, folder)
    tables = []
    for workers in ("1", "2"):
        out = tmp_path / workers
        command = [sys.executable, "-m", "mien", "batch", str(folder), "--out", str(out)]
        done = subprocess.run(
            [*command, "--address", address, "--workers", workers],
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "41 done, 0 failed" in done.stdout
        found = table(out, "predictions")
        assert len(set(found["worker"].to_pylist())) == int(workers)
        tables.append(found.drop_columns(["seconds", "worker"]))
    assert tables[0] == tables[1]
    rows = {row["clip"]: row for row in tables[0].to_pylist()}
    answer, row = Recogniser().predict(GOLDEN_CLIP), rows[f"{folder}/{GOLDEN_CLIP.name}"]
    assert row["emotion"] == answer.emotion
    assert row["confidence"] == pytest.approx(answer.confidence, abs=1e-5)
    assert {row["bundle_sha256"] for row in rows.values()} == {load_bundle().sha256}


def victims(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Give processes of a job and of its cluster, whose end it must survive."""
    found = []
    for process in processes:
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            found += [process, *process.children(recursive=True)]
    return found


def test_each_clip_once_whatever_is_killed(clips: Path, tmp_path: Path) -> None:
    for number in range(100):
        (clips / f"slow{number}.mp4").write_bytes(b"clip")
    out, generator, killed = tmp_path / "out", random.Random(0), Counter[str]()
    deadline = time.monotonic() + 25
    while True:
        job = start(out, clips)
        assert job.stdout is not None
        job.stdout.readline()
        while job.poll() is None and time.monotonic() < deadline:
            time.sleep(generator.uniform(1, 4))
            chosen = victims([psutil.Process(job.pid)]) if job.poll() is None else []
            if chosen and killed.total() < 4:
                victim = generator.choice(chosen)
                with contextlib.suppress(psutil.NoSuchProcess):
                    killed[victim.name()] += 1
                    victim.send_signal(signal.SIGKILL)
        code, _, err = finish(job)
        assert "Traceback" not in err, err
        if code == 1 and (out / "predictions").is_dir() and not unfinished(out):
            break
    assert killed.total() >= 2
    check_each_once(out, clips)


def unfinished(out: Path) -> bool:
    parts = {path.stem for path in (out / "_work" / "plan").iterdir()}
    return parts != {path.stem[5:] for path in (out / "predictions").iterdir()}


def test_s3_in_and_out() -> None:
    from moto.server import ThreadedMotoServer
    from pyarrow import fs

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    store = fs.S3FileSystem(
        access_key="key",
        secret_key="secret",
        endpoint_override=f"{host}:{port}",
        scheme="http",
        region="us-east-1",
        allow_bucket_creation=True,
    )
    store.create_dir("bucket")
    for name in ("a b.mp4", "c+d.mp4", "deep/e.mp4"):
        with store.open_output_stream(f"bucket/clips/{name}") as file:
            file.write(b"clip")
    more = f"?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    try:
        job = start(f"s3://key:secret@bucket/out{more}", f"s3://key:secret@bucket/clips{more}")
        code, told, err = finish(job)
        assert (code, err) == (0, "")
        assert "3 done" in "\n".join(told)
        done = ds.dataset("bucket/out/predictions", filesystem=store).to_table()
        names = ["a b.mp4", "c+d.mp4", "deep/e.mp4"]
        assert sorted(done["path"].to_pylist()) == [f"s3://bucket/clips/{n}" for n in names]
        files = store.get_file_info(fs.FileSelector("bucket/out", recursive=True))
        content = [store.open_input_file(f.path).read() for f in files if f.is_file]
        assert not any(b"secret" in one for one in content)
        code, told, err = finish(start(f"s3://key:secret@bucket/out{more}", f"s3://none/x{more}"))
        assert code == 2
        assert len(err.splitlines()) == 1
    finally:
        server.stop()


def test_where_no_cluster_is(clips: Path, tmp_path: Path) -> None:
    code, _, err = finish(start(tmp_path / "out", clips, address="127.0.0.1:9"))
    assert code == 2
    assert err.startswith("mien: no Ray cluster at --address 127.0.0.1:9")
    assert len(err.splitlines()) == 1


def test_disk_that_is_full(clips: Path, tmp_path: Path) -> None:
    job = start(tmp_path / "out", clips)
    assert job.stdout is not None
    job.stdout.readline()
    shutil.rmtree(tmp_path / "out" / "_work" / "part")
    code, _, err = finish(job)
    assert code == 2
    assert "cannot write" in err.splitlines()[-1]
    (tmp_path / "out" / "_work" / "part").mkdir()
    assert finish(start(tmp_path / "out", clips))[0] == 1
    check_each_once(tmp_path / "out", clips)
