"""The page's widgets, with a model that answers at once and no browser."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import re
from datetime import datetime

import numpy as np
import pytest
from PIL import Image

from reproductions.brain_tumour_mask_rcnn.app import findings, page, uploads, views
from reproductions.brain_tumour_mask_rcnn.app.model_client import DetectionError
from reproductions.brain_tumour_mask_rcnn.app.strings import TEXTS

from . import stub_model
from .conftest import NETWORK, dicom, encoded, plain

TURKISH, ENGLISH = TEXTS["tr"], TEXTS["en"]
BRIGHT = plain()


class Model:
    """Finds what the stand-in network finds; `error` is raised instead where it is set."""

    error = None

    async def detect(self, image, min_score):
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        found = stub_model.detector(image, min_score)
        return findings.from_masks(found.scores, found.boxes, found.masks)


@pytest.fixture
def shown():
    """A page whose network is ready."""
    made = page.Page(Model(), NETWORK)
    made.tell({"state": "ready", "reason": "", "folder": True})
    return made


def upload(shown: page.Page, content: bytes, name: str = "scan.png", size: int = -1) -> None:
    """Do what the browser does."""
    size = len(content) if size < 0 else size
    file = {"name": name, "type": "", "size": size, "content": memoryview(content)}
    shown.upload.value = ({**file, "last_modified": datetime.now()},)


def examine(shown: page.Page, content: bytes, name: str = "scan.png") -> None:
    upload(shown, content, name)
    asyncio.run(shown.examine())


def text(shown: page.Page, part: str) -> str:
    return re.sub(r"<[^>]*>", " ", shown.parts[part].value)


def rows(shown: page.Page):
    """The cells of the table of findings."""
    body = shown.parts["findings"].value.partition("<tbody>")[2].partition("</tbody>")[0]
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in body.split("<tr")[1:]]
    return [[re.sub(r"<[^>]*>", "", cell) for cell in row] for row in cells]


def downloaded(shown: page.Page, kind: str):
    """Name and bytes of a file that the page hands to the browser."""
    asyncio.run(shown.download(kind))
    link = re.search(r"download='(.*?)' href='data:.*?,(.*?)'", shown.parts["handout"].value)
    return link.group(1), base64.b64decode(link.group(2))


def test_both_languages_say_the_same_things():
    assert set(TURKISH) == set(ENGLISH)
    for key in TURKISH:
        turkish, english = (set(re.findall(r"{\w+}", TEXTS[code][key])) for code in TEXTS)
        assert turkish == english, key


def test_findings_are_measured_in_order_of_their_scores(shown):
    examine(shown, encoded(BRIGHT))
    assert rows(shown) == [
        ["1", "0,93", "300", "–"],
        ["2", "0,75", "200", "–"],
        ["Birleşik alan", "", "500", "–"],
    ]
    assert "1 aday var; en yüksek skor 0,25" in text(shown, "findings")
    assert re.findall(r">(\d · .*?)</text>", shown.parts["drawing"].value) == [
        "2 · 0,75",
        "1 · 0,93",
    ]
    assert "Bulgu sayısı: 2, en yüksek skor 0,93" in text(shown, "status")


def test_areas_in_square_millimetres_need_the_spacing_of_a_dicom_file(shown):
    examine(shown, dicom(BRIGHT, PixelSpacing=[0.5, 0.5]), "scan.dcm")
    assert [row[2:] for row in rows(shown)] == [["300", "75,0"], ["200", "50,0"], ["500", "125,0"]]
    assert "PixelSpacing" not in text(shown, "findings")
    examine(shown, dicom(BRIGHT), "scan.dcm")
    assert {row[3] for row in rows(shown)} == {"–"}
    assert "PixelSpacing" in text(shown, "findings")


def test_the_threshold_begins_at_the_networks_own_and_filters_without_another_examination(shown):
    assert shown.threshold.value == NETWORK.min_score
    examine(shown, encoded(BRIGHT))
    picture = shown.parts["picture"].value
    shown._model = None
    for threshold, count in [(0.05, 3), (0.25, 3), (0.26, 2), (0.8, 1), (0.95, 0), (0.99, 0)]:
        shown.threshold.value = threshold
        assert shown.parts["drawing"].value.count("bt-contour") == count
        assert len(rows(shown)) == (count + 1 if count > 1 else count)
    assert shown.parts["picture"].value == picture
    assert TURKISH["none"] in text(shown, "findings")


def test_a_score_just_below_the_threshold_never_reads_like_it(shown):
    class Near(Model):
        async def detect(self, image, min_score):
            masks = np.ones((1, *image.shape[:2]), bool)
            return findings.from_masks(np.float32([0.697]), np.float32([[0, 0, 9, 9]]), masks)

    shown._model = Near()
    examine(shown, encoded(BRIGHT))
    assert not rows(shown) and "en yüksek skor 0,69" in text(shown, "findings")
    shown.threshold.value = 0.69
    assert rows(shown)[0][1] == "0,69"


def test_nothing_found_is_no_all_clear(shown):
    examine(shown, encoded(np.zeros((40, 60, 3), np.uint8)))
    assert "tümör olmadığı anlamına gelmez" in text(shown, "findings")
    shown.language.value = "en"
    assert "not mean that there is no tumour" in text(shown, "findings")


def test_the_language_changes_every_word_and_how_numbers_are_written(shown):
    examine(shown, encoded(BRIGHT))
    shown.threshold.value = 0.8
    turkish = {name: part.value for name, part in shown.parts.items()}
    assert shown.detect.description == "Tümör Tespiti" and "0,93" in turkish["findings"]
    shown.language.value = "en"
    assert shown.detect.description == "Detect tumour" and "0.93" in text(shown, "findings")
    unchanged = [name for name, value in turkish.items() if shown.parts[name].value == value]
    assert set(unchanged) <= {"picture", "handout", "alert"}
    shown.language.value = "tr"
    assert {name: part.value for name, part in shown.parts.items()} == turkish


def test_research_use_provenance_and_measured_scores_are_always_there(shown):
    for act in (lambda: None, lambda: examine(shown, encoded(BRIGHT)), lambda: upload(shown, b"x")):
        act()
        assert "Yalnızca araştırma amaçlıdır, tanı için kullanılamaz." in text(shown, "notice")
        assert "Research use only" in text(shown, "notice")
        assert all(fact in text(shown, "footer") for fact in (NETWORK.run, NETWORK.data))
        said = text(shown, "measured")
        assert "%65" in said and "0,18 yanlış pozitif" in said and "Dice 0,62" in said
        assert TURKISH["measured_elsewhere"] not in said
    shown.threshold.value = 0.5
    assert TURKISH["measured_elsewhere"] in text(shown, "measured")


@pytest.mark.parametrize(
    "changes, stamps",
    [
        ({}, []),
        ({"data": "brain phantoms (synthetic)"}, ["stamp_synthetic"]),
        ({"data": ""}, ["stamp_unknown_data"]),
        ({"profile": "smoke", "steps": 4}, ["stamp_smoke"]),
        ({"profile": "quick"}, ["stamp_quick"]),
        ({"profile": "quick", "steps": 150}, ["stamp_short"]),
        ({"steps": 150}, ["stamp_short"]),
        ({"data": "x (synthetic)", "profile": "smoke"}, ["stamp_synthetic", "stamp_smoke"]),
    ],
)
def test_a_network_that_is_not_the_sources_is_stamped(changes, stamps):
    network = NETWORK._replace(**changes)
    assert network.stamps == stamps
    notice = re.sub(r"<[^>]*>", "", page.Page(Model(), network).parts["notice"].value)
    for key in stamps:
        facts = {"steps": network.steps, "full": network.full_steps, "profile": network.profile}
        assert TURKISH[key].format(**facts) in notice
    assert notice.count("Bu ağ") == len(stamps)


def test_a_network_that_was_not_measured_says_so():
    unmeasured = page.Page(Model(), NETWORK._replace(measured=None))
    assert TURKISH["measured_none"] in unmeasured.parts["measured"].value


@pytest.mark.parametrize(
    "content, size, key",
    [
        (b"", -1, "unreadable"),
        (b"junk", -1, "unreadable"),
        (encoded(BRIGHT)[:-30], -1, "unreadable"),
        (dicom(np.stack([BRIGHT[..., 0]] * 2), frames=3), -1, "unreadable"),
        (encoded(np.zeros((1, uploads.SIDE**2 + 1), np.uint8)), -1, "too_many_pixels"),
        (encoded(np.zeros((2, 2 * uploads.NARROWEST + 1), np.uint8)), -1, "too_narrow"),
        (b"", 1 << 40, "too_many_bytes"),  # as the browser is told to send a file of a terabyte
        (bytes((uploads.MEGABYTES << 20) + 1), 1, "too_many_bytes"),  # whatever it says
    ],
)
def test_a_bad_upload_gets_a_message_and_the_page_goes_on(shown, content, size, key):
    examine(shown, encoded(BRIGHT))
    upload(shown, content, "<b>&.png", size)
    if key == "unreadable" and content[128:132] == b"DICM":
        shown.list.index = len(shown.list.options) - 1  # its last frame is cut off
    told = TURKISH[key].format(name="&lt;b&gt;&amp;.png", **views.LIMITS)
    assert told in shown.parts["alert"].value
    assert shown.detect.disabled and not shown.parts["picture"].value
    assert not text(shown, "findings")
    asyncio.run(shown.examine())  # a click that was under way
    examine(shown, encoded(BRIGHT))
    assert len(rows(shown)) == 3 and not shown.parts["alert"].value


def test_an_image_of_the_greatest_size_is_taken(shown):
    upload(shown, encoded(np.zeros((uploads.SIDE, uploads.SIDE), np.uint8)))
    assert TURKISH["ready"] in text(shown, "status") and "2048 × 2048" in text(shown, "status")


def test_every_file_is_answered_and_none_is_kept_by_the_widget(shown):
    for number, content in enumerate((encoded(BRIGHT), b"junk", encoded(BRIGHT)), start=1):
        upload(shown, content)
        assert shown.upload.value == () and f"&quot;received&quot;: {number}" in text_of_words(
            shown
        )


def text_of_words(shown: page.Page) -> str:
    return shown.parts["words"].value


def test_the_list_has_a_limit_and_can_be_emptied(shown, monkeypatch):
    monkeypatch.setattr(uploads, "ENTRIES", 4)
    for _ in range(3):
        upload(shown, encoded(BRIGHT))
    stack = dicom(np.stack([BRIGHT[..., 0]] * 2), frames=2)
    upload(shown, stack, "two.dcm")
    assert "“two.dcm” eklenemedi" in text(shown, "alert") and len(shown.list.options) == 3
    shown.clear.click()
    assert TURKISH["choose"] in text(shown, "status") and not text(shown, "alert")
    upload(shown, stack, "two.dcm")
    assert shown.list.options == (
        "1. incelenmedi – two.dcm · kare 1/2",
        "2. incelenmedi – two.dcm · kare 2/2",
    )


def test_all_images_of_the_list_are_examined_and_kept(shown):
    pages = io.BytesIO()
    dark = Image.fromarray(np.zeros((40, 60, 3), np.uint8))
    Image.fromarray(BRIGHT).save(pages, "TIFF", save_all=True, append_images=[dark])
    upload(shown, pages.getvalue(), "pages.tif")
    upload(shown, b"junk", "bad.png")
    asyncio.run(shown.examine_all())
    assert [option[3:].partition(" – ")[0] for option in shown.list.options] == [
        "2 bulgu",
        "0 bulgu",
        "okunamadı",
    ]
    shown.list.index = 0
    assert len(rows(shown)) == 3
    shown.list.index = 1
    assert TURKISH["none"] in text(shown, "findings")


def test_long_names_leave_room_for_what_was_found(shown):
    uid = "1.2.840.113619.2.55.3.604688119.971.1716891234.471.dcm"
    for name in (uid, "short.png"):
        upload(shown, encoded(BRIGHT), name)
    asyncio.run(shown.examine_all())
    assert shown.list.options == (
        "1. 2 bulgu – 1.2.840.…6891234.471.dcm",
        "2. 2 bulgu – short.png",
    )
    shown.list.index = 0
    assert uid in text(shown, "status")


def test_names_of_files_are_not_html(shown):
    examine(shown, encoded(BRIGHT), "<img src=x onerror='alert(1)'>.png")
    asyncio.run(shown.download("mask"))
    for part in shown.parts.values():
        assert "<img" not in part.value and "='alert" not in part.value


def test_an_image_may_come_before_the_network():
    waiting = page.Page(Model(), NETWORK)
    assert TURKISH["loading"] in text(waiting, "status")
    upload(waiting, encoded(BRIGHT))
    assert TURKISH["loading"] in text(waiting, "status") and waiting.detect.disabled
    waiting.tell({"state": "ready", "reason": "", "folder": True})
    assert TURKISH["ready"] in text(waiting, "status") and not waiting.detect.disabled


@pytest.mark.parametrize(
    "state, part, said",
    [
        ({"state": "failed", "reason": "a <file>"}, "alert", "Ağ yüklenemedi: a &lt;file&gt;."),
        ({"state": "restarting", "reason": "killed"}, "status", "bellek yetmemiş olabilir"),
        ({"state": "restarting", "reason": "time"}, "status", "yanıt vermedi"),
        ({"state": "restarting", "reason": "ended"}, "status", "sona erdi"),
        ({"state": "restarting", "reason": "ended", "folder": False}, "alert", "geri koyun"),
        ({"state": "ready", "folder": False}, "alert", "Bellekteki ağ çalışmayı sürdürür"),
    ],
)
def test_how_the_network_is_is_said(shown, state, part, said):
    upload(shown, encoded(BRIGHT))
    shown.tell({"reason": "", "folder": True, **state})
    assert said in shown.parts[part].value
    assert shown.detect.disabled == (state["state"] != "ready")


@pytest.mark.parametrize("key", ["busy", "time", "killed", "ended", "memory", "failed", "no_model"])
def test_an_examination_without_an_answer_is_told_and_can_be_tried_again(shown, key):
    shown._model.error = DetectionError(key, "RuntimeError")
    examine(shown, encoded(BRIGHT))
    assert TURKISH[key].format(reason="RuntimeError") in text(shown, "alert")
    shown._model.error = None
    asyncio.run(shown.examine())
    assert len(rows(shown)) == 3 and not text(shown, "alert")


def test_a_second_click_does_nothing_and_another_image_may_be_chosen_meanwhile(shown):
    upload(shown, encoded(BRIGHT), "first.png")

    async def both():
        first = asyncio.ensure_future(shown.examine())
        await asyncio.sleep(0)
        assert shown.detect.disabled and TURKISH["working"] in text(shown, "status")
        await shown.examine()
        upload(shown, encoded(np.zeros((40, 60, 3), np.uint8)), "second.png")
        await first

    asyncio.run(both())
    assert "second.png" in text(shown, "status") and not text(shown, "findings")
    assert "2 bulgu" in shown.list.options[0] and "incelenmedi" in shown.list.options[1]


def test_a_list_that_is_emptied_meanwhile_stays_empty(shown):
    upload(shown, encoded(BRIGHT))

    async def both():
        working = asyncio.ensure_future(shown.examine())
        await asyncio.sleep(0)
        shown._empty()
        await working

    asyncio.run(both())
    assert TURKISH["choose"] in text(shown, "status") and not shown.list.options


def test_files_hold_what_is_shown_and_what_it_may_be_used_for(shown):
    examine(shown, dicom(BRIGHT, PixelSpacing=[0.5, 0.25]), "a.dcm")
    name, content = downloaded(shown, "mask")
    image = Image.open(io.BytesIO(content))
    mask = np.array(image)
    assert name == "a_mask.png" and mask.shape == (40, 60) and (mask == 255).sum() == 500
    assert (
        image.info["PixelSpacing"] == "0.5\\0.25" and TURKISH["notice"] in image.info["Description"]
    )
    assert [round(x, 1) for x in image.info["dpi"]] == [101.6, 50.8]
    name, content = downloaded(shown, "overlay")
    overlay = np.array(Image.open(io.BytesIO(content)))
    assert name == "a_overlay.png" and overlay.shape[0] > 40 and overlay.shape[1] == 60
    assert (overlay[:40] != BRIGHT).any() and (overlay[-1] == 255).all()
    examine(shown, encoded(np.zeros((40, 60, 3), np.uint8)), "=HYPERLINK(1).png")
    name, content = downloaded(shown, "csv")
    lines = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert [(line["file"], line["finding"], line["score"]) for line in lines] == [
        ("a.dcm", "1", "0.93"),
        ("a.dcm", "2", "0.75"),
        ("'=HYPERLINK(1).png", "0", ""),
    ]
    assert lines[0]["area_mm2"] == "37.5" and lines[0]["network"] == NETWORK.run


def test_dicom_seg_is_offered_for_dicom_alone_and_says_why_it_cannot_be_written(shown):
    examine(shown, encoded(BRIGHT))
    assert shown.files["seg"].layout.display == "none"
    examine(shown, dicom(BRIGHT), "no_ids.dcm")
    assert shown.files["seg"].layout.display is None
    asyncio.run(shown.download("seg"))
    assert "StudyInstanceUID" in text(shown, "alert")
