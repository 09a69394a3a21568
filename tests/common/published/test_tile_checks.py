"""Checks of sets of tiles: their number, the part of them that was used, and filters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.published import tile_checks
from common.published.schema import Cut, Row


@pytest.mark.parametrize(
    ("size", "severity"), [("246", None), ("247", "note"), ("286", "impossible")]
)
def test_a_filtered_set_is_not_larger(size, severity, table, found):
    findings = found(
        table(
            {"all": {"size": "247"}, "some": Row("some", None, {"size": size}, filtered_from="all")}
        )
    )
    assert findings == ([("table1", "filtered", severity)] if severity else [])


@pytest.mark.parametrize(
    ("tile", "step", "size", "severity"),
    [
        (512, 512, "648", None),  # 2 × 2 × 162
        (512, 256, "1458", None),  # 3 × 3 × 162
        (256, 128, "7938", None),  # 7 × 7 × 162
        (128, 64, "36450", None),  # 15 × 15 × 162
        (512, 256, "1459", "impossible"),
        (512, 256, "247", "suspicious"),
    ],
)
def test_a_cut_set_has_the_tiles_of_its_images(tile, step, size, severity, table, found):
    tiles = Row("tiles", None, {"size": size}, cut=Cut("original", 1024, tile, step))
    findings = found(table({"original": {"size": "162"}, "tiles": tiles}))
    assert findings == ([("table1", "tiles", severity)] if severity else [])


def tiles_of(cut, size):
    return Row("tiles", None, {"size": str(size)}, cut=cut)


def test_printed_tiles_of_an_image_are_those_of_its_sizes(table, found):
    rows = {"original": {"size": "162"}}
    for stated, expected in (49, []), (48, [("table1", "tiles", "impossible")]):
        cut = Cut("original", 1024, 256, 128, stated)
        assert found(table({**rows, "tiles": tiles_of(cut, 162 * 49)})) == expected


@given(every=st.integers(101, 50_000), percent=st.integers(1, 99))
def test_a_whole_percentage_is_found_again(every, percent):
    assert tile_checks.whole_percentage(percent * every // 100, every) == percent


def test_chance_hits_of_whole_percentages_are_as_rare_as_stated():
    for every in (648, 1458, 7938):
        hits = sum(
            tile_checks.whole_percentage(size, every) is not None for size in range(1, every)
        )
        assert hits / every == pytest.approx(100 / every, rel=0.02)


def test_fractions_of_tiles_are_named_with_their_odds(table, findings):
    sizes = {512: 247, 256: 1349, 128: 6196}
    rows = {
        f"p{tile}": tiles_of(Cut("original", 1024, tile, tile // 2), n) for tile, n in sizes.items()
    }
    noted = [
        f
        for f in findings(table({"original": {"size": "162"}, **rows}))
        if f.check == "tile_fraction"
    ]
    assert [finding.message for finding in noted] == [
        "247 = int(17 % of 1458), 1349 = int(17 % of 7938), 6196 = int(17 % of 36450); by chance "
        "one size in 15, 79, 364"
    ]
    # One hit among few tiles says nothing, nor does a set that holds all tiles.
    rows = {"p512": rows["p512"], "quarter": tiles_of(Cut("original", 1024, 512, 512), 648)}
    made = findings(table({"original": {"size": "162"}, **rows}))
    assert "tile_fraction" not in {finding.check for finding in made}


def removals(before, after, other_before, other_after, every=6480):
    """Two tables that filter sets of an image's tiles; 10 images of 648 tiles each are 6480."""
    cut = Cut("original", 648, 1, 1)
    assert cut.tiles_of_an_image == 648**2
    return [
        {
            "all": Row("all", None, {"size": str(n)}),
            "some": Row("some", None, {"size": str(m)}, filtered_from="all"),
        }
        for n, m in ((before, after), (other_before, other_after))
    ]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((6196, 4655, 5103, 4655), True),  # 24.9 % and 8.8 %
        ((1349, 1258, 1190, 1189), True),
        ((1349, 1258, 1190, 1110), False),  # 6.7 % both
        ((1349, 1258, 1349, 1258), False),
        ((247, 286, 247, 228), False),  # larger: `filtered` says so
    ],
)
def test_a_filter_removes_the_same_fraction_everywhere(sizes, expected, table, found):
    first, second = removals(*sizes)
    made = found(table(first), table(second, id="table3"))
    assert (("table3", "removal", "suspicious") in made) == expected


@pytest.mark.parametrize(("removed", "expected"), [(13, False), (14, True), (18, True)])
def test_no_more_tiles_are_empty_than_all_tiles_hold(removed, expected, table, found):
    cut = Cut("original", 1024, 512, 512)

    def sizes(whole, part):
        return {
            "original": {"size": "162"},
            "quarter": tiles_of(cut, whole),
            "zero": Row("zero", None, {"size": str(part)}, filtered_from="quarter"),
        }

    for order in (1, -1):
        tables = [table(sizes(648, 635)), table(sizes(453, 453 - removed), id="table3")]
        made = found(*tables[::order])
        assert ("removal" in {check for _, check, _ in made}) == expected
        assert ({"impossible"} if expected else set()) == {
            severity for _, check, severity in made if check == "removal"
        }


def test_honest_draws_of_tiles_stay_quiet(table, found):
    rng = np.random.default_rng(0)
    empty = rng.random(7938) < 0.08
    for _ in range(200):
        drawn = [rng.choice(empty, size, replace=False) for size in (1349, 1190)]
        first, second = removals(*(n for d in drawn for n in (len(d), int((~d).sum()))))
        made = found(table(first), table(second, id="table3"))
        assert "removal" not in {check for _, check, _ in made}
