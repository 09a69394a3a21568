"""What the largest images and batches take: minutes each, so that only EXPLORE=1 runs them."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pandas
import pytest
import tifffile

from common.files import PROJECT
from common.imaging.writing import write_png

pytestmark = pytest.mark.skipif(
    not os.environ.get("EXPLORE"), reason="takes minutes; EXPLORE=1 runs it"
)
SIZE = 20_000
BLOCKS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
TILE = BLOCKS.repeat(8, axis=0).repeat(8, axis=1)

# Of a paper, all but its network, whose place a mean of the channels takes.
LARGE = """
    import importlib, sys
    from pathlib import Path
    import numpy as np
    from common.imaging.reading import read
    from common.prediction import one_image
    from common.prediction.journal import Journal
    from common.prediction.predictor import Member, Predictor, Way
    from common.prediction.source import Item

    paper, path, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    module = importlib.import_module(f"reproductions.{paper}.predictor")
    config = importlib.import_module(f"reproductions.{paper}.config").PROFILES["smoke"]
    (kind,) = (
        one for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Predictor) and one is not Predictor
    )

    class MeanOfChannels:
        def predict_on_batch(self, images):
            grey = images.mean(axis=-1, keepdims=True) % 1
            return grey if kind.has_threshold else np.concatenate([1 - grey, grey, grey], axis=-1)

    member = Member(Path(), config, MeanOfChannels())
    predictor = kind([member] if paper == "tnbc_linknet" else member)
    list(predictor.predict(np.zeros((2000, 2000, 3), np.uint8), Way(), lambda *n: None).bands)

    def status(field):
        return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1e6

    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    writing = one_image.Writing(out, "Stand-in", "", Journal(out, predictor.classes))
    one_image.predict(Item(path, "a"), read(path), predictor, Way(), writing, lambda *n: None)
    print(status("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "slide.tif"
    tiles = (TILE for _ in range((-(-SIZE // 512)) ** 2))
    options = {"photometric": "rgb", "compression": "zlib", "maxworkers": 1}
    tifffile.imwrite(path, tiles, shape=(SIZE, SIZE, 3), dtype=np.uint8, tile=(512, 512), **options)
    yield path
    path.unlink()


@pytest.mark.parametrize("paper", ["tnbc_linknet", "busi_resnext_unet", "brecahad_slicing"])
def test_a_slide_is_predicted_within_half_a_gigabyte_beyond_the_network(slide, tmp_path, paper):
    words = [sys.executable, "-c", textwrap.dedent(LARGE), paper, str(slide), str(tmp_path)]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    gigabytes = float(done.stdout.split()[-1])
    print(f"{paper}: {gigabytes:.2f} GB beyond the network")
    assert gigabytes < 0.5
    for name in ("a_mask.tif", "a_overlay.tif"):
        with tifffile.TiffFile(tmp_path / name) as tiff:
            assert tiff.pages[0].imagewidth == SIZE and tiff.pages[0].imagelength >= SIZE


BATCH = """
    import resource, runpy, sys
    from common.prediction import command, predict

    GreyPredictor = runpy.run_path(sys.argv.pop(1))["GreyPredictor"]
    try:
        predict.run("grey", command.parse("grey"), lambda _: GreyPredictor(), lambda run: (run,))
    finally:
        print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
"""


def test_a_thousand_images_go_on_after_a_kill_and_past_bad_ones(tmp_path):
    grey = np.full((150, 200), 120, np.uint8)
    grey[20:60, 30:80], grey[90:130, 120:170] = 20, 250
    for number in range(1000):
        write_png(tmp_path / f"in/{number:04d}.png", np.roll(grey, number))
    for number in (7, 500, 990):
        (tmp_path / f"in/{number:04d}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    run = tmp_path / "runs/grey/a"
    run.mkdir(parents=True)
    for name in ("config.json", "predictions.json", "weights.h5"):
        (run / name).write_text(json.dumps({}))
    stand_in = PROJECT / "tests/common/prediction/conftest.py"
    words = [sys.executable, "-c", textwrap.dedent(BATCH), str(stand_in), str(tmp_path / "in")]
    words += ["--out", str(tmp_path / "out"), "--run", str(run), "--skip-existing"]
    options = {"cwd": PROJECT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def masks():
        return len(list((tmp_path / "out").glob("*_mask.png")))

    with subprocess.Popen(words, **options) as process:
        while masks() < 300:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = masks()
    assert 300 <= done < 997
    short = [*words[:4], str(tmp_path / "in/0000.png"), "--out", str(tmp_path / "one"), *words[7:]]
    peaks = []
    for command, expected in ((words, 1), (short, 0)):
        ended = subprocess.run(command, **options)
        assert ended.returncode == expected, ended.stderr
        peaks.append(float(ended.stdout.split()[-1]))
        if command is words:
            assert f"{997 - done} predicted, {done} skipped, 3 failed" in ended.stdout
            told = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
            assert len(told) == 3
    print(f"{peaks[0]:.0f} MB for a thousand images, {peaks[1]:.0f} MB for one")
    assert peaks[0] < peaks[1] + 40
    assert masks() == 997
    assert len(pandas.read_csv(tmp_path / "out/images.csv")) == 997
