"""The sizes of a Vision Transformer, as Hugging Face's ``config.json`` tells them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from mien.errors import NoEmbedder

Family = Literal["vit", "dinov2"]

_SHARED_DEFAULTS = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "gelu",
    "image_size": 224,
    "num_channels": 3,
    "qkv_bias": True,
}
# config.json leaves out what equals the defaults of transformers' configuration classes.
_DEFAULTS: Mapping[Family, Mapping[str, Any]] = {
    "vit": {
        **_SHARED_DEFAULTS,
        "patch_size": 16,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-12,
    },
    "dinov2": {
        **_SHARED_DEFAULTS,
        "patch_size": 14,
        "mlp_ratio": 4,
        "layer_norm_eps": 1e-6,
        "use_swiglu_ffn": False,
    },
}


@dataclass(frozen=True, kw_only=True)
class VitConfig:
    """The sizes of a Vision Transformer."""

    family: Family = "vit"
    """``"vit"``, or ``"dinov2"`` for blocks with layer scale."""
    width: int = 768
    """Numbers a token, and of the embedding."""
    depth: int = 12
    """Blocks."""
    heads: int = 12
    inner_width: int = 3072
    """Hidden units of a block's multi-layer perceptron."""
    patch: int = 16
    """Pixels a side of a patch."""
    trained_size: int = 224
    """Pixels a side of the pictures that the position embeddings were trained on."""
    norm_epsilon: float = 1e-12
    qkv_bias: bool = True

    @property
    def trained_side(self) -> int:
        """Patches a side of the pictures that the position embeddings were trained on."""
        return self.trained_size // self.patch

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read Hugging Face's ``config.json``.

        Args:
            values: its content; a missing field means transformers' default.

        Raises:
            NoEmbedder: the network is of another kind; the message names the field.

        >>> VitConfig.from_dict({"model_type": "dinov2", "hidden_size": 384}).inner_width
        1536
        """
        family: Any = values.get("model_type")
        if family not in _DEFAULTS:
            raise _unsupported("model_type", family, "'vit' or 'dinov2'")
        fields = {**_DEFAULTS[family], **values}
        _require(fields, "hidden_act", "gelu")
        _require(fields, "num_channels", 3)
        if family == "dinov2":
            _require(fields, "use_swiglu_ffn", False)
        config = cls(
            family=family,
            width=_count(fields, "hidden_size"),
            depth=_count(fields, "num_hidden_layers"),
            heads=_count(fields, "num_attention_heads"),
            inner_width=_inner_width(family, fields),
            patch=square_side("config.json's patch_size", fields["patch_size"]),
            trained_size=square_side("config.json's image_size", fields["image_size"]),
            norm_epsilon=float(fields["layer_norm_eps"]),
            qkv_bias=bool(fields["qkv_bias"]),
        )
        if config.width % config.heads:
            raise _unsupported("num_attention_heads", config.heads, f"a divisor of {config.width}")
        if config.trained_size < config.patch:
            raise _unsupported("image_size", config.trained_size, f"at least {config.patch}")
        return config


def square_side(name: str, value: Any) -> int:
    """Read a square's side, given as a number or as two equal ones.

    Args:
        name: of the file and its field, for the message.
        value: a number of pixels, a list or a mapping of them.

    Raises:
        NoEmbedder: it is no square, or not of whole pixels.

    >>> square_side("config.json's image_size", {"height": 224, "width": 224})
    224
    """
    sides = set(value.values() if isinstance(value, Mapping) else np.atleast_1d(value).tolist())
    if len(sides) != 1 or not isinstance(side := sides.pop(), int) or side < 1:
        raise NoEmbedder(
            f"{name} must be a square, as one whole number or two equal ones, not {value!r}: "
            "choose another embedder"
        )
    return side


def _unsupported(field: str, value: object, supported: str) -> NoEmbedder:
    return NoEmbedder(
        f"config.json's {field} must be {supported}, not {value!r}: choose another embedder"
    )


def _require(fields: Mapping[str, Any], name: str, value: object) -> None:
    if fields[name] != value:
        raise _unsupported(name, fields[name], repr(value))


def _count(fields: Mapping[str, Any], name: str) -> int:
    value = fields[name]
    if not isinstance(value, int) or value < 1:
        raise _unsupported(name, value, "a whole number from 1")
    return value


def _inner_width(family: Family, fields: Mapping[str, Any]) -> int:
    if family == "vit":
        return _count(fields, "intermediate_size")
    return int(_count(fields, "hidden_size") * fields["mlp_ratio"])
