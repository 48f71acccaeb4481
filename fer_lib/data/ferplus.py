"""FER+: how ten annotators labelled each row of FER2013.

Barsoum et al., "Training deep networks for facial expression recognition with crowd-sourced label
distribution", ICMI 2016; the file is ``fer2013new.csv`` of github.com/microsoft/FERPlus. Its rows are
those of ``fer2013.csv``, in the same order. That repository's own script writes the two as folders, which are read too.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_lib.data.dataset import EIGHT_CLASSES, FACE_SIDE, FER2013_CLASSES, SPLITS, FaceDataset, votes_of
from fer_lib.data.fer2013 import USAGES
from fer_lib.data.foreign import beginning_of, what_it_is
from fer_lib.data.pictures import read_pictures
from fer_lib.errors import UserError

COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
# The same in our words; "not_face" is FER+'s NF.
FERPLUS_CLASSES = (
    "neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt", "unknown", "not_face",
)  # fmt: skip
# The folders that its script ``generate_training_data.py`` writes, in the order of SPLITS, each with a ``label.csv``.
TREE = ("FER2013Train", "FER2013Valid", "FER2013Test")
_VOTE = re.compile(r"(\d{1,4})(\.0)?")  # with a point as spreadsheets write it


def read_votes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read ``fer2013new.csv``.

    Returns:
        The votes, int64 [N, 10], columns as FERPLUS_CLASSES; and the usages, str [N].

    Raises:
        UserError: naming file and line of the first row that is not as published.
    """
    rows = _rows(path)
    _, header = next(rows, (1, []))
    if [name.lower() for name in header] != ["usage", "image name", *(name.lower() for name in COLUMNS)]:
        raise UserError(f"{path}, line 1: not the header of fer2013new.csv: {','.join(header)[:100]!r}")
    votes, usages = [], []
    for number, row in rows:
        if len(row) != len(header):
            raise UserError(f"{path}, line {number}: {len(row)} fields instead of {len(header)}")
        if row[0] not in USAGES:
            raise UserError(f"{path}, line {number}: Usage {row[0]!r} is not one of {', '.join(USAGES)}")
        counts = _counts(row[2:])
        if not counts:
            raise UserError(f"{path}, line {number}: a vote is not a whole number: {','.join(row[2:])!r}")
        usages.append(row[0])
        votes.append(counts)
    return np.array(votes, np.int64).reshape(-1, len(COLUMNS)), np.array(usages, np.str_)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of every line of a table, whatever parts its fields."""
    if foreign := what_it_is(beginning_of(path)):
        raise UserError(f"{path}: {foreign}")
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        comma = max(",;\t", key=file.readline().count)
        file.seek(0)
        try:
            yield from enumerate(csv.reader(file, delimiter=comma), start=1)
        except csv.Error as error:
            raise UserError(f"{path}: not a table ({error})") from None


def _counts(fields: list[str]) -> list[int]:
    """Votes as numbers; nothing where one of them is none."""
    found = [_VOTE.fullmatch(field) for field in fields]
    return [int(vote[1]) for vote in found if vote] if all(found) else []


def add_votes(dataset: FaceDataset, path: Path) -> FaceDataset:
    """Join the votes of ``fer2013new.csv`` to a FER2013 that has the same rows in the same order.

    Raises:
        UserError: if the file is not as published, has another number of rows or another Usage in a row.
    """
    votes, usages = read_votes(path)
    if len(votes) != len(dataset):
        raise UserError(
            f"{path}: {len(votes):,} rows of votes for {len(dataset):,} pictures of {dataset.source};"
            " they must be of the same release"
        )
    split = np.select([usages == usage for usage in USAGES[:2]], ["train", "val"], "test")
    if (split != dataset.split).any():
        row = int(np.flatnonzero(split != dataset.split)[0])
        raise UserError(
            f"{path}, line {row + 2}: Usage '{usages[row]}' but {dataset.source} has '{dataset.split[row]}' there;"
            " the rows must have the same order"
        )
    return replace(dataset, votes=votes, vote_classes=FERPLUS_CLASSES)


def with_majority_labels(dataset: FaceDataset) -> FaceDataset:
    """The pictures on whose class more than half of the annotators agree, with that class as label.

    As "majority voting" of the paper and of its code (``ferplus.py``): a class that one annotator alone chose does not
    count; pictures without a majority, and those that are unknown or no face to most, are left out.

    Args:
        dataset: FER2013 with votes.

    Returns:
        A dataset named "ferplus", whose classes are FER2013's and contempt.
    """
    votes = votes_of(dataset)
    votes = np.where(votes > 1, votes, 0)
    index = np.array([EIGHT_CLASSES.index(name) if name in EIGHT_CLASSES else -1 for name in FERPLUS_CLASSES])
    chosen = index[votes.argmax(1)]
    kept = (2 * votes.max(1) > votes.sum(1)) & (chosen >= 0)
    # The old labels, of other classes, make room for the new ones before the pictures are chosen.
    return replace(dataset, name="ferplus", classes=EIGHT_CLASSES, labels=np.where(kept, chosen, 0)).subset(kept)


def has_pictures(path: Path) -> bool:
    """Whether the script has been run: its repository holds the folders and lists, without a picture."""
    return any((path / TREE[0]).glob("*.png"))


def read_tree(path: Path) -> FaceDataset:
    """Read the folders that FER+'s own script writes, see `TREE`, with majority labels.

    Raises:
        UserError: naming the file and line: a label file that is missing or not as published, a corrupt picture.
    """
    files, votes, split = [], [], []
    for folder, part in zip(TREE, SPLITS, strict=True):
        listed = path / folder / "label.csv"
        if not listed.is_file():
            raise UserError(f"{listed}: no such file; FER+'s script writes it beside the pictures")
        for number, row in _rows(listed):
            counts = _counts(row[-len(COLUMNS) :])  # its older releases hold the place of the face as well
            if len(row) not in (len(COLUMNS) + 1, len(COLUMNS) + 2) or not counts:
                raise UserError(f"{listed}, line {number}: not a picture's name and {len(COLUMNS)} votes")
            files.append(path / folder / row[0])
            votes.append(counts)
            split.append(part)
    if not has_pictures(path):
        raise UserError(
            f"{path}: FER+'s lists without the pictures, which its script generate_training_data.py makes of"
            " fer2013.csv; run it, or put fer2013.csv into the folder fer2013 of the data and fer2013new.csv beside it"
        )
    dataset = FaceDataset(
        name="ferplus",
        images=read_pictures(files, FACE_SIDE),
        labels=np.zeros(len(files), np.int64),
        classes=FER2013_CLASSES,
        split=np.array(split),
        source=path.name,
        votes=np.array(votes, np.int64).reshape(-1, len(COLUMNS)),
        vote_classes=FERPLUS_CLASSES,
    )
    return with_majority_labels(dataset)


def majority(dataset: FaceDataset) -> np.ndarray:
    """The class that most annotators chose for each picture; ties go to the first column.

    Args:
        dataset: a dataset with votes.

    Returns:
        str [N], names of ``vote_classes``.

    Raises:
        UserError: it has no votes.
    """
    return np.array(dataset.vote_classes)[votes_of(dataset).argmax(1)]


def agreement(dataset: FaceDataset) -> np.ndarray:
    """Whether each picture's label is the one that most annotators chose.

    Args:
        dataset: a dataset with votes.

    Returns:
        bool [N].
    """
    return majority(dataset) == np.array(dataset.classes)[dataset.labels]
