"""Clips → out-of-fold predictions → scores, under protocols that leak and such that do not."""

import csv
import io
import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import platformdirs
import pyarrow as pa
from pyarrow import parquet

from mien.config import FacesConfig
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument, TrainingDataError
from mien.lab.branches import (
    Branch,
    Performance,
    embedder_for,
    performances,
    picture_branch,
    speech_branch,
    table_branch,
)
from mien.lab.circumstances import circumstances
from mien.lab.corpora import Example, Exclusion, read_corpus, require_names_apart
from mien.lab.dataset import FeatureCache
from mien.lab.feature_table import read_feature_table
from mien.lab.files import write_atomically
from mien.lab.presets import PRESETS
from mien.lab.protocols import PROTOCOLS, make_folds
from mien.lab.scoring import asked, held_out_rows, protocol_scores
from mien.lab.study import FUSIONS, Outcome, Plan, Study
from mien.tables import PredictionTable, write_table

logger = logging.getLogger(__name__)

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Everything that an evaluation can be told."""

    protocols: tuple[str, ...] = ("luna5",)
    preset: str = "paper"
    fusions: tuple[str, ...] = ("average",)
    """Of :data:`mien.lab.study.FUSIONS`."""
    embedder: Path | None = None
    """ONNX file through which the pixel branch looks; instead of the preset's own."""
    audio_features: Path | None = None
    """Table in place of what mien hears."""
    video_features: Path | None = None
    """Table in place of what mien sees."""
    seeds: int = 1
    """How often all is repeated: with the seeds 0, 1, ..."""
    epochs: int | None = None
    variants: Literal["all", "one"] | None = None
    song: bool = False
    """Whether RAVDESS's songs count too."""
    resume: bool = False
    allow_leak: str | None = None
    shuffle_test_labels: bool = False
    tensorboard: Path | None = None
    cache: Path | None = None
    """Folder of computed features; the user's cache folder when ``None``."""
    command: str = ""
    """What was typed, for the report."""

    def __post_init__(self) -> None:
        choices = {
            "protocol": (self.protocols, PROTOCOLS),
            "preset": ((self.preset,), PRESETS),
            "fusion": (self.fusions, FUSIONS),
        }
        for name, (given, known) in choices.items():
            if strangers := [value for value in given if value not in known]:
                raise InvalidArgument(
                    f"{name} must be of {', '.join(known)}, not {', '.join(strangers)}"
                )
        if self.allow_leak is not None and not self.allow_leak.strip():
            raise InvalidArgument("--allow-leak must say why; the report prints it")
        if not self.protocols or self.seeds < 1 or (self.epochs or 1) < 1:
            raise InvalidArgument(
                "there must be at least one protocol, one seed and one epoch, not "
                f"{len(self.protocols)}, {self.seeds} and {self.epochs}"
            )


def evaluate(data: Sequence[Path], out: Path, *, options: EvaluationOptions) -> dict[str, Any]:
    """Evaluate on corpora, and write predictions, scores and training histories.

    Args:
        data: corpora, as :func:`mien.lab.corpora.read_corpus` reads them.
        out: folder to write ``predictions.parquet``, ``scores.json``, ``history.csv`` and
            ``tables/`` into; ``work/`` there holds what ``resume`` goes on from.
        options: how to evaluate.

    Returns:
        What ``scores.json`` holds.

    Raises:
        InvalidArgument: ``out`` holds something else than an evaluation, an option does not fit.
        TrainingDataError: the corpora cannot be evaluated on as they are, or leak.
    """
    _require_own(out)
    started = time.monotonic()
    # Told now: by the end of a long run the clone may be at another commit.
    made = circumstances()
    logger.info("training on %s", ", ".join(map(str, jax.devices())))
    study, excluded = _study(data, out, options)
    parts = [
        part
        for protocol in options.protocols
        for seed in range(options.seeds)
        for part in study.parts(protocol, seed=seed)
    ]
    outcomes = [study.run(part) for part in parts]
    scores = {**made, **_scores(study, outcomes, excluded, options)}
    scores["seconds"] = round(time.monotonic() - started, 1)
    _write(out, study, outcomes, scores)
    return scores


def _require_own(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / "work").is_dir():
        raise InvalidArgument(
            f"out must be a new folder or that of an evaluation, not {out}, which holds other files"
        )
    if out.exists() and not out.is_dir():
        raise InvalidArgument(f"out must be a folder, not the file {out}")


def _study(
    data: Sequence[Path], out: Path, options: EvaluationOptions
) -> tuple[Study, list[Exclusion]]:
    require_names_apart(data)
    corpora = [read_corpus(path, song=options.song) for path in data]
    excluded = [exclusion for corpus in corpora for exclusion in corpus.excluded]
    examples = [example for corpus in corpora for example in corpus.examples]
    excluded += [
        Exclusion(clip=example.title, reason="a still; stills train embedders: mien train")
        for example in examples
        if example.is_still
    ]
    clips = performances([example for example in examples if not example.is_still])
    if not clips:
        raise TrainingDataError(
            f"no clips in {', '.join(map(str, data))}: an evaluation needs sound or moving pictures"
        )
    # What cannot be split is refused before hours of features.
    files = [example for example in examples if not example.is_still]
    for protocol in options.protocols:
        make_folds(files, protocol=protocol)
    branches = _branches(clips, options)
    excluded += [exclusion for branch in branches.values() for exclusion in branch.excluded]
    plan = Plan(
        work=out / "work",
        fusions=options.fusions,
        epochs=options.epochs,
        variants=options.variants,
        resume=options.resume,
        allow_leak=options.allow_leak,
        shuffle_test_labels=options.shuffle_test_labels,
        tensorboard=options.tensorboard,
    )
    return _with_answerable(clips, branches, plan), excluded


def _branches(clips: list[Performance], options: EvaluationOptions) -> dict[str, Branch]:
    preset = PRESETS[options.preset]
    cache = FeatureCache(options.cache or Path(platformdirs.user_cache_dir("mien")) / "features")
    given = {"audio": options.audio_features, "video": options.video_features}
    branches: dict[str, Branch | None] = {
        use: table_branch(clips, table=read_feature_table(path), use=use)
        for use, path in given.items()
        if path
    }
    if "video" not in branches and any(clip.picture for clip in clips):
        embedder = embedder_for(options.preset, preset, options.embedder)
        branches["video"] = picture_branch(
            clips, preset=preset, config=FacesConfig(), embedder=embedder, cache=cache
        )
    if "audio" not in branches:
        branches["audio"] = speech_branch(clips, preset=preset, config=preset.speech, cache=cache)
    return {name: found for name in given if (found := branches.get(name))}


def _with_answerable(clips: list[Performance], branches: dict[str, Branch], plan: Plan) -> Study:
    """Leave out the clips that no branch has anything of."""
    kept = np.unique(np.concatenate([branch.places for branch in branches.values()]))
    moved = {
        name: branch.moved(np.searchsorted(kept, branch.places))
        for name, branch in branches.items()
    }
    return Study(clips=[clips[place] for place in kept], branches=moved, plan=plan)


def _scores(
    study: Study,
    outcomes: Sequence[Outcome],
    excluded: Sequence[Exclusion],
    options: EvaluationOptions,
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": options.command,
        "settings": {
            "preset": options.preset,
            "seeds": list(range(options.seeds)),
            "epochs": options.epochs,
            "fusions": list(options.fusions),
            "shuffled_test_labels": options.shuffle_test_labels,
        },
        "corpus": _corpus([clip.example for clip in study.clips], excluded),
        "branches": _networks(study, outcomes[0]),
        "protocols": {
            protocol: {
                **protocol_scores(_of(outcomes, protocol), study.clips),
                "leak_override": options.allow_leak,
                "leaks": [
                    str(leak) for outcome in _of(outcomes, protocol) for leak in outcome.part.leaks
                ],
            }
            for protocol in dict.fromkeys(options.protocols)
        },
    }


def _of(outcomes: Sequence[Outcome], protocol: str) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.part.protocol == protocol]


def _corpus(examples: Sequence[Example], excluded: Sequence[Exclusion]) -> dict[str, Any]:
    emotions = Counter(example.emotion for example in examples)
    return {
        "sources": sorted({example.corpus for example in examples}),
        "clips": len(examples),
        "speakers": len({(e.corpus, e.speaker) for e in examples if e.speaker}),
        "emotions": {emotion: emotions[emotion] for emotion in EMOTIONS if emotions[emotion]},
        "excluded": [asdict(exclusion) for exclusion in excluded],
    }


def _networks(study: Study, outcome: Outcome) -> dict[str, Any]:
    return {
        name: {
            "network": answers.network,
            "parameters": answers.parameters,
            "input": study.branches[name].description
            if name in study.branches
            else "the inputs of both branches",
            "recipe": asdict(study.recipe(name)),
        }
        for name, answers in outcome.networks.items()
    }


def _write(out: Path, study: Study, outcomes: Sequence[Outcome], scores: dict[str, Any]) -> None:
    history = _history(outcomes)
    write_atomically(out / "history.csv", lambda file: file.write(history.encode()))
    table = pa.Table.from_pylist(list(_predictions(study, outcomes)))
    write_atomically(out / "predictions.parquet", lambda file: parquet.write_table(table, file))
    # Those of an earlier run may be of other protocols and seeds.
    shutil.rmtree(out / "tables", ignore_errors=True)
    for protocol in scores["protocols"]:
        _write_tables(out / "tables", study, _of(outcomes, protocol))
    text = json.dumps(scores, indent=1).encode()
    write_atomically(out / "scores.json", lambda file: file.write(text))


def _history(outcomes: Sequence[Outcome]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["protocol", "fold", "seed", "network", "epoch", "loss", "val_loss"])
    for outcome in outcomes:
        part = outcome.part
        for name, answers in outcome.networks.items():
            for epoch, losses in enumerate(answers.history, start=1):
                row = [part.protocol, part.fold, part.seed, name, epoch]
                writer.writerow([*row, losses["loss"], losses.get("val_loss", "")])
    return text.getvalue()


def _predictions(study: Study, outcomes: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    for outcome in outcomes:
        part = outcome.part
        tested = set(part.test.tolist())
        for system, answers in outcome.systems.items():
            for place in asked(outcome).tolist():
                if not np.isnan(answers[place, 0]):
                    yield {
                        "protocol": part.protocol,
                        "system": system,
                        "seed": part.seed,
                        "fold": part.fold,
                        **_who(study.clips[place]),
                        "truth": EMOTIONS[outcome.labels[place]],
                        "held_out": place in tested,
                        **dict(zip(EMOTIONS, answers[place].tolist(), strict=True)),
                    }


def _who(clip: Performance) -> dict[str, Any]:
    example = clip.example
    return {
        "corpus": example.corpus,
        "clip": clip.key,
        "speaker": example.speaker,
        "sex": example.sex,
        "intensity": example.intensity,
        "statement": example.statement,
    }


def _write_tables(folder: Path, study: Study, outcomes: Sequence[Outcome]) -> None:
    """Write a table of held-out predictions for each system and seed, for ``mien fuse``."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = sorted({outcome.part.seed for outcome in outcomes})
    for seed in seeds:
        some = [outcome for outcome in outcomes if outcome.part.seed == seed]
        ending = f"-seed-{seed}" if len(seeds) > 1 else ""
        for system in some[0].systems:
            rows = held_out_rows(some, system)
            fold = {place: one.part.fold for one in some for place in one.part.test.tolist()}
            table = PredictionTable(
                clips=tuple(study.clips[place].key for place in rows.clips),
                probabilities=rows.probabilities,
                folds=tuple(fold[place] for place in rows.clips.tolist()),
                truth=tuple(EMOTIONS[label] for label in rows.labels),
            )
            write_table(table, folder / f"{some[0].part.protocol}-{system}{ending}.csv")
