from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from common.imaging import tiling
from common.imaging.writing import write_png, write_tiff

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
MASK = np.random.default_rng(1).random((5, 7)) > 0.5


@pytest.mark.parametrize("array", [RGB, RGB[..., 0], np.dstack([RGB, RGB[..., 0]]), MASK])
def test_write_png_round_trip(tmp_path, array):
    path = tmp_path / "new" / "a.png"
    write_png(path, array)
    written = np.array(Image.open(path))
    np.testing.assert_array_equal(written, array * np.uint8(255) if array.dtype == bool else array)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "shape, dtype", [((4, 4), float), ((4, 4, 2), np.uint8), ((4,), np.uint8), ((0, 4), np.uint8)]
)
def test_write_png_refuses_other_arrays(tmp_path, shape, dtype):
    with pytest.raises(ValueError, match="got"):
        write_png(tmp_path / "a.png", np.zeros(shape, dtype))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(1, 1), (16, 32), (40, 33, 3)])
def test_tiff_written_tile_by_tile_holds_the_image(tmp_path, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    write_tiff(tmp_path / "a.tif", shape, iter(tiling.split(image, 16)))
    assert tifffile.TiffFile(tmp_path / "a.tif").pages[0].is_tiled
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif").reshape(shape), image)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize(("side", "large"), [(256, False), (37_888, False), (65_792, True)])
def test_a_tiff_whose_offsets_may_not_fit_is_written_in_the_large_layout(
    tmp_path, monkeypatch, side, large
):
    asked = []
    monkeypatch.setattr(
        tifffile, "imwrite", lambda path, tiles, **options: asked.append(options["bigtiff"])
    )
    write_tiff(tmp_path / "a.tif", (side, side), [np.zeros((256, 256), np.uint8)])
    assert asked == [large]
