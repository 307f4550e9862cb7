"""What the paper's video branch makes of frozen features: trained and scored on stills.

    python benchmark/stills.py FER2013.zip --embedder dinov2-small.onnx --train 10000

Every still is embedded once and shown as a clip whose frames are all alike. The paper's video
network learns from part ``train``; part ``validation`` chooses the epoch; part ``test`` is scored.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mien.lab  # noqa: F401

# isort: split
import keras
import numpy as np
import platformdirs
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mien.config import FacesConfig
from mien.embed import Embedder
from mien.errors import MienError, TrainingDataError
from mien.lab.batches import Arrays, Batches
from mien.lab.corpora import Example, read_corpus
from mien.lab.dataset import FeatureCache, still_crops
from mien.lab.fit import fit
from mien.lab.held_out import held_out_scores
from mien.lab.presets import PRESETS

FACES = FacesConfig()
AT_ONCE = 128
"""Stills embedded between two entries of the cache: what a stopped run loses at most."""


def drawn(examples: Sequence[Example], *, most: int | None) -> list[Example]:
    """Draw so many stills at random, the same ones each time; all where there are fewer."""
    order = np.random.default_rng(0).permutation(len(examples))[:most]
    return [examples[place] for place in sorted(order.tolist())]


def embedded(examples: Sequence[Example], embedder: Embedder, *, cache: FeatureCache) -> Arrays:
    """Embed stills, and show each as a clip: ``(stills, frames, width)``."""
    crops = still_crops(examples, config=FACES)
    rows = []
    starts = range(0, len(examples), AT_ONCE)
    for start in track(starts, "embedding", console=Console(stderr=True)):
        some = crops.inputs[start : start + AT_ONCE]
        content = hashlib.sha256(some.tobytes()).hexdigest()
        compute = partial(embedder.embed, some)
        rows.append(cache.get("stills", embedder.sha256, content, compute=compute))
    stills = np.concatenate(rows)[:, None]
    shape = (len(stills), FACES.frames, embedder.width)
    return Arrays(np.broadcast_to(stills, shape), crops.targets)


def scored(parts: dict[str, Arrays], examples: Sequence[Example], *, epochs: int) -> dict[str, Any]:
    """Train the paper's video network, and score it on the test part."""
    design = PRESETS["paper"].video
    recipe = replace(design.recipe, epochs=epochs, keep="best")
    keras.utils.set_random_seed(0)
    with TemporaryDirectory() as folder:
        fitted = fit(
            design.network(parts["train"].inputs[:1]),
            Batches(parts["train"], batch_size=recipe.batch_size, seed=0),
            validation=parts["validation"],
            recipe=recipe,
            folder=Path(folder),
            resume=False,
        )
    answers = fitted.network.predict(parts["test"].inputs, batch_size=64, verbose=0)
    return {**held_out_scores(examples, answers), "epoch": fitted.epoch}


def main(arguments: Sequence[str] | None = None) -> int:
    """Embed, train and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stills", type=Path)
    parser.add_argument("--embedder", type=Path, required=True)
    parser.add_argument("--train", type=int, help="so many stills to train on; all of them else")
    parser.add_argument("--epochs", type=int, default=15)
    default = Path(platformdirs.user_cache_dir("mien")) / "features"
    parser.add_argument("--cache", type=Path, default=default)
    given = parser.parse_args(arguments)
    try:
        embedder = Embedder(given.embedder)
        examples = read_corpus(given.stills).examples
        chosen = {
            part: [example for example in examples if example.part == part]
            for part in ("train", "validation", "test")
        }
        if not all(chosen.values()):
            raise TrainingDataError(f"{given.stills} must hold parts to train, choose and test by")
    except MienError as error:
        print(f"stills: {error}", file=sys.stderr)
        return error.exit_code
    chosen["train"] = drawn(chosen["train"], most=given.train)
    cache = FeatureCache(given.cache)
    parts = {part: embedded(some, embedder, cache=cache) for part, some in chosen.items()}
    found = scored(parts, chosen["test"], epochs=given.epochs)
    table = Table("embedder", "trained on", "tested on", "accuracy", "UAR", "best epoch")
    counts = (str(len(chosen["train"])), str(found["clips"]))
    shares = (f"{found['accuracy']:.1%}", f"{found['uar']:.1%}", str(found["epoch"]))
    table.add_row(embedder.name, *counts, *shares)
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
