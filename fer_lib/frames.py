"""Pictures from anywhere, such as files, uploads, cameras and videos, brought to one form: uint8 RGB [H, W, 3]."""

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fer_lib.data.folder import SUFFIXES
from fer_lib.errors import UserError

MAX_PIXELS = 50_000_000
"""Larger pictures are refused before they are unpacked; an 8K picture has 33 million pixels."""
VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mjpeg"}


@dataclass(frozen=True)
class Frame:
    """A picture and where it comes from.

    Attributes:
        source: the file.
        index: number of the frame in a video, from 0; None for a picture.
        seconds: time of the frame in a video; None for a picture.
        picture: uint8 RGB [H, W, 3].
    """

    source: Path
    index: int | None
    seconds: float | None
    picture: np.ndarray


def decode_picture(content: bytes | Path, name: str = "picture") -> np.ndarray:
    """Unpack a picture of any format that Pillow reads.

    The first frame of an animation is taken, a picture that says how it is turned is turned upright, and a
    transparent one is laid on white.

    Args:
        content: an encoded picture, or its file.
        name: what an error message calls it.

    Returns:
        uint8 RGB [H, W, 3].

    Raises:
        UserError: no readable picture, or one of more than :data:`MAX_PIXELS` pixels.
    """
    name = str(content) if isinstance(content, Path) else name
    try:
        # The size stands in the header; pixels are unpacked only afterwards.
        with Image.open(content if isinstance(content, Path) else io.BytesIO(content)) as file:
            pixels = math.prod(file.size)
            if pixels <= MAX_PIXELS:
                picture = _opaque(ImageOps.exif_transpose(file))
    except Image.DecompressionBombError:
        raise UserError(f"{name}: more than {MAX_PIXELS:,} pixels; make it smaller first") from None
    except FileNotFoundError:
        raise UserError(f"{name}: no such file") from None
    except Exception as error:  # decoders raise many kinds; for the user they all mean one thing
        raise UserError(f"{name}: not a readable picture ({_reason(error)})") from None
    if pixels > MAX_PIXELS:
        raise UserError(f"{name}: {pixels:,} pixels, more than {MAX_PIXELS:,}; make it smaller first")
    if not pixels:
        raise UserError(f"{name}: a picture without pixels")
    return np.asarray(picture)


def _opaque(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):
        picture = picture.point(lambda value: value / 257).convert("L")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no known format"
    return (str(error).splitlines() or [type(error).__name__])[0]


def find_files(paths: Iterable[Path]) -> list[Path]:
    """The picture and video files that some paths name, folders searched to the bottom, in order.

    Raises:
        UserError: a path that does not exist, or a folder without pictures.
    """
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES and p.is_file())
            if not inside:
                raise UserError(f"{path}: no pictures or videos in this folder")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f"{path}: no such file or folder")
    return list(dict.fromkeys(found))


def read_frames(file: Path, every: int = 1) -> Iterator[Frame]:
    """The one frame of a picture file, or the frames of a video as they are unpacked.

    Args:
        file: a picture, or a video by its suffix.
        every: of a video, take every so-manyth frame.

    Raises:
        UserError: not readable, or too large.
    """
    if file.suffix.lower() not in VIDEO_SUFFIXES:
        yield Frame(file, None, None, decode_picture(file))
        return
    import cv2

    video = cv2.VideoCapture(str(file))
    try:
        rate = video.get(cv2.CAP_PROP_FPS) or 25.0
        index = 0
        while video.grab():
            if index % every == 0:
                readable, picture = video.retrieve()
                if not readable:
                    break
                yield Frame(file, index, index / rate, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            index += 1
    finally:
        video.release()
    if not index:
        raise UserError(f"{file}: not a readable video")
