"""The one type that every dataset comes in, whoever published it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from fer_lib.errors import UserError, check_known, unknown

if TYPE_CHECKING:
    from fer_lib.data.torch_faces import TorchFaces

Targets = Literal["label", "votes"]
FER2013_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
EIGHT_CLASSES = (*FER2013_CLASSES, "contempt")
CKPLUS_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "contempt")
SPLITS = ("train", "val", "test")
FACE_SIDE = 48
"""Height and width in pixels that every face is brought to: FER2013's own."""


@dataclass(frozen=True, eq=False, repr=False)
class FaceDataset:
    """Face pictures with their labels.

    Attributes:
        name: the catalog's name of the dataset.
        images: uint8 grey [N, H, W] or RGB [N, H, W, 3]. The study's trainings take grey ones of 48 px.
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
        shape: tuple[int, ...] = getattr(self.images, "shape", ())
        if not isinstance(self.images, np.ndarray) or not (len(shape) == 3 or (len(shape) == 4 and shape[-1] == 3)):
            raise UserError(f"{self.name}: images must be an array [N, H, W] or [N, H, W, 3]")
        n = len(self.images)
        self._require("images", np.uint8, self.images.shape)
        self._require("labels", np.int64, (n,))
        for field in ("split", "subject", "sequence"):
            if getattr(self, field) is not None:
                self._require(field, np.str_, (n,))
        if self.votes is not None:
            self._require("votes", np.int64, (n, len(self.vote_classes)))
        if self.regions is not None:
            self._require("regions", np.bool_, self.images.shape[:3])
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

    def __repr__(self) -> str:
        parts = ", ".join(f"{split or 'no split'} {(self.split == split).sum():,}" for split in self.counts())
        shape = "x".join(map(str, self.images.shape[1:]))
        return f"FaceDataset({self.name!r}, {len(self):,} pictures {shape}, {len(self.classes)} classes; {parts})"

    def torch(
        self,
        split: str | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        targets: Targets = "label",
    ) -> "TorchFaces":
        """The pictures as a dataset of PyTorch, for a ``DataLoader`` and transforms of torchvision or timm.

        Args:
            split: only its pictures, in their order; None for all.
            transform: given a Pillow picture, as torchvision's datasets do; without one a picture is a float32 tensor
                [C, H, W] from 0 to 1.
            target_transform: given the target.
            targets: ``label``, the class's index; or ``votes``, float32 [classes], the share of the annotators that
                chose each class, see :meth:`vote_shares`.

        Raises:
            UserError: there is no such split, or there are no votes.
        """
        from fer_lib.data.torch_faces import TorchFaces  # torch takes a second, and the rest does without

        check_known("targets", targets, get_args(Targets))
        chosen = np.arange(len(self)) if split is None else self.indices(split)
        if split is not None and not len(chosen):
            raise unknown(f"split of {self.name}:", split, self.counts())
        wanted = self.labels if targets == "label" else self.vote_shares()
        return TorchFaces(self.images, wanted, chosen, self.classes, transform, target_transform)

    def vote_shares(self) -> np.ndarray:
        """What share of the annotators chose each class: soft targets.

        As for the majority labels of FER+, a class that one annotator alone chose does not count; nor do votes for what
        is no class here. A picture without any vote that counts has its own label.

        Returns:
            float32 [N, classes], rows that sum to 1.

        Raises:
            UserError: there are no votes.
        """
        shares = np.zeros((len(self), len(self.classes)), np.float32)
        for name, votes in zip(self.vote_classes, votes_of(self).T, strict=True):
            if name in self.classes:
                shares[:, self.classes.index(name)] = np.where(votes > 1, votes, 0)
        alone = shares.sum(1) == 0
        shares[alone, self.labels[alone]] = 1
        return shares / shares.sum(1, keepdims=True)

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


def votes_of(dataset: FaceDataset) -> np.ndarray:
    """The votes of a dataset that has some, int64 [N, V].

    Raises:
        UserError: it has none.
    """
    if dataset.votes is None:
        raise UserError(f"{dataset.name}: no votes of FER+; `fer data download ferplus` says where to get them")
    return dataset.votes
