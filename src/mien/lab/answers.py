"""One network of one fold: trained, asked about every clip, and its answers kept."""

import hashlib
import json
import logging
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import keras
import numpy as np

from mien.lab.batches import Arrays, Batches
from mien.lab.files import write_atomically
from mien.lab.fit import Recipe, fingerprint, fit

logger = logging.getLogger(__name__)

ANSWER_BATCH = 32
"""Clips asked about at once; the paper's audio network takes 12 MB for each."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a trained network says of clips."""

    probabilities: np.ndarray
    """Shape ``(clips, 8)``."""
    network: str
    parameters: int
    epoch: int
    """The epoch that was kept, counted from 1."""
    history: list[dict[str, float]]
    """Losses of each epoch."""


def train_and_ask(  # noqa: PLR0913 - network, two parts of data, what to ask, how, where
    build: Callable[[], keras.Model],
    batches: Batches,
    *,
    validation: Arrays | None,
    asked: np.ndarray,
    recipe: Recipe,
    folder: Path,
    resume: bool,
    tensorboard: Path | None = None,
) -> Answers:
    """Train a network and ask it; on resuming, what was answered before is read again.

    Args:
        build: gives the network, untrained; its chance comes from the batches' seed.
        batches: the training part.
        validation: chooses the epoch, where the recipe wants one chosen.
        asked: inputs of the clips to answer for.
        recipe: how to train.
        folder: where the answers are kept, and checkpoints until they are there.
        resume: go on from what is in ``folder``.
        tensorboard: folder that TensorBoard reads losses from.

    Raises:
        TrainingDataError: as :func:`mien.lab.fit.fit`.
    """
    # Networks and compiled steps of earlier folds would else stay in memory.
    keras.utils.clear_session()
    keras.utils.set_random_seed(batches.seed)
    network = build()
    path = folder / "answers.npz"
    identity = _identity(network, batches, validation=validation, asked=asked, recipe=recipe)
    if resume and (known := _read(path, identity)):
        return known
    path.unlink(missing_ok=True)
    fitted = fit(
        network,
        batches,
        validation=validation,
        recipe=recipe,
        folder=folder,
        resume=resume,
        tensorboard=tensorboard,
    )
    answers = Answers(
        probabilities=fitted.network.predict(asked, batch_size=ANSWER_BATCH, verbose=0),
        network=fitted.network.name,
        parameters=fitted.network.count_params(),
        epoch=fitted.epoch,
        history=fitted.history,
    )
    write_atomically(path, lambda file: _write(file, answers, identity))
    for checkpoint in (folder / "state.json", *folder.glob("*.keras")):
        checkpoint.unlink()
    return answers


def _identity(
    network: keras.Model,
    batches: Batches,
    *,
    validation: Arrays | None,
    asked: np.ndarray,
    recipe: Recipe,
) -> str:
    """Hash all that the answers follow from."""
    digest = hashlib.sha256(f"{network.name} {network.count_params()} {recipe}".encode())
    digest.update(fingerprint(batches, validation).encode())
    digest.update(np.ascontiguousarray(asked).data)
    return digest.hexdigest()


def _write(file: BinaryIO, answers: Answers, identity: str) -> None:
    np.savez(
        file,
        probabilities=answers.probabilities,
        told=json.dumps(
            {
                "identity": identity,
                "network": answers.network,
                "parameters": answers.parameters,
                "epoch": answers.epoch,
                "history": answers.history,
            }
        ),
    )


def _read(path: Path, identity: str) -> Answers | None:
    """Read answers; ``None`` where there are none, or others', or damaged ones."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            told = json.loads(str(stored["told"]))
            if told.pop("identity") != identity:
                return None
            return Answers(probabilities=stored["probabilities"], **told)
    except (ValueError, TypeError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        logger.warning("%s is damaged (%s): the network is trained again", path, error)
        return None
