"""Features are computed once; clips that cannot be read are left out by name."""

import subprocess
import sys
import wave
import zipfile
from pathlib import Path
from typing import Any

import mien.lab  # noqa: F401

# Keras reads its backend at import, so mien.lab, which chooses it, comes first.
# isort: split
import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_samples import write_clip
from mien.config import FacesConfig, SpeechConfig
from mien.detectors import Box
from mien.embed import Embedder
from mien.errors import TrainingDataError
from mien.lab import dataset
from mien.lab.batches import Arrays
from mien.lab.corpora import Example, Exclusion
from mien.lab.dataset import (
    FeatureCache,
    clip_embeddings,
    sequence_embeddings,
    speech_arrays,
    still_crops,
)
from mien.lab.moving import moving_sequence
from mien.speech import speech_features
from tiny_fer2013 import smooth_picture

SPEECH = SpeechConfig(sample_rate=8_000, frame_length=512, hop_length=256, frames=20, mfcc=5)
FACES = FacesConfig(frames=4)


def tone(path: Path, *, hertz: float = 300, seconds: float = 0.4, loudness: float = 0.5) -> Example:
    time = np.arange(round(seconds * 8_000)) / 8_000
    samples = (loudness * 32_767 * np.sin(2 * np.pi * hertz * time)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8_000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return Example(key=path.stem, emotion="sad", corpus="made", path=path, has_sound=True)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache")


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    """Make an embedder that gives the mean colour."""
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["crops", "axes"], ["embedding"], keepdims=0)],
        "colour",
        [helper.make_tensor_value_info("crops", number, ["batch", 48, 48, 3])],
        [helper.make_tensor_value_info("embedding", number, ["batch", 3])],
        [onnx.numpy_helper.from_array(np.array([1, 2]), "axes")],
    )
    path = tmp_path_factory.mktemp("embedder") / "colour.onnx"
    opset = helper.make_opsetid("", 21)
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[opset]), path)
    return Embedder(path)


class Counting:
    """Something to compute that counts how often it was."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.calls = 0

    def __call__(self) -> np.ndarray:
        self.calls += 1
        return self.array


def test_the_cache_computes_once(cache: FeatureCache) -> None:
    compute = Counting(np.arange(6.0).reshape(2, 3))
    for again in (cache, cache, FeatureCache(cache.folder)):
        np.testing.assert_array_equal(again.get("a", b"b", compute=compute), compute.array)
    assert compute.calls == 1


@given(
    st.lists(
        st.lists(st.one_of(st.binary(max_size=3), st.sampled_from(["a", "ab"])), max_size=3).map(
            lambda parts: tuple(p.encode() if isinstance(p, str) else p for p in parts)
        ),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_other_parts_are_another_entry(parts: list[tuple[bytes, ...]]) -> None:
    names = []

    class Noting(FeatureCache):
        def __init__(self) -> None:
            super().__init__(Path("nowhere"))

    def note(path: Path, write: Any) -> None:
        names.append(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "write_atomically", note)
        for some in parts:
            Noting().get(*some, compute=lambda: np.zeros(1))
    assert len(set(names)) == 2


def test_the_cache_format_is_part_of_the_key(
    cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = Counting(np.zeros(1))
    cache.get("a", compute=compute)
    monkeypatch.setattr(dataset, "CACHE_FORMAT", "next")
    cache.get("a", compute=compute)
    assert compute.calls == 2


def test_a_computation_that_fails_leaves_nothing(cache: FeatureCache) -> None:
    with pytest.raises(ZeroDivisionError):
        cache.get("a", compute=lambda: np.array([1 // 0]))
    assert not cache.folder.exists()
    assert cache.get("a", compute=Counting(np.ones(2))).tolist() == [1, 1]


@pytest.mark.parametrize("left", [b"", b"\x93NUMPY", None])
def test_an_entry_that_cannot_be_read_is_computed_again(
    left: bytes | None, cache: FeatureCache
) -> None:
    compute = Counting(np.arange(100.0))
    cache.get("a", compute=compute)
    (entry,) = cache.folder.rglob("*.npy")
    entry.write_bytes(entry.read_bytes()[:-50] if left is None else left)
    for _ in range(2):
        np.testing.assert_array_equal(cache.get("a", compute=compute), compute.array)
    assert compute.calls == 2


def test_pickles_are_not_read(cache: FeatureCache) -> None:
    compute = Counting(np.zeros(1))
    cache.get("a", compute=compute)
    (entry,) = cache.folder.rglob("*.npy")
    np.save(entry, np.array([print], object), allow_pickle=True)
    assert cache.get("a", compute=compute).tolist() == [0]
    assert compute.calls == 2


WRITTEN = """
import os, sys
from pathlib import Path
from mien.lab.dataset import FeatureCache
import numpy as np
np.save = lambda file, array: (file.write(b"half"), file.flush(), os.kill(os.getpid(), 9))
FeatureCache(Path(sys.argv[1])).get("a", compute=lambda: np.zeros(3))
"""


def test_half_an_entry_of_a_killed_run_is_never_read(cache: FeatureCache) -> None:
    done = subprocess.run([sys.executable, "-c", WRITTEN, str(cache.folder)], check=False)
    assert done.returncode == -9
    assert [path.read_bytes() for path in cache.folder.rglob("*.part")] == [b"half"]
    assert cache.get("a", compute=Counting(np.ones(2))).tolist() == [1, 1]


def test_plain_speech(cache: FeatureCache, tmp_path: Path) -> None:
    clips = [tone(tmp_path / f"{hertz}.wav", hertz=hertz) for hertz in (200, 900)]
    loaded = speech_arrays(clips, config=SPEECH, cache=cache, augmented=False)
    assert loaded.examples == tuple(clips)
    assert loaded.excluded == ()
    assert loaded.arrays.inputs.shape == (2, 20 * 7)
    assert loaded.arrays.targets.tolist() == [[0, 0, 0, 1, 0, 0, 0, 0]] * 2
    # A higher tone crosses zero more often.
    rates = loaded.arrays.inputs[:, 2:10].mean(axis=1)
    np.testing.assert_allclose(rates, [2 * 200 / 8_000, 2 * 900 / 8_000], rtol=0.1)


def test_augmented_speech(cache: FeatureCache, tmp_path: Path) -> None:
    clips = [tone(tmp_path / f"{hertz}.wav", hertz=hertz) for hertz in (200, 900)]

    def heard(*, augmented: bool = True, cache: FeatureCache = cache, seed: int = 0) -> Arrays:
        options: Any = {"config": SPEECH, "augmented": augmented, "seed": seed}
        return speech_arrays(clips, cache=cache, **options).arrays

    plain, four = heard(augmented=False), heard()
    assert four.inputs.shape == (8, 20 * 7)
    assert four.targets.shape == (8, 8)
    np.testing.assert_array_equal(four.inputs[::4], plain.inputs)
    assert len(np.unique(four.inputs, axis=0)) == 8
    again = heard(cache=FeatureCache(tmp_path / "2"))
    np.testing.assert_array_equal(again.inputs, four.inputs)
    other = heard(seed=1)
    np.testing.assert_array_equal(other.inputs[::4], plain.inputs)
    assert not np.array_equal(other.inputs[1::4], four.inputs[1::4])


def test_speech_is_computed_once_for_each_content_and_config(
    cache: FeatureCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []

    def noted(waveform: Any, *, config: SpeechConfig) -> Any:
        heard.append(config)
        return speech_features(waveform, config=config)

    monkeypatch.setattr(dataset, "speech_features", noted)
    options: Any = {"cache": cache, "augmented": False}
    first = speech_arrays([tone(tmp_path / "a.wav")], config=SPEECH, **options)
    same = speech_arrays([tone(tmp_path / "b.wav")], config=SPEECH, **options)
    np.testing.assert_array_equal(first.arrays.inputs, same.arrays.inputs)
    assert len(heard) == 1
    speech_arrays([tone(tmp_path / "a.wav", hertz=400)], config=SPEECH, **options)
    other = SpeechConfig(sample_rate=8_000, frames=20)
    speech_arrays([tone(tmp_path / "a.wav", hertz=400)], config=other, **options)
    assert heard[1:] == [SPEECH, other]


def bad_clips(folder: Path) -> dict[str, Example]:
    """Make clips that cannot be heard, by what is wrong with them."""
    clips = {name: tone(folder / f"{name}.wav") for name in ("empty", "no_media")}
    clips["empty"].path.write_bytes(b"")
    clips["no_media"].path.write_bytes(b"no sound at all")
    clips["silent"] = tone(folder / "silent.wav", loudness=0)
    path = folder / "picture.mp4"
    write_clip(path)
    clips["picture"] = Example(
        key="a", emotion="sad", corpus="made", path=path, has_sound=True, has_picture=True
    )
    clips["member"] = damaged_member(folder / "a.zip")
    clips["gone"] = tone(folder / "gone.wav")
    clips["gone"].path.unlink()
    return clips


def damaged_member(path: Path) -> Example:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("b.wav", b"sound" * 10)
    path.write_bytes(path.read_bytes().replace(b"soundsound", b"soundSound", 1))
    return Example(key="b", emotion="sad", corpus="made", path=path, member="b.wav", has_sound=True)


@pytest.mark.parametrize("augmented", [False, True])
def test_clips_that_cannot_be_heard_are_left_out_by_name(
    augmented: bool, cache: FeatureCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = bad_clips(tmp_path)
    good = [tone(tmp_path / f"{hertz}.wav", hertz=hertz) for hertz in (200, 900)]
    options: Any = {"config": SPEECH, "cache": cache, "augmented": augmented}
    empty, *rest = bad.values()
    clips = [empty, good[0], *rest[:2], good[1], *rest[2:]]
    loaded = speech_arrays(clips, **options)
    assert loaded.examples == tuple(good)
    alone = speech_arrays(good, **options).arrays
    np.testing.assert_array_equal(loaded.arrays.inputs, alone.inputs)
    np.testing.assert_array_equal(loaded.arrays.targets, alone.targets)
    assert [exclusion.clip for exclusion in loaded.excluded] == [
        clip.title for clip in bad.values()
    ]
    reasons = dict(zip(bad, (told.reason for told in loaded.excluded), strict=True))
    # The name is told once, and not that the clip was read from memory.
    assert not any("<bytes>" in reason or str(tmp_path) in reason for reason in reasons.values())
    assert "0 bytes" in reasons["empty"]
    assert "something else or a damaged file" in reasons["no_media"]
    assert "silent" in reasons["silent"]
    assert reasons["picture"] == "no audio stream"
    assert reasons["member"].startswith("is damaged (Bad CRC-32")
    assert reasons["gone"].startswith("cannot be read (No such file")
    for told in loaded.excluded:
        assert f"left out: {told.clip}: {told.reason}" in caplog.text


def test_no_clip_can_be_heard(cache: FeatureCache, tmp_path: Path) -> None:
    clips = [tone(tmp_path / f"{name}.wav", loudness=0) for name in ("a", "b")]
    with pytest.raises(TrainingDataError, match=r"none of 2 clips .*a\.wav: .*silent"):
        speech_arrays(clips, config=SPEECH, cache=cache, augmented=False)
    with pytest.raises(TrainingDataError, match=r"none of 0 clips can be read$"):
        speech_arrays([], config=SPEECH, cache=cache, augmented=False)


def stills(path: Path, pictures: list[np.ndarray]) -> list[Example]:
    with zipfile.ZipFile(path, "w") as archive:
        for number, image in enumerate(pictures):
            archive.writestr(f"{number}.png", cv2.imencode(".png", image[..., ::-1])[1].tobytes())
    return [
        Example(key=str(n), emotion="happy", corpus="fer2013", path=path, member=f"{n}.png")
        for n in range(len(pictures))
    ]


def test_still_crops_are_rgb_of_the_right_size(tmp_path: Path) -> None:
    red = np.zeros((96, 96, 3), np.uint8)
    red[..., 0] = 200
    arrays = still_crops(stills(tmp_path / "a.zip", [red, smooth_picture(1)]), config=FACES)
    assert arrays.inputs.dtype == np.uint8
    assert arrays.inputs.shape == (2, 48, 48, 3)
    assert arrays.inputs[0, 20, 20].tolist() == [200, 0, 0]
    np.testing.assert_array_equal(arrays.inputs[1], smooth_picture(1))
    assert arrays.targets.argmax(axis=1).tolist() == [2, 2]


def test_a_still_that_is_no_picture_is_named(tmp_path: Path) -> None:
    examples = stills(tmp_path / "a.zip", [smooth_picture(1)])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("0.png", "no picture")
    with pytest.raises(TrainingDataError, match=r"a\.zip: 0\.png is no picture"):
        still_crops(examples, config=FACES)


def test_embedded_sequences(
    cache: FeatureCache, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "SEQUENCES_AN_ENTRY", 2)
    crops = Arrays(
        np.stack([smooth_picture(seed) for seed in range(5)]), np.eye(8, dtype=np.float32)[:5]
    )
    options: Any = {"config": FACES, "embedder": embedder, "cache": cache}
    embedded = sequence_embeddings(crops, seed=0, **options)
    assert embedded.inputs.shape == (5, 4, 3)
    assert embedded.inputs.dtype == np.float32
    assert embedded.targets is crops.targets
    colours = crops.inputs.mean(axis=(1, 2))
    assert np.abs(embedded.inputs.mean(axis=1) - colours).max() < 50
    assert len(list(cache.folder.rglob("*.npy"))) == 3
    # A still moves the same whichever others there are.
    fewer = Arrays(crops.inputs[3:], crops.targets[3:])
    alone = sequence_embeddings(fewer, seed=0, **options)
    np.testing.assert_array_equal(alone.inputs, embedded.inputs[3:])
    moved = sequence_embeddings(crops, seed=1, **options)
    assert not np.array_equal(moved.inputs, embedded.inputs)


def test_an_interrupted_embedding_goes_on(
    cache: FeatureCache, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "SEQUENCES_AN_ENTRY", 2)
    crops = Arrays(
        np.stack([smooth_picture(seed) for seed in range(5)]), np.eye(8, dtype=np.float32)[:5]
    )
    options: Any = {"config": FACES, "embedder": embedder, "cache": cache, "seed": 0}
    seen = []

    def counted(crop: np.ndarray, **rest: Any) -> np.ndarray:
        seen.append(crop)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return moving_sequence(crop, **rest)

    monkeypatch.setattr(dataset, "moving_sequence", counted)
    with pytest.raises(KeyboardInterrupt):
        sequence_embeddings(crops, **options)
    sequence_embeddings(crops, **options)
    assert len(seen) == 4 + 3


class Everywhere:
    """A detector that finds one face in pictures that are not black."""

    def detect(self, image: np.ndarray, *, expected: int | None = None) -> list[Box]:  # noqa: ARG002
        height, width = image.shape[:2]
        return [Box(0, 0, width, height)] if image.mean() > 10 else []


def flat(path: Path, colour: tuple[int, int, int]) -> Example:
    image = np.full((64, 64, 3), colour, np.uint8)
    write_clip(path, size=(64, 64), image_of_frame=lambda _: image)
    return Example(key=path.stem, emotion="calm", corpus="made", path=path, has_picture=True)


def test_embedded_clips(
    cache: FeatureCache, embedder: Embedder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clips = [
        flat(tmp_path / "red.mp4", (200, 30, 30)),
        flat(tmp_path / "black.mp4", (0, 0, 0)),
        tone(tmp_path / "sound.wav"),
        flat(tmp_path / "grey.mp4", (120, 120, 120)),
    ]
    options: Any = {"config": FACES, "embedder": embedder, "cache": cache}
    for _ in range(2):
        loaded = clip_embeddings(clips, detector=Everywhere(), **options)
        assert loaded.examples == (clips[0], clips[3])
        arrays = loaded.arrays
        assert arrays.inputs.shape == (2, 4, 3)
        assert arrays.targets.tolist() == [[0, 1, 0, 0, 0, 0, 0, 0]] * 2
        expected = [[200, 30, 30], [120, 120, 120]]
        np.testing.assert_allclose(arrays.inputs.mean(axis=1), expected, atol=6)
        black, sound = loaded.excluded
        assert black == Exclusion(clip=clips[1].title, reason="a face in too few frames")
        assert sound.clip == clips[2].title
        assert "video stream" in sound.reason
    # That a clip shows no face is remembered too.
    assert len(list(cache.folder.rglob("*.npy"))) == 3
    assert f"left out: {clips[1].title}: a face in too few frames" in caplog.text


def test_no_clip_shows_a_face(cache: FeatureCache, embedder: Embedder, tmp_path: Path) -> None:
    clips = [flat(tmp_path / "black.mp4", (0, 0, 0))]
    options: Any = {"config": FACES, "embedder": embedder, "cache": cache}
    with pytest.raises(TrainingDataError, match=r"none of 1 clips .*black\.mp4: a face in too few"):
        clip_embeddings(clips, detector=Everywhere(), **options)
