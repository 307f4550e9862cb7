"""Where and with what a run was made."""

import platform
import subprocess
from pathlib import Path

import mien.lab

# isort: split
import pytest

import mien
from mien.lab import circumstances as module
from mien.lab.circumstances import PACKAGES, circumstances


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def module_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "circumstances.py"
    path.write_text("")
    monkeypatch.setattr(module, "__file__", str(path))
    return path


def test_versions_and_hardware_are_told() -> None:
    told = circumstances()
    assert told["mien_version"] == mien.__version__
    assert told["versions"]["python"] == platform.python_version()
    assert set(told["versions"]) == {"python", *PACKAGES}
    assert told["hardware"]["processor"]
    assert told["hardware"]["memory_gib"] > 0
    assert told["hardware"]["devices"]


def test_the_commit_of_a_clone_and_whether_files_differ_from_it(module_file: Path) -> None:
    folder = module_file.parent
    git(folder, "init", "--quiet")
    git(folder, "add", module_file.name)
    git(folder, "commit", "--quiet", "-m", "first")
    commit = git(folder, "rev-parse", "HEAD")
    (folder / "notes.txt").write_text("in no commit")
    assert circumstances()["git_commit"] == commit
    module_file.write_text("changed")
    assert circumstances()["git_commit"] == f"{commit}+changes"


def test_somebody_else_s_repository_says_nothing_of_mien(module_file: Path) -> None:
    folder = module_file.parent
    git(folder, "init", "--quiet")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "theirs")
    assert circumstances()["git_commit"] is None


def test_without_a_repository_or_git_there_is_no_commit(
    module_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(module_file.parent.parent))
    assert circumstances()["git_commit"] is None
    monkeypatch.setenv("PATH", "")
    assert circumstances()["git_commit"] is None
