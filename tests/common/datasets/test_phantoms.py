from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from common.datasets import phantoms
from common.datasets.manifests import load_manifest, verify
from common.errors import InputError
from common.imaging.reading import read_mask, read_pair, read_rgb
from reproductions.brain_tumour_mask_rcnn import phantom as brain_phantom
from reproductions.brecahad_slicing import phantom as brecahad_phantom
from reproductions.busi_resnext_unet import phantom as busi_phantom
from reproductions.polyp_unet import phantom as polyp_phantom
from reproductions.tnbc_linknet import phantom as tnbc_phantom


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "tnbc"
    tnbc_phantom.write(folder, patients=3, images_per_patient=3)
    return folder


def pairs(folder):
    for image in sorted(folder.glob("Slide_*/*.png")):
        yield read_pair(image, folder / image.parent.name.replace("Slide", "GT") / image.name)


def test_layout_is_that_of_tnbc(folder):
    slides = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    expected = {
        f"{kind}_{p:02d}/{p:02d}_{n}.png"
        for kind in ("Slide", "GT")
        for p in (1, 2, 3)
        for n in (1, 2, 3)
    }
    assert slides == expected
    assert Image.open(folder / "Slide_02/02_1.png").mode == "RGBA"
    assert Image.open(folder / "Slide_02/02_3.png").mode == "RGB"
    assert Image.open(folder / "GT_02/02_1.png").mode == "L"
    data = verify(load_manifest("tnbc"), folder)
    assert data.synthetic
    assert data.title == "tnbc phantoms (synthetic)"


def test_the_seed_decides(folder, tmp_path):
    manifest = load_manifest("tnbc")
    for seed, same in [(0, True), (1, False)]:
        tnbc_phantom.write(tmp_path / "tnbc", patients=3, images_per_patient=3, seed=seed)
        again = verify(manifest, tmp_path / "tnbc")
        assert (again.fingerprint == verify(manifest, folder).fingerprint) is same
        assert json.loads((again.folder / "PHANTOM.json").read_text())["seed"] == seed


def test_nuclei_stand_out_by_colour(folder):
    dice = []
    for image, mask in pairs(folder):
        assert image.shape == (128, 128, 3)
        assert image[mask].mean(axis=0).argmax() == 2  # nuclei are blue
        assert (image[~mask].mean(axis=0) > image[mask].mean(axis=0) + 15).all()
        threshold, _ = cv2.threshold(image[..., 0], 0, 255, cv2.THRESH_OTSU)
        dark = image[..., 0] <= threshold
        assert (
            cv2.erode((dark & ~mask).astype(np.uint8), np.ones((5, 5))).sum() < 20
        )  # no nucleus without a mask
        dice.append(2 * (dark & mask).sum() / (dark.sum() + mask.sum()))
    assert np.mean(dice) > 0.85


def test_masks_are_like_those_of_tnbc(folder):
    counts, radii = [], []
    for _, mask in pairs(folder):
        assert 0.05 < mask.mean() < 0.6
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        counts.append(count - 1)
        radii.extend(np.sqrt(stats[1:, cv2.CC_STAT_AREA] / np.pi))
    assert min(counts) >= 5
    assert 5 < np.median(radii) < 12


def test_patients_differ_more_than_their_pictures(folder):
    means = np.array([image[~mask].mean(axis=0) for image, mask in pairs(folder)]).reshape(3, 3, 3)
    assert means.mean(axis=1).std(axis=0).sum() > 2 * means.std(axis=1).mean(axis=0).sum()


@pytest.mark.parametrize("size", [32, 200])
def test_other_sizes(tmp_path, size):
    tnbc_phantom.write(
        tmp_path, patients=1, images_per_patient=1, size=size
    )  # an empty folder may be given
    assert read_mask(tmp_path / "GT_01/01_1.png").shape == (size, size)


def test_replaces_phantoms_but_never_data(tmp_path):
    tnbc_phantom.write(tmp_path / "p", patients=2, images_per_patient=1, size=32)
    tnbc_phantom.write(tmp_path / "p", patients=1, images_per_patient=1, size=32)
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == [
        "GT_01",
        "PHANTOM.json",
        "Slide_01",
    ]
    (tmp_path / "p/PHANTOM.json").unlink()
    with pytest.raises(InputError, match="holds data"):
        tnbc_phantom.write(tmp_path / "p", size=32)
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["GT_01", "Slide_01"]


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(phantoms, "write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tnbc_phantom.write(tmp_path / "p", patients=1, images_per_patient=1, size=32)
    assert not list(tmp_path.iterdir())


def test_command_line_makes_a_data_root(tmp_path, capsys):
    phantoms.main([str(tmp_path)])
    assert verify(load_manifest("tnbc"), tmp_path / "tnbc").synthetic
    assert str(tmp_path / "tnbc") in capsys.readouterr().out


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "busi"
    busi_phantom.write(folder, benign=5, malignant=4, normal=2)
    return folder


def test_scans_have_the_layout_of_busi(scans):
    found = {path.relative_to(scans).as_posix() for path in scans.rglob("*.png")}
    names = {
        f"{kind}/{kind} ({n})"
        for kind, count in [("benign", 5), ("malignant", 4), ("normal", 2)]
        for n in range(1, count + 1)
    }
    several = {"benign/benign (1)_mask_1.png", "benign/benign (5)_mask_1.png"}
    assert (
        found
        == {f"{name}.png" for name in names} | {f"{name}_mask.png" for name in names} | several
    )
    assert Image.open(scans / "benign/benign (4).png").mode == "RGB"
    assert Image.open(scans / "benign/benign (3).png").mode == "L"
    data = verify(load_manifest("busi"), scans)
    assert data.synthetic and data.title == "busi phantoms (synthetic)"


def test_lesions_are_dark_and_normal_scans_have_none(scans):
    sizes = set()
    for path in sorted(scans.glob("*/*).png")):
        image, mask = read_pair(path, path.with_name(f"{path.stem}_mask.png"))
        sizes.add(mask.shape)
        assert mask.any() == (path.parent.name != "normal")
        if mask.any():
            around = cv2.dilate(mask.astype(np.uint8), np.ones((25, 25))) > mask
            assert image[mask].mean() < 0.75 * image[around].mean()
            assert 0.01 < mask.mean() < 0.2
    assert len(sizes) > 5 and min(min(size) for size in sizes) < 256 < max(
        max(size) for size in sizes
    )


def test_the_seed_decides_the_scans(scans, tmp_path):
    fingerprint = verify(load_manifest("busi"), scans).fingerprint
    for seed, same in [(0, True), (1, False)]:
        busi_phantom.write(tmp_path / "busi", benign=5, malignant=4, normal=2, seed=seed)
        assert (verify(load_manifest("busi"), tmp_path / "busi").fingerprint == fingerprint) is same


# Colonoscopy


@pytest.fixture(scope="module")
def colons(tmp_path_factory):
    root = tmp_path_factory.mktemp("colons")
    polyp_phantom.write_folder(root / "polyp/kvasir_256", images=12, size=96)
    polyp_phantom.write(root / "polypgen", train=6, val=3, test=5, size=96)
    return root


def test_colonoscopy_as_a_folder(colons):
    data = verify(load_manifest("kvasir_standin"), colons / "polyp/kvasir_256")
    assert (data.synthetic, data.title) == (True, "kvasir_standin phantoms (synthetic)")
    pictures = sorted(data.folder.glob("images/*.jpg"))
    assert len(pictures) == 12
    shares, differences = [], []
    for path in pictures:
        image, mask = read_pair(path, data.folder / "masks" / f"{path.stem}.png")
        assert image.shape == (96, 96, 3)
        assert image[mask].mean(axis=0).argmax() == 0  # mucosa is red
        assert image[0, 0].max() < 20 and not mask[0, 0]  # the field has no corners
        assert cv2.connectedComponents(mask.astype(np.uint8))[0] - 1 == 1
        ring = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))).astype(bool) & ~mask
        shares.append(mask.mean())
        differences.append(np.abs(image[mask].mean(axis=0) - image[ring].mean(axis=0)).max())
    assert 0.01 < min(shares) < 0.1 < max(shares) < 0.4
    assert np.median(differences) > 15  # a polyp can be told from the wall around it


def test_colonoscopy_as_medsegbench_packs_it(colons, tmp_path):
    data = verify(load_manifest("polypgen"), colons / "polypgen")
    assert data.synthetic
    with np.load(data.folder / "polypgen_256.npz", allow_pickle=False) as archive:
        arrays = dict(archive)
    parts = {"train": 6, "val": 3, "test": 5}
    kinds = [f"{kind}{centre}" for kind in ("images", "label") for centre in ("", "_C1", "_C2")]
    assert set(arrays) == {f"{part}_{kind}" for part in parts for kind in kinds}
    for part, count in parts.items():
        assert arrays[f"{part}_images"].shape == (count, 96, 96, 3)
        assert arrays[f"{part}_label"].shape == (count, 96, 96)
        assert len(arrays[f"{part}_images_C1"]) + len(arrays[f"{part}_images_C2"]) == count
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.uint8)}
    assert set(np.unique(arrays["train_label"])) == {0, 1}
    np.testing.assert_array_equal(arrays["test_images"][1], arrays["test_images_C2"][0])
    polyp_phantom.write(tmp_path / "p", train=6, val=3, test=5, size=96)
    assert verify(load_manifest("polypgen"), tmp_path / "p").fingerprint == data.fingerprint


# Brain MR


@pytest.fixture(scope="module")
def brains(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brains") / "brain_mri"
    brain_phantom.write(folder, train=6, val=3, test=4, size=96)
    return folder


def outlined(folder, part):
    """Image and mask of every tumour of a part."""
    for entry in json.loads((folder / part / "annotations.json").read_text()).values():
        image = read_rgb(folder / part / entry["filename"])
        masks = []
        for region in entry["regions"]:
            shape = region["shape_attributes"]
            points = np.stack([shape["all_points_x"], shape["all_points_y"]], axis=-1)
            assert (
                shape["name"] == "polygon"
                and (points >= 0).all()
                and (points < image.shape[1::-1]).all()
            )
            masks.append(
                cv2.fillPoly(np.zeros(image.shape[:2], np.uint8), [points.astype(np.int32)], 1) > 0
            )
        assert entry["size"] == (folder / part / entry["filename"]).stat().st_size
        yield image, masks


def test_brains_have_the_layout_of_brain_tumor_data(brains):
    data = verify(load_manifest("brain_mri"), brains)
    assert data.synthetic and data.title == "brain_mri phantoms (synthetic)"
    numbers = [
        int(path.stem) for part in ("train", "val", "test") for path in brains.glob(f"{part}/*.jpg")
    ]
    assert sorted(numbers) == list(range(13))
    assert Image.open(brains / "train/2.jpg").size == (96, 84) and Image.open(
        brains / "train/3.jpg"
    ).size == (96, 96)


def test_tumours_are_bright_and_inside_of_the_head(brains):
    counts = []
    for part in ("train", "val", "test"):
        for image, masks in outlined(brains, part):
            counts.append(len(masks))
            brain = image[..., 0][image.shape[0] // 4 : -image.shape[0] // 4, 30:-30]
            for mask in masks:
                assert 0.003 < mask.mean() < 0.06
                assert image[mask].mean() > np.median(brain) + 40
    assert set(counts) == {1, 2}


def test_the_first_test_slice_shows_the_last_training_head_again(brains):
    (*_, (last, masks)), (again, outlines) = (
        outlined(brains, "train"),
        next(outlined(brains, "test")),
    )
    assert last.shape == again.shape and not np.array_equal(last, again)
    assert np.corrcoef(last.ravel(), again.ravel())[0, 1] > 0.95
    assert (masks[0] & outlines[0]).sum() > 0.6 * (masks[0] | outlines[0]).sum()
    other = next(outlined(brains, "train"))[0]
    assert np.corrcoef(last.ravel(), other.ravel())[0, 1] < 0.95


def test_the_seed_decides_the_brains(brains, tmp_path):
    fingerprint = verify(load_manifest("brain_mri"), brains).fingerprint
    for seed, same in [(0, True), (1, False)]:
        brain_phantom.write(tmp_path / "b", train=6, val=3, test=4, size=96, seed=seed)
        assert (
            verify(load_manifest("brain_mri"), tmp_path / "b").fingerprint == fingerprint
        ) is same


# Histology


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides") / "brecahad"
    brecahad_phantom.write(folder, cases=2, images_per_case=3, size=(170, 128))
    return folder


def test_histology_has_the_layout_of_brecahad(slides):
    data = verify(load_manifest("brecahad"), slides)
    assert (data.synthetic, data.title) == (True, "brecahad phantoms (synthetic)")
    names = {f"Case_{case}-{number:02d}" for case in (1, 2) for number in (1, 2, 3)}
    assert {path.stem for path in slides.glob("groundTruth/*.json")} == names
    pictures = {path.stem: path.suffix for path in slides.glob("images/*")}
    assert pictures == {name: ".jpg" if name.endswith("3") else ".tif" for name in names}
    assert {Image.open(path).size for path in slides.glob("images/*")} == {(170, 128)}
    classes = ["mitosis", "non_mitosis", "apoptosis", "tumor", "non_tumor", "lumen", "non_lumen"]
    for path in slides.glob("groundTruth/*.json"):
        content = json.loads(path.read_text())
        assert list(content) == classes
        assert len(content["tumor"]) > 5
        assert all(
            0 <= point[axis] <= 1
            for points in content.values()
            for point in points
            for axis in "xy"
        )


def test_centres_lie_on_nuclei(slides):
    depths = []
    for path in sorted(slides.glob("images/*")):
        red = cv2.GaussianBlur(np.asarray(Image.open(path))[..., 0], (0, 0), 2).astype(float)
        content = json.loads((slides / f"groundTruth/{path.stem}.json").read_text())
        for point in content["tumor"] + content["non_tumor"]:
            depths.append(np.median(red) - red[int(point["y"] * 128), int(point["x"] * 170)])
    assert np.mean(np.array(depths) > 0) > 0.8  # nuclei are darker than what is around them


def test_the_first_two_pictures_of_a_case_overlap(slides):
    first, second, third = (
        np.asarray(Image.open(path)).astype(int) for path in sorted(slides.glob("images/Case_1*"))
    )
    np.testing.assert_array_equal(second[:-42, :-42], first[42:, 42:])
    assert np.abs(third - first).mean() > 10


def test_the_seed_decides_the_slides(slides, tmp_path):
    fingerprint = verify(load_manifest("brecahad"), slides).fingerprint
    for seed, same in [(0, True), (1, False)]:
        brecahad_phantom.write(
            tmp_path / "b", cases=2, images_per_case=3, size=(170, 128), seed=seed
        )
        assert (
            verify(load_manifest("brecahad"), tmp_path / "b").fingerprint == fingerprint
        ) is same
