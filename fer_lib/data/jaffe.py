"""Reader of JAFFE, whose pictures say in their names who is shown and with which expression.

Lyons, Akamatsu, Kamachi & Gyoba, "Coding facial expressions with Gabor wavelets", FG 1998: 213 grey pictures,
256 x 256 pixels, of ten women, named ``KA.AN1.39.tiff``: person, expression and its number, running number.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_lib.data.dataset import FER2013_CLASSES, FaceDataset
from fer_lib.data.folder import STANDARD, Form, folder_dataset, pictures_in, subfolders
from fer_lib.data.walk import passed_over

CODES = {"AN": "angry", "DI": "disgust", "FE": "fear", "HA": "happy", "SA": "sad", "SU": "surprise", "NE": "neutral"}
_NAME = re.compile(rf"([A-Z]{{2}})\.({'|'.join(CODES)})\d?\.\d+", re.IGNORECASE)


def read_jaffe(path: Path, form: Form = STANDARD) -> FaceDataset | None:
    """Read JAFFE from a folder of its pictures, or one that wraps it; return None where the folder is something else.

    Raises:
        UserError: naming pictures that cannot be read.
    """
    files, passed = pictures_in(path)
    names = {file: found for file in files if (found := _NAME.fullmatch(file.stem))}
    if not names:
        inside = subfolders(path)
        return read_jaffe(inside[0], form) if len(inside) == 1 else None
    passed += [file for file in files if file not in names]
    labels = {file: FER2013_CLASSES.index(CODES[name[2].upper()]) for file, name in names.items()}
    files = sorted(names, key=lambda file: (labels[file], file))
    note = passed_over(passed, path, "pictures of JAFFE")
    rows = [("", labels[file], file) for file in files]
    dataset = folder_dataset(path, rows, FER2013_CLASSES, form, (note,) if note else ())
    return replace(dataset, subject=np.array([names[file][1].upper() for file in files]))
