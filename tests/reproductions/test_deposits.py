"""Publishing a run and fetching it: over a server on this machine, that behaves or does not."""

import json
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from web_server import Server, ranged, send

from common.datasets import downloads
from common.errors import InputError
from common.files import sha256
from common.training import deposits, runs
from reproductions import command
from reproductions.polyp_unet.config import PROFILES

CONFIG = replace(PROFILES["smoke"], seed=3)
NAME = f"kvasir_standin-{CONFIG.run_id}"


@pytest.fixture
def run(tmp_path):
    """A finished run, as a training leaves it."""
    folder = tmp_path / "author/polyp_unet" / NAME
    made = runs.Run(folder, {**asdict(CONFIG), "data": "0" * 16})
    made.save_split({"train": ["1"], "validation": [], "test": ["2", "3"]})
    session = {"data": "Kvasir-SEG", "fingerprint": "0" * 16, "commit": "abc"}
    (folder / "environment.json").write_text(json.dumps({"sessions": [session]}))
    (folder / "history.csv").write_text("epoch,loss\n1,0.5\n2,0.25\n")
    made.predictions.mkdir()
    for name in ("2", "3"):
        cv2.imwrite(str(made.predictions / f"{name}.png"), np.full((8, 8), 7, np.uint8))
    weights(folder, np.ones(3, np.float32))
    made.finish(["2", "3"])
    return folder


def weights(folder, values):
    with h5py.File(folder / "weights.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        file.create_group("dense").attrs["weight_names"] = [b"kernel"]
        file["dense/kernel"] = values


def serve(path):
    content = path.read_bytes()
    return Server(lambda handler: ranged(handler, content), name=path.name)


@pytest.fixture
def served(run, tmp_path):
    """The run packed, its checksum, and a server that has it."""
    packed = deposits.pack(run, "polyp_unet", "# card\n", tmp_path / "deposit")
    return packed, serve(packed.path)


def fetch(server, checksum, root):
    command.main(["fetch-run", server.url, "--checksum", checksum, "--runs-root", str(root)])


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def nothing_there(root):
    return [p for p in root.rglob("*") if p.name != ".fetch.lock"] == []


def test_a_packed_run_arrives_as_it_was_and_twice_does_no_harm(run, served, tmp_path, capsys):
    packed, server = served
    for _ in range(2):
        fetch(server, packed.checksum, tmp_path / "runs")
    there = tmp_path / "runs/polyp_unet" / NAME
    expected = {name: text for name, text in contents(run).items() if name.name != ".lock"}
    assert contents(there) == {**expected, Path("MODEL_CARD.md"): b"# card\n"}
    assert runs.is_complete(there) and "complete" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == [".fetch.lock", "polyp_unet"]


def test_the_same_run_gives_the_same_file(run, tmp_path):
    one, other = (
        deposits.pack(run, "polyp_unet", "card", tmp_path / name) for name in ("one", "other")
    )
    assert one.checksum == other.checksum == f"sha256:{sha256(other.path)}"


def test_the_command_packs_with_card_and_checksum(run, tmp_path, capsys):
    command.main(["deposit", str(run), "--out", str(tmp_path / "out"), "--without-weights"])
    [path] = (tmp_path / "out").iterdir()
    assert f"sha256:{sha256(path)}" in capsys.readouterr().out
    with zipfile.ZipFile(path) as archive:
        card = archive.read(f"polyp_unet/{NAME}/MODEL_CARD.md").decode()
        assert not any(name.endswith("weights.h5") for name in archive.namelist())
    for text in ("not for clinical use", "Kvasir-SEG", "2,0.25", '"seed": 3', "licence of the"):
        assert text in card or text == "licence of the"


def test_an_interrupted_download_is_continued(served, tmp_path, monkeypatch):
    packed, server = served
    monkeypatch.setattr(downloads, "BLOCK", 100)
    monkeypatch.setattr(downloads, "FIRST_DELAY", 0)
    content, whole = packed.path.read_bytes(), server.answers
    server.answers = (lambda h: ranged(h, content, 0.5), lambda h: send(h, status=404))
    with pytest.raises(SystemExit):
        fetch(server, packed.checksum, tmp_path / "runs")
    server.answers, server.asked = whole, []
    fetch(server, packed.checksum, tmp_path / "runs")
    begin = int(server.asked[0]["Range"][len("bytes=") : -1])
    assert 0 <= len(content) // 2 - begin < downloads.BLOCK  # the last block may be lost
    assert runs.is_complete(tmp_path / "runs/polyp_unet" / NAME)


def test_a_bad_server_leaves_nothing(served, tmp_path, capsys):
    packed, server = served
    server.answers = (lambda h: send(h, b"PK\3\4 something else"),)
    with pytest.raises(SystemExit) as stopped:
        fetch(server, packed.checksum, tmp_path / "runs")
    err = capsys.readouterr().err
    assert stopped.value.code == 2 and "wrong checksum" in err and err.count("error:") == 1
    assert nothing_there(tmp_path / "runs")


def repack(path, change):
    """Change the files of a packed run; give the new checksum."""
    with zipfile.ZipFile(path) as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    top = f"polyp_unet/{NAME}"
    change(inside, top)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in inside.items():
            archive.writestr(name, content)
    return f"sha256:{sha256(path)}"


def setting(**values):
    def change(inside, top):
        config = {**json.loads(inside[f"{top}/config.json"]), **values}
        inside[f"{top}/config.json"] = json.dumps(config).encode()

    return change


def rename(old, new):
    def change(inside, top):
        for name in [*inside]:
            inside[name.replace(old, new, 1)] = inside.pop(name)

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f, top: f.update({f"{top}/predictions/2.png": b"x"}), "damaged or changed"),
        (lambda f, top: f.pop(f"{top}/predictions/2.png"), "has no prediction"),
        (lambda f, top: f.pop(f"{top}/predictions.json"), "no predictions.json"),
        (lambda f, top: f.update({f"{top}/weights.h5": b"x"}), "not a Keras .h5 weights file"),
        (lambda f, top: f.update({f"{top}/run.py": b"x"}), "belongs to no run"),
        (lambda f, top: f.update({"../../evil": b"x"}), "leads outside"),
        (lambda f, top: f.update({"a/b/config.json": b"{}"}), "holds 2 runs"),
        (lambda f, top: f.clear(), "holds 0 runs"),
        (lambda f, top: f.update({f"{top}/config.json": b"[" * 9999}), "not valid JSON"),
        (rename("polyp_unet", "no_such_paper"), "no paper of this project"),
        (rename(NAME, "another"), "another name"),
        (setting(profile="none"), "config.json"),
        (setting(seed="x"), "config.json"),
        (setting(epochs=[None]), "config.json"),
        (setting(batch_size=-1), "batch-size"),
        (setting(strange=1), "no setting of this paper"),
        (lambda f, top: f.update({f"{top}/split.json": b"[]"}), "split.json"),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(served, tmp_path, capsys, change, told):
    packed, _ = served
    checksum = repack(packed.path, change)
    with pytest.raises(SystemExit) as stopped:
        fetch(serve(packed.path), checksum, tmp_path / "runs")
    err = capsys.readouterr().err
    [line] = [line for line in err.splitlines() if line.startswith("error:")]
    assert stopped.value.code == 2 and told in line and ".partial-" not in line
    assert nothing_there(tmp_path / "runs")


def test_weights_that_are_not_finite_are_refused(run, tmp_path, capsys):
    weights(run, np.float32([1, np.nan]))
    with pytest.raises(InputError, match="not finite"):
        deposits.pack(run, "polyp_unet", "card", tmp_path / "deposit")


def test_another_run_of_the_name_stays(run, served, tmp_path, capsys):
    packed, server = served
    there = tmp_path / "runs/polyp_unet" / NAME
    there.mkdir(parents=True)
    (there / "predictions.json").write_text("{}")
    with pytest.raises(SystemExit):
        fetch(server, packed.checksum, tmp_path / "runs")
    assert "another run is there" in capsys.readouterr().err
    assert [p.name for p in there.iterdir()] == ["predictions.json"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ftp://x/y.zip", "--checksum", "md5:" + "0" * 32], "expected https"),
        (["https://x/y.zip"], "give its --checksum"),
        (["https://x/y.zip", "--checksum", "md5:12"], "in hex digits"),
        (["doi:nonsense"], "expected doi:<DOI>/<file>"),
        (["file:///etc/passwd", "--checksum", "md5:" + "0" * 32], "expected https"),
    ],
)
def test_an_address_that_is_none_is_one_line(capsys, words, told):
    with pytest.raises(SystemExit) as stopped:
        command.main(["fetch-run", *words])
    err = capsys.readouterr().err
    assert stopped.value.code == 2 and told in err and err.count("\n") == 1


class Record:
    """A record of a DOI, as pooch knows it."""

    def download_url(self, name):
        if name != "run.zip":
            raise ValueError(f"File '{name}' not found")
        return "https://zenodo.org/records/1/files/run.zip?download=1"

    def populate_registry(self, registry):
        registry.registry["run.zip"] = "md5:" + "a" * 32


def test_a_doi_gives_address_and_checksum(monkeypatch):
    from pooch import downloaders

    monkeypatch.setattr(downloaders, "doi_to_repository", lambda doi, **_: Record())
    found = deposits.resolve("doi:10.5281/zenodo.1/run.zip", None)
    assert found.address.endswith("run.zip?download=1") and found.checksum == "md5:" + "a" * 32
    with pytest.raises(InputError, match=r"doi:10\.5281/zenodo\.1: File 'no\.zip' not found"):
        deposits.resolve("doi:10.5281/zenodo.1/no.zip", None)
