import inspect

import pytest

from mien import errors
from mien.errors import MienError

LEAVES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, MienError)
]


@pytest.mark.parametrize("leaf", LEAVES)
def test_each_error_is_mapped_once(leaf: type[MienError]) -> None:
    assert leaf.exit_code in {1, 2}
    assert leaf.http_status in {401, 403, 408, 413, 422, 500, 502, 503, 504}
    assert leaf.__doc__


def test_what_another_clip_or_another_day_may_mend() -> None:
    mended = {leaf for leaf in LEAVES if leaf.exit_code == 1}
    assert mended == {
        errors.UnreadableClip,
        errors.WorkerCrashed,
        errors.ClipTimedOut,
        errors.DownloadFailed,
        errors.ServiceFailed,
    }
