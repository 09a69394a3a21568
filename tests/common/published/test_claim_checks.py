"""Claims are held against the printed numbers, and against what a test set can show."""

import csv
import json
import math

import numpy as np
import pytest
from scipy import stats

from common.published import spread
from common.published.claims import Claim, Comparison
from common.published.schema import Row


def better(better_row, worse_row, metric="dice", table="table1", **other):
    sides = {"worse_metric": metric, "worse_table": table, **other}
    return Comparison(better_row, worse_row, metric, table, **sides)


def claim(*comparisons, kind="better"):
    return Claim("claim", "One is better.", "abstract", kind, comparisons)


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ("0.82", "0.81", []),
        ("0.82", "0.82", []),
        ("0.82", "0.825", []),  # 0.82 may be a truncated 0.8299
        ("0.82", "0.84", [("table1", "claim_printed", "suspicious")]),
    ],
)
def test_printed_numbers_bear_a_claim_out(one, two, expected, table, found):
    printed = table({"one": {"dice": one}, "two": {"dice": two}})
    assert found(printed, claimed=[claim(better("one", "two"))]) == expected
    assert found(printed, claimed=[claim(better("one", "two"), kind="similar")]) == []
    assert found(printed, claimed=[claim(kind="unquantified")]) == []


def test_what_fails_is_named_once_per_claim(table, findings):
    printed = table({"one": {"dice": "0.10"}, "two": {"dice": "0.20"}, "three": {"dice": "0.30"}})
    (finding,) = findings(
        printed, claimed=[claim(better("one", "two"), better("one", "three"), better("two", "one"))]
    )
    assert finding.message == (
        "“One is better.”, but as printed: dice 0.10 of one < 0.20 of two; dice 0.10 of one < 0.30 "
        "of three"
    )
    assert finding.cells == ("table1:one.dice", "table1:two.dice", "table1:three.dice")


def test_sides_of_two_tables_and_two_metrics_are_told_apart(column, table, findings):
    metrics = {"train": column("dice", split="train"), "test": column("iou")}
    first = table({"unet": {"train": "0.40", "test": "0.50"}}, metrics)
    second = table({"unet": {"train": "0.60", "test": "0.70"}}, metrics, id="table2")
    across = better("unet", "unet", "test", worse_table="table2")
    within = better("unet", "unet", "train", worse_metric="test")
    messages = [
        finding.message
        for one in (across, within)
        for finding in findings(first, second, claimed=[claim(one)])
        if finding.check == "claim_printed"
    ]
    assert "iou 0.50 of unet (table1) < 0.70 of unet (table2)" in messages[0]
    assert "dice 0.40 of unet < iou 0.50" in messages[1]


IDS = [f"image{number}" for number in range(8)]


@pytest.fixture
def keep(tmp_path):
    """Write the scores per image of a finished run, and its settings."""

    def write(name, columns, ids=IDS, **settings):
        folder = tmp_path / "provenance" / name
        folder.mkdir(parents=True)
        settings = {"protocol": "published", "profile": "quick", "seed": 0, **settings}
        (folder / "config.json").write_text(json.dumps(settings))
        with (folder / "metrics.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["id", *columns])
            writer.writerows(zip(ids, *columns.values()))
        return tmp_path

    return write


OURS = {"one": {"encoder": "one"}, "two": {"encoder": "two"}}
SPLIT = {"images": "50", "train": "80", "test": "20"}
ONE = np.array([0.81, 0.75, 0.60, 0.90, 0.72, 0.66, 0.79, 0.84])
TWO = np.array([0.80, 0.71, 0.65, 0.88, 0.70, 0.60, 0.80, 0.80])


def printed(table, one="0.8249", two="0.8239", **about):
    rows = {"one": {"dice": one}, "two": {"dice": two}}
    return table(rows, **{"our_runs": OURS, "split_percent": SPLIT, **about})


def test_a_difference_within_the_choice_of_test_images_is_unresolved(table, findings, keep):
    keep("one-run", {"dice": ONE}, encoder="one")
    root = keep("two-run", {"dice": TWO}, encoder="two")
    claimed, runs = [claim(better("one", "two"))], spread.Runs(root)
    (finding,) = findings(printed(table), claimed=claimed, runs=runs)
    # By hand: 20 % of 50 images are 10; sd of the eight differences; t with 9 degrees of freedom.
    half = stats.t.ppf(0.975, 9) * np.std(ONE - TWO, ddof=1) / math.sqrt(10)
    assert (finding.check, finding.severity) == ("test_set", "unresolved")
    assert finding.message == (
        f"one over two: dice 0.0010 ±{half:.4f} (printed difference ± what the choice of 10 test "
        "images does to it; sd from 8 of ours, profile quick, 1 seed)"
    )
    assert findings(printed(table, one="0.9249"), claimed=claimed, runs=runs) == []
    assert findings(printed(table), claimed=claimed) == []  # nothing of ours is given
    assert findings(printed(table, split_percent=None), claimed=claimed, runs=runs) == []
    assert findings(printed(table, our_runs={}), claimed=claimed, runs=runs) == []
    similar = [claim(better("one", "two"), kind="similar")]
    assert findings(printed(table), claimed=similar, runs=runs) == []


def test_a_known_good_comparison_stays_quiet(table, findings, keep):
    """Ten points apart on a hundred images that hardly vary."""
    keep("one-run", {"dice": ONE}, encoder="one")
    root = keep("two-run", {"dice": ONE - 0.1 + 0.01 * (TWO - ONE)}, encoder="two")
    good = printed(
        table, "0.85", "0.75", split_percent={"images": "500", "train": "80", "test": "20"}
    )
    assert findings(good, claimed=[claim(better("one", "two"))], runs=spread.Runs(root)) == []


def test_sets_of_other_tiles_add_their_variances(table, findings, keep):
    keep("one-run", {"dice": ONE}, encoder="one")
    root = keep("two-run", {"dice": TWO}, [f"tile{n}" for n in range(8)], encoder="two")
    rows = {
        "one": Row("one", None, {"dice": "0.81", "size": "200"}),
        "two": Row("two", None, {"dice": "0.80", "size": "100"}),
    }
    held = table(rows, our_runs=OURS, split_percent=SPLIT)
    (finding,) = findings(held, claimed=[claim(better("one", "two"))], runs=spread.Runs(root))
    variance = np.var(ONE, ddof=1) / 40 + np.var(TWO, ddof=1) / 20
    assert f"±{stats.t.ppf(0.975, 19) * math.sqrt(variance):.2f} " in finding.message
    assert "40 and 20 test images" in finding.message


def side(table, metric="dice"):
    return [spread.Side(table, row, metric, 10) for row in ("one", "two")]


def test_the_profile_closest_to_the_paper_is_taken_and_seeds_are_averaged(table, keep):
    keep("one-quick", {"dice": ONE}, encoder="one")
    keep("two-quick", {"dice": ONE}, encoder="two")
    for seed, factor in (0, 1), (1, 3):
        keep(f"one-{seed}", {"dice": ONE}, encoder="one", profile="paper", seed=seed)
        values = ONE + factor * (TWO - ONE)
        root = keep(f"two-{seed}", {"dice": values}, encoder="two", profile="paper", seed=seed)
    half = spread.difference(spread.Runs(root), *side(printed(table)))
    assert (half.profile, half.seeds, half.images, half.paired) == ("paper", 2, 8, True)
    variance = np.var(TWO - ONE, ddof=1) * (1 + 9) / 2 / 10
    assert half.value == pytest.approx(stats.t.ppf(0.975, 9) * math.sqrt(variance))


def test_other_protocols_and_smoke_runs_are_left_alone(table, keep):
    for number, about in enumerate(({"protocol": "corrected"}, {"profile": "smoke"})):
        keep(f"one-{number}", {"dice": ONE}, encoder="one", **about)
        root = keep(f"two-{number}", {"dice": TWO}, encoder="two", **about)
    assert spread.difference(spread.Runs(root), *side(printed(table))) is None


def test_an_ensemble_has_the_settings_of_its_members(table, keep):
    root = keep("member", {"dice": ONE}, encoder="two")
    keep("one-run", {"dice": TWO}, encoder="none")
    folder = root / "provenance/one-run"
    (folder / "config.json").unlink()
    (folder / "provenance.json").write_text(json.dumps({"members": ["member"]}))
    half = spread.difference(spread.Runs(root), *side(printed(table)))
    assert half.images == 8 and half.profile == "quick"
