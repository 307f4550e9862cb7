"""Examples of requests and answers, for programs that read the OpenAPI description."""

from typing import Any

from mien.emotions import EMOTIONS
from mien.serve.problems import MEDIA_TYPE, Problem

_SHARES = (0.02, 0.03, 0.71, 0.05, 0.06, 0.04, 0.02, 0.07)
_PROBABILITIES = dict(zip(EMOTIONS, _SHARES, strict=True))
_VOICE = {"used": True, "reason": None, "probabilities": _PROBABILITIES}
_FACE = {"used": False, "reason": "a face in 2 of 22 frames", "probabilities": None}
_SECONDS = {"decode": 0.1, "faces": 0.1, "embed": 0.02, "audio": 0.01, "total": 0.23}

PREDICTION: dict[str, Any] = {
    "clip": "clip.mp4",
    "emotion": "happy",
    "confidence": 0.71,
    "abstained": False,
    "set": ["happy", "surprised"],
    "set_rate": 0.9,
    "probabilities": _PROBABILITIES,
    "audio": _VOICE,
    "video": _FACE,
    "duration_s": 3.35,
    "faces_found": 0.091,
    "bundle": {"name": "default", "sha256": "ab" * 32},
    "seconds": _SECONDS,
}
WINDOW: dict[str, Any] = {
    "start_s": 0.0,
    "end_s": 4.0,
    "person": 1,
    "emotion": "happy",
    "confidence": 0.71,
    "probabilities": _PROBABILITIES,
    "audio": _VOICE,
    "video": _FACE,
    "faces_found": 0.091,
    "speech": 0.64,
    "reason": "face: a face in 2 of 22 frames",
    "sightings": [{"time_s": 0.4, "box": {"x": 10, "y": 20, "width": 90, "height": 90}}],
}

_BINARY = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "properties": {"file": _BINARY}, "required": ["file"]}
BODY: dict[str, Any] = {
    "required": True,
    "description": "The clip: a form with one file, or the bytes themselves.",
    "content": {
        "multipart/form-data": {"schema": _FORM},
        "application/octet-stream": {"schema": _BINARY},
        "video/mp4": {"schema": _BINARY},
        "audio/wav": {"schema": _BINARY},
    },
}

_TOLD = {
    401: "The access token is missing or wrong",
    403: "A page of another place asks",
    408: "The clip comes too slowly",
    413: "The clip is too large",
    422: "The clip cannot be read, or not within the limits; or an option is wrong",
    500: "A fault of mien's",
    503: "All places are taken: try again after Retry-After seconds",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": told,
        "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
    }
    for status, told in _TOLD.items()
}
