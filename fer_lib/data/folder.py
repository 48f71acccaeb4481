"""Any folder of class folders, pictures of any size and colour."""

import difflib
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fer_lib.data.dataset import EIGHT_CLASSES, FACE_SIDE, SPLITS, FaceDataset
from fer_lib.data.foreign import beginning_of, what_it_is
from fer_lib.data.pictures import SUFFIXES, is_picture, read_pictures
from fer_lib.data.walk import is_system_folder, passed_over, sort_files
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
# The same of splits, whose names are read without what parts their words and without "set".
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "publictest": "val",
    "test": "test",
    "testing": "test",
    "privatetest": "test",
}
Found = list[tuple[str, int, Path]]
"""Split, label and file of each picture."""


class Form(NamedTuple):
    """What pictures of any kind are brought to.

    Attributes:
        size: height and width in pixels.
        colour: RGB instead of grey.
    """

    size: int = FACE_SIDE
    colour: bool = False


STANDARD = Form()
"""What the study trains on."""


def read_folder(path: Path, form: Form = STANDARD) -> FaceDataset:
    """Read class folders, directly in ``path`` or below folders ``train``, ``val`` and ``test``.

    Pictures become square (longer sides are squeezed, nothing is cut off). Classes are those with a folder: FER2013's
    in their order, contempt, then any others by name.

    Args:
        path: the folder, or one that holds nothing but it.
        form: what the pictures become.

    Raises:
        UserError: naming the folder or file: nothing there, a class folder that is empty or whose name is nearly that
            of a known class, corrupt pictures.
    """
    known = _with_others(path, EIGHT_CLASSES)
    found, notes = list_pictures(path, known)
    return folder_dataset(path, found, known, form, notes)


def _with_others(path: Path, known: tuple[str, ...]) -> tuple[str, ...]:
    """Known classes and those of a folder that are nobody's: neither nearly a known one nor a bare number."""
    path = innermost(path)
    levels = [level for _, level in split_folders(path)] or [path]
    names = {_class_name(folder) for level in levels for folder in subfolders(level)}
    near = {name for name in names if difflib.get_close_matches(name, [*known, *ALIASES], n=1, cutoff=0.7)}
    return (*known, *sorted(name for name in names - near - {*known} if not name.isdecimal()))


def folder_dataset(
    path: Path, found: Found, known: tuple[str, ...], form: Form = STANDARD, notes: tuple[str, ...] = ()
) -> FaceDataset:
    """Read listed pictures; the dataset's classes are those of the known ones that occur, in their order."""
    present = sorted({label for _, label, _ in found})
    return FaceDataset(
        name=f"folder:{path.resolve().name}",
        images=read_pictures([file for _, _, file in found], form.size, colour=form.colour),
        labels=np.searchsorted(present, [label for _, label, _ in found]).astype(np.int64),
        classes=tuple(known[label] for label in present),
        split=np.array([split for split, _, _ in found]),
        source=path.resolve().name,
        notes=notes,
    )


def list_pictures(path: Path, classes: tuple[str, ...]) -> tuple[Found, tuple[str, ...]]:
    """All pictures of class folders, sorted by split, label and file name, and sentences on what was passed over."""
    path = innermost(path)
    found: Found = []
    splits = split_folders(path)
    notes = [_beside(path, [folder for _, folder in splits])] if splits else []
    for split, level in splits or [("", path)]:
        folders = [(_label(folder, classes), folder) for folder in subfolders(level)]
        notes.append(note := _beside(level, [folder for _, folder in folders]))
        if not folders:
            reason = f" ({note})" if note else ""
            raise UserError(f"{level}: no class folders in it; expected some of {', '.join(classes)}{reason}")
        for label, folder in sorted(folders):
            files, passed = pictures_in(folder)
            note = passed_over(passed, folder)
            if not files:
                reason = f" ({note})" if note else ""
                raise UserError(f"{folder}: no pictures in this class folder; fill or remove it{reason}")
            found += [(split, label, file) for file in files]
            notes.append(note)
    return found, tuple(filter(None, notes))


def _beside(level: Path, folders: list[Path]) -> str:
    """A sentence about what lies beside the folders of a level that are read, but for what a system keeps there."""
    others = [path for path in sorted(level.iterdir()) if path not in folders and not is_system_folder(path)]
    return passed_over(others, level, "folders of a split or a class")


def pictures_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures of a folder, whatever their suffix, and what else is in it."""
    return sort_files(folder.iterdir(), lambda file: file.suffix.lower() in SUFFIXES or is_picture(file))


def split_folders(path: Path) -> list[tuple[str, Path]]:
    """The folders of a dataset that name a split, as (split, folder), train first."""
    named = [(_split(folder), folder) for folder in subfolders(path)]
    return sorted(((split, f) for split, f in named if split), key=lambda pair: SPLITS.index(pair[0]))


def _split(folder: Path) -> str | None:
    """The split that a folder's name means: ``Public_Test`` is "val", ``training_set`` is "train"."""
    return SPLIT_FOLDERS.get(re.sub(r"[\s_-]", "", folder.name.lower()).removesuffix("set"))


def subfolders(path: Path) -> list[Path]:
    """The folders in a folder, sorted, but for those that a system keeps for itself."""
    return sorted(f for f in path.iterdir() if f.is_dir() and not is_system_folder(f))


def innermost(path: Path) -> Path:
    """The folder with a dataset's folders, where archives have wrapped it into others that hold nothing else.

    Raises:
        UserError: there is no such folder, or it is a file, saying of what kind.
    """
    if not path.is_dir():
        if path.exists():
            raise UserError(f"{path}: {what_it_is(beginning_of(path)) or 'a file'}, where a folder is needed")
        raise UserError(f"{path}: no such folder")
    while len(inside := subfolders(path)) == 1 and _is_wrapping(inside[0]):
        path = inside[0]
    return path


def _is_wrapping(folder: Path) -> bool:
    """Whether a folder is no class or split itself: it holds folders and no picture."""
    return not (_split(folder) or _is_class(folder)) and bool(subfolders(folder))


def holds_classes(path: Path) -> bool:
    """Whether class folders lie directly in a folder."""
    return path.is_dir() and any(map(_is_class, subfolders(path)))


def _is_class(folder: Path) -> bool:
    return _class_name(folder) in EIGHT_CLASSES


def _class_name(folder: Path) -> str:
    name = folder.name.lower()
    return ALIASES.get(name, name)


def _label(folder: Path, classes: tuple[str, ...]) -> int:
    name = _class_name(folder)
    if name not in classes:
        if name.isdecimal():
            raise UserError(
                f"{folder}: a number does not say which class it is; name the folder {', '.join(classes)}; of RAF-DB"
                " the pictures' names tell, as in train_00001_aligned.jpg"
            )
        raise UserError(f"{folder}: {unknown('class', name, classes)}")
    return classes.index(name)
