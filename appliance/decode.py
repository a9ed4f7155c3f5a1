"""Bytes of a photo to 8-bit RGB pixels, or a refusal that names the fault.

Pillow decodes, because it refuses what is cut off where OpenCV fills in grey rows. OpenCV decodes only the
16-bit colour that Pillow has no pixel type for, after Pillow has found the file whole.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from appliance.errors import ImagesError

Pixels = npt.NDArray[np.uint8]

MAX_PIXELS = 100_000_000
MIN_SIDE_PX = 32
STRIP_PIXELS = 4_000_000

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
_NEXT_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # after coded data: not stuffed, restart, fill
_STANDALONE = {0x01, *range(0xD0, 0xD9)}  # JPEG markers without a length
_SOS, _EOI = 0xDA, 0xD9
_PNG_END = b"IEND\xaeB`\x82"  # with its checksum
_DEEP_GREY = ("I;16", "I;16B", "I;16L", "I;16N")
_WITH_ALPHA = ("LA", "PA", "RGBA", "La", "RGBa")
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height


class UnreadablePhoto(ImagesError):  # noqa: N818 - named for what it is, as refusals quote it
    """A photo that cannot serve: `reason` for the line engineer, `code` for other software."""

    def __init__(self, reason: str, code: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """A photo's pixels, and what the intake must know about the file."""

    pixels: Pixels  # [H, W, 3] RGB, upright; smaller than `size_px` where a JPEG was decoded at a scale
    size_px: tuple[int, int]  # width, height of the full photo, upright
    peak: int | None  # largest value of a 16-bit photo before its reduction to 8 bits; None for 8-bit ones


def decode(data: bytes, *, bit_depth: int = 16) -> Pixels:
    """[H, W, 3] uint8 RGB of a JPEG, PNG, BMP, TIFF or WebP file, upright, alpha over black, first frame.

    bit_depth: bits (8 to 16) that the camera really uses of a 16-bit file.
    Raises UnreadablePhoto.
    """
    return decode_photo(data, bit_depth=bit_depth).pixels


def decode_photo(data: bytes, *, bit_depth: int = 16, shorter_side_at_most: int | None = None) -> Decoded:
    """As `decode`, with the photo's full size and 16-bit peak.

    shorter_side_at_most: the size in pixels to which the caller will reduce. A JPEG whose shorter side is at
    least four times that is decoded at 1/2, 1/4 or 1/8 of its size, never under twice what the caller needs.
    Raises UnreadablePhoto.
    """
    opener = _opener(data)
    if _is_cut_off(data, opener):
        raise _truncated()
    # Pillow warns about odd metadata, which neither matters for the pixels nor belongs on the terminal.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _decode(data, opener, bit_depth, shorter_side_at_most)
        except (UnreadablePhoto, MemoryError):
            raise
        # Damaged files make the decoders raise nearly anything; one bad file must not end a run.
        except Exception as error:
            raise _refusal(error) from error


def _opener(data: bytes) -> Callable[[io.BytesIO], ImageFile]:
    """The reader for what the file is, whatever its name says."""
    if not data:
        raise UnreadablePhoto("the file is empty (0 bytes)", "empty")
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if data.startswith(b"BM"):
        return BmpImageFile
    if data.startswith(_TIFF_STARTS):
        return TiffImageFile
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WebPImageFile
    raise UnreadablePhoto(f"not a JPEG, PNG, BMP, TIFF or WebP photo: {_looks_like(data)}", "not_an_image")


def _looks_like(data: bytes) -> str:
    if not data.strip(b"\0"):
        return "the file holds only zero bytes, as after a broken copy"
    start = data[:16].decode("ascii", "replace")
    return f'the file begins with "{start}"' if start.isprintable() else "its contents are of another kind"


def _is_cut_off(data: bytes, opener: Callable[[io.BytesIO], ImageFile]) -> bool:
    """Whether the file ends before its format says it does. BMP is left to the decoder, which counts rows."""
    if opener is JpegImageFile:
        return not _jpeg_ends(data)
    if opener is PngImageFile:
        return _PNG_END not in data[-65536:]
    if opener is WebPImageFile:
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    if opener is TiffImageFile and data[2:4] in (b"*\0", b"\0*"):
        return len(data) < 10 or len(data) < 2 + int(struct.unpack(f"{_byte_order(data)}I", data[4:8])[0])
    return False


def _byte_order(data: bytes) -> str:
    return "<" if data.startswith(b"II") else ">"


def _jpeg_ends(data: bytes) -> bool:
    """Whether an end marker follows the picture's coded data.

    Walks the segments, because the preview inside the EXIF segment has an end marker of its own. A copy that
    was cut off and padded with zeros has none either, and libjpeg decodes that without an error.
    """
    at = 2
    while at + 2 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF:
            return False
        if marker == _EOI:
            return True
        at += _segment_length(data, at)
        if marker == _SOS:
            found = _NEXT_MARKER.search(data, at)
            at = found.start() if found else len(data)
    return False


def _segment_length(data: bytes, at: int) -> int:
    marker = data[at + 1]
    if marker == 0xFF:  # a fill byte before the marker
        return 1
    return 2 if marker in _STANDALONE else 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _decode(
    data: bytes, opener: Callable[[io.BytesIO], ImageFile], bit_depth: int, shorter_side_at_most: int | None
) -> Decoded:
    image = opener(io.BytesIO(data))
    width, height = image.size
    _check_size(width, height)
    if shorter_side_at_most is not None:
        _decode_scaled(image, 2 * shorter_side_at_most)
    image.load()
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)  # a TIFF's is applied, and gone, by now
    peak: int | None
    if _is_deep_colour(data, image):
        del image  # 4 bytes a pixel that are not needed any more
        pixels, peak = _deep_colour(data, bit_depth)
    else:
        pixels, peak = _pixels(image, bit_depth)
    size_px = (height, width) if orientation in _SIDEWAYS else (width, height)
    return Decoded(pixels=_upright(pixels, orientation), size_px=size_px, peak=peak)


def _check_size(width: int, height: int) -> None:
    """From the header alone, before anything is decoded."""
    if width * height > MAX_PIXELS:
        limit = MAX_PIXELS // 1_000_000
        raise UnreadablePhoto(
            f"{width} x {height} pixels; at most {limit} megapixels can be read. Save it smaller", "too_large"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise UnreadablePhoto(
            f"{width} x {height} pixels; each side needs at least {MIN_SIDE_PX}", "too_small"
        )


def _decode_scaled(image: ImageFile, least_px: int) -> None:
    """Lets libjpeg drop the DCT's highest frequencies, which an area reduction would average away."""
    shorter = min(image.size)
    width, height = (side * least_px // shorter for side in image.size)  # the shorter one is least_px exactly
    image.draft(image.mode, (width, height))  # JPEG only; nothing in other formats


def _upright(pixels: Pixels, orientation: object) -> Pixels:
    """EXIF 2.32, 4.6.4 A, Orientation: how the stored rows and columns lie."""
    if orientation in _SIDEWAYS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _pixels(image: ImageFile, bit_depth: int) -> tuple[Pixels, int | None]:
    """[H, W, 3] as stored, and the peak of a 16-bit grey photo. In strips: copies of 100 megapixels count."""
    if image.mode in ("I", "F"):
        raise UnreadablePhoto("its pixels have 32 bits; save it with 8 or 16 bits", "unsupported")
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    peak = None
    for top, bottom in _strips(height, width):
        strip = image if bottom - top == height else image.crop((0, top, width, bottom))
        if image.mode in _DEEP_GREY:
            values = np.asarray(strip).astype(np.uint16, copy=False)
            pixels[top:bottom] = _eight_bits(values, bit_depth)[..., None]
            peak = max(peak or 0, int(values.max()))
        else:
            pixels[top:bottom] = _rgb(strip)
    return pixels, peak


def _strips(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Rows from, to: of a usual photo all at once."""
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield top, min(height, top + rows)


def _rgb(image: Image.Image) -> Pixels:
    if image.mode == "RGB" and "transparency" not in image.info:
        return np.asarray(image)
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return _over_black(np.asarray(_rgba(image)))
    return np.asarray(image.convert("RGB"))


def _rgba(image: Image.Image) -> Image.Image:
    """Premultiplied modes reach RGBA only by way of their plain twin."""
    plain = {"La": "LA", "RGBa": "RGBA"}.get(image.mode)
    return (image.convert(plain) if plain else image).convert("RGBA")


def _is_deep_colour(data: bytes, image: ImageFile) -> bool:
    """Whether the file has 16 bits a channel, of which Pillow keeps the upper 8."""
    if image.mode in _DEEP_GREY:
        return False
    if isinstance(image, PngImageFile):
        return data[24] == 16  # IHDR: bit depth
    return isinstance(image, TiffImageFile) and image.tag_v2.get(258, (8,))[0] == 16  # BitsPerSample


def _deep_colour(data: bytes, bit_depth: int) -> tuple[Pixels, int]:
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 3:
        raise UnreadablePhoto("its 16-bit pixels are damaged, or of a kind that cannot be read", "unreadable")
    height, width, channels = stored.shape
    pixels = np.empty((height, width, 3), np.uint8)
    peak = 0
    for top, bottom in _strips(height, width):
        values: npt.NDArray[np.uint16] = stored[top:bottom, :, 2::-1].astype(np.uint16)  # BGR -> RGB
        rgb = _eight_bits(values, bit_depth)
        if channels == 4:
            alpha = stored[top:bottom, :, 3].astype(np.uint16) >> 8
            rgb = _over_black(np.dstack([rgb, alpha.astype(np.uint8)]))
        pixels[top:bottom] = rgb
        peak = max(peak, int(values.max()))
    return pixels, peak


def _eight_bits(values: npt.NDArray[np.uint16], bit_depth: int) -> Pixels:
    """The upper 8 of the bits in use; what a camera says beyond them is white, not wrapped to black."""
    eight: Pixels = np.minimum(values >> (bit_depth - 8), 255).astype(np.uint8)
    return eight


def _over_black(rgba: Pixels) -> Pixels:
    """[H, W, 4] -> [H, W, 3]; channel by channel, which keeps the 16-bit products small."""
    alpha = rgba[..., 3].astype(np.uint16)
    rgb = np.empty((*rgba.shape[:2], 3), np.uint8)
    for channel in range(3):
        rgb[..., channel] = (rgba[..., channel] * alpha + 127) // 255
    return rgb


def _truncated() -> UnreadablePhoto:
    return UnreadablePhoto(
        "the file ends in the middle of the picture: half written, or the copy broke off", "truncated"
    )


def _refusal(error: Exception) -> UnreadablePhoto:
    if "truncated" in str(error):
        return _truncated()
    return UnreadablePhoto(f"damaged, or of a kind that cannot be read ({error})", "unreadable")
