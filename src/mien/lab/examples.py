"""What is known of one recording or still, and what a corpus is made of."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Example:
    """One recording or still of a corpus."""

    key: str
    """Joins the audio, video and audio-video files of one performance."""
    emotion: str
    corpus: str
    """With ``key``, names the performance: keys of different corpora may be equal."""
    path: Path
    member: str | None = None
    """Name inside ``path`` when that is a zip file."""
    speaker: str | None = None
    sex: str | None = None
    """``"female"`` or ``"male"`` where the corpus tells."""
    statement: str | None = None
    """What is said, as the corpus numbers or names its sentences."""
    intensity: str | None = None
    """``"normal"`` or ``"strong"`` where the corpus tells."""
    part: str | None = None
    """``"train"``, ``"validation"`` or ``"test"`` where the corpus itself prescribes it."""
    has_sound: bool = False
    has_picture: bool = False
    """A moving picture; stills have neither sound nor a moving picture."""

    @property
    def title(self) -> str:
        """Name of the file for people."""
        return title_of(self.path, self.member)

    @property
    def is_still(self) -> bool:
        """Whether this is a picture and not a clip."""
        return not (self.has_sound or self.has_picture)


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A clip that is left out, by name."""

    clip: str
    """Name of the file for people."""
    reason: str


@dataclass(frozen=True)
class Corpus:
    """What a corpus holds, and what of it is left out."""

    examples: tuple[Example, ...]
    """Sorted by key."""
    excluded: tuple[Exclusion, ...] = ()


def title_of(path: Path, member: str | None) -> str:
    """Name a file for people, also one inside a zip file.

    >>> title_of(Path("a.zip"), "b.wav"), title_of(Path("b.wav"), None)
    ('a.zip: b.wav', 'b.wav')
    """
    return f"{path}: {member}" if member else str(path)
