"""A clip → frames with their presentation times, and a mono waveform.

The way of the data: ``reader`` (where the bytes come from) → ``container`` (packets and decoders)
→ ``sound`` (the waveform) and ``times`` (which frames are wanted) → ``walk`` (to these frames) →
``pictures`` (upright RGB) → ``clip``.

A clip is read twice. The first pass takes every packet's presentation time without decoding
pictures, since headers lie about durations and frame rates, and decodes the sound that is asked
for. The second pass decodes only the pictures that are shown at the middles of equal slices,
jumping from key frame to key frame.
"""

from mien.media.clip import Clip, open_clip
from mien.media.pictures import Frame
from mien.media.reader import ClipSource, clip_name
from mien.media.times import shown_at_middles

__all__ = ["Clip", "ClipSource", "Frame", "clip_name", "open_clip", "shown_at_middles"]
