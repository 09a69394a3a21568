"""What serves the developer: `.venv/bin/python -m tools.…`."""

import common  # noqa: F401  before what takes long: Ctrl-C then ends in one line
