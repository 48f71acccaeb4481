"""What a module adds: nets compared with their baseline, a family at a time, by the rules of ``REGISTRATION.md``.

The comparisons the study makes are the ``[[ablation]]`` tables of ``papers/*.toml``: a baseline and the recipes that
differ from it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from fer_lib.errors import UserError
from fer_lib.recipe import claimed_papers, family_of, get_recipe, load_papers
from fer_lib.statistics import Gain, sample_sd
from fer_lib.study.columns import Column, readable, table_of
from fer_lib.study.groups import BRIER, CHOSEN, HELD_OUT, Measure, is_confirmatory
from fer_lib.study.results import MIN_SEEDS, Study, once
from fer_lib.texts import span

SAME = 0.01
"""Gains smaller than this, one point, are called the same."""
READINGS = ("gain", "loss", "within ±1 point", "undecided")
"""What a comparison with enough runs says."""

NUMBERS = (
    "accuracy", "sd", "gain", "low", "high", "low_90", "high_90", "low_single", "high_single", "p", "smallest",
    "chosen_gain", "chosen_low", "chosen_high", "brier_gain", "brier_low", "brier_high", "seed_sd", "freedom",
    "own_sd", "equal_p",
)  # fmt: skip
"""Columns of a gain table that stay empty until there are runs."""

COLUMNS = (
    "recipe", "baseline", "family", "system", "dataset", "seeds", "precision", *NUMBERS, "values", "parameters",
    "epochs", "reading", "standing", "runs",
)  # fmt: skip


class Ablation(NamedTuple):
    """A family of comparisons.

    Attributes:
        recipes: what is compared.
        baseline: what it is compared with.
        first: the one of the recipes that is tested first, alone; empty for none.
        family: what the recipes are; empty where the baseline says it.
    """

    recipes: tuple[str, ...]
    baseline: str
    first: str = ""
    family: str = ""


# ---------------------------------------------------------------- tables


def gain_table(study: Study, recipes: Sequence[str], baseline: str) -> pd.DataFrame:
    """What each of some recipes adds to a baseline.

    Args:
        study: the study's results.
        recipes: names of the recipes; together they are the family.
        baseline: name of the recipe they are compared with.

    Returns:
        The baseline's row, then one row per recipe. ``family`` says what the recipes are; ``accuracy`` (percent),
        ``sd`` and ``values`` are of the primary measure, ``seeds`` complete trainings of full length, ``precision``
        theirs. Of recipes with as much: ``gain``, ``low`` and ``high`` (points, simultaneous 95 % interval),
        ``low_90`` and ``high_90``, ``low_single`` and ``high_single`` (90 and 95 %, this comparison alone), ``p``
        (adjusted as the interval), ``smallest`` (the gain found in 80 of 100 studies), ``chosen_...`` (PrivateTest at
        the epoch PublicTest chose), ``brier_...`` (Brier score times 100, more is better), ``seed_sd``,
        ``freedom`` and ``equal_p`` of the pool, ``own_sd`` of a net that spreads wider, ``reading`` and ``standing``
        (exploratory, confirmatory or confirmed).

    Raises:
        UserError: an unknown recipe, or recipes that cannot be compared.
    """
    family = next(filter(None, map(family_of, recipes)), "")
    return _table(study, Ablation(tuple(recipes), baseline, family=family))


@once
def ablation_table(
    study: Study, paper: str | None = None, claimed: bool | None = None, question: str = ""
) -> pd.DataFrame:
    """Ablations of one paper or of many, as :func:`gain_table` with a column ``paper`` before.

    Args:
        study: the study's results.
        paper: of this paper alone.
        claimed: of the papers that claim something; False for our own comparisons, None for both.
        question: the ablations that answer it, see :func:`list_ablations`.
    """
    chosen = [name for name in load_papers() if paper in (None, name) and claimed in (None, name in claimed_papers())]
    tables = [
        _table(study, ablation).assign(paper=name) for name in chosen for ablation in list_ablations(name, question)
    ]
    columns = ["paper", *COLUMNS]
    if not tables:
        return pd.DataFrame(columns=columns)
    # Families that follow each other with one baseline have its row once.
    return pd.concat(tables)[columns].drop_duplicates(["recipe", "baseline"], ignore_index=True)


def list_ablations(paper: str, question: str = "") -> list[Ablation]:
    """The ablations of a paper's file.

    Args:
        paper: its id.
        question: those with this ``question``; empty for what a part adds, which needs no name.
    """
    found = []
    for entry in load_papers()[paper].get("ablation", []):
        if entry.get("question", "") == question:
            recipes = tuple(f"{paper}/{name}" for name in entry["recipes"])
            first = f"{paper}/{entry['first']}" if "first" in entry else ""
            found.append(Ablation(recipes, f"{paper}/{entry['baseline']}", first, entry.get("family", "")))
    return found


def _table(everything: Study, ablation: Ablation) -> pd.DataFrame:
    """The rows of :func:`gain_table`."""
    for name in ablation.recipes:
        _check_comparable(name, ablation.baseline)
    rows = [_row(everything, ablation.baseline, "", ablation.family)]
    found = _family(everything, ablation)
    later = _family(everything.confirmatory, ablation)
    for name in ablation.recipes:
        row = _row(everything, name, ablation.baseline, ablation.family)
        if name in found:
            reading, measured = found[name]
            row |= _numbers(measured) | {"reading": reading}
            if reading in READINGS:
                row["standing"] = _standing(everything, name, ablation.baseline, reading, later.get(name, ("", {}))[0])
        rows.append(row)
    return table_of(rows, COLUMNS, NUMBERS)


def _check_comparable(recipe: str, baseline: str) -> None:
    ours, theirs = get_recipe(recipe), get_recipe(baseline)
    for field in ("dataset", "protocol", "epochs"):
        a, b = getattr(ours, field), getattr(theirs, field)
        if a != b:
            raise UserError(f"{recipe} cannot be compared with {baseline}: {field} is {a} here, {b} there")


def _family(study: Study, ablation: Ablation) -> dict[str, tuple[str, dict[Measure, Gain]]]:
    """The reading of each recipe that has runs beside the baseline's, and its gain by measure."""
    base = study.full(ablation.baseline)
    groups = {name: group for name in ablation.recipes if base and (group := study.full(name))}
    names = list(groups)
    by_measure = {measure: _gains(study, names, ablation, measure) for measure in (HELD_OUT, CHOSEN, BRIER)}
    found = {}
    for name, group in groups.items():
        measured = {measure: gains[name] for measure, gains in by_measure.items() if name in gains}
        seeds = min(len(side.seeds) for side in (group, base) if side)
        if seeds < MIN_SEEDS:
            reading = f"too few: {seeds} of {MIN_SEEDS} seeds"
        elif HELD_OUT in measured:
            reading = reading_of(measured[HELD_OUT])
        else:
            reading = "too few: no precision or split in common"
        found[name] = (reading, measured)
    gate = found.get(ablation.first, ("", {}))[0]
    if ablation.first and gate not in ("gain", "loss"):
        for name, (reading, measured) in found.items():
            if name != ablation.first and reading in READINGS:
                found[name] = ("undecided", measured)
    return found


def _gains(study: Study, names: Sequence[str], ablation: Ablation, measure: Measure) -> dict[str, Gain]:
    """The gains of a family: the first alone, then the others together, those still to come counted with them."""
    fitted = study.fit(ablation.baseline, measure) if names else None
    if fitted is None or fitted.sd is None:
        return {}
    gains: dict[str, Gain] = {}
    for tested in ((ablation.first,), tuple(name for name in ablation.recipes if name != ablation.first)):
        family = [name for name in tested if name in names and fitted.comparable(name, ablation.baseline)]
        if family:
            pictures = [study.picture_variance(name, ablation.baseline, measure) for name in family]
            to_come = len(tested) - len(family)
            gains |= dict(zip(family, fitted.gains(family, ablation.baseline, pictures, to_come), strict=True))
    return gains


def reading_of(gain: Gain) -> str:
    """What a gain of enough runs reads as, one of :data:`READINGS`."""
    if gain.low > 0 or gain.high < 0:
        return "gain" if gain.low > 0 else "loss"
    return "within ±1 point" if gain.low_90 > -SAME and gain.high_90 < SAME else "undecided"


def _standing(study: Study, recipe: str, baseline: str, reading: str, later: str) -> str:
    """Whether a reading rests on runs that were seen when the rules were written."""
    groups = (study.full(name) for name in (recipe, baseline))
    records = [record for group in groups if group for record in group.records]
    if all(is_confirmatory(record) for record in records):
        return "confirmatory"
    return "confirmed" if reading == later != "undecided" else "exploratory"


def _row(study: Study, name: str, baseline: str, family: str) -> dict[str, object]:
    """A row of the table, with nothing yet about the gain."""
    recipe, group = get_recipe(name), study.full(name)
    values = [float(scores.mean()) for scores in group.scores(HELD_OUT)] if group else []
    reading = ("undecided" if baseline else "baseline") if group else "not run"
    if baseline and group and not study.full(baseline):
        reading = "too few: no run of the baseline"
    row: dict[str, object] = {
        "recipe": name,
        "baseline": baseline,
        "family": family if baseline else "",
        "system": recipe.title,
        "dataset": recipe.dataset,
        "seeds": len(values),
        "precision": counted(group.precisions) if group else "",
        "accuracy": 100 * float(np.mean(values)) if values else math.nan,
        "sd": 100 * sample_sd(values),
        "values": " ".join(f"{100 * value:.2f}" for value in values),
        "parameters": study.parameters(recipe),
        "epochs": recipe.epochs,
        "reading": reading,
        "standing": "",
        "runs": group.run_ids() if group else "",
    }
    fitted = study.fit(name, HELD_OUT)
    if fitted and fitted.sd is not None:
        sd, freedom = fitted.pool
        row |= {"seed_sd": 100 * sd, "freedom": freedom, "equal_p": fitted.equal_p}
        row["own_sd"] = 100 * fitted.own_sd(name) if name in fitted.names else math.nan
    return row


POINTS = ("gain", "low", "high", "low_90", "high_90", "low_single", "high_single", "smallest")
"""Of a comparison, what is told in points."""


def in_points(gain: Gain) -> dict[str, float]:
    """A comparison as the columns of a table."""
    # What least squares leave of nothing differs from machine to machine: a gain of 4e-14 is none.
    return {name: round(100 * getattr(gain, name), 9) + 0.0 for name in POINTS} | {"p": gain.p}


def _numbers(measured: dict[Measure, Gain]) -> dict[str, float]:
    row = in_points(measured[HELD_OUT]) if HELD_OUT in measured else {}
    for measure, name in ((CHOSEN, "chosen"), (BRIER, "brier")):
        if measure in measured:
            found = in_points(measured[measure])
            row |= {f"{name}_{column}": found[column] for column in ("gain", "low", "high")}
    return row


def counted(names: Sequence[str]) -> str:
    """``bfloat16 ×3, float32 ×2``."""
    return ", ".join(f"{name} ×{count}" for name, count in sorted(Counter(names).items()))


# ---------------------------------------------------------------- for a reader


SHOWN = (
    Column("net", "{system}"),
    Column("over", "{baseline:recipe}"),
    Column("data", "{dataset:data}"),
    Column("accuracy, %", "{accuracy:.2f}[ ± {sd:.2f}], n = {seeds}"),
    Column("gain, points", "{gain:+.2f}"),
    Column("95 % interval", "{low:+.2f} to {high:+.2f}"),
    Column("90 % interval, alone", "{low_90:+.2f} to {high_90:+.2f}"),
    Column("smallest gain seen", "{smallest:.1f}"),
    Column("reading", "{reading}"),
    Column("runs", "{standing}"),
    Column("PrivateTest, chosen epoch", "{chosen_gain:+.2f} ({chosen_low:+.2f} to {chosen_high:+.2f})"),
    Column("Brier score × 100", "{brier_gain:+.2f} ({brier_low:+.2f} to {brier_high:+.2f})"),
    Column("parameters", "{parameters:,.0f}"),
    Column("precision", "{precision}"),
)


def of_families(table: pd.DataFrame, *families: str) -> pd.DataFrame:
    """The rows of some families with those of their baselines.

    Args:
        table: of :func:`ablation_table`.
        *families: as in the column ``family``; empty for those without a name of their own.
    """
    rows = table["family"].isin(families) & (table["baseline"] != "")
    baselines = table["recipe"].isin(table.loc[rows, "baseline"]) & (table["baseline"] == "")
    return table[rows | baselines]


def readable_gains(table: pd.DataFrame) -> pd.DataFrame:
    """A gain table for a reader; what has no runs is left out."""
    return readable(table[table["reading"] != "not run"], SHOWN)


def brief_gains(table: pd.DataFrame) -> pd.DataFrame | None:
    """The same without what a family has in common, each family below its baseline; None where nothing has run."""
    beside = table["baseline"].where(table["baseline"] != "", table["recipe"])
    shown = readable_gains(table.iloc[np.argsort(pd.factorize(beside)[0], kind="stable")])
    known = (shown["gain, points"] != "").any()
    return shown.drop(columns=["over", "data", "parameters", "precision"]) if known else None


def family_sentences(table: pd.DataFrame) -> str:
    """What a reader must know beside a gain table: the spread of a seed, what the design could see, what is missing.

    Args:
        table: as :func:`gain_table` makes them, of one family or many.

    Returns:
        A sentence for each baseline that has runs, one that counts readings that the family's first keeps back, and one
        that counts the comparisons without any.
    """
    found = []
    for _, row in table[(table["baseline"] == "") & table[["seed_sd", "accuracy"]].notna().all(axis=1)].iterrows():
        compared = table[table["baseline"] == row["recipe"]]
        smallest = compared["smallest"].dropna()
        sentence = f"{row['system']}: accuracy has a standard deviation of {row['seed_sd']:.2f} points over seeds"
        sentence += f" ({row['freedom']:.0f} degrees of freedom"
        if pd.notna(row["equal_p"]):
            form = ".2f" if row["equal_p"] >= 0.01 else ".1g"
            sentence += f"; Bartlett's test of equal spread: p = {row['equal_p']:{form}}"
        sentence += ")"
        wide = table[table["recipe"].isin({row["recipe"], *compared["recipe"]}) & table["own_sd"].notna()]
        for _, net in wide.drop_duplicates("recipe").iterrows():
            sentence += f"; {net['system']} spreads wider ({net['own_sd']:.2f}) and is compared by its own spread"
        if len(smallest):
            sizes = span(f"{smallest.min():.1f}", f"{smallest.max():.1f}")
            sentence += f"; a gain of {sizes} points would be found in 80 of 100 such studies"
        found.append(f"{sentence}.")
    shut = int(((table["reading"] == "undecided") & ((table["low"] > 0) | (table["high"] < 0))).sum())
    if shut:
        intervals = f"{shut} intervals without zero are" if shut > 1 else "1 interval without zero is"
        found.append(
            f"{intervals} read as undecided: the proposed net is tested first, and is not a gain or a loss, or not yet."
        )
    missing = int(((table["baseline"] != "") & (table["reading"] == "not run")).sum())
    if missing:
        found.append(f"{missing} comparison{'s have' * (missing > 1) or ' has'} no run of full length yet.")
    return " ".join(found)
