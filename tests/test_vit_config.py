"""What config.json may say, and what is refused."""

import pytest

from mien.errors import NoEmbedder
from mien.lab.vit_config import VitConfig


def test_config_reads_the_published_base() -> None:
    assert VitConfig.from_dict({"model_type": "vit"}) == VitConfig()
    small = {"model_type": "dinov2", "hidden_size": 384, "num_attention_heads": 6}
    assert VitConfig.from_dict({**small, "image_size": 518}) == VitConfig(
        family="dinov2",
        width=384,
        heads=6,
        inner_width=1536,
        patch=14,
        trained_size=518,
        norm_epsilon=1e-6,
    )


@pytest.mark.parametrize(
    ("field", "value", "supported"),
    [
        ("model_type", "swin", "'vit' or 'dinov2'"),
        ("model_type", "dinov2_with_registers", "'vit' or 'dinov2'"),
        ("model_type", None, "'vit' or 'dinov2'"),
        ("hidden_act", "gelu_new", "'gelu'"),
        ("num_channels", 1, "3"),
        ("use_swiglu_ffn", True, "False"),
        ("num_hidden_layers", 0, "a whole number from 1"),
        ("hidden_size", "768", "a whole number from 1"),
        ("num_attention_heads", 7, "a divisor of 768"),
        ("image_size", 13, "at least 14"),
        ("patch_size", [14, 16], "a square"),
    ],
)
def test_config_refuses(field: str, value: object, supported: str) -> None:
    with pytest.raises(NoEmbedder, match=rf"config.json's {field} must be {supported}.*, not "):
        VitConfig.from_dict({"model_type": "dinov2", field: value})
