"""What this machine's processor multiplies fast."""

import functools
from pathlib import Path

FAST = {
    "int8": {"avx512_vnni", "avx_vnni", "amx_int8"},
    "bf16": {"avx512_bf16", "amx_bf16"},
}
"""Precision → instructions, one of which multiplies it faster than float32; Linux's names."""


def multiplies(precision: str) -> bool:
    """Say whether the processor has instructions for a precision: ``f32``, ``bf16``, ``int8``.

    Only Linux tells which it has; elsewhere the answer is no but for ``f32``.

    >>> multiplies("f32")
    True
    """
    return precision == "f32" or bool(FAST[precision] & instructions())


@functools.cache
def instructions() -> frozenset[str]:
    """Give the names of the processor's instruction sets; none where nobody tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())
