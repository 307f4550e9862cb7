"""What the voice of the mien preset owes to its members, on training actors alone.

    python benchmark/voices.py RAVDESS

Fold 1 of ``luna5`` tests actors that nobody looks at here. Of those it trains on, a group is held
out and the others are trained on. Every member is scored, those of each kind together, and all;
with the averages that batch normalisation kept while training, and with those measured at the end.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import mien.lab  # noqa: F401

# isort: split
import keras
import numpy as np
import platformdirs
from rich.console import Console
from rich.table import Table
from sklearn.metrics import log_loss, recall_score

from mien.errors import MienError
from mien.lab.corpora import read_corpus
from mien.lab.dataset import Arrays, Batches, FeatureCache, speech_arrays
from mien.lab.fit import Fitted, batches_of, fit
from mien.lab.light import COUNTERS, LISTENERS, MEMBERS, WEIGHERS
from mien.lab.presets import PRESETS
from mien.lab.protocols import make_folds
from mien.lab.settle import settle

PRESET = PRESETS["mien"]


def parts(corpus: Path, *, group: int, seed: int, cache: Path) -> tuple[Batches, Arrays]:
    """Give the training batches and the held-out group's clips."""
    outer, *others = make_folds(read_corpus(corpus).examples, protocol="luna5")
    held_out = set(others[group - 2].test)
    known = FeatureCache(cache)
    rest = [example for example in outer.train if example not in held_out]
    train = speech_arrays(rest, config=PRESET.speech, cache=known, augmented=True)
    test = speech_arrays(list(held_out), config=PRESET.speech, cache=known, augmented=False)
    variants = len(train.arrays.inputs) // len(train.examples)
    recipe = PRESET.audio(PRESET.speech).recipe
    return batches_of(train.arrays, recipe, variants=variants, seed=seed), test.arrays


def trained(batches: Batches, *, epochs: int | None) -> Fitted:
    """Train the voice; batch normalisation keeps its running averages."""
    design = PRESET.audio(PRESET.speech)
    recipe = replace(design.recipe, averages="running", epochs=epochs or design.recipe.epochs)
    keras.utils.set_random_seed(batches.seed)
    network = design.network(batches.as_used().arrays.inputs)
    with TemporaryDirectory() as folder:
        return fit(
            network, batches, validation=None, recipe=recipe, folder=Path(folder), resume=False
        )


def scores(network: keras.Model, held_out: Arrays) -> Iterator[tuple[str, float, float]]:
    """Score each member, those of each kind together, and all.

    Yields:
        Who, UAR and log loss.
    """
    members = keras.Model(network.input, network.get_layer(MEMBERS).output)
    said = np.log(members.predict(held_out.inputs, batch_size=32, verbose=0) + 1e-7)
    truth = held_out.targets.argmax(axis=1)
    places = np.cumsum([0, 2 * LISTENERS, COUNTERS, WEIGHERS]).tolist()
    listeners, counters, weighers = map(range, places, places[1:])
    together = {
        **{f"listener {number + 1}": [number] for number in listeners},
        **{f"counter {number + 1 - len(listeners)}": [number] for number in counters},
        **{f"weigher {number + 1 - weighers.start}": [number] for number in weighers},
        "listeners with pitch": list(listeners[:LISTENERS]),
        "listeners without": list(listeners[LISTENERS:]),
        "listeners": list(listeners),
        "counters": list(counters),
        "all but weighers": [*listeners, *counters],
        "all": [*listeners, *counters, *weighers],
    }
    for who, chosen in together.items():
        answers = np.exp(said[:, chosen].mean(axis=1))
        answers /= answers.sum(axis=1, keepdims=True)
        recall = recall_score(truth, answers.argmax(axis=1), average="macro", zero_division=0)
        yield who, recall, log_loss(truth, answers, labels=list(range(8)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and print a line for every member."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--group", type=int, choices=(2, 3, 4, 5), default=2)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    default = Path(platformdirs.user_cache_dir("mien")) / "features"
    parser.add_argument("--cache", type=Path, default=default)
    given = parser.parse_args(arguments)
    try:
        batches, held_out = parts(
            given.corpus, group=given.group, seed=given.seed, cache=given.cache
        )
    except MienError as error:
        print(f"voices: {error}", file=sys.stderr)
        return error.exit_code
    fitted = trained(batches, epochs=given.epochs)
    table = Table("averages", "who", "UAR", "log loss")
    for averages in ("running", "measured"):
        if averages == "measured":
            settle(fitted.network, batches)
        for who, recall, loss in scores(fitted.network, held_out):
            table.add_row(averages, who, f"{recall:.1%}", f"{loss:.3f}")
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
