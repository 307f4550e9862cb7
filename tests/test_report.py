"""mien.lab.report: one page that says everything, loads nothing and trusts no text."""

import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from mien.commands.report import report
from mien.errors import InvalidArgument
from mien.lab.report import render, write_report
from sample_scores import sample_history, sample_scores, write_sample

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}"

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """A page's tags and attributes, its text, and whether every tag is closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, attribute: str) -> list[str]:
        return [str(values[attribute]) for _, values in self.tags if attribute in values]


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return sample_scores()


@pytest.fixture
def small(whole: dict[str, Any]) -> dict[str, Any]:
    """One protocol and one system are quickly drawn."""
    scores = copy.deepcopy(whole)
    scores["protocols"] = {"luna5": scores["protocols"]["luna5"]}
    systems = scores["protocols"]["luna5"]["systems"]
    scores["protocols"]["luna5"]["systems"] = {"audio": systems["audio"]}
    return scores


@pytest.fixture(scope="module")
def page(whole: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Page:
    scores = copy.deepcopy(whole)
    for protocol in scores["protocols"].values():
        for system in ("video", "log_average", "attention"):
            protocol["systems"].pop(system)
    history = [row for row in sample_history() if row["network"] == "audio"]
    folder = write_sample(tmp_path_factory.mktemp("study"), scores, history)
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_nothing_is_loaded_and_nothing_runs(page: Page) -> None:
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img", "link", "iframe", "object", "embed", "image", "form"}
    assert not page.all("src")
    assert all(
        target.startswith("#") for name in ("href", "xlink:href") for target in page.all(name)
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    assert policy in page.all("content")
    assert "url(http" not in page.text
    assert "@import" not in page.text


def test_the_page_is_one_that_can_be_walked(page: Page) -> None:
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in page.all("href")} <= set(ids)
    assert {label for each in page.all("aria-labelledby") for label in each.split()} <= set(ids)
    assert all("id" in values for tag, values in page.tags if tag in {"h1", "h2", "h3"})
    assert page.tags[0] == ("html", {"lang": "en"})


def test_every_figure_has_words_of_its_own(page: Page) -> None:
    labels = [values.get("aria-label") for tag, values in page.tags if tag == "svg"]
    assert all(labels)
    assert len(labels) == len(set(labels))
    # Two side by side; each protocol three matrices, four others and one of training.
    assert len(labels) == 2 + 2 * (3 + 4 + 1)


def test_tables_scroll_in_a_box_of_their_own(page: Page) -> None:
    tags = [tag for tag, _ in page.tags]
    places = [place for place, tag in enumerate(tags) if tag == "table"]
    assert len(places) > 10
    assert all(page.tags[place - 1][1].get("class") == "scroll" for place in places)


def test_both_counts_are_there_with_intervals(page: Page, whole: dict[str, Any]) -> None:
    text = page.text.replace("\N{NO-BREAK SPACE}", " ")
    for protocol in whole["protocols"].values():
        for counted in ("held_out", "all_clips"):
            measure = protocol["systems"]["average"][counted]["accuracy"]
            low, high = measure["ci95"]
            assert f"{100 * measure['value']:.1f} % {100 * low:.1f} to {100 * high:.1f}" in text
    assert "All clips, as the paper counts: inflated" in text
    assert "human listeners, 62.4 %" in text


def test_what_was_run_is_told(page: Page, whole: dict[str, Any]) -> None:
    for said in (
        whole["command"],
        whole["git_commit"],
        "cores 2",
        "jax 0.8.1",
        "189,097",
        "0:20:34",
        "2026-11-25 15:00:00 UTC",
        "Video was given: 35 columns of video_aus_mean.csv, one row a clip.",
        "Actor_05/03-01-06-01-02-02-05.wav no bytes in it",
        "10, 11, 12, 19, 20",
        "temperature 1.204",
        "Never use such a system",
    ):
        assert said in page.text


def test_the_worst_mistake_is_told(page: Page, whole: dict[str, Any]) -> None:
    assert "Most often mistaken: neutral for calm, 19.8" in page.text


def test_the_same_scores_give_the_same_bytes(small: dict[str, Any], tmp_path: Path) -> None:
    first = write_report(write_sample(tmp_path / "a", small)).read_bytes()
    assert write_report(write_sample(tmp_path / "b", small)).read_bytes() == first


def test_the_old_report_stays_until_a_new_one_is_whole(
    small: dict[str, Any], tmp_path: Path
) -> None:
    small["protocols"]["luna5"]["systems"]["audio"].pop("confusion")
    write_sample(tmp_path, small)
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(InvalidArgument, match="confusion"):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"scores.json", "report.html"}


def test_a_reader_of_the_old_report_never_sees_half_of_the_new_one(
    small: dict[str, Any], tmp_path: Path
) -> None:
    path = write_sample(tmp_path, small) / "report.html"
    path.write_text("old")
    with path.open() as reader:
        write_report(tmp_path)
        assert reader.read() == "old"
    assert path.read_text(encoding="utf-8").endswith("</html>\n")


def poisoned(value: Any) -> Any:
    """Put a script into every text and every name of a group."""
    if isinstance(value, str):
        return f"{value}{HOSTILE}"
    if isinstance(value, list):
        return [poisoned(each) for each in value]
    if isinstance(value, dict):
        return {key: poisoned(each) for key, each in value.items()}
    return value


def renamed(value: dict[str, Any], *path: str) -> None:
    """Put a script into the keys of one object."""
    for step in path:
        value = value[step]
    for key in list(value):
        value[f"{key}{HOSTILE}"] = value.pop(key)


def test_no_text_of_the_evaluation_becomes_part_of_the_page(
    small: dict[str, Any], tmp_path: Path
) -> None:
    scores = poisoned(small)
    scores["protocols"]["luna5"]["leak_override"] = HOSTILE
    scores["protocols"]["luna5"]["leaks"] = [HOSTILE]
    audio = ("protocols", "luna5", "systems", "audio")
    for groups in ("by_intensity", "by_sex", "by_speaker", "by_seed"):
        renamed(scores, *audio, groups)
    for path in (("versions",), ("hardware",), ("settings",), ("branches",), ("protocols",)):
        renamed(scores, *path)
    renamed(scores, "corpus", "emotions")
    rows = [{**row, "protocol": f"luna5{HOSTILE}", "network": HOSTILE} for row in sample_history()]
    page = Page(write_report(write_sample(tmp_path, scores, rows[:3])).read_text(encoding="utf-8"))
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert not [name for _, values in page.tags for name in values if name.startswith("on")]
    assert page.text.count("{{ 7 * 7 }}") > 50
    assert "{{ 49 }}" not in page.text


def test_a_leak_that_was_allowed_is_told_twice(small: dict[str, Any]) -> None:
    plain = Page(render(small, history={}))
    protocol = small["protocols"]["luna5"]
    protocol["leak_override"], protocol["leaks"] = "to see how much it flatters", ["a.wav, b.wav"]
    page = Page(render(small, history={}))
    assert "leak" not in plain.all("class")
    assert page.all("class").count("leak") == 2
    assert page.text.count("to see how much it flatters") == 2
    assert page.text.count("a.wav, b.wav") == 2
    assert "these scores are too high" in page.text


def test_a_leak_check_overridden_for_nothing(small: dict[str, Any]) -> None:
    small["protocols"]["luna5"]["leak_override"] = "just in case"
    text = Page(render(small, history={})).text
    assert "It would have found nothing here. The reason given: just in case" in text
    assert "too high" not in text


def test_clips_count_once_a_seed(small: dict[str, Any]) -> None:
    assert "for each of the" not in Page(render(small, history={})).text
    small["settings"]["seeds"] = [0, 1, 2]
    text = Page(render(small, history={})).text
    assert "once for each of the 3 seeds" in text
    assert "480 held-out clips, 3 seeds" in text


def nothing(value: Any) -> Any:
    """Make every number NaN, and every interval None."""
    if isinstance(value, dict):
        return {key: None if key == "ci95" else nothing(each) for key, each in value.items()}
    return float("nan") if isinstance(value, float) else value


def audio_of(scores: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for protocol in scores["protocols"].values():
        yield protocol["systems"]["audio"]


def without(*keys: str) -> Callable[[dict[str, Any]], None]:
    def empty(scores: dict[str, Any]) -> None:
        for system in audio_of(scores):
            for key in keys:
                system[key] = {}

    return empty


def without_numbers(scores: dict[str, Any]) -> None:
    scores["protocols"]["luna5"]["systems"]["audio"] |= {
        key: nothing(value)
        for key, value in scores["protocols"]["luna5"]["systems"]["audio"].items()
        if key not in {"confusion", "reliability"}
    }
    for part in scores["protocols"]["luna5"]["systems"]["audio"]["reliability"]:
        part.update(clips=0, confidence=None, accuracy=None)
    scores["protocols"]["luna5"]["systems"]["audio"]["confusion"] = [[0] * 8] * 8


def of_another_corpus(scores: dict[str, Any]) -> None:
    scores["corpus"]["sources"] = ["crema-d"]


def without_tests(scores: dict[str, Any]) -> None:
    scores["protocols"]["luna5"].update(tests=[], chosen=[], folds=[])


def untested(scores: dict[str, Any]) -> None:
    scores["protocols"]["luna5"]["tests"] = [
        {**test, "p": None, "difference": None, "speakers": None}
        for test in scores["protocols"]["luna5"]["tests"]
    ]


def without_run(scores: dict[str, Any]) -> None:
    scores.update(branches={}, git_commit=None, settings={})
    scores["corpus"]["excluded"] = []


@pytest.mark.parametrize(
    ("remove", "gone", "there"),
    [
        (without("by_sex", "by_intensity"), "Accuracy by intensity", "By speaker"),
        (without("by_speaker"), "Accuracy by speaker", "By sex"),
        (without("by_emotion", "by_seed"), "Recall by emotion", "By sex"),
        (without_numbers, "nan", "No mistakes."),
        (of_another_corpus, "human listeners", "speakers, sentences and recordings like those"),
        (without_tests, "Wilcoxon", "Reliability"),
        (untested, "None", "not tested"),
        (without_run, "was given", "unknown"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_missing_is_left_out(
    remove: Callable[[dict[str, Any]], None], gone: str, there: str, small: dict[str, Any]
) -> None:
    remove(small)
    text = Page(render(small, history={})).text
    assert gone not in text
    assert there in text


def test_training_is_shown_where_it_is_known(page: Page, small: dict[str, Any]) -> None:
    assert "training" in page.all("id")
    assert "training" not in Page(render(small, history={})).all("id")


@pytest.mark.slow
def test_a_whole_evaluation(whole: dict[str, Any], tmp_path: Path) -> None:
    path = write_report(write_sample(tmp_path, whole, sample_history()))
    page = Page(path.read_text(encoding="utf-8"))
    assert sum(tag == "svg" for tag, _ in page.tags) == 2 + 2 * (6 + 4 + 4)
    assert path.stat().st_size < 2_000_000


def test_the_command_draws_again_and_says_where(small: dict[str, Any], tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(report)
    result = CliRunner().invoke(app, [str(write_sample(tmp_path, small))])
    assert result.exit_code == 0
    assert result.output.split() == [str(tmp_path / "report.html")]


def test_a_report_needs_no_training_library() -> None:
    code = (
        "import sys, mien.lab.report\n"
        "assert not {'keras', 'jax', 'torch', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_templates_are_in_the_package() -> None:
    names = {entry.name for entry in (files("mien.lab") / "templates").iterdir()}
    assert names >= {"report.html.jinja", "protocol.html.jinja", "macros.html.jinja", "report.css"}
