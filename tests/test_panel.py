"""Several small networks in one: the loss of each, and what they answer together."""

import mien.lab  # noqa: F401

# isort: split
import keras
import numpy as np
import pytest

from mien.lab.panel import EachMember, answering

rng = np.random.default_rng(0)
SAID = rng.dirichlet(np.ones(8), size=(5, 3)).astype(np.float32)
TARGETS = np.eye(8, dtype=np.float32)[[0, 3, 3, 7, 1]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_of_the_members_own(smoothing: float) -> None:
    plain = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    alone = [float(plain(TARGETS, SAID[:, member])) for member in range(3)]
    together = float(EachMember(label_smoothing=smoothing)(TARGETS, SAID))
    assert together == pytest.approx(np.mean(alone), abs=1e-6)


def test_without_members_the_loss_is_keras_s() -> None:
    wanted = float(keras.losses.CategoricalCrossentropy()(TARGETS, SAID[:, 0]))
    assert float(EachMember()(TARGETS, SAID[:, 0])) == pytest.approx(wanted, abs=1e-6)


def members_of(inputs: keras.KerasTensor) -> keras.Model:
    return keras.Model(inputs, keras.layers.Softmax()(inputs), name="several")


def test_members_answer_by_the_mean_of_their_logarithms() -> None:
    network = answering(members_of(keras.Input((3, 8))))
    assert network.name == "several"
    logits = np.log(SAID)
    product = np.exp(logits.mean(axis=1))
    wanted = product / product.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(network(logits)), wanted, atol=1e-6)


def test_a_member_that_is_sure_of_nothing_does_not_make_infinities() -> None:
    logits = np.full((1, 2, 8), -200.0, np.float32)
    logits[0, 0, 0] = logits[0, 1, 1] = 200.0
    answer = np.asarray(answering(members_of(keras.Input((2, 8))))(logits))[0]
    np.testing.assert_allclose(answer[:2], 0.5, atol=1e-3)


def test_a_network_without_members_is_left_as_it_is() -> None:
    network = members_of(keras.Input((8,)))
    assert answering(network) is network
