from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from appliance import decode as decode_module
from appliance.decode import MAX_PIXELS, UnreadablePhoto, decode, decode_photo
from appliance.errors import ImagesError
from tests.pictures import draw_part, encoded, encoded_deep

PART = draw_part(np.random.default_rng(0), size_px=64)[:48]  # [48, 64, 3]
DEEP = np.random.default_rng(1).integers(0, 65536, (48, 64, 3), dtype=np.uint16)


def refused(data: bytes) -> UnreadablePhoto:
    with pytest.raises(UnreadablePhoto) as caught:
        decode(data)
    return caught.value


def with_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def shown(stored: np.ndarray, orientation: int) -> np.ndarray:
    """The EXIF table in words: which side of the picture the stored row 0 and column 0 are."""
    rows_cols = {
        1: lambda r, c: (r, c),
        2: lambda r, c: (r, -1 - c),
        3: lambda r, c: (-1 - r, -1 - c),
        4: lambda r, c: (-1 - r, c),
        5: lambda r, c: (c, r),
        6: lambda r, c: (-1 - c, r),
        7: lambda r, c: (-1 - c, -1 - r),
        8: lambda r, c: (c, -1 - r),
    }[orientation]
    height, width = stored.shape[:2]
    size = (width, height) if orientation > 4 else (height, width)
    return np.array([[stored[rows_cols(r, c)] for c in range(size[1])] for r in range(size[0])])


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("pixels", [PART, PART[..., 0]], ids=["rgb", "grey"])
def test_lossless_formats_give_the_stored_pixels(kind, pixels):
    """Grey and RGB come back as three equal or as the stored channels."""
    expected = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    assert np.array_equal(decode(encoded(pixels, kind)), expected)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_give_nearly_the_stored_pixels(kind):
    """At high quality the mean error is below three grey levels, channels in RGB order."""
    error = decode(encoded(PART, kind, quality=98)).astype(int) - PART
    assert np.abs(error).mean() < 3


def test_lossless_webp_and_compressed_tiff():
    """WebP without loss and TIFF with LZW, deflate or packed bits come back exactly."""
    assert np.array_equal(decode(encoded(PART, "WEBP", lossless=True)), PART)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        assert np.array_equal(decode(encoded(PART, "TIFF", compression=compression)), PART)


def test_alpha_lies_over_black():
    """A pixel of alpha a shows a / 255 of its colour, rounded."""
    alpha = np.arange(48 * 64, dtype=np.int64).reshape(48, 64) % 256
    rgba = np.dstack([PART, alpha.astype(np.uint8)])
    expected = np.floor(PART * alpha[..., None] / 255 + 0.5)
    assert np.array_equal(decode(encoded(rgba, "PNG")), expected)


def test_palette_with_and_without_transparency():
    """A palette's colours are looked up; its transparent colour is black."""
    indices = np.zeros((40, 40), np.uint8)
    indices[:, 20:] = 1
    image = Image.fromarray(indices).convert("L")
    image.putpalette([10, 20, 30, 200, 100, 50])
    plain, clear = io.BytesIO(), io.BytesIO()
    image.save(plain, "PNG")
    image.save(clear, "PNG", transparency=1)
    assert decode(plain.getvalue())[0, 0].tolist() == [10, 20, 30]
    assert decode(plain.getvalue())[0, 39].tolist() == [200, 100, 50]
    assert decode(clear.getvalue())[0, 39].tolist() == [0, 0, 0]


def test_cmyk_jpeg_is_converted():
    """A CMYK JPEG of pure cyan reads as cyan."""
    file = io.BytesIO()
    Image.new("CMYK", (40, 40), (255, 0, 0, 0)).save(file, "JPEG")
    red, green, blue = decode(file.getvalue())[20, 20].tolist()
    assert red < 20 < 230 < min(green, blue)


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_keep_the_upper_eight(kind, channels):
    """Without a bit depth, 16-bit pixels are their upper bytes, colours in RGB order."""
    values = DEEP[..., 0] if channels == 1 else DEEP
    expected = (DEEP if channels == 3 else np.repeat(DEEP[..., :1], 3, axis=2)) >> 8
    assert np.array_equal(decode(encoded_deep(values, kind)), expected)


@given(bit_depth=st.integers(8, 16), deep_grey=st.booleans())
@settings(max_examples=20, deadline=None)
def test_bit_depth_scales_the_cameras_white_to_white(bit_depth, deep_grey):
    """A camera of b bits: its values lose b - 8 bits, and values beyond b bits are white."""
    values = DEEP[..., 0] if deep_grey else DEEP
    expected = np.minimum(values.astype(np.int64) // 2 ** (bit_depth - 8), 255)
    expected = np.repeat(expected[..., None], 3, axis=2) if deep_grey else expected
    assert np.array_equal(decode(encoded_deep(values), bit_depth=bit_depth), expected)


def test_sixteen_bit_alpha_lies_over_black():
    """Half transparent 16-bit white is mid grey, whatever the camera's bit depth."""
    rgba = np.full((40, 40, 4), 4095, np.uint16)
    rgba[..., 3] = 32768
    assert set(decode(encoded_deep(rgba), bit_depth=12).ravel().tolist()) == {128}


def test_peak_is_told_for_sixteen_bits_only():
    """The intake learns the largest value of a 16-bit photo, and None for an 8-bit one."""
    assert decode_photo(encoded_deep((DEEP >> 4)[..., 0])).peak == int((DEEP >> 4)[..., 0].max())
    assert decode_photo(encoded_deep(DEEP >> 4)).peak == int((DEEP >> 4).max())
    assert decode_photo(encoded(PART)).peak is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    """All eight, in PNG, TIFF and 16-bit colour TIFF, show the picture upright, sizes swapped."""
    expected = shown(PART, orientation)
    for data in (
        encoded(PART, "PNG", exif=with_exif(orientation)),
        encoded(PART, "TIFF", exif=with_exif(orientation)),
        encoded_deep(PART.astype(np.uint16) << 8, "tiff", orientation=orientation),
    ):
        photo = decode_photo(data)
        assert np.array_equal(photo.pixels, expected)
        assert photo.size_px == (expected.shape[1], expected.shape[0])
        assert photo.pixels.flags.c_contiguous


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "RGB", "I;16"])
def test_strips_change_nothing(mode, monkeypatch):
    """A large photo is converted in strips to the same pixels and the same peak."""
    image = Image.fromarray(DEEP[..., 0]) if mode == "I;16" else Image.fromarray(PART).convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    at_once = [decode_photo(data) for data in (file.getvalue(), encoded_deep(DEEP))]
    monkeypatch.setattr(decode_module, "STRIP_PIXELS", 64 * 7)
    in_strips = [decode_photo(data) for data in (file.getvalue(), encoded_deep(DEEP))]
    for one, other in zip(at_once, in_strips, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert one.peak == other.peak


def test_first_frame_of_several():
    """Of an animated PNG or WebP and of a TIFF with pages the first frame is taken."""
    for kind in ("PNG", "WEBP", "TIFF"):
        file = io.BytesIO()
        pages = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
        options = {"lossless": True} if kind == "WEBP" else {}
        pages[0].save(file, kind, save_all=True, append_images=pages[1:], **options)
        assert decode(file.getvalue())[0, 0].tolist() == [255, 0, 0]


@given(share=st.floats(0.02, 0.999), kind=st.sampled_from(["JPEG", "PNG", "BMP", "TIFF", "WEBP"]))
@settings(max_examples=60, deadline=None)
def test_a_file_cut_anywhere_is_refused(share, kind):
    """No prefix of a photo is read as a photo."""
    data = encoded(PART, kind)
    assert refused(data[: int(len(data) * share)]).code in {"truncated", "unreadable", "not_an_image"}


@pytest.mark.parametrize("progressive", [False, True])
def test_a_cut_jpeg_is_called_truncated(progressive):
    """Also where only the end marker misses, a preview inside has one, or zeros fill the rest."""
    preview = with_exif(1).tobytes() + encoded(PART[:32, :32], "JPEG")
    data = encoded(PART, "JPEG", progressive=progressive, exif=preview)
    assert decode(data).shape == PART.shape
    for cut in (data[:-2], data[: len(data) * 3 // 4], data[: len(preview) + 40]):
        assert refused(cut).code == "truncated"
        assert refused(cut + bytes(len(data) - len(cut))).code == "truncated"


def test_what_follows_a_jpegs_end_is_ignored():
    """Cameras append further data; the photo is whole."""
    data = encoded(PART, "JPEG")
    assert np.array_equal(decode(data + b"vendor data" * 9), decode(data))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"part,verdict\n1,good\n", "not_an_image"),
        (bytes(5000), "not_an_image"),
        (b"GIF89a" + bytes(40), "not_an_image"),
        (b"BM" + bytes(60), "unreadable"),
        (encoded(PART[:31]), "too_small"),
        (encoded(PART.astype(np.int32)[..., 0], "TIFF"), "unsupported"),
    ],
)
def test_what_cannot_serve_is_refused_with_its_code(data, code):
    """Each fault has a stable code and a sentence, and is an error of images."""
    error = refused(data)
    assert error.code == code
    assert error.reason == str(error) != ""
    assert isinstance(error, ImagesError)


def test_a_decompression_bomb_is_refused_by_its_header():
    """A PNG that claims more than 100 megapixels is refused for that, though it has no pixels at all."""

    def png(width: int, height: int) -> bytes:
        chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IEND", b"")]
        body = (struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
        return b"\x89PNG\r\n\x1a\n" + b"".join(body)

    assert refused(png(20000, 20000)).code == "too_large"
    assert refused(png(10001, 10000)).code == "too_large"
    assert refused(png(10000, MAX_PIXELS // 10000)).code != "too_large"


@given(data=st.binary(max_size=200), start=st.sampled_from([b"", b"\xff\xd8\xff", b"II*\0", b"BM"]))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_decoded_or_refused(data, start):
    """No bytes make another exception than UnreadablePhoto."""
    assert refused(start + data).code


def test_damage_inside_a_png_is_refused():
    """A flipped byte in the coded pixels fails the checksum."""
    data = bytearray(encoded(PART))
    data[len(data) // 2] ^= 0xFF
    assert refused(bytes(data)).code in {"unreadable", "truncated"}


def test_a_large_jpeg_is_decoded_at_a_scale_that_keeps_twice_the_need():
    """1/2, 1/4, 1/8 as far as twice the needed side remains; the full size is still told."""
    data = encoded(cv2.resize(PART, (803, 601)), "JPEG")
    for need, shorter in ((301, 601), (300, 601), (150, 301), (75, 151), (37, 76), (10, 76)):
        photo = decode_photo(data, shorter_side_at_most=need)
        assert min(photo.pixels.shape[:2]) == shorter
        assert photo.size_px == (803, 601)


def test_scaled_decoding_is_the_area_mean_but_for_rounding():
    """A JPEG at half size differs from the area reduction of the whole by under a grey level on average."""
    data = encoded(cv2.resize(PART, (640, 480), interpolation=cv2.INTER_CUBIC), "JPEG", quality=95)
    half = decode_photo(data, shorter_side_at_most=120).pixels
    whole = cv2.resize(decode(data), (320, 240), interpolation=cv2.INTER_AREA)
    assert np.abs(half.astype(int) - whole).mean() < 1
