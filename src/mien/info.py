"""What this installation is, what it can do, and how to get what is missing."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import onnxruntime

import mien
from mien.bundle import load_bundle
from mien.errors import BundleError
from mien.graphs import PRECISIONS, engine_of
from mien.processor import multiplies
from mien.session import PROVIDERS
from mien.trial import trusted_precision

RUN_TIME = ("av", "numpy", "onnxruntime", "opencv-python-headless")
EXTRAS = {
    "openvino": ("precisions bf16 and int8", "openvino"),
    "batch": ("'mien batch'", "ray"),
    "lab": ("training and 'mien embedder convert'", "keras"),
    "serve": ("'mien serve' and mien.live.Client", "fastapi"),
    "reference": ("the tests that compare with transformers", "transformers"),
}
"""Extra → what it is for, and a module that tells whether it is installed."""


def installation() -> Iterator[str]:
    """Tell versions, devices and the default bundle, then what is missing and how to get it.

    >>> next(installation()).split()[0]
    'mien'
    """
    yield f"mien       {mien.__version__}"
    yield f"python     {platform.python_version()} on {platform.platform()}"
    for package in RUN_TIME:
        yield f"           {package} {_version(package)}"
    available = onnxruntime.get_available_providers()
    for device, provider in PROVIDERS.items():
        cure = "" if provider in available else ": replace onnxruntime by onnxruntime-gpu"
        yield f"device     {device}: {'yes' if provider in available else 'no'}{cure}"
    for precision in PRECISIONS:
        yield f"precision  {precision}: {_precision(precision)}"
    yield f"bundle     {_default_bundle()}"
    for extra, (purpose, module) in EXTRAS.items():
        state = (
            "yes"
            if find_spec(module)
            else f"no: pip install 'mien[{extra}]', or '.[{extra}]' in a clone"
        )
        yield f"extra      {extra}, for {purpose}: {state}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed by pip)"


def _precision(precision: str) -> str:
    engine = engine_of(precision)
    if engine is None:
        return "no: pip install 'mien[openvino]', or '.[openvino]' in a clone"
    if precision == "bf16" and not multiplies(precision):
        return "no: the processor does not multiply it"
    speed = "" if multiplies(precision) else ", but the processor has no instructions for it"
    return f"yes, by {engine}{speed}"


def _default_bundle() -> str:
    try:
        bundle = load_bundle()
    except BundleError as error:
        return f"cannot be used: {error}"
    precision = trusted_precision(bundle)
    return f"{bundle.name} {bundle.sha256[:12]} at {bundle.path}, by default in {precision}"
