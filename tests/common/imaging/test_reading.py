from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.errors import InputError
from common.imaging import reading, tiling
from common.imaging.reading import (
    read_any,
    read_mask,
    read_pair,
    read_rgb,
    to_rgb,
    write_png,
    write_tiff,
)

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
MASK = np.random.default_rng(1).random((5, 7)) > 0.5


def save(path: Path, array: np.ndarray, mode: str | None = None, **options) -> Path:
    Image.fromarray(array, mode).save(path, **options)
    return path


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG")
    return stream.getvalue()


def test_rgba_rgb_and_palette_load_alike(tmp_path):
    alpha = np.random.default_rng(2).integers(0, 256, (5, 7, 1), np.uint8)
    expected = read_rgb(save(tmp_path / "rgb.png", RGB))
    assert expected.dtype == np.uint8
    np.testing.assert_array_equal(expected, RGB)
    np.testing.assert_array_equal(
        read_rgb(save(tmp_path / "rgba.png", np.dstack([RGB, alpha]))), RGB
    )
    Image.fromarray(RGB).quantize(256).save(tmp_path / "p.png", transparency=0)
    assert Image.open(tmp_path / "p.png").mode == "P"
    np.testing.assert_array_equal(read_rgb(tmp_path / "p.png"), RGB)


def test_grey_is_repeated(tmp_path):
    grey = RGB[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_rgb(save(tmp_path / "l.png", grey)), expected)
    np.testing.assert_array_equal(
        read_rgb(save(tmp_path / "la.png", np.dstack([grey, grey]))), expected
    )
    np.testing.assert_array_equal(
        read_rgb(save(tmp_path / "1.png", MASK)), np.repeat(MASK[..., None] * 255, 3, axis=2)
    )


def test_the_result_can_be_written_to(tmp_path):
    read_rgb(save(tmp_path / "a.png", RGB))[0, 0] = 0


@pytest.mark.parametrize("read", [read_rgb, read_mask])
@pytest.mark.parametrize(
    "make, words",
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "folder"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_text("<html>"), "not a picture"),
        (lambda path: path.write_bytes(png(RGB)[:-40]), "truncated"),
        (lambda path: save(path, RGB[..., 0].astype(np.uint16) * 257), "8 bits per channel"),
    ],
)
def test_unusable_files_are_named_in_one_line(tmp_path, read, make, words):
    path = tmp_path / "slide.png"
    make(path)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(
    cut=st.integers(1, 10_000),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=3),
)
def test_damaged_files_are_refused_or_read_whole(cut, flips):
    whole = png(RGB)
    damaged = bytearray(whole[: cut % len(whole) or None])
    for position, change in flips:
        damaged[position % len(damaged)] ^= change
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.png")
        path.write_bytes(damaged)
        try:
            image = read_rgb(path)
        except InputError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
        else:
            assert flips or (image == RGB).all()


@pytest.mark.parametrize(
    "array, mode",
    [
        (MASK, None),
        (MASK.astype(np.uint8), "L"),
        (MASK.astype(np.uint8) * 255, "L"),
        (np.repeat(MASK[..., None], 3, axis=2).astype(np.uint8) * 255, "RGB"),
        (
            np.dstack(
                [np.repeat(MASK[..., None], 3, axis=2) * 255, np.full(MASK.shape, 90)]
            ).astype(np.uint8),
            "RGBA",
        ),
    ],
)
def test_masks_of_every_mode_read_alike(tmp_path, array, mode):
    mask = read_mask(save(tmp_path / "m.png", array, mode))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, MASK)


def test_a_palette_mask_is_read_by_its_colours(tmp_path):
    image = Image.fromarray(MASK.astype(np.uint8))
    for palette, expected in [([0] * 3 + [255] * 3, MASK), ([255] * 3 + [0] * 3, ~MASK)]:
        image.putpalette(palette)
        image.save(tmp_path / "p.png")
        np.testing.assert_array_equal(read_mask(tmp_path / "p.png"), expected)
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(tmp_path / "p.png")
    with pytest.raises(InputError, match="colours"):
        read_mask(tmp_path / "p.png")


@pytest.mark.parametrize("value, expected", [(0, False), (1, True), (255, True)])
def test_a_mask_may_have_one_value(tmp_path, value, expected):
    assert (read_mask(save(tmp_path / "m.png", np.full((3, 4), value, np.uint8))) == expected).all()


@pytest.mark.parametrize("values", [(0, 128), (0, 1, 255), (0, 2), (7,), tuple(range(20))])
def test_a_mask_with_other_values_is_refused(tmp_path, values):
    path = save(tmp_path / "m.png", np.array([values], np.uint8))
    with pytest.raises(InputError, match=r"m\.png.*0/255.*got"):
        read_mask(path)


def test_pair(tmp_path):
    image, mask = read_pair(save(tmp_path / "i.png", RGB), save(tmp_path / "m.png", MASK))
    np.testing.assert_array_equal(image, RGB)
    np.testing.assert_array_equal(mask, MASK)


def test_a_pair_that_does_not_fit_names_both_files(tmp_path):
    image = save(tmp_path / "image.png", RGB)
    with pytest.raises(InputError, match=r"absent\.png.*image\.png"):
        read_pair(image, tmp_path / "absent.png")
    with pytest.raises(InputError, match=r"mask\.png.*5x7.*image\.png.*7x5"):
        read_pair(image, save(tmp_path / "mask.png", MASK.T))


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


def test_any_picture_is_read_and_turned_into_rgb(tmp_path):
    expected = np.repeat(RGB[..., :1], 3, axis=2)
    for name, array in [("a.png", RGB[..., 0]), ("a.tif", RGB[..., 0]), ("b.tif", RGB)]:
        pixels = read_any(save(tmp_path / name, array))
        np.testing.assert_array_equal(to_rgb(pixels), RGB if array.ndim == 3 else expected)
    stack = np.stack([np.dstack([RGB, RGB[..., :1]])] * 2)
    np.testing.assert_array_equal(to_rgb(stack), np.stack([RGB, RGB]))
    np.testing.assert_array_equal(to_rgb(RGB[None, ..., :1]), expected[None])


@pytest.mark.parametrize(
    "packing", [{}, {"compression": "zlib"}, {"compression": "zlib", "tile": (16, 16)}]
)
@pytest.mark.parametrize("array", [RGB, RGB[..., 0], np.dstack([RGB, RGB[..., 0]])])
def test_large_tiffs_are_mapped(tmp_path, monkeypatch, array, packing):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack" if array.ndim == 2 else "rgb", **packing)
    assert not isinstance(read_any(path), np.memmap)
    monkeypatch.setattr(reading, "LARGE", 34)
    pixels = read_any(path)
    assert isinstance(pixels, np.memmap)
    np.testing.assert_array_equal(pixels, array if array.ndim == 3 else array[..., None])


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b"II*\0"), "damaged TIFF"),
        (lambda path: path.write_bytes(b"\0" * 128 + b"DICM" + b"\1" * 50), "not a readable DICOM"),
        (
            lambda path: tifffile.imwrite(path, RGB.astype(np.uint16), photometric="rgb"),
            "expected 8-bit grey or RGB",
        ),
        (
            lambda path: Image.fromarray(RGB).save(path, format="TIFF", compression="tiff_lzw"),
            "cannot be mapped",
        ),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(tmp_path, monkeypatch, make, words):
    monkeypatch.setattr(reading, "LARGE", 34)
    path = tmp_path / "scan.tif"
    make(path)
    with pytest.raises(InputError) as caught:
        read_any(path)
    assert (
        str(path) in str(caught.value)
        and words in str(caught.value)
        and "\n" not in str(caught.value)
    )


def test_more_pixels_than_fit_are_no_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(InputError, match=r"a\.png: expected at most 20 pixels, except in a TIFF"):
        read_any(save(tmp_path / "a.png", RGB))


def dicom(path, pixels, kind="MONOCHROME2", **elements):
    """Write a DICOM file, uncompressed."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.UID(
        "1.2.840.10008.5.1.4.1.1.6.1"
    )  # an ultrasound image
    dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = (
        (3 if pixels.ndim == 3 else 1),
        kind,
    )
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.itemsize
    dataset.HighBit, dataset.PixelRepresentation, dataset.PlanarConfiguration = (
        dataset.BitsStored - 1,
        0,
        0,
    )
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    dataset.save_as(path, write_like_original=False)
    return path


def test_dicom_of_8_bits_is_read_as_it_is_and_monochrome1_inverted(tmp_path):
    grey = RGB[..., 0]
    np.testing.assert_array_equal(read_any(dicom(tmp_path / "a", grey)), grey[..., None])
    np.testing.assert_array_equal(
        read_any(dicom(tmp_path / "a", grey, "MONOCHROME1")), 255 - grey[..., None]
    )
    np.testing.assert_array_equal(read_any(dicom(tmp_path / "a", RGB, "RGB")), RGB)


def test_dicom_colours_are_converted(tmp_path):
    ycbcr = np.array(Image.fromarray(RGB).convert("YCbCr"))
    pixels = read_any(dicom(tmp_path / "a", ycbcr, "YBR_FULL"))
    assert np.abs(pixels.astype(int) - RGB).max() <= 3


def test_dicom_of_more_bits_is_windowed_and_stretched(tmp_path):
    pixels = np.array([[0, 1000, 1500], [2000, 2999, 4000]], np.uint16)
    np.testing.assert_array_equal(
        read_any(dicom(tmp_path / "a", pixels))[..., 0], np.rint(pixels / 4000 * 255)
    )
    window = {"WindowCenter": 2000, "WindowWidth": 2000}
    windowed = read_any(dicom(tmp_path / "a", pixels, **window))[..., 0]
    np.testing.assert_allclose(windowed, [[0, 0, 64], [128, 255, 255]], atol=1)


def test_dicom_of_several_frames_is_refused(tmp_path):
    path = dicom(tmp_path / "a", RGB[..., 0], NumberOfFrames=4)
    with pytest.raises(InputError, match="one frame, got 4"):
        read_any(path)


@pytest.mark.parametrize("shape", [(1, 1), (16, 32), (40, 33, 3)])
def test_tiff_written_tile_by_tile_holds_the_picture(tmp_path, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    write_tiff(tmp_path / "a.tif", shape, iter(tiling.split(picture, 16)))
    assert tifffile.TiffFile(tmp_path / "a.tif").pages[0].is_tiled
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif").reshape(shape), picture)
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


def dicom_bytes(pixels, kind="MONOCHROME2", **elements):
    stream = io.BytesIO()
    dicom(stream, pixels, kind, **elements)
    return stream.getvalue()


def encoded(array, format):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format=format)
    return stream.getvalue()


def test_pictures_in_memory_decode_as_from_a_file():
    expected = np.repeat(RGB[..., :1], 3, axis=2)
    for format in ("PNG", "TIFF"):
        np.testing.assert_array_equal(reading.decode(encoded(RGB, format), "a", 35), RGB)
        np.testing.assert_array_equal(
            reading.decode(encoded(RGB[..., 0], format), "a", 35), expected
        )
    assert reading.decode(encoded(RGB, "JPEG"), "a", 35).shape == RGB.shape
    np.testing.assert_array_equal(reading.decode(dicom_bytes(RGB[..., 0]), "a", 35), RGB[..., :1])
    np.testing.assert_array_equal(reading.decode(dicom_bytes(RGB, "RGB"), "a", 35), RGB)


@pytest.mark.parametrize(
    "content", [encoded(RGB, "PNG"), encoded(RGB, "JPEG"), encoded(RGB, "TIFF"), dicom_bytes(RGB)]
)
def test_pictures_in_memory_with_too_many_pixels_are_refused_before_decoding(content):
    # Of the pixels themselves nothing is left: who decoded would find damage instead.
    with pytest.raises(reading.TooManyPixels, match=r"scan: expected at most 34 pixels, got 7x5"):
        reading.decode(content[: -RGB.nbytes // 2], "scan", 34)


def test_a_picture_too_large_for_pillow_is_one_of_too_many_pixels(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(reading.TooManyPixels, match="scan: expected at most 12 pixels"):
        reading.decode(encoded(RGB, "PNG"), "scan", 12)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "empty"),
        (b"<html>", "not a picture"),
        (encoded(RGB, "GIF"), "not a picture"),  # nor any other format that nobody asked for
        (encoded(RGB, "EPS"), "not a picture"),  # Pillow would start a program to draw it
        (encoded(RGB, "PNG")[:-40], "truncated"),
        (b"\0" * 128 + b"DICM" + b"\1" * 50, "not a readable DICOM"),
        (dicom_bytes(RGB[..., 0], NumberOfFrames=4), "one frame, got 4"),
    ],
)
def test_what_cannot_be_decoded_is_named_in_one_line(content, words):
    with pytest.raises(InputError) as caught:
        reading.decode(content, "scan", 35)
    assert (
        str(caught.value).startswith("scan: ")
        and words in str(caught.value)
        and "\n" not in str(caught.value)
    )


def test_a_deflated_dicom_file_is_refused_without_inflating_it(monkeypatch):
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(RGB[..., 0])))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    stream = io.BytesIO()
    dataset.save_as(stream)
    monkeypatch.setattr(pydicom, "dcmread", None)
    with pytest.raises(InputError, match="scan: a deflated DICOM file"):
        reading.decode(stream.getvalue(), "scan", 35)


def test_pixel_area_is_that_of_a_dicom_file_with_pixel_spacing():
    assert reading.pixel_area(dicom_bytes(RGB[..., 0], PixelSpacing=[0.5, 0.25])) == 0.125
    assert reading.pixel_area(dicom_bytes(RGB[..., 0])) is None
    assert reading.pixel_area(dicom_bytes(RGB[..., 0], PixelSpacing=[0, 0.5])) is None
    assert reading.pixel_area(dicom_bytes(RGB[..., 0], PixelSpacing=0.5)) is None
    assert reading.pixel_area(encoded(RGB, "PNG")) is None
