import pytest
from tensorflow import keras

from common.training.encoders import GroupedConv2D
from tools.bench import roofline


def network(*layers):
    return keras.Sequential([keras.Input((10, 12, 32)), *layers])


def test_operations_of_a_convolution():
    plain = network(keras.layers.Conv2D(64, 3, padding="same", use_bias=False))
    assert roofline.forward_operations(plain, batch=2) == 2 * 2 * 10 * 12 * 9 * 32 * 64
    grouped = network(GroupedConv2D(64, (3, 3)))
    assert roofline.forward_operations(grouped, batch=1) == 2 * 8 * 10 * 9 * 1 * 64


def test_bytes_of_a_step():
    two = network(
        keras.layers.Conv2D(4, 1, use_bias=False), keras.layers.ReLU(), keras.layers.Conv2D(1, 1)
    )
    weights = 32 * 4 + 4 + 1
    assert (
        roofline.bytes_moved(two, batch=3, size=2) == 5 * 2 * 3 * 120 * (4 + 1) + 10 * 4 * weights
    )


def test_the_limit_follows_from_the_rates(monkeypatch):
    monkeypatch.setattr(roofline, "product_rate", lambda kind, side: 1e9)
    monkeypatch.setattr(roofline, "copy_rate", lambda size: 1e6)
    model = network(keras.layers.Conv2D(4, 1, use_bias=False))
    limit = roofline.training_limit(model, 1, "float32", side=8)
    assert limit.operations == 3 * 2 * 120 * 32 * 4
    assert limit.least_by_operations == pytest.approx(limit.operations / 1e9)
    assert limit.least_by_bytes == pytest.approx((5 * 4 * 120 * 4 + 10 * 4 * 128) / 1e6)


def test_rates_are_positive():
    assert roofline.product_rate(roofline.PRECISIONS["float32"], 64) > 0
    assert roofline.copy_rate(1 << 16) > 0
