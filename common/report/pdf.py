"""The report on paper, by Chromium: `medseg report --pdf FILE`.

Chromium cannot say in the contents on which page a section begins (CSS `target-counter`). So it
prints twice: where the links of the first PDF lead tells the numbers in the second.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Dict, List

from common import files
from common.errors import InputError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_NUMBER = """pages => document.querySelectorAll("nav a").forEach(link => {
    link.dataset.page = pages[link.hash.slice(1)] || "";
})"""


def print_page(page: Path, path: Path) -> int:
    """Print the report, an HTML file, into a PDF file with page numbers in its contents.

    Returns:
        How many pages it has.

    Raises:
        InputError: Chromium or playwright is missing.
    """
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        raise InputError(f"--pdf: none of {', '.join(BROWSERS)} is installed; print from a browser")
    try:
        from playwright import sync_api  # not at the top: only this needs it
    except ImportError:
        raise InputError("--pdf: playwright is not installed; run `make setup`") from None
    with sync_api.sync_playwright() as playwright:
        # As root, as in a container, Chromium runs only without its sandbox.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=browser_path, args=options)
        tab = browser.new_page()
        tab.goto(page.resolve().as_uri(), timeout=0)
        begins = places(tab.pdf(prefer_css_page_size=True))
        tab.evaluate(_NUMBER, begins)
        content = tab.pdf(prefer_css_page_size=True, outline=True, tagged=True)
        browser.close()
    files.write_bytes(path, content)
    return len(_pages(content))


def places(pdf: bytes) -> Dict[str, int]:
    """Give the page, from 1, on which each named destination of a PDF by Chromium lies.

    >>> places(b"7 0 obj <</Type /Page>> 9 0 obj <</Type /Page>> /audit [9 0 R /XYZ 0 753 0]")
    {'audit': 2}
    """
    pages = _pages(pdf)
    found = re.findall(rb"/(?!Dest )([\w-]+) \[(\d+) 0 R /XYZ ", pdf)  # /Dest: of the outline
    return {name.decode(): pages.index(page) + 1 for name, page in found}


def _pages(pdf: bytes) -> List[bytes]:
    """Numbers of the objects that are pages, in their order."""
    return re.findall(rb"(\d+) 0 obj\s*<<\s*/Type /Page\b", pdf)
