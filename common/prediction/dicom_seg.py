"""Class maps as DICOM SEG, which refers to the DICOM image that they were predicted from."""

from __future__ import annotations

import contextlib
import math
import warnings
from pathlib import Path
from typing import Iterator, Mapping, Optional, Sequence

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from common.errors import InputError
from common.files import atomic_path
from common.imaging.limits import MOST_PIXELS
from common.prediction.predictor import TargetClass

# What a segmentation repeats of its image, and what may be empty there.
REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("AccessionNumber", "StudyID", "ReferringPhysicianName"),
)
USUAL = {"Modality": "OT", "InstanceNumber": 1, "SeriesNumber": 1}  # where the file has no value
ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
LEARNED = Code("123110", "DCM", "Artificial Intelligence")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
SERIES_NUMBER = 9000  # of ours, beyond those of scanners
LOSSY = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")
_IN_STACK = pydicom.datadict.tag_for_keyword("InStackPositionNumber")
_FRAME_CONTENT = pydicom.datadict.tag_for_keyword("FrameContentSequence")
_PLACELESS = ("FrameOfReferenceUID", "PositionReferenceIndicator")


def write(
    path: Path,
    image: Path,
    labels: Mapping[int, np.ndarray],
    classes: Sequence[TargetClass],
    network: str,
    note: str,
) -> None:
    """Write class maps of frames of a DICOM image, one segment per class, atomically.

    Args:
        path: of the new file.
        image: the DICOM file.
        labels: of frames, from 1: uint8 (H, W), values of the classes, 1 to their number.
        classes: in the order of their values.
        network: what found the classes.
        note: goes into the file as the description of its content.

    Raises:
        InputError: the image lacks what a segmentation has to repeat, or its pixels were turned.
    """
    with _in_one_line():
        source = pydicom.dcmread(image, stop_before_pixels=True, force=True)
        shape = (_frames(source), int(source.Rows), int(source.Columns))
        if any(one.shape != shape[1:] for one in labels.values()):
            raise InputError("it is stored turned")
        if math.prod(shape) > MOST_PIXELS:
            raise InputError(f"it has more than {MOST_PIXELS} pixels")
        whole = np.zeros(shape, np.uint8)
        for number, one in labels.items():
            whole[number - 1] = one
    segmentation = build(source, whole, classes, network, note)
    with atomic_path(path) as temporary:
        segmentation.save_as(str(temporary), write_like_original=False)


def build(
    source: Dataset, labels: np.ndarray, classes: Sequence[TargetClass], network: str, note: str
) -> Dataset:
    """Make the segmentation of all frames, `labels` being uint8 (frames, H, W).

    Of several frames, those without any class are left out.

    Args:
        source: the elements of the image, which are completed.
        labels: values of the classes.
        classes: see `write`, as the other arguments and the errors.
    """
    with _in_one_line():
        missing = [name for name in REQUIRED if not source.get(name)]
        if missing:
            raise InputError(f"it lacks {', '.join(missing)}")
        for name in MAY_BE_EMPTY:
            if name not in source:
                setattr(source, name, None)
        for name, value in USUAL.items():
            if not source.get(name):
                setattr(source, name, value)
        # highdicom would ask how lossily packed it is, which many files do not say.
        lossy = source.pop("LossyImageCompression", None)
        if len(labels) == 1 and "SharedFunctionalGroupsSequence" not in source:
            source.pop("NumberOfFrames", None)  # it would look for functional groups
        try:
            segmentation = _segmentation(source, labels, classes, network, note)
        except (AttributeError, IndexError, TypeError, ValueError):  # it is not placed in space
            spacing = source.get("PixelSpacing")
            _give_places(source, len(labels), spacing)
            segmentation = _segmentation(source, labels, classes, network, note)
            _take_places(segmentation, len(labels), spacing)
        if "FrameOfReferenceUID" not in segmentation:
            segmentation.PatientOrientation = source.get("PatientOrientation")
        if lossy is not None:
            segmentation.LossyImageCompression = lossy.value
            for name in LOSSY:
                if name in source:
                    setattr(segmentation, name, source.get(name))
        return segmentation


def _segmentation(
    source: Dataset, labels: np.ndarray, classes: Sequence[TargetClass], network: str, note: str
) -> Dataset:
    import highdicom  # not at the top: few images are DICOM
    from highdicom.content import AlgorithmIdentificationSequence

    algorithm = AlgorithmIdentificationSequence(name=network[:64], version="1", family=LEARNED)
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
        pixel_array=labels,
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
        omit_empty_frames=len(labels) > 1,
    )


def _give_places(source: Dataset, frames: int, spacing: Optional[Sequence[float]]) -> None:
    """Put the frames of a film behind each other, as highdicom wants them to be in space."""
    source.NumberOfFrames = frames
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing = list(spacing or (1, 1))
    measures.SliceThickness = 1
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    source.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for number in range(frames):
        position, group = Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, number]
        group.PlanePositionSequence = [position]
        groups.append(group)
    source.PerFrameFunctionalGroupsSequence = groups
    source.FrameOfReferenceUID = pydicom.uid.generate_uid()


def _take_places(seg: Dataset, frames: int, spacing: Optional[Sequence[float]]) -> None:
    """Take away again what `_give_places` has made up: frames of a film are numbered."""
    for name in _PLACELESS:
        seg.pop(name, None)
    shared = seg.SharedFunctionalGroupsSequence[0]
    del shared.PlaneOrientationSequence
    if spacing:
        del shared.PixelMeasuresSequence[0].SliceThickness
    else:
        del shared.PixelMeasuresSequence
    dimension = seg.DimensionIndexSequence[1]
    dimension.DimensionIndexPointer = _IN_STACK
    dimension.FunctionalGroupPointer = _FRAME_CONTENT
    dimension.DimensionDescriptionLabel = "In-Stack Position Number"
    for group in seg.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        content = group.FrameContentSequence[0]
        content.StackID = "1"
        content.InStackPositionNumber = int(image.ReferencedFrameNumber)
        segment, _ = content.DimensionIndexValues
        content.DimensionIndexValues = [segment, content.InStackPositionNumber]
        if frames == 1:
            del image.ReferencedFrameNumber


def _frames(source: Dataset) -> int:
    return int(source.get("NumberOfFrames") or 1)


@contextlib.contextmanager
def _in_one_line() -> Iterator[None]:
    """Turn what highdicom and pydicom raise of missing or damaged attributes into one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"it does not have what that needs ({reason:.200})") from None
