import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InputError
from common.files import PROJECT
from common.published import schema
from common.results import export, tables
from reproductions import command

TABLE = """\
id: table1
title: Results & more
paper: An invented paper
where: section 4
data: 20 images
metrics:
  dice: {label: Dice_50, kind: dice, unit: fraction, aggregation: mean over images}
  images: {label: images, kind: size, unit: images, aggregation: count}
rows:
  unet: {label: "U-Net | 100 %", source: this paper, values: {dice: "0.805", images: "20"}}
  big: {label: Big, source: this paper, values: {dice: "0.9"}}
open: [the seed]
"""


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "reproductions/alpha/published/table1.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(TABLE)
    return schema.load(path)


@pytest.fixture
def table(reference):
    conditions = tables.Conditions("published", "paper", "none", "float32", "images", "0" * 16)
    scores = [
        (tables.Score("unet", "dice", 0.79 + seed / 100, seed, 0.001, 10), conditions)
        for seed in range(3)
    ]
    scores.append((tables.Score("unet", "images", 20, 0), conditions))
    return tables.build(reference, scores)


def test_a_table_becomes_markdown(reference, table):
    assert export.table_as(reference, table, "markdown") == (
        "**Results & more, protocol published, profile paper**\n"
        "\n"
        "|  | metric | published | ours | 95 % interval | n | verdict |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| U-Net \\| 100 % | Dice_50 | 0.805 | 0.800 | 0.750–0.850 | 3 | within |\n"
        "|  | images | 20 | 20 | – | 1 | match |\n"
        "| Big | Dice_50 | 0.9 | – | – | 0 | not run |\n"
    )


def test_a_table_becomes_latex_with_its_special_characters_escaped(reference, table):
    text = export.table_as(reference, table, "latex")
    assert text.startswith("\\begin{table}\n")
    assert text.endswith("\\end{table}\n")
    assert "\\caption{Results \\& more, protocol published, profile paper}" in text
    assert "U-Net | 100 \\% & Dice\\_50 & 0.805 & 0.800 & 0.750--0.850 & 3 & within \\\\" in text
    assert text.count("{") == text.count("}")
    lines = [line for line in text.splitlines() if line.endswith("\\\\")]
    columns = [line.replace("\\&", "").count("&") for line in lines]
    assert columns == [6] * 4


def test_each_protocol_has_a_block_of_its_own(reference, table):
    import pandas

    both = pandas.concat([table, table.assign(protocol="corrected")])
    text = export.table_as(reference, both, "markdown")
    assert text.count("**Results & more") == 2
    empty = export.table_as(reference, table[:0], "markdown")
    assert empty.count("not run") == 3


@pytest.mark.parametrize("paper", sorted(path.name for path in PROJECT.glob("reproductions/*_*")))
def test_every_published_table_is_exported_without_a_raw_special_character(paper, capsys):
    for reference in schema.load_folder(PROJECT / "reproductions" / paper / "published"):
        if not list(reference.numbers()):
            continue  # quoted from the literature alone
        export.print_table([paper, reference.id, "--format=latex"])
        rows = re.findall(r"^.*\\\\$", capsys.readouterr().out, re.MULTILINE)
        assert len(rows) > len(list(reference.numbers()))
        for row in rows:
            plain = re.sub(r"\\[%&_#${}]|\$[^$]*\$|\\text\w+\{\}", "", row)
            assert plain.count("&") == 6
            assert not re.search(r"[%_#$^~{}−×]", plain), row
        export.print_table([paper, reference.id, "--format", "markdown"])
        assert capsys.readouterr().out.count("\n| ") >= len(rows)


def test_a_table_that_is_not_there_is_named_in_one_line():
    with pytest.raises(InputError, match="no table table9, expected one of "):
        export.print_table(["tnbc_linknet", "table9", "--format", "latex"])


def test_medseg_table_with_a_format_trains_nothing(capsys):
    command.main(["table", "tnbc_linknet", "table1", "--format", "markdown"])
    assert "| LinkNet-VGG19 | accuracy | 0.9691 |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["table", "tnbc_linknet", "table1", "--format", "docx"])
    assert "--format docx: expected one of markdown, latex" in capsys.readouterr().err


@given(st.floats(-10, 10), st.floats(1e-6, 10), st.integers(0, 6))
def test_an_interval_keeps_its_ends_apart_and_no_more_decimals_than_allowed(low, width, most):
    text = export.interval(low, low + width, most)
    ends = [float(end) for end in text.replace("−", "-").replace(" to ", "–").split("–")]
    assert len(ends) == 2
    decimals = max(len(end.partition(".")[2]) for end in text.replace(" to ", "–").split("–"))
    assert decimals <= most
    if decimals < most:  # then they were enough to show a tenth of the width
        assert abs(ends[1] - ends[0] - width) <= 10**-decimals <= 1.001 * max(width, 0.1)


def test_no_interval_is_no_text():
    assert export.interval(math.nan, 1, 3) == ""
    assert export.interval(20, 20, 0) == ""  # a count that is equal in every run


def test_exported_comparisons_are_stale_where_yaml_or_table_has_changed(tmp_path, reference, table):
    results = tmp_path / "results/alpha"
    tables.write(table, results / "table1.csv")
    path = results / "table1_vs_published.csv"
    (stale,) = export.stale_comparisons(tmp_path).items()
    assert stale[0] == path
    path.write_text(stale[1])
    assert export.stale_comparisons(tmp_path) == {}
    published = tmp_path / "reproductions/alpha/published/table1.yaml"
    published.write_text(TABLE.replace('dice: "0.805"', 'dice: "0.806"'))
    assert list(export.stale_comparisons(tmp_path)) == [path]
    published.write_text(TABLE)
    tables.write(table.assign(differences="other data"), results / "table1.csv")
    assert "not comparable" in export.stale_comparisons(tmp_path)[path]
