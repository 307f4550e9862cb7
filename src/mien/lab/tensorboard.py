"""Losses by epoch in the format that TensorBoard shows, written without TensorFlow."""

from pathlib import Path

import keras

from mien.errors import MissingDependency


class TensorBoard(keras.callbacks.Callback):  # type: ignore[misc] # keras is untyped
    """Write each epoch's losses; a resumed run goes on in the same folder.

    Args:
        folder: what ``tensorboard --logdir`` is to show.

    Raises:
        MissingDependency: tensorboardX is not installed.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        try:
            from tensorboardX import SummaryWriter  # noqa: PLC0415
        except ImportError as error:
            raise MissingDependency(
                "--tensorboard needs tensorboardX: pip install tensorboardX"
            ) from error
        # Its flush() does not wait for the thread that writes: a killed run would lose two minutes.
        self.writer = SummaryWriter(str(folder), flush_secs=1)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the losses of one epoch, counted from 1."""
        for name, value in (logs or {}).items():
            self.writer.add_scalar(name, float(value), epoch + 1)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Close the file."""
        self.writer.close()
