import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.imaging import tiling
from common.prediction import bands, mapped
from common.prediction.enlarged import enlarged


def on_tiles(tiles):
    """Two smooth channels, different for every pixel of a tile."""
    ramp = np.linspace(0, 1, tiles.shape[1] * tiles.shape[2], dtype=np.float32)
    ramp = ramp.reshape(1, *tiles.shape[1:3])
    return np.stack([tiles[..., 0] / np.float32(255), ramp + 0 * tiles[..., 1]], axis=-1)


def whole(rows, shape):
    result = np.full(shape, np.nan, np.float32)
    for top, part in rows:
        assert np.isnan(result[top : top + len(part)]).all()
        result[top : top + len(part)] = part
    return result


@given(st.integers(1, 90), st.integers(1, 90), st.floats(0, 0.9), st.integers(1, 5))
def test_bands_are_what_predict_tiled_gives(height, width, overlap, batch):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    rows = bands.blended(image, on_tiles, (16, 16), overlap, batch, padding="constant")
    expected = tiling.predict_tiled(
        image, on_tiles, 16, overlap=round(overlap * 16), blend="hann", batch=batch
    )
    np.testing.assert_allclose(whole(rows, (height, width, 2)), expected, atol=1e-6)


@given(st.integers(1, 70), st.integers(1, 70))
def test_tiles_need_not_be_square_and_see_a_small_image_mirrored(height, width):
    image = np.random.default_rng(1).integers(1, 256, (height, width, 1), np.uint8)
    seen = []

    def predict(tiles):
        seen.append(tiles.min())
        return tiles[..., :1].astype(np.float32)

    rows = bands.blended(image, predict, (16, 24), 0.25, 3)
    np.testing.assert_allclose(whole(rows, (height, width, 1)), image, atol=1e-3)
    assert min(seen) > 0  # no zeros are added


@pytest.mark.parametrize("shape, overlap", [((100, 70), 0.5), ((16, 16), 0), ((5, 99), 0.9)])
def test_the_number_of_tiles_is_known_before(shape, overlap):
    calls = []

    def predict(tiles):
        calls.append(len(tiles))
        return on_tiles(tiles)

    list(bands.blended(np.zeros((*shape, 3), np.uint8), predict, (16, 16), overlap, 2))
    assert sum(calls) == bands.count(shape, (16, 16), overlap)


def test_memory_is_a_band_of_tiles_whatever_the_height(tmp_path):
    image = np.memmap(tmp_path / "image", np.uint8, "w+", shape=(6000, 1000, 3))
    tracemalloc.start()
    for _top, _part in bands.blended(image, on_tiles, (64, 64), 0.5, 4):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6  # the whole result has 48 MB


def test_many_pixels_lie_in_a_file_and_its_pages_can_be_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "LARGE", 100)
    array = mapped.empty((20, 20, 2), np.uint8, tmp_path, "a")
    assert isinstance(array, np.memmap) and (tmp_path / "a").stat().st_size == 800
    array[...] = 7
    mapped.release(array[3:5])
    assert (array == 7).all()
    assert not isinstance(mapped.empty((10, 10), np.uint8, tmp_path, "b"), np.memmap)


@pytest.mark.parametrize("shape", [(1, 1), (50, 333), (700, 90), (1000, 3)])
def test_enlarging_in_bands_is_opencvs_linear_interpolation(shape, monkeypatch):
    monkeypatch.setattr("common.prediction.enlarged._PIXELS", 2000)
    small = np.random.default_rng(0).random((32, 32), np.float32)
    expected = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(whole(enlarged(small, shape), shape), expected, atol=1e-5)
