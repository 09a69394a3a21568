"""The server of the page: Voilà behind the gate, with settings that keep it closed and quiet."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import warnings
from pathlib import Path
from typing import List

from jupyter_server.base.handlers import APIHandler
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import authenticated
from traitlets.config import Config
from voila.app import Voila

from common.files import PROJECT
from reproductions.brain_tumour_mask_rcnn.app import gate, uploads
from reproductions.brain_tumour_mask_rcnn.app.tab_kernels import TabKernels

ADDRESS = "127.0.0.1"
BUSY = 300  # seconds that the process of a tab may take to begin, and to send its page
WEB = Path(__file__).with_name("web")  # the notebook, and Voilà's template for it
# The page comes from here and from nowhere else. Its widgets compile templates, hence unsafe-eval.
POLICY = "; ".join(
    [
        "default-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class State(APIHandler):
    """Tells a tab whether its process is there."""

    @authenticated
    async def get(self, kernel_id: str, *parts_of_it: str) -> None:
        self.kernel_manager.notify_question(kernel_id)
        running = await self.kernel_manager.is_running(kernel_id)
        self.finish({"running": running})


class PageServer(Voila):
    """Voilà, listening on a socket that is bound already, behind a `Gate`."""

    listening: socket.socket

    def init_handlers(self) -> List:
        """Add what the page's own scripts ask for."""
        return [(rf"/state/({gate.KERNEL})", State), *super().init_handlers()]

    def listen(self) -> None:
        """Answer requests until interrupted."""
        kernels = self.kernel_manager
        entrance = gate.Gate(self.app, self.port, kernels.has_room, kernels.most_tabs)
        server = HTTPServer(entrance, max_body_size=1 << 16)
        server.add_socket(self.listening)
        self.ioloop = IOLoop.current()
        address = f"http://{ADDRESS}:{self.port}/?token={entrance.token}"
        self.ioloop.add_callback(print, f"{address}  (Ctrl-C ends it)", flush=True)
        try:
            self.ioloop.start()
        except KeyboardInterrupt:
            print("ended")
        finally:
            self.stop()


def quieten() -> None:
    """Keep what libraries say off the terminal."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def isolate(private: Path) -> None:
    """Let the tabs' processes see this page's files alone, whatever is set up for other ones.

    Args:
        private: a folder that only this user can enter.
    """
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ.update(
        PYTHONPATH=os.pathsep.join(paths),
        JUPYTER_PATH=str(WEB),
        JUPYTER_PREFER_ENV_PATH="1",
        JUPYTER_DATA_DIR=str(private / "data"),
        JUPYTER_CONFIG_DIR=str(private / "config"),
        JUPYTER_RUNTIME_DIR=str(private / "runtime"),
        IPYTHONDIR=str(private / "ipython"),
        PYTHONWARNINGS="ignore",
    )


def serve(listening: socket.socket, private: Path, most_tabs: int, abandoned_after: float) -> None:
    """Serve the page until interrupted, and print its address once it can be opened.

    Args:
        listening: a socket bound to `ADDRESS`.
        private: a folder for the tabs' sockets that only this user can enter.
        most_tabs: that may be open at once.
        abandoned_after: seconds that the process of a tab is kept without it.
    """
    PageServer.listening = listening
    PageServer.launch_instance(
        argv=[],
        config_file_paths=[],  # nobody's settings for other pages open this one to a network
        notebook_path=str(WEB / "page.ipynb"),
        root_dir=str(WEB),
        ip=ADDRESS,
        port=listening.getsockname()[1],
        connection_dir_root=str(private),
        open_browser=False,
        log_level="CRITICAL",
        tornado_settings={
            "websocket_max_message_size": (uploads.MEGABYTES + 1) << 20,
            "headers": HEADERS,
            "xsrf_cookies": True,
        },
        config=Config(
            # Unlike a port, a Unix socket is closed to the other users of this machine.
            KernelManager={"transport": "ipc", "autorestart": False},
            VoilaConfiguration={
                "template": "brain_page",
                "allow_template_override": "NO",
                "allow_theme_override": "NO",
                "multi_kernel_manager_class": TabKernels,
                "file_allowlist": [],
                "show_margins": False,
            },
            VoilaExporter={"language_code": "tr"},
            # By default a tab whose process has not sent its page after 4 s stays empty for ever.
            VoilaExecutor={"startup_timeout": BUSY, "iopub_timeout": BUSY},
            TabKernels={"most_tabs": most_tabs, "abandoned_after": abandoned_after},
            MappingKernelManager={"cull_idle_timeout": 0},
        ),
    )


def private_folder() -> tempfile.TemporaryDirectory:
    """Make a folder that only this user can enter, with a path short enough for sockets in it: the
    address of one has 104 bytes, of which Voilà's and Jupyter's names take 64.
    """
    usual = tempfile.gettempdir()
    short = len(os.fsencode(usual)) < 24
    return tempfile.TemporaryDirectory(prefix="brain-", dir=usual if short else "/tmp")
