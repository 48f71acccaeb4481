"""What the study knows of a dataset where the pictures are not at hand: labels, splits, votes and copies.

The files ``facts/*.npz`` hold everything of a dataset but its pixels, and which pictures are equal in every pixel.
``fer data facts`` writes them from the real data. They are true of pictures of one fingerprint only. The FER+ votes
in them are Microsoft's, see ``facts/README.md``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from fer_lib.data.audit import identities
from fer_lib.data.catalog import MissingData, load_dataset
from fer_lib.data.dataset import SPLITS, FaceDataset, votes_of
from fer_lib.errors import UserError
from fer_lib.paths import in_checkout, npz_bytes, write_atomically

FACTS_DIR = Path(__file__).parent / "facts"
DATASETS = ("fer2013", "ckplus")


@dataclass(frozen=True, eq=False)
class Facts:
    """A dataset without its pixels.

    Attributes:
        faces: the dataset without its pictures: four bytes stand for each, the same for equal ones, uint8 [N, 1, 4];
            subjects and sequences are numbers in the order of their names.
        fingerprint: of the dataset with its pixels, see :attr:`FaceDataset.fingerprint`.
        picture: int64 [N], the position of the first picture that is equal in every pixel.
    """

    faces: FaceDataset
    fingerprint: str
    picture: np.ndarray

    def in_train(self, split: str) -> np.ndarray:
        """Which pictures of a split also occur, pixel for pixel, in training: bool, in the split's order."""
        return np.isin(self.picture[self.faces.indices(split)], self.picture[self.faces.indices("train")])


def facts_of(dataset: FaceDataset) -> Facts:
    """The facts of a dataset at hand."""
    numbers = identities(dataset)
    picture = np.unique(numbers, return_index=True)[1][numbers]
    faces = replace(
        dataset,
        images=_numbered(picture),
        subject=_numbers(dataset.subject),
        sequence=_numbers(dataset.sequence),
        regions=None,
        notes=(),
    )
    return Facts(faces, dataset.fingerprint, picture)


def _numbered(picture: np.ndarray) -> np.ndarray:
    """Bytes in the place of pictures, so that copies are still copies."""
    return picture.astype("<i4").view(np.uint8).reshape(len(picture), 1, 4)


def _numbers(names: np.ndarray | None) -> np.ndarray | None:
    """Names as numbers of equal length, in the same order."""
    return None if names is None else np.char.zfill(np.unique(names, return_inverse=True)[1].astype(np.str_), 4)


def load_facts(name: str) -> Facts:
    """The committed facts of a dataset, a name of :data:`DATASETS`.

    Raises:
        UserError: there are none.
    """
    found = find_facts(name)
    if found is None:
        raise UserError(f"no facts of {name}: `fer data facts` writes those of {' and '.join(DATASETS)}")
    return found


@cache
def find_facts(name: str) -> Facts | None:
    """The committed facts of a dataset, or None where there are none.

    Args:
        name: a name of :func:`fer_lib.data.load_dataset`.
    """
    path = FACTS_DIR / f"{name}.npz"
    return read_facts(path) if name in DATASETS and path.exists() else None


def read_facts(path: Path) -> Facts:
    """Read a file that :func:`write_facts` wrote.

    Raises:
        UserError: the file is damaged or of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            saved = dict(file)
        picture = np.arange(len(saved["labels"])) - saved["back_to_first_copy"]
        faces = FaceDataset(
            name=path.stem,
            images=_numbered(picture),
            labels=saved["labels"].astype(np.int64),
            classes=tuple(saved["classes"].tolist()),
            split=np.array([*SPLITS, ""])[saved["split"]],
            source=path.name,
            subject=saved.get("subject"),
            sequence=saved.get("sequence"),
            votes=saved["votes"].astype(np.int64) if "votes" in saved else None,
            vote_classes=tuple(saved["vote_classes"].tolist()),
        )
        return Facts(faces, str(saved["fingerprint"]), picture)
    except Exception as error:  # whatever NumPy and zipfile say of a damaged file
        raise UserError(f"{path}: unreadable ({type(error).__name__}); write it again with `fer data facts`") from None


def write_facts(facts: Facts, path: Path) -> None:
    """Write facts to a file; the same facts give the same bytes."""
    faces = facts.faces
    arrays = {
        "fingerprint": np.array(facts.fingerprint),
        "classes": np.array(faces.classes),
        "labels": faces.labels.astype(np.uint8),
        "split": np.array([(*SPLITS, "").index(split) for split in faces.split.tolist()], np.uint8),
        "back_to_first_copy": (np.arange(len(faces)) - facts.picture).astype(np.uint16),
        "vote_classes": np.array(faces.vote_classes, np.str_),
        "votes": faces.votes if faces.votes is None else faces.votes.astype(np.uint8),
        "subject": faces.subject,
        "sequence": faces.sequence,
    }
    data = npz_bytes({name: array for name, array in arrays.items() if array is not None})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)


def write_all_facts(root: Path | None, say: Callable[[str], None], folder: Path = FACTS_DIR) -> list[Path]:
    """Write the facts of every dataset at hand.

    Args:
        root: the data root, see :func:`fer_lib.data.data_root`.
        say: receives one line for each dataset that is not at hand.
        folder: where to.

    Returns:
        The files written.

    Raises:
        UserError: no dataset is at hand, FER2013 is without the votes of FER+, or the facts would be written into an
            installed library.
    """
    if folder == FACTS_DIR and not in_checkout():
        raise UserError(f"{folder}: of an installed library; run `fer data facts` in a checkout, which it is part of")
    written = []
    for name in DATASETS:
        try:
            dataset = load_dataset(name, root)
        except MissingData as error:
            say(str(error))
            continue
        if name == "fer2013":
            votes_of(dataset)
        write_facts(facts_of(dataset), folder / f"{name}.npz")
        written.append(folder / f"{name}.npz")
    if not written:
        raise UserError("no dataset at hand to take facts from")
    find_facts.cache_clear()
    return written
