import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file

from common.errors import InputError
from common.files import PROJECT
from common.imaging import reading
from common.imaging.writing import write_png
from common.prediction import command, finished_runs, objects, predict


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, grey_predictor):
    """Runs `medseg predict` with GreyPredictor; gives the exit code and what was printed."""
    folder = tmp_path / "runs/grey/a"
    folder.mkdir(parents=True)
    for name, content in (
        ("config.json", {"profile": "smoke", "protocol": "published"}),
        ("environment.json", {"sessions": [{"data": "grey phantoms (synthetic)"}]}),
        ("predictions.json", {}),
        ("weights.h5", {}),
    ):
        (folder / name).write_text(json.dumps(content))

    def call(*words):
        words = ["x", *map(str, words), "--runs-root", str(tmp_path / "runs")]
        if "--out" not in words:
            words += ["--out", str(tmp_path / "out")]
        monkeypatch.setattr("sys.argv", words)
        code = 0
        try:
            options = command.parse("grey")
            predict.run("grey", options, lambda folders: grey_predictor(), lambda folder: (folder,))
        except SystemExit as exit_:
            code = exit_.code
        except InputError as error:
            code = 2
            print(f"error: {error}", file=sys.stderr)
        return (code, *capsys.readouterr())

    return call


@pytest.fixture
def images(tmp_path, grey):
    """A folder with three images, one of them further below, and a damaged one."""
    folder = tmp_path / "in"
    write_png(folder / "a.png", grey)
    write_png(folder / "case 1/a.PNG", grey[:40])
    Image.fromarray(grey).save(folder / "ışık.tif")
    (folder / "bad.png").write_bytes((folder / "a.png").read_bytes()[:200])
    return folder


def mask(path):
    return np.array(Image.open(path))


def test_a_folder_gives_everything_about_each_image_and_tells_of_the_bad_one(
    run, images, tmp_path, grey, classes_of
):
    code, out, err = run(images, "--save-probabilities")
    assert code == 1 and err.count("\n") == 1 and "bad.png" in err
    assert "3 predicted, 1 failed" in out and "SMOKE TRAINING" in out and "newest" in out
    folder = tmp_path / "out"
    np.testing.assert_array_equal(mask(folder / "a_mask.png"), classes_of(grey))
    np.testing.assert_array_equal(mask(folder / "ışık_mask.png"), classes_of(grey))
    np.testing.assert_array_equal(mask(folder / "case 1_a_mask.png"), classes_of(grey[:40]))
    level = mask(folder / "a_probability_bright_spot.png")
    np.testing.assert_array_equal(level >= 128, classes_of(grey) == 2)
    for name in ("a_overlay.png", "a_instances.png", "a.geojson", "coco.json"):
        assert (folder / name).exists()
    table = pandas.read_csv(folder / "objects.csv")
    assert set(table["name"]) == {"a", "case 1_a", "ışık"}
    assert table[table["name"] == "a"]["area_px"].sum() == (classes_of(grey) > 0).sum()
    record = json.loads((folder / "run.json").read_text())
    assert record["warning"].startswith("SMOKE") and record["synthetic_training_data"]
    assert record["images"] == {"predicted": 3, "skipped": 0, "failed": 1}
    assert "bad.png" in record["failed"][0] and record["profile"] == "smoke"
    assert not list(folder.glob(".partial-*"))


def test_what_is_there_is_skipped_and_the_tables_have_it_all_the_same(run, images, tmp_path):
    (images / "bad.png").unlink()
    assert run(images)[0] == 0
    before = (tmp_path / "out/objects.csv").read_bytes()
    (tmp_path / "out/a_mask.png").unlink()  # as if it had been killed
    stamp = (tmp_path / "out/ışık_mask.png").stat().st_mtime_ns
    code, out, _ = run(images, "--skip-existing")
    assert code == 0 and "1 predicted, 2 skipped" in out
    assert (tmp_path / "out/ışık_mask.png").stat().st_mtime_ns == stamp
    assert (tmp_path / "out/objects.csv").read_bytes() == before
    assert "bad" not in before.decode()


def test_patterns_and_lists_choose_among_images(run, images, tmp_path):
    code, out, _ = run(images, images / "ışık.tif", "--pattern", "*.tif")
    assert code == 0 and "1 predicted" in out
    listed = tmp_path / "list.txt"
    listed.write_text("\ufeffin/a.png\n# a remark\nin/nothing.png\n")
    code, out, err = run(listed, "--out", tmp_path / "second")
    assert code == 1 and "1 predicted, 1 failed" in out and "nothing.png" in err
    code, _, err = run(images, "--pattern", "*.xyz", "--out", tmp_path / "third")
    assert code == 2 and "--pattern *.xyz" in err


def test_names_that_are_no_utf8_or_too_long_stop_nothing(run, tmp_path, grey):
    strange = os.fsdecode(b"x\xfe\n.png")
    long = "y" * 250 + ".png"
    for name in (strange, long, "a.png"):
        write_png(tmp_path / "a.png", grey)
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(tmp_path / "a.png", tmp_path / "in" / name)
    code, out, err = run(tmp_path / "in")
    assert code == 1 and err.count("\n") == 1 and "too long" in err and "2 predicted" in out
    assert (tmp_path / "out" / "x\\xfe\\n_mask.png").exists()
    assert len(pandas.read_csv(tmp_path / "out/images.csv")) == 2


def film(path, grey, frames=3, **elements):
    """A DICOM file of frames, the first of which shows nothing of the classes of GreyPredictor."""
    image = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
    pixels = np.stack([np.full_like(grey, 120), *[np.roll(grey, n, 1) for n in range(1, frames)]])
    image.Rows, image.Columns = grey.shape
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    for name in ("WindowCenter", "WindowWidth", "PixelPaddingValue"):
        image.pop(name, None)
    image.PixelData, image.NumberOfFrames = pixels.tobytes(), frames
    for name, value in elements.items():
        setattr(image, name, value)
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.save_as(path)
    return pixels


def in_space(frames):
    """Functional groups of an enhanced image."""

    def group(**sequences):
        found = pydicom.Dataset()
        for name, elements in sequences.items():
            inner = pydicom.Dataset()
            inner.update(elements)
            setattr(found, name, [inner])
        return found

    measures, orientation = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.5], 2
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    positions = []
    for number in range(frames):
        place = pydicom.Dataset()
        place.ImagePositionPatient = [0, 0, 2 * number]
        positions.append(group(PlanePositionSequence=place))
    shared = group(PixelMeasuresSequence=measures, PlaneOrientationSequence=orientation)
    return {
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": positions,
    }


@pytest.mark.parametrize("kind", ["enhanced", "film", "film without spacing"])
def test_frames_of_a_dicom_file_are_one_segmentation(
    run, tmp_path, grey, classes_of, kind, monkeypatch
):
    path, frames = tmp_path / "a.dcm", 40
    elements = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.3.1", "Modality": "US"}
    if kind == "enhanced":
        elements = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.1", **in_space(frames)}
    if kind == "film without spacing":
        elements.update(PixelSpacing=None, FrameOfReferenceUID=None)
    pixels = film(path, grey, frames, **elements)
    opened = []
    decode = reading.decode_source
    monkeypatch.setattr(reading, "decode_source", lambda *a: opened.append(a) or decode(*a))
    code, out, _ = run(path, "--frame", "all")
    assert code == 0 and "no DICOM SEG" not in out
    assert len(opened) == 3  # to count, for the first, and for the others
    seg = pydicom.dcmread(tmp_path / "out/a_seg.dcm")
    assert ("FrameOfReferenceUID" in seg) == (kind == "enhanced")
    found = np.zeros_like(pixels)
    for group, values in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array):
        number = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        segment = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[number - 1][values > 0] = segment
        if kind != "enhanced":
            assert group.FrameContentSequence[0].DimensionIndexValues == [segment, number]
    np.testing.assert_array_equal(found, classes_of(pixels))
    if shutil.which("dciodvfy"):
        validated = ["dciodvfy", tmp_path / "out/a_seg.dcm"]
        told = subprocess.run(validated, capture_output=True, text=True).stderr
        assert not [line for line in told.splitlines() if line.startswith("Error")]

    (tmp_path / "out/a_seg.dcm").unlink()  # as if it had been killed
    assert run(path, "--frame", "all", "--skip-existing")[0] == 0
    again = pydicom.dcmread(tmp_path / "out/a_seg.dcm")
    np.testing.assert_array_equal(again.pixel_array, seg.pixel_array)
    assert run(path, "--frame", "2", "--out", tmp_path / "second")[0] == 0
    one = pydicom.dcmread(tmp_path / "second/a_frame2_seg.dcm")
    for number, values in enumerate(one.pixel_array, 1):
        np.testing.assert_array_equal(values, classes_of(pixels[1]) == number)


def test_a_damaged_frame_does_not_take_the_others_with_it(run, tmp_path, grey):
    frames = [Image.fromarray(np.roll(grey, n)) for n in range(6)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    content = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page = tiff.pages[3]
        at = page.tags["StripByteCounts"].valueoffset
    content[at : at + 4] = b"\xff\xff\xff\x7f"
    (tmp_path / "a.tif").write_bytes(content)
    code, out, err = run(tmp_path / "a.tif", "--frame", "all")
    assert code == 1 and "5 predicted, 1 failed" in out and err.count("\n") == 1
    assert not (tmp_path / "out/a_frame4_mask.png").exists()


def test_a_named_pipe_is_refused_at_once(run, images, tmp_path):
    os.mkfifo(images / "pipe.png")
    for words in ([], ["--frame", "all"]):
        code, _, err = run(images / "pipe.png", *words)
        assert code == 1 and err.count("\n") == 1 and "pipe.png: is a named pipe" in err
    code, out, err = run(images)
    assert "3 predicted, 2 failed" in out and "pipe.png: is a named pipe" in err


def test_pages_are_chosen_or_all_predicted(run, tmp_path, grey, classes_of):
    pages = [Image.fromarray(grey), Image.fromarray(grey[::-1].copy())]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    code, _, err = run(tmp_path / "pages.tif")
    assert code == 1 and "--frame" in err
    assert run(tmp_path / "pages.tif", "--frame", "all")[0] == 0
    expected = classes_of(grey[::-1])
    np.testing.assert_array_equal(mask(tmp_path / "out/pages_frame2_mask.png"), expected)
    assert run(tmp_path / "pages.tif", "--frame", "2", "--out", tmp_path / "second")[0] == 0
    np.testing.assert_array_equal(mask(tmp_path / "second/pages_frame2_mask.png"), expected)
    assert run(tmp_path / "pages.tif", "--frame", "9", "--out", tmp_path / "third")[0] == 1


def test_how_16_bits_became_8_is_kept(run, tmp_path, grey):
    Image.fromarray(grey.astype(np.uint16) * 16).save(tmp_path / "a.png")
    code, out, _ = run(tmp_path / "a.png", "--range", "0,4095")
    assert code == 0 and "nearly black" not in out
    table = pandas.read_csv(tmp_path / "out/images.csv")
    assert "0 to 4095" in table["grey_levels"][0]
    told = run(tmp_path / "a.png", "--out", tmp_path / "plain")[1]
    assert "nearly black; consider --range 0,4000" in told


def test_two_images_of_one_name_are_not_mixed_up(run, images, tmp_path, grey, classes_of):
    write_png(tmp_path / "other/a.png", grey[:20])
    code, _, err = run(images / "a.png", tmp_path / "other/a.png")
    assert code == 1 and err.count("\n") == 1 and "other/a.png" in err
    np.testing.assert_array_equal(mask(tmp_path / "out/a_mask.png"), classes_of(grey))


@pytest.mark.parametrize("more", [[], ["--skip-existing"]])
def test_another_image_of_one_name_does_not_replace_results(run, images, tmp_path, grey, more):
    assert run(images / "a.png")[0] == 0
    write_png(tmp_path / "other/a.png", grey[:20])
    code, _, err = run(tmp_path / "other/a.png", *more)
    assert code == 1 and err.count("\n") == 1 and "in/a.png's" in err
    assert mask(tmp_path / "out/a_mask.png").shape == grey.shape
    shutil.move(images, tmp_path / "moved")
    assert run(tmp_path / "moved/a.png", *more)[0] == 0


def test_nothing_of_the_users_is_overwritten(run, images, tmp_path, grey, classes_of):
    write_png(tmp_path / "truth/a_mask.png", grey)
    for words in (
        [images, "--out", tmp_path / "truth"],
        [images / "a.png", "--out", images],
        [images, "--out", images],
        [images, "--out", images / "a.png"],
    ):
        code, _, err = run(*words)
        assert code == 2 and err.count("\n") == 1 and "--out" in err
    np.testing.assert_array_equal(mask(tmp_path / "truth/a_mask.png"), grey)


def test_results_of_other_settings_are_not_mixed(run, images, tmp_path):
    assert run(images / "a.png")[0] == 0
    assert run(images / "ışık.tif")[0] == 0
    assert len(pandas.read_csv(tmp_path / "out/images.csv")) == 2
    code, _, err = run(images / "a.png", "--overlap", "0.5")
    assert code == 2 and "another way" in err


def test_results_inside_the_folder_of_images_are_no_images(run, images):
    (images / "bad.png").unlink()
    assert run(images, "--out", images / "earlier/results")[0] == 0
    assert "3 predicted" in run(images, "--out", images / "results")[1]
    code, out, _ = run(images, "--out", images / "results")
    assert code == 0 and "3 predicted" in out


@pytest.mark.parametrize(
    "words, told",
    [
        (["a.png", "--overlap", "1"], "--overlap 1"),
        (["a.png", "--threshold", "2"], "--threshold 2"),
        (["a.png", "--paper-way", "--overlap", "0.5"], "--overlap"),
        (["a.png", "--frame", "x"], "--frame x"),
        (["a.png", "--run", "nowhere"], "--run nowhere"),
        (["a.png", "--threshold", "0.4"], "--threshold"),
    ],
)
def test_options_that_cannot_be_are_one_line(run, words, told):
    code, _, err = run(*words)
    assert code == 2 and err.count("\n") == 1 and told in err


def test_without_a_network_the_demonstrations_is_taken_or_the_message_says_how_to_get_one(
    run, images, tmp_path, monkeypatch
):
    monkeypatch.setattr(finished_runs, "DEMO", tmp_path / "demo")
    shutil.copytree(tmp_path / "runs/grey", tmp_path / "demo/grey")
    assert "network: " + str(tmp_path / "runs/grey/a") in run(images / "a.png")[1]
    (tmp_path / "runs/grey/a/weights.h5").unlink()
    code, out, _ = run(images / "a.png", "--skip-existing")
    assert code == 0 and "network: " + str(tmp_path / "demo/grey/a") in out
    (tmp_path / "demo/grey/a/weights.h5").unlink()
    code, _, err = run("a.png")
    assert code == 2 and "medseg train grey" in err and "make demo" in err


def test_above_the_limit_objects_are_left_out_and_the_rest_is_there(
    run, images, tmp_path, monkeypatch
):
    monkeypatch.setattr(objects, "MOST_PIXELS", 1000)
    code, out, _ = run(images / "a.png")
    assert code == 0 and out.count("left out") == 1
    assert (tmp_path / "out/a_mask.png").exists() and (tmp_path / "out/a_overlay.png").exists()
    assert not (tmp_path / "out/a.geojson").exists()
    assert "left out" in pandas.read_csv(tmp_path / "out/images.csv")["left_out"][0]


MEASURED = """
    import resource, sys
    import numpy as np
    from common.prediction import mapped, one_image, objects
    from common.prediction.journal import Journal
    from common.prediction.predictor import Way
    from common.imaging.reading import read
    from common.prediction.source import Item
    from pathlib import Path
    import runpy

    path, out, stand_in = map(Path, sys.argv[1:])
    GreyPredictor = runpy.run_path(str(stand_in))["GreyPredictor"]
    mapped.LARGE = objects.MOST_PIXELS = 1 << 20
    predictor = GreyPredictor()
    writing = one_image.Writing(out, "Grey", "", Journal(out, predictor.classes), True)
    image = read(path)

    def anonymous():
        text = Path("/proc/self/status").read_text()
        return int(text.split("RssAnon:")[1].split()[0]) / 1024

    before = anonymous()
    highest = [before]
    tick = lambda count: highest.append(anonymous())
    one_image.predict(Item(path, "a"), image, predictor, Way(), writing, tick)
    print(max(highest) - before, anonymous() - before)
"""


def test_a_large_tiled_tiff_goes_through_in_little_memory(tmp_path, classes_of):
    side = 4200  # 53 MB of pixels, and 53 MB of labels and probabilities together
    tile = np.kron(np.array([[20, 120], [250, 20]], np.uint8), np.ones((128, 128), np.uint8))
    tile = np.repeat(tile[..., None], 3, axis=-1)
    tiles = (tile for _ in range((-(-side // 256)) ** 2))
    path = tmp_path / "slide.tif"
    options = {"photometric": "rgb", "compression": "zlib"}
    tifffile.imwrite(path, tiles, shape=(side, side, 3), dtype=np.uint8, tile=(256, 256), **options)
    (tmp_path / "out").mkdir()
    stand_in = Path(__file__).with_name("conftest.py")
    words = [str(path), str(tmp_path / "out"), str(stand_in)]
    command = [sys.executable, "-c", textwrap.dedent(MEASURED), *words]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    highest, after = map(float, done.stdout.split())
    assert highest < 25 and after < 25
    with tifffile.TiffFile(tmp_path / "out/a_mask.tif") as tiff:
        corner = tiff.pages[0].asarray(maxworkers=1)[-300:, -300:]
    expected = classes_of(np.tile(tile[..., 0], (2, 2)))
    shift = side % 256
    np.testing.assert_array_equal(corner[-shift:, -shift:], expected[:shift, :shift])
