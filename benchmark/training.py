"""Clips a second that training takes in: JAX beside PyTorch, float32 beside mixed precision.

    python benchmark/training.py

Each way runs in a process of its own, on the accelerator where its library finds one: Keras reads
its backend once. PyTorch is in the extra "reference".
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from measuring import parser, report

BATCH = 32
WAYS = [(backend, policy) for backend in ("jax", "torch") for policy in ("float32", "mixed")]
NETWORKS = ("paper audio", "paper video", "mien audio")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every network and way."""
    made = parser(__doc__)
    made.add_argument("--steps", type=int, default=10)
    made.add_argument("--networks", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    made.add_argument("--ways", nargs="*", default=[" ".join(way) for way in WAYS])
    given = made.parse_args(arguments)
    rows = [
        _in_a_process(network, *way.split(), steps=given.steps)
        for network in given.networks
        for way in given.ways
    ]
    report("training", rows, results=given.results, batch=BATCH)
    return 0


def _in_a_process(network: str, backend: str, policy: str, *, steps: int) -> dict[str, Any]:
    found: dict[str, Any] = {"device": None, "clips a second": None, "seconds to compile": None}
    done = subprocess.run(  # noqa: S603 - this script itself
        [sys.executable, __file__, "--measure", network, policy, str(steps)],
        env={**os.environ, "KERAS_BACKEND": backend},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"training: {network} by {backend} in {policy} did not run", file=sys.stderr)
    else:
        found = json.loads(done.stdout.splitlines()[-1])
    return {"network": network, "backend": backend, "precision": policy, **found}


def measure(network: str, policy: str, *, steps: int) -> dict[str, Any]:
    """Train one network on noise, with the backend of this process."""
    import mien.lab  # noqa: F401, PLC0415

    # isort: split
    import keras  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    from mien.lab.presets import PRESETS  # noqa: PLC0415

    device = _device(keras.config.backend())
    mixed = "mixed_float16" if "cpu" not in device.lower() else "mixed_bfloat16"
    keras.config.set_dtype_policy(mixed if policy == "mixed" else "float32")
    preset_name, branch = network.split()
    preset, chance = PRESETS[preset_name], np.random.default_rng(0)
    speech = preset.speech
    audio = branch == "audio"
    shape = (BATCH, speech.frames * speech.columns) if audio else (BATCH, 22, 768)
    inputs = chance.normal(size=shape).astype(np.float32)
    built = (preset.audio(speech) if audio else preset.video).network(inputs)
    targets = np.eye(8, dtype=np.float32)[chance.integers(0, 8, BATCH)]
    if len(built.output_shape) > 2:
        targets = np.repeat(targets[:, None], built.output_shape[1], axis=1)
    built.compile(optimizer="adam", loss="categorical_crossentropy")
    start = time.perf_counter()
    built.train_on_batch(inputs, targets)
    compiled = time.perf_counter()
    for _ in range(steps):
        built.train_on_batch(inputs, targets)
    seconds = time.perf_counter() - compiled
    return {
        "device": device,
        "clips a second": steps * BATCH / seconds,
        "seconds to compile": compiled - start,
    }


def _device(backend: str) -> str:
    if backend == "jax":
        import jax  # noqa: PLC0415

        return str(jax.devices()[0].device_kind)
    import torch  # noqa: PLC0415

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2], sys.argv[3], steps=int(sys.argv[4]))))
        sys.exit(0)
    sys.exit(main())
