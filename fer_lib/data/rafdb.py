"""Reader of RAF-DB's basic part, in the two forms it is passed around in.

Li, Deng & Du, "Reliable crowdsourcing and deep locality-preserving learning for expression recognition in the
wild", CVPR 2017: 15,339 faces, cut out and aligned, 100 x 100 pixels, whose classes are numbers from 1 to 7.

* folders ``train`` and ``test`` of folders ``1`` to ``7``, pictures named ``train_00001_aligned.jpg``;
* the publisher's list ``list_patition_label.txt`` (spelt so): lines such as ``train_00001.jpg 5``, beside or above a
  folder with the pictures.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from fer_lib.data.dataset import FER2013_CLASSES, SPLITS, FaceDataset
from fer_lib.data.folder import STANDARD, Form, Found, folder_dataset, innermost, pictures_in, split_folders, subfolders
from fer_lib.data.walk import passed_over, walk
from fer_lib.errors import UserError

NUMBERS = {"1": "surprise", "2": "fear", "3": "disgust", "4": "happy", "5": "sad", "6": "angry", "7": "neutral"}
LISTS = ("list_patition_label.txt", "list_partition_label.txt")
_NAME = re.compile(r"(train|test)_\d+(_aligned)?")


def read_rafdb(path: Path, form: Form = STANDARD) -> FaceDataset | None:
    """Read RAF-DB from a folder, or return None where the folder is something else.

    Raises:
        UserError: a line of the list that is not as published, pictures that are missing or corrupt.
    """
    listed = next((file for name in LISTS for file in (path / name, path / "EmoLabel" / name) if file.is_file()), None)
    if listed:
        return _dataset(path, _read_list(listed, path), form, ())
    path = innermost(path)
    levels = split_folders(path)
    folders = [(split, folder) for split, level in levels for folder in subfolders(level)]
    if not folders or {folder.name for _, folder in folders} - {*NUMBERS}:
        return None
    found: Found = []
    notes = []
    for split, folder in folders:
        files, passed = pictures_in(folder)
        if any(not _NAME.fullmatch(file.stem) for file in files):
            return None  # another's numbers, which may mean other classes
        found += [(split, _label(folder.name), file) for file in files]
        notes += [passed_over(passed, folder)] if passed else []
    return _dataset(path, found, form, tuple(notes))


def _label(number: str) -> int:
    return FER2013_CLASSES.index(NUMBERS[number])


def _dataset(path: Path, found: Iterable[tuple[str, int, Path]], form: Form, notes: tuple[str, ...]) -> FaceDataset:
    found = sorted(found, key=lambda row: (SPLITS.index(row[0]), *row[1:]))
    return folder_dataset(path, found, FER2013_CLASSES, form, notes)


def _read_list(listed: Path, path: Path) -> Iterator[tuple[str, int, Path]]:
    files = {file.stem.removesuffix("_aligned"): file for file in _pictures_below(path)}
    for number, line in enumerate(listed.read_text(errors="replace").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        stem = Path(words[0]).stem
        name = _NAME.fullmatch(stem)
        if len(words) != 2 or not name or words[1] not in NUMBERS:
            raise UserError(f"{listed}, line {number}: {line.strip()[:60]!r} is not of the form 'train_00001.jpg 5'")
        if stem not in files:
            raise UserError(f"{listed}, line {number}: no picture {stem}_aligned.jpg or {words[0]} below {path}")
        yield name[1], _label(words[1]), files[stem]


def _pictures_below(path: Path) -> list[Path]:
    """RAF-DB's pictures, the aligned ones last, so that they are taken where both are there."""
    found, _ = walk(path, lambda file: _NAME.fullmatch(file.stem) is not None)
    return sorted(found, key=lambda file: file.stem.endswith("_aligned"))
