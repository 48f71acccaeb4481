"""Readers of CK+, the extended Cohn-Kanade dataset, in its two forms.

Lucey et al., "The extended Cohn-Kanade dataset (CK+)", CVPR Workshops 2010: 327 labelled sequences of 118
subjects, from a neutral face to the expression's peak. The papers take the last three frames of each:
981 pictures.

* ``CK+48``: class folders of face crops, 48 x 48 pixels, named ``S010_004_00000017.png``.
* the original tree: ``cohn-kanade-images/S010/004/S010_004_00000017.png`` and
  ``Emotion/S010/004/S010_004_00000017_emotion.txt``. No face is looked for in it: the central square of the
  whole picture is scaled down, in which the face is smaller than in CK+48. The forms are not interchangeable.

CK+ has no neutral label and, in its place, contempt. Its publisher made no split.
"""

import re
from pathlib import Path

import numpy as np

from fer_lib.data.dataset import CKPLUS_CLASSES, FACE_SIDE, FaceDataset
from fer_lib.data.folder import list_pictures, subfolders
from fer_lib.data.pictures import read_pictures
from fer_lib.errors import UserError

PUBLISHABLE_SUBJECTS = ("S052", "S055", "S074", "S106", "S111", "S113", "S121", "S124", "S125", "S130", "S132")
"""Whose pictures may be printed, with :data:`NOTICE` beside them; CK+'s agreement allows no others."""
NOTICE = "© Jeffrey Cohn"
LAST_FRAMES = 3
SUBJECTS, SEQUENCES = 118, 327
"""Of the labelled release (Lucey et al. 2010)."""
PUBLISHED = (135, 177, 75, 207, 84, 249, 54)
"""Pictures by class, in the order of CKPLUS_CLASSES: the last three frames of a sequence, so three times Table 3."""
_NAME = re.compile(r"(S\d+)_(\d+)_(\d+)\.\w+")
# The numbers in Emotion/*.txt; 0 is neutral, which no sequence of the release ends in.
_CODES = {1: "angry", 2: "contempt", 3: "disgust", 4: "fear", 5: "happy", 6: "sad", 7: "surprise"}


def read_ck48(path: Path) -> FaceDataset:
    """Read the class folders of ``CK+48``, sorted by class and file name.

    Raises:
        UserError: naming the file or folder: an unknown or empty class folder, a corrupt picture, a file
            name without subject, sequence and frame.
    """
    added = [folder for folder in subfolders(path) if folder.name.lower() in ("neutral", "normal")]
    if added:
        raise UserError(
            f"{added[0]}: CK+ has no label neutral, somebody added this folder: move it away to read CK+ without"
            f" neutral, or read all eight classes as the dataset folder:{path}"
        )
    found, notes = list_pictures(path, CKPLUS_CLASSES)
    return _dataset([(label, file) for _, label, file in found], path, crop=False, notes=notes)


def read_original(images: Path, emotions: Path) -> FaceDataset:
    """Read the last three frames of every labelled sequence of the original tree.

    Args:
        images: the folder ``cohn-kanade-images``.
        emotions: the folder ``Emotion``.

    Raises:
        UserError: naming the file or folder: no labels, a label that is not 1 to 7, too few frames, a
            corrupt picture.
    """
    found = []
    for file in sorted(emotions.glob("*/*/S*_emotion.txt")):
        sequence = images / file.parent.parent.name / file.parent.name
        frames = sorted(sequence.glob("S*.png"))[-LAST_FRAMES:]
        if len(frames) < LAST_FRAMES:
            raise UserError(f"{sequence}: {len(frames)} pictures for the label in {file.name}; need {LAST_FRAMES}")
        found += [(_read_code(file), frame) for frame in frames]
    if not found:
        raise UserError(f"{emotions}: no label such as S010/004/S010_004_00000017_emotion.txt in it")
    return _dataset(sorted(found), images, crop=True)


def _read_code(file: Path) -> int:
    text = file.read_text(errors="replace").strip()
    try:
        return CKPLUS_CLASSES.index(_CODES[int(float(text))])
    except (KeyError, ValueError):
        raise UserError(f"{file}: label {text[:20]!r} is not a number from 1 to 7") from None


def _dataset(found: list[tuple[int, Path]], path: Path, crop: bool, notes: tuple[str, ...] = ()) -> FaceDataset:
    names = []
    for _, file in found:
        name = _NAME.fullmatch(file.name)
        if not name:
            raise UserError(f"{file}: the name must say subject, sequence and frame, as S010_004_00000017.png")
        names.append(name)
    return FaceDataset(
        name="ckplus",
        images=read_pictures([file for _, file in found], FACE_SIDE, crop),
        labels=np.array([label for label, _ in found], np.int64),
        classes=CKPLUS_CLASSES,
        split=np.full(len(found), ""),
        source=path.name,
        subject=np.array([name[1] for name in names]),
        sequence=np.array([f"{name[1]}_{name[2]}" for name in names]),
        notes=notes,
    )
