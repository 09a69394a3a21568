"""Whatever is edited by hand, lost or doubled among the results is named."""

import io
import shutil
import zipfile
from dataclasses import replace

import pytest
from fake_paper import DATA

from common.datasets import manifests
from common.results import provenance, tables, verify

RUN = "a-imagenet-published-quick-float32-seed0"  # of the seed whose predictions are kept


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Three tables of two seeds, written once."""
    return tmp_path_factory.mktemp("written") / "results"


@pytest.fixture
def results(paper, request_, written, tmp_path):
    """A copy of these tables; gives the folder of the results."""
    if not written.exists():
        for name in ("table1", "ours", "counted"):
            asked = replace(request_, seeds=(0, 1), protocol=None, results_root=written)
            paper.targets[name].run(asked)
    shutil.copytree(written, tmp_path / "results")
    return tmp_path / "results"


def problems(paper, results):
    return list(verify.without_data(paper, results))


def edit(path, old, new, count=1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def test_results_as_they_were_written_have_no_problem(paper, results):
    assert problems(paper, results) == []


@pytest.mark.parametrize("column", tables.TABLE_COLUMNS)
def test_any_cell_of_a_table_edited_by_hand_is_named(paper, results, column):
    path = results / "fake/table1.csv"
    table = tables.read(path)
    number = table[column].dtype != object
    table.loc[2, column] = 999 if number else "published paper 7"
    path.write_text(tables.as_csv(table))
    found = problems(paper, results)
    assert found and all("table1" in line for line in found)


@pytest.mark.parametrize("column", ["mean", "low", "high"])
def test_a_number_that_no_run_is_behind_still_follows_from_its_seeds(paper, results, column):
    path = results / "fake/counted.csv"
    table = tables.read(path)
    table.loc[0, column] = 6.0
    path.write_text(tables.as_csv(table))
    assert "counted.csv" in problems(paper, results)[0]


DAMAGE = {
    "a score changed": lambda path: edit(path, "0.72", "0.99"),
    "an image missing": lambda path: edit(path, "3,0.72\n", ""),
    "an image doubled": lambda path: edit(path, "3,0.72\n", "3,0.72\n3,0.72\n"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "header only": lambda path: path.write_text("id,dice\n"),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("sums", ["old", "new"])
def test_scores_per_image_that_are_not_those_of_the_table_are_named(paper, results, kind, sums):
    path = results / f"fake/provenance/{RUN}/metrics.csv"
    DAMAGE[kind](path)
    if sums == "new":
        provenance.write_sums(results / "fake")
    assert problems(paper, results)


@pytest.mark.parametrize("name", [f"provenance/{RUN}", f"predictions/{RUN}.zip", "SHA256SUMS"])
def test_what_is_gone_is_named(paper, results, name):
    path = results / "fake" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert any(path.name in line for line in problems(paper, results))


def test_a_verdict_edited_by_hand_is_named(paper, results):
    path = results / "fake/table1_vs_published.csv"
    text = path.read_text().replace("within", "below").replace("not comparable", "within")
    path.write_text(text)
    (found,) = problems(paper, results)
    assert "table1_vs_published.csv" in found


def test_a_file_that_nothing_wrote_is_named(paper, results):
    (results / "fake/predictions/stray.zip").write_bytes(b"")
    assert "stray.zip" in problems(paper, results)[0]


@pytest.fixture
def data(monkeypatch):
    monkeypatch.setattr(manifests, "find", lambda *_, **__: DATA)


def rescored(paper, results):
    return list(verify.with_data(paper, results, None))


def test_scores_follow_from_the_packed_predictions(paper, results, data):
    assert rescored(paper, results) == []


def repack(path, changed):
    """Write an archive anew with other members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members.update(changed)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, value in members.items():
            if value is not None:
                archive.writestr(name, value)
    path.write_bytes(content.getvalue())


@pytest.mark.parametrize(
    "changed, named",
    [
        ({"4.txt": b"0.5"}, "4: dice is 0.74, the predictions give 0.5"),
        ({"4.txt": None}, "has no prediction"),
        ({"9.txt": b"0.5"}, "is not in the split"),
        ({"4.png": b""}, "second prediction"),
    ],
)
def test_predictions_that_are_not_those_of_the_scores_are_named(
    paper, results, data, changed, named
):
    repack(results / f"fake/predictions/{RUN}.zip", changed)
    found = rescored(paper, results)
    assert found and any(named in line for line in found)
    assert all(RUN in line for line in found)


def test_a_cut_archive_is_named(paper, results, data):
    path = results / f"fake/predictions/{RUN}.zip"
    path.write_bytes(path.read_bytes()[:-30])
    assert "damaged" in rescored(paper, results)[0]


def test_other_data_than_those_of_the_runs_are_named(paper, results, data, monkeypatch):
    other = replace(DATA, fingerprint="1" * 16)
    monkeypatch.setattr(manifests, "find", lambda *_, **__: other)
    assert "other data" in rescored(paper, results)[0]


def test_equal_predictions_give_equal_archives(paper, results, request_):
    path = results / f"fake/predictions/{RUN}.zip"
    content = path.read_bytes()
    path.unlink()
    paper.targets["table1"].run(replace(request_, seeds=(0, 1)))
    assert path.read_bytes() == content


def test_lines_of_a_table_name_what_they_follow_from(results):
    table = tables.read(results / "fake/table1.csv")
    assert set(table["run"]) == {
        "a-imagenet-published-quick-float32-seed*",
        "a-imagenet-corrected-quick-float32-seed*",
        "both-imagenet-published-quick-float32-seed*",
        "both-imagenet-corrected-quick-float32-seed*",
    }
