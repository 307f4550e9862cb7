import os

# Before any test imports Keras, which would else look for TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "jax")
