"""Serve the page with the stand-in network.

`python page_server_stub.py RUN_FOLDER [OPTION=VALUE …]`; options are those of the page, and
`broker.NAME` for a constant of the broker.
"""

from __future__ import annotations

import sys
from pathlib import Path

from reproductions.brain_tumour_mask_rcnn.app import broker, serve, tab_kernels

HERE = Path(__file__).parent


def main() -> None:
    sys.path.insert(0, str(HERE))
    from conftest import NETWORK, stub_command

    folder, chosen = Path(sys.argv[1]), {}
    for option in sys.argv[2:]:
        name, value = option.split("=")
        if name.startswith("broker."):
            setattr(broker, name[len("broker.") :], float(value))
        else:
            chosen[name] = type(getattr(serve.Options(), name))(float(value))
    tab_kernels.LOOK = 0.5
    options = serve.Options(port=0, **chosen)
    network = NETWORK._replace(run=folder.name)
    serve.serve(network, folder, options, stub_command(folder))


if __name__ == "__main__":
    main()
