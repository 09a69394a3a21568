import base64
import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from common.report import thumbnails


def draw(path, width, height, noise=False):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels = pixels if noise else np.full_like(pixels, (180, 90, 120))
    Image.fromarray(pixels).convert("RGBA").save(path)
    return path


def test_an_image_becomes_an_address_that_holds_it(tmp_path):
    path = draw(tmp_path / "a.png", 300, 100)
    small = thumbnails.embed([path])[path]
    kind, content = small.source.split(",")
    assert kind == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == (small.width, small.height) == (300, 100)
        assert (
            np.abs(np.asarray(image, int) - (180, 90, 120)).max() <= 8
        )  # of 255, as the compression loses some
    assert small.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert thumbnails.embed([path])[path] == small


def test_wide_images_are_reduced_and_small_ones_left(tmp_path):
    wide, small = draw(tmp_path / "wide.png", 2500, 1000), draw(tmp_path / "small.png", 200, 800)
    found = thumbnails.embed([wide, small])
    assert (found[wide].width, found[wide].height) == (thumbnails.WIDEST, 400)
    assert (found[small].width, found[small].height) == (200, 800)


def test_many_images_share_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(thumbnails, "PIXELS", 50_000)
    paths = [
        draw(tmp_path / f"{number}.png", 500, 100 * number, noise=True) for number in (1, 2, 3)
    ]
    found = thumbnails.embed(paths)
    assert sum(p.width * p.height for p in found.values()) == pytest.approx(50_000, rel=0.02)
    assert [
        round(found[path].width / found[path].height * number)
        for path, number in zip(paths, (1, 2, 3))
    ] == [
        5,
        5,
        5,
    ]


def test_no_images_are_no_problem():
    assert thumbnails.embed([]) == {}


@pytest.mark.parametrize("end", [0, 10, 200])
def test_a_damaged_image_is_named(tmp_path, end):
    path = draw(tmp_path / "figure1.png", 64, 64, noise=True)
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(InputError, match=r"figure1\.png: not an image; regenerate it"):
        thumbnails.embed([path])
