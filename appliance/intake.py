"""From a folder of files to the support set, and by name to everything in it that could not serve."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from appliance import intake_words
from appliance.decode import MIN_SIDE_PX, Decoded, UnreadablePhoto, decode_photo
from appliance.errors import ImagesError
from appliance.near_duplicates import part_numbers
from appliance.photo import Photo
from appliance.photo_files import Listing, PhotoFile, Refusal, list_photos, read_file

__all__ = [
    "FEWEST_PARTS",
    "Intake",
    "IntakeOptions",
    "Refusal",
    "pixels_of",
    "read_photo",
    "take_in",
    "take_in_listed",
]

Pixels = npt.NDArray[np.uint8]
Tell = Callable[[str, int, int], None]  # what is being done, files done, files in all

FEWEST_PARTS = 10  # below it no split leaves enough on both sides


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeOptions:
    minimum: int = 20  # fewer distinct parts than this are used with a warning
    maximum: int = 400  # photos beyond it cost time and tell little more
    working_px: int = 512  # shorter side after reduction; no encoder looks closer
    bit_depth: int = 16  # bits the camera really uses of a 16-bit file
    follow_links: bool = False  # a link that leaves the folder may bring any file into a report
    ignore: tuple[str, ...] = ()  # patterns of names or paths, beside what sync programs leave
    region: tuple[int, int, int, int] | None = None  # x, y, width, height in pixels of the full photo


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What a folder gave."""

    photos: tuple[Photo, ...]  # in the order of their sha256
    refused: tuple[Refusal, ...]  # in the order of their names
    warnings: tuple[str, ...]
    unused: tuple[str, ...]  # names of the files beyond `maximum`, of which nothing else is known


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Read:
    """One photo after decoding: working pixels, and what the warnings are made of."""

    file: PhotoFile
    sha256: str
    pixels: Pixels
    reduction: float
    size_px: tuple[int, int]
    peak: int | None


def read_photo(path: Path, options: IntakeOptions) -> Pixels:
    """[H, W, 3] uint8 RGB working pixels of one file: region cut, reduced by area, never enlarged.

    Raises UnreadablePhoto.
    """
    return pixels_of(read_file(path), options)


def pixels_of(data: bytes, options: IntakeOptions) -> Pixels:
    """As `read_photo`, of a file's bytes."""
    return _working_pixels(_decoded(data, options), options)


def take_in(folder: Path, options: IntakeOptions, *, progress: Tell | None = None) -> Intake:
    """The usable photos below `folder` at working resolution; one full photo is in memory at a time.

    Raises ImagesError if the folder cannot be read or holds fewer than FEWEST_PARTS usable distinct parts.
    """
    return take_in_listed(_listing(folder, options), folder, options, progress=progress)


def take_in_listed(
    listing: Listing,
    folder: Path,
    options: IntakeOptions,
    *,
    fewest: int = FEWEST_PARTS,
    progress: Tell | None = None,
) -> Intake:
    """The usable photos of a listing, as `take_in` would have them; messages name `folder`.

    Raises ImagesError if they show fewer than `fewest` distinct parts.
    """
    tell = progress or _tell_nobody
    distinct, refused = _distinct(listing.files, tell)
    read, unread, unused = _read_in_order(distinct, options, tell)
    photos = _with_parts(read)
    refused = sorted([*listing.refused, *refused, *unread], key=lambda refusal: refusal.name)
    if len({photo.part for photo in photos}) < fewest:
        raise ImagesError(intake_words.too_few(folder, photos, refused, listing.others, needed=fewest))
    return Intake(
        photos=photos,
        refused=tuple(refused),
        warnings=tuple(_warnings(read, photos, refused, unused, options)),
        unused=tuple(sorted(unused)),
    )


def _tell_nobody(_message: str, _done: int, _of: int) -> None:
    """For callers that show nothing."""


def _listing(folder: Path, options: IntakeOptions) -> Listing:
    try:
        return list_photos(folder, follow_links=options.follow_links, ignore=options.ignore)
    except FileNotFoundError as error:
        raise ImagesError(
            f"{folder}: there is no such folder. Give the folder of the good photos."
        ) from error
    except NotADirectoryError as error:
        raise ImagesError(f"{folder}: this is a file. Give the folder it lies in.") from error
    except OSError as error:
        reason = f"{folder}: the folder cannot be read ({error.strerror})."
        raise ImagesError(f"{reason} Give the service's user read access to it.") from error


def _distinct(files: Sequence[PhotoFile], tell: Tell) -> tuple[dict[str, PhotoFile], list[Refusal]]:
    """Files by sha256, in its order. Of equal ones the first real file stays, a link only if it is alone."""
    kept: dict[str, PhotoFile] = {}
    refused = []
    for done, file in enumerate(sorted(files, key=lambda file: file.is_link)):
        tell("looking for copies", done, len(files))
        try:
            sha256 = hashlib.sha256(read_file(file.path)).hexdigest()
        except UnreadablePhoto as error:
            refused.append(_refusal(file, error.reason, error.code))
            continue
        if sha256 in kept:
            refused.append(_refusal(file, f"the same file as {kept[sha256].name}", "duplicate"))
        else:
            kept[sha256] = file
    return dict(sorted(kept.items())), refused


def _read_in_order(
    distinct: dict[str, PhotoFile], options: IntakeOptions, tell: Tell
) -> tuple[list[_Read], list[Refusal], list[str]]:
    """Photos read, files refused, and the names of those left when `maximum` photos were read.

    The order of sha256 is as good as a random one and needs no seed: it depends on the photos alone.
    """
    read: list[_Read] = []
    refused: list[Refusal] = []
    unused: list[str] = []
    for done, (sha256, file) in enumerate(distinct.items()):
        if len(read) == options.maximum:
            unused.append(file.name)
            continue
        tell("reading photos", done, len(distinct))
        try:
            read.append(_read(file, sha256, options))
        except UnreadablePhoto as error:
            refused.append(_refusal(file, error.reason, error.code))
    return read, refused, unused


def _read(file: PhotoFile, sha256: str, options: IntakeOptions) -> _Read:
    data = read_file(file.path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UnreadablePhoto("it changed while it was being read; still being written?", "changed")
    photo = _decoded(data, options)
    return _Read(
        file=file,
        sha256=sha256,
        pixels=_working_pixels(photo, options),
        reduction=1.0 / _scale(_used_size_px(photo, options), options.working_px),
        size_px=photo.size_px,
        peak=photo.peak,
    )


def _decoded(data: bytes, options: IntakeOptions) -> Decoded:
    """A region is given in pixels of the full photo, so that only whole photos may be decoded at a scale."""
    hint = options.working_px if options.region is None else None
    return decode_photo(data, bit_depth=options.bit_depth, shorter_side_at_most=hint)


def _working_pixels(photo: Decoded, options: IntakeOptions) -> Pixels:
    if options.region is None:
        return _reduced(photo.pixels, photo.size_px, options.working_px)
    x, y, width, height = options.region
    _check_region(options.region, photo.size_px)
    cut = photo.pixels[y : y + height, x : x + width]
    return _reduced(cut, (width, height), options.working_px)


def _used_size_px(photo: Decoded, options: IntakeOptions) -> tuple[int, int]:
    return photo.size_px if options.region is None else options.region[2:]


def _check_region(region: tuple[int, int, int, int], size_px: tuple[int, int]) -> None:
    x, y, width, height = region
    if min(x, y) < 0 or x + width > size_px[0] or y + height > size_px[1]:
        raise UnreadablePhoto(
            f"the region {width} x {height} at ({x}, {y}) leaves the photo of {size_px[0]} x {size_px[1]} px",
            "region_outside",
        )
    if min(width, height) < MIN_SIDE_PX:
        raise UnreadablePhoto(
            f"the region {width} x {height}: each side needs at least {MIN_SIDE_PX} pixels",
            "region_too_small",
        )


def _reduced(pixels: Pixels, size_px: tuple[int, int], working_px: int) -> Pixels:
    """[H, W, 3] by area to the size that a photo of `size_px` has at working resolution; a copy."""
    scale = _scale(size_px, working_px)
    width, height = (max(1, round(side * scale)) for side in size_px)
    if (height, width) == pixels.shape[:2]:
        return pixels.copy()
    reduced = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, dtype=np.uint8)


def _scale(size_px: tuple[int, int], working_px: int) -> float:
    return min(1.0, working_px / min(size_px))


def _with_parts(read: Sequence[_Read]) -> tuple[Photo, ...]:
    parts = part_numbers([item.pixels for item in read])
    return tuple(
        Photo(
            name=item.file.name,
            sha256=item.sha256,
            pixels=item.pixels,
            part=part,
            reduction=item.reduction,
            name_b64=item.file.name_b64,
        )
        for item, part in zip(read, parts, strict=True)
    )


def _refusal(file: PhotoFile, reason: str, code: str) -> Refusal:
    return Refusal(name=file.name, reason=reason, code=code, name_b64=file.name_b64)


def _warnings(
    read: Sequence[_Read],
    photos: Sequence[Photo],
    refused: Sequence[Refusal],
    unused: Sequence[str],
    options: IntakeOptions,
) -> list[str]:
    found = [
        intake_words.few_parts(photos, options.minimum),
        intake_words.repeats(photos),
        intake_words.left_out(len(photos), len(unused)),
        intake_words.sizes(Counter(item.size_px for item in read)),
        intake_words.bit_depth([item.peak for item in read if item.peak is not None], options.bit_depth),
        intake_words.many_refused(refused, len(photos) + len(unused)),
    ]
    return [warning for warning in found if warning]
