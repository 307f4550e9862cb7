"""The expression network trained by PyTorch, which convolves on processors as JAX does not.

One step on a batch of 64 crops takes 0.36 s in JAX and 0.17 s in PyTorch on two cores of an AMD
EPYC, and 0.08 s there in bfloat16 (docs/experiments.md).
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import torch

from mien.lab.batches import Arrays, Batches
from mien.lab.light import LUMA


def train(  # noqa: PLR0913 - what keras.Model.fit takes
    network: keras.Model,
    batches: Batches,
    *,
    epochs: int,
    initial_epoch: int,
    validation: Arrays | None,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Train an expression network as ``keras.Model.fit`` would, its steps computed by PyTorch.

    Weights and the optimizer's state are the Keras network's after each epoch, when callbacks are
    called: a checkpoint that was made here goes on in JAX, and the other way round. Convolutions
    are computed in bfloat16 where the processor does so; weights, normalisation and losses are
    float32.

    Args:
        network: from :func:`mien.lab.light.expression_network`, compiled with Adam; changed in
            place.
        batches: the training part; all chance is drawn from its seed and the epoch's number.
        epochs: all in all, those of earlier runs included.
        initial_epoch: epochs done by earlier runs.
        validation: what ``val_loss`` is computed on; ``None`` for none.
        callbacks: of which the beginnings and ends of epochs are told.
    """
    told = keras.callbacks.CallbackList(list(callbacks), model=network)
    twin = _Twin(network)
    for epoch in range(initial_epoch, epochs):
        told.on_epoch_begin(epoch)
        # Before the first epoch too, as Keras does.
        batches.on_epoch_end()
        losses = {"loss": twin.epoch(batches, number=epoch)}
        if validation is not None:
            losses["val_loss"] = twin.loss_of(validation)
        twin.hand_back()
        told.on_epoch_end(epoch, losses)


class _Twin:
    """The tensors of an expression network and of its optimizer, and one step with them."""

    def __init__(self, network: keras.Model) -> None:
        self.network, self.adam = network, network.optimizer
        if not self.adam.built:
            self.adam.build(network.trainable_variables)
        self.smoothing = network.loss.label_smoothing
        self.steps = int(self.adam.iterations.value)
        self.dropped = network.get_layer("dropout_of_embedding").rate
        numbers = [variable for variable in network.variables if variable.dtype == "float32"]
        self.of = {id(variable): _tensor(variable) for variable in numbers}
        self.weights = [self.of[id(variable)] for variable in network.trainable_variables]
        for weight in self.weights:
            weight.requires_grad_()
        self.first = [_tensor(moment) for moment in self.adam._momentums]
        self.second = [_tensor(moment) for moment in self.adam._velocities]
        layers = network.layers
        self.convolutions = [x for x in layers if isinstance(x, keras.layers.Conv2D)]
        self.normalising = [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]

    def epoch(self, batches: Batches, *, number: int) -> float:
        """Train on all batches; gives the mean loss."""
        torch.manual_seed(int(np.random.SeedSequence([batches.seed, number]).generate_state(1)[0]))
        total = 0.0
        for inputs, targets in _ahead(batches):
            loss = self._loss(inputs, targets, training=True)
            self._step(torch.autograd.grad(loss, self.weights))
            total += float(loss.detach()) * len(inputs)
        return total / len(batches.arrays.inputs)

    def loss_of(self, arrays: Arrays, *, rows: int = 256) -> float:
        """Give the mean loss, of a network that does not train."""
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(arrays.inputs), rows):
                some = slice(start, start + rows)
                loss = self._loss(arrays.inputs[some], arrays.targets[some], training=False)
                total += float(loss) * len(arrays.inputs[some])
        return total / len(arrays.inputs)

    def hand_back(self) -> None:
        """Give the Keras network and its optimizer what the tensors hold."""
        for variable in self.network.variables:
            if id(variable) in self.of:
                variable.assign(_array(self.of[id(variable)]))
        for moments, tensors in (
            (self.adam._momentums, self.first),
            (self.adam._velocities, self.second),
        ):
            for moment, tensor in zip(moments, tensors, strict=True):
                moment.assign(_array(tensor))
        self.adam.iterations.assign(self.steps)

    def answers(self, crops: np.ndarray, *, training: bool) -> torch.Tensor:
        """Give the logits: the same way as :func:`mien.lab.light.expression_network`."""
        with torch.autocast("cpu", torch.bfloat16, enabled=_has_bfloat16()):
            x = self._convolution(_contrast(crops), 0, training=training)
            for place in range(1, len(self.convolutions), 2):
                x = torch.nn.functional.max_pool2d(x, 2)
                x = self._convolution(x, place, training=training)
                x = x + self._convolution(x, place + 1, training=training)
        embedding = x.float().mean((2, 3))
        seen = torch.nn.functional.dropout(embedding, self.dropped, training=training)
        last = self.network.get_layer("probabilities")
        return seen @ self.of[id(last.kernel)] + self.of[id(last.bias)]

    def _convolution(self, x: torch.Tensor, place: int, *, training: bool) -> torch.Tensor:
        of, convolution, normal = self.of, self.convolutions[place], self.normalising[place]
        x = torch.nn.functional.conv2d(x, of[id(convolution.kernel)], padding=1)
        x = torch.nn.functional.batch_norm(
            x,
            of[id(normal.moving_mean)],
            of[id(normal.moving_variance)],
            of[id(normal.gamma)],
            of[id(normal.beta)],
            training=training,
            momentum=1.0 - normal.momentum,
            eps=normal.epsilon,
        )
        return torch.relu(x)

    def _loss(self, inputs: np.ndarray, targets: np.ndarray, *, training: bool) -> torch.Tensor:
        smooth = targets * (1.0 - self.smoothing) + self.smoothing / targets.shape[1]
        said = torch.log_softmax(self.answers(inputs, training=training), dim=1)
        return -(torch.from_numpy(smooth.astype(np.float32)) * said).sum(1).mean()

    def _step(self, gradients: Sequence[torch.Tensor]) -> None:
        """Do what keras.optimizers.Adam does."""
        adam, self.steps = self.adam, self.steps + 1
        rate = self._rate()
        with torch.no_grad():
            if adam.weight_decay:
                torch._foreach_mul_(self.weights, 1.0 - rate * adam.weight_decay)
            for weight, gradient, first, second in zip(
                self.weights, gradients, self.first, self.second, strict=True
            ):
                first.lerp_(gradient, 1.0 - adam.beta_1)
                second.lerp_(gradient * gradient, 1.0 - adam.beta_2)
                unbiased = (1.0 - adam.beta_2**self.steps) ** 0.5 / (1.0 - adam.beta_1**self.steps)
                weight.addcdiv_(first, second.sqrt().add_(adam.epsilon), value=-rate * unbiased)

    def _rate(self) -> float:
        """Give the learning rate of this step; Keras counts steps from 0 when it asks."""
        rate: Any = self.adam._learning_rate
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            return float(rate(self.steps - 1))
        return float(rate.value)


def _has_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _ahead(batches: Batches) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give an epoch's batches, the next one made while one is trained on."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(batches.__getitem__, 0)
        for place in range(1, len(batches) + 1):
            ready = coming.result()
            if place < len(batches):
                coming = maker.submit(batches.__getitem__, place)
            yield ready


def _contrast(crops: np.ndarray) -> torch.Tensor:
    grey = torch.from_numpy(crops.astype(np.float32) @ np.array(LUMA, np.float32))[:, None]
    centred = grey - grey.mean((2, 3), keepdim=True)
    spread = (centred.square().mean((2, 3), keepdim=True) + 25.0).sqrt()
    return (centred / spread).contiguous(memory_format=torch.channels_last)


def _tensor(variable: keras.Variable) -> torch.Tensor:
    """Copy a variable, kernels as PyTorch lays them out."""
    array = np.array(variable.value)
    if array.ndim == 4:
        kernel = torch.from_numpy(array.transpose(3, 2, 0, 1).copy())
        return kernel.contiguous(memory_format=torch.channels_last)
    return torch.from_numpy(array)


def _array(tensor: torch.Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().numpy()
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
