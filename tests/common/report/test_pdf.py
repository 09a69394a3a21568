import re
import shutil

import pytest

from common.errors import InputError
from common.report import pdf

PAGE = """<style>@page { size: A4 } nav, h2 { break-after: page }
@media print { nav a[data-page]::after { content: " " attr(data-page) } }</style>
<nav><a href="#one">One</a> <a href="#two">Two</a> <a href="#none">None</a></nav>
<h2 id="one">One</h2><h2>between</h2><p id="two">Two</p>"""


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(PAGE)
    return path


def test_the_contents_name_the_pages(page, tmp_path):
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not any(map(shutil.which, pdf.BROWSERS)):
        pytest.skip("Chromium is not installed")
    assert pdf.print_page(page, tmp_path / "page.pdf") == 4
    printed = (tmp_path / "page.pdf").read_bytes()
    assert pdf.places(printed) == {"one": 2, "two": 4}
    assert len(re.findall(rb"/Type /Outlines", printed)) == 1


def test_a_machine_without_chromium_gets_one_line(page, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="none of chromium, .* is installed"):
        pdf.print_page(page, tmp_path / "page.pdf")
