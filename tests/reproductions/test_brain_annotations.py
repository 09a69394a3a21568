"""Annotations as versions of VIA, and editors of text, save them."""

import json

import numpy as np
import pytest

from common.errors import InputError
from reproductions.brain_tumour_mask_rcnn import annotation_files

X, Y = [10, 20, 30], [5, 25, 5]
REGION = {
    "shape_attributes": {"name": "polygon", "all_points_x": X, "all_points_y": Y},
    "region_attributes": {},
}
SECOND = {
    "shape_attributes": {"name": "polygon", "all_points_x": Y, "all_points_y": X},
    "region_attributes": {},
}


def entry(name, regions):
    return {"filename": name, "size": 9, "regions": regions, "file_attributes": {}}


VIA_2 = {"1.jpg9": entry("1.jpg", [REGION, SECOND]), "2.jpg9": entry("2.jpg", [])}
VIA_1 = {
    "1.jpg9": {**entry("1.jpg", {"0": REGION, "1": SECOND}), "fileref": "", "base64_img_data": ""},
    "2.jpg9": {**entry("2.jpg", {}), "fileref": "", "base64_img_data": ""},
}
PROJECT = {
    "_via_settings": {"ui": {}, "core": {}, "project": {"name": "brain"}},
    "_via_img_metadata": VIA_2,
    "_via_attributes": {"region": {}, "file": {}},
    "_via_data_format_version": "2.0.10",
    "_via_image_id_list": ["1.jpg9", "2.jpg9"],
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("saved", [VIA_2, VIA_1, PROJECT], ids=["VIA 2", "VIA 1", "project"])
def test_exports_and_projects_of_both_versions_are_read_alike(tmp_path, saved, encoding):
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(saved), encoding=encoding)
    found = annotation_files.read(path)
    assert list(found) == ["1.jpg", "2.jpg"] and found["2.jpg"] == []
    np.testing.assert_array_equal(found["1.jpg"][0], np.stack([Y, X], axis=1))
    np.testing.assert_array_equal(found["1.jpg"][1], np.stack([X, Y], axis=1))


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        ({"images": [], "annotations": [], "categories": []}, "COCO"),
        ({"project": {}, "config": {}, "attribute": {}, "file": {}, "metadata": {}}, "VIA 3"),
        ({"version": "5.0.1", "shapes": [], "imagePath": "1.jpg"}, "labelme"),
        ({"_via_img_metadata": []}, "expected an object of VIA entries"),
        ([VIA_2], "expected an object of VIA entries"),
        ({"1.jpg9": entry("1.jpg", "none")}, "region 0"),
        ({"1.jpg9": entry("1.jpg", 7)}, "`regions`"),
        ({"1.jpg9": entry("1.jpg", [7])}, "region 0"),
        ({"1.jpg9": entry("1.jpg", {"0": {"shape_attributes": {"name": "circle"}}})}, "circle"),
        ({"a": entry("1.jpg", []), "b": entry("1.jpg", [])}, "got two for 1.jpg"),
        ({"a": entry(7, [])}, "expected text as `filename`"),
    ],
)
def test_other_annotations_are_named_by_what_they_are(tmp_path, saved, words):
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(saved))
    with pytest.raises(InputError) as caught:
        annotation_files.read(path)
    assert str(caught.value).startswith(f"{path}: ") and words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_no_text_is_printed_all_the_same(tmp_path):
    path = tmp_path / "annotations.json"
    path.write_text('{"a": {"filename": "x\\udcfe\\n.jpg", "regions": [7]}}')
    with pytest.raises(InputError) as caught:
        annotation_files.read(path)
    str(caught.value).encode()
    assert "\n" not in str(caught.value)
