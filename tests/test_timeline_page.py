"""The page, in a real browser: it draws, jumps, obeys keys, and asks nobody for anything."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser import chromium
from made_windows import BUNDLE, scene, window
from media_samples import sine, write_clip
from mien import EMOTIONS
from mien.palette import EMOTION_COLOURS, rgb
from mien.timeline_files import TimelineFacts, open_writers
from mien.windows import Window

SECONDS = 20
NAME = "a talk & <b>more #1 {{data}}.mp4"
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


def write(folder: Path, rows: list[Window] | None = None, *, name: str = NAME) -> Path:
    path = folder / "page.html"
    facts = TimelineFacts(clip=folder / name, window_s=4.0, hop_s=1.0, people="all", bundle=BUNDLE)
    with open_writers([path], facts) as (writer,):
        for row in rows or scene(SECONDS):
            writer.write(row)
    return path


def film(folder: Path, *, name: str = NAME, **options: Any) -> None:
    write_clip(
        folder / name,
        frames=SECONDS * 10,
        fps=10,
        size=(320, 180),
        video_options={"g": "10"},
        waveform=sine(300, seconds=SECONDS, rate=16_000),
        **options,
    )


@contextmanager
def opened(path: Path, *, size: str = "desktop", scheme: str = "light") -> Iterator[Any]:
    """Open the page; at the end nothing may have gone wrong, or been asked of anybody."""
    wrong: list[str] = []
    width, height = SIZES[size]
    with chromium() as browser:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda request: wrong.extend(
                [] if request.url.startswith(("file:", "blob:")) else [request.url]
            ),
        )
        page.goto(path.as_uri())
        until(page, "document.querySelectorAll('#legend canvas').length === 8")
        yield page
    # Chromium tells of a file that is not there; the page says so too, in better words.
    assert [each for each in wrong if "ERR_FILE_NOT_FOUND" not in each] == []


def now(page: Any) -> float:
    return float(page.get_attribute("#lanes", "aria-valuenow"))


def until(page: Any, expression: str) -> None:
    """Wait until that is true. Playwright's own way is an eval, which the page's policy forbids."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"10 s, and not yet {expression}")


def ready(page: Any) -> None:
    until(page, "document.getElementById('video').readyState >= 2")


def jump_to(page: Any, share: float) -> None:
    box = page.locator("#lanes").bounding_box()
    page.mouse.click(box["x"] + share * box["width"], box["y"] + 80)


def seeked(page: Any, time: float) -> None:
    until(page, f"Math.abs(document.getElementById('video').currentTime - {time}) < 0.06")


def test_page_is_one_file_and_runs_only_its_own_script(tmp_path: Path) -> None:
    text = write(tmp_path).read_text("utf-8")
    markup = re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.DOTALL)
    assert not re.search(r"\son\w+\s*=", markup)
    assert not re.search(r"\sstyle\s*=", markup)
    # The schema of SVG or the like would be an address too, but is not needed.
    assert "//" not in markup.replace("</", "")
    assert "default-src &#x27;none&#x27;" in markup
    assert "<b>more" not in text
    assert 'src="./a%20talk%20%26%20%3Cb%3Emore%20%231%20%7B%7Bdata%7D%7D.mp4"' in markup
    (rows,) = re.findall(r'id="timeline">(.*?)</script>', text, flags=re.DOTALL)
    assert len(json.loads(rows)["rows"]) == len(list(scene(SECONDS)))


@pytest.mark.slow
def test_reasons_cannot_leave_the_data(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    row = window(0)
    row = Window(**{**vars(row), "reason": evil})
    path = write(tmp_path, [row])
    assert evil not in path.read_text("utf-8")
    with opened(path) as page:
        assert page.text_content(".reason") == evil


@pytest.mark.slow
def test_click_jumps_and_the_video_follows(tmp_path: Path) -> None:
    film(tmp_path)
    with opened(write(tmp_path)) as page:
        ready(page)
        jump_to(page, 0.5)
        assert now(page) == pytest.approx(SECONDS / 2, abs=0.1)
        seeked(page, SECONDS / 2)
        assert page.locator("#cursor").bounding_box()["x"] == pytest.approx(
            page.locator("#lanes").bounding_box()["x"]
            + page.locator("#lanes").bounding_box()["width"] / 2,
            abs=3,
        )


@pytest.mark.slow
def test_keys_move_and_playing_moves_the_cursor(tmp_path: Path) -> None:
    film(tmp_path)
    with opened(write(tmp_path)) as page:
        ready(page)
        page.focus("#lanes")
        for key, time in [
            ("ArrowRight", 1),
            ("ArrowRight", 2),
            ("ArrowLeft", 1),
            ("PageUp", 3),
            ("End", SECONDS),
            ("ArrowRight", SECONDS),
            ("Home", 0),
            ("ArrowLeft", 0),
        ]:
            page.keyboard.press(key)
            assert now(page) == pytest.approx(time, abs=0.051), key
        seeked(page, 0)
        page.keyboard.press("Space")
        until(page, "+document.getElementById('lanes').ariaValueNow > 0.5")
        page.keyboard.press("Space")
        assert page.evaluate("document.getElementById('video').paused")
        seeked(page, now(page))


@pytest.mark.slow
def test_everything_is_reached_by_tab(tmp_path: Path) -> None:
    with opened(write(tmp_path)) as page:
        page.wait_for_selector("#missing", state="visible")
        reached = set()
        for _ in range(12):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
        assert {"file", "branch", "in", "lanes"} <= reached


@pytest.mark.slow
def test_zoom_shows_less_and_follows(tmp_path: Path) -> None:
    with opened(write(tmp_path, list(scene(300)))) as page:
        page.focus("#lanes")
        for _ in range(3):
            page.keyboard.press("+")
        shown = page.evaluate("[state.from, state.to]")
        assert shown[1] - shown[0] == pytest.approx(300 / 8, abs=0.5)
        page.keyboard.press("End")
        assert page.evaluate("state.to") == pytest.approx(300)
        page.click("#whole")
        assert page.evaluate("[state.from, state.to]") == [0, 300]


@pytest.mark.slow
def test_cards_tell_what_is_expressed_now(tmp_path: Path) -> None:
    rows = list(scene(SECONDS))
    with opened(write(tmp_path, rows)) as page:
        jump_to(page, 5 / SECONDS)
        (row,) = [row for row in rows if row.start_s == 3 and row.person == 1]
        assert row.probabilities is not None
        card = page.locator(".card").first
        told = card.text_content()
        assert told.startswith(f"Person 1{row.emotion} {round(100 * (row.confidence or 0))} %")
        shown = [int(text.split()[0]) for text in card.locator(".share").all_text_contents()]
        assert shown == [int(100 * round(row.probabilities[name], 3) + 0.5) for name in EMOTIONS]
        assert f"Person 1: {row.emotion}" in page.get_attribute("#lanes", "aria-valuetext")
        page.check("input[value=audio]")
        assert card.locator(".bars").is_hidden()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_bands_have_the_emotions_colours_at_their_places(tmp_path: Path, scheme: str) -> None:
    rows = list(scene(SECONDS))
    with opened(write(tmp_path, rows), scheme=scheme) as page:
        data: list[int] = page.evaluate(
            """() => {
              const canvas = document.querySelector(".lane canvas");
              const x = Math.round(canvas.width * 10 / 20);
              return [...canvas.getContext("2d").getImageData(x, 0, 1, canvas.height).data];
            }"""
        )
        column = np.array(data).reshape(-1, 4)[:, :3]
    (row,) = [row for row in rows if row.start_s == 8 and row.person == 1]
    assert row.probabilities is not None
    tall = len(column) - 23
    foot = float(tall)
    for name in EMOTIONS:
        height = row.probabilities[name] * tall
        if height > 6:
            band = column[round(foot - height) + 2 : round(foot) - 2]
            # Patterns lie over it in places.
            near = np.abs(band.astype(int) - rgb(EMOTION_COLOURS[name])).max(axis=1) < 90
            assert near.mean() > 0.5, name
        foot -= height


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits(tmp_path: Path, size: str, scheme: str) -> None:
    film(tmp_path)
    with opened(write(tmp_path), size=size, scheme=scheme) as page:
        ready(page)
        width = SIZES[size][0]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 384) == (scheme == "light")


@pytest.mark.slow
def test_video_that_is_not_there_can_be_chosen(tmp_path: Path) -> None:
    path = write(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    film(elsewhere, name="other.mp4")
    with opened(path) as page:
        page.wait_for_selector("#missing", state="visible")
        assert NAME in page.text_content("#missing")
        jump_to(page, 0.25)
        assert now(page) == pytest.approx(SECONDS / 4, abs=0.1)
        page.set_input_files("#file", elsewhere / "other.mp4")
        ready(page)
        assert page.locator("#missing").is_hidden()
        seeked(page, SECONDS / 4)


@pytest.mark.slow
def test_picture_that_the_browser_cannot_show_is_told(tmp_path: Path) -> None:
    film(tmp_path, codec="mpeg4")
    with opened(write(tmp_path)) as page:
        page.wait_for_selector("#unseen", state="visible")
        assert page.locator("#missing").is_hidden()
    film(tmp_path)
    with opened(write(tmp_path)) as page:
        ready(page)
        assert page.locator("#unseen").is_hidden()


@pytest.mark.slow
def test_page_without_windows_and_page_of_a_voice(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    facts = TimelineFacts(
        clip=tmp_path / "a.mp4", window_s=4.0, hop_s=1.0, people="all", bundle=BUNDLE
    )
    with open_writers([path], facts):
        pass
    with opened(path) as page:
        assert page.locator(".lane").count() == 0
    with opened(write(tmp_path, [window(0, person=None), window(1, person=None)])) as page:
        assert page.text_content(".lane h3").startswith("No face, only the voice")


@pytest.mark.slow
def test_two_hours_are_drawn_quickly(tmp_path: Path) -> None:
    path = write(tmp_path, list(scene(7200)))
    with opened(path) as page:
        milliseconds = page.evaluate(
            """() => {
              const start = performance.now();
              drawAll();
              return performance.now() - start;
            }"""
        )
        assert milliseconds < 500
    assert path.stat().st_size < 6e6
