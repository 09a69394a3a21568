"""Building blocks shared by every reproduction. Nothing in here knows a paper."""

from common import gpu

gpu.prepare()  # must come before the first import of TensorFlow, wherever that is
