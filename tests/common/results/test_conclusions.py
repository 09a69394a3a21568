"""The list of claims: each with its verdict and reason, counted, and only of the papers named."""

import io

import pytest
from rich.console import Console

from common.errors import InputError
from common.files import PROJECT
from common.results import conclusions, overview

PAPER = "tnbc_linknet"


def shown(paper) -> str:
    stream = io.StringIO()
    conclusions.show([paper], Console(file=stream, width=80))
    return stream.getvalue()


@pytest.fixture(scope="module")
def tnbc():
    return overview.of_paper(PROJECT / "reproductions" / PAPER, PROJECT / "results" / PAPER)


def test_every_claim_is_there_with_its_verdict(tnbc):
    words = " ".join(shown(tnbc).split())
    assert tnbc.claims
    for judged in tnbc.claims:
        head = f"{judged.verdict.verdict} {judged.claim.text} ({judged.claim.where})"
        assert " ".join(head.split()) in words
        assert " ".join(judged.in_short.split()) in words


def test_the_last_line_counts_them(tnbc):
    last = shown(tnbc).rstrip().splitlines()[-1]
    assert last.startswith(f"{len(tnbc.claims)} claims: ")
    counted = [int(part.split()[0]) for part in last.partition(": ")[2].split(", ")]
    assert sum(counted) == len(tnbc.claims)


def test_it_fits_the_terminal(tnbc):
    assert max(map(len, shown(tnbc).splitlines())) <= 80


def test_an_unknown_paper_is_refused_with_those_known(capsys):
    with pytest.raises((InputError, SystemExit)):
        conclusions.main(["tnbc"])
    assert "tnbc_linknet" in capsys.readouterr().err
