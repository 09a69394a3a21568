"""Reading TIFF files, BigTIFF and OME-TIFF among them: which pages they have, and whether these can
be read.
"""

from __future__ import annotations

import re
from typing import BinaryIO, List, NamedTuple, Optional, Tuple

import tifffile

from common.errors import InputError
from common.imaging import isolation, jpeg, jpeg2000, tiff_values
from common.imaging.decoding import (
    Decoded,
    Options,
    Source,
    count_only,
    names_damage,
    open_file,
)
from common.imaging.limits import MOST_MAPPED, MOST_PAGES, MOST_SEGMENTS, check_size
from common.imaging.orientation import TAG, UPRIGHT

_JPEG = (6, 7, 33007, 34892)  # values of Compression
_JPEG_2000 = (33003, 33004, 33005, 34712)
_UNSEEN = 1 | 4  # bits of NewSubfileType: a reduced copy of another page, a transparency mask
_HEADER = 1 << 16  # bytes of a packed tile in which its size is looked for
_PADDING = 1 << 24  # pixels by which the tiles of an image may exceed it
_KIND = "a damaged TIFF, or one of a kind that is not read"


class Frame(NamedTuple):
    """A page, and where its values lie if not where the page says."""

    page: tifffile.TiffPage
    offset: Optional[int] = None


def read(source: Source, name: str, options: Options) -> Decoded:
    """Read one page, or several of one size and type.

    A single page of more than `options.large` pixels is mapped: where it lies or, unpacked, in
    `options.scratch`.
    """
    with names_damage(name, _KIND), open_file(source, name) as stream, tifffile.TiffFile(
        stream
    ) as tiff:
        frames, more = _frames(tiff, name)
        chosen = [frames[n] for n in options.choose(len(frames), name, "pages", more)]
        if options.frame == "count":
            return count_only(len(frames))
        first = chosen[0].page
        width, height = first.imagewidth, first.imagelength
        large = width * height > options.large and len(chosen) == 1 and bool(options.scratch)
        most = options.most(MOST_MAPPED) if large else options.most()
        check_size(name, width, height * len(chosen), most)
        for page, _ in chosen:
            _check(page, stream, name)
            if _kind(page) != _kind(first):
                raise InputError(
                    f"{name}: pages of several sizes or types; choose one with --frame N"
                )
        isolation.allow(width * height * len(chosen))
        orientation = first.tags.valueof(TAG, UPRIGHT)
        if large:
            mapping, told = tiff_values.mapped(first, name, options)
            return count_only(len(frames))._replace(
                levels=(told,), orientation=orientation, mapping=mapping
            )
        pixels, levels, uneven = tiff_values.in_memory(chosen, stream, name, options)
        return Decoded(pixels, len(frames), levels, orientation, uneven)


def _kind(page: tifffile.TiffPage) -> tuple:
    """What pages that are read together have in common."""
    orientation = page.tags.valueof(TAG, UPRIGHT)
    return page.shape, page.dtype, page.photometric, page.compression, orientation


def _frames(tiff: tifffile.TiffFile, name: str) -> Tuple[List[Frame], str]:
    """The pages that are images of their own, and what is known of them beyond their number.

    Reduced copies of a page, as in pyramids, are none.
    """
    count = len(tiff.pages)
    if count > MOST_PAGES:
        raise InputError(f"{name}: a TIFF of {count} pages, expected at most {MOST_PAGES}")
    pages = [page.aspage() for page in tiff.pages]
    if tiff.is_svs:  # behind the slide come a thumbnail, its levels, a label and a photograph
        return [Frame(pages[0])], ""
    images = [Frame(page) for page in pages if not page.subfiletype & _UNSEEN] or [Frame(pages[0])]
    if tiff.is_imagej and len(pages) == 1:
        images = _of_imagej(tiff, pages[0])
    elif tiff.is_shaped and re.search(r'"truncated": *true', pages[0].description):
        raise InputError(f"{name}: a TIFF with one page for a stack; save it with a page for each")
    more = ""
    if tiff.is_ome:
        sizes = dict(re.findall(r'Size([CZT])="(\d+)"', pages[0].description[:100_000]))
        told = (f"{sizes[axis]} {kind}" for axis, kind in _AXES if sizes.get(axis, "1") != "1")
        more = ", ".join(told)
        more = f" (OME: {more})" if more else ""
    return images, more


_AXES = (("C", "channels"), ("Z", "slices"), ("T", "times"))


def _of_imagej(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> List[Frame]:
    """The images behind the only page of a large ImageJ stack, one after the other."""
    count = int((tiff.imagej_metadata or {}).get("images", 1))
    start = page.dataoffsets[0]
    fitting = (tiff.filehandle.size - start) // max(page.nbytes, 1)
    if count < 2 or not page.is_contiguous:
        return [Frame(page)]
    return [Frame(page, start + n * page.nbytes) for n in range(min(count, fitting))]


def _check(page: tifffile.TiffPage, stream: BinaryIO, name: str) -> None:
    """Raise InputError for a page whose strips or tiles ask for more than its size, or are not
    there.
    """
    tags = [page.tags[code] for code in (273, 324) if code in page.tags]
    segments = max((tag.count for tag in tags), default=0)
    if segments > MOST_SEGMENTS:
        raise InputError(
            f"{name}: a TIFF of {segments} strips or tiles, expected at most {MOST_SEGMENTS}"
        )
    if page.imagedepth > 1:
        raise InputError(f"{name}: a TIFF volume of {page.imagedepth} slices; save them as pages")
    if page.is_tiled:
        tiled = page.tilewidth * page.tilelength * segments
        if tiled > 4 * page.imagewidth * page.imagelength * page.samplesperpixel + _PADDING:
            raise InputError(f"{name}: a TIFF whose tiles are far larger than its image")
    end = stream.seek(0, 2)
    spans = list(zip(page.dataoffsets, page.databytecounts))
    if len(spans) < _expected(page) or any(size < 1 or at + size > end for at, size in spans):
        raise InputError(f"{name}: damaged or truncated image (a strip or tile of it is missing)")
    if page.compression in _JPEG[1:] + _JPEG_2000:
        _check_streams(page, spans, stream, name)


def _expected(page: tifffile.TiffPage) -> int:
    count = 1
    for number in page.chunked:
        count *= number
    return count


def _check_streams(
    page: tifffile.TiffPage, spans: List[Tuple[int, int]], stream: BinaryIO, name: str
) -> None:
    """Measure the JPEG or JPEG 2000 stream of every strip or tile."""
    width = page.tilewidth if page.is_tiled else page.imagewidth
    height = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    measure = jpeg2000.measure if page.compression in _JPEG_2000 else jpeg.measure
    for offset, size in spans:
        stream.seek(offset)
        found = measure(stream.read(min(size, _HEADER)), name)
        # A strip may be rounded up to whole blocks.
        if found.width > width + 64 or found.height > height + 64:
            raise InputError(
                f"{name}: a TIFF tile of {width}x{height} that holds an image of "
                f"{found.width}x{found.height}"
            )
