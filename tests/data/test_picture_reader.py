"""One reader for every picture: upright, opaque, RGB, 8 bits; what is broken, too large or something else is named."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from fer_lib.data.pictures import as_picture, decode_picture, read_picture, read_pictures
from fer_lib.errors import UserError

GRADIENT = np.linspace(0, 255, 40 * 30).reshape(30, 40).astype(np.uint8)


def encoded(picture, form="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def test_grey_colour_and_palette():
    grey = decode_picture(encoded(Image.fromarray(GRADIENT)))
    assert (grey.shape, grey.dtype) == ((30, 40, 3), np.uint8)
    assert (grey == GRADIENT[..., None]).all()
    colour = np.random.default_rng(0).integers(0, 256, (8, 9, 3)).astype(np.uint8)
    assert (decode_picture(encoded(Image.fromarray(colour))) == colour).all()
    assert (decode_picture(encoded(Image.fromarray(GRADIENT).convert("P"))) == grey).all()


def test_sixteen_bits_are_scaled_not_cut():
    deep = Image.fromarray(GRADIENT.astype(np.uint16) * 257)
    assert np.abs(decode_picture(encoded(deep)).astype(int) - GRADIENT[..., None]).max() <= 1


def test_transparency_is_laid_on_white():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (200, 10, 10, 255)
    decoded = decode_picture(encoded(Image.fromarray(pixels)))
    assert decoded[0, 0].tolist() == [200, 10, 10]
    assert decoded[1, 1].tolist() == [255, 255, 255]


def test_a_turned_photo_is_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to show"
    shown = decode_picture(encoded(Image.fromarray(GRADIENT), "JPEG", exif=exif, quality=100))
    expected = np.rot90(GRADIENT, -1)
    assert shown.shape == (40, 30, 3)
    assert np.abs(shown[..., 0].astype(int) - expected).max() < 8


def test_an_animation_gives_its_first_frame():
    frames = [Image.fromarray(np.full((5, 5), value, np.uint8)) for value in (10, 250)]
    decoded = decode_picture(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert decoded.shape == (5, 5, 3)
    assert decoded.mean() < 30


@pytest.mark.parametrize(
    "content",
    [b"", b"no picture", encoded(Image.fromarray(GRADIENT), "JPEG")[:300], encoded(Image.fromarray(GRADIENT))[:60]],
)
def test_a_broken_picture_is_named(content):
    with pytest.raises(UserError, match=r"^me\.jpg: not a readable picture \(.+\)$"):
        decode_picture(content, "me.jpg")


def png_header(width, height):
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [7_100, 10_000, 60_000])
def test_a_picture_bomb_is_refused_before_it_is_unpacked(side):
    with pytest.raises(UserError, match=r"^bomb: .*more than 50,000,000.*make it smaller first$"):
        decode_picture(png_header(side, side), "bomb")


def test_a_picture_without_pixels_is_refused():
    with pytest.raises(UserError, match=r"^empty: "):
        decode_picture(png_header(0, 0), "empty")


def test_an_8k_picture_is_read():
    assert decode_picture(encoded(Image.new("L", (7680, 4320)), "JPEG")).shape == (4320, 7680, 3)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pgm", b"P5\n40 30\n65535\n" + (GRADIENT.astype(np.uint16) * 257).astype(">u2").tobytes()),
        ("a.png", encoded(Image.fromarray(GRADIENT.astype(np.uint16) * 257))),
        ("deep.tif", encoded(Image.fromarray(GRADIENT.astype(np.int32) * 257), "TIFF")),
        ("eight.tif", encoded(Image.fromarray(GRADIENT.astype(np.int32)), "TIFF")),
        ("fractions.tif", encoded(Image.fromarray((GRADIENT / 255).astype(np.float32)), "TIFF")),
        ("floats.tif", encoded(Image.fromarray(GRADIENT.astype(np.float32)), "TIFF")),
        ("overshot.tif", encoded(Image.fromarray((GRADIENT / 253).astype(np.float32)), "TIFF")),
        ("eight.png", encoded(Image.fromarray(GRADIENT.astype(np.uint16)))),
        ("cmyk.tif", encoded(Image.fromarray(GRADIENT).convert("RGB").convert("CMYK"), "TIFF")),
        ("a.jfif", encoded(Image.fromarray(GRADIENT), "JPEG", quality=100)),
        ("no_suffix", encoded(Image.fromarray(GRADIENT), "BMP")),
    ],
)
def test_the_same_picture_however_it_is_stored(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert np.abs(decode_picture(tmp_path / name).astype(int) - GRADIENT[..., None]).max() <= 3


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=r"pipe\.png: a pipe or a device, not a picture file"):
        decode_picture(tmp_path / "pipe.png")


def test_the_data_are_read_as_predictions_are(tmp_path):
    """Turned, deep and see-through pictures, which one reader for data and another for predictions would tell apart."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.fromarray(GRADIENT)
    lying.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_picture(tmp_path / "turned.png", 48), read_picture_of(np.rot90(GRADIENT, -1), tmp_path))
    Image.fromarray(GRADIENT.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert np.array_equal(read_picture(tmp_path / "deep.png", 48), read_picture_of(GRADIENT, tmp_path))
    hidden = np.zeros((30, 40, 4), np.uint8)
    Image.fromarray(hidden).save(tmp_path / "hidden.png")
    assert (read_picture(tmp_path / "hidden.png", 48) == 255).all()


def read_picture_of(grey, folder):
    Image.fromarray(np.ascontiguousarray(grey)).save(folder / "plain.png")
    return read_picture(folder / "plain.png", 48)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript, which is not run"),
        (b"PK\x03\x04" + bytes(60), "a zip archive"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(tmp_path, content, words):
    (tmp_path / "me.jpg").write_bytes(content)
    with pytest.raises(UserError, match=rf"me\.jpg: not a readable picture \({words}.*\)$"):
        decode_picture(tmp_path / "me.jpg")


def test_all_bad_files_are_named_at_once(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(GRADIENT).save(tmp_path / name)
    for name in ("a.png", "c.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=r"^2 of 3 pictures cannot be read.*a\.png: .*; .*c\.png: ") as error:
        read_pictures(sorted(tmp_path.iterdir()), 48)
    assert "b.png" not in str(error.value)


# ---------------------------------------------------------------- arrays

COLOUR = np.random.default_rng(1).integers(0, 256, (8, 9, 3)).astype(np.uint8)
OPAQUE = np.dstack([COLOUR, np.full((8, 9), 255, np.uint8)])


@pytest.mark.parametrize(
    "value",
    [
        COLOUR,
        OPAQUE,
        COLOUR.astype(np.int64),
        COLOUR / 255,
        COLOUR.astype(np.uint16) * 257,
        Image.fromarray(COLOUR),
        Image.fromarray(OPAQUE),
        torch.from_numpy(COLOUR).permute(2, 0, 1),
        torch.from_numpy(COLOUR).permute(2, 0, 1) / 255,
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', None) or value.mode}",
)
def test_every_kind_of_array_is_the_same_picture(value):
    found = as_picture(value)
    assert (found.dtype, found.shape) == (np.uint8, (8, 9, 3))
    assert np.abs(found.astype(int) - COLOUR).max() <= 1


@pytest.mark.parametrize("value", [GRADIENT, GRADIENT[..., None], torch.from_numpy(GRADIENT)[None], GRADIENT / 255])
def test_grey_has_three_equal_channels(value):
    assert np.abs(as_picture(value).astype(int) - GRADIENT[..., None]).max() <= 1


def test_a_path_is_read_and_a_clear_pixel_is_white(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "x.png")
    assert (as_picture(str(tmp_path / "x.png")) == COLOUR).all()
    assert (as_picture(np.zeros((4, 4, 4), np.uint8)) == 255).all()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None instead of a picture; OpenCV"),
        ([1, 2], "list instead of a picture"),
        (np.zeros((2, 3, 4, 5)), r"an array \[2, 3, 4, 5\]"),
        (np.zeros((0, 4)), r"an array \[0, 4\]"),
        (np.full((4, 4), -1.5), "values that are negative or not finite"),
        (np.full((4, 4), np.nan), "values that are negative or not finite"),
        (np.array([["a"]]), "values of type"),
    ],
)
def test_what_is_no_picture_says_what_one_is(value, words):
    with pytest.raises(UserError, match=f"^picture: {words}"):
        as_picture(value)
