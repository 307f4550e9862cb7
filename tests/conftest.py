import os
import sys

import pytest

# Before any test imports Keras, which would else look for TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "jax")

WHOLE = {"test_light", "test_benchmarks"}
"""Tests that look at the light voice as it is."""


@pytest.fixture(autouse=True)
def _few_members(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the light voice have four members for eight: half of its training step's compilation."""
    light = sys.modules.get("mien.lab.light")
    if light is not None and request.path.stem not in WHOLE:
        monkeypatch.setattr(light, "LISTENERS", 1)
        monkeypatch.setattr(light, "COUNTERS", 1)
        monkeypatch.setattr(light, "WEIGHERS", 1)
