"""Several small networks in one: each is trained by itself, and they answer together.

Networks that see the same clip differently err differently. Trained as one, on the loss of what
they say together, they would lean on each other and lose that; so while training, a network with
members gives what each says, and each is told how it did.
"""

import keras
from keras import ops

SMALLEST = 1e-7
"""Probability below which no logarithm is taken; also Keras's own limit."""


@keras.saving.register_keras_serializable("mien")
class EachMember(keras.losses.CategoricalCrossentropy):  # type: ignore[misc] # keras is untyped
    """Cross-entropy of probabilities, averaged over members where there are several.

    Args of the constructor are those of Keras's class.

    >>> targets, said = ops.eye(2), ops.array([[[0.5, 0.5], [1.0, 0.0]], [[0.5, 0.5], [0.0, 1.0]]])
    >>> round(float(EachMember()(targets, said)), 3)
    0.347
    """

    def call(self, targets: keras.KerasTensor, said: keras.KerasTensor) -> keras.KerasTensor:
        """Compare.

        Args:
            targets: shape ``(batch, classes)``.
            said: shape ``(batch, members, classes)``, or that of ``targets``.

        Returns:
            Shape ``(batch,)``.
        """
        if len(said.shape) == 2:
            return super().call(targets, said)
        wanted = ops.repeat(targets[:, None], said.shape[1], axis=1)
        return ops.mean(super().call(wanted, said), axis=1)


def answering(network: keras.Model) -> keras.Model:
    """Give the network that answers: where it has members, by the mean of their logarithms.

    Args:
        network: of output shape ``(batch, members, classes)``; any other is given as it is.

    Returns:
        Of output shape ``(batch, classes)``; probabilities.

    >>> inputs = keras.Input((3, 2))
    >>> answering(keras.Model(inputs, ops.softmax(inputs))).output_shape
    (None, 2)
    """
    if len(network.output_shape) != 3:
        return network
    said = ops.log(ops.maximum(network.output, SMALLEST))
    together = keras.layers.Softmax(name="together")(ops.mean(said, axis=1))
    return keras.Model(network.input, together, name=network.name)
