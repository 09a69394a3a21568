import shutil

import pytest

from common.errors import InputError
from common.files import PROJECT
from common.report import collect


def gather(project):
    return collect.gather(project / "results", project)


def test_everything_about_a_paper_is_found_by_its_place(project):
    alpha, beta = gather(project)
    assert (alpha.title, alpha.about) == (
        "Alpha nets",
        "Paper: A. Lpha, *Nets*, 2020, `code` and <b>more</b>.",
    )
    (judged,) = alpha.judged
    assert judged.command == ("alpha-one", "the first table")
    assert judged.environment["commit"] == "c0ffee"
    assert set(judged.verdicts["verdict"]) == {
        "match",
        "below",
        "not comparable",
        "not run",
        "within",
    }
    assert [(beyond.id, beyond.scores) for beyond in alpha.beyond] == [
        ("ablation", True),
        ("odd", False),
    ]
    assert alpha.beyond[1].results["other"].iloc[0] == "007"  # as it is in the file
    # As published before corrected, though not by the alphabet.
    names = ["figure2-published-quick-seed0.png", "figure2-corrected-quick-seed0.png"]
    assert [figure.path.name for figure in alpha.figures] == names
    assert alpha.figures[0].caption == "pictures of everything (published, quick, seed0)"
    assert [run.id for run in alpha.runs] == [
        "ensemble-seed0",
        "net-none-published-seed0",
        "net-none-corrected-seed0",
    ]
    assert alpha.runs[0].remarks == {"members": ["one", "two"]}
    assert alpha.runs[1].history["loss"].tolist() == [1.0, 0.5]
    assert {finding.check for finding in alpha.findings} == {"dice_iou"}


def test_a_paper_without_results_or_readme_is_not_run(project):
    beta = gather(project)[1]
    assert (beta.title, beta.about) == ("An invented paper", "")
    assert beta.judged[0].command.target == "beta-one"
    assert beta.judged[0].results.empty
    assert beta.judged[0].verdicts["verdict"].tolist() == ["not run"] * 5
    assert beta.findings
    assert not (beta.beyond or beta.figures or beta.runs)


def test_results_that_appear_are_found_without_a_change(project):
    shutil.copytree(project / "results/alpha", project / "results/beta")
    assert len(gather(project)[1].runs) == 3


def test_figures_come_in_the_order_of_their_numbers(project):
    folder = project / "results/alpha"
    for name in ("figure10-published-quick-seed0.png", "figure9-published-quick-seed0.png"):
        shutil.copy(folder / "figure2-published-quick-seed0.png", folder / name)
    names = [figure.path.stem.split("-")[0] for figure in gather(project)[0].figures]
    assert names == ["figure2", "figure2", "figure9", "figure10"]


def test_verdicts_on_other_numbers_are_refused(project):
    path = project / "reproductions/alpha/published/table1.yaml"
    path.write_text(path.read_text().replace('"0.9001"', '"0.9002"'))
    with pytest.raises(
        InputError, match=r"table1_vs_published\.csv: .*published in table1\.yaml; regenerate it"
    ):
        gather(project)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("table1.csv", "row\n"),
        ("odd.csv", 'a,b\n1,"2\n'),
        ("provenance/net-none-published-seed0/history.csv", ""),
        ("provenance/net-none-published-seed0/config.json", "{"),
    ],
)
def test_a_damaged_file_is_named(project, name, content):
    (project / "results/alpha" / name).write_text(content)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        gather(project)


def test_a_makefile_is_read_by_what_its_targets_call():
    found = collect.commands(PROJECT / "Makefile")
    assert all(command.meaning and command.target for command in found.values())
    folders = {path.parent.name for path in PROJECT.glob("reproductions/*/eval.py")}
    assert {paper for paper, _ in found} == folders
    assert collect.commands(PROJECT / "no such file") == {}


def test_protocols_and_profiles_come_closest_to_the_paper_first():
    names = ["smoke", "invented", "corrected", "paper", "published", "quick"]
    assert sorted(names, key=collect.place) == [
        "published",
        "corrected",
        "paper",
        "quick",
        "smoke",
        "invented",
    ]
