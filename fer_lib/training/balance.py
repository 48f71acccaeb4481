"""How often each class occurs in an epoch: the enlarging of rare classes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fer_lib.errors import UserError, check_known
from fer_lib.parts import Often
from fer_lib.schema import check


def class_counts(
    balance: Mapping[str, Mapping[str, float]], classes: tuple[str, ...], labels: Tensor
) -> dict[int, int]:
    """A recipe's ``balance`` as pictures per epoch, by class number; classes that are not named are left out.

    Raises:
        UserError: a class the dataset does not have, or neither a count nor a factor.
    """
    counts = {}
    for name, wanted in balance.items():
        check_known("class of balance", name, classes)
        label = classes.index(name)
        counts[label] = check(Often, wanted, f"balance of {name}").of(int((labels == label).sum()))
    return counts


def balance_indices(labels: Tensor, generator: torch.Generator, counts: Mapping[int, int]) -> Tensor:
    """Draw the picture indices of one epoch in which some classes occur more or less often than in the data.

    Together with augmentation, whose draws differ for every copy, this is the enlarging of rare classes that
    Li & Pan (2023, Fig. 10) and Gu & Jin (sec. 3.1, "disgust") do once on disk; here the copies are new in
    every epoch.

    Args:
        labels: int64 ``[N]`` on the CPU.
        generator: on the CPU.
        counts: how often a class occurs in the epoch, by class number. Its pictures are repeated equally
            often, but for a random part that occurs once more. Classes left out occur as they are.

    Returns:
        int64 ``[M]`` in random order.

    Raises:
        UserError: a class without pictures, or a negative count.
    """
    parts = []
    for label in sorted({*labels.tolist(), *counts}):
        members = (labels == label).nonzero().flatten()
        count = counts.get(label, len(members))
        if count < 0 or not len(members):
            raise UserError(f"balance: class {label} has {len(members)} pictures and cannot occur {count} times")
        members = members[torch.randperm(len(members), generator=generator)]
        parts.append(members.repeat(-(-count // len(members)))[:count])
    epoch = torch.cat(parts)
    return epoch[torch.randperm(len(epoch), generator=generator)]
