"""What a dataset's pictures and labels say about themselves: copies, contradictions, blanks, agreement."""

from dataclasses import dataclass

import numpy as np

from fer_lib.data.dataset import SPLITS, FaceDataset
from fer_lib.data.ferplus import agreement


@dataclass(frozen=True)
class Audit:
    """Findings of `audit`. Copies are pictures that are equal in every pixel.

    Attributes:
        pictures: how many there are.
        distinct: how many differ from each other.
        groups: sets of two or more copies of the same picture.
        copies: pictures in these groups.
        largest: pictures in the largest group; 1 if there is none.
        contradictory: groups whose pictures carry more than one label.
        across_splits: groups with pictures in more than one split.
        leaks: (from, to) -> pictures of split ``to`` that occur in split ``from``, for all pairs of splits.
        leaks_same_label: the same, counting only pictures that have a copy in ``from`` of their own label.
        blank: pictures of one tone.
        agreement: split -> share of pictures whose label most FER+ annotators chose; empty without votes.
    """

    pictures: int
    distinct: int
    groups: int
    copies: int
    largest: int
    contradictory: int
    across_splits: int
    leaks: dict[tuple[str, str], int]
    leaks_same_label: dict[tuple[str, str], int]
    blank: int
    agreement: dict[str, float]


def audit(dataset: FaceDataset) -> Audit:
    """Count copies within and across splits, contradictory labels, blank pictures and FER+ agreement."""
    picture = identities(dataset)
    size = np.bincount(picture)
    with_label = picture * len(dataset.classes) + dataset.labels
    splits = [split for split in SPLITS if (dataset.split == split).any()]
    leaks, leaks_same_label = {}, {}
    for source in splits:
        for target in splits:
            if source != target:
                there, here = dataset.indices(source), dataset.indices(target)
                leaks[source, target] = int(np.isin(picture[here], picture[there]).sum())
                leaks_same_label[source, target] = int(np.isin(with_label[here], with_label[there]).sum())
    flat = dataset.images.reshape(len(dataset), -1)
    agrees = {}
    if dataset.votes is not None:
        right = agreement(dataset)
        agrees = {split: float(right[dataset.split == split].mean()) for split in splits}
    return Audit(
        pictures=len(dataset),
        distinct=len(size),
        groups=int((size > 1).sum()),
        copies=int(size[size > 1].sum()),
        largest=int(size.max(initial=1)),
        contradictory=int(mixed(picture, dataset.labels).sum()),
        across_splits=int(mixed(picture, dataset.split).sum()),
        leaks=leaks,
        leaks_same_label=leaks_same_label,
        blank=int((flat == flat[:, :1]).all(1).sum()),
        agreement=agrees,
    )


def identities(dataset: FaceDataset) -> np.ndarray:
    """A number for each picture, the same for pictures equal in every pixel: int64 [N], counting from 0."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(image.tobytes(), len(numbers)) for image in dataset.images], np.int64)


def mixed(picture: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Which pictures come with more than one of the values: bool, by the numbers of :func:`identities`."""
    codes = np.unique(values, return_inverse=True)[1]
    distinct_pairs = np.unique(np.stack([picture, codes]), axis=1)
    return np.bincount(distinct_pairs[0]) > 1
