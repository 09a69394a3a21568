"""Cutting images into square tiles and putting them together again.

Images are (H, W) or (H, W, C) arrays of any dtype; memory maps stay on disk. Only tiles are ever
held in memory by `slice_with_step` and `predict_tiled`, so both work on images that do not fit.
A masked array is refused, since its mask would be lost.
"""

from __future__ import annotations

from typing import Callable, Literal, NamedTuple

import numpy as np

from common.imaging.checks import refuse_masked, whole_number

Padding = Literal["constant", "edge", "reflect", "symmetric", "wrap"]  # modes of `numpy.pad`


def pad_to_multiple(
    image: np.ndarray, multiple: int = 256, *, mode: Padding = "constant"
) -> np.ndarray:
    """Extend the bottom and right of `image` until its height and width are multiples of
    `multiple`.

    The new pixels are zeros, or what another `mode` of `numpy.pad` makes of the image (such as
    "edge" or "reflect"). An image that fits already is returned itself, not as a copy. Raises
    ValueError for no image or no multiple.

    >>> pad_to_multiple(np.array([[1, 2, 3]]), 2)
    array([[1, 2, 3, 0],
           [0, 0, 0, 0]])
    """
    _check(image, multiple)
    missing = [(0, -length % multiple) for length in image.shape[:2]]
    if missing == [(0, 0), (0, 0)]:
        return image
    return np.pad(image, missing + [(0, 0)] * (image.ndim - 2), mode=mode)


def split(image: np.ndarray, size: int = 256, *, mode: Padding = "constant") -> np.ndarray:
    """Cut `image`, padded by `pad_to_multiple`, into side-by-side tiles: a new array (n, size,
    size[, C]).

    Tiles run along the rows: left to right, then top to bottom. `merge` is the inverse.

    >>> split(np.array([[1, 2, 3]]), 2).tolist()
    [[[1, 2], [0, 0]], [[3, 0], [0, 0]]]
    """
    image = pad_to_multiple(image, size, mode=mode)
    rows, columns, rest = image.shape[0] // size, image.shape[1] // size, image.shape[2:]
    tiles = np.empty((rows, columns, size, size, *rest), image.dtype)
    tiles.swapaxes(1, 2)[...] = image.reshape(rows, size, columns, size, *rest)
    return tiles.reshape(rows * columns, size, size, *rest)


def merge(tiles: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Put the tiles of `split` together and cut the padding off: (shape[0], shape[1][, C]) in the
    tiles' dtype.

    `shape` is the image's height and width. The channels may be others than those of the image that
    was split.
    Raises ValueError if the tiles are not square or not as many as such an image has.

    >>> merge(split(np.array([[1, 2, 3]]), 2), (1, 3))
    array([[1, 2, 3]])
    """
    refuse_masked(tiles, "tiles")
    if tiles.ndim not in (3, 4) or tiles.size == 0:
        raise ValueError(f"tiles must be a non-empty (n, size, size[, C]) array, got {tiles.shape}")
    height, width = (whole_number(length, "shape", 1) for length in shape)
    size, rest = tiles.shape[1], tiles.shape[3:]
    rows, columns = -(-height // size), -(-width // size)
    if tiles.shape[:3] != (rows * columns, size, size):
        raise ValueError(
            f"{height} x {width} needs {rows * columns} tiles of one square size, got {tiles.shape}"
        )
    image = np.empty((rows * size, columns * size, *rest), tiles.dtype)
    grid = tiles.reshape(rows, columns, size, size, *rest)
    image.reshape(rows, size, columns, size, *rest)[...] = grid.swapaxes(1, 2)
    return image[:height, :width]


def slice_with_step(image: np.ndarray, size: int, step: int) -> list[tuple[int, int, np.ndarray]]:
    """All windows of `size` pixels at every `step` pixels that lie within `image`, in row order.

    `step` is the stride. Each is (row, column, window): the position of its first pixel and a view
    of `image`, never a copy. Pixels beyond the last whole window of an axis are in none. Raises
    ValueError if not even one window fits.

    >>> for row, column, window in slice_with_step(np.array([[1, 2, 3, 4]]), size=1, step=2):
    ...     print(row, column, window.tolist())
    0 0 [[1]]
    0 2 [[3]]
    """
    _check(image, size)
    whole_number(step, "step", 1)
    height, width = image.shape[:2]
    if size > min(height, width):
        raise ValueError(f"size must not exceed the image's {height} x {width}, got {size}")
    return [
        (row, column, image[row : row + size, column : column + size])
        for row in range(0, height - size + 1, step)
        for column in range(0, width - size + 1, step)
    ]


def predict_tiled(
    image: np.ndarray,
    predict: Callable[[np.ndarray], np.ndarray],
    tile: int = 256,
    *,
    overlap: int = 0,
    blend: str | None = None,
    batch: int = 8,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Apply `predict` to an image of any size, tile by tile.

    `predict` maps a batch (n, tile, tile[, C]) with n <= `batch` to (n, tile, tile[, K]); the
    result is (H, W[, K]). Neighbouring tiles share `overlap` pixels; the last tile of an axis ends
    at the image's border and may share more. An image smaller than a tile is extended with zeros at
    the bottom and right.

    `blend=None` takes each pixel from the tile in which it lies deepest, unchanged and in the
    prediction's dtype. `blend="hann"` averages the tiles with weights that fall towards their
    borders but never to zero, in float32 (float64 for such predictions).
    Which to choose: a network that looks at most r pixels to each side gives with `blend=None` and
    an `overlap` of 2 r or more what it would give for the whole image, without an error at the
    seams; "hann" averages in what it gives near the tiles' borders, where it sees less. With a
    smaller overlap, or a network whose reach has no bound, "hann" hides the seams.

    `out`, for instance a memory map, receives the result in its own dtype, which must be floating
    to blend into and must hold every predicted value: floats may be rounded, but nothing overflows
    and no fraction is cut off. Beyond image and result, at most two batches and their predictions
    are held.
    Raises ValueError for unfit arguments, for predictions of another shape and for values that
    `out` cannot hold.

    >>> image = np.arange(12.0).reshape(3, 4)
    >>> predict_tiled(image, lambda tiles: tiles + 1, tile=2, overlap=1)
    array([[ 1.,  2.,  3.,  4.],
           [ 5.,  6.,  7.,  8.],
           [ 9., 10., 11., 12.]])
    """
    _check(image, tile)
    whole_number(overlap, "overlap", 0)
    whole_number(batch, "batch", 1)
    if overlap >= tile:
        raise ValueError(f"overlap must be below the tile's {tile} pixels, got {overlap}")
    if blend not in (None, "hann"):
        raise ValueError(f'blend must be None or "hann", got {blend!r}')
    rows, columns = (_spans(length, tile, overlap, blend) for length in image.shape[:2])
    grid = [(row, column) for row in rows for column in columns]
    cleared = 0
    for start in range(0, len(grid), batch):
        chunk = grid[start : start + batch]
        inputs = np.zeros((len(chunk), tile, tile, *image.shape[2:]), image.dtype)
        for buffer, (row, column) in zip(inputs, chunk):
            window = image[row.origin : row.origin + tile, column.origin : column.origin + tile]
            buffer[: window.shape[0], : window.shape[1]] = window
        outputs = predict(inputs)
        refuse_masked(outputs, "the prediction")
        outputs = np.asarray(outputs)
        if outputs.shape[:3] != inputs.shape[:3]:
            raise ValueError(
                f"predict must return {inputs.shape[:3]} and channels, got {outputs.shape}"
            )
        shape = image.shape[:2] + outputs.shape[3:]
        if out is None:
            out = np.empty(shape, np.result_type(outputs, np.float32) if blend else outputs.dtype)
        _check_out(out, shape, image, blend)
        for output, (row, column) in zip(outputs, chunk):
            part = output[row.start - row.origin : row.stop - row.origin]
            part = part[:, column.start - column.origin : column.stop - column.origin]
            target = out[row.start : row.stop, column.start : column.stop]
            _check_values(part, out.dtype)
            if row.weights is None or column.weights is None:
                target[...] = part
                continue
            # Rows are cleared as the tiles reach them: one pass over a result that may lie on disk.
            if row.stop > cleared:
                out[cleared : row.stop] = 0
                cleared = row.stop
            # Weights of the prediction's own shape: broadcasting over a few channels would be
            # several times slower.
            weights = np.outer(row.weights, np.repeat(column.weights, part[0, 0].size))
            target += part * weights.reshape(part.shape)
    assert out is not None  # no image is without tiles
    return out


class _Span(NamedTuple):
    """One axis of a tile: its first pixel, the range of pixels it contributes to, and its blending
    weights there.
    """

    origin: int
    start: int
    stop: int
    weights: np.ndarray | None


def _spans(length: int, tile: int, overlap: int, blend: str | None) -> list[_Span]:
    last = max(length - tile, 0)
    origins = [*range(0, last, tile - overlap), last]
    if blend is None:
        # Two neighbours share what both cover half and half.
        cuts = [0, *((a + tile + b) // 2 for a, b in zip(origins, origins[1:])), length]
        return [_Span(o, a, b, None) for o, a, b in zip(origins, cuts, cuts[1:])]
    window = np.sin(np.pi * (np.arange(tile) + 0.5) / tile) ** 2
    total = np.zeros(max(length, tile))
    for origin in origins:
        total[origin : origin + tile] += window
    # A tile's weight is the product of its two axes', so dividing each axis by its own sum
    # normalises the whole.
    return [
        _Span(
            o,
            o,
            min(o + tile, length),
            (window / total[o : o + tile])[: length - o].astype(np.float32),
        )
        for o in origins
    ]


def _check(image: np.ndarray, size: int) -> None:
    refuse_masked(image, "image")
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"image must be a non-empty (H, W) or (H, W, C) array, got {image.shape}")
    whole_number(size, "the size of a tile", 1)


def _check_out(
    out: np.ndarray, shape: tuple[int, ...], image: np.ndarray, blend: str | None
) -> None:
    refuse_masked(out, "out")
    if not isinstance(out, np.ndarray):
        raise ValueError(f"out must be a NumPy array or memory map, got {type(out).__name__}")
    if out.shape != shape or (blend and out.dtype.kind != "f"):
        raise ValueError(
            f"out must be {shape}, and floating to blend into, got {out.dtype} {out.shape}"
        )
    if isinstance(image, np.ndarray) and np.may_share_memory(image, out):
        raise ValueError("out must not share memory with the image, got a view of it")


def _check_values(values: np.ndarray, dtype: np.dtype) -> None:
    """Raise ValueError if writing `values` in another dtype would change more than their last
    digits.
    """
    if np.can_cast(values.dtype, dtype, "safe"):
        return
    if values.dtype.kind in "biu":
        fits = np.array_equal(values.astype(dtype), values)
    elif values.dtype.kind == "f" and dtype.kind == "f":
        with np.errstate(over="ignore"):
            written = values.astype(dtype)
        fits = np.array_equal(np.isfinite(written), np.isfinite(values))
    else:
        fits = False
    if not fits:
        raise ValueError(
            f"out must hold every predicted value, got {dtype} for {values.dtype} from "
            f"{values.min()} to {values.max()}"
        )
