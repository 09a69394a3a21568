"""Synthetic colonoscopy, as a folder and as MedSegBench packs it."""

import cv2
import numpy as np
import pytest

from common.datasets.manifests import load_manifest, verify
from common.imaging.masks import read_pair
from reproductions.polyp_unet import phantom as polyp_phantom


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


def test_colonoscopy_as_medsegbench_packs_it(colons):
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
