"""Does the precision matter? Trainings of one recipe in float32 beside those in a shorter type.

A processor trains in bfloat16 only where it multiplies it in hardware, so that the study's runs come in both.
"""

from collections import defaultdict
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from fer_lib.data import is_drawn
from fer_lib.recipe import get_recipe
from fer_lib.statistics import Fit, fit, sample_sd
from fer_lib.study.columns import DASH, Column, table_of
from fer_lib.study.gains import in_points, reading_of
from fer_lib.study.groups import HELD_OUT, as_published
from fer_lib.study.results import MIN_SEEDS, Study

REFERENCE = "float32"

COLUMNS = (
    "recipe", "dataset", "precision", "seeds", "float32_seeds", "accuracy", "float32_accuracy", "sd", "float32_sd",
    "difference", "low", "high", "low_90", "high_90", "reading",
)  # fmt: skip
NUMBERS = ("accuracy", "float32_accuracy", "sd", "float32_sd", "difference", "low", "high", "low_90", "high_90")


SHOWN = (
    Column("net", lambda row: "{recipe:recipe}" if row["recipe"] else "all of them", DASH),
    Column("precision", "{precision}"),
    Column("accuracy, %", "{accuracy:.2f}[ ± {sd:.2f}], n = {seeds}", DASH),
    Column("float32, %", "{float32_accuracy:.2f}[ ± {float32_sd:.2f}], n = {float32_seeds}", DASH),
    Column("difference, points", "{difference:signed}", DASH),
    Column("95 % interval", "{low:signed} to {high:signed}", DASH),
    Column("reading", "{reading}"),
)


def precision_table(study: Study) -> pd.DataFrame:
    """What a shorter type changes, recipe by recipe.

    Args:
        study: the study's results. Runs whose precision was chosen (``--precision``) count, others of another scale
            than the recipe's do not.

    Returns:
        A row for each recipe and shorter type that has a complete seed of full length there and in float32:
        ``accuracy`` and ``sd`` (percent) of the last epoch in either, ``difference`` (points), its 95 and 90 %
        interval for new seeds on the same pictures, and ``reading``, one of
        :data:`fer_lib.study.gains.READINGS` from three seeds in each. The spread of a seed is one for all rows; where
        the split is drawn with the seed, seeds are compared on their common split. Then, without a recipe, a row for
        each shorter type of several recipes: its mean difference over them.
    """
    found = _accuracies(study)
    both = {name: by_type for name, by_type in found.items() if REFERENCE in by_type and len(by_type) > 1}
    if not both:
        return table_of([], COLUMNS)
    nets = {(name, precision): of_seeds for name, by_type in both.items() for precision, of_seeds in by_type.items()}
    of_each = fit(
        {net: list(of_seeds.values()) for net, of_seeds in nets.items()},
        {net: [(_shared(net[0], seed),) for seed in of_seeds] for net, of_seeds in nets.items()},
    )
    rows: list[dict[str, Any]] = []
    for (name, precision), of_seeds in nets.items():
        if precision != REFERENCE:
            rows.append(
                {"recipe": name, "dataset": get_recipe(name).dataset, "precision": precision}
                | _level("", list(of_seeds.values()))
                | _level("float32_", list(both[name][REFERENCE].values()))
                | _compared(of_each, (name, precision), (name, REFERENCE))
            )
    for precision in dict.fromkeys(row["precision"] for row in rows):
        names = [row["recipe"] for row in rows if row["precision"] == precision]
        if len(names) > 1:
            runs = {p: [(n, seed, v) for n in names for seed, v in both[n][p].items()] for p in (precision, REFERENCE)}
            over_all = fit(
                {p: [value for _, _, value in of_type] for p, of_type in runs.items()},
                {p: [(_shared(name, seed),) for name, seed, _ in of_type] for p, of_type in runs.items()},
            )
            head = {"recipe": "", "dataset": "", "precision": precision}
            rows.append(head | _compared(over_all, precision, REFERENCE))
    return table_of(rows, COLUMNS, NUMBERS)


def _compared(fitted: Fit, ours: Hashable, reference: Hashable) -> dict[str, object]:
    """The columns of a comparison."""
    of_ours, of_reference = fitted.runs[ours], fitted.runs[reference]
    seeds = min(of_ours, of_reference)
    row: dict[str, object] = {"seeds": of_ours, "float32_seeds": of_reference}
    row["reading"] = f"too few: {seeds} of {MIN_SEEDS} seeds" if seeds < MIN_SEEDS else "no split in both"
    if fitted.sd is not None and fitted.comparable(ours, reference):
        gain = fitted.gains([ours], reference)[0]
        numbers = in_points(gain)  # of a family of one, whose simultaneous interval is its own
        row |= {"difference": numbers["gain"]} | {end: numbers[end] for end in ("low", "high", "low_90", "high_90")}
        if seeds >= MIN_SEEDS:
            row["reading"] = reading_of(gain)
    return row


def _accuracies(study: Study) -> dict[str, dict[str, dict[int, float]]]:
    """Accuracy of the last epoch by recipe, precision and seed."""
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for group in study.groups:
        whole = group.seeds and group.epochs == group.recipe_epochs
        if whole and as_published(group.records[0], but=("precision",)):
            scores = zip(group.precisions, group.seeds, group.scores(HELD_OUT), strict=True)
            for precision, seed, of_pictures in scores:
                found[group.recipe][precision][seed] = float(np.mean(of_pictures))
    return found


def _shared(recipe: str, seed: int) -> Hashable:
    """What the runs of a recipe share that is no matter of precision: a split drawn with the seed, or the recipe."""
    return (recipe, seed) if is_drawn(get_recipe(recipe).protocol) else recipe


def _level(prefix: str, values: list[float]) -> dict[str, object]:
    return {f"{prefix}accuracy": 100 * float(np.mean(values)), f"{prefix}sd": 100 * sample_sd(values)}
