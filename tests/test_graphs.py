"""mien.graphs, mien.trial: less precise networks, and when they are trusted."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mien import graphs, trial
from mien.bundle import DEFAULT_BUNDLE, load_bundle
from mien.embed import Embedder
from mien.errors import BundleMismatch, DeviceUnavailable, InvalidArgument, MissingDependency
from mien.kept import kept
from mien.lab.convert import convert
from mien.processor import multiplies
from mien.recognise import Recogniser
from mien.trial import Trial, open_networks, trusted_precision
from mien.verify import GOLDEN_CLIP
from tiny_vit import CONFIG, random_tensors, shapes, write_folder

GRAPH = DEFAULT_BUNDLE / "embedder.onnx"
HAS_BF16 = multiplies("bf16")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mien" / "embedders"


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a small Vision Transformer, wide enough to be quantised well."""
    folder = tmp_path_factory.mktemp("vit")
    config = {**CONFIG, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
    values = {
        name: value / np.sqrt(value.shape[-1]).astype(np.float32)
        for name, value in random_tensors(shapes(width=64, inner=128)).items()
    }
    return convert(write_folder(folder / "hf", values, config), folder / "vit.onnx").path


def faces() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 48, 48, 3), dtype=np.uint8)


def least_cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / lengths).min())


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_int8_gives_about_the_same_embeddings(
    vit: Path, engine: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "engine_of", lambda precision: engine)
    usual = Embedder(vit).embed(faces())
    small = Embedder(vit, precision="int8")
    assert (small.crop_size, small.width) == (48, 64)
    found = small.embed(faces())
    assert 0.99 < least_cosine(usual, found) < 1 - 1e-7
    # What was quantised once is read again.
    (made,) = cache.iterdir()
    before = {file: file.stat().st_mtime_ns for file in made.iterdir()}
    np.testing.assert_allclose(Embedder(vit, precision="int8").embed(faces()), found, atol=1e-5)
    assert {file: file.stat().st_mtime_ns for file in made.iterdir()} == before


@pytest.mark.skipif(not HAS_BF16, reason="the processor does not multiply bf16")
def test_bf16_gives_nearly_the_same_embeddings(vit: Path) -> None:
    usual = Embedder(vit).embed(faces())
    found = Embedder(vit, precision="bf16").embed(faces())
    assert 0.999 < least_cosine(usual, found) < 1 - 1e-7


@pytest.mark.skipif(not HAS_BF16, reason="the processor does not multiply bf16")
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_clips_are_answered_as_by_float32(precision: str) -> None:
    usual = Recogniser(precision="f32").predict(GOLDEN_CLIP)
    found = Recogniser(precision=precision).predict(GOLDEN_CLIP)
    assert usual.probabilities
    assert found.probabilities
    assert found.emotion == usual.emotion
    for emotion, value in usual.probabilities.items():
        assert found.probabilities[emotion] == pytest.approx(value, abs=0.02)


def test_unknown_precision_lists_the_choices() -> None:
    with pytest.raises(InvalidArgument, match="one of auto, f32, bf16, int8, not 'fp16'"):
        Embedder(GRAPH, precision="fp16")


def test_other_devices_compute_with_float32() -> None:
    with pytest.raises(InvalidArgument, match="must be f32 on cuda, not 'int8'"):
        Embedder(GRAPH, device="cuda", precision="int8")


def test_bf16_needs_its_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "multiplies", lambda precision: precision == "f32")
    with pytest.raises(DeviceUnavailable, match="amx_bf16 or avx512_bf16"):
        Embedder(GRAPH, precision="bf16")


def test_without_a_package_for_it_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"mien\[openvino\]"):
        Embedder(GRAPH, precision="int8")


def test_openvino_is_not_needed_for_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(graphs, "find_spec", lambda name: name != "openvino" and find(name))
    assert graphs.engine_of("int8") == "onnxruntime"
    assert graphs.engine_of("bf16") is None


def test_openvino_tells_nobody(tmp_path: Path) -> None:
    """It would leave an identifier in the home folder, and send it."""
    program = (
        "from mien.graphs import import_openvino; import_openvino().Core();"
        "import sys; assert 'openvino_telemetry' not in sys.modules"
    )
    (tmp_path / "home").mkdir()
    environment = {**os.environ, "HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60)
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.skipif(not HAS_BF16, reason="the processor does not multiply bf16")
def test_a_file_that_is_no_graph(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("hello")
    with pytest.raises(BundleMismatch, match=r"text\.onnx is no ONNX graph that OpenVINO"):
        Embedder(path, precision="bf16")


# What "auto" chooses


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> dict[str, Trial]:
    """Take any embedder for a large one, on a processor that has everything."""
    trials: dict[str, Trial] = {}
    monkeypatch.setattr(trial, "LARGE", 0)
    monkeypatch.setattr(trial, "multiplies", lambda precision: True)
    monkeypatch.setattr(trial, "engine_of", lambda precision: "onnxruntime")
    monkeypatch.setattr(trial, "trial", lambda bundle, precision: trials[precision])
    return trials


GOOD = Trial(difference=0.004, times_faster=3.0)
FAR = Trial(difference=0.016, times_faster=4.0)
SLOW = Trial(difference=0.0, times_faster=0.9)
OTHER = Trial(difference=float("inf"), times_faster=4.0)


@pytest.mark.parametrize(
    ("int8", "bf16", "chosen"),
    [(GOOD, GOOD, "int8"), (FAR, GOOD, "bf16"), (OTHER, SLOW, "f32"), (SLOW, FAR, "f32")],
)
def test_auto_takes_the_first_that_passes(
    tried: dict[str, Trial], int8: Trial, bf16: Trial, chosen: str
) -> None:
    tried |= {"int8": int8, "bf16": bf16}
    assert trusted_precision(load_bundle()) == chosen
    # Once tried, it is not tried again.
    tried.clear()
    assert trusted_precision(load_bundle()) == chosen


def test_auto_is_float32_elsewhere_than_on_processors(tried: dict[str, Trial]) -> None:
    assert trusted_precision(load_bundle(), device="cuda") == "f32"


def test_auto_is_float32_where_nothing_can_be_kept(
    tried: dict[str, Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried["int8"] = GOOD
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert trusted_precision(load_bundle()) == "f32"


def test_small_embedders_are_not_tried() -> None:
    networks = open_networks(load_bundle(), device="cpu", precision="auto")
    assert networks.embedder is not None
    assert networks.embedder.precision == "f32"


def test_a_trial_compares_answers_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    same = trial.trial(load_bundle(), "f32")
    assert same.difference == 0
    assert 0.1 < same.times_faster < 10
    embed = Embedder.embed

    def wrong(embedder: Embedder, crops: np.ndarray) -> np.ndarray:
        rows = embed(embedder, crops)
        return rows[::-1] * 0 if embedder.precision == "int8" else rows

    monkeypatch.setattr(Embedder, "embed", wrong)
    assert not trial.trial(load_bundle(), "int8").passed


# The cache


def test_what_is_made_is_kept_whole_or_not_at_all(cache: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").write_text("")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        kept("thing", fails)
    assert list(cache.iterdir()) == []
    folder = kept("thing", lambda folder: (folder / "whole").write_text("made"))
    assert (folder / "whole").read_text() == "made"
    assert kept("thing", fails) == folder


def test_another_process_may_be_faster(cache: Path) -> None:
    def make(folder: Path) -> None:
        (cache / "thing").mkdir()
        (cache / "thing" / "theirs").write_text("")
        (folder / "ours").write_text("")

    folder = kept("thing", make)
    assert [file.name for file in folder.iterdir()] == ["theirs"]
