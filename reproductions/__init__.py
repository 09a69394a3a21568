"""One folder per paper. A folder imports `common` and never another folder."""

import common  # noqa: F401  before what takes long: Ctrl-C then ends in one line
