import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "src" / "mien" / "bundles" / "astronaut.mp4"


def streams_of(path: Path) -> list[str]:
    with av.open(path) as container:
        return [stream.codec_context.name for stream in container.streams]


def test_example_is_h264_and_aac() -> None:
    assert streams_of(EXAMPLE) == ["h264", "aac"]


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng to speak")
def test_script_makes_the_example(tmp_path: Path) -> None:
    out = tmp_path / "astronaut.mp4"
    script = ROOT / "scripts" / "make_example.py"
    subprocess.run([sys.executable, script, out], check=True, timeout=120)
    assert streams_of(out) == ["h264", "aac"]
    assert out.stat().st_size == pytest.approx(EXAMPLE.stat().st_size, rel=0.2)
