"""A recording with noise, at another pitch or louder is found; another recording is not."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from mien.errors import InvalidArgument
from mien.lab.augment import add_noise, pitch_shift, variants
from mien.lab.copies import COMPARED, SHORTEST, find_copies
from mien.media import open_clip
from mien.speech import speech_features

CONFIG = COMPARED
RATE = CONFIG.sample_rate


def utterance(seed: int, *, seconds: float = 3.0) -> np.ndarray:
    """Make something like speech: syllables of harmonics under formants, pauses between."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    knots = np.linspace(0, 1, round(seconds * 8))

    def course(low: float, high: float) -> np.ndarray:
        place = np.linspace(0, 1, samples)
        return np.asarray(np.interp(place, knots, rng.uniform(low, high, knots.size)))

    phase = np.cumsum(course(100, 180)) / RATE
    pulses = sum(np.cos(2 * np.pi * n * phase) for n in range(1, 25))
    voiced = sum(
        course(0, 1) * sosfilt(butter(2, [f * 0.8, f * 1.2], "band", fs=RATE, output="sos"), pulses)
        for f in (400, 900, 1_600, 2_500)
    )
    loudness = np.maximum(course(-0.5, 1), 0)
    wave = loudness * voiced
    return np.asarray(0.3 * wave / np.abs(wave).max(), np.float32)


def rows(*waveforms: np.ndarray) -> np.ndarray:
    return np.stack([speech_features(waveform, config=CONFIG) for waveform in waveforms])


def pairs(tested: np.ndarray, trained: np.ndarray) -> list[tuple[int, int]]:
    return [(c.tested, c.trained) for c in find_copies(tested, trained)]


ORIGINALS = [utterance(seed) for seed in range(6)]


@pytest.mark.parametrize(
    "change",
    [
        lambda wave, rng: wave,
        lambda wave, rng: wave * np.float32(0.2),
        lambda wave, rng: add_noise(wave, rng=rng),
        lambda wave, rng: 3 * add_noise(wave, rng=rng),
        lambda wave, rng: pitch_shift(wave, sample_rate=RATE, semitones=0.7),
        lambda wave, rng: pitch_shift(wave, sample_rate=RATE, semitones=-0.7),
    ],
    ids=["same", "softer", "noise", "louder noise", "up", "down"],
)
def test_copies_are_found_and_only_they(change) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    changed = rows(*(change(wave, rng) for wave in ORIGINALS[:3]))
    plain = rows(*ORIGINALS[::-1])
    assert pairs(changed, plain) == [(0, 5), (1, 4), (2, 3)]
    assert pairs(plain, changed) == [(3, 2), (4, 1), (5, 0)]


def test_likeness_is_a_correlation() -> None:
    plain = rows(*ORIGINALS)
    found = find_copies(plain, plain)
    assert [copy.likeness for copy in found] == pytest.approx([1.0] * 6, abs=1e-5)


def test_sounds_that_start_and_end_together_are_not_copies() -> None:
    envelope = np.repeat([0.0, 1, 0, 1, 1, 0, 1, 0], RATE // 3)
    time = np.arange(envelope.size) / RATE
    beeps = [envelope * np.sin(2 * np.pi * hertz * time) for hertz in (300, 1_500)]
    assert pairs(rows(beeps[0]), rows(beeps[1])) == []


def test_a_copy_may_have_lost_a_frame() -> None:
    noisy = add_noise(ORIGINALS[0], rng=np.random.default_rng(0))[: -CONFIG.hop_length]
    assert pairs(rows(noisy), rows(*ORIGINALS[:2])) == [(0, 0)]


def test_recordings_of_other_length_are_not_copies() -> None:
    wave = ORIGINALS[0]
    assert pairs(rows(wave), rows(wave[: -3 * CONFIG.hop_length])) == []


def test_recordings_too_short_to_tell_apart_are_not_compared() -> None:
    wave = utterance(0, seconds=SHORTEST * CONFIG.hop_length / RATE)
    for frames, found in ((SHORTEST - 2, []), (SHORTEST + 1, [(0, 0)])):
        row = rows(np.resize(wave, frames * CONFIG.hop_length))
        assert pairs(row, row) == found


def test_silence_is_like_nothing() -> None:
    silence = rows(np.zeros(3 * RATE, np.float32))
    assert pairs(silence, rows(ORIGINALS[0])) == []
    assert pairs(silence, silence) == []


def test_no_recordings() -> None:
    assert pairs(rows(ORIGINALS[0]), np.empty((0, 5_984), np.float32)) == []


def test_rows_of_another_configuration() -> None:
    with pytest.raises(InvalidArgument, match=r"trained must be of shape \(recordings, 5984\)"):
        pairs(rows(ORIGINALS[0]), np.zeros((1, 272)))
    with pytest.raises(InvalidArgument, match=r"tested must be .* not \(5984,\)"):
        pairs(rows(ORIGINALS[0])[0], rows(ORIGINALS[0]))


@pytest.mark.slow
@pytest.mark.skipif("MIEN_DATA" not in os.environ, reason="MIEN_DATA does not name the corpora")
def test_two_actors_of_ravdess() -> None:
    """Among the most alike takes of all, no false alarm; the doubled recording is found."""
    folder = Path(os.environ["MIEN_DATA"]) / "ravdess"
    files = sorted([*folder.glob("Actor_07/*.flac"), *folder.glob("Actor_23/*.flac")])
    waves = []
    for file in files:
        with open_clip(
            file.read_bytes(), frames=1, sample_rate=RATE, samples=CONFIG.samples
        ) as clip:
            assert clip.waveform is not None
            waves.append(clip.waveform)
    plain = rows(*waves)
    double = {files.index(file) for file in folder.glob("Actor_07/03-01-03-01-02-0?-07.flac")}
    found = [pair for pair in pairs(plain, plain) if pair[0] != pair[1]]
    assert [set(pair) for pair in found] == [double, double]
    rng = np.random.default_rng(0)
    changed = [rows(*(variants(w, rng=rng, config=CONFIG)[1:])) for w in waves[::6]]
    for kind, least in enumerate((20, 17, 15)):
        copies = pairs(np.stack([three[kind] for three in changed]), plain)
        alarms = [(a, b) for a, b in copies if b != 6 * a and {6 * a, b} != double]
        assert alarms == []
        assert sum(b == 6 * a for a, b in copies) >= least
