"""Who speaks, and whether anybody does: made voices and made mouths."""

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest

from mien import speaking
from mien.config import SpeechConfig
from mien.speaking import MEMORY_S, Mouths, mouth_movement, speech_share

CONFIG = SpeechConfig()
RATE = CONFIG.sample_rate
Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


def vowel(seconds: float, *, hertz: float = 140) -> Floats:
    time = np.arange(int(RATE * seconds)) / RATE
    sound = np.zeros(len(time))
    for order in range(1, 9):
        sound += np.sin(2 * np.pi * hertz * order * time) / order
    return (0.2 * sound).astype(np.float32)


def silence(seconds: float) -> Floats:
    return np.zeros(int(RATE * seconds), np.float32)


def test_silence_and_noise_are_no_speech() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    assert speech_share(silence(2), config=CONFIG) == 0
    assert speech_share(noise, config=CONFIG) < 0.05
    assert speech_share(silence(0), config=CONFIG) == 0


@pytest.mark.parametrize("gain", [0.05, 1.0, 4.0])
def test_the_share_is_that_of_the_vowels_and_what_is_around_them(gain: float) -> None:
    sound = np.concatenate([silence(1.5), np.float32(gain) * vowel(1.0), silence(1.5)])
    # A second, a quarter on both sides, and half a window at each end.
    assert speech_share(sound, config=CONFIG) == pytest.approx(1.5 / 4, abs=0.05)


def test_what_is_far_below_full_scale_is_no_speech() -> None:
    assert speech_share(vowel(1.0) * np.float32(1e-4), config=CONFIG) == 0


def face(*, mouth: int = 0, shift: int = 0) -> Pixels:
    """Paint a face whose mouth is so dark, in another place of the crop."""
    generator = np.random.default_rng(0)
    grey = generator.integers(80, 200, (60, 60)).astype(np.uint8)
    grey[40:52, 20:40] = mouth
    crop = grey[6 + shift : 54 + shift, 6:54]
    return np.repeat(crop[:, :, None], 3, axis=2)


def test_a_mouth_that_moves_is_told_from_a_head_that_does() -> None:
    assert mouth_movement(face(), face()) == 0
    assert abs(mouth_movement(face(), face(shift=2))) < 1
    assert mouth_movement(face(), face(mouth=120)) > 10


def talk(movers: tuple[int, ...], *, seconds: float = 6.0) -> Mouths:
    """Show two faces, of which some open their mouths as loud as it is."""
    mouths, generator = Mouths(), np.random.default_rng(1)
    for step in range(int(11 * seconds)):
        loudness = float(generator.random())
        crops = {}
        for person in (1, 2):
            opened = loudness if person in movers else float(generator.random())
            # Half of the looks show it closed: what changes is how far it opens in between.
            crops[person] = face(mouth=int(200 * opened) if step % 2 else 0)
        mouths.take(step / 11, crops, loudness=loudness if step % 2 else 0.0)
    return mouths


def test_the_voice_is_whose_mouth_moves_with_it() -> None:
    def shown(mover: int) -> Mouths:
        mouths, generator = Mouths(), np.random.default_rng(2)
        mouth = {1: 0, 2: 0}
        for step in range(70):
            loudness = float(generator.random())
            # How far the mouth goes from one look to the next is how loud it is.
            mouth[mover] = (mouth[mover] + int(90 * loudness)) % 250
            mouth[3 - mover] = (mouth[3 - mover] + int(90 * generator.random())) % 250
            crops = {person: face(mouth=dark) for person, dark in mouth.items()}
            mouths.take(step / 11, crops, loudness=loudness)
        return mouths

    assert shown(1).speaker(among=(1, 2)) == 1
    assert shown(2).speaker(among=(1, 2)) == 2


def test_the_voice_is_of_nobody_who_is_not_there() -> None:
    assert talk((1,)).speaker(among=(2, 3)) is None


def test_nobody_has_a_voice_that_no_mouth_or_both_move_with() -> None:
    assert talk(()).speaker(among=(1, 2)) is None
    assert talk((1, 2)).speaker(among=(1, 2)) is None


def test_nobody_is_told_after_a_moment() -> None:
    assert talk((1,), seconds=1.0).speaker(among=(1, 2)) is None


def test_what_is_long_past_is_forgotten() -> None:
    mouths = talk((1,), seconds=4 * MEMORY_S)
    assert all(len(rows) <= 11 * MEMORY_S + 1 for rows in mouths._rows.values())


def test_a_short_sound_is_all_near_its_vowel() -> None:
    sound = np.concatenate([vowel(0.1), silence(0.1)])
    assert speech_share(sound, config=CONFIG) == 1.0
    sound = np.concatenate([vowel(0.1), silence(0.4)])
    # A quarter of a second after a vowel that a window of a tenth may reach over.
    assert 0.7 < speech_share(sound, config=CONFIG) < 0.95


def test_vowels_with_pauses_are_their_share_however_long_it_lasts() -> None:
    sound = np.concatenate([silence(1.0), vowel(0.5), silence(1.0)] * 8)
    share = speech_share(sound, config=CONFIG)
    assert share == pytest.approx((0.5 + 2 * 0.25) / 2.5, abs=0.04)
    whole = speaking.AT_ONCE
    for at_once in (7, 100, 10**6):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(speaking, "AT_ONCE", at_once)
            assert speech_share(sound, config=CONFIG) == share
    assert RATE * 20 / CONFIG.hop_length > whole


def test_minutes_of_sound_take_little_memory() -> None:
    sound = np.tile(vowel(1.0), 120)
    tracemalloc.start()
    assert speech_share(sound, config=CONFIG) == 1.0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**26


def test_people_who_are_long_gone_are_forgotten() -> None:
    mouths = Mouths()
    for step in range(300):
        crops = {step // 10: face(mouth=step % 7), 1000 + step: face()}  # and one seen once
        mouths.take(step / 10, crops, loudness=0.1)
    assert len(mouths._rows) <= MEMORY_S + 2
    assert len(mouths._last) < 10


def test_small_crops_have_mouths_too() -> None:
    before, now = (np.full((16, 16, 3), grey, np.uint8) for grey in (0, 0))
    now[11:] = 90
    assert mouth_movement(before, now) > 10


def test_a_silent_crowd_s_voice_is_nobody_s() -> None:
    """A constant loudness goes with nothing, and a mouth that keeps still with no loudness."""
    for moves, speaks in ((True, False), (False, True)):
        mouths, generator = Mouths(), np.random.default_rng(4)
        for step in range(60):
            mouth = int(200 * generator.random()) if moves else 0
            loudness = float(generator.random()) if speaks else 0.1
            mouths.take(step / 11, {1: face(mouth=mouth), 2: face()}, loudness=loudness)
        assert mouths.speaker(among=(1, 2)) is None


def test_chance_alone_seldom_gives_a_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(5)
    monkeypatch.setattr(speaking, "mouth_movement", lambda *_: float(generator.random()))
    told = 0
    for _ in range(100):
        mouths = Mouths()
        for step in range(88):
            mouths.take(step / 11, {1: face()}, loudness=float(generator.random()))
        told += mouths.speaker(among=(1, 2)) is not None
    assert told < 8
