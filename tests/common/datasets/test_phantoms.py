"""What the synthetic images of all papers are built of, and the folder that is replaced whole."""

import numpy as np
import pytest

from common.datasets import phantoms
from common.datasets.manifests import PHANTOM
from common.errors import InputError
from reproductions.tnbc_linknet import phantom as tnbc_phantom


def test_replaces_phantoms_but_never_data(tmp_path):
    tnbc_phantom.write(tmp_path / "p", patients=2, images_per_patient=1, size=32)
    tnbc_phantom.write(tmp_path / "p", patients=1, images_per_patient=1, size=32)
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == [
        "GT_01",
        "PHANTOM.json",
        "Slide_01",
    ]
    (tmp_path / "p/PHANTOM.json").unlink()
    with pytest.raises(InputError, match="holds data"):
        tnbc_phantom.write(tmp_path / "p", size=32)
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["GT_01", "Slide_01"]


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tnbc_phantom, "write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tnbc_phantom.write(tmp_path / "p", patients=1, images_per_patient=1, size=32)
    assert not list(tmp_path.iterdir())


def test_a_failing_run_keeps_the_phantom_that_was_there(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / PHANTOM).write_text("{}")
    with pytest.raises(ZeroDivisionError), phantoms.replacing(tmp_path / "p") as new:
        (new / "half").mkdir(parents=True)
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.rglob("*")] == ["p", PHANTOM]


@pytest.mark.parametrize("size", [32, 96])
def test_tissue_has_numbered_nuclei_that_are_darker(size):
    stain = phantoms.stain(np.random.default_rng(0))
    image, labels = phantoms.tissue(np.random.default_rng(1), size, stain)
    again, _ = phantoms.tissue(np.random.default_rng(1), size, stain)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
    assert labels.shape == (size, size) and set(np.unique(labels)) == {*range(labels.max() + 1)}
    assert image[labels > 0].mean() < image[labels == 0].mean()
    np.testing.assert_array_equal(image, again)


def test_noise_is_normed_and_as_smooth_as_asked():
    for scale in (1, 8):
        noise = phantoms.smooth_noise(np.random.default_rng(0), 64, scale)
        assert noise.shape == (64, 64)
        assert noise.mean() == pytest.approx(0, abs=1e-9) and noise.std() == pytest.approx(1)
        roughness = np.abs(np.diff(noise, axis=0)).mean()
        assert (roughness > 0.3) == (scale == 1)


def test_a_spiky_lesion_is_higher_and_has_a_longer_border():
    for spiky in (False, True):
        lesion = phantoms.lesion_outline(np.random.default_rng(3), 128, (64, 64), 30, spiky)
        assert lesion.dtype == bool and lesion[64, 64]
        assert 0.6 < lesion.sum() / (np.pi * 30**2) < 1.4
        rows, columns = (np.ptp(np.flatnonzero(lesion.any(axis=axis))) for axis in (1, 0))
        assert (columns / rows > 1.25) == (not spiky)
