"""What the voice of the mien preset owes to its members, on training actors alone.

    python benchmark/voices.py RAVDESS

Fold 1 of ``luna5`` tests actors that nobody looks at here. Of those it trains on, a group is held
out and the others are trained on. Every member is scored, those of each kind together, and all: on
clips as they are, and on the same clips with white noise.
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
from mien.lab.batches import Arrays, Batches
from mien.lab.corpora import read_corpus
from mien.lab.dataset import FeatureCache, speech_arrays
from mien.lab.fit import batches_of, fit
from mien.lab.light import COUNTERS, LISTENERS, MEMBERS, WEIGHERS
from mien.lab.presets import PRESETS
from mien.lab.protocols import make_folds

PRESET = PRESETS["mien"]
DESIGN = PRESET.audio(PRESET.speech)


def parts(corpus: Path, *, group: int, seed: int, cache: Path) -> tuple[Batches, dict[str, Arrays]]:
    """Give the training batches, and the held-out group's clips, clear and noisy."""
    outer, *others = make_folds(read_corpus(corpus).examples, protocol="luna5")
    held_out = set(others[group - 2].test)
    rest = [example for example in outer.train if example not in held_out]
    train, test = (
        speech_arrays(clips, config=PRESET.speech, cache=FeatureCache(cache), augmented=True)
        for clips in (rest, list(held_out))
    )
    variants = len(train.arrays.inputs) // len(train.examples)
    heard = {
        name: Arrays(test.arrays.inputs[place::variants], test.arrays.targets[place::variants])
        for place, name in enumerate(("clear", "noisy"))
    }
    return batches_of(train.arrays, DESIGN.recipe, variants=variants, seed=seed), heard


def trained(batches: Batches, *, epochs: int) -> keras.Model:
    """Train the voice."""
    recipe = replace(DESIGN.recipe, epochs=epochs)
    keras.utils.set_random_seed(batches.seed)
    network = DESIGN.network(batches.as_used().arrays.inputs)
    with TemporaryDirectory() as folder:
        return fit(
            network, batches, validation=None, recipe=recipe, folder=Path(folder), resume=False
        ).network


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
        batches, heard = parts(given.corpus, group=given.group, seed=given.seed, cache=given.cache)
    except MienError as error:
        print(f"voices: {error}", file=sys.stderr)
        return error.exit_code
    network = trained(batches, epochs=given.epochs or DESIGN.recipe.epochs)
    table = Table("clips", "who", "UAR", "log loss")
    for clips, arrays in heard.items():
        for who, recall, loss in scores(network, arrays):
            table.add_row(clips, who, f"{recall:.1%}", f"{loss:.3f}")
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
