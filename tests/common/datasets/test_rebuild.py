"""Data sets made from published ones, tried on drawn images."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from common.datasets import manifests, rebuild
from common.errors import InputError
from common.imaging.masks import read_mask
from common.imaging.reading import read_rgb

SIZES = ((622, 529), (700, 400), (512, 600))


def draw(number, size):
    """An image of coloured blots and its mask, the same at every size."""
    rng = np.random.default_rng(number)
    image, mask = Image.new("RGB", (1024, 1024)), Image.new("L", (1024, 1024))
    for blot in range(12):
        x, y = rng.integers(0, 900, 2)
        box = (x, y, x + rng.integers(100, 500), y + rng.integers(100, 500))
        ImageDraw.Draw(image).ellipse(box, tuple(int(c) for c in rng.integers(0, 256, 3)))
        if blot == 11:
            ImageDraw.Draw(mask).ellipse(box, 255)
    return image.resize(size), mask.resize(size)


@pytest.fixture
def kvasir(tmp_path):
    """A source of 12 images with names of their own, and a list of 5 of them made otherwise."""
    folder = tmp_path / "source/Kvasir-SEG"
    lines = ["id,hash,mask_pixels"]
    for number in range(12):
        name = f"cju{(7 * number) % 12:02}.jpg"
        image, mask = draw(number, SIZES[number % 3])
        for kind, picture in (("images", image), ("masks", mask)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            picture.save(folder / kind / name, quality=85)
        if number in (3, 4, 7, 8, 11):
            small = image.resize((256, 256), Image.LANCZOS)
            hash_, _ = rebuild.describe(small, np.zeros(1))
            pixels = int((np.asarray(mask.resize((256, 256), Image.NEAREST)) > 127).sum())
            lines.append(f"{number:04},{hash_},{pixels}")
    (tmp_path / "kvasir_standin.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_images_are_recognised_by_how_they_look(kvasir):
    rebuild.kvasir_standin(kvasir / "source", kvasir / "made", kvasir)
    names = sorted(path.name for path in (kvasir / "made/images").iterdir())
    assert names == ["0003.jpg", "0004.jpg", "0007.jpg", "0008.jpg", "0011.jpg"]
    for name in names:
        image, mask = draw(int(name[:4]), (256, 256))
        made = read_rgb(kvasir / "made/images" / name)
        assert made.shape == (256, 256, 3)
        assert abs(made.astype(int) - np.asarray(image)).mean() < 8
        kept = read_mask(kvasir / "made/masks" / f"{name[:4]}.png")
        assert (kept != (np.asarray(mask) > 127)).mean() < 0.02


def test_an_image_that_is_not_among_them_is_named(kvasir):
    image, mask = draw(99, (600, 500))
    for path in sorted((kvasir / "source/Kvasir-SEG/images").iterdir()):
        if rebuild.describe(*rebuild._resized(path))[0] == _listed_hash(kvasir, "0007"):
            image.save(path)
            mask.save(kvasir / "source/Kvasir-SEG/masks" / path.name)
    with pytest.raises(InputError, match="1 of 5 images of the list .* the first is 0007"):
        rebuild.kvasir_standin(kvasir / "source", kvasir / "made", kvasir)


def _listed_hash(folder, wanted):
    rows = [line.split(",") for line in (folder / "kvasir_standin.csv").read_text().splitlines()]
    return next(row[1] for row in rows if row[0] == wanted)


def test_thirty_slides_become_jpeg_of_the_same_size(tmp_path):
    folder = tmp_path / "source/BreCaHAD"
    for kind in ("images", "groundTruth"):
        (folder / kind).mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    for name in ("Case_1-01", "Case_10-03", "Case_11-07"):
        Image.fromarray(pixels).save(folder / "images" / f"{name}.tif")
        (folder / f"groundTruth/{name}.json").write_text(json.dumps({"tumor": [], "name": name}))
    (tmp_path / "brecahad_30.csv").write_text("id\nCase_10-03\nCase_11-07\n")
    rebuild.brecahad_30(tmp_path / "source", tmp_path / "made", tmp_path)
    made = sorted(path.name for path in (tmp_path / "made/images").iterdir())
    assert made == ["Case_10-03.jpg", "Case_11-07.jpg"]
    assert read_rgb(tmp_path / "made/images/Case_10-03.jpg").shape == (48, 64, 3)
    kept = tmp_path / "made/groundTruth/Case_1-01.json"
    assert json.loads(kept.read_text()) == {"tumor": [], "name": "Case_1-01"}
    (folder / "images/Case_11-07.tif").unlink()
    with pytest.raises(InputError, match=r"Case_11-07\.tif"):
        rebuild.brecahad_30(tmp_path / "source", tmp_path / "made", tmp_path)


@pytest.mark.parametrize("name", ["kvasir_standin", "brecahad_30"])
def test_the_lists_of_the_project_are_as_long_as_the_manifests_say(name):
    rows = list(rebuild._rows(manifests.MANIFESTS / f"{name}.csv"))
    manifest = manifests.load_manifest(name)
    assert len({row["id"] for row in rows}) == len(rows) == manifest.expect[manifest.images]
    assert manifest.rebuild in rebuild.PROCEDURES


def test_the_list_describes_the_copy_in_use():
    root = os.environ.get("DATA_ROOT")
    folder = Path(root or ".", "polyp/kvasir_256")
    if not folder.is_dir():
        pytest.skip("DATA_ROOT is not set to a folder that holds polyp/kvasir_256")
    for listed in list(rebuild._read_list(manifests.MANIFESTS / "kvasir_standin.csv"))[::25]:
        image = Image.fromarray(read_rgb(folder / f"images/{listed.id}.jpg"))
        mask = read_mask(folder / f"masks/{listed.id}.png")
        assert rebuild.describe(image, mask) == (listed.hash, listed.mask_pixels)
