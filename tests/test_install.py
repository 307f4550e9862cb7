"""The run-time alone, installed as users install it: into an empty environment."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TRAINING_LIBRARIES = {"keras", "jax", "jaxlib", "torch", "tensorflow", "librosa", "scipy"}


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of a fresh environment that holds mien."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    binaries = folder / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run(
        [binaries / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", ROOT],
        check=True,
        timeout=600,
    )
    return binaries


def run(*command: str | Path, folder: Path) -> str:
    """Run a program from another folder than the checkout's, and give what it printed."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_no_training_library_comes_along(binaries: Path, tmp_path: Path) -> None:
    listed = run(binaries / "pip", "list", "--format=json", folder=tmp_path)
    names = {package["name"].lower() for package in json.loads(listed)}
    assert "mien" in names
    assert not names & TRAINING_LIBRARIES


@pytest.mark.slow
def test_it_predicts_and_verifies(binaries: Path, tmp_path: Path) -> None:
    clip = ROOT / "src" / "mien" / "bundles" / "astronaut.mp4"
    answer = json.loads(run(binaries / "mien", "predict", clip, "--json", folder=tmp_path))
    assert answer["audio"]["used"]
    assert answer["video"]["used"]
    assert "good" in run(binaries / "mien", "bundle", "verify", folder=tmp_path)
    assert "pip install 'mien[lab]'" in run(binaries / "mien", "info", folder=tmp_path)


def test_predicting_imports_no_training_library() -> None:
    script = (
        "import sys, mien; mien.predict({!r}); "
        "print(sorted(name for name in sys.modules if name in {!r}))"
    )
    clip = str(ROOT / "src" / "mien" / "bundles" / "astronaut.mp4")
    printed = run(sys.executable, "-c", script.format(clip, TRAINING_LIBRARIES), folder=ROOT)
    assert printed.strip() == "[]"
