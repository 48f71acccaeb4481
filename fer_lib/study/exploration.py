"""What the papers say of their data beside the data, and what a recipe makes of its pictures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from fer_lib import plots
from fer_lib.augment import MEAN, STD, Augmentation
from fer_lib.claims import Claim, list_claims
from fer_lib.data import PROTOCOLS, FaceDataset, split_indices
from fer_lib.recipe import get_recipe


def count_table(datasets: Sequence[FaceDataset]) -> pd.DataFrame:
    """Every count the papers print, beside the count of the data at hand.

    Args:
        datasets: the data at hand; a claim about data that is not there gets a dash.

    Returns:
        One row per claim: paper, data, place, printed, here, agree.
    """
    by_name = {dataset.name: dataset for dataset in datasets}
    rows = []
    for claim in list_claims():
        if claim.kind == "count":
            here = _counts(claim, by_name[claim.dataset]) if claim.dataset in by_name else None
            rows.append(
                {
                    "paper": claim.paper,
                    "data": claim.system,
                    "place": claim.place,
                    "printed": ", ".join(map(str, claim.values)),
                    "here": "–" if here is None else ", ".join(map(str, here)),
                    "agree": "–" if here is None else "yes" if here == claim.values else "no",
                }
            )
    return pd.DataFrame(rows)


def _counts(claim: Claim, dataset: FaceDataset) -> tuple[int, ...]:
    if claim.metric == "pictures per class":
        return tuple(np.bincount(dataset.labels[dataset.indices(claim.split)], minlength=len(dataset.classes)).tolist())
    if claim.metric == "subjects, sequences":
        return len(set(dataset.subject)), len(set(dataset.sequence))
    wanted = np.ones(len(dataset), bool)
    if claim.class_name:
        wanted = dataset.labels == dataset.classes.index(claim.class_name)
    if claim.split == "all":
        return (int(wanted.sum()),)
    return tuple(int(wanted[dataset.indices(split)].sum()) for split in claim.split.split(", "))


def ckplus_protocol_table(dataset: FaceDataset) -> pd.DataFrame:
    """How much of each CK+ protocol's test pictures a net has met in training.

    Args:
        dataset: CK+, with subjects and sequences.

    Returns:
        One row per protocol: folds, test pictures over all folds, and the shares of them (percent) of whose
        sequence, and of whose subject, training has another picture.
    """
    rows = []
    for protocol, folds in PROTOCOLS.items():
        if protocol == "official":
            continue
        pictures = same_sequence = same_subject = 0
        for fold in range(folds):
            parts = split_indices(dataset, protocol, fold)
            pictures += len(parts.test)
            same_sequence += np.isin(dataset.sequence[parts.test], dataset.sequence[parts.train]).sum()
            same_subject += np.isin(dataset.subject[parts.test], dataset.subject[parts.train]).sum()
        rows.append(
            {
                "protocol": protocol,
                "folds": folds,
                "test pictures": pictures,
                "same sequence, %": round(100 * same_sequence / pictures, 1),
                "same subject, %": round(100 * same_subject / pictures, 1),
            }
        )
    return pd.DataFrame(rows)


def augmentation_sheet(recipe: str, dataset: FaceDataset, seed: int = 0, rows: int = 4, draws: int = 6) -> Figure:
    """Some training pictures as they are, each followed by what a recipe's augmentation makes of it.

    Args:
        recipe: name of the recipe.
        dataset: where the pictures come from.
        seed: chooses the pictures and the draws.
        rows: pictures.
        draws: augmented versions of each.
    """
    augmentation = Augmentation.from_dict(get_recipe(recipe).augment)
    generator = torch.Generator().manual_seed(seed)
    train = dataset.indices("train")
    chosen = train[torch.randperm(len(train), generator=generator)[:rows].numpy()]
    images = torch.from_numpy(dataset.images[chosen])
    side = images.shape[-1]
    repeated = images.repeat_interleave(draws, 0)
    augmented = augmentation.apply(repeated, augmentation.draw(len(repeated), side, generator))
    shown = ((augmented * STD + MEAN) * 255).clamp(0, 255)[:, 0].numpy().reshape(rows, draws, *augmented.shape[-2:])
    sheet = []
    for original, versions in zip(images.numpy(), shown, strict=True):
        sheet += [original, *(_framed(version, side) for version in versions)]
    titles = ["as it is", *[f"draw {i + 1}" for i in range(draws)]] * rows
    return plots.pictures(np.stack(sheet), titles, columns=draws + 1)


def _framed(picture: np.ndarray, side: int) -> np.ndarray:
    """A smaller picture in the middle of a white one, so that all show at one scale."""
    framed = np.full((side, side), 255.0)
    start = (side - picture.shape[0]) // 2
    framed[start : start + picture.shape[0], start : start + picture.shape[1]] = picture
    return framed
