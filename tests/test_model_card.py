from typing import Any

import pytest

from mien.bundle import load_bundle
from mien.calibration import AnswerCalibration, Calibration
from mien.lab.model_card import LICENCES, licence_of, model_card


def manifest(**changes: Any) -> dict[str, Any]:
    fitted = AnswerCalibration(temperature=1.25, clips=480, thresholds=(0.1,) * 50)
    answers = dict.fromkeys(("audio", "video", "fused"), fitted)
    return {
        "name": "mine",
        "mien_version": "0.1.0",
        "networks": {
            "audio": {"architecture": "light_audio", "parameters": 189_097},
            "video": {"architecture": "light_video", "parameters": 17_480},
        },
        "embedder": {"name": "expression", "source": "trained by mien"},
        "calibration": Calibration(fusion="log_average", answers=answers).to_dict(),
        "licence": "as mine allows",
        "training": {
            "preset": "mien",
            "seed": 3,
            "protocol": "speakers none held out",
            "leak_override": None,
            "corpora": {"ravdess": 1440, "mine": 12},
        },
        "scores": {
            "audio out of fold": {
                "clips": 1440,
                "accuracy": 0.593,
                "uar": 0.584,
                "f1_macro": 0.585,
                "classes": 8,
                "speakers": 24,
                "by": {
                    "emotion": {"sad": {"clips": 192, "accuracy": 0.5}},
                    "sex": {"female": {"clips": 720, "accuracy": 0.787}},
                },
            },
            "audio calibrated": {
                "clips": 1440,
                "ece": 0.02,
                "ece_before": 0.045,
                "coverage": 0.904,
                "set_size": 3.21,
            },
            "fused calibrated": {
                "clips": 500,
                "ece": 0.03,
                "ece_before": 0.2,
                "coverage": 0.91,
                "set_size": 2.5,
                "paired_by": "emotion",
            },
        },
        **changes,
    }


def test_it_tells_figures_terms_and_what_it_is_not_for() -> None:
    card = model_card(manifest())
    for told in (
        "# Model card: mine",
        "| audio | light_audio | 189,097 |",
        "fused by `log_average`",
        "1,440 recordings or pictures of RAVDESS, Livingstone & Russo 2018: CC BY-NC-SA 4.0",
        "12 recordings or pictures of mine.",
        "| audio out of fold, 8 classes | 1440 | 24 | 59.3 % | 58.4 % | 58.5 % |",
        "| sex | female | 720 | 78.7 % |",
        "| audio calibrated | 1440 | 1.25 | 0.02 | 0.045 | 90.4 % | 3.21 |",
        "forbidden (AI Act, Article 5(1)(f))",
        "may be used as mine allows",
    ):
        assert told in card
    assert "Leaks" not in card


@pytest.mark.parametrize("paired_by", ["emotion", "performance"])
def test_pairs_of_strangers_are_told(paired_by: str) -> None:
    scores = manifest()["scores"]
    scores["fused calibrated"]["paired_by"] = paired_by
    told = "a face of the same emotion" in model_card(manifest(scores=scores))
    assert told == (paired_by == "emotion")


def test_leaks_that_were_let_pass_are_told() -> None:
    training = manifest()["training"] | {"leak_override": "twins are wanted here"}
    assert "because: twins are wanted here" in model_card(manifest(training=training))


def test_without_scores_it_says_that_nothing_is_known() -> None:
    card = model_card(manifest(scores={}))
    assert "nothing is known" in card
    assert "probabilities are not calibrated" in card


def test_one_branch_and_no_embedder() -> None:
    networks = {"audio": manifest()["networks"]["audio"]}
    plain = Calibration.none(["audio"]).to_dict()
    card = model_card(manifest(networks=networks, embedder=None, calibration=plain, scores={}))
    assert "light_video" not in card
    assert "embedder" not in card


def test_tables_are_whole() -> None:
    """Every row of a Markdown table has as many cells as its head."""
    cells = None
    for line in model_card(manifest()).splitlines():
        cells, before = (line.count("|") if line.startswith("|") else None), cells
        assert None in {cells, before} or cells == before, line


@pytest.mark.parametrize("corpus", LICENCES)
def test_known_terms_are_told(corpus: str) -> None:
    terms = LICENCES[corpus].partition(": ")[2]
    assert terms
    assert terms in licence_of({corpus: 1})


def test_the_embedded_bundle_s_card_can_be_written() -> None:
    found = dict(load_bundle().manifest)
    found["training"] = {"leak_override": None, **found["training"]}
    assert "# Model card: default" in model_card(found)
