"""A still face moved as faces before a camera are: to train on, as whole clips or one by one."""

import cv2
import numpy as np


def moving_sequence(crop: np.ndarray, *, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Make a short clip of a still face: drifting, trembling, zooming, under changing light.

    The pose starts somewhere at random and drifts smoothly, as a followed face does; each frame
    trembles by itself, as detected boxes do.

    Args:
        crop: uint8 of shape ``(size, size, 3)``.
        frames: frames to make.
        rng: the chance behind it.

    Returns:
        uint8 of shape ``(frames, size, size, 3)``.
    """
    size = crop.shape[0]
    face = crop[:, ::-1] if rng.random() < 0.5 else crop
    start = rng.normal(0.0, (0.05, 0.05, 0.08, 5.0, 0.12, 12.0))
    end = start + rng.normal(0.0, (0.03, 0.03, 0.04, 3.0, 0.04, 4.0))
    path = np.linspace(start, end, frames)
    path += rng.normal(0.0, (0.015, 0.015, 0.02, 0.7, 0.01, 1.0), (frames, 6))
    return np.stack([_posed(face, pose, size=size) for pose in path])


def _posed(face: np.ndarray, pose: np.ndarray, *, size: int) -> np.ndarray:
    """Apply shift x, shift y (of the size), log2 of zoom x 2, degrees, log contrast, brightness."""
    shift_x, shift_y, zoom, degrees, contrast, brightness = pose.tolist()
    centre = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), degrees, float(np.exp(zoom)))
    matrix[:, 2] += (shift_x * size, shift_y * size)
    posed = cv2.warpAffine(face, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    lit = (posed.astype(np.float32) - 128.0) * float(np.exp(contrast)) + 128.0 + brightness
    pixels: np.ndarray = np.clip(np.rint(lit), 0, 255).astype(np.uint8)
    return pixels


def augment_stills(crops: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pose each still at random and blot out a patch of some: shape ``(batch, size, size, 3)``."""
    posed = np.concatenate([moving_sequence(crop, frames=1, rng=rng) for crop in crops])
    size = posed.shape[1]
    for place in np.flatnonzero(rng.random(len(posed)) < 0.4):
        side = int(rng.integers(size // 6, size // 3))
        top, left = rng.integers(0, size - side, 2)
        posed[place, top : top + side, left : left + side] = posed[place].mean()
    return posed
