"""What the scores of an evaluation say, in plain words: pure functions on ``scores.json``."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mien.lab.wording import count, is_number, listed, p_value, percent, percent_interval, shown

BRANCHES = ("audio", "video")
LATE_FUSIONS = ("average", "weighted", "log_average", "stacked")
OTHER_FUSIONS = ("early", "attention")
SYSTEMS = (*BRANCHES, *LATE_FUSIONS, *OTHER_FUSIONS)
"""The order in which tables and figures show them."""

SIGNIFICANT = 0.05

Scores = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One thing that the scores say."""

    headline: str
    text: str


SHUFFLED = Finding(
    "The labels of the test clips were shuffled on purpose",
    "This run checks the evaluation itself: nothing can be learnt here, so every held-out accuracy "
    "must be near chance, 12.5 % for eight emotions. Anything far above it is a leak.",
)


def findings(scores: Scores) -> list[Finding]:
    """Say how far systems fall for unseen speakers, which is best, and whether fusion helps.

    Args:
        scores: the content of ``scores.json``.

    >>> value = {"value": 0.5, "ci95": None}
    >>> held_out = {"clips": 100, "accuracy": value, "uar": value, "interval_over": "speakers"}
    >>> protocol = {"speakers_apart": True, "systems": {"audio": {"held_out": held_out}}}
    >>> findings({"protocols": {"luna5": {**protocol, "tests": []}}})[0].headline.split(":")[0]
    'luna5, unseen speakers'
    """
    protocols = scores["protocols"]
    seeds = seeds_of(scores)
    return [
        *([SHUFFLED] if scores.get("settings", {}).get("shuffled_test_labels") else []),
        *_falls(protocols),
        *(_best(name, protocol, seeds=seeds) for name, protocol in protocols.items()),
        *(
            _fusion(name, tests)
            for name, protocol in protocols.items()
            if (tests := list(_tests_of_fusion(protocol)))
        ),
    ]


def seeds_of(scores: Scores) -> int:
    """Tell how often each network was trained; clips count once a seed.

    >>> seeds_of({"settings": {"seeds": [0, 1, 2]}}), seeds_of({})
    (3, 1)
    """
    return len(scores.get("settings", {}).get("seeds") or (0,))


def in_order(systems: Iterable[str]) -> list[str]:
    """Sort systems as tables show them; unknown ones last, by name.

    >>> in_order(["early", "mine", "audio"])
    ['audio', 'early', 'mine']
    """
    places = {name: place for place, name in enumerate(SYSTEMS)}
    return sorted(systems, key=lambda name: (places.get(name, len(places)), name))


def best_system(protocol: Scores, *, among: Iterable[str]) -> str | None:
    """Name the system with the highest held-out accuracy; None where there is none of them."""
    present = [name for name in in_order(among) if name in protocol["systems"]]
    return max(present, key=lambda name: _rank(_accuracy(protocol, name)), default=None)


def systems_in_focus(protocol: Scores) -> list[str]:
    """Name the branches and then the best fusion, late where there is one."""
    fusion = best_system(protocol, among=LATE_FUSIONS) or best_system(protocol, among=OTHER_FUSIONS)
    chosen = [name for name in (*BRANCHES, fusion) if name and name in protocol["systems"]]
    return chosen or in_order(protocol["systems"])[:3]


def _falls(protocols: Scores) -> Iterator[Finding]:
    """Compare each protocol that shares speakers with each that keeps them apart."""
    apart = {name: each for name, each in protocols.items() if each["speakers_apart"]}
    shared = {name: each for name, each in protocols.items() if not each["speakers_apart"]}
    if not apart:
        yield Finding(
            "Nothing here was measured on unseen speakers",
            "Each protocol has speakers on both sides, which flatters every system. Evaluate with "
            "luna5, emobox6 or loso24 as well before anything is concluded.",
        )
    for name, leaking in shared.items():
        common = set(leaking["systems"]).intersection(*(each["systems"] for each in apart.values()))
        system = best_system(leaking, among=common)
        if apart and system is not None:
            yield _fall(system, name, leaking, apart)


def _fall(system: str, name: str, leaking: Scores, apart: Mapping[str, Scores]) -> Finding:
    high = _accuracy(leaking, system)
    lower = {strict: _accuracy(each, system) for strict, each in apart.items()}
    unseen = listed([f"{percent(low)} ({strict})" for strict, low in lower.items()])
    changes = listed([change for low in lower.values() if (change := _change(high, low))])
    return Finding(
        f"{percent(high)} on known speakers ({name}), on unseen ones {unseen}",
        f"The same system, {shown(system)}{f': {changes}' if changes else ''}. Who uses it meets "
        "new speakers: only what it does for unseen ones tells what to expect there.",
    )


def _change(before: float | None, after: float | None) -> str:
    if not (is_number(before) and is_number(after)):
        return ""
    return f"{100 * abs(after - before):.1f} points {'lower' if after < before else 'higher'}"


def _best(name: str, protocol: Scores, *, seeds: int) -> Finding:
    systems = protocol["systems"]
    best = best_system(protocol, among=systems) or ""
    scores = systems[best]["held_out"]
    bounds = percent_interval(scores["accuracy"]["ci95"])
    who = "unseen speakers" if protocol["speakers_apart"] else "known speakers"
    rank = f"the best of {len(systems)} systems, picked by these very scores"
    times = f", {seeds} seeds" if seeds > 1 else ""
    over = f" In brackets: the 95 % interval over {scores['interval_over']}." if bounds else ""
    return Finding(
        f"{name}, {who}: {percent(scores['accuracy']['value'])}{f' ({bounds})' if bounds else ''}",
        f"Accuracy of {shown(best)}, {rank if len(systems) > 1 else 'the only system'}, on "
        f"{count(scores['clips'] / seeds)} held-out clips{times}; unweighted average recall "
        f"{percent(scores['uar']['value'])}.{over}",
    )


def _fusion(name: str, tests: Sequence[Scores]) -> Finding:
    verdicts = {
        verdict: [shown(test["b"]) for test in tests if _verdict(test) == verdict]
        for verdict in ("better than", "worse than", "no clear difference from")
    }
    said = [f"{verdict} {listed(rivals)}" for verdict, rivals in verdicts.items() if rivals]
    steps = [
        f"{_step(test['difference'])} {shown(test['b'])} ({p_value(test['p'])})" for test in tests
    ]
    return Finding(
        f"{name}, {shown(tests[0]['a'])} fusion: {'; '.join(said)}",
        f"Its {tests[0]['measure']} is {listed(steps)}. Wilcoxon tests, paired over "
        f"{count(tests[0]['speakers'])} speakers, not corrected for their number.",
    )


def _tests_of_fusion(protocol: Scores) -> Iterator[Scores]:
    """Give the tests of one late fusion against the branches, early and attention fusion.

    It is the paper's average where that was tested, else the best late fusion that was.
    """
    rivals = (*BRANCHES, *OTHER_FUSIONS)
    tests = [test for each in protocol["tests"] if (test := _turned(each))["b"] in rivals]
    tested = {test["a"] for test in tests} & set(LATE_FUSIONS)
    fusion = "average" if "average" in tested else best_system(protocol, among=tested)
    measure = min((test["measure"] for test in tests), default=None)
    for rival in rivals:
        for test in tests:
            if (test["a"], test["b"], test["measure"]) == (fusion, rival, measure):
                yield test


def _turned(test: Scores) -> Scores:
    """Put the late fusion first."""
    if test["a"] in LATE_FUSIONS or test["b"] not in LATE_FUSIONS:
        return test
    difference = test["difference"]
    negated = -difference if is_number(difference) else None
    return {**test, "a": test["b"], "b": test["a"], "difference": negated}


def _verdict(test: Scores) -> str:
    p, difference = test["p"], test["difference"]
    if not (is_number(p) and is_number(difference) and p < SIGNIFICANT):
        return "no clear difference from"
    return "better than" if difference > 0 else "worse than"


def _step(difference: float | None) -> str:
    if not is_number(difference):
        return "not comparable with"
    return f"{abs(100 * difference):.1f} points {'above' if difference >= 0 else 'below'}"


def _accuracy(protocol: Scores, system: str) -> float | None:
    value: float | None = protocol["systems"][system]["held_out"]["accuracy"]["value"]
    return value


def _rank(value: float | None) -> float:
    return value if is_number(value) else -1.0
