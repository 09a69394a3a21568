"""Write a mask as DICOM SEG: reads a request of `downloads.dicom_seg` from standard input, writes
the file to standard output.
"""

from __future__ import annotations

import io
import sys

import numpy as np
import pydicom

from common.errors import exits_cleanly
from common.prediction import dicom_seg
from common.prediction.predictor import TargetClass
from reproductions.brain_tumour_mask_rcnn.app import wire

TUMOUR = TargetClass(1, "Tumour candidates", (255, 80, 64), ("108369006", "Neoplasm"))


@exits_cleanly
def main() -> None:
    """Answer the request on standard input."""
    message = wire.read(sys.stdin.buffer)
    if message is None:  # the tab has gone
        return
    header, content = message
    file, packed = content[: header["file"]], content[header["file"] :]
    shape = header["shape"]
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=int(np.prod(shape)))
    source = pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True, force=True)
    network, note = f"Mask R-CNN, {header['network']}", header["note"]
    written = dicom_seg.build(source, bits.reshape(shape), (TUMOUR,), network, note)
    stream = io.BytesIO()
    written.save_as(stream, write_like_original=False)
    sys.stdout.buffer.write(stream.getvalue())


if __name__ == "__main__":
    main()
