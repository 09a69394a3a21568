from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

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


def whole(inputs):
    return inputs


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (np.uint8, 300),
        (np.int8, 200),
        (np.uint8, -1),
        (np.uint8, 0.5),
        (np.uint8, 1.0),
        (np.float16, 70_000),
        (np.float32, 1e39),
        (np.float32, 2**24 + 1),
        (bool, 2),
        (np.float32, 1j),
    ],
)
def test_no_value_wraps_overflows_or_loses_its_fraction_on_the_way_into_out(dtype, value):
    out = np.zeros((5, 9), dtype)
    with pytest.raises(ValueError, match="out must hold every predicted value, got"):
        tiling.predict_tiled(np.full((5, 9), value), whole, 4, out=out)


def test_a_later_batch_of_another_dtype_does_not_wrap():
    def counting(inputs):
        counting.calls += 1
        return np.full(inputs.shape, 200 * counting.calls, np.int64 if counting.calls > 1 else "u1")

    counting.calls = 0
    with pytest.raises(ValueError, match="got uint8 for int64 from 400 to 400"):
        tiling.predict_tiled(np.zeros((4, 8)), counting, 4, batch=1)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [(np.uint8, [0, 255]), (np.float32, [0.1, -np.inf, np.nan]), (np.float16, [0, 2048])],
)
def test_out_takes_what_it_can_hold(dtype, values):
    image = np.array([values * 3])
    out = np.zeros(image.shape, dtype)
    tiling.predict_tiled(image, whole, 4, overlap=1, out=out)
    np.testing.assert_array_equal(out, image.astype(dtype))


def test_blending_checks_values_too():
    with pytest.raises(ValueError, match="got float16 for float64"):
        tiling.predict_tiled(
            np.full((5, 9), 7e4), whole, 4, blend="hann", out=np.zeros((5, 9), np.float16)
        )


def test_out_must_be_an_array_of_its_own():
    image = np.zeros((5, 9))
    with pytest.raises(ValueError, match="out must not share memory with the image"):
        tiling.predict_tiled(image, whole, 4, out=image[:])
    with pytest.raises(ValueError, match="got list"):
        tiling.predict_tiled(image, whole, 4, out=image.tolist())


@pytest.mark.parametrize("size", [0, -1, 2.0, 0.5, True, "4"])
def test_sizes_are_whole_numbers(size):
    image = np.zeros((5, 9))
    calls = [
        lambda: tiling.pad_to_multiple(image, size),
        lambda: tiling.split(image, size),
        lambda: tiling.merge(np.zeros((1, 4, 4)), (size, 4)),
        lambda: tiling.slice_with_step(image, size, 1),
        lambda: tiling.slice_with_step(image, 2, size),
        lambda: tiling.predict_tiled(image, whole, size),
        lambda: tiling.predict_tiled(image, whole, 4, batch=size),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="must be a whole number of at least 1, got"):
            call()
    if size != 0:
        with pytest.raises(ValueError, match="overlap must be a whole number of at least 0, got"):
            tiling.predict_tiled(image, whole, 8, overlap=size)


def test_masked_arrays_are_refused():
    image = np.ma.masked_equal(np.eye(8), 0)
    calls = [
        lambda: tiling.pad_to_multiple(image, 4),
        lambda: tiling.split(image, 4),
        lambda: tiling.merge(image[None], (8, 8)),
        lambda: tiling.slice_with_step(image, 4, 4),
        lambda: tiling.predict_tiled(image, whole, 4),
        lambda: tiling.predict_tiled(np.eye(8), lambda _: image[None], 8),
        lambda: tiling.predict_tiled(np.eye(8), whole, 4, out=image),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="must be no masked array"):
            call()


@pytest.mark.parametrize("reach", [1, 2, 5])
@pytest.mark.parametrize("shape", [(40, 40), (33, 61), (9, 50)])
def test_with_enough_overlap_a_network_of_bounded_reach_has_no_seams(reach, shape):
    image = np.random.default_rng(0).random(shape)

    def network(inputs):
        # Every pixel depends on those up to `reach` away, and borders are padded with zeros.
        size = 2 * reach + 1
        return ndimage.uniform_filter(inputs, (0, size, size), mode="constant")

    expected = network(image[None])[0]
    options = {"tile": 20, "overlap": 2 * reach}
    cropped = tiling.predict_tiled(image, network, **options)
    np.testing.assert_allclose(cropped, expected, atol=1e-12)
    blended = tiling.predict_tiled(image, network, **options, blend="hann")
    assert np.abs(blended - expected).max() > 1e-3
    with_less = tiling.predict_tiled(image, network, 20, overlap=2 * reach - 2)
    assert np.abs(with_less - expected).max() > 1e-3


@pytest.mark.parametrize(
    ("shape", "tile", "overlap", "batch", "blend"),
    [
        ((15, 7), 2, 0, 1000, None),
        ((15, 7), 6, 1, 1000, None),
        ((16, 7), 80, 20, 7, None),
        ((16, 7), 80, 40, 7, "hann"),
    ],
)
def test_the_sliding_window_cases_of_monai(shape, tile, overlap, batch, blend):
    # A function that adds 1 gives the image plus 1, whatever the sizes; windows there need not be
    # square, and constant and Gaussian weights stand where None and "hann" do here.
    result = tiling.predict_tiled(
        np.ones((*shape, 3), np.float32),
        lambda inputs: inputs + 1,
        tile,
        overlap=overlap,
        batch=batch,
        blend=blend,
    )
    np.testing.assert_allclose(result, np.full((*shape, 3), 2), rtol=1e-6)


@pytest.mark.parametrize("shape", [(4,), (0, 4), (2, 3, 4, 5)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="got .+"):
        tiling.split(np.zeros(shape), 4)
