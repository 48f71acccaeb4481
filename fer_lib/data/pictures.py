"""The one reader of pictures, whatever they are for: files, bytes and arrays of any kind become uint8 RGB [H, W, 3].

A picture that says how it is turned is turned upright, a transparent one is laid on white, of an animation the first
frame is taken, and more than 8 bits become 8.
"""

import io
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fer_lib.data.foreign import beginning_of, is_heic, what_it_is
from fer_lib.data.walk import is_regular
from fer_lib.errors import MANY, UserError

MAX_PIXELS = 50_000_000
"""Larger pictures are refused before they are unpacked; an 8K picture has 33 million pixels."""
SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pnm",
    ".avif", ".heic", ".heif",
}  # fmt: skip
"""Names of pictures; a file of another name is one if its content is."""
# What Pillow knows by name only, hands to another program (PostScript), or what is no photo but an icon.
_NOT_READ = {"EPS", "MPEG", "WMF", "HDF5", "BUFR", "GRIB", "FITS", "ICO", "ICNS", "CUR", "PDF"}
# Several pictures that make one: a photo with its depth or brightness beside it, layers.
_ONE_PHOTO = {"MPO", "PSD"}
_KINDS = (
    "a picture is grey [H, W] or [H, W, 1], RGB [H, W, 3] or RGBA [H, W, 4] (a tensor: [C, H, W]), of whole numbers"
    " from 0 to 255 (or 65,535 as uint16), or of fractions from 0 to 1"
)


def decode_picture(content: bytes | Path, name: str = "picture") -> np.ndarray:
    """Unpack a picture of any format that Pillow reads, whatever its name.

    Args:
        content: an encoded picture, or its file.
        name: what an error message calls it.

    Returns:
        uint8 RGB [H, W, 3].

    Raises:
        UserError: no readable picture, or one of more than :data:`MAX_PIXELS` pixels.
    """
    if isinstance(content, Path):
        name = str(content)
        if content.exists() and not is_regular(content):
            raise UserError(f"{name}: a {'folder' if content.is_dir() else 'pipe or a device'}, not a picture file")
    try:
        # The size stands in the header; pixels are unpacked only afterwards.
        with Image.open(content if isinstance(content, Path) else io.BytesIO(content), formats=_formats()) as file:
            pixels = math.prod(file.size)
            if 0 < pixels <= MAX_PIXELS:
                return _rgb(ImageOps.exif_transpose(file))
    except Image.DecompressionBombError:
        raise UserError(f"{name}: more than {MAX_PIXELS:,} pixels; make it smaller first") from None
    except FileNotFoundError:
        raise UserError(f"{name}: no such file") from None
    except UnidentifiedImageError:
        beginning = beginning_of(content) if isinstance(content, Path) else content[:512]
        raise UserError(f"{name}: not a readable picture ({what_it_is(beginning) or 'no known format'})") from None
    except Exception as error:  # decoders raise many kinds; for the user they all mean one thing
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{name}: not a readable picture ({reason})") from None
    if not pixels:
        raise UserError(f"{name}: a picture without pixels")
    raise UserError(f"{name}: {pixels:,} pixels, more than {MAX_PIXELS:,}; make it smaller first")


def is_picture(file: Path) -> bool:
    """Whether a file is a picture by its content, also one of a kind that is known and not read."""
    try:
        with Image.open(file, formats=_formats()):
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:
        return os.access(file, os.R_OK) and is_heic(beginning_of(file))


def is_one_of_several(file: Path) -> bool:
    """Whether a picture file goes on after the picture that is read of it: an animation, or pages."""
    try:
        with Image.open(file, formats=_formats()) as picture:
            return getattr(picture, "is_animated", False) and picture.format not in _ONE_PHOTO
    except Exception:  # a damaged end is no second picture
        return False


def as_picture(value: Any, name: str = "picture") -> np.ndarray:
    """A picture of any kind that people hold.

    Args:
        value: uint8 RGB [H, W, 3], grey [H, W] or [H, W, 1], RGBA [H, W, 4], of whole numbers or of fractions from 0 to
            1; a tensor [C, H, W] or [H, W] of the same; a Pillow picture; or a file's name or path. OpenCV's order of
            colours, BGR, cannot be told from RGB: turn it first.
        name: what an error message calls it.

    Returns:
        uint8 RGB [H, W, 3].

    Raises:
        UserError: none of these, or a file that cannot be read.
    """
    if value is None:
        raise UserError(f"{name}: None instead of a picture; OpenCV's imread returns it for a file it cannot read")
    if isinstance(value, str | Path):
        return decode_picture(Path(value).expanduser())
    if isinstance(value, Image.Image):
        value = _rgb(ImageOps.exif_transpose(value))
    if hasattr(value, "detach"):  # a tensor, told without importing torch
        value = value.detach().cpu()
        if value.ndim == 3:
            value = value.permute(1, 2, 0)
        value = (value.float() if value.is_floating_point() else value).numpy()
    if not isinstance(value, np.ndarray):
        raise UserError(f"{name}: {type(value).__name__} instead of a picture; {_KINDS}, or a file or Pillow picture")
    shape, channels = list(value.shape), value.shape[2] if value.ndim == 3 else 1
    if value.ndim not in (2, 3) or channels not in (1, 3, 4) or not value.size:
        raise UserError(f"{name}: an array {shape}; {_KINDS}")
    try:
        levels = _levels(value)
    except ValueError as error:
        raise UserError(f"{name}: {error}; {_KINDS}") from None
    if levels.ndim == 2 or channels == 1:
        return np.repeat(levels.reshape(*levels.shape[:2], 1), 3, 2)
    return levels if channels == 3 else _rgb(Image.fromarray(levels))


def square(picture: np.ndarray, size: int, crop: bool = False, colour: bool = False) -> np.ndarray:
    """A picture as the data are read: square, and grey (ITU-R 601 luma) unless its colours are wanted.

    Args:
        picture: uint8 RGB [H, W, 3].
        size: height and width of the result, in pixels.
        crop: keep the central square only, instead of squeezing the longer side.
        colour: keep the colours.

    Returns:
        uint8 [size, size], or RGB [size, size, 3].
    """
    shown = Image.fromarray(picture).convert("RGB" if colour else "L")
    if crop:
        side = min(shown.size)
        left, top = ((length - side) // 2 for length in shown.size)
        shown = shown.crop((left, top, left + side, top + side))
    if shown.size != (size, size):
        shown = shown.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(shown)


def read_picture(file: Path, size: int, crop: bool = False, colour: bool = False) -> np.ndarray:
    """Read one picture file as a square; see `decode_picture` and `square`."""
    return square(decode_picture(file), size, crop, colour)


def read_pictures(files: list[Path], size: int, crop: bool = False, colour: bool = False) -> np.ndarray:
    """Read picture files as squares, uint8 [N, size, size] or RGB [N, size, size, 3]; arguments as of `square`.

    Raises:
        UserError: naming the files that are no readable pictures, at once, the first of them if they are many.
    """
    images = np.empty((len(files), size, size, 3)[: 4 if colour else 3], np.uint8)
    bad = []
    for i, file in enumerate(files):
        try:
            images[i] = read_picture(file, size, crop, colour)
        except UserError as error:
            bad.append(str(error))
    if len(bad) == 1:
        raise UserError(f"{bad[0]}; mend or remove it")
    if bad:
        more = f"; and {len(bad) - MANY} more" if len(bad) > MANY else ""
        named = "; ".join(bad[:MANY])
        raise UserError(f"{len(bad)} of {len(files)} pictures cannot be read, mend or remove them: {named}{more}")
    return images


def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.ID if name not in _NOT_READ]


def _rgb(picture: Image.Image) -> np.ndarray:
    if picture.mode in ("I", "F") or picture.mode.startswith("I;"):
        return np.repeat(_levels(np.asarray(picture))[..., None], 3, 2)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(picture.convert("RGB"))


def _levels(values: np.ndarray) -> np.ndarray:
    """Numbers of any type as uint8 from 0 (black) to 255 (white).

    The type does not always say what is white: a float may be up to 1, 255 or 65,535, an integer of 16 or 32 bits may
    hold 8. The brightest pixel tells, to which resampling may have added somewhat; beyond 16 bits it is white.

    Raises:
        ValueError: numbers that are no grey levels.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "uif":
        raise ValueError(f"values of type {values.dtype}")
    if not np.isfinite(values).all() or values.min() < 0:
        raise ValueError("values that are negative or not finite")
    brightest = float(values.max())
    if values.dtype.kind == "f" and brightest <= 2 * 1:
        white = 1.0
    elif brightest <= 2 * 255:
        white = 255.0
    else:
        white = max(65535.0, brightest)
    return np.round(values * (255.0 / white)).clip(0, 255).astype(np.uint8)
