from pathlib import Path

import numpy as np
import onnx
import pytest

from mien.bundle import DEFAULT_BUNDLE
from mien.embed import BATCH, Embedder, hash_file
from mien.errors import InvalidArgument, NoEmbedder


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(DEFAULT_BUNDLE / "embedder.onnx")


def crops(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 48, 48, 3), dtype=np.uint8)


def test_width_and_name_come_from_the_file(embedder: Embedder) -> None:
    assert (embedder.name, embedder.crop_size, embedder.width) == ("expression", 48, 256)


def test_more_than_a_batch_is_the_same_as_one_by_one(embedder: Embedder) -> None:
    pictures = crops(BATCH + 3)
    together = embedder.embed(pictures)
    assert together.shape == (BATCH + 3, embedder.width)
    alone = np.concatenate([embedder.embed(picture[None]) for picture in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_equal_crops_are_computed_once(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other, third = crops(3)
    pictures = np.stack([one, other, one, one, third, other])
    alone = np.concatenate([embedder.embed(picture[None]) for picture in pictures])
    run = embedder._run
    sizes: list[int] = []

    def counted(values: np.ndarray) -> np.ndarray:
        sizes.append(len(values))
        return run(values)

    monkeypatch.setattr(embedder, "_run", counted)
    np.testing.assert_allclose(embedder.embed(pictures), alone, atol=1e-4)
    assert sizes == [3]


def test_no_crops_give_no_rows(embedder: Embedder) -> None:
    assert embedder.embed(crops(0)).shape == (0, embedder.width)


@pytest.mark.parametrize(
    "wrong", [crops(1).astype(np.float32), crops(1)[:, :40], crops(1)[..., :1], crops(1)[0]]
)
def test_wrong_crops_are_named(embedder: Embedder, wrong: np.ndarray) -> None:
    with pytest.raises(InvalidArgument, match="crops must be uint8"):
        embedder.embed(wrong)


def test_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NoEmbedder, match="mien embedder convert"):
        Embedder(tmp_path / "none.onnx")


def test_graph_of_another_kind_is_refused() -> None:
    with pytest.raises(NoEmbedder, match="takes crops"):
        Embedder(DEFAULT_BUNDLE / "audio.onnx")


def test_graph_of_open_sizes_is_refused(tmp_path: Path) -> None:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    taken = helper.make_tensor_value_info("crops", kind, ["n", "size", "size", 3])
    given = helper.make_tensor_value_info("embedding", kind, ["n", 3])
    mean = helper.make_node("ReduceMean", ["crops", "axes"], ["embedding"], keepdims=0)
    axes = helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [1, 2])
    graph = helper.make_graph([mean], "open", [taken], [given], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "open.onnx")
    with pytest.raises(NoEmbedder, match="takes crops"):
        Embedder(tmp_path / "open.onnx")


def test_hash_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert hash_file(tmp_path / "abc").startswith("ba7816bf8f01cfea")
