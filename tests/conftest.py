import os
import signal

import hypothesis
import pytest

from reproductions.tnbc_linknet import phantom as tnbc_phantom

# On shared or slow cores an example may take long by chance; that is no failure. The examples are
# the same every time, so that no change is refused for what another one did; EXPLORE=1 looks
# further.
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=not os.environ.get("EXPLORE")
)
hypothesis.settings.load_profile("suite")

# Tests that interrupt commands hold where the tests themselves run in the background, without
# Ctrl-C, which the commands would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def phantom_root(tmp_path_factory):
    """A data root with a small phantom of TNBC: 3 patients, 9 images of 64×64."""
    root = tmp_path_factory.mktemp("phantoms")
    tnbc_phantom.write(root / "tnbc", patients=3, images_per_patient=3, size=64)
    return root
