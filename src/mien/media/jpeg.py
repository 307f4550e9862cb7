"""One JPEG picture, as cameras send them → upright RGB."""

from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext

from mien.errors import InvalidArgument
from mien.media.container import decode
from mien.media.pictures import Pixels, Upright

MAX_JPEG_PIXELS = 2**22
"""Pixels of the largest picture that is decoded: 2560x1440 and a little."""


def jpeg_pixels(jpeg: bytes) -> Pixels:
    """Decode a JPEG, by the decoder and the conversion that pictures of clips go through.

    Args:
        jpeg: the bytes of one picture, of at most ``MAX_JPEG_PIXELS``.

    Returns:
        RGB, shape (height, width, 3).

    Raises:
        InvalidArgument: the bytes are no such picture.

    >>> jpeg_pixels(b"GIF89a")
    Traceback (most recent call last):
        ...
    mien.errors.InvalidArgument: frame must be a JPEG of at most 4194304 pixels, got 6 other bytes
    """
    context: VideoCodecContext = av.CodecContext.create("mjpeg", "r")
    context.options = {"max_pixels": str(MAX_JPEG_PIXELS)}
    # One picture: threads would only wait for the next.
    context.thread_count = 1
    pictures = [*decode(context, av.Packet(jpeg)), *decode(context, None)] if jpeg else []
    if not pictures:
        raise InvalidArgument(
            f"frame must be a JPEG of at most {MAX_JPEG_PIXELS} pixels, got {len(jpeg)} other bytes"
        )
    return Upright(Fraction(1))(pictures[0])
