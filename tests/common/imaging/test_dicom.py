from __future__ import annotations

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from common.imaging import dicom as dicom_reader
from common.imaging import dicom_elements, reading
from common.imaging.decoding import Options
from common.imaging.reading import read

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 9), np.uint8)
RGB = RNG.integers(0, 256, (6, 9, 3), np.uint8)
SMOOTH = np.array(Image.effect_noise((64, 48), 40).convert("RGB"))
J2K, JPEG_LOSSLESS = pydicom.uid.JPEG2000Lossless, pydicom.uid.JPEGLosslessSV1
JPEG, RLE = pydicom.uid.JPEGBaseline8Bit, pydicom.uid.RLELossless


def rebuilt(path, change):
    """A DICOM file after a change to its dataset, as it is written then."""
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path, write_like_original=False)
    return path


def test_colours_are_red_green_and_blue(dicom):
    np.testing.assert_array_equal(read(dicom(RGB, "RGB")).pixels, RGB)
    planes = np.ascontiguousarray(np.moveaxis(RGB, -1, 0)).reshape(6, 9, 3)
    path = dicom(planes, "RGB", PlanarConfiguration=1)
    np.testing.assert_array_equal(read(path).pixels, RGB)
    ycbcr = np.array(Image.fromarray(RGB).convert("YCbCr"))
    assert np.abs(read(dicom(ycbcr, "YBR_FULL")).pixels.astype(int) - RGB).max() <= 3


def test_pairs_of_pixels_may_share_their_colour(dicom):
    ycbcr = np.array(Image.fromarray(np.repeat(RGB[:, :4], 2, 1)).convert("YCbCr"))
    pairs = np.stack([ycbcr[:, ::2, 0], ycbcr[:, 1::2, 0], ycbcr[:, ::2, 1], ycbcr[:, ::2, 2]], -1)
    expected = read(dicom(ycbcr, "YBR_FULL", name="full.dcm")).pixels
    path = dicom(pairs.reshape(6, 16), "YBR_FULL_422", Columns=8, SamplesPerPixel=3)
    path = rebuilt(path, lambda dataset: setattr(dataset, "PlanarConfiguration", 0))
    np.testing.assert_array_equal(read(path).pixels, expected)
    # Some files say so, and give each pixel its colour.
    np.testing.assert_array_equal(read(dicom(ycbcr, "YBR_FULL_422")).pixels, expected)


def test_colours_of_16_bits_are_read_over_their_full_range(dicom):
    loaded = read(dicom(RGB.astype(np.uint16) * 257, "RGB"))
    np.testing.assert_array_equal(loaded.pixels, RGB)
    assert loaded.levels == "full range of 16 bits, 0 to 65535"


@pytest.mark.parametrize(("bits", "shift"), [(16, 8), (16, 0), (8, 0)])
@pytest.mark.parametrize("count", [200, 256, 1000])
def test_palettes_are_read_by_their_high_bytes(dicom, bits, shift, count):
    colours = RNG.integers(0, 256, (3, count)) << shift
    palette = {}
    for colour, entries in zip(("Red", "Green", "Blue"), colours):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [count, 20, bits]
        dtype = np.uint16 if bits == 16 else np.uint8
        palette[f"{colour}PaletteColorLookupTableData"] = entries.astype(dtype).tobytes()
    values = GREY if count < 257 else GREY.astype(np.uint16) * 5
    pixels = read(dicom(values, "PALETTE COLOR", **palette)).pixels
    places = np.clip(values.astype(int) - 20, 0, count - 1)
    np.testing.assert_array_equal(pixels, (colours >> shift).T[places])


@pytest.mark.parametrize("bits", [8, 16])
def test_palettes_in_words_of_big_endian_are_swapped_back(dicom, bits):
    keywords = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    palette = {f"{keyword}Descriptor": [256, 0, bits] for keyword in keywords}
    for keyword in keywords:
        palette[f"{keyword}Data"] = RNG.bytes(256 * bits // 8)
    path = dicom(GREY, "PALETTE COLOR", **palette)
    expected = read(path).pixels

    def change(dataset):
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
        dataset.is_little_endian = False
        for keyword in keywords:
            words = np.frombuffer(palette[f"{keyword}Data"], np.uint16)
            dataset[f"{keyword}Data"].value = words.byteswap().tobytes()

    np.testing.assert_array_equal(read(rebuilt(path, change)).pixels, expected)


def test_a_palette_that_is_too_short_is_named(dicom, refused):
    palette = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 16]), ("Data", bytes(100)))
    }
    refused(dicom(GREY, "PALETTE COLOR", **palette), "entries, expected 256")
    refused(dicom(GREY, "PALETTE COLOR"), "PaletteColorLookupTableDescriptor")


def stream(array, format, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format=format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["RGB", "YBR_RCT", "YBR_FULL", "YBR_FULL_422"])
def test_jpeg_2000_has_turned_its_colours_back_whatever_the_file_says(dicom, kind):
    frames = [stream(RGB, "JPEG2000", mct=1, no_jp2=True, num_resolutions=1)]
    path = dicom(RGB, kind, frames=frames, syntax=J2K)
    np.testing.assert_array_equal(read(path).pixels, RGB)


def test_jpeg_2000_without_transformed_colours_is_what_the_file_says(dicom, refused):
    ycbcr = np.array(Image.fromarray(RGB).convert("YCbCr"))
    frames = [stream(ycbcr, "JPEG2000", mct=0, no_jp2=True, num_resolutions=1)]
    pixels = read(dicom(RGB, "YBR_FULL", frames=frames, syntax=J2K)).pixels
    assert np.abs(pixels.astype(int) - RGB).max() <= 3
    refused(dicom(RGB, "YBR_RCT", frames=frames, syntax=J2K), "YBR_RCT")


@pytest.mark.parametrize("kind", ["RGB", "YBR_FULL", "YBR_FULL_422"])
def test_colours_of_jpeg_are_what_its_markers_say(dicom, kind):
    content = stream(SMOOTH, "JPEG", quality=95)
    assert b"JFIF" in content
    path = dicom(SMOOTH, kind, frames=[content], syntax=JPEG)
    expected = np.array(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(read(path).pixels, expected)


@pytest.mark.parametrize("kind", ["RGB", "YBR_FULL"])
def test_colours_of_jpeg_without_markers_are_what_the_file_says(dicom, kind):
    content = stream(SMOOTH, "JPEG", quality=95, subsampling=0)
    length = struct.unpack(">H", content[4:6])[0]
    bare = content[:2] + content[4 + length :]  # without JFIF
    image = Image.open(io.BytesIO(bare))
    if kind == "RGB":
        image.draft("YCbCr", image.size)
    path = dicom(SMOOTH, kind, frames=[bare], syntax=JPEG)
    np.testing.assert_array_equal(read(path).pixels, np.array(image))


def test_a_stream_may_be_in_several_fragments(dicom):
    content = stream(SMOOTH[..., 0], "JPEG", quality=95)
    expected = np.array(Image.open(io.BytesIO(content)))
    path = dicom(SMOOTH[..., 0], frames=[content], syntax=JPEG)
    dataset = pydicom.dcmread(path)
    dataset.PixelData = pydicom.encaps.encapsulate([content], fragments_per_frame=3)
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    np.testing.assert_array_equal(read(path).pixels[..., 0], expected)


def test_bytes_like_the_mark_of_the_end_do_not_end_a_stream(dicom):
    values = np.frombuffer(b"\xfe\xff\xdd\xe0" * 16 + bytes(range(64)), np.uint16).reshape(8, 8)
    path = dicom(values.copy(), WindowCenter=32768, WindowWidth=65536)
    expected = read(path).pixels
    dataset = pydicom.dcmread(path)
    dataset.compress(RLE)
    dataset.save_as(path)
    np.testing.assert_array_equal(read(path).pixels, expected)


FRAMES = np.stack([GREY, 255 - GREY, GREY // 2])


@pytest.mark.parametrize("syntax", ["", RLE, J2K])
def test_of_several_frames_one_is_chosen(dicom, refused, syntax):
    frames = None
    if syntax:
        frames = [stream(f, "JPEG2000", no_jp2=True, num_resolutions=1) for f in FRAMES]
    if syntax == RLE:
        frames = [pydicom.pixel_data_handlers.rle_handler.rle_encode_frame(f) for f in FRAMES]
    path = dicom(FRAMES.reshape(18, 9), Rows=6, NumberOfFrames=3, frames=frames, syntax=syntax)
    refused(path, "got 3 frames", "--frame N, N from 1 to 3", "--frame all")
    assert reading.count_frames(path) == 3
    for number, expected in enumerate(FRAMES, start=1):
        np.testing.assert_array_equal(read(path, frame=number).pixels[..., 0], expected)
    np.testing.assert_array_equal(read(path, frame="all").pixels[..., 0], FRAMES)
    refused(path, "no frame 4 among its 3", frame=4)
    assert read(path, frame=2).frames == 3


def test_frames_that_are_not_declared_are_not_left_out(dicom, refused):
    refused(dicom(FRAMES.reshape(18, 9), Rows=6), "of 3 frames, whose NumberOfFrames is 1")
    streams = [stream(f, "JPEG2000", no_jp2=True, num_resolutions=1) for f in FRAMES]
    path = dicom(GREY, frames=streams, syntax=J2K)
    refused(path, "of 3 frames, whose NumberOfFrames is 1")


@pytest.mark.parametrize("count", ["0", "", None])
def test_no_number_of_frames_is_one(dicom, count):
    np.testing.assert_array_equal(read(dicom(GREY, NumberOfFrames=count)).pixels[..., 0], GREY)


def test_a_number_of_frames_that_is_none_is_named(dicom, refused):
    path = dicom(GREY, NumberOfFrames=1)
    content = path.read_bytes().replace(b"IS\2\0" + b"1 ", b"IS\2\0" + b"1A")
    path.write_bytes(content)
    refused(path, "NumberOfFrames")
    path.write_bytes(content.replace(b"IS\2\0" + b"1A", b"IS\2\0" + b"-3"))
    refused(path, "frames")


def bare(path, syntax=pydicom.uid.ImplicitVRLittleEndian):
    """Write a file again, without preamble and group 2."""
    dataset = pydicom.dcmread(path)
    dataset.is_implicit_VR = syntax == pydicom.uid.ImplicitVRLittleEndian
    dataset.is_little_endian = syntax != pydicom.uid.ExplicitVRBigEndian
    if not dataset.is_little_endian:
        dataset.PixelData = dataset.pixel_array.byteswap().tobytes()
    del dataset.file_meta
    dataset.preamble = None
    dataset.save_as(path)
    return path


@pytest.mark.parametrize(
    "syntax",
    [
        pydicom.uid.ImplicitVRLittleEndian,
        pydicom.uid.ExplicitVRLittleEndian,
        pydicom.uid.ExplicitVRBigEndian,
    ],
)
def test_files_without_preamble_are_recognised_under_any_name(dicom, syntax):
    values = RNG.integers(0, 4096, (6, 9), np.uint16) << 4
    upper = {"BitsStored": 12, "HighBit": 15}  # of words, so that their order matters
    expected = read(dicom(values, **upper)).pixels
    path = bare(dicom(values, name="IM0001", **upper), syntax)
    assert b"DICM" not in path.read_bytes()
    np.testing.assert_array_equal(read(path).pixels, expected)


def test_words_of_bytes_in_big_endian_are_swapped_back(dicom):
    odd = np.concatenate([GREY.ravel()[:15], GREY.ravel()[:15]]).reshape(6, 5)
    path = dicom(odd, Rows=3, NumberOfFrames=2)

    def change(dataset):
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
        dataset.is_little_endian = False
        words = np.frombuffer(dataset.PixelData, np.uint16).byteswap().tobytes()
        dataset.add_new("PixelData", "OW", words)

    rebuilt(path, change)
    for frame in (1, 2):
        np.testing.assert_array_equal(read(path, frame=frame).pixels[..., 0], odd[:3])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"SamplesPerPixel": 2}, "2 samples per pixel"),
        ({"PhotometricInterpretation": "HSV"}, "PhotometricInterpretation"),
        ({"PhotometricInterpretation": None}, "PhotometricInterpretation"),
        ({"BitsStored": 12}, "12 bits"),
        ({"BitsAllocated": 12}, "in 12"),
        ({"HighBit": 20}, "bit 20"),
        ({"Rows": 0}, "expected an image with pixels"),
        ({"Rows": None}, "Rows is missing"),
        ({"Modality": "SEG"}, "a segmentation"),
        ({"Modality": "RTDOSE"}, "a radiation dose"),
        ({"TotalPixelMatrixColumns": 90_000}, "a DICOM slide"),
        ({"Rows": 7}, "expected 63 bytes of pixels, got 54"),
        ({"PixelSpacing": [-0.5, 0.5]}, "PixelSpacing"),
        ({"PixelSpacing": [1e9, 0.5]}, "PixelSpacing"),
        ({"PixelSpacing": 0.5}, "PixelSpacing"),
    ],
    ids=str,
)
def test_what_cannot_be_is_named(dicom, refused, change, words):
    refused(dicom(GREY, **change), words)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_spacing_that_is_no_number_is_named(dicom, refused, value):
    refused(dicom(GREY, tags={0x00280030: ("DS", [value, "0.5"])}), "PixelSpacing")


def test_an_element_of_an_unknown_kind_is_named_where_it_matters(dicom, refused):
    path = dicom(GREY, PixelSpacing=[0.5, 0.5], PatientName="nobody")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\x10\0\x10\0PN", b"\x10\0\x10\0ZZ"))
    np.testing.assert_array_equal(read(path).pixels[..., 0], GREY)
    path.write_bytes(content.replace(b"\x28\0\x30\0DS", b"\x28\0\x30\0ZZ"))
    refused(path, "PixelSpacing", "ZZ")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.92"])
def test_other_ways_of_packing_are_named(dicom, refused, syntax):
    message = refused(dicom(GREY, frames=[b"abcd"], syntax=syntax), "packed as")
    assert pydicom.uid.UID(syntax).name in message


def test_files_without_pixels_are_named_by_what_they_are(tmp_path, refused):
    dataset = Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.RTPlanStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.SOPClassUID = pydicom.uid.RTPlanStorage
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.save_as(tmp_path / "a", write_like_original=False)
    refused(tmp_path / "a", "without pixels", "Plan Storage")


def test_spacing_and_area_are_those_of_the_file(dicom):
    path = dicom(GREY, PixelSpacing=[0.5, 0.25])
    loaded = read(path)
    assert loaded.spacing == (0.5, 0.25)
    assert loaded.pixel_area == read(path.read_bytes()).pixel_area == 0.125
    for spacing in ([0, 0.5], None):
        loaded = read(dicom(GREY, PixelSpacing=spacing))
        assert loaded.spacing is None and loaded.pixel_area is None
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = [2, 3]
    shared.PixelMeasuresSequence = [measures]
    assert read(dicom(GREY, SharedFunctionalGroupsSequence=[shared])).spacing == (2, 3)


def deflated(path, elements=b""):
    """A file whose elements are deflated, with further ones before them."""
    content = path.read_bytes()
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    start = 132 + 12 + dataset.file_meta.FileMetaInformationGroupLength
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = squeeze.compress(elements + content[start:]) + squeeze.flush()
    plain = b"UI\x14\0" + b"1.2.840.10008.1.2.1\0"
    marked = b"UI\x16\0" + b"1.2.840.10008.1.2.1.99"
    return content[:start].replace(plain, marked) + packed


def test_deflated_files_are_read_within_bounds(dicom, refused, monkeypatch):
    np.testing.assert_array_equal(read(deflated(dicom(GREY))).pixels[..., 0], GREY)
    monkeypatch.setattr(dicom_elements, "MOST_INFLATED", 1 << 20)
    filler = struct.pack("<HH2sHI", 9, 0x10, b"OB", 0, 1 << 20) + bytes(1 << 20)
    bomb = deflated(dicom(GREY), filler)
    assert len(bomb) < 3000
    refused(bomb, f"a deflated DICOM file of more than {1 << 20} bytes", name="a", read=here)


def here(source, name):
    """Read a DICOM file in this process, whose limits a test may lower."""
    return dicom_reader.read(source, name, Options())


def with_elements(path, elements):
    """Put raw elements before those of a file."""
    content = path.read_bytes()
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    start = 132 + 12 + dataset.file_meta.FileMetaInformationGroupLength
    return content[:start] + elements + content[start:]


OPEN, CLOSE = (
    struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF),
    struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
)
SEQUENCE = struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF)


@pytest.mark.parametrize(
    "elements",
    [
        struct.pack("<HH2sH", 9, 0x10, b"LO", 0) * 3000,
        SEQUENCE + OPEN + struct.pack("<HH2sH", 9, 0x10, b"LO", 0) * 3000,
        SEQUENCE + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 3000 + CLOSE,
    ],
    ids=["flat", "nested", "items"],
)
def test_more_elements_than_an_image_has_are_refused(dicom, refused, monkeypatch, elements):
    monkeypatch.setattr(dicom_elements, "MOST_READS", 2000)
    content = with_elements(dicom(GREY), elements)
    refused(content, "a DICOM file of more than 1000 elements", name="a", read=here)


def test_sequences_in_sequences_without_end_are_refused(dicom, refused):
    # Of Python 3.8 this brings the process down that decodes.
    refused(with_elements(dicom(GREY), (SEQUENCE + OPEN) * 5000), name="a")


def test_a_stream_of_another_size_is_refused_before_it_is_unpacked(dicom, refused):
    large = stream(np.zeros((3000, 3000), np.uint8), "JPEG2000", no_jp2=True)
    refused(dicom(GREY, frames=[large], syntax=J2K), "declared as 9x6", "one of 3000x3000")
    large = stream(np.zeros((3000, 3000), np.uint8), "JPEG")
    refused(dicom(GREY, frames=[large], syntax=JPEG), "declared as 9x6", "one of 3000x3000")
    refused(dicom(GREY, frames=[large], syntax=JPEG_LOSSLESS), "declared as 9x6")
    refused(dicom(GREY, frames=[stream(RGB, "JPEG")], syntax=JPEG), "declared as 9x6, 1 channels")
    refused(dicom(GREY, frames=[b"no stream"], syntax=JPEG), "damaged or truncated")
    refused(dicom(GREY, frames=[b"no stream"], syntax=J2K), "damaged or truncated")


def test_a_jpeg_2000_stream_of_signed_values_is_not_read_as_unsigned(dicom, refused):
    signed = RNG.integers(-900, 900, (32, 32), np.int16)
    frames = [imagecodecs.jpeg2k_encode(signed, level=0, codecformat="j2k")]
    assert read(dicom(signed, frames=frames, syntax=J2K)).levels.endswith(
        f"{signed.min()} to {signed.max()}"
    )
    refused(dicom(signed.view(np.uint16), frames=frames, syntax=J2K), "signed JPEG 2000 values")


def test_a_jpeg_2000_stream_of_too_many_tiles_is_refused(dicom, refused):
    grey = np.zeros((600, 600), np.uint8)
    tiled = stream(grey, "JPEG2000", no_jp2=True, tile_size=(8, 8), num_resolutions=1)
    refused(dicom(grey, frames=[tiled], syntax=J2K), "a JPEG 2000 stream of 5625 tiles")


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("packed", [False, True])
def test_truncated_files_are_refused(dicom, refused, keep, packed):
    frames = [stream(SMOOTH[..., 0], "JPEG2000", no_jp2=True)] if packed else None
    path = dicom(SMOOTH[..., 0], frames=frames, syntax=J2K if packed else "")
    content = path.read_bytes()
    refused(content[: int(len(content) * keep)], name="a")
