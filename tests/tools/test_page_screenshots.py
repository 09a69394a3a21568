"""The screenshots of the page are made by a command that works."""

import shutil
import subprocess
import sys

import pytest
from PIL import Image

from common.files import PROJECT


@pytest.mark.slow
def test_a_screenshot_of_the_page_is_taken_without_a_network(tmp_path):
    pytest.importorskip("playwright")
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("no Chromium in PATH")
    command = [sys.executable, "-m", "tools.page_screenshots", "--kinds", "phone"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=PROJECT, capture_output=True, text=True
    )
    path = tmp_path / "page-phone.png"
    assert (done.stdout, done.stderr) == (f"written: {path}\n", "")
    assert Image.open(path).width == 720  # 360 at two pixels each: nothing sticks out
