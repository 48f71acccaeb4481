"""Pictures of every kind come out upright, opaque, RGB; what is broken or too large is named."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from fer_lib.errors import UserError
from fer_lib.frames import decode_picture, find_files, read_frames

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


def test_files_and_folders(tmp_path):
    for name in ("b/2.png", "b/c/1.JPG", "a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GRADIENT).save(tmp_path / name)
    (tmp_path / "b" / "notes.txt").write_text("no picture")
    found = find_files([tmp_path / "b", tmp_path / "a.png", tmp_path / "b" / "2.png"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["b/2.png", "b/c/1.JPG", "a.png"]
    with pytest.raises(UserError, match=r"none: no such file or folder"):
        find_files([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no pictures or videos"):
        find_files([tmp_path / "empty"])


def test_every_third_frame_of_a_video(tmp_path):
    path = tmp_path / "film.avi"
    film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    for number in range(8):
        film.write(np.full((48, 64, 3), (0, 0, 30 * number), np.uint8))  # blue, green, red
    film.release()
    frames = list(read_frames(path, every=3))
    assert [(frame.index, round(frame.seconds, 3)) for frame in frames] == [(0, 0.0), (3, 0.3), (6, 0.6)]
    assert [round(frame.picture[..., 0].mean() / 30) for frame in frames] == [0, 3, 6]  # red comes first
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    with pytest.raises(UserError, match=r"broken\.mp4: not a readable video"):
        list(read_frames(tmp_path / "broken.mp4"))
