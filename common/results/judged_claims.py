"""Whether the claims of a paper hold in its regenerated tables.

`common.published.claims` says which row is better than which; here both sides get their values by
seed, how their runs depart from the paper and what they were scored on, for
`common.results.claims.judge_claim`.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import pandas
from scipy.special import stdtrit

from common.published import claim_checks, rounding, spread
from common.published.claims import Claim
from common.published.claims import Comparison as Claimed
from common.published.schema import PublishedTable
from common.results import claims, tables, trials
from common.results.claims import ClaimVerdict, Comparison, Finding, Side
from common.results.intervals import Spread
from common.results.verdict_reasons import capitalised, word

KINDS = {"dice": "Dice", "f1": "F1", "iou": "IoU", "aji": "AJI", "accuracy": "accuracy"}
Table = Tuple[PublishedTable, pandas.DataFrame]
Place = Tuple[str, str, str]  # table, row, metric
Trial = Tuple[str, str]  # protocol and profile


class JudgedClaim(NamedTuple):
    """A claim of a paper with our verdict, and the protocol and profile that it rests on."""

    claim: Claim
    verdict: ClaimVerdict
    protocol: str = ""
    profile: str = ""

    @property
    def in_short(self) -> str:
        """The reason; what is the same for several comparisons is said once."""
        deciding = [one for one in self.verdict.findings if one.verdict == self.verdict.verdict]
        told = {_obstacle(one) for one in deciding}
        if len(told) != 1 or "" in told:
            return self.verdict.reason
        every = len(self.verdict.findings)
        which = f"{word(len(deciding))} of {word(every)} comparisons"
        if len(deciding) == every:
            names = {1: "the comparison", 2: "both comparisons"}
            which = names.get(every, f"all {word(every)} comparisons")
        return capitalised(f"{which}: {told.pop()}")

    @property
    def could_show(self) -> List[str]:
        """What the paper's own test set could have shown at all, a sentence per comparison."""
        sentences = []
        for one in self.verdict.findings:
            told = claims.what_the_paper_could_show(one)
            if told is not None:
                compared = one.comparison
                sides = f"{compared.better.label} over {compared.worse.label}"
                sentences.append(f"{sides}, {compared.metric}: {told}")
        return sentences


def judge(
    conclusions: Sequence[Claim], regenerated: Sequence[Table], runs: spread.Runs
) -> List[JudgedClaim]:
    """Judge every claim of a paper by one trial: the closest to the paper that has most of its
    rows.

    Args:
        conclusions: the claims.
        regenerated: each published table with what was regenerated of it (TABLE_COLUMNS).
        runs: our finished runs, which tell the test images and how they move a difference.
    """
    results = _Results(regenerated, runs)
    return [_judge(claim, results) for claim in conclusions]


def _obstacle(finding: Finding) -> str:
    """Why a comparison has no verdict, without the names of its sides; "" where it has one."""
    if finding.verdict in ("supported", "contradicted"):
        return ""
    sides = (finding.comparison.better, finding.comparison.worse)
    only_one = set(sides[0].differences) ^ set(sides[1].differences)
    if finding.verdict == "not tested" and only_one and all(side.values for side in sides):
        unlike = "; ".join(sorted(only_one))
        return f"the two depart from the paper in different ways ({unlike})."
    return finding.reason.partition(": ")[2]


class _Results:
    """The lines of a paper's tables by place, for each protocol and profile."""

    def __init__(self, regenerated: Sequence[Table], runs: spread.Runs):
        self.references = {reference.id: reference for reference, _ in regenerated}
        self.runs = runs
        self.lines: Dict[Trial, Dict[Place, Any]] = {}
        for reference, table in regenerated:
            for line in tables.choose_reading(table, reference.reading).itertuples():
                of_trial = self.lines.setdefault((line.protocol, line.profile), {})
                of_trial[reference.id, line.row, line.metric] = line

    def closest(self, places: Sequence[Place]) -> Optional[Trial]:
        """The trial with most of these places; of several, the one closest to the paper."""

        def order(trial: Trial) -> Tuple[int, ...]:
            had = sum(one in self.lines[trial] for one in places)
            return (-had, *trials.distance(*trial))

        return min(self.lines, key=order) if self.lines else None

    def is_quoted(self, where: Place) -> bool:
        """Whether the paper quotes this number from others."""
        table, row, _ = where
        return self.references[table].rows[row].citation is not None

    def test_images(self, where: Place, profile: str) -> Optional[Mapping[int, frozenset]]:
        """Ids that a row is scored on, by seed; None where no run is known to stand for it."""
        table, row, metric = where
        reference = self.references[table]
        settings = reference.our_runs.get(row)
        if settings is None:
            return None
        about = reference.metrics.get(metric)
        part = about.split if about is not None and about.split else "test"
        ids = {}
        for run in self.runs.of(settings):
            if run.settings.get("profile") == profile:
                scored = run.columns["id"]
                if "part" in run.columns:
                    scored = scored[run.columns["part"] == part]
                ids[int(run.settings.get("seed", 0))] = frozenset(scored)
        return ids or None


def _judge(claim: Claim, results: _Results) -> JudgedClaim:
    if claim.kind == "unquantified":
        return _not_tested(claim, "The claim names no two numbers that could be compared.")
    if claim.kind == "similar":
        return _not_tested(claim, "The claim does not say how close is similar.")
    if any(results.is_quoted(place) for one in claim.comparisons for place in _places(one)):
        return _not_tested(claim, "It compares with results of other papers, which no run tests.")
    places = [place for one in claim.comparisons for place in _places(one)]
    trial = results.closest(places)
    if trial is None:
        return _not_tested(claim, "Not run yet.")
    comparisons = [_comparison(one, trial, results) for one in claim.comparisons]
    if any(not one.drawn and one.over_images is None for one in comparisons):
        return _not_tested(
            claim, "How far the given test images move the difference is not known yet."
        )
    return JudgedClaim(claim, claims.judge_claim(comparisons), *trial)


def _not_tested(claim: Claim, reason: str) -> JudgedClaim:
    return JudgedClaim(claim, ClaimVerdict("not tested", reason, ()))


def _places(one: Claimed) -> Tuple[Place, Place]:
    better = (one.table, one.better_row, one.metric)
    return better, (one.worse_table, one.worse_row, one.worse_metric)


def _comparison(one: Claimed, trial: Trial, results: _Results) -> Comparison:
    better, worse = _places(one)
    lines = [results.lines[trial].get(place) for place in (better, worse)]
    scored_on = _scored_on(better, worse, trial[1], results)
    sides = [
        _side(place, line, _label(place, one, results), ids, results)
        for place, line, ids in zip((better, worse), lines, scored_on)
    ]
    drawn = any(line is None or not math.isnan(line.image_se) for line in lines)
    over_images = _over_images(better, worse, drawn, results)
    return Comparison(sides[0], sides[1], _metric(one, results), drawn, over_images)


def _scored_on(
    better: Place, worse: Place, profile: str, results: _Results
) -> Tuple[Optional[frozenset], Optional[frozenset]]:
    """Test images of both sides in the seeds that both have; None where they are not known, or
    where the claim itself compares different images.
    """
    ours, others = (results.test_images(place, profile) for place in (better, worse))
    if ours is None or others is None or (better[1] == worse[1] and better[2] != worse[2]):
        return None, None
    seeds = set(ours) & set(others)
    better_on = frozenset((seed, ours[seed]) for seed in seeds)
    worse_on = frozenset((seed, others[seed]) for seed in seeds)
    return better_on, worse_on


def _side(place: Place, line: Any, label: str, ids: Optional[frozenset], results: _Results) -> Side:
    table, row, metric = place
    printed = results.references[table].rows[row].values.get(metric)
    if line is None:
        return Side(label, {}, ids, (), printed)
    seeds = [int(seed) for seed in line.seeds.split()]
    values = [float(value) for value in line.seed_values.split()]
    differences = trials.differences(line.differences)
    return Side(label, dict(zip(seeds, values)), ids, tuple(differences), printed)


def _label(place: Place, one: Claimed, results: _Results) -> str:
    table, row, metric = place
    reference = results.references[table]
    label = reference.rows[row].label
    if one.metric != one.worse_metric:
        label = f"{_metric_label(reference, metric)} of {label}"
    elif one.table != one.worse_table:
        label = f"{label} ({reference.model or reference.id})"
    return label


def _metric_label(reference: PublishedTable, metric: str) -> str:
    known = reference.metrics.get(metric)
    return known.label if known else metric.replace("_", " ")


def _metric(one: Claimed, results: _Results) -> str:
    reference = results.references[one.table]
    if one.metric == one.worse_metric:
        return _metric_label(reference, one.metric)
    known = [reference.metrics.get(name) for name in (one.metric, one.worse_metric)]
    kinds = {about.kind for about in known if about is not None}
    return KINDS.get(kinds.pop() or "", "score") if len(kinds) == 1 else "score"


def _over_images(better: Place, worse: Place, drawn: bool, results: _Results) -> Optional[Spread]:
    """Standard error of the difference over the test images: of the paper's number of them where
    they are drawn, of all where they are given.
    """
    known = [_test_images(place, drawn, results) for place in (better, worse)]
    counts = [count for count in known if count is not None]
    if len(counts) < len(known):
        return None
    sides = [
        spread.Side(results.references[table], row, metric, count)
        for (table, row, metric), count in zip((better, worse), counts)
        if metric in results.references[table].metrics
    ]
    half = spread.difference(results.runs, *sides) if len(sides) == 2 else None
    if half is None:
        return None
    images = min(counts)
    unit = results.references[better[0]].metrics[better[2]].unit
    scale = 100 if unit == "percent" else 1
    return Spread(scale * half.value / float(stdtrit(images - 1, 0.975)), images)


def _test_images(where: Place, drawn: bool, results: _Results) -> Optional[int]:
    table, row, metric = where
    reference = results.references[table]
    if not drawn:
        ids = results.test_images(where, "paper") or results.test_images(where, "quick")
        return min(map(len, ids.values())) if ids else None
    if metric not in reference.rows[row].values:
        return None
    cell = rounding.read(reference, row, metric)
    return claim_checks.test_images(cell, list(results.references.values()))
