import shutil

import pytest

from common.errors import InputError
from common.files import PROJECT
from common.published import schema
from common.results import readme, tables

BEFORE, AFTER = "# A\n<!-- generated: {} -->\n", "<!-- end -->\nlast words\n"
PAPER = "reproductions/tnbc_linknet"


@pytest.fixture
def project(tmp_path):
    """A project with TNBC's published tables and results for two of its rows and one of our own."""
    for name in ("published", "eval.py", "paper.yaml"):
        source, target = PROJECT / PAPER / name, tmp_path / PAPER / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    reference = schema.load(tmp_path / PAPER / "published/table1.yaml")
    conditions = tables.Conditions(
        "published", "paper", "none", "float32", "TNBC", "0" * 16, "encoder_weights=none"
    )
    scores = [
        (tables.Score(row, metric, value + seed / 100, seed, 0.001, 10), conditions)
        for row, value in (("resnext50", 0.5), ("ensemble", 0.8), ("vgg16", 0.7))
        for metric in ("dsc", "pq")
        for seed in (0, 1, 2)
    ]
    table = tables.build(reference, scores)
    tables.write(table, tmp_path / "results/tnbc_linknet/table1.csv")
    return tmp_path


def write(path, block):
    path.write_text(BEFORE.format(block) + "stale\n" + AFTER)
    return path


def test_a_table_shows_published_beside_ours_with_verdicts(project):
    page = write(project / PAPER / "README.md", "table1")
    text = readme.render(page, project)
    assert text.startswith(BEFORE.format("table1"))
    assert text.endswith(AFTER)
    assert "stale" not in text
    # Student's t for three seeds, 4.303, times 0.01 times √(4/3): 0.0497.
    assert (
        "| LinkNet-ResNeXt50 | none | 0.9706 → – | 0.822 → 0.5100 (0.460–0.560) | 0.8255 → – | "
        "0.6893 → – | 0.5100 |" in text
    )
    assert "| vgg16 (not in the paper) | none | – | 0.7100 (0.660–0.760) |" in text
    assert "n = 3 (seeds 0 1 2)" in text
    assert "- 1 × **below** (LinkNet-ResNeXt50, DSC): Ours, 0.51, is lower than" in text
    assert "- 1 × **within** (Proposed (ensemble), DSC): Ours, 0.81, differs from" in text
    page.write_text(text)
    assert readme.render(page, project) == text


def test_a_block_may_name_its_metrics(project):
    page = write(project / PAPER / "README.md", "table1 pq dsc")
    text = readme.render(page, project)
    assert "|  | encoder weights | PQ | DSC |" in text
    assert "| LinkNet-ResNeXt50 | none | 0.5100 | 0.822 → 0.5100 (0.460–0.560) |" in text
    with pytest.raises(InputError, match="table1 has no metric dsk"):
        readme.render(write(page, "table1 dsk"), project)


def test_a_table_that_only_results_have_is_shown_without_published_values(project):
    results = project / "results/tnbc_linknet"
    shutil.copy(results / "table1.csv", results / "ablation.csv")
    text = readme.render(write(project / PAPER / "README.md", "ablation dsc"), project)
    assert "|  | encoder weights | DSC |" in text
    assert "Ours (and where one further run may land, 95 %)." in text
    assert "| resnext50 | none | 0.5100 (0.460–0.560) |" in text
    assert "→" not in text
    assert "comparable" not in text


def test_the_front_page_has_a_line_per_paper_and_the_five_numbers(project):
    text = readme.render(write(project / "README.md", "papers"), project)
    (line,) = [line for line in text.splitlines() if line.startswith("| [tnbc_linknet]")]
    assert "<br>`make tnbc-table1` | nuclei in breast-cancer histology; TNBC, 50 images" in line
    assert "two LinkNets together are better than either, DSC 0.8249" in line
    assert "| 0.8100 (0.760–0.860), within | 1 agree, 1 differ, 19 cannot be told yet |" in line
    text = readme.render(write(project / "README.md", "answer"), project)
    assert "Of 21 numbers that one paper prints, 1 agrees with ours, 1 differs, and 19" in text
    assert "| 1 | 1 | 19 | 0 | 0 |" in text


def test_the_long_tables_count_what_was_regenerated_and_judge_the_claims(project):
    (project / "results").joinpath("README.md").touch()
    text = readme.render(write(project / "results/README.md", "tables"), project)
    own = "| `make tnbc-table1` | published, paper | 2 of 12 | 1 within, 1 below, 10 not run |"
    assert own in text
    assert "| `make tnbc-table2` | – | 0 of 4 | 4 not run |" in text
    assert "(../reproductions/tnbc_linknet/README.md)" in text
    text = readme.render(write(project / "results/README.md", "claims"), project)
    assert (
        "The ensemble is better than either of its networks in every metric. | not tested" in text
    )


def test_a_changed_resolution_changes_the_front_page_at_once(project):
    page = write(project / "README.md", "papers")
    assert "1 agree, 1 differ" in readme.render(page, project)
    path = project / PAPER / "published/table1.yaml"
    text = path.read_text()
    lowered = '    kind: dice\n    resolution: "0.04"\n    resolution_reason: a test\n'
    path.write_text(text.replace("    kind: dice\n", lowered))
    assert path.read_text() != text
    assert "| 0.8100 (0.760–0.860), undecided | 1 differ, 20 cannot be told yet |" in readme.render(
        page, project
    )


def test_an_unknown_or_missing_table_is_told(project):
    page = project / PAPER / "README.md"
    with pytest.raises(InputError, match=r"README\.md: no table 'table9'"):
        readme.render(write(page, "table9"), project)
    assert "Not regenerated yet." in readme.render(write(page, "table2"), project)


def test_what_is_stale_is_named_and_made_current(project, monkeypatch, capsys):
    monkeypatch.setattr(readme, "PROJECT", project)
    monkeypatch.setattr(readme.stale, "__defaults__", (project,))
    page = write(project / "README.md", "answer")
    comparison = project / "results/tnbc_linknet/table1_vs_published.csv"
    with pytest.raises(SystemExit) as ended:
        readme.main(["--check"])
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert "README.md" in told
    assert "results/tnbc_linknet/table1_vs_published.csv" in told
    assert "stale\n" in page.read_text()
    readme.main([])
    assert comparison.exists()
    readme.main(["--check"])
    comparison.write_text(comparison.read_text().replace("within", "match"))
    with pytest.raises(SystemExit):
        readme.main(["--check"])
    assert "README.md" not in capsys.readouterr().err


def test_no_committed_file_is_stale():
    stale = [str(path.relative_to(PROJECT)) for path in readme.stale()]
    assert not stale, "run `make readme`"
