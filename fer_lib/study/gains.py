"""What a module adds: nets compared with their baseline, a family at a time, by the rules of ``REGISTRATION.md``.

The comparisons the study makes are the ``[[ablation]]`` tables of ``papers/*.toml``: a baseline and the recipes that
differ from it.
"""

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import pandas as pd

from fer_lib.errors import UserError
from fer_lib.models.describe import count_parameters, meta_net
from fer_lib.recipe import get_recipe, load_papers
from fer_lib.runs import RunRecord
from fer_lib.statistics import Gain, sample_sd
from fer_lib.study.groups import BRIER, CHOSEN, HELD_OUT, Measure, dataset_title, is_confirmatory
from fer_lib.study.pools import MIN_SEEDS, Pools

SAME = 0.01
"""Gains smaller than this, one point, are called the same."""
READINGS = ("gain", "loss", "within ±1 point", "undecided")
"""What a comparison with enough runs says."""

NUMBERS = (
    "accuracy", "sd", "gain", "low", "high", "low_90", "high_90", "low_single", "high_single", "p", "smallest",
    "chosen_gain", "chosen_low", "chosen_high", "brier_gain", "brier_low", "brier_high", "seed_sd", "freedom",
    "equal_p",
)  # fmt: skip
"""Columns of a gain table that stay empty until there are runs."""

COLUMNS = (
    "recipe", "baseline", "system", "dataset", "seeds", "precision", *NUMBERS, "values", "parameters", "epochs",
    "reading", "standing", "runs",
)  # fmt: skip


class Ablation(NamedTuple):
    """A family of comparisons.

    Attributes:
        recipes: what is compared.
        baseline: what it is compared with.
        first: the one of the recipes that is tested first, alone; empty for none.
    """

    recipes: tuple[str, ...]
    baseline: str
    first: str = ""


# ---------------------------------------------------------------- tables


def gain_table(records: Sequence[RunRecord], recipes: Sequence[str], baseline: str) -> pd.DataFrame:
    """What each of some recipes adds to a baseline.

    Args:
        records: the study's runs.
        recipes: names of the recipes; together they are the family.
        baseline: name of the recipe they are compared with.

    Returns:
        The baseline's row, then one row per recipe. ``accuracy`` (percent), ``sd`` and ``values`` are of the primary
        measure, ``seeds`` complete trainings of full length, ``precision`` theirs. Of recipes with as much: ``gain``,
        ``low`` and ``high`` (points, simultaneous 95 % interval), ``low_90`` and ``high_90``, ``low_single`` and
        ``high_single`` (90 and 95 %, this comparison alone), ``p`` (adjusted as the interval), ``smallest`` (the gain
        found in 80 of 100 studies), ``chosen_...`` (PrivateTest at the epoch PublicTest chose), ``brier_...`` (Brier
        score times 100, more is better), ``seed_sd``, ``freedom`` and ``equal_p`` of the pool, ``reading`` and
        ``standing`` (exploratory, confirmatory or confirmed).

    Raises:
        UserError: an unknown recipe, or recipes that cannot be compared.
    """
    return _table(Pools(records), Ablation(tuple(recipes), baseline))


def ablation_table(
    records: Sequence[RunRecord], paper: str | None = None, claimed: bool = True, question: str = ""
) -> pd.DataFrame:
    """Ablations of one paper or of many, as :func:`gain_table` with a column ``paper`` before.

    Args:
        records: the study's runs.
        paper: of this paper alone.
        claimed: without ``paper``: of the papers that claim something, else of our own comparisons, which do not.
        question: the ablations that answer it, see :func:`list_ablations`.
    """
    pools = Pools(records)
    chosen = [
        p for p, content in load_papers().items() if (p == paper if paper else bool(content.get("claim")) == claimed)
    ]
    tables = [pd.DataFrame(columns=("paper", *COLUMNS))]
    for name in chosen:
        for ablation in list_ablations(name, question):
            table = _table(pools, ablation)
            table.insert(0, "paper", name)
            tables.append(table)
    return pd.concat(tables[1:] or tables, ignore_index=True)


def list_ablations(paper: str, question: str = "") -> list[Ablation]:
    """The ablations of a paper's file.

    Args:
        paper: its id.
        question: those with this ``question``; empty for what a part adds, which needs no name.

    Raises:
        UserError: an entry without ``baseline`` or ``recipes``, with something else, or whose ``first`` is none of
            its recipes.
    """
    found = []
    for entry in load_papers()[paper].get("ablation", []):
        if entry.keys() - {"question", "first"} != {"baseline", "recipes"}:
            raise UserError(f"papers/{paper}.toml: an ablation has a baseline and recipes, not {', '.join(entry)}")
        if entry.get("first", entry["recipes"][0]) not in entry["recipes"]:
            raise UserError(f"papers/{paper}.toml: an ablation's first, {entry['first']}, is none of its recipes")
        if entry.get("question", "") == question:
            recipes = tuple(f"{paper}/{name}" for name in entry["recipes"])
            first = f"{paper}/{entry['first']}" if "first" in entry else ""
            found.append(Ablation(recipes, f"{paper}/{entry['baseline']}", first))
    return found


def _table(everything: Pools, ablation: Ablation) -> pd.DataFrame:
    """The rows of :func:`gain_table`."""
    for name in ablation.recipes:
        _check_comparable(name, ablation.baseline)
    rows = [_row(everything, ablation.baseline, "")]
    found = _family(everything, ablation)
    later = _family(everything.confirmatory, ablation)
    for name in ablation.recipes:
        row = _row(everything, name, ablation.baseline)
        if name in found:
            reading, measured = found[name]
            row |= _numbers(measured) | {"reading": reading}
            if reading in READINGS:
                row["standing"] = _standing(everything, name, ablation.baseline, reading, later.get(name, ("", {}))[0])
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(NUMBERS, float))


def _check_comparable(recipe: str, baseline: str) -> None:
    ours, theirs = get_recipe(recipe), get_recipe(baseline)
    for field in ("dataset", "protocol", "epochs"):
        a, b = getattr(ours, field), getattr(theirs, field)
        if a != b:
            raise UserError(f"{recipe} cannot be compared with {baseline}: {field} is {a} here, {b} there")


def _family(pools: Pools, ablation: Ablation) -> dict[str, tuple[str, dict[Measure, Gain]]]:
    """The reading of each recipe that has runs beside the baseline's, and its gain by measure."""
    names = [name for name in ablation.recipes if pools.full(name) and pools.full(ablation.baseline)]
    by_measure = {measure: _gains(pools, names, ablation, measure) for measure in (HELD_OUT, CHOSEN, BRIER)}
    found = {}
    for name in names:
        measured = {measure: gains[name] for measure, gains in by_measure.items() if name in gains}
        seeds = min(len(pools.full(side).seeds) for side in (name, ablation.baseline))
        reading = "undecided"
        if seeds < MIN_SEEDS:
            reading = f"too few: {seeds} of {MIN_SEEDS} seeds"
        elif HELD_OUT in measured:
            reading = reading_of(measured[HELD_OUT])
        found[name] = (reading, measured)
    gate = found.get(ablation.first, ("", {}))[0]
    if ablation.first and gate not in ("gain", "loss"):
        for name, (reading, measured) in found.items():
            if name != ablation.first and reading in ("gain", "loss"):
                found[name] = ("undecided", measured)
    return found


def _gains(pools: Pools, names: Sequence[str], ablation: Ablation, measure: Measure) -> dict[str, Gain]:
    """The gains of a family: the first alone, then the others together, those still to come counted with them."""
    fitted = pools.fit(ablation.baseline, measure) if names else None
    if fitted is None or fitted.sd is None:
        return {}
    gains = {}
    for tested in ((ablation.first,), tuple(name for name in ablation.recipes if name != ablation.first)):
        family = [name for name in tested if name in names and fitted.comparable(name, ablation.baseline)]
        if family:
            pictures = [pools.picture_variance(name, ablation.baseline, measure) for name in family]
            to_come = len(tested) - len(family)
            gains |= dict(zip(family, fitted.gains(family, ablation.baseline, pictures, to_come), strict=True))
    return gains


def reading_of(gain: Gain) -> str:
    """What a gain of enough runs reads as, one of :data:`READINGS`."""
    if gain.low > 0 or gain.high < 0:
        return "gain" if gain.low > 0 else "loss"
    return "within ±1 point" if gain.low_sameness > -SAME and gain.high_sameness < SAME else "undecided"


def _standing(pools: Pools, recipe: str, baseline: str, reading: str, later: str) -> str:
    """Whether a reading rests on runs that were seen when the rules were written."""
    records = [record for name in (recipe, baseline) for record in pools.full(name).records]
    if all(is_confirmatory(record) for record in records):
        return "confirmatory"
    return "confirmed" if reading == later != "undecided" else "exploratory"


def _row(pools: Pools, name: str, baseline: str) -> dict[str, object]:
    """A row of the table, with nothing yet about the gain."""
    recipe, group = get_recipe(name), pools.full(name)
    values = [float(scores.mean()) for scores in group.scores(HELD_OUT)] if group else []
    reading = ("undecided" if baseline else "baseline") if group else "not run"
    if baseline and group and not pools.full(baseline):
        reading = "too few: no run of the baseline"
    return dict.fromkeys(NUMBERS) | {
        "recipe": name,
        "baseline": baseline,
        "system": recipe.title,
        "dataset": recipe.dataset,
        "seeds": len(values),
        "precision": _counted(group.precisions) if group else "",
        "accuracy": _points(sum(values) / len(values) if values else None),
        "sd": _points(sample_sd(values)),
        "values": " ".join(f"{100 * value:.2f}" for value in values),
        "parameters": parameters(recipe.model, json.dumps(recipe.model_options)),
        "epochs": recipe.epochs,
        "reading": reading,
        "standing": "",
        "runs": " ".join(r.id for r in group.records if r.spec["seed"] in group.seeds) if group else "",
        **_spread(pools, name),
    }


def _spread(pools: Pools, recipe: str) -> dict[str, object]:
    fitted = pools.fit(recipe, HELD_OUT)
    if fitted is None:
        return {}
    return {"seed_sd": _points(fitted.sd), "freedom": fitted.freedom, "equal_p": fitted.equal_p}


def _numbers(measured: dict[Measure, Gain]) -> dict[str, object]:
    row: dict[str, object] = {}
    if gain := measured.get(HELD_OUT):
        row |= {
            "gain": 100 * gain.gain,
            "low": 100 * gain.low,
            "high": 100 * gain.high,
            "low_90": 100 * gain.low_sameness,
            "high_90": 100 * gain.high_sameness,
            "low_single": 100 * gain.low_single,
            "high_single": 100 * gain.high_single,
            "p": gain.p,
            "smallest": 100 * gain.smallest,
        }
    for measure, name in ((CHOSEN, "chosen"), (BRIER, "brier")):
        if gain := measured.get(measure):
            row |= {
                f"{name}_gain": 100 * gain.gain,
                f"{name}_low": 100 * gain.low,
                f"{name}_high": 100 * gain.high,
            }
    return row


def _counted(names: Sequence[str]) -> str:
    """``bfloat16 ×3, float32 ×2``."""
    return ", ".join(f"{name} ×{count}" for name, count in sorted(Counter(names).items()))


# ---------------------------------------------------------------- for a reader


def readable_gains(table: pd.DataFrame) -> pd.DataFrame:
    """A gain table for a reader: in words, numbers rounded; what has no runs is left out."""
    if table.empty:
        return pd.DataFrame(columns=table.columns)
    known = table[table["reading"] != "not run"]

    def accuracy(row: pd.Series) -> str:
        spread = "" if pd.isna(row["sd"]) else f" ± {row['sd']:.2f}"
        return f"{row['accuracy']:.2f}{spread}, n = {row['seeds']}"

    return pd.DataFrame(
        {
            "net": known["system"],
            "over": known["baseline"].map(lambda name: get_recipe(name).title if name else ""),
            "data": known["dataset"].map(dataset_title),
            "accuracy, %": known.apply(accuracy, axis=1) if len(known) else [],
            "gain, points": _signed(known["gain"]),
            "95 % interval": _between(known, "low", "high"),
            "90 % interval, alone": _between(known, "low_90", "high_90"),
            "smallest gain seen": known["smallest"].map(lambda value: "" if pd.isna(value) else f"{value:.1f}"),
            "reading": known["reading"],
            "runs": known["standing"],
            "PrivateTest, chosen epoch": _with_interval(known, "chosen"),
            "Brier score × 100": _with_interval(known, "brier"),
            "parameters": known["parameters"].map(lambda value: "" if pd.isna(value) else f"{value:,.0f}"),
            "precision": known["precision"],
        }
    )


def _signed(column: pd.Series) -> pd.Series:
    return column.map(lambda value: "" if pd.isna(value) else f"{value:+.2f}")


def _between(table: pd.DataFrame, low: str, high: str) -> list[str]:
    ends = zip(table[low], table[high], strict=True)
    return ["" if pd.isna(a) else f"{a:+.2f} to {b:+.2f}" for a, b in ends]


def _with_interval(table: pd.DataFrame, name: str) -> list[str]:
    gains, ends = _signed(table[f"{name}_gain"]), _between(table, f"{name}_low", f"{name}_high")
    return [f"{gain} ({interval})" if gain else "" for gain, interval in zip(gains, ends, strict=True)]


def family_sentences(table: pd.DataFrame) -> str:
    """What a reader must know beside a gain table: the spread of a seed, what the design could see, what is missing.

    Args:
        table: as :func:`gain_table` makes them, of one family or many.

    Returns:
        A sentence for each baseline that has runs, and one that counts the comparisons without any.
    """
    found = []
    for _, row in table[(table["baseline"] == "") & table["seed_sd"].notna()].iterrows():
        smallest = table.loc[table["baseline"] == row["recipe"], "smallest"].dropna()
        sentence = f"{row['system']}: a seed has a standard deviation of {row['seed_sd']:.2f} points"
        sentence += f" ({row['freedom']:.0f} degrees of freedom"
        if pd.notna(row["equal_p"]):
            sentence += f"; Bartlett's test of equal spread: p = {row['equal_p']:.2f}"
        sentence += ")"
        if len(smallest):
            least, most = f"{smallest.min():.1f}", f"{smallest.max():.1f}"
            sizes = least if least == most else f"{least} to {most}"
            sentence += f"; a gain of {sizes} points would be found in 80 of 100 such studies"
        found.append(f"{sentence}.")
    missing = int(((table["baseline"] != "") & (table["reading"] == "not run")).sum())
    if missing:
        found.append(f"{missing} comparison{'s have' * (missing > 1) or ' has'} no run of full length yet.")
    return " ".join(found)


def _points(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


@cache
def parameters(model: str, options: str = "{}") -> int | None:
    """Weights of a net for seven classes, its options given as JSON; None for a classical pipeline."""
    net = meta_net(model, **json.loads(options))
    return count_parameters(net) if net else None
