"""Serve the decision-support page: `make brain-ui`, or `python -m
reproductions.brain_tumour_mask_rcnn.app.serve`.

Only this machine can reach it (127.0.0.1). Each browser tab has a process with the model of its
own, 1.3 GB or more, which ends with the tab. Research use only, not for diagnosis.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import tyro
from tornado.ioloop import IOLoop
from traitlets.config import Config
from voila.app import Voila

from common.errors import InputError, exits_cleanly
from common.files import PROJECT
from reproductions.brain_tumour_mask_rcnn import phantom as brain_phantom
from reproductions.brain_tumour_mask_rcnn.app import page

PAPER = "brain_tumour_mask_rcnn"
DEMO = Path("results/demo/runs")  # where `make demo` leaves its runs, too
ADDRESS = "127.0.0.1"
ABANDONED = (
    600  # seconds until a process without a tab is ended, where the browser could not say goodbye
)
# The page comes from here and from nowhere else: Voilà's own template would ask a public network
# for icons.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval'; img-src 'self' data:; font-src 'self' data:"
)


@dataclass(frozen=True)
class Options:
    """Serve the decision-support page to the browsers of this machine."""

    run: Optional[Path] = None
    """Folder of a finished training; by default the newest, and where there is none, one made of
    synthetic images.
    """
    port: int = 8866
    """On 127.0.0.1."""
    runs_root: Path = Path("runs")
    """Where run folders are kept."""


def serve(notebook: Path, port: int) -> None:
    """Serve a notebook as a page on 127.0.0.1 until interrupted.

    Raises:
        InputError: the port is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise InputError(f"port {port}: {error.strerror}; choose another with --port") from None
    # The page's process runs in the notebook's folder.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")])
    )
    temporary = tempfile.gettempdir()
    IOLoop.current().add_callback(
        print, f"http://{ADDRESS}:{port}/ (Ctrl-C ends it)", flush=True
    )  # once it listens
    Voila.launch_instance(
        argv=[],
        config_file_paths=[],  # nobody's settings for other pages open this one to a network
        notebook_path=str(notebook.resolve()),
        root_dir=str(notebook.resolve().parent),
        ip=ADDRESS,
        port=port,
        port_retries=0,
        # For sockets, whose addresses have 104 bytes at most; Voilà's and Jupyter's names take 64
        # of them.
        connection_dir_root=temporary if len(os.fsencode(temporary)) < 40 else "/tmp",
        open_browser=False,
        log_level="ERROR",
        tornado_settings={
            "websocket_max_message_size": (page.MEGABYTES + 1) << 20,
            "headers": {"Content-Security-Policy": POLICY},
            # The tab's goodbye, which ends its process, carries no token; to name the process takes
            # its random id.
            "disable_check_xsrf": True,
        },
        config=Config(
            KernelManager={
                "transport": "ipc"
            },  # unlike a port, closed to the other users of this machine
            VoilaConfiguration={"file_allowlist": [], "show_margins": False},
            MappingKernelManager={"cull_idle_timeout": ABANDONED, "cull_interval": ABANDONED // 10},
        ),
    )


@exits_cleanly
def main() -> None:
    """Serve from the command line."""
    options = tyro.cli(Options, prog=f"python -m reproductions.{PAPER}.ui")
    run_folder = (
        options.run
        or newest(options.runs_root / PAPER)
        or newest(DEMO / PAPER)
        or train_on_phantoms(DEMO)
    )
    print(f"model: {page.origin(run_folder).run}")
    os.environ[page.RUN] = str(run_folder.resolve())
    serve(Path(__file__).with_name("page.ipynb"), options.port)


def newest(folder: Path) -> Optional[Path]:
    """The run in a folder that was finished last; None if there is none."""
    finished = sorted(folder.glob("*/metrics.csv"), key=lambda path: path.stat().st_mtime)
    return finished[-1].parent if finished else None


def train_on_phantoms(runs_root: Path) -> Path:
    """Train a network that shows how the page works, and nothing else; return its run folder.

    Raises:
        InputError: the training failed; it has said why.
    """
    print(
        "no trained network yet: training one on synthetic images, a minute or two; it "
        "only shows how the page works"
    )
    with tempfile.TemporaryDirectory() as data_root:
        brain_phantom.write(Path(data_root) / "brain_mri")
        # In a process of its own, which takes TensorFlow's memory along.
        command = [sys.executable, "-m", f"reproductions.{PAPER}.train", "--profile", "smoke"]
        command += [
            "--encoder-weights",
            "none",
            "--data-root",
            data_root,
            "--runs-root",
            str(runs_root),
        ]
        if subprocess.run(command).returncode:
            raise InputError(
                f"{runs_root}: no network could be trained; name a finished run with --run"
            )
    return newest(runs_root / PAPER)


if __name__ == "__main__":
    main()
