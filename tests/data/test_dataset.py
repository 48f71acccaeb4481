"""The dataset type: what it refuses, what it selects, and what its fingerprint depends on."""

import hashlib
import struct
from dataclasses import replace

import numpy as np
import pytest

from fer_lib.data import FaceDataset
from fer_lib.errors import UserError


@pytest.fixture
def six() -> FaceDataset:
    return FaceDataset(
        name="six",
        images=np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2),
        labels=np.array([0, 1, 1, 0, 1, 1]),
        classes=("happy", "sad"),
        split=np.array(["train", "test", "train", "val", "test", "test"]),
        source="six.csv",
        subject=np.array(list("abcdef")),
        votes=np.arange(12).reshape(6, 2),
        vote_classes=("happy", "sad"),
    )


def test_splits_and_counts(six):
    assert len(six) == 6
    assert six.indices("test").tolist() == [1, 4, 5]
    assert six.counts() == {
        "train": {"happy": 1, "sad": 1},
        "val": {"happy": 1, "sad": 0},
        "test": {"happy": 0, "sad": 3},
    }


def test_a_subset_takes_everything_along(six):
    part = six.subset(np.array([4, 0]))
    assert part.images.tolist() == [six.images[4].tolist(), six.images[0].tolist()]
    assert part.labels.tolist() == [1, 0]
    assert part.split.tolist() == ["test", "train"]
    assert part.subject.tolist() == ["e", "a"]
    assert part.votes.tolist() == [[8, 9], [0, 1]]
    assert part.classes == six.classes
    assert part.fingerprint != six.fingerprint


def test_the_fingerprint_is_of_the_content_alone(six):
    same = replace(six, name="other", source="elsewhere.csv", votes=None, subject=None)
    assert same.fingerprint == six.fingerprint
    content = (
        b"happy\nsad\n(6, 2, 2)"
        + bytes(range(24))
        + struct.pack("<6q", 0, 1, 1, 0, 1, 1)
        + b"train\ntest\ntrain\nval\ntest\ntest"
    )
    assert six.fingerprint == hashlib.sha256(content).hexdigest()
    pixels = six.images.copy()
    pixels[3, 1, 1] ^= 1
    changed = [
        replace(six, images=pixels),
        replace(six, images=six.images.reshape(6, 1, 4)),
        replace(six, labels=1 - six.labels),
        replace(six, classes=("sad", "happy")),
        replace(six, split=np.full(6, "train")),
    ]
    assert len({six.fingerprint, *(dataset.fingerprint for dataset in changed)}) == 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": np.zeros((6, 2, 2), np.float32)}, "images must be uint8"),
        ({"images": np.zeros((6, 2, 2, 4), np.uint8)}, "images must be an array"),
        ({"labels": np.zeros(6, np.int32)}, "labels must be int64"),
        ({"labels": np.zeros(5, np.int64)}, r"labels must be int64 \[6\], not int64 \[5\]"),
        ({"labels": np.array([0, 0, 0, 2, 0, 0])}, "label 2 of picture 3"),
        ({"labels": np.array([0, 0, 0, 0, -1, 0])}, "label -1 of picture 4"),
        ({"split": np.full(6, "private")}, "unknown split 'private'"),
        ({"subject": np.arange(6)}, "subject must be str"),
        ({"votes": np.zeros((6, 3), np.int64)}, r"votes must be int64 \[6, 2\]"),
        ({"regions": np.zeros((6, 2, 3), bool)}, "regions must be bool"),
        ({"classes": ("sad", "sad")}, "occurs twice"),
    ],
)
def test_contradictions_are_refused(six, change, words):
    with pytest.raises(UserError, match=words):
        replace(six, **change)
