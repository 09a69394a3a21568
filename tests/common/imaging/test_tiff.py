from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.errors import InputError
from common.imaging import limits, reading
from common.imaging.levels import GreyRange
from common.imaging.reading import read, read_frames, to_rgb

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (40, 50, 3), np.uint8)
GREY = RGB[..., 0]
DEEP = RNG.integers(0, 4096, (40, 50, 3), np.uint16)


def save(path, array, **options):
    if "photometric" not in options:
        options["photometric"] = "rgb" if array.shape[-1] in (3, 4) else "minisblack"
    tifffile.imwrite(path, array, **options)
    return path


LAYOUTS = {
    "strips": {"rowsperstrip": 7},
    "tiles": {"tile": (16, 16)},
    "big endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "BigTIFF big endian": {"bigtiff": True, "byteorder": ">"},
}


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stored", [GREY, RGB, DEEP[..., 0], DEEP], ids=["L8", "C8", "L16", "C16"])
def test_values_are_read_whatever_their_layout(tmp_path, compression, layout, stored):
    path = save(tmp_path / "a.tif", stored, compression=compression, **LAYOUTS[layout])
    loaded = read(path)
    expected = stored if stored.dtype == np.uint8 else stored // 257
    np.testing.assert_array_equal(loaded.pixels, expected.reshape(40, 50, -1))
    wanted = "as stored" if stored.dtype == np.uint8 else "full range of 16 bits"
    assert loaded.levels.startswith(wanted)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("stored", [RGB, DEEP], ids=["8", "16"])
def test_one_colour_after_the_other_is_read_as_colours_of_pixels(tmp_path, compression, stored):
    planes = np.ascontiguousarray(np.moveaxis(stored, -1, 0))
    options = {"photometric": "rgb", "planarconfig": "separate", "compression": compression}
    path = save(tmp_path / "a.tif", planes, **options)
    expected = stored if stored.dtype == np.uint8 else stored // 257
    np.testing.assert_array_equal(read(path).pixels, expected)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_jpeg_inside_is_read_as_pillow_reads_it(tmp_path, subsampling):
    smooth = np.array(Image.effect_noise((50, 40), 40).convert("RGB").resize((200, 160)))
    options = {"photometric": "ycbcr", "compression": "jpeg", "subsampling": subsampling}
    path = save(tmp_path / "a.tif", smooth, tile=(64, 64), **options)
    np.testing.assert_array_equal(read(path).pixels, np.array(Image.open(path).convert("RGB")))


@pytest.mark.parametrize("values", [np.uint8, np.uint16])
def test_values_whose_white_is_zero_are_turned(tmp_path, values):
    stored = GREY.astype(values) * (1 if values == np.uint8 else 257)
    path = save(tmp_path / "a.tif", stored, photometric="miniswhite")
    np.testing.assert_array_equal(read(path).pixels[..., 0], 255 - GREY)


def test_a_palette_is_looked_up_by_its_high_bytes(tmp_path):
    colours = RNG.integers(0, 65536, (3, 256), np.uint16)
    path = save(tmp_path / "a.tif", GREY, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(read(path).pixels, (colours >> 8).T[GREY])
    # Some programs write bytes there.
    path = save(tmp_path / "a.tif", GREY, photometric="palette", colormap=colours >> 8)
    np.testing.assert_array_equal(read(path).pixels, (colours >> 8).T[GREY])


def test_a_range_or_percentiles_are_mapped_and_told(tmp_path):
    path = save(tmp_path / "a.tif", DEEP)
    loaded = read(path, grey_range=GreyRange(0, 4095))
    np.testing.assert_array_equal(loaded.pixels, np.floor(DEEP / 4095 * 255 + 1e-9))
    assert loaded.levels == "range 0 to 4095 as asked for"
    loaded = read(path, grey_range=GreyRange(0, 100, percentiles=True))
    assert (loaded.pixels.min(), loaded.pixels.max()) == (0, 255)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32, np.uint32])
def test_values_without_a_full_range_need_one(tmp_path, refused, dtype):
    stored = (GREY // 2).astype(dtype)
    path = save(tmp_path / "a.tif", stored)
    refused(path, "--range low,high")
    loaded = read(path, grey_range=GreyRange(0, 127))
    np.testing.assert_array_equal(loaded.pixels[..., 0], np.floor(GREY // 2 * (255 / 127) + 1e-6))


def test_signed_bytes_below_zero_are_dark_and_not_bright(tmp_path):
    stored = np.array([[-128, -1, 0, 127, 127]], np.int8)
    path = save(tmp_path / "a.tif", stored)
    loaded = read(path, grey_range=GreyRange(-128, 127))
    assert loaded.pixels.ravel().tolist() == [0, 127, 128, 255, 255]


@pytest.mark.parametrize(
    ("stored", "options", "words"),
    [
        (DEEP[..., :2], {"photometric": "minisblack", "planarconfig": "contig"}, "2 channels"),
        (RGB[..., :2], {"photometric": "minisblack", "planarconfig": "contig"}, "2 channels"),
        (RGB, {"photometric": "minisblack", "planarconfig": "contig"}, "3 channels"),
        (np.dstack([RGB, RGB]), {"photometric": "rgb", "planarconfig": "contig"}, "6 channels"),
        (np.dstack([RGB, GREY]), {"photometric": "separated"}, "CMYK"),
        (RGB, {"photometric": "cielab"}, "L*a*b*"),
        (GREY.astype(np.complex64), {"photometric": "minisblack"}, "values that are not read"),
    ],
    ids=["2 of 16 bits", "2", "3", "6", "CMYK", "Lab", "complex"],
)
def test_other_channels_are_refused_by_what_they_are(tmp_path, refused, stored, options, words):
    refused(save(tmp_path / "a.tif", stored, **options), words)


def test_grey_with_alpha_is_grey(tmp_path):
    path = save(
        tmp_path / "a.tif",
        np.dstack([GREY, GREY]),
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    np.testing.assert_array_equal(read(path).pixels[..., 0], GREY)


def test_of_several_pages_one_is_chosen(tmp_path, refused):
    pages = RNG.integers(0, 256, (3, 20, 30), np.uint8)
    path = save(tmp_path / "a.tif", pages)
    refused(path, "got 3 pages", "--frame N, N from 1 to 3", "--frame all")
    assert reading.count_frames(path) == 3
    for number in (1, 2, 3):
        np.testing.assert_array_equal(read(path, frame=number).pixels[..., 0], pages[number - 1])
    np.testing.assert_array_equal(read(path, frame="all").pixels[..., 0], pages)
    refused(path, "no frame 4", frame=4)


def test_pages_of_several_sizes_are_read_one_by_one(tmp_path, refused):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(RGB, photometric="rgb")
        writer.write(GREY[:9], photometric="minisblack")
    refused(tmp_path / "a.tif", "several sizes", frame="all")
    np.testing.assert_array_equal(read(tmp_path / "a.tif", frame=2).pixels[..., 0], GREY[:9])


def test_pages_keep_their_own_palette_and_orientation_when_they_are_read_together(tmp_path):
    path = tmp_path / "a.tif"
    for page in range(3):
        colours = np.random.default_rng(page).integers(0, 65536, (3, 256), np.uint16)
        turned = [(274, "H", 1, 3, True)] if page == 2 else []
        options = {"photometric": "palette", "colormap": colours, "extratags": turned}
        tifffile.imwrite(path, GREY, append=page > 0, metadata=None, **options)
    alone = [read(path, frame=number).pixels for number in (1, 2, 3)]
    together = [image.pixels for image in read_frames(path, [1, 2, 3])]
    np.testing.assert_array_equal(together, alone)
    assert (alone[0] != alone[1]).any()


def test_the_levels_of_a_pyramid_are_no_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(RGB, photometric="rgb", tile=(16, 16))
        writer.write(RGB[::2, ::2], photometric="rgb", tile=(16, 16), subfiletype=1)
        writer.write(GREY > 99, photometric="minisblack", subfiletype=4)  # a mask
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels, RGB)


def test_channels_of_microscopes_are_pages_that_are_named(tmp_path, refused):
    stack = RNG.integers(0, 65536, (2, 3, 20, 30), np.uint16)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, stack, metadata={"axes": "ZCYX"}, photometric="minisblack")
    refused(path, "got 6 pages (OME: 3 channels, 2 slices)")
    np.testing.assert_array_equal(read(path, frame=2).pixels[..., 0], stack[0, 1] // 257)
    tifffile.imwrite(path, RGB, metadata={"axes": "YXS"}, photometric="rgb")
    np.testing.assert_array_equal(read(path).pixels, RGB)


def test_a_stack_of_imagej_behind_one_page_has_frames(tmp_path, refused):
    stack = RNG.integers(0, 65536, (4, 20, 30), np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, imagej=True)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        count = len(page.tags)
        place = tiff.pages[0].offset + 2 + 12 * count
        byteorder = tiff.byteorder
    content[place : place + 4] = struct.pack(
        f"{byteorder}I", 0
    )  # no further page, as in large ones
    path.write_bytes(content)
    refused(path, "got 4 pages")
    np.testing.assert_array_equal(read(path, frame=3).pixels[..., 0], stack[2] // 257)


def test_a_stack_behind_one_page_of_other_programs_is_refused(tmp_path, refused):
    stack = RNG.integers(0, 256, (4, 20, 30), np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif", shaped=True) as writer:
        writer.write(stack, photometric="minisblack", contiguous=True, truncate=True)
    refused(tmp_path / "a.tif", "one page for a stack")


@pytest.mark.parametrize("packing", [{}, {"compression": "zlib"}, {"compression": "lzw"}])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize(
    "stored",
    [RGB, GREY, np.dstack([RGB, GREY]), DEEP, DEEP[..., 0]],
    ids=["C8", "L8", "RGBA", "C16", "L16"],
)
def test_large_pages_are_mapped(tmp_path, monkeypatch, stored, packing, tile):
    path = save(tmp_path / "a.tif", stored, tile=tile, **packing)
    small = read(path)
    assert not isinstance(small.pixels, np.memmap)
    monkeypatch.setattr(limits, "LARGE", 1999)
    large = read(path)
    assert isinstance(large.pixels, np.memmap)
    assert large.levels == small.levels
    np.testing.assert_array_equal(to_rgb(large.pixels), to_rgb(small.pixels))


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (GREY, {"photometric": "miniswhite"}),
        (GREY, {"photometric": "palette", "colormap": np.arange(768, dtype=np.uint16) * 80}),
        (np.moveaxis(RGB, -1, 0).copy(), {"photometric": "rgb", "planarconfig": "separate"}),
        (RGB, {"photometric": "ycbcr", "compression": "jpeg", "tile": (16, 16)}),
        (GREY > 99, {"photometric": "miniswhite", "software": "a scanner"}),
        (RGB, {"photometric": "rgb", "extratags": [(274, "H", 1, 6, True)]}),
    ],
    ids=["inverted", "palette", "planes", "JPEG", "bits", "turned"],
)
def test_large_pages_of_every_kind_are_mapped_as_they_are_read(
    tmp_path, monkeypatch, array, options
):
    if "colormap" in options:
        options = {**options, "colormap": options["colormap"].reshape(3, 256)}
    path = save(tmp_path / "a.tif", array, **options)
    small = read(path).pixels
    monkeypatch.setattr(limits, "LARGE", 1999)
    large = read(path).pixels
    assert isinstance(large, np.memmap)
    np.testing.assert_array_equal(large, small)


def test_nothing_is_left_of_a_page_that_was_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "LARGE", 1999)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    loaded = read(save(tmp_path / "a.tif", DEEP, compression="zlib"))
    assert not list((tmp_path / "scratch").iterdir())
    np.testing.assert_array_equal(loaded.pixels, DEEP // 257)


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(["plain", "zlib", "lzw", "tiles", "jpeg"]),
    cut=st.integers(1, 100_000),
    flips=st.lists(st.tuples(st.integers(0, 100_000), st.integers(1, 255)), max_size=2),
)
def test_damaged_files_are_refused_or_read_whole(tmp_path_factory, kind, cut, flips):
    options = {
        "plain": {},
        "zlib": {"compression": "zlib"},
        "lzw": {"compression": "lzw"},
        "tiles": {"compression": "zlib", "tile": (16, 16)},
        "jpeg": {"photometric": "ycbcr", "compression": "jpeg", "tile": (16, 16)},
    }[kind]
    path = tmp_path_factory.getbasetemp() / f"whole-{kind}.tif"
    if not path.exists():
        save(path, RGB, **options)
    whole = path.read_bytes()
    damaged = bytearray(whole[: cut % len(whole) or None])
    for position, change in flips:
        damaged[position % len(damaged)] ^= change
    try:
        pixels = read(bytes(damaged), name="scan", most_pixels=1 << 20).pixels
    except InputError as error:
        assert str(error).startswith("scan: ")
        assert "\n" not in str(error)
    else:
        assert flips or (pixels == read(path).pixels).all()


def tiff_of_tiles(count, width=64, height=64, tile=16):
    """A grey TIFF of so many tiles, all of which are the same bytes."""
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (277, 1)]
    tags += [(322, tile), (323, tile)]
    values = 8 + 2 + 12 * 10 + 4
    pixels = values + 8 * count
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    entries += struct.pack("<HHII", 324, 4, count, values)
    entries += struct.pack("<HHII", 325, 4, count, values + 4 * count)
    offsets = np.full(count, pixels, "<u4").tobytes() + np.full(count, tile**2, "<u4").tobytes()
    head = b"II*\0" + struct.pack("<IH", 8, 10) + entries + struct.pack("<I", 0)
    return head + offsets + bytes(tile**2)


def test_more_tiles_than_an_image_has_are_refused_before_decoding(refused):
    assert read(tiff_of_tiles(16)).pixels.shape == (64, 64, 1)
    refused(tiff_of_tiles(270_000, 2000, 2000, 1), "270000 strips or tiles", name="a")
    refused(tiff_of_tiles(1, 8, 8, 30_000)[:400], "tiles are far larger", name="a")


def test_more_pages_than_an_image_has_are_refused(refused):
    page = struct.pack("<HHHII", 1, 256, 4, 1, 8)
    pages = (page + struct.pack("<I", 8 + 18 * (number + 1)) for number in range(30_000))
    refused(b"II*\0" + struct.pack("<I", 8) + b"".join(pages) + page + bytes(4), "pages", name="a")


def test_a_tile_that_holds_more_than_its_size_is_refused(tmp_path, refused):
    path = save(tmp_path / "a.tif", RGB, photometric="ycbcr", compression="jpeg", tile=(16, 16))
    content = bytearray(path.read_bytes())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    refused(bytes(content), "a TIFF tile of 16x16 that holds an image of 60000x60000", name="a")


def test_a_strip_that_is_missing_is_not_read_as_black(tmp_path, refused):
    path = save(tmp_path / "a.tif", GREY, rowsperstrip=20, compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tag = tiff.pages[0].tags["StripByteCounts"]
        tag.overwrite([tag.value[0], 0])
    refused(path, "a strip or tile of it is missing")


@pytest.mark.parametrize("large", [1999, 1 << 26])
def test_rows_that_are_missing_are_not_mapped(tmp_path, monkeypatch, refused, large):
    monkeypatch.setattr(limits, "LARGE", large)
    path = save(tmp_path / "a.tif", GREY)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["StripByteCounts"].overwrite(100)
    path.write_bytes(path.read_bytes()[:-500])
    refused(path, "a.tif: ")
