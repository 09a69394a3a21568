"""The synthetic data of every paper, made by one call."""

import importlib

import pytest

import reproductions
from common.datasets import manifests
from tools.demo import write_phantoms


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    write_phantoms(root)
    return root


@pytest.mark.parametrize("paper", reproductions.names())
def test_the_demo_finds_synthetic_data_of_every_paper(data_root, paper):
    config = importlib.import_module(f"reproductions.{paper}.config")
    found = manifests.find_first(config.DATA_SETS, data_root)
    assert found.name == config.DATA_SETS[0] and found.synthetic
    assert found.title == f"{found.name} phantoms (synthetic)"


@pytest.mark.parametrize("paper", reproductions.names())
def test_the_seed_decides_the_pixels(data_root, tmp_path, paper):
    config = importlib.import_module(f"reproductions.{paper}.config")
    phantom = importlib.import_module(f"reproductions.{paper}.phantom")
    manifest = manifests.load_manifest(config.DATA_SETS[0])
    folders = [tmp_path / name for name in ("one", "same", "other")]
    for folder, seed in zip(folders, (0, 0, 1)):
        phantom.write(folder, seed=seed)
    one, same, other = (manifests.verify(manifest, folder).fingerprint for folder in folders)
    assert one == same != other
