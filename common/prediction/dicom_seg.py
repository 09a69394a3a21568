"""Class maps as DICOM SEG, which refers to the DICOM image that they were predicted from."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Sequence

import numpy as np
import pydicom
from pydicom.sr.coding import Code

from common.errors import InputError
from common.files import atomic_path
from common.prediction.predictor import TargetClass

# What a segmentation repeats of its image, and what may be empty there.
REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("AccessionNumber", "StudyID", "ReferringPhysicianName"),
)
ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
SERIES_NUMBER = 9000  # of ours, beyond those of scanners


def write(
    path: Path,
    image: Path,
    labels: np.ndarray,
    classes: Sequence[TargetClass],
    network: str,
    note: str,
) -> None:
    """Write a class map of a DICOM image of one frame, one segment per class.

    Args:
        path: of the new file, written atomically.
        image: the DICOM file.
        labels: uint8 (H, W), values of the classes, 1 to their number.
        classes: in the order of their values.
        network: what found the classes.
        note: goes into the file as the description of its content.

    Raises:
        InputError: the image lacks what a segmentation has to repeat, or its pixels were turned.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            source = pydicom.dcmread(image, force=True)
            segmentation = _build(source, labels, classes, network, note)
        except InputError:
            raise
        except Exception as error:  # of attributes that are missing or of another kind
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"no DICOM SEG of it ({reason:.200})") from None
        with atomic_path(path) as temporary:
            segmentation.save_as(str(temporary), write_like_original=False)


def _build(source, labels, classes, network, note):  # typed by `write`
    import highdicom  # not at the top: few images are DICOM
    from highdicom.content import AlgorithmIdentificationSequence
    from pydicom.sr.codedict import codes

    missing = [name for name in REQUIRED if not source.get(name)]
    if missing:
        raise InputError(f"no DICOM SEG of it: it lacks {', '.join(missing)}")
    if int(source.get("NumberOfFrames") or 1) > 1:
        raise InputError("no DICOM SEG of it: it has several frames")
    if labels.shape != (source.Rows, source.Columns):
        raise InputError("no DICOM SEG of it: the image is stored turned")
    for name in MAY_BE_EMPTY:
        if name not in source:
            setattr(source, name, None)
    source.Modality = source.get("Modality") or "OT"
    source.InstanceNumber = source.get("InstanceNumber") or 1
    source.SeriesNumber = source.get("SeriesNumber") or 1
    algorithm = AlgorithmIdentificationSequence(
        name=network[:64], version="1", family=codes.cid7162.ArtificialIntelligence
    )
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=target.value,
            segment_label=target.name[:64],
            segmented_property_category=ANATOMY if target.is_anatomy else ABNORMAL,
            segmented_property_type=Code(target.code[0], "SCT", target.code[1]),
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for target in classes
    ]
    return highdicom.seg.Segmentation(
        source_images=[source],
        pixel_array=labels[None],
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=highdicom.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="Research software",
        manufacturer_model_name="medseg",
        software_versions=network[:64],
        device_serial_number="0",
        content_description=note[:64],
        omit_empty_frames=False,
    )
