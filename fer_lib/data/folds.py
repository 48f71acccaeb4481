"""Ways to part a dataset into training and test pictures: the protocols of the papers and the honest one.

The protocols that split by picture put neighbouring frames of one film, nearly the same picture, on both
sides. They are here to show what that is worth. Of each there is one fixed split and one that is drawn anew with
the seed of a run: what the luck of a draw is worth shows over many.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fer_lib.data.audit import identities
from fer_lib.data.dataset import FaceDataset
from fer_lib.data.ferplus import majority
from fer_lib.errors import UserError, check_known

# Number of folds of each protocol; folds are numbered from 0.
PROTOCOLS = {
    "official": 1,  # the publisher's own split
    "subject_10fold": 10,  # no subject on both sides; classes as even as that allows
    "picture_10fold": 10,  # pictures dealt out class by class
    "picture_2to1": 1,  # one third of each class is test (gu)
    "picture_90_10": 1,  # one tenth of each class is test
    "copied_10fold": 10,  # CK+ folds of github.com/WuJie1010/Facial-Expression-Recognition.Pytorch, CK.py
    "subject_10fold_drawn": 10,  # as above, by the seed
    "picture_10fold_drawn": 10,
    "picture_2to1_drawn": 1,
    "picture_90_10_drawn": 1,
}

PROTOCOL_WORDS = {
    "official": "the data's own split",
    "subject_10fold": "10 folds, by person",
    "copied_10fold": "10 folds, copied code",
    "picture_2to1": "2:1, by picture",
    "picture_90_10": "90/10, by picture",
    "picture_10fold": "10 folds, by picture",
}
"""The kinds of protocols in words; those of CK+ in the order of what they put on both sides: nothing, the person, the
film."""

COPIES = "copies_of_test"
"""What leaves out of training every picture that also occurs, pixel for pixel, in the val or test part."""

# Test pictures per class and fold in that code, in the order of its classes, which is CKPLUS_CLASSES.
_COPIED_CLASS_SIZES = (135, 177, 75, 207, 84, 249, 54)
_COPIED_BLOCK_SIZES = (12, 18, 9, 21, 9, 24, 6)


def is_drawn(protocol: str) -> bool:
    """Whether a protocol's split follows from the seed, so that two seeds are tested on other pictures."""
    return protocol.endswith("_drawn")


def protocol_title(protocol: str) -> str:
    """A protocol in words."""
    return PROTOCOL_WORDS[kind_of(protocol)] + (", drawn with the seed" if is_drawn(protocol) else "")


def kind_of(protocol: str) -> str:
    """The protocol whether fixed or drawn, a key of :data:`PROTOCOL_WORDS`."""
    return protocol.removesuffix("_drawn")


class Parts(NamedTuple):
    """Positions of the pictures of each part: int64 arrays, ascending, disjoint."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def split_indices(
    dataset: FaceDataset, protocol: str, fold: int = 0, leave_out: str | None = None, *, seed: int = 0
) -> Parts:
    """Part a dataset by a protocol. The same dataset always gives the same parts, if drawn then by the seed.

    Args:
        dataset: what to part.
        protocol: a key of PROTOCOLS.
        fold: which fold is the test part, from 0 to ``PROTOCOLS[protocol] - 1``.
        leave_out: a FER+ class; pictures for which most annotators voted so are in no training part. Or
            :data:`COPIES`.
        seed: what a drawn protocol draws from, 0 or more; the others do not look at it.

    Returns:
        The parts. ``val`` is empty for every protocol but "official".

    Raises:
        UserError: if there is no such protocol, fold or FER+ class, or the dataset lacks what is needed.
    """
    parts = _split(dataset, protocol, fold, seed)
    if leave_out is None:
        return parts
    if leave_out == COPIES:
        picture = identities(dataset)
        held_out = picture[np.concatenate([parts.val, parts.test])]
        return parts._replace(train=parts.train[~np.isin(picture[parts.train], held_out)])
    chosen = majority(dataset)
    check_known("FER+ class", leave_out, dataset.vote_classes)
    return parts._replace(train=parts.train[chosen[parts.train] != leave_out])


def run_parts(
    dataset: FaceDataset,
    protocol: str,
    fold: int | None,
    seed: int,
    leave_out: str | None = None,
    limit_train: int | None = None,
    limit_test: int | None = None,
    by_class: bool = True,
) -> list[Parts]:
    """The parts that one run trains and tests on, one after the other: of all folds where it names none.

    Args:
        dataset: what to part.
        protocol: a key of PROTOCOLS.
        fold: of the run; None for a protocol without folds, or for a whole cross-validation in one run.
        seed: of the run.
        leave_out: as for :func:`split_indices`.
        limit_train: this many pictures of each training part; None for all.
        limit_test: the same of each val and test part.
        by_class: limited parts are drawn as :func:`draw_by_class` does; else they are the first pictures, as in records
            that do not say so. Of data that lie sorted the first are of one class.

    Raises:
        UserError: as :func:`split_indices`.
    """
    folds = range(PROTOCOLS.get(protocol, 1)) if fold is None else [fold]
    parts = [split_indices(dataset, protocol, one, leave_out, seed=seed) for one in folds]
    limits = (limit_train, limit_test, limit_test)
    if not by_class:
        return [Parts(*(part[:limit] for part, limit in zip(fold, limits, strict=True))) for fold in parts]
    return [
        Parts(*(part[draw_by_class(dataset.labels[part], limit)] for part, limit in zip(fold, limits, strict=True)))
        for fold in parts
    ]


def draw_by_class(labels: np.ndarray, limit: int | None) -> np.ndarray:
    """Draw some pictures of a part: one of every class first, then of each class its share. No seed changes the draw.

    Args:
        labels: of the part's pictures, int64 [N].
        limit: how many to draw; None for all. A smaller draw is a part of a larger one.

    Returns:
        Positions within the part, int64, ascending.
    """
    if limit is None or limit >= len(labels):
        return np.arange(len(labels))
    order = _order(len(labels), 0)
    turn = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        turn[members] = (np.arange(len(members)) + 0.5) / len(members)
        turn[members[0]] = 0
    return np.sort(order[turn[order].argsort(kind="stable")][:limit])


def check_classes(dataset: FaceDataset, parts: Parts) -> None:
    """Refuse a part of one class: no net can learn from it, and any that always answers so is right on it.

    Raises:
        UserError: naming the part.
    """
    for name, part in parts._asdict().items():
        if len(part) and len(present := np.unique(dataset.labels[part])) == 1:
            only = dataset.classes[present[0]]
            raise UserError(
                f"dataset {dataset.name}: all {len(part)} pictures of the {name} part are {only}; take more, or"
                " another split"
            )


def joined(parts: Iterable[Parts]) -> Parts:
    """The pictures of each part, of one fold after the other."""
    return Parts(*map(np.concatenate, zip(*parts, strict=True)))


def picture_digests(parts: Iterable[Parts]) -> dict[str, str]:
    """SHA-256, hexadecimal, of the positions of each part's pictures, of one fold after the other.

    With the dataset's fingerprint they say which pictures a run was trained and tested on.
    """
    return {
        name: hashlib.sha256(positions.astype("<i8").data).hexdigest()
        for name, positions in joined(parts)._asdict().items()
    }


def protocol_digest(dataset: FaceDataset, protocol: str) -> str:
    """SHA-256, hexadecimal, of all folds of a protocol; of a drawn one, of those of the seeds 0 to 2."""
    seeds = range(3) if is_drawn(protocol) else [0]
    digests = [picture_digests(run_parts(dataset, protocol, None, seed)) for seed in seeds]
    return hashlib.sha256(repr(digests).encode()).hexdigest()


def _split(dataset: FaceDataset, protocol: str, fold: int, seed: int) -> Parts:
    check_known("protocol", protocol, PROTOCOLS)
    folds = PROTOCOLS[protocol]
    if not 0 <= fold < folds:
        raise UserError(f"fold {fold} of protocol {protocol!r} does not exist: it has folds 0 to {folds - 1}")
    if protocol == "official":
        parts = Parts(*(dataset.indices(split) for split in Parts._fields))
        if not (len(parts.train) and len(parts.test)):
            raise UserError(
                f"{dataset.name} has no official split into train and test; "
                "pictures of your own get one by folders train, val and test"
            )
        return parts
    drawn, kind = is_drawn(protocol), kind_of(protocol)
    if kind == "copied_10fold":
        is_test = _copied(dataset, fold)
    elif kind == "subject_10fold":
        is_test = _subject_folds(dataset, folds, seed if drawn else None) == fold
    else:
        tenths = {"picture_10fold": (fold / 10, (fold + 1) / 10), "picture_2to1": (0, 1 / 3)}
        # Of all draws the fixed split is the one of seed 0.
        is_test = _share_of_each_class(dataset, *tenths.get(kind, (0, 1 / 10)), seed if drawn else 0)
    return Parts(np.flatnonzero(~is_test), np.empty(0, np.int64), np.flatnonzero(is_test))


def _order(n: int, seed: int) -> np.ndarray:
    """A random order of n things, int64 [n]."""
    # Raw numbers of a bit generator are the same for ever; NumPy's shuffles may change (NEP 19).
    return np.random.PCG64(seed).random_raw(n).argsort()


def _share_of_each_class(dataset: FaceDataset, start: float, stop: float, seed: int) -> np.ndarray:
    """Mask of each class's pictures from one fraction to another of a random order."""
    order = _order(len(dataset), seed)
    mask = np.zeros(len(dataset), bool)
    for label in range(len(dataset.classes)):
        members = order[dataset.labels[order] == label]
        mask[members[round(start * len(members)) : round(stop * len(members))]] = True
    return mask


@lru_cache(maxsize=32)  # every fold of a draw asks for it
def _subject_folds(dataset: FaceDataset, folds: int, seed: int | None) -> np.ndarray:
    """The fold of each picture, int64 [N], such that a subject is in one fold only.

    Subjects are placed one after the other, those with the most pictures first or, with a seed, in a random order:
    each into the fold where the class counts of all folds then differ least; rare classes weigh as much as
    frequent ones.
    """
    if dataset.subject is None:
        raise UserError(f"{dataset.name} does not say who is shown: choose a protocol that splits by picture")
    subjects, of_picture = np.unique(dataset.subject, return_inverse=True)
    if len(subjects) < folds:
        raise UserError(f"{dataset.name} shows {len(subjects)} subjects: too few for {folds} folds")
    counts = np.zeros((len(subjects), len(dataset.classes)))
    np.add.at(counts, (of_picture, dataset.labels), 1)
    shares = counts / np.maximum(counts.sum(0), 1)
    filled = np.zeros((folds, len(dataset.classes)))
    fold_of = np.empty(len(subjects), np.int64)
    order = np.argsort(-counts.sum(1), kind="stable") if seed is None else _order(len(subjects), seed)
    for subject in order:
        # Sum of squares grows by 2·filled·share + share²: the smallest growth is the most even choice.
        growth = filled @ shares[subject]
        fold_of[subject] = np.lexsort((filled.sum(1), growth.round(12)))[0]
        filled[fold_of[subject]] += shares[subject]
    return fold_of[of_picture]


def _copied(dataset: FaceDataset, fold: int) -> np.ndarray:
    """Mask of the test pictures of the much-copied CK+ folds, faults included.

    Each fold takes the next block of every class's files in the order of their names. The last fold counts
    from the end instead, and the block sizes do not divide the classes, so that some pictures are tested
    twice or never and fear's ninth block runs into happy; 63 % of the test pictures show a subject who is
    trained on.
    """
    sizes = np.bincount(dataset.labels, minlength=len(dataset.classes))
    if tuple(sizes) != _COPIED_CLASS_SIZES:
        raise UserError(f"protocol 'copied_10fold' exists for the 981 pictures of CK+48 only, not for {dataset.name}")
    by_class = np.argsort(dataset.labels, kind="stable")
    ends = np.cumsum(sizes)
    mask = np.zeros(len(dataset), bool)
    for end, size, block in zip(ends, sizes, _COPIED_BLOCK_SIZES, strict=True):
        first = end - block if fold == 9 else end - size + fold * block
        mask[by_class[first : first + block]] = True
    return mask
