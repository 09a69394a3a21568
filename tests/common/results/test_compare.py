"""Scores of another program are judged as ours are, and refused by line and column."""

import pytest

from common.results import compare as command

HEADER = "row,metric,value,seed\n"


def compare(tmp_path, text, *more):
    path = tmp_path / "theirs.csv"
    path.write_text(text, encoding="utf-8")
    command.main([str(path), "--paper", "tnbc_linknet", "--table", "table1", *more])


def test_a_colleagues_runs_get_verdicts(tmp_path, capsys):
    values = (0.82, 0.83, 0.82, 0.81, 0.83)
    lines = [f"ensemble,dsc,{value},{seed}" for seed, value in enumerate(values)]
    lines += [f"ensemble,aji,0.5{seed},{seed}" for seed in range(5)]
    compare(tmp_path, HEADER + "\n".join(lines), "--out", str(tmp_path / "out.csv"))
    shown = capsys.readouterr().out
    assert "12 published: 1 within, 1 below, 10 not run" in shown
    assert "ensemble,dsc" in (tmp_path / "out.csv").read_text()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("row,metric,value\nensemble,dsc,0.8\n", "seed missing"),
        (HEADER + "ensembles,dsc,0.8,0\n", "line 2: row 'ensembles': expected one of"),
        (HEADER + "ensemble,dice,0.8,0\n", "line 2: metric 'dice'"),
        (HEADER + "ensemble,dsc,82,0\n", r"line 2: value 82: expected 0 to 1"),
        (HEADER + "ensemble,dsc,nan,0\n", "line 2: value 'nan': expected a number"),
        (HEADER + "ensemble,dsc,,0\n", "line 2: value '': expected a number"),
        (HEADER + "ensemble,dsc,0.8,x\n", "line 2: seed 'x'"),
        (HEADER + "ensemble,dsc,0.8,0\nensemble,dsc,0.9,0\n", "line 3: a second value"),
        ("", "columns"),
        (
            "row,metric,value,seed,image_se,images\nensemble,dsc,0.8,0,0.01,\n",
            "image_se and images together",
        ),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path, capsys, text, problem):
    with pytest.raises(SystemExit) as ended:
        compare(tmp_path, text)
    message = capsys.readouterr().err
    assert ended.value.code == 2
    assert message.count("\n") == 1 and problem in message


def test_an_unknown_paper_or_table_is_named(tmp_path, capsys):
    path = tmp_path / "theirs.csv"
    path.write_text(HEADER)
    for words in (
        ["--paper", "none", "--table", "table1"],
        ["--paper", "polyp_unet", "--table", "x"],
    ):
        with pytest.raises(SystemExit):
            command.main([str(path), *words])
        assert "expected" in capsys.readouterr().err
