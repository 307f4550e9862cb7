"""Rows to train on, in batches that come the same again."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from mien.errors import InvalidArgument


@dataclass(frozen=True)
class Arrays:
    """What one branch trains on."""

    inputs: np.ndarray
    """Shape ``(examples, …)``: the network's input."""
    targets: np.ndarray
    """Shape ``(examples, 8)``."""


class Batches(keras.utils.PyDataset):  # type: ignore[misc] # keras is untyped
    """Arrays in batches, shuffled anew each epoch by seed and epoch number alone.

    A resumed run therefore sees the very batches that an unbroken one would have seen.
    """

    def __init__(  # noqa: PLR0913 - rows, how many, in which order, what chance does to them
        self,
        arrays: Arrays,
        *,
        batch_size: int,
        seed: int,
        variants: int = 1,
        as_is: float | None = None,
        augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
    ) -> None:
        """Prepare the batches.

        Args:
            arrays: all rows.
            batch_size: rows a batch.
            seed: of the shuffles and draws.
            variants: so many rows that follow each other are one clip, the first as it is; an epoch
                sees one of them, drawn afresh.
            as_is: how probable the first is, 0 to 1; the others are equally probable. ``None``
                when all are.
            augment: changes a batch's inputs by chance.

        Raises:
            InvalidArgument: ``as_is`` is no probability.
        """
        super().__init__()
        if as_is is not None and not 0 <= as_is <= 1:
            raise InvalidArgument(f"as_is must be a probability, 0 to 1, not {as_is}")
        self.arrays = arrays
        self.variants = variants
        self.as_is = 1 / variants if as_is is None else as_is
        self.batch_size = batch_size
        self.seed = seed
        self.augment = augment
        self.epoch = 0

    def __len__(self) -> int:
        """Batches an epoch; the last one may be smaller."""
        return math.ceil(self._clips / self.batch_size)

    @property
    def _clips(self) -> int:
        return len(self.arrays.inputs) // self.variants

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Give one batch of inputs and targets."""
        chance = np.random.default_rng([self.seed, self.epoch])
        order = chance.permutation(self._clips)
        rows = order * self.variants + self._drawn(chance)
        chosen = rows[place * self.batch_size : (place + 1) * self.batch_size]
        inputs = self.arrays.inputs[chosen]
        if self.augment is not None:
            generator = np.random.default_rng([self.seed, self.epoch, place])
            inputs = self.augment(inputs, generator)
        return inputs, self.arrays.targets[chosen]

    def _drawn(self, chance: np.random.Generator) -> np.ndarray:
        """Draw a variant of each clip: shape ``(clips,)``."""
        if self.variants == 1:
            return np.zeros(self._clips, int)
        others = chance.integers(1, self.variants, self._clips)
        return np.where(chance.random(self._clips) < self.as_is, 0, others)

    def as_used(self) -> "Batches":
        """Give batches of the same clips as they are met at use: nothing is changed by chance."""
        plain = slice(None, None, self.variants)
        arrays = Arrays(self.arrays.inputs[plain], self.arrays.targets[plain])
        return Batches(arrays, batch_size=self.batch_size, seed=self.seed)

    def on_epoch_end(self) -> None:
        """Go on to the next shuffle."""
        self.epoch += 1
