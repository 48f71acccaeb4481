"""Finds a dataset by its name, wherever its files lie in the data root."""

import os
from pathlib import Path
from typing import NamedTuple

from fer_lib.data.ckplus import read_ck48, read_original
from fer_lib.data.dataset import CKPLUS_CLASSES, FER2013_CLASSES, FaceDataset
from fer_lib.data.fer2013 import read_csv, read_folders, read_train_test
from fer_lib.data.ferplus import add_votes
from fer_lib.data.folder import read_folder
from fer_lib.data.folds import PROTOCOLS
from fer_lib.data.synthetic import synthetic
from fer_lib.errors import UserError, unknown


class Known(NamedTuple):
    """What is known of a dataset without its files.

    Attributes:
        title: as people write it.
        classes: names, in the order of the labels.
        protocols: that split it, the one for everyday first.
    """

    title: str
    classes: tuple[str, ...]
    protocols: tuple[str, ...]


def _protocols(first: str, *without: str) -> tuple[str, ...]:
    return (first, *(name for name in PROTOCOLS if name != first and not name.startswith(without)))


KNOWN = {
    "synthetic": Known("drawn faces", FER2013_CLASSES, _protocols("official", "copied")),
    "fer2013": Known("FER2013", FER2013_CLASSES, _protocols("official", "copied", "subject")),
    "ckplus": Known("CK+", CKPLUS_CLASSES, _protocols("subject_10fold", "official")),
}


def classes_of(name: str) -> tuple[str, ...]:
    """Class names of a dataset; empty where its folders will say them."""
    return KNOWN[name].classes if name in KNOWN else ()


# Where archives put their files, relative to the data root.
_KAGGLE = "challenges-in-representation-learning-facial-expression-recognition-challenge"
_FER2013_FOLDERS = ("fer2013", "fer2013/fer2013", f"fer2013/{_KAGGLE}", _KAGGLE, "")
_CK48_FOLDERS = ("ckplus/CK+48", "CK+48", "ckplus/ck/CK+48", "ck/CK+48")
_CK_ORIGINAL_FOLDERS = ("ckplus", "ckplus/CK+", "CK+", "")


class MissingData(UserError):
    """The files of a dataset are not in the data root."""


def data_root(root: str | Path | None = None) -> Path:
    """The folder of the datasets: the argument, else the variable FER_DATA, else ``data``."""
    return Path(root or os.environ.get("FER_DATA") or "data")


def load_dataset(name: str, root: str | Path | None = None) -> FaceDataset:
    """Load a dataset by name.

    Args:
        name: "synthetic"; "fer2013" (with FER+ votes where ``fer2013new.csv`` lies with it); "ckplus"; or
            "folder:PATH" for a folder of class folders.
        root: the data root; see `data_root`.

    Raises:
        UserError: if the name is unknown or the files are not as published.
        MissingData: if there are none, saying where they were looked for.
    """
    kind, _, path = name.partition(":")
    try:
        if name == "synthetic":
            return synthetic()
        if name == "fer2013":
            return _load_fer2013(data_root(root))
        if name == "ckplus":
            return _load_ckplus(data_root(root))
        if kind == "folder" and path:
            return read_folder(Path(path).expanduser())
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from error
    raise unknown("dataset", name, [*KNOWN, "folder:PATH"])


def _load_fer2013(root: Path) -> FaceDataset:
    cache = root / ".cache"
    for folder in (root / name for name in _FER2013_FOLDERS):
        train, test = folder / "train.csv", folder / "test.csv"
        if (file := folder / "fer2013.csv").is_file() or (file := folder / "icml_face_data.csv").is_file():
            dataset = read_csv(file, cache)
        elif train.is_file() and test.is_file():
            dataset = read_train_test(train, test, cache)
        elif (folder / "train").is_dir() and (folder / "test").is_dir():
            return read_folders(folder)
        else:
            continue
        votes = find_votes(root)
        return add_votes(dataset, votes) if votes else dataset
    raise _missing(
        "FER2013",
        root,
        "fer2013.csv, icml_face_data.csv, train.csv + test.csv or folders train + test",
        _FER2013_FOLDERS,
        "fetch it with `fer data download fer2013`",
    )


def find_votes(root: Path) -> Path | None:
    """The FER+ file ``fer2013new.csv`` in the data root, or None."""
    places = (*_FER2013_FOLDERS, "ferplus", "FERPlus")
    return next((file for name in places if (file := root / name / "fer2013new.csv").is_file()), None)


def _load_ckplus(root: Path) -> FaceDataset:
    for folder in (root / name for name in _CK48_FOLDERS):
        if folder.is_dir():
            return read_ck48(folder)
    for folder in (root / name for name in _CK_ORIGINAL_FOLDERS):
        images, emotions = folder / "cohn-kanade-images", folder / "Emotion"
        if images.is_dir() and emotions.is_dir():
            return read_original(images, emotions)
    raise _missing(
        "CK+",
        root,
        "CK+48, or cohn-kanade-images + Emotion",
        ("ckplus", "ckplus/ck", "ckplus/CK+", "ck", "CK+", ""),
        "`fer data download ckplus` says where to get it",
    )


def _missing(title: str, root: Path, wanted: str, folders: tuple[str, ...], remedy: str) -> MissingData:
    places = ", ".join(f"{name}/" if name else "the folder itself" for name in folders)
    return MissingData(
        f"{title} not found in {root}: looked for {wanted} in {places}; {remedy} or set FER_DATA to the folder of"
        " the datasets"
    )
