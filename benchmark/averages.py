"""What batch normalisation's running averages cost the paper's voice in a short training.

    python benchmark/averages.py RAVDESS --divide 8 --epochs 18

A copy of the paper's audio network with so many times fewer filters is trained under `random80`,
one augmented variant of a clip an epoch. After every sixth epoch the held-out clips are answered
with the running averages, and with those that `mien.lab.settle.settle` measures.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import mien.lab  # noqa: F401

# isort: split
import keras
import numpy as np
import platformdirs
from rich.console import Console
from rich.table import Table

from mien.config import SpeechConfig
from mien.errors import MienError
from mien.lab import networks
from mien.lab.batches import Arrays, Batches
from mien.lab.corpora import read_corpus
from mien.lab.dataset import FeatureCache, speech_arrays
from mien.lab.presets import PRESETS
from mien.lab.protocols import make_folds
from mien.lab.settle import settle

EVERY = 6
"""Epochs between two looks."""


def features(corpus: Path, *, config: SpeechConfig, cache: Path) -> tuple[Batches, Arrays]:
    """Give the training batches and the held-out clips of ``random80``."""
    (fold,) = make_folds(read_corpus(corpus).examples, protocol="random80")
    known = FeatureCache(cache)
    train = speech_arrays(fold.train, config=config, cache=known, augmented=True)
    test = speech_arrays(fold.test, config=config, cache=known, augmented=False)
    variants = len(train.arrays.inputs) // len(train.examples)
    return Batches(train.arrays, batch_size=32, seed=0, variants=variants), test.arrays


def narrow_voice(batches: Batches, *, config: SpeechConfig, divide: int) -> keras.Model:
    """Build the paper's audio network with fewer filters, ready to be trained."""
    whole = networks.PAPER_AUDIO_CONVOLUTIONS
    fewer = tuple((filters // divide, kernel, pool) for filters, kernel, pool in whole)
    keras.utils.set_random_seed(0)
    with patch.object(networks, "PAPER_AUDIO_CONVOLUTIONS", fewer):
        network = PRESETS["paper"].audio(config).network(batches.as_used().arrays.inputs)
    network.compile(keras.optimizers.Adam(1e-4), keras.losses.CategoricalCrossentropy())
    return network


def recognised(network: keras.Model, held_out: Arrays) -> float:
    """Give the share of held-out clips that is recognised."""
    answers = network.predict(held_out.inputs, batch_size=32, verbose=0)
    right = answers.argmax(axis=1) == held_out.targets.argmax(axis=1)
    return float(right.mean())


def looks(network: keras.Model, batches: Batches, held_out: Arrays) -> tuple[float, float, float]:
    """Score with the running averages and with measured ones, and leave the former in place.

    Returns:
        How many times too large the first layer's running variance is (median over filters), and
        the share recognised with running and with measured averages.
    """
    running, kept = recognised(network, held_out), network.get_weights()
    settle(network, batches)
    measured, settled = recognised(network, held_out), network.get_weights()
    network.set_weights(kept)
    first = next(x for x in network.layers if isinstance(x, keras.layers.BatchNormalization))
    place = [weight.path for weight in network.weights].index(first.moving_variance.path)
    return float(np.median(kept[place] / settled[place])), running, measured


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and print a line for every look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--divide", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=18)
    default = Path(platformdirs.user_cache_dir("mien")) / "features"
    parser.add_argument("--cache", type=Path, default=default)
    given = parser.parse_args(arguments)
    config = SpeechConfig()
    try:
        batches, held_out = features(given.corpus, config=config, cache=given.cache)
    except MienError as error:
        print(f"averages: {error}", file=sys.stderr)
        return error.exit_code
    network = narrow_voice(batches, config=config, divide=given.divide)
    table = Table("epoch", "loss", "running variance, times too large", "running", "measured")
    for epoch in range(given.epochs):
        fitted = network.fit(
            batches, initial_epoch=epoch, epochs=epoch + 1, verbose=0, shuffle=False
        )
        if (epoch + 1) % EVERY == 0 or epoch + 1 == given.epochs:
            ratio, running, measured = looks(network, batches, held_out)
            loss = fitted.history["loss"][-1]
            shares = (f"{running:.1%}", f"{measured:.1%}")
            table.add_row(str(epoch + 1), f"{loss:.3f}", f"{ratio:.1f}", *shares)
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
