"""Finds a dataset by its name, wherever its files lie in the data root."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from fer_lib.data import ckplus, fer2013
from fer_lib.data.affectnet import read_affectnet
from fer_lib.data.ckplus import read_ck48, read_original
from fer_lib.data.dataset import CKPLUS_CLASSES, FACE_SIDE, FER2013_CLASSES, FaceDataset
from fer_lib.data.fer2013 import holds_fer2013, read_csv, read_folders, read_train_test
from fer_lib.data.ferplus import TREE, add_votes, has_pictures, read_tree, with_majority_labels
from fer_lib.data.folder import STANDARD, Form, holds_classes, innermost, read_folder, split_folders, subfolders
from fer_lib.data.folds import PROTOCOLS
from fer_lib.data.foreign import beginning_of, what_it_is
from fer_lib.data.jaffe import read_jaffe
from fer_lib.data.rafdb import read_rafdb
from fer_lib.data.synthetic import synthetic, synthetic_films
from fer_lib.data.walk import NAMED, is_regular
from fer_lib.errors import UserError, check_count, unknown
from fer_lib.paths import anchor, setting_path, user_path
from fer_lib.plugins import look_up, register

OWN_TERMS = "The pictures' own terms hold for them."


class Known(NamedTuple):
    """What is known of a dataset without its files.

    Attributes:
        title: as people write it.
        classes: names, in the order of the labels.
        protocols: that split it, the one for everyday first.
        load: reads it from the data root.
        pictures: those that its publisher trains on and those held out; all in the first where it made no split.
        terms: under which its pictures, and what was trained on them, may be used.
    """

    title: str
    classes: tuple[str, ...]
    protocols: tuple[str, ...]
    load: Callable[[Path], FaceDataset]
    pictures: tuple[int, int] | None = None
    terms: str = OWN_TERMS


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

    def checked(root: Path) -> FaceDataset:
        dataset = load()
        if not isinstance(dataset, FaceDataset):
            raise UserError(f"dataset {name}: its function gave {type(dataset).__name__}, no FaceDataset")
        if dataset.classes != tuple(classes):
            raise UserError(f"dataset {name}: has the classes {list(dataset.classes)}, registered are {tuple(classes)}")
        return replace(dataset, name=name)

    register("dataset", name, load, {*KNOWN, "folder", "own"})
    KNOWN[name] = Known(title or name, tuple(classes), tuple(protocols), checked)


def known_dataset(name: str) -> Known | None:
    """What is known of a dataset, those of plug-ins included; None of a folder's, or where there is none."""
    if not name.startswith("folder:"):
        look_up(name, KNOWN)
    return KNOWN.get(name)


def dataset_title(name: str) -> str:
    """What people call a dataset; ``own`` are a paper's own unpublished pictures."""
    known = None if name == "own" else known_dataset(name)
    return "own pictures" if name == "own" else known.title if known else name


def dataset_terms(name: str) -> str:
    """Under what terms a dataset's pictures may be used."""
    known = known_dataset(name)
    return known.terms if known else OWN_TERMS


def classes_of(name: str) -> tuple[str, ...]:
    """Class names of a dataset; empty where its folders will say them."""
    known = known_dataset(name)
    return known.classes if known else ()


# Where archives put their files, relative to the data root; small and capital letters are the same.
COMPETITION = "challenges-in-representation-learning-facial-expression-recognition-challenge"
_FER2013_FOLDERS = ("fer2013", "fer2013/fer2013", f"fer2013/{COMPETITION}", COMPETITION, "")
_CK48_FOLDERS = ("ckplus/CK+48", "CK+48", "ckplus/ck/CK+48", "ck/CK+48")
_CK_ORIGINAL_FOLDERS = ("ckplus", "ckplus/CK+", "CK+", "")
_FERPLUS_FOLDERS = ("ferplus", "ferplus/data", "FERPlus-master", "FERPlus-master/data", "fer2013", "fer2013/data", "")
_FERPLUS_LIST = f"{TREE[0]}/label.csv"
_WRAPPERS = ("archive", "images", "data")  # folders that archives leave about their content


class MissingData(UserError):
    """The files of a dataset are not in the data root."""


KAGGLE = Path("/kaggle/input")
"""Where a notebook of Kaggle finds what is attached to it."""
_MOUNTS = ("*", "datasets/*/*", "competitions/*")  # below it: by name alone, or by owner and name


def data_root(root: str | Path | None = None) -> Path:
    """The folder of the datasets: the argument, else the variable FER_DATA, else ``data`` of the checkout, else what is
    attached to a notebook of Kaggle."""
    if root:
        return user_path(root)
    usual = setting_path(os.environ.get("FER_DATA") or "data")
    return KAGGLE if KAGGLE.is_dir() and not os.environ.get("FER_DATA") and not usual.is_dir() else usual


def _bases(root: Path) -> list[Path]:
    """The data root; on Kaggle also what is attached, under whatever name."""
    attached = (folder for mount in _MOUNTS for folder in root.glob(mount)) if root == KAGGLE else ()
    return [root, *sorted(folder for folder in attached if folder.is_dir())]


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
    if not isinstance(name, str):
        raise UserError(f"dataset must be a name, such as fer2013 or folder:PATH: got {name!r}")
    check_count("size", size)
    kind, _, path = name.partition(":")
    form = Form(size, colour)
    if kind != "folder" and form != STANDARD:
        raise UserError(f"dataset {name}: size and colour are for folder:PATH; the others have theirs")
    try:
        if kind == "folder" and path:
            folder = setting_path(path)
            if not folder.exists() and (here := user_path(path)).exists():
                raise UserError(f"{folder}: no such folder; a relative path counts from {anchor()}: {here.resolve()}?")
            return _load_folder(folder, form)
        if known := known_dataset(name):
            return known.load(data_root(root))
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from error
    raise unknown("dataset", name, [*KNOWN, "folder:PATH"])


def _there(root: Path, names: Sequence[str]) -> Iterator[Path]:
    """What lies under some names, in the data root and in what is attached."""
    return filter(None, (_find(base, name) for base in _bases(root) for name in names))


def _load_fer2013(root: Path) -> FaceDataset:
    cache = root / ".cache" if root != KAGGLE else None  # where nothing can be written
    for folder in (folder for base in _bases(root) for folder in _fer2013_folders(base)):
        names = {file.name.lower(): file for file in sorted(folder.iterdir(), reverse=True) if file.is_file()}
        single = names.get("fer2013.csv") or names.get("icml_face_data.csv")
        if single:
            dataset = read_csv(single, cache)
        elif "train.csv" in names and "test.csv" in names:
            dataset = read_train_test(names["train.csv"], names["test.csv"], cache)
        elif {split for split, _ in split_folders(folder)} > {"train"} and (root != KAGGLE or holds_fer2013(folder)):
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
        "attach it to the notebook (Add Input)" if root == KAGGLE else "fetch it with `fer data download fer2013`",
        ("pixels", "fer2013.csv"),
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
    places = [f"{name}/fer2013new.csv" for name in (*_FER2013_FOLDERS, *_FERPLUS_FOLDERS)]
    return next((file for file in _there(root, places) if file.is_file()), None)


def _load_ferplus(root: Path) -> FaceDataset:
    trees = (folder for folder in _there(root, _FERPLUS_FOLDERS) if _find(folder, _FERPLUS_LIST))
    tree = max(trees, key=has_pictures, default=None)
    if tree and has_pictures(tree):
        return read_tree(tree)
    votes = find_votes(root)
    dataset = _load_fer2013(root) if votes else None
    if dataset is not None and dataset.votes is not None:
        return with_majority_labels(dataset)
    if dataset is not None:
        raise UserError(f"{votes}: {_UNORDERED}; put fer2013.csv into {root / 'fer2013'}")
    if tree:
        return read_tree(tree)  # which says what is missing
    raise _missing(
        "FER+",
        root,
        f"fer2013new.csv beside fer2013.csv, or {TREE[0]} with its label.csv",
        _FERPLUS_FOLDERS,
        "`fer data download ferplus` says where to get it",
        ("Image name", "fer2013new.csv"),
    )


_UNORDERED = "its rows are those of fer2013.csv, and cannot be joined to a copy in folders, which has lost their order"


def unordered_votes(dataset: FaceDataset, root: Path) -> str:
    """A sentence where FER+ votes lie beside a copy of FER2013 that they cannot be joined to, else nothing."""
    votes = find_votes(root) if dataset.votes is None else None
    return f"{votes}: {_UNORDERED}" if votes else ""


def _load_ckplus(root: Path) -> FaceDataset:
    for folder in _there(root, _CK48_FOLDERS):
        if folder.is_dir():
            return read_ck48(folder)
    for folder in _there(root, _CK_ORIGINAL_FOLDERS):
        images, emotions = (_find(folder, part) for part in ("cohn-kanade-images", "Emotion"))
        if images and emotions:
            return read_original(images, emotions)
    for name in _CK_ORIGINAL_FOLDERS[:-1]:
        if (there := _find(root, name)) and holds_classes(there):
            return read_ck48(there)
    raise _missing(
        "CK+",
        root,
        "CK+48, or cohn-kanade-images + Emotion",
        ("ckplus", "ckplus/ck", "ckplus/CK+", "ck", "CK+", ""),
        "`fer data download ckplus` says where to get it",
    )


def _load_folder(path: Path, form: Form) -> FaceDataset:
    inner = innermost(path)
    if form == STANDARD and (inner / _FERPLUS_LIST).is_file():
        return replace(read_tree(inner), name=f"folder:{path.resolve().name}")
    return read_jaffe(inner, form) or read_rafdb(path, form) or read_affectnet(path, form) or read_folder(path, form)


def _find(root: Path, name: str) -> Path | None:
    """A file or folder below the root, whatever its capitals, spaces and dashes; None if there is none."""
    for part in Path(name).parts:
        exact = root / part
        if not exact.exists():
            alike = [path for path in (root.iterdir() if root.is_dir() else []) if _plain(path.name) == _plain(part)]
            if not alike:
                return None
            exact = min(alike)
        root = exact
    return root if root.exists() else None


def _plain(name: str) -> str:
    """A name as all ways to write it have it: FER-2013 is fer2013, CK48 is CK+48."""
    return re.sub(r"[^\w.]|_", "", name.lower())


def _missing(
    title: str, root: Path, wanted: str, folders: tuple[str, ...], remedy: str, table: tuple[str, str] = ("", "")
) -> MissingData:
    places = ", ".join(f"{name}/" if name else "the folder itself" for name in folders)
    instead = "".join(f"; {words}" for words in _instead(root, folders, *table))
    return MissingData(
        f"{title} not found in {root.absolute()}: looked for {wanted} in {places}{instead}; {remedy}, set FER_DATA to"
        ' the folder of the datasets, or take the drawn faces: DATASET = "synthetic" in a notebook, --dataset synthetic'
        " elsewhere"
    )


_DATA_FILE = re.compile(
    r"\.(zip|tar|tgz|gz|bz2|xz|7z|rar|zst|csv|tsv|txt|xlsx?|ods|json|parquet|arrow|npy|npz|h5|hdf5|pkl)$", re.IGNORECASE
)
_UNFINISHED = re.compile(r"\.(part|partial|crdownload|download)$", re.IGNORECASE)
_CK_EXTENDED = re.compile(r"ck\W*extended", re.IGNORECASE)


def _instead(root: Path, folders: tuple[str, ...], column: str, name: str) -> Iterator[str]:
    """What lies where data were looked for and could be them.

    Args:
        root: the data root.
        folders: that were looked into.
        column: a column of the dataset's table, if it has one.
        name: how that table is called.
    """
    if not root.is_dir():
        kind = what_it_is(beginning_of(root)) or "a file, not a folder" if is_regular(root) else "no folder"
        yield f"it is {kind}" if root.exists() else "there is no such folder"
        return
    there = {folder for name in folders if (folder := _find(root, name)) and folder.is_dir()}
    for folder in sorted(there):
        inside = [below.name for below in subfolders(folder) if below not in there]
        if inside:
            more = f" and {len(inside) - NAMED} more" if len(inside) > NAMED else ""
            place = "it" if folder == root else f"{folder.relative_to(root)}/"
            yield f"{place} holds the folder{'s' * (len(inside) > 1)} {', '.join(inside[:NAMED])}{more}"
        for file in sorted(folder.iterdir()):
            if not file.is_dir() and (words := _what_else(file, column, name)):
                yield f"{file.relative_to(root)} {words}"


def _what_else(file: Path, column: str, name: str) -> str:
    """What a file beside which a dataset was missed is, or nothing; see `_instead`."""
    if _UNFINISHED.search(file.name):
        return "is a download that has not ended: fetch it again"
    if not _DATA_FILE.search(file.name):
        return ""
    if not is_regular(file):
        return "is a link that leads nowhere" if file.is_symlink() else "is a pipe or a device, not a file"
    if _CK_EXTENDED.match(file.name):
        return "is CK+ with neutral and without subjects, by whom this study parts the pictures: get the folders CK+48"
    beginning = beginning_of(file)
    if foreign := what_it_is(beginning):
        return f"is {foreign}"
    if column and column.encode() in beginning.partition(b"\n")[0]:
        return f"may be it: name it {name}"
    return ""


# ---------------------------------------------------------------- the datasets


def _protocols(first: str, *without: str) -> tuple[str, ...]:
    return (first, *(name for name in PROTOCOLS if name != first and not name.startswith(without)))


_DRAWN = "The pictures were drawn by this repository's own code."
_GATHERED = (
    "FER2013's pictures were gathered from the web for a research competition (Goodfellow et al. 2013) and belong to "
    "their owners: use the weights for research and teaching."
)
_FER2013 = Known(
    "FER2013",
    FER2013_CLASSES,
    _protocols("official", "copied", "subject"),
    _load_fer2013,
    (sum(fer2013.PUBLISHED["train"]), sum(fer2013.PUBLISHED["val"]) + sum(fer2013.PUBLISHED["test"])),
    _GATHERED,
)
KNOWN = {
    "synthetic": Known(
        "drawn faces", FER2013_CLASSES, _protocols("official", "copied"), lambda root: synthetic(), (2100, 700), _DRAWN
    ),
    "synthetic_films": Known(
        "drawn films", FER2013_CLASSES, _protocols("subject_10fold", "copied", "official"),
        lambda root: synthetic_films(), (360, 0), _DRAWN,
    ),
    "fer2013": _FER2013,
    "ferplus": _FER2013._replace(title="FER+", load=_load_ferplus),
    "ckplus": Known(
        "CK+", CKPLUS_CLASSES, _protocols("subject_10fold", "official"), _load_ckplus, (sum(ckplus.PUBLISHED), 0),
        "CK+ is free for non-commercial research under its agreement (Lucey et al. 2010): so are these weights.",
    ),
}  # fmt: skip
"""Every dataset by name; those of :func:`register_dataset` are added."""
