"""Any folder of class folders, pictures of any size and colour."""

from pathlib import Path

import numpy as np
from PIL import Image

from fer_lib.data.dataset import FACE_SIDE, FER2013_CLASSES, SPLITS, FaceDataset
from fer_lib.errors import UserError, unknown

# What other collections call the classes of ours.
ALIASES = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "normal": "neutral",
}
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}


def read_folder(path: Path, size: int = FACE_SIDE) -> FaceDataset:
    """Read class folders, directly in ``path`` or below folders ``train``, ``val`` and ``test``.

    Pictures become grey (ITU-R 601 luma) and square (longer sides are squeezed, nothing is cut off). The
    classes are FER2013's, or CK+'s where a folder ``contempt`` is present, less those without a folder.

    Args:
        path: the folder.
        size: height and width of the pictures, in pixels.

    Raises:
        UserError: naming the folder or file: nothing there, an unknown or empty class folder, a corrupt
            picture.
    """
    known = (*FER2013_CLASSES, "contempt")
    found = list_pictures(path, known)
    present = sorted({label for _, label, _ in found})
    return FaceDataset(
        name=f"folder:{path.resolve().name}",
        images=read_pictures([file for _, _, file in found], size),
        labels=np.searchsorted(present, [label for _, label, _ in found]).astype(np.int64),
        classes=tuple(known[label] for label in present),
        split=np.array([split for split, _, _ in found]),
        source=path.resolve().name,
    )


def list_pictures(path: Path, classes: tuple[str, ...]) -> list[tuple[str, int, Path]]:
    """All pictures below ``path`` as (split, label, file), sorted by split, label and file name."""
    if not path.is_dir():
        raise UserError(f"{path}: no such folder")
    below = _folders(path)
    levels = [(SPLIT_FOLDERS[f.name.lower()], f) for f in below if f.name.lower() in SPLIT_FOLDERS]
    found = []
    for split, level in sorted(levels, key=lambda pair: SPLITS.index(pair[0])) or [("", path)]:
        folders = [(_label(folder, classes), folder) for folder in _folders(level)]
        if not folders:
            raise UserError(f"{level}: no class folders in it; expected some of {', '.join(classes)}")
        for label, folder in sorted(folders):
            files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES)
            if not files:
                raise UserError(f"{folder}: no pictures in this class folder; fill or remove it")
            found += [(split, label, file) for file in files]
    return found


def _folders(path: Path) -> list[Path]:
    return sorted(f for f in path.iterdir() if f.is_dir() and not f.name.startswith((".", "__")))


def _label(folder: Path, classes: tuple[str, ...]) -> int:
    name = folder.name.lower()
    name = ALIASES.get(name, name)
    if name not in classes:
        raise UserError(f"{folder}: {unknown('class', name, classes)}")
    return classes.index(name)


def read_pictures(files: list[Path], size: int, crop: bool = False) -> np.ndarray:
    """Read picture files as grey squares, uint8 [N, size, size]; arguments as of `read_picture`."""
    images = np.empty((len(files), size, size), np.uint8)
    for i, file in enumerate(files):
        images[i] = read_picture(file, size, crop)
    return images


def read_picture(file: Path, size: int, crop: bool = False) -> np.ndarray:
    """Read one picture file as a grey square, uint8 [size, size].

    Args:
        file: any format that Pillow reads.
        size: height and width of the result, in pixels.
        crop: keep the central square only, instead of squeezing the longer side.

    Raises:
        UserError: if the file is not a readable picture, naming it.
    """
    try:
        with Image.open(file) as picture:
            grey = picture.convert("L")
    except Exception as error:  # decoders raise many kinds; for the user they all mean one thing
        raise UserError(f"{file}: not a readable picture ({error})") from error
    if crop:
        side = min(grey.size)
        left, top = ((length - side) // 2 for length in grey.size)
        grey = grey.crop((left, top, left + side, top + side))
    if grey.size != (size, size):
        grey = grey.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(grey)
