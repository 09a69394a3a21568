from __future__ import annotations

import asyncio
import contextlib
import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from reproductions.brain_tumour_mask_rcnn.app import facts, findings, wire, wording

from .conftest import NETWORK

masks = arrays.arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)))


@given(masks)
def test_findings_survive_the_way_between_two_processes(masks):
    scores = np.linspace(0.3, 0.9, len(masks))
    found = findings.from_masks(scores, np.zeros((len(masks), 4), np.float32), masks)
    back = findings.from_message(*findings.to_message(found))
    assert [f.score for f in back] == sorted(scores, reverse=True)
    for finding, mask in zip(back, masks[::-1]):
        assert (findings.union([finding], *mask.shape) == mask).all()
        assert finding.pixels == mask.sum()
    assert (findings.union(back, *masks.shape[1:]) == masks.any(axis=0)).all()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_none(content):
    async def read():
        stream = asyncio.StreamReader()
        stream.feed_data(content)
        stream.feed_eof()
        return await wire.receive(stream)

    with contextlib.suppress(ValueError):
        assert asyncio.run(read()) is None


@given(st.floats(0, 1))
def test_a_score_rounded_down_is_reached_and_no_larger_hundredth_is(score):
    shown = wording.rounded_down(score)
    assert shown <= score < shown + 0.01 + 1e-12
    assert shown == round(shown, 2)


def test_the_examples_in_docstrings_are_true():
    for module in (wire, wording):
        assert doctest.testmod(module).failed == 0 < doctest.testmod(module).attempted


def test_facts_survive_the_way_into_a_tab():
    for network in (NETWORK, NETWORK._replace(measured=None)):
        assert facts.from_json(facts.to_json(network)) == network


def test_a_message_of_too_many_bytes_is_refused():
    with pytest.raises(ValueError, match="expected at most"):
        wire._header(b'{"bytes": %d}\n' % (wire.MOST + 1))
