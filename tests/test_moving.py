"""Stills move as faces do."""

import numpy as np

from mien.lab.moving import augment_stills, moving_sequence
from tiny_fer2013 import smooth_picture


def test_a_moving_sequence_is_the_same_face_moving() -> None:
    crop = smooth_picture(2)
    frames = moving_sequence(crop, frames=22, rng=np.random.default_rng(0))
    assert frames.shape == (22, 48, 48, 3)
    assert frames.dtype == np.uint8
    assert len(np.unique(frames.reshape(22, -1), axis=0)) == 22
    again = moving_sequence(crop, frames=22, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(frames, again)


def test_a_moving_sequence_stays_near_the_still() -> None:
    crop = smooth_picture(2)
    own, other = [], []
    for seed in range(30):
        frames = moving_sequence(crop, frames=3, rng=np.random.default_rng(seed)).astype(float)
        mirrored = min(np.abs(frames - face).mean() for face in (crop, crop[:, ::-1]))
        own.append(mirrored)
        other.append(np.abs(frames - smooth_picture(3)).mean())
    assert np.mean(own) < 0.6 * np.mean(other)
    assert np.max(own) < 60


def test_neighbouring_frames_differ_less_than_distant_ones() -> None:
    steps, spans = [], []
    for seed in range(30):
        frames = moving_sequence(smooth_picture(2), frames=22, rng=np.random.default_rng(seed))
        moved = frames.astype(float)
        steps.append(np.abs(np.diff(moved, axis=0)).mean())
        spans.append(np.abs(moved[-5:] - moved[:5]).mean())
    assert np.mean(steps) < np.mean(spans)


def test_augmented_stills_are_posed_and_some_blotted_out() -> None:
    crops = np.stack([smooth_picture(seed) for seed in range(40)])
    kept = crops.copy()
    posed = augment_stills(crops, np.random.default_rng(0))
    assert posed.shape == crops.shape
    assert posed.dtype == np.uint8
    np.testing.assert_array_equal(crops, kept)
    np.testing.assert_array_equal(posed, augment_stills(crops, np.random.default_rng(0)))
    assert not (posed == crops).all(axis=(1, 2, 3)).any()
