import numpy as np
import pytest

from common.prediction import bands
from common.prediction.predictor import Prediction, Predictor, TargetClass

DARK = TargetClass(1, "dark spot", (255, 80, 64), ("52988006", "Lesion"))
BRIGHT = TargetClass(2, "bright spot", (64, 220, 120), ("52988006", "Lesion"))
TILE = 64


class GreyPredictor(Predictor):
    """Stands in for a network: dark and bright pixels are its classes, tile by tile."""

    paper = "grey"
    title = "Grey levels"
    classes = (DARK, BRIGHT)
    members = ()
    has_threshold = False

    def predict(self, image, way, tick):
        def on_tiles(tiles):
            tick(len(tiles))
            kind = np.digitize(tiles[..., 0], (50, 200))
            return np.eye(3, dtype=np.float32)[np.array([1, 0, 2])[kind]]

        return Prediction(
            bands.with_largest(bands.blended(image, on_tiles, (TILE, TILE), 0.25, batch=4))
        )

    def steps(self, shape, way):
        return bands.count(shape, (TILE, TILE), 0.25)

    def aggregate(self, table):
        return {"dice": float(table["dice"].mean())}


def expected_classes(grey):
    """Values of classes, uint8 (H, W), that GreyPredictor gives."""
    return np.array([1, 0, 2], np.uint8)[np.digitize(grey, (50, 200))]


@pytest.fixture
def grey_predictor():
    """Makes a stand-in for a network."""
    return GreyPredictor


@pytest.fixture
def classes_of():
    """What the stand-in makes of uint8 (H, W)."""
    return expected_classes


@pytest.fixture
def grey():
    """An image of grey blocks, uint8 (90, 130)."""
    blocks = np.random.default_rng(0).choice(np.array([20, 120, 250], np.uint8), (9, 13))
    return np.kron(blocks, np.ones((10, 10), np.uint8))
