import shutil

import pytest

from common import files
from common.errors import InputError
from common.files import PROJECT
from common.report import collect


def gather(project):
    return collect.gather(project / "results", project)


def test_everything_about_a_paper_is_found_by_its_place(project):
    alpha, beta = gather(project)
    assert alpha.heading == "Alpha nets"
    assert alpha.text == "Paper: A. Lpha, *Nets*, 2020, `code` and <b>more</b>."
    assert alpha.commands["table1"] == ("table", "alpha-table1", "The first table.")
    assert alpha.environments["table1"]["commit"] == "c0ffee"
    assert [(beyond.id, beyond.scores) for beyond in alpha.beyond] == [
        ("ablation", True),
        ("odd", False),
    ]
    assert alpha.beyond[1].results["other"].iloc[0] == "007"  # as it is in the file
    # As published before corrected, though not by the alphabet.
    names = ["figure2-published-quick-seed0.png", "figure2-corrected-quick-seed0.png"]
    assert [figure.path.name for figure in alpha.figures] == names
    assert alpha.figures[0].caption == (
        "Everything in one figure (as published, profile quick, seed 0)"
    )
    assert [run.id for run in alpha.runs] == [
        "ensemble-seed0",
        "net-none-published-seed0",
        "net-none-corrected-seed0",
    ]
    assert alpha.runs[0].remarks == {"members": ["one", "two"]}
    assert alpha.runs[1].history["loss"].tolist() == [1.0, 0.5]
    assert beta.overview.about.title == "An invented paper"
    assert not (beta.beyond or beta.figures or beta.runs or beta.settings)


def test_links_lead_to_the_paper_and_to_files_beside_the_report(project):
    alpha, beta = gather(project)
    assert alpha.links == ("https://doi.org/10.0/alpha", "", "../reproductions/alpha", "alpha")
    assert beta.links == ("", "", "../reproductions/beta", "")
    # Away from the project there are no such files.
    elsewhere = project.parent / f"{project.name}-results"
    shutil.copytree(project / "results", elsewhere)
    assert collect.gather(elsewhere, project)[0].links.folder == ""


def test_settings_are_read_with_their_line_and_what_the_paper_says(project):
    seed, loss, epochs = gather(project)[0].settings
    assert seed[:2] == ("seed", 5)
    assert loss == ("loss", 7, "dice", "Loss function.", "", "none is named; usual")
    assert epochs == ("epochs", 11, "20", "Number of epochs.", "section 2", "")


@pytest.mark.parametrize("path", sorted(PROJECT.glob("reproductions/*/config.py")), ids=str)
def test_every_setting_of_a_paper_stands_where_it_is_said_to(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    settings = collect.settings(path)
    assert len(settings) > 5
    for setting in settings:
        assert lines[setting.line - 1].strip().startswith(f"{setting.name}:")
        assert setting.help


def test_results_that_appear_are_found_without_a_change(project):
    shutil.copytree(project / "results/alpha", project / "results/beta")
    assert len(gather(project)[1].runs) == 3


def test_figures_come_in_the_order_of_their_numbers(project):
    folder = project / "results/alpha"
    for name in ("figure10-published-quick-seed0.png", "figure9-published-quick-seed0.png"):
        shutil.copy(folder / "figure2-published-quick-seed0.png", folder / name)
    names = [figure.path.stem.split("-")[0] for figure in gather(project)[0].figures]
    assert names == ["figure2", "figure2", "figure9", "figure10"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("table1.csv", "row\n"),
        ("odd.csv", 'a,b\n1,"2\n'),
        ("readings.csv", "row,metric\na,b\n"),
        ("provenance/net-none-published-seed0/history.csv", ""),
        ("provenance/net-none-published-seed0/config.json", "{"),
    ],
)
def test_a_damaged_file_is_named(project, name, content):
    files.write_text(project / "results/alpha" / name, content)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        gather(project)
