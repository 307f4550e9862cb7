"""What is costly to make, kept in the user's cache."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import platformdirs


def kept(name: str, make: Callable[[Path], object]) -> Path:
    """Give a folder of the user's cache; make it where it is not there.

    Nobody ever sees half of it, and processes side by side may make the same one.

    Args:
        name: tells everything that its content depends on.
        make: fills an empty folder.

    Raises:
        OSError: the cache cannot be written.
    """
    folder = Path(platformdirs.user_cache_dir("mien")) / "embedders" / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as draft:
        made = Path(draft) / name
        made.mkdir()
        make(made)
        try:
            made.rename(folder)
        except OSError:
            # Where another process was faster, its folder is as good.
            if not folder.is_dir():
                raise
    return folder
