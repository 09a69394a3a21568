"""Which reader takes a file of which format."""

from __future__ import annotations

from common.imaging.decoding import Decoded, Options, Source

# Formats decoded in the process that asks, by libraries that are fast and hard to bring down; all
# others have a process of their own, see `isolation`.
TRUSTED = ("PNG", "JPEG", "BMP")


def read(kind: str, source: Source, name: str, options: Options) -> Decoded:
    """Read a file of a format of `formats.FORMATS`. Raises InputError and nothing else."""
    # Not at the top: pydicom and tifffile are slow to load, and not needed for most files.
    if kind == "DICOM":
        from common.imaging import dicom

        return dicom.read(source, name, options)
    if kind == "TIFF":
        from common.imaging import tiff

        return tiff.read(source, name, options)
    from common.imaging import raster

    return raster.read(source, name, options, kind)
