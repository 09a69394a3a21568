"""Building blocks shared by every reproduction. Nothing in here knows a paper."""

import warnings

from common.training import cuda

# TensorFlow looks for Google's cloud client, which comes with the Model Garden and complains of
# Python's age.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"google\.api_core")
cuda.prepare()  # must come before the first import of TensorFlow, wherever that is
