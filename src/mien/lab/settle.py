"""What batch normalisation subtracts and divides by at use, measured by the trained network."""

import keras
import numpy as np

from mien.errors import InvalidArgument
from mien.lab.batches import Batches

MOST_BATCHES = 40
"""Batches that are measured on: more change the averages by less than two thousandths."""


def settle(network: keras.Model, batches: Batches) -> None:
    """Measure the averages of all batch normalisations anew, on training batches.

    The running averages that Keras keeps while training move by 1 % a step: they lag behind the
    weights, still hold some of the 1 that they start from after a thousand steps, and see dropout,
    which makes activations vary more than they do at use. Here every layer's mean and variance
    are those of whole batches by the final weights, with nothing dropped, averaged over batches.
    They are best taken of clips as they are at use: augmented ones have other averages.
    Networks without batch normalisation stay as they are.

    Args:
        network: trained; changed in place.
        batches: what it was trained on, of which those of the epoch that would come next are used,
            at most 40.

    Raises:
        InvalidArgument: there are no batches.

    Source: Ioffe & Szegedy 2015, "Batch normalization", algorithm 2, steps 8 to 11; Wu & Johnson
    2021, "Rethinking 'batch' in BatchNorm", precise BatchNorm; Li et al. 2019, "Understanding the
    disharmony between dropout and batch normalization by variance shift".
    """
    normalising = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
    if not normalising:
        return
    if not len(batches):
        raise InvalidArgument("batches must be at least one, to measure averages on")
    momenta = {layer: layer.momentum for layer in normalising}
    rates = {layer: layer.rate for layer in network.layers if hasattr(layer, "rate")}
    for layer in rates:
        layer.rate = 0.0
    for number in range(min(len(batches), MOST_BATCHES)):
        for layer in normalising:
            # Makes the running average the mean of all batches so far.
            layer.momentum = number / (number + 1)
        inputs, _ = batches[number]
        network(np.asarray(inputs, np.float32), training=True)
    for layer, momentum in momenta.items():
        layer.momentum = momentum
    for layer, rate in rates.items():
        layer.rate = rate
