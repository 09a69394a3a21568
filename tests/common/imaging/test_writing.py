from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from common.imaging.writing import write_png

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
