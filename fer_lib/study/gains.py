"""What a module adds: recipes compared with their baseline, the same seeds paired on the same pictures.

The comparisons the study makes are the ``[[ablation]]`` tables of ``papers/*.toml``: a baseline and the recipes that
differ from it. A gain is read as real where the joined interval excludes zero and the paired t test over seeds is
below 5 % after Holm's correction over the dataset's ablations; both rules were fixed before any full training.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from fer_lib.errors import UserError
from fer_lib.models.describe import count_parameters, meta_net
from fer_lib.recipe import get_recipe, load_papers
from fer_lib.runs import RunRecord
from fer_lib.statistics import CONFIDENCE, Comparison, compare, holm, sample_sd
from fer_lib.study.groups import DATASETS, Group, check_same_pictures, group_records, longest_groups
from fer_lib.study.verdicts import shortfall

NUMBERS = (
    "accuracy", "sd", "gain", "gain_sd", "low", "high", "bootstrap_low", "bootstrap_high", "p", "p_holm",
    "p_pictures", "d_z", "in_seed_sds",
)  # fmt: skip
"""Columns of a gain table that stay empty until there are runs."""

COLUMNS = (
    "recipe", "baseline", "system", "dataset", "seeds", *NUMBERS, "gains", "parameters", "epochs", "recipe_epochs",
    "reading", "runs",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A recipe and its baseline at one number of epochs, with the seeds they share.

    Attributes:
        ours: runs of the recipe.
        baseline: runs of the baseline.
        seeds: seeds that are complete in both.
        comparison: what they say.
    """

    ours: Group
    baseline: Group
    seeds: tuple[int, ...]
    comparison: Comparison

    @property
    def records(self) -> tuple[RunRecord, ...]:
        """The runs compared, ours first."""
        return tuple(r for group in (self.ours, self.baseline) for r in group.records if r.spec["seed"] in self.seeds)


def pair_up(groups: Iterable[Group], recipe: str, baseline: str, part: str = "test") -> Pair | None:
    """Compare a recipe with its baseline at the most epochs that both were trained for.

    Args:
        groups: of the study's runs.
        recipe: name of the recipe.
        baseline: name of the recipe it is compared with.
        part: val or test.

    Returns:
        The pair; None where no seed was trained with both, or without such a part.

    Raises:
        UserError: the two recipes differ in data, split or epochs, or their runs in test pictures.
    """
    _check_comparable(recipe, baseline)
    published = [group for group in groups if group.as_published]
    theirs = {group.epochs: group for group in published if group.recipe == baseline}
    for ours in (group for group in published if group.recipe == recipe and group.epochs in theirs):
        other = theirs[ours.epochs]
        seeds = tuple(seed for seed in ours.seeds if seed in other.seeds)
        answers, basis = ours.answers(part, seeds), other.answers(part, seeds)
        if answers and basis:
            check_same_pictures(ours.records[0], answers.labels, other.records[0], basis.labels)
            return Pair(ours, other, seeds, compare(answers.correct, basis.correct))
    return None


def _check_comparable(recipe: str, baseline: str) -> None:
    ours, theirs = get_recipe(recipe), get_recipe(baseline)
    for field in ("dataset", "protocol", "epochs"):
        a, b = getattr(ours, field), getattr(theirs, field)
        if a != b:
            raise UserError(f"{recipe} cannot be compared with {baseline}: {field} is {a} here, {b} there")


# ---------------------------------------------------------------- tables


def gain_table(records: Sequence[RunRecord], recipes: Sequence[str], baseline: str) -> pd.DataFrame:
    """What each of some recipes adds to a baseline.

    Args:
        records: the study's runs.
        recipes: names of the recipes; together they are the family of Holm's correction.
        baseline: name of the recipe they are compared with.

    Returns:
        The baseline's row, then one row per recipe: recipe, baseline (empty for the baseline itself), system,
        dataset, seeds (complete in both), accuracy and sd (percent and points, of those seeds), gain, gain_sd, low,
        high (points, joined interval), bootstrap_low, bootstrap_high (points), p (paired t over seeds), p_holm,
        p_pictures (McNemar), d_z, in_seed_sds (gain over the sd of a seed), gains (points, seed by seed), parameters,
        epochs, recipe_epochs, reading, runs. What needs more runs is empty.

    Raises:
        UserError: an unknown recipe, or recipes that cannot be compared.
    """
    return _with_readings(pd.DataFrame(_gain_rows(group_records(records), recipes, baseline)))


def ablation_table(
    records: Sequence[RunRecord], paper: str | None = None, claimed: bool = True, question: str = ""
) -> pd.DataFrame:
    """Ablations of one paper or of many, as :func:`gain_table` with a column ``paper`` before.

    The family of Holm's correction is the ablations of one paper on one dataset that answer one question.

    Args:
        records: the study's runs.
        paper: of this paper alone.
        claimed: without ``paper``: of the papers that claim something, else of our own comparisons, which do not.
        question: the ablations that answer it, see :func:`list_ablations`.
    """
    groups = group_records(records)
    chosen = [
        p for p, content in load_papers().items() if (p == paper if paper else bool(content.get("claim")) == claimed)
    ]
    tables = [pd.DataFrame(columns=("paper", *COLUMNS))]
    for name in chosen:
        by_dataset: dict[str, list[dict[str, object]]] = {}
        for recipes, baseline in list_ablations(name, question):
            by_dataset.setdefault(get_recipe(baseline).dataset, []).extend(_gain_rows(groups, recipes, baseline))
        for rows in by_dataset.values():
            table = _with_readings(pd.DataFrame(rows))
            table.insert(0, "paper", name)
            tables.append(table)
    return pd.concat(tables[1:] or tables, ignore_index=True)


def list_ablations(paper: str, question: str = "") -> list[tuple[tuple[str, ...], str]]:
    """The ablations of a paper's file: the recipes' names and their baseline's.

    Args:
        paper: its id.
        question: those with this ``question``; empty for what a part adds, which needs no name.

    Raises:
        UserError: an entry without ``baseline`` or ``recipes``, or with something else.
    """
    found = []
    for entry in load_papers()[paper].get("ablation", []):
        if entry.keys() - {"question"} != {"baseline", "recipes"}:
            raise UserError(f"papers/{paper}.toml: an ablation has a baseline and recipes, not {', '.join(entry)}")
        if entry.get("question", "") == question:
            found.append((tuple(f"{paper}/{name}" for name in entry["recipes"]), f"{paper}/{entry['baseline']}"))
    return found


def _gain_rows(groups: Sequence[Group], recipes: Sequence[str], baseline: str) -> list[dict[str, object]]:
    alone = {group.recipe: group for group in longest_groups(groups)}
    rows = [_row(baseline, "", alone.get(baseline))]
    for name in recipes:
        pair = pair_up(groups, name, baseline)
        row = _row(name, baseline, pair.ours if pair else alone.get(name), pair.seeds if pair else None)
        if pair:
            found = pair.comparison
            low, high = found.bootstrap or (None, None)
            row |= {
                "gain": 100 * found.gain,
                "gain_sd": _points(found.sd),
                "low": _points(found.low),
                "high": _points(found.high),
                "bootstrap_low": _points(low),
                "bootstrap_high": _points(high),
                "p": found.p,
                "p_pictures": found.p_pictures,
                "d_z": found.d_z,
                "in_seed_sds": found.in_seed_sds,
                "gains": " ".join(f"{100 * gain:.2f}" for gain in found.gains),
                "runs": " ".join(record.id for record in pair.records),
            }
        rows.append(row)
    return rows


def _row(name: str, baseline: str, group: Group | None, seeds: Sequence[int] | None = None) -> dict[str, object]:
    """A row of the table, with nothing yet about the gain; of these seeds, by default of all complete ones."""
    recipe = get_recipe(name)
    if seeds is None:
        seeds = group.seeds if group else ()
    accuracies = group.answers("test", seeds).correct.mean(1).tolist() if group else []
    row = {
        "recipe": name,
        "baseline": baseline,
        "system": recipe.title,
        "dataset": recipe.dataset,
        "seeds": len(seeds),
    }
    row |= dict.fromkeys(NUMBERS)
    if accuracies:
        row |= {"accuracy": 100 * float(np.mean(accuracies)), "sd": _points(sample_sd(accuracies))}
    return row | {
        "gains": "",
        "parameters": _parameters(recipe.model, json.dumps(recipe.model_options)),
        "epochs": group.epochs if group else None,
        "recipe_epochs": recipe.epochs,
        "reading": "",
        "runs": " ".join(record.id for record in group.records if record.spec["seed"] in seeds) if group else "",
    }


def _with_readings(table: pd.DataFrame) -> pd.DataFrame:
    """Fill in what a gain is read as, which depends on the whole family."""
    tested = table["baseline"] != ""
    adjusted = holm([None if pd.isna(p) else p for p in table.loc[tested, "p"]])
    table.loc[tested, "p_holm"] = pd.Series(adjusted, index=table.index[tested], dtype=float)
    table["reading"] = table.apply(_reading, axis=1)
    return table.astype(dict.fromkeys(NUMBERS, float))


def _reading(row: pd.Series) -> str:
    if why := shortfall(row["seeds"], row["epochs"], row["recipe_epochs"]):
        return why
    if not row["baseline"]:
        return "baseline"
    if pd.isna(row["gain"]):
        return "not judged: no seed of the baseline to pair with"
    if row["low"] <= 0 <= row["high"] or not row["p_holm"] < 1 - CONFIDENCE:
        return "no difference seen"
    return "gain" if row["low"] > 0 else "loss"


def readable_gains(table: pd.DataFrame) -> pd.DataFrame:
    """A gain table for a reader: fewer columns, numbers rounded, every short training marked."""

    def accuracy(row: pd.Series) -> str:
        if pd.isna(row["accuracy"]):
            return "–"
        spread = "" if pd.isna(row["sd"]) else f" ± {row['sd']:.2f}"
        short = (
            "" if row["epochs"] == row["recipe_epochs"] else f" ({row['epochs']:.0f} of {row['recipe_epochs']} epochs)"
        )
        return f"{row['accuracy']:.2f}{spread}, n = {row['seeds']}{short}"

    def p_value(name: str) -> pd.Series:
        return table[name].map(lambda p: "–" if pd.isna(p) else f"{p:.3f}" if p >= 0.001 else "< 0.001")

    def number(form: str, name: str) -> pd.Series:
        return table[name].map(lambda value: "–" if pd.isna(value) else form.format(value))

    if table.empty:
        return pd.DataFrame(columns=table.columns)
    bounds = zip(table["low"], table["high"], strict=True)
    return pd.DataFrame(
        {
            "system": table["system"],
            "data": table["dataset"].map(lambda name: DATASETS.get(name, name)),
            "accuracy, %": table.apply(accuracy, axis=1),
            "gain, points": number("{:+.2f}", "gain"),
            "95 % interval": ["–" if pd.isna(low) else f"{low:+.2f} to {high:+.2f}" for low, high in bounds],
            "p": p_value("p"),
            "p, Holm": p_value("p_holm"),
            "p, McNemar": p_value("p_pictures"),
            "gain / sd of a seed": number("{:+.1f}", "in_seed_sds"),
            "parameters": number("{:,.0f}", "parameters"),
            "reading": table["reading"],
        }
    )


def _points(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


@cache
def _parameters(model: str, options: str) -> int | None:
    """Weights of a net for seven classes, its options given as JSON; None for a classical pipeline."""
    net = meta_net(model, **json.loads(options))
    return count_parameters(net) if net else None
