"""Training and evaluation: everything that needs Keras. The run-time never imports it."""

import os
import platform
from pathlib import Path

# Keras reads its backend once, at import; ONNX export needs JAX, and a user's own choice stands.
os.environ.setdefault("KERAS_BACKEND", "jax")

# Compiling a network takes longer than an epoch of a small one, and every fold compiles the same
# ones: JAX keeps them. By machine, as code compiled for one processor may not run on another.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        / "mien"
        / "compiled"
        / platform.node()
    ),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
