"""What the papers say of their data, beside the data."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fer_lib.claims import Claim, list_claims
from fer_lib.data import PROTOCOLS, FaceDataset, split_indices


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
