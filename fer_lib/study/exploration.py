"""What the papers say of their data, beside the data."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from fer_lib.claims import FILMS, FOUR_A_SEQUENCE, Claim, list_claims
from fer_lib.data import FaceDataset, load_dataset
from fer_lib.data.catalog import MissingData
from fer_lib.recipe import paper_names
from fer_lib.study.columns import DASH
from fer_lib.study.films import check_films


def load_or_say(name: str, say: Callable[[str], None] = print) -> FaceDataset | None:
    """A dataset by name; None where its files are not at hand, and ``say`` receives what was looked for and where."""
    try:
        return load_dataset(name)
    except MissingData as error:
        say(f"{error}.")
        return None


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
                    "paper": paper_names().get(claim.paper, claim.paper),
                    "data": claim.system,
                    "place": claim.place,
                    "printed": counts_in_words(claim.values),
                    "here": DASH if here is None else counts_in_words(here),
                    "agree": DASH if here is None else "yes" if here == claim.values else "no",
                }
            )
    return pd.DataFrame(rows)


def counts_in_words(counts: Sequence[int]) -> str:
    """``28,709 / 3,589 / 3,589``."""
    return " / ".join(f"{count:,}" for count in counts)


def _counts(claim: Claim, dataset: FaceDataset) -> tuple[int, ...]:
    if claim.metric == "pictures per class":
        return tuple(np.bincount(dataset.labels[dataset.indices(claim.split)], minlength=len(dataset.classes)).tolist())
    if claim.metric in (FILMS, FOUR_A_SEQUENCE):
        subject, sequence = (len({*column.tolist()}) for column in check_films(dataset))
        return (4 * sequence,) if claim.metric == FOUR_A_SEQUENCE else (subject, sequence)
    wanted = np.ones(len(dataset), bool)
    if claim.class_name:
        wanted = dataset.labels == dataset.classes.index(claim.class_name)
    if claim.split == "all":
        return (int(wanted.sum()),)
    return tuple(int(wanted[dataset.indices(split)].sum()) for split in claim.split.split(", "))
