import io
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data

import mien
from media_samples import sine, sound_bytes, still_bytes, write_clip
from mien import EMOTIONS, Failure, Prediction, Recogniser
from mien.bundle import DEFAULT_BUNDLE, MANIFEST, Networks, write_manifest
from mien.calibration import AnswerCalibration, Calibration
from mien.errors import DeviceUnavailable, InvalidArgument, UnreadableClip
from mien.fusion import fuse, temper

EXAMPLE = DEFAULT_BUNDLE.parent / "astronaut.mp4"
NO_DATA = "needs the sample clips: set MIEN_DATA to their folder"


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return mien.load()


@pytest.fixture(scope="module")
def answer(recogniser: Recogniser) -> Prediction:
    return recogniser.predict(EXAMPLE)


def timeless(prediction: Prediction, clip: str = "") -> Prediction:
    """Leave out what may differ between two calls on the same clip."""
    return replace(prediction, seconds={}, clip=clip)


def test_example_uses_both_branches(answer: Prediction) -> None:
    assert answer.audio.used
    assert answer.video.used
    assert answer.audio.reason is None
    assert answer.video.reason is None
    assert answer.faces_found == 1.0
    assert answer.duration_s == pytest.approx(3.8, abs=0.2)


def calibrated(folder: Path, **changes: Any) -> Path:
    """Copy the default bundle, calibrated in some made way."""
    shutil.copytree(DEFAULT_BUNDLE, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    answers = {name: AnswerCalibration(**changes) for name in ("audio", "video", "fused")}
    manifest["calibration"] = Calibration(fusion="average", answers=answers).to_dict()
    write_manifest(folder, manifest)
    return folder


def test_fused_is_the_bundle_s_fusion_and_emotion_its_largest(
    recogniser: Recogniser, answer: Prediction
) -> None:
    audio, video = answer.audio.probabilities, answer.video.probabilities
    assert audio
    assert video
    assert answer.probabilities
    heard, seen = (np.array(list(row.values()), np.float32) for row in (audio, video))
    calibration = recogniser.bundle.calibration
    fused = fuse(heard, seen, method=calibration.fusion)
    assert fused is not None
    np.testing.assert_allclose(
        list(answer.probabilities.values()), calibration.answers["fused"].apply(fused), atol=1e-6
    )
    assert answer.confidence == max(answer.probabilities.values())
    assert answer.probabilities[str(answer.emotion)] == answer.confidence


def test_each_answer_is_tempered(
    recogniser: Recogniser, answer: Prediction, tmp_path: Path
) -> None:
    plain = Recogniser(calibrated(tmp_path / "plain")).predict(EXAMPLE)
    modest = Recogniser(calibrated(tmp_path / "modest", temperature=3.0)).predict(EXAMPLE)
    for branch in ("audio", "video"):
        before, after = (
            np.array(list(getattr(found, branch).probabilities.values()))
            for found in (plain, modest)
        )
        np.testing.assert_allclose(after, temper(before, 3.0), atol=1e-5)
    assert modest.confidence is not None
    assert plain.confidence is not None
    assert modest.confidence < plain.confidence


def test_set_is_by_the_threshold_of_the_rate_asked_for(tmp_path: Path) -> None:
    said = Recogniser(calibrated(tmp_path / "plain")).predict(EXAMPLE).probabilities
    assert said
    between = sum(sorted(said.values())[-3:-1]) / 2
    thresholds = (1.0,) * 40 + (between,) * 9 + (0.0,)
    bundle = calibrated(tmp_path / "b", clips=30, thresholds=thresholds)
    for rate, size in ((0.8, 1), (0.9, 2), (0.99, 8)):
        found = Recogniser(bundle, set_rate=rate).predict(EXAMPLE)
        assert found.probabilities
        ranked = sorted(EMOTIONS, key=found.probabilities.__getitem__, reverse=True)
        assert found.set == tuple(ranked[:size])
        assert found.set_rate == rate


def test_a_bundle_without_calibration_has_no_set(tmp_path: Path) -> None:
    found = Recogniser(calibrated(tmp_path / "plain")).predict(EXAMPLE)
    assert (found.set, found.set_rate) == (None, None)


def test_the_paper_s_mean_is_not_changed_in_its_last_digit(tmp_path: Path) -> None:
    found = Recogniser(calibrated(tmp_path / "plain")).predict(EXAMPLE)
    assert found.audio.probabilities
    assert found.video.probabilities
    assert found.probabilities
    for emotion in EMOTIONS:
        pair = (found.audio.probabilities[emotion], found.video.probabilities[emotion])
        assert found.probabilities[emotion] == float(np.mean(pair, dtype=np.float64).astype("f4"))


@pytest.mark.parametrize("branch", ["audio", "video"])
def test_an_answer_that_is_no_number_puts_the_branch_out(
    branch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Networks.answer

    def broken(networks: Networks, name: str, inputs: Any) -> Any:
        given = answer(networks, name, inputs)
        return np.full_like(given, np.nan) if name == branch else given

    monkeypatch.setattr(Networks, "answer", broken)
    found = mien.load().predict(EXAMPLE)
    out = getattr(found, branch)
    assert (out.used, out.reason) == (False, "the network's answer is not a number")
    other = found.video if branch == "audio" else found.audio
    assert found.probabilities == other.probabilities


def test_abstaining_keeps_the_probabilities(answer: Prediction) -> None:
    assert not answer.abstained
    assert answer.confidence is not None
    level = Recogniser(abstain_below=answer.confidence).predict(EXAMPLE)
    assert timeless(level) == timeless(answer)
    above = Recogniser(abstain_below=min(1.0, answer.confidence + 1e-6)).predict(EXAMPLE)
    assert above.abstained
    assert above.emotion is None
    assert timeless(replace(above, abstained=False, emotion=answer.emotion)) == timeless(answer)


def test_no_answer_is_no_abstention() -> None:
    seen = Recogniser(abstain_below=1).predict(still_bytes(skimage.data.coffee()))
    assert (seen.abstained, seen.set, seen.emotion) == (False, None, None)


@pytest.mark.parametrize(
    "wrong", [{"abstain_below": -0.1}, {"abstain_below": 1.1}, {"set_rate": 1}]
)
def test_wrong_certainty_is_told_at_once(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        mien.load(**wrong)  # type: ignore[arg-type]


SECOND = np.arange(22_050) / 22_050
HARD_SOUNDS = {
    "almost silent": 1.2e-3 * np.sin(2 * np.pi * 100 * SECOND),
    "one click": np.eye(1, 22_050, 11_025)[0],
    "noise": np.random.default_rng(0).uniform(-1, 1, 22_050),
    "clipped at full scale": np.sign(np.sin(2 * np.pi * 440 * SECOND)),
    "direct current": np.ones(22_050),
    "a tenth of a second": 0.5 * np.sin(2 * np.pi * 300 * SECOND[:2_205]),
}


@pytest.mark.parametrize("name", HARD_SOUNDS)
def test_no_sound_makes_probabilities_that_are_none(recogniser: Recogniser, name: str) -> None:
    heard = recogniser.predict(sound_bytes(HARD_SOUNDS[name][None].astype(np.float32), rate=22_050))
    assert heard.audio.used
    assert heard.probabilities
    assert sum(heard.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert all(0 <= value <= 1 for value in heard.probabilities.values())


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0)])
def test_no_face_of_one_colour_makes_probabilities_that_are_none(
    recogniser: Recogniser, colour: tuple[int, int, int]
) -> None:
    networks = Networks(recogniser.bundle)
    assert networks.embedder
    faces = np.full((22, 48, 48, 3), colour, np.uint8)
    seen = networks.answer("video", networks.embedder.embed(faces)[None])[0]
    found = recogniser.bundle.calibration.combine(None, seen).fused
    assert found is not None
    assert np.isfinite(found).all()
    assert found.sum() == pytest.approx(1, abs=1e-5)


def test_a_black_picture_has_no_face(recogniser: Recogniser) -> None:
    seen = recogniser.predict(still_bytes(np.zeros((480, 480, 3), np.uint8)))
    assert (seen.emotion, seen.video.used) == (None, False)


def test_json_has_the_contract_s_keys(answer: Prediction) -> None:
    values = answer.to_dict()
    assert list(values) == [
        "clip", "emotion", "confidence", "abstained", "set", "set_rate", "probabilities",
        "audio", "video", "duration_s", "faces_found", "bundle", "seconds",
    ]  # fmt: skip
    assert list(values["probabilities"]) == list(EMOTIONS)
    assert list(values["audio"]) == ["used", "reason", "probabilities"]
    assert list(values["bundle"]) == ["name", "sha256"]
    assert list(values["seconds"]) == ["decode", "faces", "embed", "audio", "total"]


def test_stages_add_up_to_the_total(answer: Prediction) -> None:
    stages = {**answer.seconds}
    total = stages.pop("total")
    assert sum(stages.values()) == pytest.approx(total, rel=0.05, abs=0.01)


def test_path_bytes_and_file_give_the_same(recogniser: Recogniser, answer: Prediction) -> None:
    content = EXAMPLE.read_bytes()
    for source in (str(EXAMPLE), content, io.BytesIO(content)):
        assert timeless(recogniser.predict(source)) == timeless(answer)


def test_two_calls_and_two_recognisers_give_the_same(
    recogniser: Recogniser, answer: Prediction
) -> None:
    assert timeless(recogniser.predict(EXAMPLE)) == timeless(answer)
    assert timeless(mien.load().predict(EXAMPLE)) == timeless(answer)
    assert timeless(mien.predict(EXAMPLE)) == timeless(answer)


def test_threads_give_the_same(recogniser: Recogniser, answer: Prediction) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(recogniser.predict, [EXAMPLE] * 6))
    assert {str(timeless(each)) for each in answers} == {str(timeless(answer))}


def test_unreadable_clip_keeps_its_place(recogniser: Recogniser, answer: Prediction) -> None:
    good, bad, again = recogniser.predict([EXAMPLE, b"no clip", EXAMPLE])
    assert isinstance(bad, Failure)
    assert bad.to_dict()["error"]["type"] == "UnreadableClip"
    assert "<bytes>" in bad.message
    for each in (good, again):
        assert isinstance(each, Prediction)
        assert timeless(each) == timeless(answer)


def test_many_clips_are_answered_as_each_alone(recogniser: Recogniser, tmp_path: Path) -> None:
    sound = sound_bytes(sine(220, seconds=1, rate=22_050), rate=22_050)
    still = still_bytes(skimage.data.astronaut())
    clips: list[Any] = [EXAMPLE, sound, still, str(EXAMPLE), sound, still] * 2
    together = recogniser.predict(clips)
    for clip, found in zip(clips, together, strict=True):
        assert isinstance(found, Prediction)
        assert timeless(found) == timeless(recogniser.predict(clip))


def test_an_open_file_that_comes_twice_is_read_twice(
    recogniser: Recogniser, answer: Prediction
) -> None:
    with EXAMPLE.open("rb") as file:
        answers = recogniser.predict([file] * 4)
    for each in answers:
        assert isinstance(each, Prediction)
        assert timeless(each) == timeless(answer)


def test_one_unreadable_clip_raises(recogniser: Recogniser) -> None:
    with pytest.raises(UnreadableClip, match=r"missing\.mp4"):
        recogniser.predict("missing.mp4")


def test_wrong_type_is_named(recogniser: Recogniser) -> None:
    with pytest.raises(InvalidArgument, match="path, bytes or a binary file"):
        recogniser.predict(3)  # type: ignore[call-overload]


def test_sound_alone(recogniser: Recogniser) -> None:
    heard = recogniser.predict(sound_bytes(sine(220, seconds=1, rate=22_050), rate=22_050))
    assert heard.audio.used
    assert (heard.video.used, heard.video.reason) == (False, "no video stream")
    assert heard.faces_found is None
    assert heard.probabilities == heard.audio.probabilities


def test_still_of_a_face(recogniser: Recogniser) -> None:
    seen = recogniser.predict(still_bytes(skimage.data.astronaut()))
    assert seen.video.used
    assert seen.faces_found == 1.0
    assert (seen.audio.used, seen.audio.reason) == (False, "no audio stream")
    assert seen.probabilities == seen.video.probabilities


def test_picture_without_a_face_is_never_scored(recogniser: Recogniser) -> None:
    seen = recogniser.predict(still_bytes(skimage.data.coffee()))
    assert seen.video.reason == "a face in 0 of 22 frames"
    assert seen.faces_found == 0.0
    assert (seen.emotion, seen.confidence, seen.probabilities) == (None, None, None)


def test_face_that_is_seldom_there(recogniser: Recogniser, tmp_path: Path) -> None:
    face, cup = skimage.data.astronaut(), cv2.resize(skimage.data.coffee(), (512, 512))
    path = tmp_path / "seldom.mp4"
    write_clip(path, frames=22, size=(512, 512), image_of_frame=lambda n: face if n < 2 else cup)
    seen = recogniser.predict(path)
    assert seen.video.reason == "a face in 2 of 22 frames"
    assert seen.faces_found == 0.091


def test_silence_leaves_the_face(recogniser: Recogniser, tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    face = skimage.data.astronaut()
    write_clip(
        path,
        size=(512, 512),
        image_of_frame=lambda _: face,
        waveform=np.zeros((1, 22_050), np.float32),
    )
    seen = recogniser.predict(path)
    assert seen.audio.reason == "silent: below -60 dBFS all through"
    assert seen.probabilities == seen.video.probabilities


def test_device_and_detector_are_checked_at_once() -> None:
    with pytest.raises(InvalidArgument, match="haar"):
        mien.load(detector="dlib")
    with pytest.raises(InvalidArgument, match="yunet"):
        mien.load(detector="yunet")
    with pytest.raises((DeviceUnavailable, InvalidArgument)):
        mien.load(device="tpu")


@pytest.mark.skipif("MIEN_DATA" not in os.environ, reason=NO_DATA)
@pytest.mark.parametrize("name", ["01-01-01-01-01-01-01.mp4", "01-01-08-02-01-01-19.mp4"])
def test_real_clips_use_both_branches(recogniser: Recogniser, name: str) -> None:
    seen = recogniser.predict(Path(os.environ["MIEN_DATA"]) / "clips" / name)
    assert seen.audio.used
    assert seen.video.used
    assert seen.faces_found == 1.0


@pytest.mark.skipif("MIEN_DATA" not in os.environ, reason=NO_DATA)
def test_yunet_on_a_real_clip() -> None:
    data = Path(os.environ["MIEN_DATA"])
    model = data.parent / "models" / "yunet_n_640_640.onnx"
    seen = mien.load(detector="yunet", detector_model=model).predict(
        data / "clips" / "01-01-01-01-01-01-01.mp4"
    )
    assert seen.faces_found == 1.0
