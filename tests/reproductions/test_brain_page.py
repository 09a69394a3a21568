from __future__ import annotations

import asyncio
import base64
import inspect
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pydicom
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from common import files
from common.errors import InputError
from common.files import PROJECT
from reproductions.brain_tumour_mask_rcnn.app import page, serve, svg
from reproductions.brain_tumour_mask_rcnn.app.strings import TEXTS
from reproductions.brain_tumour_mask_rcnn.detections import Detections

ORIGIN = page.Origin(
    "resnet101-quick-seed0", "brain tumours of somewhere", "quick", "resnet101", "imagenet", 0.7
)
DARK = np.zeros((40, 60, 3), np.uint8)  # what the detector of these tests finds nothing in
BRIGHT = np.full((40, 60, 3), 200, np.uint8)


def detector(image: np.ndarray, min_score: float) -> Detections:
    """Find three rectangles of known area in every image that is not dark, not in the order of
    their scores.
    """
    assert image.dtype == np.uint8 and image.shape[2] == 3
    boxes = np.array([[2, 3, 12, 23], [20, 30, 30, 60], [1, 40, 5, 50]], np.float32)
    scores = np.array([0.75, 0.9375, 0.25], np.float32)
    masks = np.zeros((3, *image.shape[:2]), bool)
    for mask, (y1, x1, y2, x2) in zip(masks, boxes.astype(int)):
        mask[y1:y2, x1:x2] = True
    kept = (scores >= min_score) & image.any()
    return Detections(boxes[kept], scores[kept], masks[kept])


def encoded(image: np.ndarray, format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format=format)
    return stream.getvalue()


def dicom(image: np.ndarray, **elements) -> bytes:
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.UID("1.2.840.10008.5.1.4.1.1.4")  # an MR image
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset = pydicom.dataset.FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.Rows, dataset.Columns = image.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = (
        1,
        "MONOCHROME2",
        0,
    )
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.update({})
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.PixelData = image[..., 0].tobytes()
    stream = io.BytesIO()
    dataset.save_as(stream, write_like_original=False)
    return stream.getvalue()


def upload(
    shown: page.Page, content: bytes, name: str = "scan.png", size: int | None = None
) -> None:
    """Do what the browser does."""
    size = len(content) if size is None else size
    file = {"name": name, "type": "", "size": size, "content": memoryview(content)}
    shown.upload.value = ({**file, "last_modified": datetime.now()},)


def text(shown: page.Page, part: str) -> str:
    return re.sub(r"<[^>]*>", " ", shown.parts[part].value)


@pytest.fixture
def shown():
    """A page with its model loaded."""
    made = page.Page(lambda: detector, ORIGIN)
    asyncio.run(made.start())
    return made


def examine(shown: page.Page, content: bytes, name: str = "scan.png") -> None:
    upload(shown, content, name)
    asyncio.run(shown.examine())


def rows(shown: page.Page):
    """The cells of the table of findings."""
    body = shown.parts["findings"].value.partition("<tbody>")[2].partition("</tbody>")[0]
    return [re.findall(r"<td>(?:<i [^>]*></i>)?(.*?)</td>", row) for row in body.split("<tr>")[1:]]


def downloaded(shown: page.Page) -> np.ndarray:
    address = re.search(r"href='data:image/png;base64,([^']*)'", shown.parts["findings"].value)
    return np.array(Image.open(io.BytesIO(base64.b64decode(address.group(1)))))


def test_both_languages_say_the_same_things():
    assert set(TEXTS["tr"]) == set(TEXTS["en"])
    for key in TEXTS["tr"]:
        turkish, english = (
            set(re.findall(r"{\w+}", TEXTS[language][key])) for language in ("tr", "en")
        )
        assert turkish == english, key


def test_findings_are_measured_in_order_of_their_scores(shown):
    examine(shown, encoded(BRIGHT))
    assert rows(shown) == [
        ["1", "0,94", "300", "–"],
        ["2", "0,75", "200", "–"],
        ["Birleşik alan", "", "500", "–"],
    ]
    assert "1 aday var; en yüksek skor 0,25" in text(shown, "findings")
    assert re.findall(r">(\d · .*?)</text>", shown.parts["drawing"].value) == [
        "2 · 0,75",
        "1 · 0,94",
    ]
    mask = downloaded(shown)
    assert mask.dtype == np.uint8 and mask.shape == (40, 60)
    assert (mask == 255).sum() == 500 and (mask == 0).sum() == 40 * 60 - 500 and mask[25, 45] == 255


def test_areas_in_square_millimetres_need_the_spacing_of_a_dicom_file(shown):
    examine(shown, dicom(BRIGHT, PixelSpacing=[0.5, 0.5]), "scan.dcm")
    assert [row[2:] for row in rows(shown)] == [["300", "75,0"], ["200", "50,0"], ["500", "125,0"]]
    assert "PixelSpacing" not in text(shown, "findings")
    examine(shown, dicom(BRIGHT), "scan.dcm")
    assert {row[3] for row in rows(shown)} == {"–"}
    assert "PixelSpacing" in text(shown, "findings")


def test_the_threshold_begins_at_the_runs_own_and_filters_without_another_examination(shown):
    assert shown.threshold.value == ORIGIN.min_score
    examine(shown, encoded(BRIGHT))
    picture = shown.parts["picture"].value
    shown._detector = None
    for threshold, count in [(0.05, 3), (0.25, 3), (0.26, 2), (0.8, 1), (0.95, 0), (0.99, 0)]:
        shown.threshold.value = threshold
        assert shown.parts["drawing"].value.count("bt-contour") == count
        assert len(rows(shown)) == (count + 1 if count > 1 else count)
    assert shown.parts["picture"].value == picture
    assert (
        TEXTS["tr"]["none"] in text(shown, "findings")
        and "download" not in shown.parts["findings"].value
    )


def test_nothing_found_is_no_all_clear(shown):
    examine(shown, encoded(DARK))
    assert "tümör olmadığı anlamına gelmez" in text(shown, "findings")
    shown.language.value = "en"
    assert "not mean that there is no tumour" in text(shown, "findings")


def test_the_language_changes_every_word_and_how_numbers_are_written(shown):
    examine(shown, encoded(np.full((400, 600, 3), 200, np.uint8)))
    shown.threshold.value = 0.8
    turkish = {name: text(shown, name) for name in shown.parts}
    assert shown.detect.description == "Tümör Tespiti" and "0,94" in turkish["findings"]
    shown.language.value = "en"
    assert shown.detect.description == "Detect tumour" and "0.94" in text(shown, "findings")
    unchanged = [
        name for name in turkish if text(shown, name).strip() and text(shown, name) == turkish[name]
    ]
    assert not [name for name in unchanged if name != "drawing"]
    assert "0.80" in text(shown, "threshold") and "0,80" in turkish["threshold"]
    shown.language.value = "tr"
    assert {name: text(shown, name) for name in shown.parts} == turkish


def test_numbers_are_grouped(shown):
    assert shown._number(1234567.5, 1) == "1.234.567,5"
    shown.language.value = "en"
    assert shown._number(1234567.5, 1) == "1,234,567.5"


def test_research_use_and_provenance_are_always_there(shown):
    for act in (
        lambda: None,
        lambda: examine(shown, encoded(BRIGHT)),
        lambda: upload(shown, b"junk"),
    ):
        act()
        assert "Yalnızca araştırma amaçlıdır, tanı için kullanılamaz." in text(shown, "notice")
        assert "Research use only" in text(shown, "notice")
        assert all(
            fact in text(shown, "footer")
            for fact in ("resnet101-quick-seed0", "somewhere", "imagenet")
        )
        assert "yapay" not in text(shown, "notice")
    synthetic = page.Page(lambda: detector, ORIGIN._replace(data="brain phantoms (synthetic)"))
    assert TEXTS["tr"]["synthetic"] in text(synthetic, "notice")


@pytest.mark.parametrize(
    "content, size, key",
    [
        (b"", None, "unreadable"),
        (b"junk", None, "unreadable"),
        (encoded(BRIGHT)[:-30], None, "unreadable"),
        (encoded(BRIGHT, "PPM"), None, "unreadable"),
        (dicom(BRIGHT, NumberOfFrames=3), None, "unreadable"),
        (encoded(np.zeros((1, page.SIDE**2 + 1), np.uint8)), None, "too_many_pixels"),
        (b"", 1 << 40, "too_many_bytes"),  # as the page's guard sends a file of a terabyte
        (bytes((page.MEGABYTES << 20) + 1), 1, "too_many_bytes"),  # whatever a browser says
    ],
)
def test_a_bad_upload_gets_a_message_and_the_page_goes_on(shown, content, size, key):
    examine(shown, encoded(BRIGHT))
    upload(shown, content, "<b>&.png", size)
    names = {"name": "&lt;b&gt;&amp;.png", "megabytes": page.MEGABYTES, "side": page.SIDE}
    assert TEXTS["tr"][key].format(**names) in shown.parts["status"].value
    assert "role='alert'" in shown.parts["status"].value
    assert (
        shown.detect.disabled and not shown.parts["picture"].value and not text(shown, "findings")
    )
    asyncio.run(shown.examine())  # a click that was under way
    examine(shown, encoded(BRIGHT))
    assert len(rows(shown)) == 3 and "alert" not in shown.parts["status"].value


def test_an_image_of_the_greatest_size_is_taken(shown):
    upload(shown, encoded(np.zeros((page.SIDE, page.SIDE), np.uint8)))
    assert TEXTS["tr"]["ready"] in text(shown, "status") and "2048 × 2048" in text(shown, "status")


def test_an_upload_is_not_kept_beyond_its_pixels(shown):
    upload(shown, encoded(BRIGHT))
    assert shown.upload.value == ()
    upload(shown, encoded(BRIGHT))  # the same file again
    assert not shown.detect.disabled


def test_names_of_files_are_not_html(shown):
    examine(shown, encoded(BRIGHT), "<img src=x onerror='alert(1)'>.png")
    for part in shown.parts.values():
        assert "<img" not in part.value and "='alert" not in part.value


def test_an_image_may_come_before_the_model():
    waiting = page.Page(lambda: detector, ORIGIN)
    assert TEXTS["tr"]["loading"] in text(waiting, "status")
    upload(waiting, encoded(BRIGHT))
    assert TEXTS["tr"]["loading"] in text(waiting, "status") and waiting.detect.disabled
    asyncio.run(waiting.start())
    assert TEXTS["tr"]["ready"] in text(waiting, "status") and not waiting.detect.disabled


def test_a_tab_that_was_still_fetching_the_page_is_told_again(monkeypatch):
    monkeypatch.setattr(page, "REPEATS", (0, 0))
    made, said = page.Page(lambda: detector, ORIGIN), []
    monkeypatch.setattr(
        type(made.parts["status"]),
        "send_state",
        lambda widget, key: said.append((key, widget.value)),
    )

    async def wait():
        await made.start()
        said.clear()
        while len(said) < 2:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(wait(), 10))
    assert all(key == "value" and TEXTS["tr"]["choose"] in value for key, value in said)


def test_a_model_that_cannot_be_loaded_is_explained():
    def load():
        raise InputError("runs/x/weights.h5: damaged <file>")

    broken = page.Page(load, ORIGIN)
    asyncio.run(broken.start())
    upload(broken, encoded(BRIGHT))
    assert "runs/x/weights.h5: damaged &lt;file&gt;" in broken.parts["status"].value
    assert broken.detect.disabled


def test_a_detector_that_fails_is_reported_and_can_be_tried_again():
    def failing(image, min_score):
        if image.max() == 200:
            raise MemoryError
        return detector(image, min_score)

    shown = page.Page(lambda: failing, ORIGIN)
    asyncio.run(shown.start())
    examine(shown, encoded(BRIGHT))
    assert TEXTS["tr"]["failed"].format(reason="MemoryError") in text(shown, "status")
    examine(shown, encoded(BRIGHT // 2))
    assert len(rows(shown)) == 3


def test_findings_of_an_image_that_was_replaced_meanwhile_are_dropped():
    def slow(image, min_score):
        loop.call_soon_threadsafe(upload, shown, encoded(DARK + 7), "second.png")
        time.sleep(0.05)
        return detector(image, min_score)

    async def both():
        nonlocal loop
        loop = asyncio.get_running_loop()
        await shown.start()
        upload(shown, encoded(BRIGHT), "first.png")
        first = asyncio.ensure_future(shown.examine())
        await asyncio.sleep(0)
        assert shown.detect.disabled and TEXTS["tr"]["working"] in text(shown, "status")
        await shown.examine()  # a second click while the first is worked on does nothing
        await first

    loop, shown = None, page.Page(lambda: slow, ORIGIN)
    asyncio.run(both())
    assert "second.png" in text(shown, "status") and TEXTS["tr"]["ready"] in text(shown, "status")
    assert not text(shown, "findings") and not shown.detect.disabled


def test_an_outline_runs_along_the_rim_of_its_mask_and_around_its_holes():
    mask = np.zeros((20, 30), bool)
    mask[4:14, 5:20] = True
    mask[8:10, 9:12] = False
    drawn = svg.outline(mask, np.float32([4, 5, 14, 20]), "1 · 0,90", "#56b4e9")
    assert "x='5' y='4' width='15' height='10'" in drawn
    path = re.search(r"d='([^']*)'", drawn).group(1)
    points = np.array(
        [[float(x) for x in pair.split(",")] for pair in re.findall(r"[\d.]+,[\d.]+", path)]
    )
    assert path.count("M") == 2
    assert points.min(axis=0).tolist() == [5.5, 4.5] and points.max(axis=0).tolist() == [19.5, 13.5]


@pytest.mark.parametrize("box", [(0, 0, 5, 5), (0, 25, 20, 30), (15, 29, 20, 30), (0, 0, 20, 30)])
def test_labels_stay_in_the_picture(box):
    drawn = svg.outline(np.ones((20, 30), bool), np.float32(box), "10 · 0,90", "#56b4e9")
    plate = re.search(r"class='bt-plate' x='(.*?)' y='(.*?)' width='(.*?)' height='(.*?)'", drawn)
    x, y, width, height = map(float, plate.groups())
    assert x >= 0 and y >= 0 and x + width <= 30.001 and y + height <= 20.001


def run_folder(folder: Path, finished: bool = True, **config) -> Path:
    config = {
        "profile": "quick",
        "encoder": "resnet101",
        "encoder_weights": "none",
        "min_score": 0.8,
        **config,
    }
    files.write_json(folder / "config.json", config)
    files.write_json(
        folder / "environment.json", {"sessions": [{"data": "old"}, {"data": "brain (synthetic)"}]}
    )
    if finished:
        files.write_text(folder / "metrics.csv", "id\n")
    return folder


def test_the_origin_is_read_from_the_run_folder(tmp_path):
    source = page.origin(run_folder(tmp_path / "a"))
    assert (
        source == ("a", "brain (synthetic)", "quick", "resnet101", "none", 0.8) and source.synthetic
    )
    for folder in (tmp_path / "absent", run_folder(tmp_path / "b", finished=False)):
        with pytest.raises(
            InputError, match=f"{folder.name}: .*expected the folder of a finished training"
        ):
            page.origin(folder)
    (tmp_path / "a" / "config.json").write_text('{"encoder": "vgg16"}')
    with pytest.raises(InputError, match="a: not a run of this paper .*profile"):
        page.origin(tmp_path / "a")


def test_the_page_serves_the_newest_finished_run(tmp_path):
    old, new, unfinished = (run_folder(tmp_path / name, name != "c") for name in "abc")
    os.utime(old / "metrics.csv", (1, 1))
    assert serve.newest(tmp_path) == new
    os.utime(new / "metrics.csv", (0, 0))
    assert serve.newest(tmp_path) == old


def test_a_port_in_use_is_an_error_of_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}: .*--port"):
            serve.serve(PROJECT / "page.ipynb", port)


# From here on: a server with the detector above, and a real browser.


class Server(NamedTuple):
    address: str
    process: psutil.Process
    folder: Path  # holds everything that it could write
    log: Path


@pytest.fixture(scope="module")
def browser():
    path = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if not path:
        pytest.skip("no Chromium in PATH")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def server(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("too_long_for_the_address_of_a_socket_in_it")
    cell = "\n".join(
        [
            "import numpy as np",
            "from reproductions.brain_tumour_mask_rcnn import page",
            "from reproductions.brain_tumour_mask_rcnn.detections import Detections",
            inspect.getsource(detector),
            f"page.Page(lambda: detector, page.Origin(*{tuple(ORIGIN)})).show()",
        ]
    )
    code = {
        "cell_type": "code",
        "id": "a",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": cell,
    }
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python", "language": "python"}}
    files.write_json(
        folder / "test.ipynb",
        {"cells": [code], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5},
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = "import sys; from pathlib import Path; from reproductions.brain_tumour_mask_rcnn import ui; "
    start += "serve.serve(Path(sys.argv[1]), int(sys.argv[2]))"
    homes = dict.fromkeys(("HOME", "TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"), str(folder))
    log = folder / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", start, folder / "test.ipynb", str(port)],
            cwd=PROJECT,
            env={**os.environ, **homes},
            stdout=stream,
            stderr=stream,
        )
    try:
        deadline = time.monotonic() + 60
        while (
            "http" not in log.read_text() and process.poll() is None and time.monotonic() < deadline
        ):
            time.sleep(0.1)
        assert f"http://127.0.0.1:{port}/" in log.read_text(), log.read_text()
        yield Server(f"http://127.0.0.1:{port}/", psutil.Process(process.pid), folder, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def open_tab(browser, server):
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.set_default_timeout(60_000)
    tab.goto(server.address)
    tab.get_by_text(TEXTS["tr"]["choose"]).wait_for()
    return tab


def choose(tab, path):
    with tab.expect_file_chooser() as chooser:
        tab.get_by_title(TEXTS["tr"]["upload"]).click()
    chooser.value.set_files(path)


@pytest.fixture
def scan(tmp_path):
    """A real MR image where there is one, else noise; as JPEG under the name of a patient."""
    path = tmp_path / "hasta-4711.jpg"
    real = Path(os.environ.get("DATA_ROOT", ""), "brain_mri/brain_tumor_data/test/361.jpg")
    if "DATA_ROOT" in os.environ and real.exists():
        shutil.copyfile(real, path)
    else:
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)).save(
            path
        )
    return path


def test_upload_detect_and_download_in_a_browser(browser, server, scan, tmp_path):
    tab, other = open_tab(browser, server), open_tab(browser, server)
    answered = []
    tab.on("response", lambda response: answered.append(response.url))
    choose(tab, scan)
    tab.get_by_text(TEXTS["tr"]["ready"]).wait_for()
    tab.get_by_role("button", name="Tümör Tespiti").click()
    tab.get_by_role("heading", name="Bulgular").wait_for()
    assert tab.locator("path.bt-contour").count() == 2
    drawn, picture = (
        tab.locator(f".bt-{part} svg").bounding_box() for part in ("drawing", "picture")
    )
    assert drawn == picture and drawn["width"] > 500
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Maskeyi indir").click()
    assert download.value.suggested_filename == "hasta-4711_mask.png"
    mask = np.array(Image.open(download.value.path()))
    assert mask.shape == np.array(Image.open(scan)).shape[:2] and (mask == 255).sum() == 500

    tab.get_by_text("English").click()
    tab.get_by_role("heading", name="Findings").wait_for()
    slider = tab.get_by_role("slider")
    slider.press("End")
    tab.get_by_text(TEXTS["en"]["none"]).wait_for()
    tab.locator(".bt-findings").scroll_into_view_if_needed()
    assert tab.get_by_text(TEXTS["en"]["notice"]).is_visible()

    # Two tabs know nothing of each other, and one that is left takes its process along.
    assert (
        other.get_by_text(TEXTS["tr"]["empty"]).is_visible()
        and other.get_by_text("Türkçe").is_visible()
    )
    assert len(server.process.children()) == 2
    tab.goto("about:blank")
    deadline = time.monotonic() + 20
    while len(server.process.children()) == 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(server.process.children()) == 1
    tab.close()
    other.close()
    assert all(url.startswith((server.address, "data:", "blob:")) for url in answered)


def test_bad_uploads_in_a_browser_get_a_message_and_the_page_lives_on(
    browser, server, scan, tmp_path
):
    tab = open_tab(browser, server)
    (tmp_path / "garbage.png").write_bytes(os.urandom(5000))
    (tmp_path / "cut.jpg").write_bytes(scan.read_bytes()[:-2000])
    Image.fromarray(np.zeros((1, page.SIDE**2 + 1), np.uint8)).save(tmp_path / "wide.tif")
    for name, size in [("full.tif", page.MEGABYTES << 20), ("huge.dcm", 64 << 20)]:
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size)
    expected = {
        "garbage.png": "unreadable",
        "cut.jpg": "unreadable",
        "wide.tif": "too_many_pixels",
        "full.tif": "unreadable",
        "huge.dcm": "too_many_bytes",
    }
    for name, key in expected.items():
        choose(tab, tmp_path / name)
        tab.get_by_text(
            TEXTS["tr"][key].format(name=name, megabytes=page.MEGABYTES, side=page.SIDE)
        ).wait_for()
    choose(tab, scan)
    tab.get_by_role("button", name="Tümör Tespiti").click()
    tab.get_by_role("heading", name="Bulgular").wait_for()

    # The tab is still open: nothing listens but on this machine, and nothing of the upload lies
    # about.
    everything = [server.process, *server.process.children(recursive=True)]
    listening = [
        c.laddr.ip
        for process in everything
        for c in process.net_connections("inet")
        if c.status == "LISTEN"
    ]
    assert set(listening) == {"127.0.0.1"}
    assert scan.stem not in server.log.read_text() and "garbage" not in server.log.read_text()
    piece = scan.read_bytes()[1000:1100]
    written = [path for path in server.folder.rglob("*") if path.is_file()]
    assert written and not [
        path for path in written if piece in path.read_bytes() or scan.stem in path.name
    ]
    tab.close()
