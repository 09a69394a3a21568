"""Serve the decision-support page: `make brain-ui`, or
`.venv/bin/python -m reproductions.brain_tumour_mask_rcnn.app.serve`.

Only this machine's user can open it: it listens on 127.0.0.1 and asks for the token in the address
that it prints. One process holds the network; each browser tab has a small one, which ends with
the tab. Research use only, not for diagnosis.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional

import tyro

from common.errors import InputError, exits_cleanly
from reproductions.brain_tumour_mask_rcnn import phantom
from reproductions.brain_tumour_mask_rcnn.app import broker, facts, page_server, run_folders, scores
from reproductions.brain_tumour_mask_rcnn.app.broker import Broker
from reproductions.brain_tumour_mask_rcnn.app.facts import Network
from reproductions.brain_tumour_mask_rcnn.config import DATA_SETS

PAPER = "brain_tumour_mask_rcnn"
MODULE = f"reproductions.{PAPER}.app"
DEMO = Path("results/demo/runs")  # where `make demo` leaves its runs, too


@dataclass(frozen=True)
class Options:
    """Serve the decision-support page to the browsers of this machine."""

    run: Optional[Path] = None
    """Folder of a finished training; by default the one with the best profile, the newest of
    these, and where there is none, one made of synthetic images.
    """
    port: int = 8866
    """On 127.0.0.1; 0 takes any that is free."""
    runs_root: Path = Path("runs")
    """Where run folders are kept."""
    data_root: Optional[Path] = None
    """Folder that holds the data sets, for the scores of the network; by default data/."""
    most_tabs: int = 24
    """Tabs that may be open at once; each takes up to 150 MB."""
    seconds: float = broker.SECONDS
    """That one detection may take; after that the process with the network is replaced."""
    abandoned_after: float = 60.0
    """Seconds that the process of a tab is kept after its browser has gone without a word."""


def serve(
    network: Network,
    run_folder: Path,
    options: Options,
    command: Optional[List[str]] = None,
    scoring: Optional[subprocess.Popen] = None,
) -> None:
    """Load a network, print the page's address, and serve it until interrupted.

    Args:
        network: what the page says about it.
        run_folder: that it is loaded from.
        options: of the page.
        command: starts the process with the network; by default that of `model_process`.
        scoring: a process of `scores.begin`, whose result is shown as the network's scores.

    Raises:
        InputError: the port is in use, or the network cannot be loaded.
    """
    command = command or [sys.executable, "-m", f"{MODULE}.model_process", str(run_folder)]
    with bound(options.port) as listening, page_server.private_folder() as private:
        folder = Path(private)
        page_server.quieten()
        page_server.isolate(folder)
        os.environ[facts.SOCKET] = str(folder / "model")
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        between = Broker(command, folder / "model", run_folder, seconds=options.seconds)
        try:
            loop.run_until_complete(between.start())
            state = loop.run_until_complete(between.settled())
            if state["state"] != "ready":
                why = state["reason"] or "its process has ended"
                raise InputError(f"{run_folder}: the network could not be loaded: {why}")
            if scoring:
                measured, reason = scores.result(scoring)
                network = network._replace(measured=measured)
                if reason:
                    print(f"scores: not known: {reason}", flush=True)
            os.environ[facts.VARIABLE] = facts.to_json(network)
            page_server.serve(listening, folder, options.most_tabs, options.abandoned_after)
        finally:
            loop.run_until_complete(between.stop())


def check_interpreter() -> None:
    """Raise InputError on a Python whose newest web packages have published flaws."""
    if sys.version_info < (3, 10):
        raise InputError(
            "the page needs Python 3.10: on older ones its packages have published flaws "
            "(SECURITY.md); make setup PYTHON=python3.10, after moving .venv away"
        )


def bound(port: int) -> socket.socket:
    """Listen on a port of 127.0.0.1.

    Raises:
        InputError: it is in use, or may not be used.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((page_server.ADDRESS, port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or "expected a number from 0 to 65535"
        raise InputError(f"port {port}: {reason}; choose another with --port") from None
    listening.setblocking(False)
    return listening


def train_on_phantoms(runs_root: Path) -> Path:
    """Train a network that shows how the page works, and nothing else; return its run folder.

    Raises:
        InputError: the training failed; it has said why.
    """
    print(
        "no trained network yet: training one on synthetic images, a minute or two; it "
        "only shows how the page works",
        flush=True,
    )
    data_root = runs_root.parent / "data"
    phantom.write(data_root / DATA_SETS[0])
    # In a process of its own, which takes TensorFlow's memory along.
    command = [sys.executable, "-m", f"reproductions.{PAPER}.train", "--profile", "smoke"]
    command += ["--encoder-weights", "none", "--data-root", str(data_root)]
    command += ["--runs-root", str(runs_root)]
    failed = subprocess.run(command).returncode
    made = run_folders.best([runs_root / PAPER])
    if failed or made is None:
        raise InputError(
            f"{runs_root}: no network could be trained; name a finished run with --run"
        )
    return made


@exits_cleanly
def main() -> None:
    """Serve from the command line."""
    options = tyro.cli(Options, prog=f".venv/bin/python -m {MODULE}.serve")
    check_interpreter()
    folders = [options.runs_root / PAPER, DEMO / PAPER]
    run_folder = options.run or run_folders.best(folders) or train_on_phantoms(DEMO)
    network = run_folders.describe(run_folder)
    print(f"network: {network.run}; loading it, half a minute or so", flush=True)
    scoring = scores.begin(run_folder, options.data_root)
    try:
        serve(network, run_folder.resolve(), options, scoring=scoring)
    finally:
        scoring.kill()


if __name__ == "__main__":
    main()
