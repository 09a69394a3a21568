import pytest
import yaml

from common.errors import InputError
from common.files import PROJECT
from common.published import claims, paper, schema
from common.results import commands

FOLDERS = sorted(path.parent for path in PROJECT.glob("reproductions/*/published"))
TABLE = """\
id: table1
title: Results
paper: An invented paper
where: section 4
data: 20 images
metrics:
  dice: {label: Dice, kind: dice, unit: fraction, aggregation: mean over images}
rows:
  unet: {label: U-Net, source: this paper, values: {dice: "0.80"}}
open: [the seed]
"""
ABOUT = """\
title: An invented paper
task: nets in images
data: 20 images
headline: {says: nets are good, table: table1, row: unet, metric: dice}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "published").mkdir()
    (tmp_path / "published/table1.yaml").write_text(TABLE)
    (tmp_path / "paper.yaml").write_text(ABOUT)
    return tmp_path


def load(folder):
    return paper.of_folder(folder, schema.load_folder(folder / "published"))


def test_a_paper_in_a_line(folder):
    about = load(folder)
    assert (about.title, about.task, about.link) == ("An invented paper", "nets in images", None)
    assert about.headline == paper.Headline("nets are good", None, "table1", "unet", "dice")


def test_without_the_file_its_tables_say_what_it_is(folder):
    (folder / "paper.yaml").unlink()
    about = load(folder)
    assert (about.title, about.data) == ("An invented paper", "20 images")
    assert about.headline.table is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("row: unet", "row: vnet", "headline: no published number at table1, vnet, dice"),
        ("task: nets in images\n", "", "task: expected text"),
        ("data: 20 images", "data: 20", "data: expected text"),
        ("title:", "titel:", "'titel'"),
    ],
)
def test_what_is_wrong_is_named(folder, old, new, told):
    (folder / "paper.yaml").write_text(ABOUT.replace(old, new))
    with pytest.raises(InputError, match=told) as error:
        load(folder)
    assert "paper.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_every_paper_has_a_line_with_its_claim_and_a_command(folder):
    references = schema.load_folder(folder / "published")
    about = paper.load(folder / paper.FILE, references)
    known = [claim.id for claim in claims.load_folder(folder / "published")]
    assert about.headline.claim in known
    assert about.headline.table in commands.of_paper(folder)
    assert (PROJECT / f"data_manifests/{about.data_set}.yaml").exists()
    assert about.title == references[0].paper


def test_papers_and_data_sets_can_be_cited():
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    titles = {reference["title"]: reference for reference in citation["references"]}
    cited = (PROJECT / "CITATION.cff").read_text(encoding="utf-8")
    for folder in FOLDERS:
        about = paper.load(folder / paper.FILE, schema.load_folder(folder / "published"))
        reference = titles[about.title]
        assert folder.name in reference["notes"]
        if about.link is not None:
            assert about.link in (
                f"https://doi.org/{reference.get('doi')}",
                reference.get("repository-code"),
            )
        manifest = yaml.safe_load(
            (PROJECT / f"data_manifests/{about.data_set}.yaml").read_text(encoding="utf-8")
        )
        identity = manifest["citation"].rpartition("doi:")[2] or manifest["homepage"]
        assert identity in cited or manifest["homepage"] in cited
