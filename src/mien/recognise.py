"""The whole way for one clip → Prediction."""

import functools
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

from mien.ahead import ahead, in_order
from mien.answering import Answering, Said
from mien.arrow_tables import prediction_table, to_pandas
from mien.bundle import Bundle, load_bundle
from mien.calibration import USUAL_RATE
from mien.config import FacesConfig
from mien.detectors import make_detector
from mien.displays import prediction_html
from mien.errors import InvalidArgument, UnreadableClip
from mien.faces import Faces, follow_faces
from mien.live_window import LiveWindow
from mien.media import Clip, ClipSource, Frame, clip_name, open_clip
from mien.session import check_device
from mien.timeline import USUAL_TIMELINE, TimelineOptions, timeline
from mien.windows import Branch, Checkpoint, Window


@dataclass(frozen=True)
class Prediction:
    """What a clip expresses; the fields are those of the JSON output."""

    clip: str
    emotion: str | None
    """The likeliest of the eight; ``None`` when neither branch could answer, or abstained."""
    confidence: float | None
    """Probability of the likeliest, 0 to 1."""
    abstained: bool
    """Whether the likeliest was less likely than asked for, and is not given as ``emotion``."""
    set: tuple[str, ...] | None
    """The likely emotions, the likeliest first; ``None`` without an answer, or when the bundle was
    not calibrated for it."""
    set_rate: float | None
    """How often such sets hold the truth, over many clips; ``None`` without a set."""
    probabilities: dict[str, float] | None
    audio: Branch
    video: Branch
    duration_s: float
    faces_found: float | None
    """Share of the looked-at frames in which a face was found; ``None`` without a picture."""
    bundle: dict[str, str]
    """Name and SHA-256 of the bundle that answered."""
    seconds: dict[str, float]
    """Time that each stage kept the others waiting: pictures are decoded while faces are looked for
    in those before them."""

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return {**asdict(self), "set": None if self.set is None else list(self.set)}

    def to_arrow(self) -> Any:
        """Give a ``pyarrow.Table`` of one row: ``clip``, then the columns of docs/timeline.md.

        Raises:
            MissingDependency: no pyarrow.
        """
        return prediction_table(self)

    def to_pandas(self) -> Any:
        """Give a ``pandas.DataFrame`` of that row.

        Raises:
            MissingDependency: no pandas, or no pyarrow.
        """
        return to_pandas(self.to_arrow())

    def _repr_html_(self) -> str:
        return prediction_html(self)


@dataclass(frozen=True)
class Failure:
    """A clip that could not be read, in the place of its prediction."""

    clip: str
    type: str
    """Name of the error's class in :mod:`mien.errors`."""
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return {"clip": self.clip, "error": {"type": self.type, "message": self.message}}


class Recogniser:
    """Reads emotions from clips with one bundle; safe to call from several threads.

    Args:
        bundle: folder of a bundle; the embedded one when ``None``.
        device: ``"cpu"`` or ``"cuda"``; never silently another.
        precision: of the embedder: ``"f32"``, ``"bf16"``, ``"int8"``, or ``"auto"`` for the fastest
            that answers as float32 does.
        detector: ``"haar"`` or ``"yunet"``; the bundle's own when ``None``.
        detector_model: YuNet's ONNX file.
        abstain_below: give no emotion when the likeliest is less likely than this, 0 to 1.
        set_rate: how often the ``set`` of predictions must hold the truth, 0.5 to 0.99.

    Raises:
        BundleError: the bundle cannot be used.
        DeviceUnavailable: the device, or the processor for that precision, is not there.
        MissingDependency: the precision needs a package that is not installed.
        InvalidArgument: an unknown device, precision or detector, a model file that is missing,
            or a probability out of range.
    """

    def __init__(  # noqa: PLR0913 - each is one thing a user may ask for
        self,
        bundle: str | os.PathLike[str] | None = None,
        *,
        device: str = "cpu",
        precision: str = "auto",
        detector: str | None = None,
        detector_model: str | os.PathLike[str] | None = None,
        abstain_below: float = 0.0,
        set_rate: float = USUAL_RATE,
    ) -> None:
        check_device(device)
        self.bundle: Bundle = load_bundle(bundle)
        self._answering = Answering(
            self.bundle,
            device=device,
            precision=precision,
            abstain_below=abstain_below,
            set_rate=set_rate,
        )
        self._one_file = threading.Lock()
        detector = detector or self.bundle.config.faces.detector
        if detector_model is not None and detector != "yunet":
            raise InvalidArgument(
                f"--detector-model (detector_model) is for the detector yunet, not {detector}; "
                "add --detector yunet"
            )
        self._detector = make_detector(
            detector,
            model=None if detector_model is None else Path(detector_model),
        )

    # A str is a sequence of strings too; the first signature that fits is the right one.
    @overload
    def predict(self, clips: ClipSource) -> Prediction: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, clips: Sequence[ClipSource]) -> list[Prediction | Failure]: ...

    def predict(
        self, clips: ClipSource | Sequence[ClipSource]
    ) -> Prediction | list[Prediction | Failure]:
        """Say what a clip, or each of several clips, expresses.

        Args:
            clips: one clip, as path, bytes or binary file object; or a list of clips.

        Returns:
            A prediction; for a list, a list in its order that holds a :class:`Failure` in the
            place of each clip that cannot be read.

        Raises:
            UnreadableClip: the single clip cannot be read.

        >>> recogniser = Recogniser()
        >>> recogniser.predict(["no such file.mp4"])[0].type
        'UnreadableClip'
        """
        if isinstance(clips, Sequence) and not isinstance(clips, str | bytes | bytearray):
            return list(self.predict_each(clips))
        return self._predict_one(clips)

    def predict_each(self, clips: Iterable[ClipSource]) -> Iterator[Prediction | Failure]:
        """Predict many clips, as many at once as there are processors.

        Args:
            clips: taken one after the other, a few ahead of the answer that is asked for.

        Yields:
            The answers in the order of the clips, each as soon as it and those before it are ready.
        """
        yield from in_order(self._predict_or_fail, clips)

    def _predict_or_fail(self, clip: ClipSource) -> Prediction | Failure:
        # The same open file may come twice, and two threads cannot read it at once.
        path = isinstance(clip, str | bytes | os.PathLike)
        try:
            with nullcontext() if path else self._one_file:
                return self._predict_one(clip)
        except UnreadableClip as error:
            return Failure(clip_name(clip), type(error).__name__, str(error))

    def _predict_one(self, source: ClipSource) -> Prediction:
        config = self.bundle.config
        watch = _Stopwatch()
        with open_clip(
            source,
            frames=config.faces.frames,
            sample_rate=config.speech.sample_rate,
            samples=config.speech.samples,
        ) as clip:
            watch.lap("decode")
            lacking = self._answering.lacks("video") or clip.video_reason
            with ExitStack() as stack:
                frames = None if lacking else stack.enter_context(ahead(clip.frames()))
                audio = self._audio(clip)
                watch.lap("audio")
                faces = None if frames is None else self._faces(_timed(frames, watch))
                watch.lap("faces")
            duration = clip.duration_s
        video = Said(None, lacking if faces is None else faces.reason)
        if faces is not None and faces.crops is not None:
            video = self._answering.see(self._answering.embed(faces.crops))
        watch.lap("embed")
        answer = self._answering.answer(audio, video)
        return Prediction(
            clip=clip_name(source),
            **vars(answer),
            duration_s=round(duration, 3),
            faces_found=None if faces is None else round(faces.found / faces.frames, 3),
            bundle={"name": self.bundle.name, "sha256": self.bundle.sha256},
            seconds=watch.seconds(),
        )

    def _audio(self, clip: Clip) -> Said:
        if (lacking := self._answering.lacks("audio")) or clip.waveform is None:
            return Said(None, lacking or clip.audio_reason)
        return self._answering.hear(self._answering.features(clip.waveform))

    def _faces(self, frames: Iterator[Frame]) -> Faces:
        config: FacesConfig = self.bundle.config.faces
        return follow_faces(frames, config=config, detector=self._detector)

    def timeline(
        self,
        source: ClipSource,
        *,
        options: TimelineOptions = USUAL_TIMELINE,
        start: Checkpoint | None = None,
    ) -> Iterator[Window]:
        """Say who expresses what when in a clip of any length.

        Args:
            source: a path, the bytes of a file, or a binary file object.
            options: how long windows are, how far apart, and whose faces are followed.
            start: where to begin, from an earlier run over the same clip with the same options;
                windows from its ``same_from_s`` on are those of one run.

        Yields:
            The answers of one window after the other, as they are ready: as many as there are
            people in it, at least one. The memory that this takes does not grow with the clip.

        Raises:
            UnreadableClip: the clip cannot be read, or breaks off: then after the windows up to
                there.
            InvalidArgument: ``start`` is no checkpoint.

        >>> from mien.verify import GOLDEN_CLIP
        >>> first = next(Recogniser().timeline(GOLDEN_CLIP))
        >>> first.start_s, first.end_s, first.person
        (0.0, 3.8, 1)
        """
        return timeline(
            source,
            answering=self._answering,
            detector=self._detector,
            options=options,
            start=start,
        )

    def live(self, *, rate: int) -> LiveWindow:
        """Say what is expressed now, again and again, while pictures and sound come.

        Args:
            rate: samples a second of the sound that will come.

        Raises:
            InvalidArgument: a rate that no microphone has.

        >>> Recogniser().live(rate=16_000).answer() is None
        True
        """
        return LiveWindow(answering=self._answering, detector=self._detector, rate=rate)


def load(  # noqa: PLR0913 - as Recogniser
    bundle: str | os.PathLike[str] | None = None,
    *,
    device: str = "cpu",
    precision: str = "auto",
    detector: str | None = None,
    detector_model: str | os.PathLike[str] | None = None,
    abstain_below: float = 0.0,
    set_rate: float = USUAL_RATE,
) -> Recogniser:
    """Load a bundle; the result predicts any number of clips.

    Args and errors are those of :class:`Recogniser`.

    >>> load().bundle.name
    'default'
    """
    return Recogniser(
        bundle,
        device=device,
        precision=precision,
        detector=detector,
        detector_model=detector_model,
        abstain_below=abstain_below,
        set_rate=set_rate,
    )


def predict(clip: ClipSource) -> Prediction:
    """Say what one clip expresses, by the embedded bundle on the processor.

    Args and errors are those of :meth:`Recogniser.predict`; the bundle is loaded once.
    """
    return _default_recogniser().predict(clip)


@functools.cache
def _default_recogniser() -> Recogniser:
    return Recogniser()


class _Stopwatch:
    """Seconds spent in each stage, though decoding and looking for faces take turns."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._seconds: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._last
        self._last = now

    def seconds(self) -> dict[str, float]:
        stages = {
            name: round(self._seconds.get(name, 0.0), 4)
            for name in ("decode", "faces", "embed", "audio")
        }
        return {**stages, "total": round(time.perf_counter() - self._start, 4)}


def _timed(frames: Iterator[Frame], watch: _Stopwatch) -> Iterator[Frame]:
    while True:
        watch.lap("faces")
        frame = next(frames, None)
        watch.lap("decode")
        if frame is None:
            return
        yield frame
