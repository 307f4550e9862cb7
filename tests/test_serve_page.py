"""The page, in a real browser, with a camera and a microphone that play a clip."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mien
from browser import chromium
from face_pictures import data
from fake_devices import fake_devices
from mien.verify import GOLDEN_CLIP
from mien.windows import COLUMNS
from mien.wording import per_cent
from serving import Serving, serving

pytestmark = pytest.mark.slow

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
BOX_IS_DRAWN = """(() => {
  const { width, height } = document.getElementById('boxes');
  const pen = document.getElementById('boxes').getContext('2d');
  return width && pen.getImageData(0, 0, width, height).data.some(Boolean);
})()"""
LIVE_CLIP = "01-01-08-02-01-01-19.mp4"


@pytest.fixture(scope="module")
def service() -> Iterator[Serving]:
    with serving("--workers", "1") as found:
        yield found


@contextmanager
def opened(
    service: Serving,
    *,
    size: str = "desktop",
    scheme: str = "light",
    devices: list[str] | None = None,
) -> Iterator[Any]:
    """Open the page; at the end nothing may have gone wrong, or been asked of anybody else."""
    wrong: list[str] = []
    own = (service.url, service.url.replace("http", "ws"), f"blob:{service.url}")
    width, height = SIZES[size]
    with chromium(*(devices or [])) as browser:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda request: wrong.extend([] if request.url.startswith(own) else [request.url]),
        )
        page.goto(service.url)
        until(page, "document.querySelectorAll('#legend canvas').length === 8")
        until(page, "document.getElementById('about').textContent !== ''")
        yield page
    # Chromium tells of answers that are errors; the page says so too, in better words.
    assert [each for each in wrong if "422" not in each] == []


def until(page: Any, expression: str, *, seconds: int = 60) -> None:
    """Wait until that is true. Playwright's own way is an eval, which the page's policy forbids."""
    for _ in range(10 * seconds):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"{seconds} s, and not yet {expression}: {page.text_content('main')}")


def read_example(page: Any) -> None:
    page.set_input_files("#file", GOLDEN_CLIP)
    until(page, "!document.getElementById('curve').ariaLabel.startsWith('Nothing')")


def test_a_clip_is_answered_as_by_the_command_line(service: Serving) -> None:
    expected = mien.predict(GOLDEN_CLIP)
    assert expected.probabilities is not None
    with opened(service) as page:
        read_example(page)
        assert page.text_content("#headline").startswith(f"{expected.emotion} ")
        shown = page.locator("#bars tbody tr").all_text_contents()
        for line, (name, share) in zip(shown, expected.probabilities.items(), strict=True):
            assert line.startswith(name)
            assert line.endswith(f"{per_cent(share)} %")
        assert expected.audio.probabilities is not None
        heard = max(expected.audio.probabilities.items(), key=lambda pair: pair[1])[0]
        assert f"Voice sounds {heard}" in page.text_content("#reasons")
        assert page.text_content("#spoken").startswith(str(expected.emotion))
        # The face has a box.
        until(page, "document.getElementById('video').readyState >= 2")
        until(page, BOX_IS_DRAWN)


def test_what_was_answered_is_saved(service: Serving) -> None:
    with opened(service) as page:
        read_example(page)
        with page.expect_download() as download:
            page.click("#csv")
        text = Path(download.value.path()).read_text()
        (row,) = csv.DictReader(io.StringIO(text))
        assert tuple(row) == COLUMNS
        assert (row["emotion"], row["person"], row["end_s"]) == ("happy", "1", "3.8")
        with page.expect_download() as download:
            page.click("#json")
        (window,) = json.loads(Path(download.value.path()).read_text())
        assert window["emotion"] == "happy"
        assert download.value.suggested_filename == "mien-astronaut.json"


def test_what_is_no_clip_is_told(service: Serving, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no clip")
    with opened(service) as page:
        page.set_input_files("#file", path)
        until(page, "!document.getElementById('alert').hidden")
        assert "UnreadableClip" in page.text_content("#alert")
        assert "notes.txt" in page.text_content("#alert")
        assert page.get_attribute("#alert", "role") == "alert"
        read_example(page)
        assert page.locator("#alert").is_hidden()


def test_live_shows_the_emotion_of_the_clip(service: Serving, tmp_path: Path) -> None:
    clip = data() / "clips" / LIVE_CLIP
    if not clip.exists():
        pytest.skip(f"no {clip}")
    expected = mien.predict(clip)
    with opened(service, devices=fake_devices(clip, tmp_path).arguments) as page:
        page.click("#start")
        # A whole window, of picture and sound.
        until(page, "document.querySelectorAll('#reasons .out, #age:empty').length === 0")
        until(page, f"document.getElementById('headline').dataset.emotion === '{expected.emotion}'")
        assert "Person 1 is in view" in page.text_content("#view")
        assert "old" in page.text_content("#age")
        with page.expect_download() as download:
            page.click("#json")
        answers = json.loads(Path(download.value.path()).read_text())
        assert answers[-1]["audio"]["used"]
        assert answers[-1]["video"]["used"]
        page.click("#stop")
        until(page, "document.getElementById('video').srcObject === null")
        assert page.evaluate("document.activeElement.id") == "start"


def test_without_a_camera_the_page_says_so(service: Serving) -> None:
    with opened(service) as page:
        page.click("#start")
        until(page, "!document.getElementById('alert').hidden")
        assert page.locator("#start").is_visible()


def test_everything_is_reached_by_tab(service: Serving) -> None:
    with opened(service) as page:
        reached = set()
        for _ in range(8):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
        assert {"mode", "start", "branch"} <= reached
        page.focus("input[value=live]")
        page.keyboard.press("ArrowRight")
        until(page, "!document.getElementById('clip-actions').hidden")
        for _ in range(2):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id"))
        assert {"file", "record"} <= reached


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_and_says_that_nothing_leaves(service: Serving, size: str, scheme: str) -> None:
    with opened(service, size=size, scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        assert page.locator("text=Nothing leaves this machine").is_visible()
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ("255" in ground) == (scheme == "light")


def test_a_token_is_asked_for(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef" * 2)
    with serving("--workers", "1", "--token-file", token) as service, chromium() as browser:
        page = browser.new_page()
        page.goto(service.url)
        until(page, "!document.getElementById('entry').hidden")
        page.fill("#token", token.read_text())
        page.keyboard.press("Enter")
        until(page, "document.getElementById('about').textContent !== ''")
        assert page.locator("#entry").is_hidden()
        read_example(page)
