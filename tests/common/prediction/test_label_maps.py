import os

import numpy as np
import pytest
import tifffile
from PIL import Image

from common.errors import InputError
from common.prediction import label_maps

SHAPE = np.zeros((6, 8), np.uint8)
SHAPE[1:3, 2:5], SHAPE[4, 6:] = 1, 2


def test_the_values_of_classes_are_read_whatever_they_are_packed_in(tmp_path):
    painted = Image.fromarray(SHAPE)
    painted.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    painted.save(tmp_path / "palette.png", transparency=0)
    Image.fromarray(np.repeat(SHAPE[..., None], 3, -1)).save(tmp_path / "colours.bmp")
    alpha = np.dstack([SHAPE, SHAPE, SHAPE, np.full_like(SHAPE, 255)])
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    tifffile.imwrite(tmp_path / "deep.TIF", SHAPE.astype(np.int32))
    found = label_maps.find(tmp_path)
    assert set(found) == {"palette", "colours", "alpha", "deep"}
    for path in found.values():
        np.testing.assert_array_equal(label_maps.read(path, 2), SHAPE)
    numbers = (SHAPE * np.uint16(300)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "instances.tif", numbers)
    np.testing.assert_array_equal(label_maps.read(tmp_path / "instances.tif", 1), SHAPE > 0)


@pytest.mark.parametrize("damage", ["pipe", "empty", "cut", "alpha", "greys"])
def test_what_is_no_mask_is_refused_in_one_line(tmp_path, damage):
    path = tmp_path / "a.png"
    Image.fromarray(SHAPE).save(path)
    content = path.read_bytes()
    if damage == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif damage == "alpha":
        Image.fromarray(np.dstack([SHAPE, SHAPE, SHAPE, SHAPE * 100])).save(path)
    elif damage == "greys":
        Image.fromarray(SHAPE * 40).save(path)
    else:
        path.write_bytes(content[: {"empty": 0, "cut": 30}[damage]])
    with pytest.raises(InputError, match="a.png: ") as raised:
        label_maps.read(path, 2)
    assert "object at" not in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (SHAPE * np.float32(0.5), {}, "got 0.0, 0.5"),  # probabilities would all become 0
        (np.where(SHAPE, np.nan, 0), {}, "nan"),
        (-SHAPE.astype(np.int16), {}, "got -2"),
        (SHAPE, {"extratags": [(274, "H", 1, 6, True)]}, "stored turned"),
        (np.stack([SHAPE, SHAPE]), {"photometric": "minisblack"}, "2 pages"),
        (SHAPE > 0, {}, "single bits"),
        (SHAPE, {"photometric": "palette", "colormap": np.full((3, 256), 65535, "H")}, "not black"),
    ],
)
def test_a_mask_that_others_read_otherwise_is_refused(tmp_path, values, options, words):
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    with pytest.raises(InputError, match=words):
        label_maps.read(tmp_path / "a.tif", 1)


def test_numbers_of_a_palette_count_where_colour_0_is_black(tmp_path):
    painted = Image.fromarray(SHAPE)
    painted.putpalette([255, 255, 255, 0, 0, 0, 0, 255, 0])
    painted.save(tmp_path / "a.png")
    with pytest.raises(InputError, match="colour 0 is not black"):
        label_maps.read(tmp_path / "a.png", 2)
    one_page = SHAPE[None]
    colours = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", one_page, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(label_maps.read(tmp_path / "a.tif", 2), SHAPE)


def test_what_systems_leave_in_folders_is_no_mask(tmp_path):
    for name in ("._a.png", "__MACOSX/a.png", "b_mask.png", "b_overlay.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(SHAPE).save(tmp_path / name)
    assert list(label_maps.find(tmp_path)) == ["b"]
