"""Every published number is judged exactly once, and the verdict follows from the numbers that are
stored.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from common.errors import InputError
from common.published.schema import Metric, PublishedTable, Row
from common.results import tables
from common.results.tables import Conditions, Score

DSC = Metric(
    "DSC",
    "fraction",
    "not stated",
    "mean over the test images",
    "dice",
    lowered_resolution=Decimal("0.01"),
)
AJI = dataclasses.replace(DSC, label="AJI", lowered_resolution=Decimal("0.02"))
PAPER = PublishedTable(
    id="table1",
    title="Results",
    paper="A paper",
    where="section 4",
    data="phantoms",
    metrics={"dsc": DSC, "aji": AJI},
    rows={
        "zeta": Row("LinkNet-ResNeXt50", None, {"dsc": "0.822", "aji": "0.6893"}),
        "quoted": Row("Others", "Somebody, 2020", {"dsc": "0.9"}),
        "alpha": Row("Proposed [ensemble]", None, {"dsc": "0.8249"}),
    },
    open=("the seed",),
)
NUMBERS = [("zeta", "dsc"), ("zeta", "aji"), ("alpha", "dsc")]
AS_PUBLISHED = Conditions("published", "paper", "imagenet", "float32", "TNBC", "1f2e")
CORRECTED = dataclasses.replace(AS_PUBLISHED, protocol="corrected")
UNFAIR = dataclasses.replace(AS_PUBLISHED, differences=("encoder weights: none", "profile: quick"))


def runs(values, conditions=AS_PUBLISHED, row="zeta", metric="dsc"):
    return [(Score(row, metric, value, seed), conditions) for seed, value in enumerate(values)]


def first_line(scores):
    """The judgement of zeta's DSC, published as 0.822."""
    return tables.compare(PAPER, tables.build(PAPER, scores)).iloc[0]


def shown(comparison, width, published=PAPER):
    stream = io.StringIO()
    tables.show(comparison, published, Console(file=stream, width=width))
    return stream.getvalue()


def test_mean_spread_and_interval_have_their_closed_forms():
    # For 1 degree of freedom t(0.975) = tan(0.475 π); for 2 it is p √(2 / (1 − p²)) with p = 0.95.
    # Both textbook forms.
    two, three = (
        tables.build(PAPER, runs(values)).iloc[0] for values in ([0.80, 0.82], [0.80, 0.82, 0.81])
    )
    assert (two["mean"], two["sd"], two["n_seeds"]) == (0.81, 0.014142, 2)
    assert two["ci_high"] - 0.81 == pytest.approx(math.tan(0.475 * math.pi) * 0.01, abs=1e-6)
    assert (three["mean"], three["sd"], three["n_seeds"], three["seeds"]) == (
        0.81,
        0.01,
        3,
        "0 1 2",
    )
    half_width = 0.95 * math.sqrt(2 / (1 - 0.95**2)) * 0.01 / math.sqrt(3)
    assert (three["ci_low"], three["ci_high"]) == pytest.approx(
        (0.81 - half_width, 0.81 + half_width), abs=1e-6
    )


def test_one_seed_has_no_spread():
    line = tables.build(PAPER, runs([0.8])).iloc[0]
    assert line[["sd", "ci_low", "ci_high"]].isna().all()
    assert (line["mean"], line["n_seeds"], line["seeds"]) == (0.8, 1, "0")


@pytest.mark.parametrize(
    ("values", "verdict", "reason"),
    [
        ([0.82249], "match", "equal at the printed precision (one seed)"),
        ([0.8225], "match", "equal at the printed precision (one seed)"),  # half-even: 0.822
        ([0.8215], "match", "equal at the printed precision (one seed)"),  # half-even: 0.822
        ([0.8226], "within", "|difference| ≤ resolution 0.01 (one seed)"),
        (
            [0.832],
            "within",
            "|difference| ≤ resolution 0.01 (one seed)",
        ),  # exactly the resolution, which floats would miss
        ([0.812], "within", "|difference| ≤ resolution 0.01 (one seed)"),
        ([0.832001], "above", "|difference| > resolution 0.01 (one seed)"),
        ([0.811999], "below", "|difference| > resolution 0.01 (one seed)"),
        (
            [0.80, 0.82, 0.8464],
            "match",
            "equal at the printed precision (3 seeds)",
        ),  # mean 0.822133
        ([0.83, 0.84, 0.82], "within", "the published value lies in the 95 % interval (3 seeds)"),
        (
            [0.83, 0.831, 0.83],
            "above",
            "the 95 % interval lies above the published value (3 seeds)",
        ),  # inside the resolution
        ([0.82, 0.82, 0.82], "below", "the 95 % interval lies below the published value (3 seeds)"),
        (
            [0.8224, 0.8224],
            "match",
            "equal at the printed precision (2 seeds)",
        ),  # outside its interval of no width
    ],
)
def test_verdicts(values, verdict, reason):
    line = first_line(runs(values))
    assert (line["verdict"], line["reason"]) == (verdict, reason)
    assert line["difference"] == pytest.approx(sum(values) / len(values) - 0.822, abs=1e-6)
    assert (line["published"], line["n_seeds"]) == ("0.822", len(values))


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_the_verdict_agrees_with_the_stored_numbers(values):
    line = first_line(runs(values))
    assert line["difference"] == pytest.approx(line["regenerated"] - 0.822, abs=1e-9)
    if abs(line["regenerated"] - 0.822) < 0.0005 - 1e-9:
        assert line["verdict"] == "match"
    elif abs(line["regenerated"] - 0.822) > 0.0005 + 1e-9:
        low, high = (0.812, 0.832) if len(values) == 1 else (line["ci_low"], line["ci_high"])
        reached = line["regenerated"] if len(values) == 1 else 0.822
        inside = low - 1e-9 <= reached <= high + 1e-9
        assert line["verdict"] == (
            "within" if inside else "above" if line["difference"] > 0 else "below"
        )


@pytest.mark.parametrize("bound", ["ci_low", "ci_high"])
def test_the_ends_of_the_interval_belong_to_it(bound):
    table = tables.build(PAPER, runs([0.83, 0.84, 0.82])).assign(**{bound: 0.822})
    assert tables.compare(PAPER, table).loc[0, "verdict"] == "within"


@pytest.mark.parametrize("values", [[0.822], [0.82, 0.83, 0.84], [0.5]])
def test_an_unfair_comparison_gets_no_verdict_but_keeps_its_difference(values):
    line = first_line(runs(values, UNFAIR))
    assert line["verdict"] == "not comparable"
    assert line["reason"] == "encoder weights: none; profile: quick"
    assert line["difference"] == pytest.approx(sum(values) / len(values) - 0.822, abs=1e-6)


def test_nothing_run():
    comparison = tables.compare(PAPER, tables.build(PAPER, []))
    assert list(zip(comparison["row"], comparison["metric"])) == NUMBERS
    assert set(comparison["verdict"]) == {"not run"}
    assert list(comparison["n_seeds"]) == [0, 0, 0]
    assert comparison[["regenerated", "ci_low", "ci_high", "difference"]].isna().all(axis=None)


@settings(deadline=None)
@given(
    st.sets(
        st.tuples(
            st.sampled_from(
                [AS_PUBLISHED, CORRECTED, dataclasses.replace(CORRECTED, profile="quick")]
            ),
            st.sampled_from(["zeta", "alpha", "quoted", "beyond"]),
            st.sampled_from(["dsc", "aji", "aji_plus"]),
            st.integers(0, 2),
        ),
        min_size=1,
    )
)
def test_one_line_per_published_number_and_block(done):
    table = tables.build(
        PAPER, [(Score(row, metric, 0.8, seed), how) for how, row, metric, seed in done]
    )
    comparison = tables.compare(PAPER, table)
    blocks = {(how.protocol, how.profile) for how, *_ in done}
    assert len(comparison) == len(NUMBERS) * len(blocks)
    for block, lines in comparison.groupby(["protocol", "profile"]):
        assert block in blocks
        assert list(zip(lines["row"], lines["metric"])) == NUMBERS
        regenerated = {
            (row, metric) for how, row, metric, _ in done if (how.protocol, how.profile) == block
        }
        for line in lines.itertuples():
            assert (line.verdict != "not run") == ((line.row, line.metric) in regenerated)


def test_lines_stand_in_the_order_of_the_paper_and_those_beyond_it_are_marked():
    everything = itertools.product(
        ["beyond", "alpha", "zeta"], ["panoptic", "aji", "dsc"], [CORRECTED, AS_PUBLISHED]
    )
    table = tables.build(
        PAPER, [(Score(row, metric, 0.8, 0), how) for row, metric, how in everything]
    )
    assert list(table["protocol"]) == ["published"] * 9 + ["corrected"] * 9
    published = table[:9]
    assert list(published["row"]) == ["zeta"] * 3 + ["alpha"] * 3 + ["beyond"] * 3
    assert list(published["metric"]) == ["dsc", "aji", "panoptic"] * 3
    assert list(published["in_paper"]) == ["yes", "yes", "no", "yes", "no", "no", "no", "no", "no"]


def test_rows_may_run_under_conditions_of_their_own():
    own = dataclasses.replace(AS_PUBLISHED, encoder_weights="none")
    table = tables.build(PAPER, runs([0.8]) + runs([0.7], own, row="beyond"))
    assert list(table["encoder_weights"]) == ["imagenet", "none"]


def test_seeds_of_one_row_must_run_alike():
    other = dataclasses.replace(AS_PUBLISHED, precision="mixed_bfloat16")
    with pytest.raises(
        InputError, match="zeta, protocol published: precision is 'float32' for seed 0 and 'mixed"
    ):
        tables.build(
            PAPER,
            [(Score("zeta", "dsc", 0.8, 0), AS_PUBLISHED), (Score("zeta", "dsc", 0.8, 1), other)],
        )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_must_be_finite(value):
    with pytest.raises(ValueError, match=f"must be finite, got .*zeta.*{value}"):
        tables.build(PAPER, runs([0.8, value]))


def test_a_seed_counts_once():
    with pytest.raises(ValueError, match="counts once, got a second .*seed=0"):
        tables.build(PAPER, runs([0.8]) + runs([0.8]))


@settings(deadline=None)
@given(
    st.permutations(
        runs([0.1, 0.7, 1 / 3])
        + runs([0.2, 0.3], CORRECTED, "alpha")
        + runs([0.9], UNFAIR, "beyond")
    )
)
def test_files_do_not_depend_on_the_order_of_the_runs(tmp_path_factory, scores):
    table = tables.build(PAPER, scores)
    folder = tmp_path_factory.mktemp("tables")
    tables.write(table, folder / "table1.csv")
    assert (folder / "table1.csv").read_bytes() == (
        b"row,metric,mean,sd,n_seeds,ci_low,ci_high,seeds,protocol,profile,"
        b"encoder_weights,precision,data,fingerprint,in_paper,differences\n"
        b"zeta,dsc,0.377778,0.302459,3,-0.373572,1.129128,0 1 "
        b"2,published,paper,imagenet,float32,TNBC,1f2e,yes,\n"
        b"beyond,dsc,0.900000,,1,,,0,published,paper,imagenet,float32,TNBC,1f2e,no,"
        b"encoder weights: none; profile: quick\n"
        b"alpha,dsc,0.250000,0.070711,2,-0.385310,0.885310,0 "
        b"1,corrected,paper,imagenet,float32,TNBC,1f2e,yes,\n"
    )


def test_what_is_read_back_is_what_was_written(tmp_path):
    none = dataclasses.replace(CORRECTED, encoder_weights="none", data="NA", fingerprint="0012")
    table = tables.build(PAPER, runs([0.1, 0.7, 1 / 3]) + runs([0.2], none, "alpha"))
    comparison = tables.compare(PAPER, table)
    for name, frame in {"table1": table, "table1_vs_published": comparison}.items():
        tables.write(frame, tmp_path / f"{name}.csv")
        pd.testing.assert_frame_equal(tables.read(tmp_path / f"{name}.csv"), frame)
    pd.testing.assert_frame_equal(
        tables.compare(PAPER, tables.read(tmp_path / "table1.csv")), comparison
    )
    assert "zeta,dsc,0.822,0.377778," in (tmp_path / "table1_vs_published.csv").read_text()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("mean,", "", r"got the columns \['row', 'metric', 'sd', .*\]"),
        ("0.800000", "high", "could not convert string to float: 'high'"),
        ("0.800000", "", "got a mean that is not a finite number"),
        ("zeta,dsc", "zeta,zeta,dsc", "got a line with too many or too few fields"),
        (",1f2e,yes,", "", "got a line with too many or too few fields"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, old, new, problem):
    path = tmp_path / "table1.csv"
    tables.write(tables.build(PAPER, runs([0.8])), path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=rf"table1\.csv: expected a results table .*{problem}"):
        tables.read(path)


def test_an_absent_or_empty_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent\.csv: expected a results table .*: No such file"):
        tables.read(tmp_path / "absent.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(
        InputError, match=r"empty\.csv: expected a results table .*: got the columns \[\]"
    ):
        tables.read(tmp_path / "empty.csv")


@pytest.mark.parametrize("width", [40, 80, 100, 160])
def test_nothing_is_cut_off_at_any_width(width):
    scores = runs([0.83, 0.84, 0.82]) + runs([0.61], metric="aji") + runs([0.9], UNFAIR, "alpha")
    text = shown(tables.compare(PAPER, tables.build(PAPER, scores)), width)
    assert "…" not in text
    assert "\x1b" not in text
    for part in (
        "LinkNet-ResNeXt50\n",
        "DSC                0.822      0.8300 ± 0.0248  3  +0.0080  within          [1]",
        "AJI                0.6893     0.6100           1  -0.0793  below           [2]",
        "DSC                0.8249     0.9000           1  +0.0751  not comparable  [3]",
        "Proposed [ensemble]",
        "Others (Somebody, 2020)  0.9  –",
    ):
        assert part.replace(" ", "").replace("\n", "") in text.replace(" ", "").replace("\n", "")
    if width >= 80:
        assert (
            "3 published: 0 match, 1 within, 0 above, 1 below, 1 not comparable, 0 not run\n"
            in text
        )
        assert all(len(line.rstrip()) <= width for line in text.splitlines())


def test_a_shared_reason_is_printed_once_per_block():
    scores = [
        (Score(row, metric, 0.5, 0), how) for row, metric in NUMBERS for how in (UNFAIR, CORRECTED)
    ]
    text = shown(tables.compare(PAPER, tables.build(PAPER, scores)), 100)
    assert text.count("encoder weights: none; profile: quick") == 1
    assert text.count("|difference| > resolution 0.01 (one seed)") == 1
    assert (
        text.count("[1]") == 3 + 1 + 2 + 1
    )  # the two blocks: lines that refer to the note, and the note
    assert text.index("protocol published, profile paper") < text.index(
        "protocol corrected, profile paper"
    )
    assert text.count("not judged") == 1
