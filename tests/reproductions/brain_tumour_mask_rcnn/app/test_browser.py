"""What a user does, in Chromium: upload, detect, choose, highlight and take away."""

from __future__ import annotations

import csv
import io
import os
import time

import numpy as np
import pytest
from PIL import Image

from reproductions.brain_tumour_mask_rcnn.app import uploads

from .browser import ENGLISH, TURKISH, detect, leave, open_tab, received, until, upload
from .conftest import dicom, encoded, plain
from .stub_model import SLOW


@pytest.fixture
def tab(chromium, server):
    opened = open_tab(chromium, server)
    yield opened
    leave(opened)


@pytest.fixture(scope="module")
def used_tab(chromium, server):
    """A tab that several tests use one after the other, as a user does."""
    opened = open_tab(chromium, server)
    yield opened
    leave(opened)


def test_upload_detect_choose_a_threshold_and_take_the_files_away(used_tab, scan):
    upload(used_tab, scan)
    used_tab.get_by_text(TURKISH["ready"]).wait_for()
    detect(used_tab)
    assert used_tab.locator("path.bt-contour").count() == 2
    drawn, picture = (
        used_tab.locator(f".bt-{part} svg").bounding_box() for part in ("drawing", "picture")
    )
    assert drawn == picture and drawn["width"] > 500
    named = {"Maske (PNG)": "_mask.png", "Çizimli görüntü (PNG)": "_overlay.png"}
    for name, ending in named.items():
        with used_tab.expect_download() as download:
            used_tab.get_by_role("button", name=name, exact=True).click()
        assert download.value.suggested_filename == f"hasta-4711{ending}"
        image = np.array(Image.open(download.value.path()))
        if ending == "_mask.png":
            assert image.shape == (300, 400) and (image == 255).sum() == 500
        else:
            assert image.shape[0] > 300 and image.shape[1:] == (400, 3)
    with used_tab.expect_download() as download:
        used_tab.get_by_role("button", name="Tablo (CSV)").click()
    text = download.value.path().read_text(encoding="utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["score"] for line in lines] == ["0.93", "0.75"]
    assert not used_tab.get_by_role("button", name="DICOM SEG").is_visible()

    used_tab.get_by_role("slider").press("End")
    used_tab.get_by_text(TURKISH["none"]).wait_for()
    used_tab.get_by_role("slider").press("Home")
    until(lambda: used_tab.locator("path.bt-contour").count() == 3)
    for _ in range(65):
        used_tab.get_by_role("slider").press("ArrowRight")
    used_tab.get_by_text("Güven eşiği: 0,70").wait_for()


def test_the_language_changes_every_word_and_is_kept(tab, scan):
    upload(tab, scan)
    detect(tab)
    tab.get_by_role("button", name="English").click()
    tab.get_by_role("heading", name="Findings").wait_for()
    until(lambda: tab.evaluate("document.documentElement.lang") == "en")
    assert tab.title() == ENGLISH["title"]
    tab.reload()
    tab.get_by_text(ENGLISH["choose"]).wait_for()
    tab.get_by_role("button", name="Türkçe").click()
    tab.get_by_text(TURKISH["choose"]).wait_for()
    until(lambda: tab.evaluate("document.documentElement.lang") == "tr")


def test_a_row_and_its_outline_are_highlighted_together(used_tab, scan):
    upload(used_tab, scan)
    detect(used_tab)
    used_tab.get_by_role("button", name="2. bulguyu görüntüde vurgula").click()
    lit = used_tab.locator(".bt-finding.bt-lit")
    assert lit.count() == 1 and lit.get_attribute("data-number") == "2"
    pick = used_tab.locator(".bt-pick[data-number='2']")
    assert pick.get_attribute("aria-pressed") == "true"
    used_tab.get_by_role("slider").press("ArrowLeft")  # the page is drawn anew
    until(lambda: lit.count() == 1)
    used_tab.locator(".bt-label[data-number='1']").click()
    until(lambda: used_tab.locator("tr.bt-lit").get_attribute("data-number") == "1")
    assert used_tab.evaluate("document.activeElement.dataset.number") == "1"


def test_several_files_and_frames_are_listed_and_examined_together(tab, scan, tmp_path):
    place = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    place.update(FrameOfReferenceUID="1.2.3.6", SliceThickness=3, PixelSpacing=[0.5, 0.5])
    ids = {"StudyInstanceUID": "1.2.3.4", "SeriesInstanceUID": "1.2.3.5"}
    (tmp_path / "one.dcm").write_bytes(dicom(plain(), **ids, **place))
    stack = np.stack([plain()[..., 0]] * 3)
    (tmp_path / "three.dcm").write_bytes(dicom(stack, frames=3))
    (tmp_path / "cut.jpg").write_bytes(scan.read_bytes()[:-2000])
    upload(tab, *(tmp_path / name for name in (scan.name, "three.dcm", "cut.jpg", "one.dcm")))
    options = tab.locator(".bt-list option")
    until(lambda: options.count() == 6)

    def lines():
        return [text.replace("\xa0", " ") for text in options.all_text_contents()]

    assert "three.dcm · kare 2/3" in lines()[2] and TURKISH["entry_bad"] in lines()[4]
    tab.get_by_role("button", name="Tümünü incele (5)").click()
    until(lambda: "2 bulgu" in lines()[5])
    assert ["2 bulgu" in line for line in lines()] == [True, True, True, True, False, True]

    with tab.expect_download() as download:
        tab.get_by_role("button", name="Maske (DICOM SEG)").click()
    assert download.value.suggested_filename == "one_seg.dcm"
    tab.locator(".bt-list select").select_option(index=4)
    tab.get_by_text(TURKISH["unreadable"].format(name="cut.jpg")).wait_for()
    tab.get_by_role("button", name="Listeyi boşalt").click()
    tab.get_by_text(TURKISH["choose"]).wait_for()
    assert tab.get_by_text(TURKISH["empty"]).is_visible()


def test_files_can_be_dropped_on_the_page(used_tab, scan):
    used_tab.evaluate(
        """content => {
          const data = new DataTransfer(), bytes = new Uint8Array(content);
          data.items.add(new File([bytes], "dropped.jpg", { type: "image/jpeg" }));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }""",
        list(scan.read_bytes()),
    )
    used_tab.get_by_text("dropped.jpg").first.wait_for()
    used_tab.get_by_text(TURKISH["ready"]).wait_for()


def test_bad_uploads_get_a_message_and_the_page_lives_on(used_tab, server, scan, tmp_path):
    (tmp_path / "garbage.png").write_bytes(os.urandom(5000))
    (tmp_path / "cut.jpg").write_bytes(scan.read_bytes()[:-2000])
    Image.fromarray(np.zeros((1, uploads.SIDE**2 + 1), np.uint8)).save(tmp_path / "wide.tif")
    for name, size in [("full.tif", uploads.MEGABYTES << 20), ("huge.dcm", 64 << 20)]:
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size)
    expected = {
        "garbage.png": "unreadable",
        "cut.jpg": "unreadable",
        "wide.tif": "too_many_pixels",
        "full.tif": "unreadable",
        "huge.dcm": "too_many_bytes",
    }
    limits = {"megabytes": uploads.MEGABYTES, "side": uploads.SIDE}
    for name, key in expected.items():
        upload(used_tab, tmp_path / name)
        used_tab.get_by_text(TURKISH[key].format(name=name, **limits)).wait_for()
    upload(used_tab, scan)
    detect(used_tab)

    # Nothing of the upload lies about, and the log says nothing.
    piece = scan.read_bytes()[1000:1100]
    written = [path for path in server.folder.rglob("*") if path.is_file()]
    assert server.log in written
    assert not [p for p in written if piece in p.read_bytes() or scan.stem in p.name]


def test_a_tab_that_nobody_uses_changes_nothing(used_tab, scan):
    upload(used_tab, scan)
    detect(used_tab)
    used_tab.mouse.move(0, 0)
    changes = used_tab.evaluate(
        """async () => {
          const pause = time => new Promise(done => setTimeout(done, time));
          await pause(1000);
          let count = 0;
          new MutationObserver(records => { count += records.length; }).observe(
            document, { childList: true, subtree: true, attributes: true, characterData: true });
          await pause(2000);
          return count;
        }"""
    )
    assert changes == 0


def test_thirty_uploads_in_a_row_are_all_answered(used_tab, server, tmp_path):
    paths = []
    for number in range(30):
        paths.append(tmp_path / f"{number}.png")
        content = encoded(plain(height=100 + number, width=200))
        paths[-1].write_bytes(content if number % 4 else content[:-40])
    before = received(used_tab), used_tab.locator(".bt-list option").count()
    upload(used_tab, *paths)
    after = received(used_tab), used_tab.locator(".bt-list option").count()
    assert [new - old for new, old in zip(after, before)] == [30, 30]
    detect(used_tab)


def test_reload_while_detecting_gives_a_fresh_page_that_works(tab, server, scan, tmp_path):
    (tmp_path / "slow.png").write_bytes(encoded(plain(SLOW)))
    upload(tab, tmp_path / "slow.png")
    tab.locator(".bt-detect:enabled").click()
    tab.get_by_text(TURKISH["working"]).wait_for()
    before = max(server.tabs, key=lambda process: process.create_time()).pid
    tab.reload()
    tab.get_by_text(TURKISH["choose"]).wait_for()
    upload(tab, scan)
    detect(tab)
    until(lambda: before not in {p.pid for p in server.tabs})  # it has ended with its tab


def test_the_second_detection_is_no_slower_than_the_first(used_tab, scan, tmp_path):
    (tmp_path / "other.png").write_bytes(encoded(plain(height=256, width=256)))
    times = []
    for path in (scan, tmp_path / "other.png"):
        upload(used_tab, path)
        began = time.monotonic()
        detect(used_tab)
        times.append(time.monotonic() - began)
    assert times[1] < times[0] + 2
