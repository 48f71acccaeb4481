"""The one type that every dataset comes in, whoever published it."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fer_lib.errors import UserError

FER2013_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
CKPLUS_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "contempt")
SPLITS = ("train", "val", "test")
FACE_SIDE = 48
"""Height and width in pixels that every face is brought to: FER2013's own."""


@dataclass(frozen=True, eq=False)
class FaceDataset:
    """Grey face pictures with their labels.

    Attributes:
        name: the catalog's name of the dataset.
        images: uint8 [N, H, W].
        labels: int64 [N], indices into ``classes``. Indices never cross datasets; names do.
        classes: class names, in FER2013's order as far as they are FER2013's.
        split: str [N]: "train", "val" or "test" (FER2013's Training, PublicTest, PrivateTest), or "" where
            the publisher made no split.
        source: the publisher's file or folder name.
        subject: str [N], who is shown, or None where unknown.
        sequence: str [N], the film a frame comes from, or None.
        votes: int64 [N, V], how many annotators chose each of ``vote_classes``, or None.
        vote_classes: names of the columns of ``votes``.
        regions: bool [N, H, W], where the expression shows (synthetic pictures only), or None.
        notes: what the reader left out or took for granted, a sentence each; no part of the data's identity.

    Raises:
        UserError: where shapes, types or values contradict each other.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    split: np.ndarray
    source: str
    subject: np.ndarray | None = None
    sequence: np.ndarray | None = None
    votes: np.ndarray | None = None
    vote_classes: tuple[str, ...] = ()
    regions: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (isinstance(self.images, np.ndarray) and self.images.ndim == 3):
            raise UserError(f"{self.name}: images must be an array [N, H, W]")
        n = len(self.images)
        self._require("images", np.uint8, self.images.shape)
        self._require("labels", np.int64, (n,))
        for field in ("split", "subject", "sequence"):
            if getattr(self, field) is not None:
                self._require(field, np.str_, (n,))
        if self.votes is not None:
            self._require("votes", np.int64, (n, len(self.vote_classes)))
        if self.regions is not None:
            self._require("regions", np.bool_, self.images.shape)
        if len(set(self.classes)) != len(self.classes):
            raise UserError(f"{self.name}: a class name occurs twice in {self.classes}")
        if n and not (self.labels.min() >= 0 and self.labels.max() < len(self.classes)):
            wrong = int(np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classes)))[0])
            raise UserError(
                f"{self.name}: label {self.labels[wrong]} of picture {wrong} is not among"
                f" the {len(self.classes)} classes"
            )
        strange = sorted(set(np.unique(self.split).tolist()) - {*SPLITS, ""})
        if strange:
            raise UserError(f"{self.name}: unknown split {strange[0]!r}: use train, val, test or nothing")

    def _require(self, field: str, kind: type, shape: tuple[int, ...]) -> None:
        value = getattr(self, field)
        if not (isinstance(value, np.ndarray) and np.issubdtype(value.dtype, kind) and value.shape == shape):
            got = f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
            raise UserError(f"{self.name}: {field} must be {kind.__name__} {list(shape)}, not {got}")

    def __len__(self) -> int:
        return len(self.labels)

    def indices(self, split: str) -> np.ndarray:
        """Positions of one split's pictures, int64, ascending."""
        return np.flatnonzero(self.split == split)

    def subset(self, indices: np.ndarray) -> "FaceDataset":
        """The chosen pictures, in the order chosen, as a dataset of the same name and classes.

        Args:
            indices: int [M], or a bool mask [N].
        """
        per_picture = ("images", "labels", "split", "subject", "sequence", "votes", "regions")
        values: dict[str, Any] = {field: getattr(self, field) for field in per_picture}
        chosen: dict[str, Any] = {field: None if of is None else of[indices] for field, of in values.items()}
        return replace(self, **chosen)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, hexadecimal, of classes, pictures, labels and split: the same wherever the files lie."""
        digest = hashlib.sha256()
        digest.update("\n".join([*self.classes, str(self.images.shape)]).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(self.labels.astype("<i8").data)
        digest.update("\n".join(self.split.tolist()).encode())
        return digest.hexdigest()

    def counts(self) -> dict[str, dict[str, int]]:
        """Pictures per split and class; "" stands for "no split". Splits without pictures are left out."""
        table = {}
        for split in (*SPLITS, ""):
            labels = self.labels[self.split == split]
            if len(labels):
                per_class = np.bincount(labels, minlength=len(self.classes)).tolist()
                table[split] = dict(zip(self.classes, per_class, strict=True))
        return table
