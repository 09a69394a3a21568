import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from common.metrics import aji
from tools.bench import per_pair
from tools.bench.metrics import label_maps

MAPS = hnp.arrays(np.int32, (6, 7), elements=st.integers(0, 3))


@given(MAPS, MAPS)
def test_the_slow_way_gives_the_same(true, pred):
    # Ties are broken in another way.
    overlaps = aji._overlaps(true, pred)
    if np.unique(np.round(overlaps.iou, 9)).size < overlaps.iou.size:
        return
    assert per_pair.aji_counts(true, pred) == aji.aji_counts(true, pred)
    if true.any() or pred.any():
        assert per_pair.panoptic_quality(true, pred) == pytest.approx(
            aji.panoptic_quality(true, pred).pq
        )


@pytest.mark.parametrize("count", [7, 60])
def test_the_slow_one_to_one_matching_gives_the_same(count):
    true, pred = label_maps(count, 130)
    assert per_pair.aji_plus_counts(true, pred) == aji.aji_plus_counts(true, pred)


def test_the_maps_hold_what_they_say():
    true, pred = label_maps(100, 500)
    assert (
        np.unique(true).size == 101 and np.unique(pred).size == 96
    )  # with background; every 20th is missed
    assert true.dtype == pred.dtype == np.int32 and true.shape == (500, 500)
    assert 0.5 < aji.aji(true, pred) < 0.95
