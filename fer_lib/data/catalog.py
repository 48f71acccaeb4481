"""Finds a dataset by its name, wherever its files lie in the data root."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from fer_lib.data.affectnet import read_affectnet
from fer_lib.data.ckplus import read_ck48, read_original
from fer_lib.data.dataset import CKPLUS_CLASSES, FACE_SIDE, FER2013_CLASSES, FaceDataset
from fer_lib.data.fer2013 import read_csv, read_folders, read_train_test
from fer_lib.data.ferplus import TREE, add_votes, read_tree, with_majority_labels
from fer_lib.data.folder import STANDARD, Form, innermost, read_folder, split_folders, subfolders
from fer_lib.data.folds import PROTOCOLS
from fer_lib.data.foreign import beginning_of, what_it_is
from fer_lib.data.jaffe import read_jaffe
from fer_lib.data.rafdb import read_rafdb
from fer_lib.data.synthetic import synthetic, synthetic_films
from fer_lib.errors import UserError, unknown
from fer_lib.paths import setting_path, user_path
from fer_lib.plugins import look_up, register


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
    "synthetic_films": Known("drawn films", FER2013_CLASSES, _protocols("subject_10fold", "copied", "official")),
    "fer2013": Known("FER2013", FER2013_CLASSES, _protocols("official", "copied", "subject")),
    "ferplus": Known("FER+", FER2013_CLASSES, _protocols("official", "copied", "subject")),
    "ckplus": Known("CK+", CKPLUS_CLASSES, _protocols("subject_10fold", "official")),
}


_OWN: dict[str, Callable[[], FaceDataset]] = {}
"""What reads the datasets of :func:`register_dataset`."""


def register_dataset(
    name: str,
    load: Callable[[], FaceDataset],
    classes: Sequence[str],
    protocols: Sequence[str] = ("official",),
    title: str | None = None,
) -> None:
    """Take a dataset of your own: recipes and ``--dataset`` name it as they do ours.

    Args:
        name: small letters and digits.
        load: reads it.
        classes: names of its classes, in the order of the labels.
        protocols: of :data:`fer_lib.data.PROTOCOLS`, those that its pictures can be split by, the everyday one first.
        title: as people write it; by default the name.

    Raises:
        UserError: a name that cannot be had, fewer than two classes, or an unknown protocol.
    """
    if len(set(classes)) < 2 or len(set(classes)) < len(classes):
        raise UserError(f"dataset {name}: classes must be two names or more, all different: got {list(classes)}")
    for protocol in protocols or [""]:
        if protocol not in PROTOCOLS:
            raise UserError(f"dataset {name}: {unknown('protocol', protocol, PROTOCOLS)}")
    register("dataset", name, load, {*KNOWN, "folder", "own"})
    KNOWN[name] = Known(title or name, tuple(classes), tuple(protocols))
    _OWN[name] = load


def known_dataset(name: str) -> Known | None:
    """What is known of a dataset, those of plug-ins included; None of a folder's, or where there is none."""
    if not name.startswith("folder:"):
        look_up(name, KNOWN)
    return KNOWN.get(name)


def dataset_title(name: str) -> str:
    """What people call a dataset; ``own`` are a paper's own unpublished pictures."""
    known = None if name == "own" else known_dataset(name)
    return "own pictures" if name == "own" else known.title if known else name


def classes_of(name: str) -> tuple[str, ...]:
    """Class names of a dataset; empty where its folders will say them."""
    known = known_dataset(name)
    return known.classes if known else ()


# Where archives put their files, relative to the data root; small and capital letters are the same.
_KAGGLE = "challenges-in-representation-learning-facial-expression-recognition-challenge"
_FER2013_FOLDERS = ("fer2013", "fer2013/fer2013", f"fer2013/{_KAGGLE}", _KAGGLE, "")
_CK48_FOLDERS = ("ckplus/CK+48", "CK+48", "ckplus/ck/CK+48", "ck/CK+48")
_CK_ORIGINAL_FOLDERS = ("ckplus", "ckplus/CK+", "CK+", "")
_FERPLUS_FOLDERS = ("ferplus", "ferplus/data", "fer2013", "fer2013/data", "")
_WRAPPERS = ("archive", "images", "data")  # folders that archives leave about their content


class MissingData(UserError):
    """The files of a dataset are not in the data root."""


def data_root(root: str | Path | None = None) -> Path:
    """The folder of the datasets: the argument, else the variable FER_DATA, else ``data`` of the checkout."""
    return user_path(root) if root else setting_path(os.environ.get("FER_DATA") or "data")


def load_dataset(
    name: str, root: str | Path | None = None, *, size: int = FACE_SIDE, colour: bool = False
) -> FaceDataset:
    """Load a dataset by name.

    Args:
        name: "synthetic"; "synthetic_films"; "fer2013" (with FER+ votes where ``fer2013new.csv`` lies with it);
            "ferplus", the same pictures with the class that most annotators of FER+ chose; "ckplus"; or "folder:PATH"
            for a folder of class folders of any names, RAF-DB, AffectNet, JAFFE or the folders of FER+'s own script; or
            one that :func:`register_dataset` took.
        root: the data root; see `data_root`.
        size: height and width of a folder's pictures in pixels; the other datasets have theirs.
        colour: read a folder's pictures as RGB.

    Raises:
        UserError: if the name is unknown or the files are not as published.
        MissingData: if there are none, saying where they were looked for, and what lies there instead.
    """
    kind, _, path = name.partition(":")
    form = Form(size, colour)
    if kind != "folder" and form != STANDARD:
        raise UserError(f"dataset {name}: size and colour are for folder:PATH; the others have theirs")
    try:
        if name == "synthetic":
            return synthetic()
        if name == "synthetic_films":
            return synthetic_films()
        if name == "fer2013":
            return _load_fer2013(data_root(root))
        if name == "ferplus":
            return _load_ferplus(data_root(root))
        if name == "ckplus":
            return _load_ckplus(data_root(root))
        if kind == "folder" and path:
            return _load_folder(setting_path(path), form)
        if known_dataset(name):
            return _load_own(name)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from error
    raise unknown("dataset", name, [*KNOWN, "folder:PATH"])


def _load_own(name: str) -> FaceDataset:
    dataset = _OWN[name]()
    if not isinstance(dataset, FaceDataset):
        raise UserError(f"dataset {name}: its function gave {type(dataset).__name__}, no FaceDataset")
    if dataset.classes != KNOWN[name].classes:
        raise UserError(
            f"dataset {name}: has the classes {list(dataset.classes)}, registered are {KNOWN[name].classes}"
        )
    return replace(dataset, name=name)


def _load_fer2013(root: Path) -> FaceDataset:
    cache = root / ".cache"
    for folder in _fer2013_folders(root):
        names = {file.name.lower(): file for file in sorted(folder.iterdir(), reverse=True) if file.is_file()}
        single = names.get("fer2013.csv") or names.get("icml_face_data.csv")
        if single:
            dataset = read_csv(single, cache)
        elif "train.csv" in names and "test.csv" in names:
            dataset = read_train_test(names["train.csv"], names["test.csv"], cache)
        elif {split for split, _ in split_folders(folder)} > {"train"}:
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


def _fer2013_folders(root: Path) -> Iterator[Path]:
    """Folders that may hold FER2013: those where archives put it, then what these hold, two levels down."""
    named = [folder for name in _FER2013_FOLDERS if (folder := _find(root, name)) and folder.is_dir()]
    yield from named
    for folder in named:
        inside = subfolders(folder)
        if folder == root:  # which may hold other datasets as well
            inside = [below for below in inside if below.name.lower() in _WRAPPERS]
        yield from inside
        yield from (deeper for below in inside for deeper in subfolders(below))


def find_votes(root: Path) -> Path | None:
    """The FER+ file ``fer2013new.csv`` in the data root, or None."""
    places = (*_FER2013_FOLDERS, *_FERPLUS_FOLDERS)
    return next((file for name in places if (file := _find(root, f"{name}/fer2013new.csv")) and file.is_file()), None)


def _load_ferplus(root: Path) -> FaceDataset:
    for name in _FERPLUS_FOLDERS:
        folder = _find(root, name)
        if folder and _find(folder, f"{TREE[0]}/label.csv"):
            return read_tree(folder)
    votes = find_votes(root)
    dataset = _load_fer2013(root) if votes else None
    if dataset is not None and dataset.votes is not None:
        return with_majority_labels(dataset)
    if dataset is not None:
        raise UserError(f"{votes}: {_UNORDERED}; put fer2013.csv into {root / 'fer2013'}")
    raise _missing(
        "FER+",
        root,
        f"fer2013new.csv beside fer2013.csv, or {TREE[0]} with its label.csv",
        _FERPLUS_FOLDERS,
        "`fer data download ferplus` says where to get it",
    )


_UNORDERED = "its rows are those of fer2013.csv, and cannot be joined to a copy in folders, which has lost their order"


def unordered_votes(dataset: FaceDataset, root: Path) -> str:
    """A sentence where FER+ votes lie beside a copy of FER2013 that they cannot be joined to, else nothing."""
    votes = find_votes(root) if dataset.votes is None else None
    return f"{votes}: {_UNORDERED}" if votes else ""


def _load_ckplus(root: Path) -> FaceDataset:
    for name in _CK48_FOLDERS:
        folder = _find(root, name)
        if folder and folder.is_dir():
            return read_ck48(folder)
    for name in _CK_ORIGINAL_FOLDERS:
        folder = _find(root, name)
        images, emotions = (folder and _find(folder, part) for part in ("cohn-kanade-images", "Emotion"))
        if images and emotions:
            return read_original(images, emotions)
    raise _missing(
        "CK+",
        root,
        "CK+48, or cohn-kanade-images + Emotion",
        ("ckplus", "ckplus/ck", "ckplus/CK+", "ck", "CK+", ""),
        "`fer data download ckplus` says where to get it",
    )


def _load_folder(path: Path, form: Form) -> FaceDataset:
    inner = innermost(path)
    if form == STANDARD and (inner / TREE[0] / "label.csv").is_file():
        return replace(read_tree(inner), name=f"folder:{path.resolve().name}")
    return read_jaffe(inner, form) or read_rafdb(path, form) or read_affectnet(path, form) or read_folder(path, form)


def _find(root: Path, name: str) -> Path | None:
    """A file or folder below the root, whatever its capitals; None if there is none."""
    for part in Path(name).parts:
        exact = root / part
        if not exact.exists():
            folder = root.iterdir() if root.is_dir() else []
            exact = min((path for path in folder if path.name.lower() == part.lower()), default=None)
            if exact is None:
                return None
        root = exact
    return root if root.exists() else None


def _missing(title: str, root: Path, wanted: str, folders: tuple[str, ...], remedy: str) -> MissingData:
    places = ", ".join(f"{name}/" if name else "the folder itself" for name in folders)
    instead = "".join(f"; {words}" for words in _instead(root, folders))
    return MissingData(
        f"{title} not found in {root.absolute()}: looked for {wanted} in {places}{instead}; {remedy}, set FER_DATA to"
        ' the folder of the datasets, or take the drawn faces: DATASET = "synthetic" in a notebook, --dataset synthetic'
        " elsewhere"
    )


_ARCHIVE = re.compile(r"\.(zip|tar|tgz|gz|bz2|xz|7z|rar)$", re.IGNORECASE)


def _instead(root: Path, folders: tuple[str, ...]) -> Iterator[str]:
    """What lies where data were looked for and could be them: archives, and tables under another name."""
    there = [folder for name in folders if (folder := _find(root, name)) and folder.is_dir()]
    for file in sorted({file for folder in there for file in folder.iterdir() if file.is_file()}):
        shown = file.relative_to(root)
        if file.name.lower().startswith("ckextended"):
            yield (
                f"{shown} is CK+ with neutral and without subjects, by whom this study parts the pictures: get the"
                " folders CK+48"
            )
        elif file.suffix.lower() == ".csv":
            with open(file, "rb") as opened:
                if b"pixels" in opened.readline(200):
                    yield f"{shown} may be it: name it fer2013.csv"
        elif _ARCHIVE.search(file.name):
            yield f"{shown} is {what_it_is(beginning_of(file)) or 'an archive: unpack it first'}"
