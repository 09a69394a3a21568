from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.imaging import tiling

DTYPES = st.sampled_from(
    [np.bool_, np.uint8, np.uint16, np.int32, np.float16, np.float32, np.float64]
)


@st.composite
def images(draw, most=25, dtypes=DTYPES):
    shape = draw(st.tuples(st.integers(1, most), st.integers(1, most)))
    channels = draw(st.sampled_from([(), (1,), (3,), (5,)]))
    noise = np.random.default_rng(draw(st.integers(0, 99))).normal(0, 100, shape + channels)
    return noise.astype(draw(dtypes))


def identical(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)


@given(images(), st.integers(1, 17))
def test_merge_inverts_split(image, size):
    tiles = tiling.split(image, size)
    assert tiles.shape[1:3] == (size, size)
    assert identical(tiling.merge(tiles, image.shape[:2]), image)


@settings(max_examples=25)
@given(images(most=600, dtypes=st.just(np.uint8)))
def test_merge_inverts_split_at_the_size_of_patches(image):
    assert identical(tiling.merge(tiling.split(image), image.shape[:2]), image)


def test_tiles_run_along_the_rows():
    image = np.kron(np.arange(6).reshape(2, 3), np.ones((4, 4), int))
    assert [np.unique(tile).tolist() for tile in tiling.split(image, 4)] == [[i] for i in range(6)]


@pytest.mark.parametrize("shape", [(4, 4), (8, 4), (6, 4)])
def test_tiles_and_merged_images_share_no_memory_with_their_source(shape):
    image = np.ones(shape)
    tiles = tiling.split(image, 4)
    assert not np.shares_memory(tiles, image)
    assert not np.shares_memory(tiling.merge(tiles, shape), tiles)


def test_merge_takes_predictions_with_other_channels():
    image = np.zeros((300, 500, 3), np.uint8)
    tiles = tiling.split(image)
    assert tiling.merge(np.zeros((*tiles.shape[:3], 2), np.float32), (300, 500)).shape == (
        300,
        500,
        2,
    )


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 8, 7), (2, 8), (0, 8, 8)])
def test_merge_refuses_other_tiles(shape):
    with pytest.raises(ValueError, match="got .+"):
        tiling.merge(np.zeros(shape), (8, 16))


def test_padding_is_zero_and_at_the_bottom_right():
    image = np.arange(1, 7).reshape(2, 3)
    assert tiling.pad_to_multiple(image, 4).tolist() == [
        [1, 2, 3, 0],
        [4, 5, 6, 0],
        [0] * 4,
        [0] * 4,
    ]
    assert tiling.pad_to_multiple(image, 4, mode="edge")[:, 3].tolist() == [3, 6, 6, 6]
    assert tiling.split(image[..., None], 4, mode="edge")[0, 3, 3].tolist() == [6]
    assert tiling.pad_to_multiple(image, 1) is image


@pytest.mark.parametrize(
    ("size", "step", "n"), [(512, 512, 4), (512, 256, 9), (256, 128, 49), (128, 64, 225)]
)
def test_the_slices_of_brecahad(size, step, n):
    image = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    slices = tiling.slice_with_step(image, size, step)
    assert len(slices) == n
    assert [position[:2] for position in slices] == sorted(position[:2] for position in slices)
    for row, column, window in slices:
        assert window.shape == (size, size, 3) and np.shares_memory(window, image)
        assert np.array_equal(window[0, 0], image[row, column])


def test_slices_never_cross_the_border():
    assert [position[:2] for position in tiling.slice_with_step(np.zeros((5, 9)), 4, 3)] == [
        (0, 0),
        (0, 3),
    ]
    for size, step in ((6, 3), (0, 3), (4, 0)):
        with pytest.raises(ValueError, match="got .+"):
            tiling.slice_with_step(np.zeros((5, 9)), size, step)


tile_and_overlap = st.integers(1, 17).flatmap(
    lambda tile: st.tuples(st.just(tile), st.integers(0, tile - 1))
)


@settings(deadline=None)
@given(images(), tile_and_overlap, st.integers(1, 9))
def test_the_identity_gives_the_image_back_exactly(image, tile_and_overlap, batch):
    tile, overlap = tile_and_overlap
    result = tiling.predict_tiled(image, lambda inputs: inputs, tile, overlap=overlap, batch=batch)
    assert identical(result, image)


@settings(deadline=None)
@given(
    images(dtypes=st.sampled_from([np.uint8, np.float16, np.float32, np.float64])), tile_and_overlap
)
def test_the_blended_identity_gives_the_image_back_within_rounding(image, tile_and_overlap):
    tile, overlap = tile_and_overlap
    result = tiling.predict_tiled(image, lambda inputs: inputs, tile, overlap=overlap, blend="hann")
    assert result.dtype == (np.float64 if image.dtype == np.float64 else np.float32)
    np.testing.assert_allclose(result, image, rtol=2e-6)


@settings(deadline=None)
@given(images(), tile_and_overlap, st.integers(1, 9), st.sampled_from([None, "hann"]))
def test_batches_are_whole_tiles_within_the_image(image, tile_and_overlap, batch, blend):
    tile, overlap = tile_and_overlap
    image = np.ones_like(image)

    def predict(inputs):
        assert len(inputs) <= batch
        assert inputs.shape[1:] == (tile, tile, *image.shape[2:]) and inputs.dtype == image.dtype
        # No padding along an axis that is long enough: the last tile ends at the border.
        assert inputs[:, : image.shape[0], : image.shape[1]].all()
        return np.ones((len(inputs), tile, tile, 2), np.float32)

    result = tiling.predict_tiled(image, predict, tile, overlap=overlap, blend=blend, batch=batch)
    assert result.shape == (*image.shape[:2], 2)
    np.testing.assert_allclose(result, 1, rtol=2e-6)


def test_small_images_are_extended_with_zeros():
    seen = []
    tiling.predict_tiled(np.ones((2, 3)), lambda inputs: seen.append(inputs) or inputs, 4)
    assert np.array_equal(seen[0][0], np.pad(np.ones((2, 3)), ((0, 2), (0, 1))))


@given(st.integers(1, 60), tile_and_overlap)
def test_without_blending_a_pixel_comes_from_the_tile_in_which_it_lies_deepest(
    width, tile_and_overlap
):
    tile, overlap = tile_and_overlap
    depth = np.minimum(np.arange(1, tile + 1), np.arange(tile, 0, -1))
    row = tiling.predict_tiled(
        np.zeros((1, width)),
        lambda inputs: np.broadcast_to(depth, inputs.shape),
        tile,
        overlap=overlap,
    )
    deepest = np.zeros(max(width, tile), int)
    for origin in [*range(0, width - tile, tile - overlap), max(width - tile, 0)]:
        deepest[origin : origin + tile] = np.maximum(deepest[origin : origin + tile], depth)
    assert row[0].tolist() == deepest[:width].tolist()


@pytest.mark.parametrize("axis", [0, 1])
def test_blending_passes_smoothly_from_one_tile_to_the_next(axis):
    shape = (12, 8) if axis == 0 else (8, 12)

    def number(inputs):
        return np.arange(2, dtype=np.float32)[:, None, None] + np.zeros_like(inputs)

    result = tiling.predict_tiled(np.zeros(shape, np.float32), number, 8, overlap=4, blend="hann")
    rising, falling = (
        np.sin(np.pi * (np.arange(first, first + 4) + 0.5) / 8) ** 2 for first in (0, 4)
    )
    expected = np.concatenate([np.zeros(4), rising / (rising + falling), np.ones(4)])
    np.testing.assert_allclose(
        result, np.broadcast_to(np.expand_dims(expected, 1 - axis), shape), atol=1e-6
    )


@pytest.mark.parametrize("blend", [None, "hann"])
def test_files_larger_than_memory_are_read_and_written_tile_by_tile(tmp_path, blend):
    shape = (2100, 2000, 3)
    image = np.lib.format.open_memmap(tmp_path / "image.npy", "w+", np.float32, shape)
    image[...] = np.arange(2000, dtype=np.float32)[:, None]
    out = np.lib.format.open_memmap(tmp_path / "result.npy", "w+", np.float32, (*shape[:2], 1))
    out[...] = np.nan
    tracemalloc.start()
    result = tiling.predict_tiled(
        image, lambda inputs: inputs[..., :1], 256, overlap=64, blend=blend, batch=4, out=out
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result is out
    # Four tiles with three channels are 3 MiB, the image is 48 MiB.
    assert peak < 8 << 20
    np.testing.assert_allclose(out, image[..., :1], rtol=2e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"tile": 0},
        {"overlap": 4},
        {"overlap": -1},
        {"batch": 0},
        {"blend": "linear"},
        {"out": np.zeros((5, 9, 1))},
        {"out": np.zeros((5, 9), int), "blend": "hann"},
        {"predict": lambda inputs: inputs[:, 1:]},
    ],
)
def test_unfit_arguments_are_refused(options):
    options = {"predict": lambda inputs: inputs, "tile": 4, **options}
    with pytest.raises(ValueError, match="got .+"):
        tiling.predict_tiled(np.zeros((5, 9)), **options)


@pytest.mark.parametrize("shape", [(4,), (0, 4), (2, 3, 4, 5)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="got .+"):
        tiling.split(np.zeros(shape), 4)
