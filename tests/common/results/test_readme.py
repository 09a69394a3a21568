import re
import shutil

import pytest

from common.errors import InputError
from common.files import PROJECT
from common.published import schema
from common.results import readme, tables

READMES = [PROJECT / "README.md", *sorted(PROJECT.glob("reproductions/*/README.md"))]
BEFORE, AFTER = "# A\n<!-- generated: {} -->\n", "<!-- end -->\nlast words\n"


@pytest.fixture
def project(tmp_path):
    """A project with TNBC's published table 1 and results for two of its rows and one of our
    own.
    """
    folder = tmp_path / "reproductions/tnbc_linknet"
    shutil.copytree(PROJECT / "reproductions/tnbc_linknet/published", folder / "published")
    reference = schema.load(folder / "published/table1.yaml")
    conditions = tables.Conditions(
        "published", "paper", "none", "float32", "TNBC", "0" * 16, ("other weights",)
    )
    scores = [
        (tables.Score(row, metric, value + seed / 100, seed), conditions)
        for row, value in (("resnext50", 0.5), ("ensemble", 0.6), ("vgg16", 0.7))
        for metric in ("dsc", "pq")
        for seed in (0, 1)
    ]
    table = tables.build(reference, scores)
    tables.write(table, tmp_path / "results/tnbc_linknet/table1.csv")
    tables.write(
        tables.compare(reference, table), tmp_path / "results/tnbc_linknet/table1_vs_published.csv"
    )
    return tmp_path


def write(path, block):
    path.write_text(BEFORE.format(block) + "stale\n" + AFTER)
    return path


def test_a_table_shows_published_beside_regenerated(project):
    readme = write(project / "reproductions/tnbc_linknet/README.md", "table1")
    text = readme.render(readme, project)
    assert text.startswith(BEFORE.format("table1"))
    assert text.endswith(AFTER)
    assert "stale" not in text
    # Student's t for two seeds, 12.706, times the standard error 0.005.
    assert (
        "| LinkNet-ResNeXt50 | none | 0.9706 → – | 0.822 → 0.5050 ± 0.0635 | 0.8255 → – | "
        "0.6893 → – |" in text
    )
    assert "| vgg16 (not in the paper) | none | – | 0.7050 ± 0.0635 |" in text
    assert "n = 2 (seeds 0 1)" in text
    assert (
        "- 2 × **not comparable** (LinkNet-ResNeXt50; Proposed (ensemble)): other weights." in text
    )
    readme.write_text(text)
    assert readme.render(readme, project) == text


def test_a_block_may_name_its_metrics(project):
    readme = write(project / "reproductions/tnbc_linknet/README.md", "table1 pq dsc")
    text = readme.render(readme, project)
    assert "| | encoder weights | pq | DSC |" in text
    assert "| LinkNet-ResNeXt50 | none | 0.5050 ± 0.0635 | 0.822 → 0.5050 ± 0.0635 |" in text
    with pytest.raises(InputError, match="table1 has no metric dsk"):
        readme.render(write(readme, "table1 dsk"), project)


def test_a_table_that_only_results_have_is_shown_without_published_values(project):
    results = project / "results/tnbc_linknet"
    shutil.copy(results / "table1.csv", results / "ablation.csv")
    text = readme.render(
        write(project / "reproductions/tnbc_linknet/README.md", "ablation dsc"), project
    )
    assert "| | encoder weights | DSC |" in text
    assert "| resnext50 | none | 0.5050 ± 0.0635 |" in text
    assert "→" not in text
    assert "comparable" not in text


def test_the_overview_counts_what_was_regenerated(project):
    text = readme.render(write(project / "README.md", "papers"), project)
    assert (
        "| `make tnbc-table1` | published, paper | 2 of 12 | 2 not comparable, 10 not run |" in text
    )
    assert "| `make tnbc-table2` | – | 0 of 4 | 4 not run |" in text
    assert "| `make tnbc-dataset` | – | 0 of 5 | 5 not run |" in text
    assert text.count("| [tnbc_linknet]") == 3  # a table of quoted rows alone has nothing to judge


def test_an_unknown_or_missing_table_is_told(project):
    folder = project / "reproductions/tnbc_linknet"
    with pytest.raises(InputError, match=r"README\.md: no table 'table9'"):
        readme.render(write(folder / "README.md", "table9"), project)
    assert "Not regenerated yet." in readme.render(write(folder / "README.md", "table2"), project)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_the_committed_readme_shows_what_results_hold(readme):
    assert readme.render(readme) == readme.read_text(encoding="utf-8"), "run `make readme`"


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_every_command_and_link_in_a_readme_exists(readme):
    text = readme.read_text(encoding="utf-8")
    targets = set(
        re.findall(r"^([a-z][a-z0-9-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    )
    assert set(re.findall(r"make ([a-z][a-z0-9-]+)", text)) <= targets
    for link in re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        assert (readme.parent / link).exists(), link
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert (PROJECT / (module.replace(".", "/") + ".py")).exists(), module
