"""The wire format of live sessions."""

import math

import pytest

from mien.errors import InvalidArgument, ServiceFailed
from mien.live import PICTURE, SOUND, Client, Piece, pack, unpack
from serving import free_port


@pytest.mark.parametrize("piece", [Piece(PICTURE, 0.1, b""), Piece(SOUND, -3.0, b"ab" * 9)])
def test_what_is_packed_comes_back(piece: Piece) -> None:
    assert unpack(pack(piece)) == piece
    assert len(pack(piece)) == 9 + len(piece.payload)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (b"", "9 bytes"),
        (b"12345678", "9 bytes"),
        (pack(Piece(3, 0.0, b"")), "kind"),
        (pack(Piece(SOUND, 0.0, b"abc")), "2 bytes"),
        (pack(Piece(PICTURE, math.nan, b"")), "seconds"),
        (pack(Piece(PICTURE, math.inf, b"")), "seconds"),
        (pack(Piece(SOUND, 1.7e18, b"ab")), "seconds"),
    ],
)
def test_what_is_no_message(message: bytes, told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        unpack(message)


def test_nobody_there() -> None:
    with (
        pytest.raises(ServiceFailed, match="is mien serve running"),
        Client(f"ws://127.0.0.1:{free_port()}", rate=16_000),
    ):
        pytest.fail("it opened")
