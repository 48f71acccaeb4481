"""FER+: how ten annotators labelled each row of FER2013.

Barsoum et al., "Training deep networks for facial expression recognition with crowd-sourced label
distribution", ICMI 2016; the file is ``fer2013new.csv`` of github.com/microsoft/FERPlus. Its rows are
those of ``fer2013.csv``, in the same order.
"""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_lib.data.dataset import FaceDataset
from fer_lib.data.fer2013 import USAGES
from fer_lib.errors import UserError

COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
# The same in our words; "not_face" is FER+'s NF.
FERPLUS_CLASSES = (
    "neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt", "unknown", "not_face",
)  # fmt: skip


def read_votes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read ``fer2013new.csv``.

    Returns:
        The votes, int64 [N, 10], columns as FERPLUS_CLASSES; and the usages, str [N].

    Raises:
        UserError: naming file and line of the first row that is not as published.
    """
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if header != ["Usage", "Image name", *COLUMNS]:
            raise UserError(f"{path}, line 1: not the header of fer2013new.csv: {','.join(header)!r}")
        votes, usages = [], []
        for number, row in enumerate(rows, start=2):
            if len(row) != len(header):
                raise UserError(f"{path}, line {number}: {len(row)} fields instead of {len(header)}")
            if row[0] not in USAGES:
                raise UserError(f"{path}, line {number}: Usage {row[0]!r} is not one of {', '.join(USAGES)}")
            if not all(vote.isdecimal() for vote in row[2:]):
                raise UserError(f"{path}, line {number}: a vote is not a whole number: {','.join(row[2:])!r}")
            usages.append(row[0])
            votes.append([int(vote) for vote in row[2:]])
    return np.array(votes, np.int64).reshape(-1, len(COLUMNS)), np.array(usages, np.str_)


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


def majority(dataset: FaceDataset) -> np.ndarray:
    """The class that most annotators chose for each picture; ties go to the first column.

    Args:
        dataset: a dataset with votes.

    Returns:
        str [N], names of ``vote_classes``.
    """
    return np.array(dataset.vote_classes)[dataset.votes.argmax(1)]


def agreement(dataset: FaceDataset) -> np.ndarray:
    """Whether each picture's label is the one that most annotators chose.

    Args:
        dataset: a dataset with votes.

    Returns:
        bool [N].
    """
    return majority(dataset) == np.array(dataset.classes)[dataset.labels]
