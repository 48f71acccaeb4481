"""Reader of AffectNet as its publisher passes it on.

Mollahosseini, Hasani & Mahoor, "AffectNet: a database for facial expression, valence, and arousal computing in the
wild", IEEE Trans. Affective Computing 2019: folders ``train_set`` and ``val_set``, each of ``images/N.jpg`` and
``annotations/N_exp.npy``, the number of the expression. Copies in folders of classes are read by
:func:`fer_lib.data.folder.read_folder`.
"""

from pathlib import Path

import numpy as np

from fer_lib.data.dataset import EIGHT_CLASSES, FaceDataset
from fer_lib.data.folder import STANDARD, Form, Found, folder_dataset, innermost
from fer_lib.errors import UserError

EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
"""By their numbers; 8 to 10 are no expression, uncertain and no face, which are left out."""
MOST = 10
FOLDERS = {"train_set": "train", "val_set": "val"}


def read_affectnet(path: Path, form: Form = STANDARD) -> FaceDataset | None:
    """Read AffectNet from a folder, or return None where the folder is something else.

    Raises:
        UserError: naming an annotation that is not as published, or pictures that are missing or corrupt.
    """
    root = innermost(path)
    root = root.parent if root.name in FOLDERS else root
    parts = [(split, root / name) for name, split in FOLDERS.items() if (root / name / "annotations").is_dir()]
    if not parts:
        return None
    found: Found = []
    left_out = 0
    for split, folder in parts:
        for file in sorted((folder / "annotations").glob("*_exp.npy")):
            number = _number(file)
            if number >= len(EXPRESSIONS):
                left_out += 1
                continue
            picture = folder / "images" / f"{file.name.removesuffix('_exp.npy')}.jpg"
            found.append((split, EIGHT_CLASSES.index(EXPRESSIONS[number]), picture))
    if not found:
        raise UserError(f"{root}: AffectNet's folders without any annotation N_exp.npy of an expression")
    notes = (f"{left_out:,} pictures of AffectNet without an expression are left out",) if left_out else ()
    return folder_dataset(path, found, EIGHT_CLASSES, form, notes)


def _number(file: Path) -> int:
    try:
        number = int(np.load(file, allow_pickle=False).item())
    except Exception:  # whatever NumPy says of a damaged file
        raise UserError(f"{file}: not the number of an expression; fetch it again") from None
    if not 0 <= number <= MOST:
        raise UserError(f"{file}: expression {number}, AffectNet's are 0 to {MOST}")
    return number
