"""How speech, faces and embeddings are computed: frozen, hashed into every cache and bundle."""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any, Self

from mien.errors import InvalidArgument


@dataclass(frozen=True, kw_only=True)
class SpeechConfig:
    """Acoustic features of the paper: ZCR, RMS and MFCC over short overlapping frames."""

    sample_rate: int = 22_050
    """Hz."""
    frame_length: int = 2_048
    """Samples of one analysis window, also the FFT's size."""
    hop_length: int = 512
    """Samples between the centres of neighbouring windows."""
    mel_bands: int = 128
    mfcc: int = 20
    """Cepstral coefficients kept."""
    frames: int = 272
    """Analysis windows of a clip: longer clips are cut, shorter ones padded with zeros."""
    pitch: bool = False
    """Whether pitch and aperiodicity follow; the paper has none."""

    @property
    def columns(self) -> int:
        """Numbers a frame: ZCR, RMS, the cepstral coefficients, and pitch where it is wanted."""
        return 2 + self.mfcc + 2 * self.pitch

    @property
    def samples(self) -> int:
        """Samples that fill all frames when windows are centred; more are never read."""
        return (self.frames - 1) * self.hop_length


@dataclass(frozen=True, kw_only=True)
class FacesConfig:
    """Which frames are looked at and how faces are cut out of them."""

    frames: int = 22
    """The frames shown at the middle of that many equal slices of the clip."""
    crop_size: int = 48
    """Pixels a side of a face crop."""
    detector: str = "haar"
    """``"haar"`` (the paper's) or ``"yunet"``."""
    search_short_side: int = 360
    """Frames are shrunk to at most that many pixels on the short side to look for faces."""
    minimum_share: float = 1 / 3
    """Share of frames with a face below which the video branch is out."""

    @property
    def minimum_faces(self) -> int:
        """Fewest frames with a face that let the video branch answer."""
        return math.ceil(self.frames * self.minimum_share)


@dataclass(frozen=True, kw_only=True)
class EmbeddingConfig:
    """Which embedder turns a crop into a vector, and how long that vector is."""

    name: str = "none"
    width: int = 0


@dataclass(frozen=True, kw_only=True)
class Config:
    """All that decides what a network sees."""

    speech: SpeechConfig = field(default_factory=SpeechConfig)
    faces: FacesConfig = field(default_factory=FacesConfig)
    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)

    def to_dict(self) -> dict[str, Any]:
        """Give the configuration as plain values that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild a configuration from :meth:`to_dict`'s values.

        Raises:
            InvalidArgument: a value is missing, unknown or of the wrong shape.
        """
        try:
            return cls(
                speech=SpeechConfig(**values["speech"]),
                faces=FacesConfig(**values["faces"]),
                embedding=EmbeddingConfig(**values["embedding"]),
            )
        except (KeyError, TypeError) as error:
            raise InvalidArgument(
                f"config must hold speech, faces and embedding: {error}"
            ) from error


def config_hash(config: object) -> str:
    """Hash a configuration dataclass: equal values give equal hashes, on every machine.

    Returns:
        SHA-256 of the values as JSON with sorted keys, 64 hexadecimal digits.

    >>> config_hash(SpeechConfig()) == config_hash(SpeechConfig(sample_rate=22_050))
    True
    >>> config_hash(SpeechConfig()) == config_hash(SpeechConfig(mfcc=13))
    False
    """
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise InvalidArgument(f"config must be a dataclass instance, not {config!r}")
    text = json.dumps(dataclasses.asdict(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
