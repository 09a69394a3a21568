import fake_paper
import pytest
from fake_paper import MEMBERS, PROFILES, YAML, FakeTrainer, aggregate, per_image

from common.cli import Request
from common.results.experiment import Count, Paper, Row


@pytest.fixture
def paper(tmp_path, monkeypatch):
    (tmp_path / "published").mkdir()
    (tmp_path / "published/table1.yaml").write_text(YAML)
    monkeypatch.setattr(fake_paper, "FOLDER", tmp_path)
    FakeTrainer.asked = []
    paper = Paper(FakeTrainer(lambda *_: None, PROFILES, ("set",)), per_image, aggregate)

    @paper.table
    def table1(request):
        """The only table."""
        return [MEMBERS[0], Row("both", members=MEMBERS)]

    @paper.table
    def ours(request):
        """A table that the paper does not have."""
        return [Row("a", {"encoder": "a"}, protocols=("corrected",))]

    @paper.counts()
    def counted(request, data_set):
        """Images, counted."""
        yield Count("a", "images", 5)

    return paper


@pytest.fixture
def request_(tmp_path):
    return Request(
        runs_root=tmp_path / "runs",
        results_root=tmp_path / "results",
        profile="quick",
        protocol="published",
    )
