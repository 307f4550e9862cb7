"""Training and evaluation: everything that needs Keras. The run-time never imports it."""

import os

# Keras reads its backend once, at import; ONNX export needs JAX, and a user's own choice stands.
os.environ.setdefault("KERAS_BACKEND", "jax")
