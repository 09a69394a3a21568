"""Write a mask as DICOM SEG: reads a request of `downloads.dicom_seg` from standard input, writes
the file to standard output.
"""

from __future__ import annotations

import io
import sys
import warnings

import numpy as np
import pydicom

from common.errors import InputError, exits_cleanly
from reproductions.brain_tumour_mask_rcnn.app import wire

NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
# Attributes of patient and study that DICOM asks for, but allows to be empty.
EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("AccessionNumber", "StudyID", "ReferringPhysicianName"),
)
USUAL = {"Modality": "OT", "InstanceNumber": 1, "SeriesNumber": 1}  # where the file has no value
MAKER = "Research software"


def write(source: pydicom.Dataset, masks: np.ndarray, network: str, note: str) -> bytes:
    """Write masks of the frames of an image, bool (frames, H, W), as one segment.

    Args:
        source: the image.
        masks: one for each of its frames.
        network: name of the network that found what is in them.
        note: goes into the file as the description of its content.

    Raises:
        InputError: the image lacks identifiers that have to be repeated.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import highdicom
        from highdicom.content import AlgorithmIdentificationSequence
        from pydicom.sr.codedict import codes

    missing = [name for name in NEEDED if not source.get(name)]
    if missing:
        raise InputError(f"the DICOM file lacks {', '.join(missing)}")
    if len(masks) > 1 and "SharedFunctionalGroupsSequence" not in source:
        raise InputError("the DICOM file has several frames, but no functional groups")
    for name in EMPTY:
        if name not in source:
            setattr(source, name, None)
    for name, value in USUAL.items():
        if name not in source:
            setattr(source, name, value)
    segment = highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label="Tumour candidates",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name="Mask R-CNN", version=network[:64], family=codes.cid7162.ArtificialIntelligence
        ),
    )
    seg = highdicom.seg.Segmentation(
        source_images=[source],
        pixel_array=masks,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=highdicom.UID(),
        series_number=900,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name="Mask R-CNN",
        software_versions=network[:64],
        device_serial_number="0",
        content_description=note[:64],
        omit_empty_frames=False,
    )
    stream = io.BytesIO()
    seg.save_as(stream, write_like_original=False)
    return stream.getvalue()


@exits_cleanly
def main() -> None:
    """Answer the request on standard input."""
    header, content = wire.read(sys.stdin.buffer)
    file, packed = content[: header["file"]], content[header["file"] :]
    shape = header["shape"]
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=int(np.prod(shape)))
    source = pydicom.dcmread(io.BytesIO(file))
    warnings.simplefilter("ignore")
    try:
        written = write(source, bits.reshape(shape).astype(bool), header["network"], header["note"])
    except InputError:
        raise
    except Exception as error:  # of attributes that the file has not, or has with other values
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"the DICOM file does not have what DICOM SEG needs ({reason})") from None
    sys.stdout.buffer.write(written)


if __name__ == "__main__":
    main()
