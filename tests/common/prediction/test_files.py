import shutil
import subprocess
from pathlib import Path

import geojson
import numpy as np
import pydicom
import pytest
import shapely.geometry
import tifffile
from PIL import Image
from pycocotools.coco import COCO
from pydicom.data import get_testdata_file

from common.errors import InputError
from common.prediction import dicom_seg, mapped, masks, objects, overlays, qupath
from common.prediction.journal import Journal
from common.prediction.predictor import TargetClass

DARK = TargetClass(1, "dark spot", (255, 80, 64), ("52988006", "Lesion"))
BRIGHT = TargetClass(2, "bright spot", (64, 220, 120), ("52988006", "Lesion"))
CLASSES = (DARK, BRIGHT)


def objects_of(labels):
    levels = np.full((*labels.shape, 2), 200, np.uint8)
    return objects.components(labels, levels, CLASSES, 8)


def test_a_mask_has_values_a_palette_and_a_legend(tmp_path, grey, classes_of):
    labels = classes_of(grey)
    path = masks.write_classes(tmp_path, "a", labels, CLASSES)
    with Image.open(path) as image:
        assert image.mode == "P" and image.text["Description"].startswith("0 background, 1 dark")
        np.testing.assert_array_equal(np.array(image), labels)
        shown = np.array(image.convert("RGB"))
    for target in CLASSES:
        assert (shown[labels == target.value] == target.colour).all()


def test_a_large_mask_is_a_tiled_tiff_with_the_same(tmp_path, grey, classes_of, monkeypatch):
    monkeypatch.setattr(mapped, "LARGE", 1000)
    labels = np.tile(classes_of(grey), (7, 5))
    path = masks.write_classes(tmp_path, "a", labels, CLASSES)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        assert page.is_tiled and page.photometric.name == "PALETTE"
        assert tuple(page.colormap[:, BRIGHT.value] // 257) == BRIGHT.colour
        np.testing.assert_array_equal(page.asarray(), labels)


@pytest.mark.parametrize("shape", [(1, 1), (512, 1024), (600, 513, 3)])
def test_a_tiff_written_tile_by_tile_holds_the_image(tmp_path, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    masks.write_tiled(tmp_path / "a.tif", image, "rgb" if len(shape) == 3 else "minisblack")
    assert tifffile.TiffFile(tmp_path / "a.tif").pages[0].is_tiled
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif").reshape(shape), image)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("size, large", [(512, False), (37_888, False), (66_048, True)])
def test_a_tiff_whose_offsets_may_not_fit_is_written_in_the_large_layout(
    tmp_path, monkeypatch, size, large
):
    asked = []
    monkeypatch.setattr(
        tifffile, "imwrite", lambda path, tiles, **options: asked.append(options["bigtiff"])
    )
    masks.write_tiles(tmp_path / "a.tif", (size, size), np.uint8, iter([]), "minisblack")
    assert asked == [large]


@pytest.mark.parametrize("large", [False, True])
def test_an_overlay_tints_classes_and_carries_its_legend(
    tmp_path, grey, classes_of, monkeypatch, large
):
    if large:
        monkeypatch.setattr(mapped, "LARGE", 1000)
    labels = classes_of(grey)
    path = overlays.write(tmp_path, "a", grey[..., None], labels, CLASSES, "U-Net.", "SMOKE")
    picture = tifffile.imread(path) if large else np.array(Image.open(path))
    height, width = grey.shape
    assert picture.shape[1] == overlays.NARROWEST and picture.shape[0] > height + 20
    same = picture[:height, :width][labels == 0]
    assert (same == grey[labels == 0][:, None]).all()
    tinted = picture[:height, :width][labels == BRIGHT.value]
    expected = np.rint(0.6 * 250 + 0.4 * np.array(BRIGHT.colour, np.float32))
    np.testing.assert_allclose(tinted, np.broadcast_to(expected, tinted.shape), atol=1)
    strip = picture[height:].reshape(-1, 3).tolist()
    for colour in (DARK.colour, BRIGHT.colour, overlays._WARNING):
        assert list(colour) in strip


def test_a_warning_is_drawn_and_no_warning_takes_no_room():
    bare = overlays.legend_strip(300, CLASSES, "U-Net", "")
    stamped = overlays.legend_strip(300, CLASSES, "U-Net", "SMOKE TRAINING " * 5)
    assert len(stamped) > len(bare) and list(overlays._WARNING) not in bare.reshape(-1, 3).tolist()


def test_instances_are_numbered_in_16_or_32_bits(tmp_path):
    numbers = np.arange(12, dtype=np.int32).reshape(3, 4)
    small = masks.write_instances(tmp_path, "a", numbers, 11)
    np.testing.assert_array_equal(np.array(Image.open(small)), numbers)
    large = masks.write_instances(tmp_path, "a", numbers * 10_000, 110_000)
    assert large.suffix == ".tif"
    np.testing.assert_array_equal(tifffile.imread(large), numbers * 10_000)


def test_geojson_is_valid_and_in_the_form_of_qupath(tmp_path, grey, classes_of):
    labels = classes_of(grey)
    found = objects_of(labels)
    qupath.write(tmp_path / "a.geojson", found.objects, CLASSES, "a.png")
    collection = geojson.loads((tmp_path / "a.geojson").read_text())
    assert collection["type"] == "FeatureCollection" and collection.is_valid
    area = {target.name: 0 for target in CLASSES}
    for feature in collection["features"]:
        geometry = shapely.geometry.shape(feature["geometry"])
        assert geometry.is_valid and feature["properties"]["objectType"] == "annotation"
        classification = feature["properties"]["classification"]
        assert classification["color"] in [list(DARK.colour), list(BRIGHT.colour)]
        area[classification["name"]] += geometry.area
    assert area == {one.name: (labels == one.value).sum() for one in CLASSES}
    ids = [feature["id"] for feature in collection["features"]]
    assert len(set(ids)) == len(ids)


def line_of(name, labels):
    found = []
    for one in objects_of(labels).objects:
        entry = objects_entry(one, labels.shape)
        found.append(entry)
    return {
        "name": name,
        "file": f"in/{name}.png",
        "width": labels.shape[1],
        "height": labels.shape[0],
        "grey_levels": "as stored",
        "pixel_area": 0.25,
        "fractions": {one.name: 0.1 for one in CLASSES},
        "objects": found,
        "left_out": "",
        "seconds": 0.1,
    }


def objects_entry(one, shape):
    from common.prediction import coco

    return {"number": one.number, **coco.annotation(one, shape), "centroid": one.centroid}


def test_tables_come_from_the_last_line_of_each_image_that_is_done(tmp_path, grey, classes_of):
    labels = classes_of(grey)
    journal = Journal(tmp_path, CLASSES)
    for name in ("b", "a", "killed"):
        journal.add(line_of(name, labels))
        if name != "killed":
            masks.write_classes(tmp_path, name, labels, CLASSES)
    with journal.path.open("a") as stream:
        stream.write('{"name": "a", "file": ')  # killed while it wrote
    journal.add({**line_of("a", labels), "file": "again.png"})
    journal.write_tables("a network")
    lines = (tmp_path / "objects.csv").read_text().splitlines()
    count = objects_of(labels).count
    assert len(lines) == 1 + 2 * count and "again.png" in lines[1]
    first = dict(zip(lines[0].split(","), lines[1].split(",")))
    assert float(first["area_mm2"]) == 0.25 * float(first["area_px"])
    assert len((tmp_path / "images.csv").read_text().splitlines()) == 3
    coco_file = COCO(str(tmp_path / "coco.json"))
    assert [image["file_name"] for image in coco_file.loadImgs([1, 2])] == ["again.png", "in/b.png"]
    for target in CLASSES:
        parts = coco_file.loadAnns(coco_file.getAnnIds(imgIds=[2], catIds=[target.value]))
        union = np.any([coco_file.annToMask(part) for part in parts], axis=0)
        np.testing.assert_array_equal(union, labels == target.value)


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small.dcm", "693_J2KI.dcm", "JPEG-lossy.dcm", "SC_rgb_jpeg_gdcm.dcm"],
)
def test_dicom_seg_reads_back_as_the_mask_of_its_image(tmp_path, name):
    source = Path(get_testdata_file(name))
    image = pydicom.dcmread(source)
    labels = np.zeros((image.Rows, image.Columns), np.uint8)
    labels[5:20, 5:30], labels[30:40, 10:20] = 1, 2
    dicom_seg.write(tmp_path / "seg.dcm", source, {1: labels}, CLASSES, "U-Net", "Smoke training")
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert seg.Modality == "SEG" and seg.StudyInstanceUID == image.StudyInstanceUID
    series = seg.ReferencedSeriesSequence[0]
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert [one.SegmentLabel for one in seg.SegmentSequence] == [one.name for one in CLASSES]
    for number, frame in enumerate(seg.pixel_array, 1):
        np.testing.assert_array_equal(frame, labels == number)


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy is not installed")
def test_dciodvfy_finds_no_error_in_a_segmentation(tmp_path):
    source = Path(get_testdata_file("CT_small.dcm"))
    labels = np.zeros((128, 128), np.uint8)
    labels[5:20, 5:30] = 1
    dicom_seg.write(tmp_path / "seg.dcm", source, {1: labels}, CLASSES, "U-Net", "Smoke training")
    told = subprocess.run(["dciodvfy", tmp_path / "seg.dcm"], capture_output=True, text=True)
    errors = [line for line in told.stderr.splitlines() if line.startswith("Error")]
    assert "Segmentation" in told.stdout + told.stderr and not errors


def test_what_a_segmentation_cannot_refer_to_is_named(tmp_path):
    image = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    del image.StudyInstanceUID
    image.save_as(tmp_path / "a.dcm")
    labels = np.zeros((image.Rows, image.Columns), np.uint8)
    with pytest.raises(InputError, match="StudyInstanceUID"):
        dicom_seg.write(tmp_path / "seg.dcm", tmp_path / "a.dcm", {1: labels}, CLASSES, "U-Net", "")
    with pytest.raises(InputError, match="turned"):
        dicom_seg.write(
            tmp_path / "seg.dcm",
            Path(get_testdata_file("CT_small.dcm")),
            {1: labels[:50]},
            CLASSES,
            "U-Net",
            "",
        )
    assert not (tmp_path / "seg.dcm").exists()
