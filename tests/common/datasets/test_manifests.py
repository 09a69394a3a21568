from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from web_server import Server, send

from common.datasets import archives, downloads, manifests, rebuild
from common.datasets.manifests import find, find_first, load_manifest, matching, verify
from common.errors import InputError
from common.files import PROJECT
from common.imaging.masks import read_mask
from common.imaging.reading import read_rgb
from common.imaging.writing import write_png
from reproductions.tnbc_linknet import phantom as tnbc_phantom

NAMES = sorted(path.stem for path in manifests.MANIFESTS.glob("*.yaml"))
WRAPPER = "TNBC_NucleiSegmentation"
NEEDED = ("name", "title", "citation", "licence", "homepage", "archives", "folder", "expect")
KEYS = (*NEEDED, "layouts", "images")


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr(downloads, "FIRST_DELAY", 0)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "tnbc"
    tnbc_phantom.write(folder, patients=2, images_per_patient=2, size=32)
    return folder


@pytest.fixture(scope="module")
def archive(phantom):
    """A zip file like the published one: everything in one folder, with what macOS adds."""
    path = phantom.with_name("archive.zip")
    with zipfile.ZipFile(path, "w") as zipped:
        for file in sorted(phantom.rglob("*.*")):
            zipped.write(file, f"{WRAPPER}/{file.relative_to(phantom).as_posix()}")
        zipped.writestr(f"__MACOSX/{WRAPPER}/Slide_01/._01_1.png", b"junk")
        zipped.writestr(f"{WRAPPER}/.DS_Store", b"junk")
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project folder; the function writes its manifest of tnbc with other addresses."""
    monkeypatch.setattr(manifests, "MANIFESTS", tmp_path / "data_manifests")
    monkeypatch.setattr(manifests, "DATA", tmp_path / "data")
    published = yaml.safe_load((PROJECT / "data_manifests/tnbc.yaml").read_text(encoding="utf-8"))

    def write(*archives, **changes):
        raw = {**published, "archives": list(archives), **changes}
        (tmp_path / "data_manifests").mkdir(exist_ok=True)
        (tmp_path / "data_manifests/tnbc.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
        return tmp_path / "data"

    return write


@pytest.fixture
def server(archive):
    """A local web server: /good/ sends the archive, /other/ a web page, /firewall/ a 202 alone."""
    whole = archive.read_bytes()

    def answer(handler):
        kind = handler.path.split("/")[1]
        body = {"good": whole, "other": b"<html>log in first</html>"}.get(kind, b"")
        send(handler, body, {"firewall": 202, "missing": 404}.get(kind, 200))

    running = Server(answer)
    yield running
    running.shutdown()


def entry(address: str, kind: str, archive: Path, algorithm: str = "sha256") -> dict:
    checksum = hashlib.new(algorithm, archive.read_bytes()).hexdigest()
    return {"url": f"{address}/{kind}/TNBC.zip", "checksum": f"{algorithm}:{checksum}"}


def content(folder: Path) -> list:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def failure(*arguments, **options) -> str:
    with pytest.raises(InputError) as caught:
        find("tnbc", *arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Finding and downloading


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_downloads_verifies_and_unpacks_once(project, server, archive, phantom, algorithm, capsys):
    data = project(entry(server.address, "good", archive, algorithm))
    found = find("tnbc")
    assert found.folder == data / "tnbc"
    assert found.fingerprint == verify(load_manifest("tnbc"), phantom).fingerprint
    assert content(found.folder) == ["GT_01", "GT_02", "PHANTOM.json", "Slide_01", "Slide_02"]
    assert content(data) == ["tnbc"]
    assert find("tnbc") == found
    assert server.paths == ["/good/TNBC.zip"]
    assert "100%" in capsys.readouterr().err


def test_no_server(project, archive):
    data = project(entry("http://127.0.0.1:9", "good", archive))
    assert "http://127.0.0.1:9/good/TNBC.zip (ConnectionError)" in failure()
    assert content(data) == []


@pytest.mark.parametrize("kind", ["missing", "firewall", "other"])
def test_the_second_address_is_tried_when_the_first_fails(project, server, archive, kind):
    """Sends 404, or 202 and nothing, or something else where no checksum is known."""
    first = entry(server.address, kind, archive)
    if kind == "other":
        del first["checksum"]
    project(first, entry(server.address, "good", archive))
    assert find("tnbc").synthetic
    assert server.paths == [f"/{kind}/TNBC.zip", "/good/TNBC.zip"]


def test_a_fingerprint_of_the_content_stands_in_for_a_checksum(project, server, phantom):
    project()
    fingerprint = verify(load_manifest("tnbc"), phantom).fingerprint
    address = {"url": f"{server.address}/good/TNBC.zip"}
    data = project(address, fingerprint="0123456789abcdef")
    assert f"fingerprint {fingerprint}, expected 0123456789abcdef" in failure()
    assert content(data) == []
    project(address, fingerprint=fingerprint)
    assert find("tnbc").fingerprint == fingerprint


def test_two_runs_at_once_download_once(project, server, archive):
    project(entry(server.address, "good", archive))
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: find("tnbc"), range(4)))) == 1
    assert server.paths == ["/good/TNBC.zip"]


def test_downloading_can_be_switched_off(project, server, archive):
    project(entry(server.address, "good", archive))
    assert "make demo" in failure(download=False)
    assert server.paths == []


def test_a_hand_placed_archive_is_used(project, archive):
    data = project(entry("http://127.0.0.1:9", "good", archive))
    data.mkdir()
    shutil.copy(archive, data / "TNBC.zip")
    assert find("tnbc").folder == data / "tnbc"
    assert content(data) == ["TNBC.zip", "tnbc"]


def test_a_damaged_hand_placed_archive_is_refused(project, archive):
    data = project(entry("http://127.0.0.1:9", "good", archive))
    data.mkdir()
    (data / "TNBC.zip").write_bytes(archive.read_bytes()[:-10])
    message = failure()
    assert str(data / "TNBC.zip") in message
    assert "checksum" in message
    assert content(data) == ["TNBC.zip"]


def test_what_a_killed_run_left_is_cleared_away(project, server, archive):
    data = project(entry(server.address, "good", archive))
    (data / ".partial-tnbc/unpacked/TNBC_NucleiSegmentation/Slide_09").mkdir(parents=True)
    assert find("tnbc").synthetic
    assert content(data) == ["tnbc"]
    assert not (data / "tnbc/Slide_09").exists()


def test_a_full_disk_leaves_nothing(project, server, archive, monkeypatch):
    def full(source, copy):
        copy.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    data = project(entry(server.address, "good", archive))
    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        find("tnbc")
    assert content(data) == []


def test_an_archive_of_something_else_is_refused(project, tmp_path):
    data = project({"url": "http://127.0.0.1:9/TNBC.zip"})
    data.mkdir()
    with zipfile.ZipFile(data / "TNBC.zip", "w") as zipped:
        zipped.writestr("Slide_01/01_1.png", b"")
    assert "TNBC.zip is not the expected archive" in failure()
    with zipfile.ZipFile(data / "TNBC.zip", "w") as zipped:
        zipped.writestr("../evil", b"")
    assert "'../evil'" in failure()
    assert content(data) == ["TNBC.zip"]
    assert not (tmp_path / "evil").exists()


@pytest.fixture
def kept(project, server, archive):
    """A project whose data set is the file itself; the folder `data`."""
    entries = {**entry(server.address, "good", archive), "keep": True}
    data = project(entries, images="TNBC.zip", expect={"TNBC.zip": 1})
    path = data.parent / "data_manifests/tnbc.yaml"
    raw = yaml.safe_load(path.read_text())
    del raw["image_size"]
    path.write_text(yaml.safe_dump(raw))
    return data


def test_an_archive_to_keep_is_not_unpacked(kept, archive):
    found = find("tnbc")
    assert (found.folder, found.synthetic) == (kept / "tnbc", False)
    assert content(found.folder) == ["TNBC.zip"]
    assert (found.folder / "TNBC.zip").read_bytes() == archive.read_bytes()
    assert find("tnbc") == find("tnbc", kept) == found


def test_a_kept_archive_is_checked_wherever_it_lies(kept, archive):
    (kept / "tnbc").mkdir(parents=True)
    path = kept / "tnbc/TNBC.zip"
    path.write_bytes(archive.read_bytes()[:-10])
    for arguments in ((), (kept,)):
        assert (
            f"{path}: {path.stat().st_size} bytes with another checksum than expected, sha256:"
            in failure(*arguments)
        )
    (kept / "tnbc/PHANTOM.json").write_text(
        '{"expect": {"TNBC.zip": 1}}'
    )  # synthetic data have no published checksum
    assert find("tnbc").synthetic


def test_data_without_an_address_are_asked_for(project):
    data = project()
    message = failure()
    assert (
        f"not in {data / 'tnbc'}; get it from https://zenodo.org/records/2579118 and put "
        "its content into" in message
    )
    assert "DATA_ROOT" in message
    assert content(data) == []


def test_a_data_set_is_made_from_the_archive_of_another(project, server, archive, monkeypatch):
    def procedure(source, target, lists):
        assert lists == manifests.MANIFESTS
        shutil.copytree(source / WRAPPER, target)
        (target / "PHANTOM.json").unlink()

    monkeypatch.setitem(rebuild.PROCEDURES, "copied", procedure)
    few = {"Slide_*": 2, "Slide_*/*.png": 4}
    changes = {"rebuild": "copied", "rebuilt_title": "TNBC again", "expect": few}
    data = project(entry(server.address, "good", archive), **changes, image_size=[32, 32])
    found = find("tnbc")
    assert (found.title, found.folder, found.synthetic) == ("TNBC again", data / "tnbc", False)
    assert find("tnbc") == found and content(data) == ["tnbc"]
    shutil.rmtree(data)
    project(entry(server.address, "good", archive), **{**changes, "rebuild": "unheard_of"})
    assert "`rebuild` must be one of kvasir_standin, brecahad_30, copied" in failure()


# A local copy


def test_the_first_data_set_of_several_that_is_there(phantom, tmp_path):
    assert find_first(["busi", "tnbc"], phantom.parent).name == "tnbc"
    assert find_first(["tnbc", "busi"], phantom.parent).name == "tnbc"
    with pytest.raises(InputError, match=r"busi: no such folder"):
        find_first(["busi", "tnbc"], tmp_path)


def test_of_two_data_sets_in_one_folder_the_images_decide(tmp_path):
    for suffix, name in (
        ("jpg", "brecahad_30"),
        ("tif", "brecahad"),
    ):  # once both are there, the first
        path = tmp_path / f"brecahad/images/Case_1-01.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with pytest.raises(
            InputError, match=rf"expected {re.escape(load_manifest(name).title)}, found 1 of"
        ):
            find_first(["brecahad", "brecahad_30"], tmp_path)


def test_a_data_root_is_the_only_place_searched(project, server, archive, phantom, tmp_path):
    project(entry(server.address, "good", archive))
    assert find("tnbc", phantom.parent).folder == phantom
    assert find("tnbc", str(phantom.parent)).folder == phantom
    message = failure(tmp_path)
    assert f"{tmp_path / 'tnbc'}: no such folder" in message
    assert "50 Slide_*/*.png" in message
    assert server.paths == []


def test_a_copy_may_lie_in_the_folder_of_its_archive(phantom, tmp_path):
    shutil.copytree(phantom, tmp_path / "tnbc" / WRAPPER)
    assert find("tnbc", tmp_path).folder == tmp_path / "tnbc" / WRAPPER


@pytest.fixture
def copy(phantom, tmp_path):
    return Path(shutil.copytree(phantom, tmp_path / "tnbc"))


def test_missing_files_are_counted(copy):
    shutil.rmtree(copy / "GT_02")
    message = failure(copy.parent)
    assert str(copy) in message
    assert "2 of 4 GT_*/*.png" in message
    assert "Slide_" not in message.split("found")[1]


def test_the_manifest_counts_where_no_phantom_does(copy):
    (copy / "PHANTOM.json").unlink()
    assert "2 of 11 Slide_*, 4 of 50 Slide_*/*.png, 4 of 50 GT_*/*.png" in failure(copy.parent)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"expect": 3}', "\xff"])
def test_a_broken_phantom_description(copy, text):
    (copy / "PHANTOM.json").write_text(text, encoding="latin-1")
    assert str(copy / "PHANTOM.json") in failure(copy.parent)


def test_images_of_another_size_or_none(copy):
    path = copy / "Slide_01/01_2.png"
    write_png(path, np.zeros((32, 31), np.uint8))
    assert f"{path}: expected an image of 32x32, got 31x32" in failure(copy.parent)
    path.write_bytes(b"")
    assert f"{path}: not an image" in failure(copy.parent)


def test_hidden_files_do_not_count(copy):
    before = find("tnbc", copy.parent)
    (copy / "Slide_01/._01_1.png").write_bytes(b"junk")
    (copy / ".Slide_03").mkdir()
    assert find("tnbc", copy.parent) == before
    shown = ["GT_01", "GT_02", "PHANTOM.json", "Slide_01", "Slide_02"]
    assert [path.name for path in matching(copy, "*")] == shown


def test_the_fingerprint_is_that_of_sha256sum(copy):
    before = find("tnbc", copy.parent).fingerprint
    assert re.fullmatch("[0-9a-f]{16}", before)
    shell = "find Slide_* GT_* -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c 1-16"
    if shutil.which("sha256sum"):
        assert subprocess.check_output(shell, shell=True, cwd=copy, text=True).strip() == before
    (copy / "note.txt").write_text("not part of the data")
    assert find("tnbc", copy.parent).fingerprint == before
    (copy / "GT_01/01_1.png").rename(copy / "GT_01/01_9.png")
    renamed = find("tnbc", copy.parent).fingerprint
    write_png(copy / "GT_01/01_9.png", np.zeros((32, 32), bool))
    assert len({before, renamed, find("tnbc", copy.parent).fingerprint}) == 3


# Manifests


@pytest.mark.parametrize("name", NAMES)
def test_manifests_of_the_project(name):
    manifest = load_manifest(name)
    assert manifest.name == name
    assert manifest.licence
    assert manifest.citation
    assert manifest.homepage.startswith("https://")
    assert not Path(manifest.folder).is_absolute()
    for archive in manifest.archives:
        assert archive.url.startswith("https://")
        assert archive.checksum is None or re.fullmatch(
            "md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", archive.checksum
        )


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"title": None}, "`title` must be a str"),
        ({"licence": ["CC0"]}, "`licence`"),
        ({"expect": {"Slide_*/*.png": "many"}}, "`expect`"),
        ({"images": "*.tif"}, "`images`"),
        ({"colour": "red"}, "unknown key `colour`"),
        ({"archives": [{"checksum": "md5:0"}]}, "`url` is missing"),
        ({"archives": ["https://example.org"]}, "expected the keys url"),
        ({"archives": [{"url": "file:///etc/passwd"}]}, "`url` must be an address"),
        ({"archives": [{"url": "https://example.org/.."}]}, "must end in the name of a file"),
        ({"archives": [{"url": "https://example.org/a", "size": True}]}, "`size` must be a int"),
        ({"archives": [{"url": "https://example.org/a", "size": -1}]}, "`size` must be a number"),
        ({"archives": [{"url": "https://example.org/a", "checksum": "md5:0"}]}, "`checksum`"),
        ({"folder": "../elsewhere"}, "`folder` must be names of folders"),
        ({"folder": "/etc"}, "`folder`"),
        ({"layouts": ["a/../../b"]}, "`layouts`"),
        ({"other_folders": [""]}, "`other_folders`"),
        ({"expect": {"../*": 1, "Slide_*/*.png": 50}}, "`expect`"),
        ({"expect": {"Slide_*/*.png": True}}, "`expect`"),
        ({"expect": {"Slide_*/*.png": -1}}, "`expect`"),
        ({"image_size": [512, 0]}, "`image_size`"),
        ({"image_size": [512, True]}, "`image_size`"),
        ({"fingerprint": "abc"}, "`fingerprint` must be 16 hex digits"),
        ({"name": "busi"}, "`name` must be that of the file"),
    ],
)
def test_a_wrong_key_is_named(project, changes, words):
    project(**changes)
    message = failure()
    assert words in message
    assert "tnbc.yaml" in message


@pytest.mark.parametrize("key", NEEDED)
def test_a_missing_key_is_named(project, key):
    path = project().parent / "data_manifests/tnbc.yaml"
    raw = yaml.safe_load(path.read_text())
    del raw[key]
    path.write_text(yaml.safe_dump(raw))
    assert f"{path}: the key `{key}` is missing" in failure()


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["*.png", "a/*"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from([*KEYS, "image_size", "colour"]), values, max_size=3),
    st.sets(st.sampled_from(KEYS)),
)
def test_a_manifest_is_read_as_its_types_say_or_refused_in_one_line(changes, absent):
    raw = yaml.safe_load((PROJECT / "data_manifests/tnbc.yaml").read_text(encoding="utf-8"))
    raw = {key: value for key, value in {**raw, **changes}.items() if key not in absent}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifests, "MANIFESTS", Path(folder))
        Path(folder, "tnbc.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
        try:
            manifest = load_manifest("tnbc")
        except InputError as error:
            assert "tnbc.yaml" in str(error) and "\n" not in str(error)
            return
    assert not absent and "colour" not in changes
    for key in KEYS:
        stored = getattr(manifest, key)
        assert (
            key == "archives" or (list(stored) if isinstance(stored, tuple) else stored) == raw[key]
        )
    assert manifest.images in manifest.expect and all(
        isinstance(pattern, str) for pattern in manifest.expect
    )
    assert manifest.image_size is None or [type(side) for side in manifest.image_size] == [int, int]


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))
def test_files_are_accepted_exactly_if_they_are_as_many_as_expected(wanted, there, hidden):
    manifest = dataclasses.replace(
        load_manifest("tnbc"), images="*.png", expect={"*.png": wanted}, image_size=None
    )
    with tempfile.TemporaryDirectory() as folder:
        for number in range(there):
            Path(folder, f"{number}.png").write_bytes(bytes([number]))
        for number in range(hidden):
            Path(folder, f"._{number}.png").touch()
        if there == wanted:
            assert verify(manifest, Path(folder)).folder == Path(folder)
        else:
            with pytest.raises(InputError, match=rf"found {there} of {wanted} \*\.png"):
                verify(manifest, Path(folder))


@given(values)
def test_any_description_of_phantoms_is_read_or_refused_in_one_line(description):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "PHANTOM.json").write_text(json.dumps(description), encoding="utf-8")
        with pytest.raises(
            InputError
        ) as caught:  # even where it is one: nothing else is in the folder
            verify(load_manifest("tnbc"), Path(folder))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../tnbc", "", "a" * 300, "tnbc\0", "/etc/passwd"])
def test_a_name_that_is_a_path_is_no_manifest(project, name):
    project()
    with pytest.raises(InputError, match="no such manifest"):
        load_manifest(name)


def test_an_unknown_name_lists_the_known_ones(project):
    project()
    with pytest.raises(InputError, match="expected one of: tnbc"):
        load_manifest("tcga")


# Command line


def test_command_line_tells_what_the_data_are(phantom, capsys):
    manifests.main(["tnbc", "--data-root", str(phantom.parent)])
    printed = capsys.readouterr().out
    for part in (
        str(phantom),
        "found        4 Slide_*/*.png",
        verify(load_manifest("tnbc"), phantom).fingerprint,
        "synthetic",
    ):
        assert part in printed
    assert "CC BY" not in printed  # the licence is that of the real data


def test_without_a_name_all_data_sets_are_listed_with_their_addresses(phantom, capsys):
    manifests.main(["--data-root", str(phantom.parent)])
    printed = capsys.readouterr().out
    for name in NAMES:
        assert f"\n{name}: {load_manifest(name).title}" in f"\n{printed}"
    assert f"here       {phantom}, 9 files, " in printed
    assert f"not here   {phantom.parent / 'busi'}\n" in printed
    assert "published  https://datasets.simula.no/downloads/kvasir-seg.zip (46.2 MB)" in printed


def test_all_are_fetched_and_those_that_cannot_be_had_are_named(project, server, archive, capsys):
    project(entry(server.address, "missing", archive))
    text = (manifests.MANIFESTS / "tnbc.yaml").read_text(encoding="utf-8")
    for name, kind in (("first", "good"), ("third", "good")):
        changed = text.replace("name: tnbc", f"name: {name}").replace("/missing/", f"/{kind}/")
        changed = changed.replace("folder: tnbc", f"folder: {name}")
        (manifests.MANIFESTS / f"{name}.yaml").write_text(changed, encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        manifests.main(["--all"])
    shown = capsys.readouterr()
    assert caught.value.code == 2
    assert [line.split(":")[0] for line in shown.out.splitlines()] == ["first", "third"]
    assert shown.err.splitlines()[-1] == "error: without tnbc, for the reasons above"
    assert content(manifests.DATA) == ["first", "third"]


def test_a_copy_may_lie_in_another_folder(project, phantom, tmp_path):
    project(other_folders=["elsewhere/tnbc"])
    shutil.copytree(phantom, tmp_path / "root/elsewhere/tnbc")
    assert find("tnbc", tmp_path / "root").folder == tmp_path / "root/elsewhere/tnbc"


# The real data


@pytest.fixture(scope="module")
def real():
    root = os.environ.get("DATA_ROOT")
    if not root or not Path(root, "tnbc").is_dir():
        pytest.skip("DATA_ROOT is not set to a folder that holds tnbc")
    return find("tnbc", root)


def test_real_tnbc(real, capsys):
    assert not real.synthetic
    images = matching(real.folder, "Slide_*/*.png")
    assert len(images) == 50
    assert len({path.parent for path in images}) == 11
    for path in images:
        image = read_rgb(path)
        assert image.shape == (512, 512, 3)
        mask = read_mask(real.folder / path.parent.name.replace("Slide", "GT") / path.name)
        assert 0 < mask.mean() < 0.5
        assert image[mask].mean() < image[~mask].mean()
    manifests.main(["tnbc", "--data-root", str(real.folder.parent)])
    assert "CC BY 4.0" in capsys.readouterr().out
