"""Every number the papers print beside ours."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from fer_lib.claims import NUMBERS as NUMBER_KINDS
from fer_lib.claims import Claim, list_claims
from fer_lib.metrics import summary
from fer_lib.recipe import get_recipe, list_recipes
from fer_lib.runs import RunRecord
from fer_lib.statistics import resampled_variance, share_variance
from fer_lib.study.gains import pair_up
from fer_lib.study.groups import DATASETS, Answers, Group, group_records
from fer_lib.study.verdicts import LEVELS, Verdict, judge_gain, judge_level

NUMBERS = ("ours", "sd", "gap", "low", "high", "epochs", "recipe_epochs")
"""Columns of a claim table that stay empty until there are runs."""


def claim_table(records: Sequence[RunRecord], paper: str | None = None) -> pd.DataFrame:
    """The printed numbers beside ours.

    Args:
        records: the study's runs.
        paper: only this paper's claims.

    Returns:
        One row per claim of a level, a gain or a recall: claim, paper, system, kind, measure (in words), dataset (the
        claim's), split, place, printed and ours (percent, of a gain points; on the validation set where the claim is
        about it, else on the test set), sd (points), values (ours, seed by seed), seeds, gap (points), low and high
        (ends of the interval), protocol (ours), epochs, recipe_epochs, verdict, footnote, recipe, runs (their names,
        separated by spaces).
    """
    groups = group_records(records)
    judged = [claim for claim in list_claims(paper) if claim.kind in NUMBER_KINDS]
    rows = [_gain_row(c, groups) if c.kind == "gain" else _level_row(c, groups) for c in judged]
    return pd.DataFrame(rows).astype(dict.fromkeys(NUMBERS, float))


def headline_claims(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a claim table that the papers are quoted for."""
    headlines = {claim.id for claim in list_claims() if claim.headline}
    return table[table["claim"].isin(headlines)].reset_index(drop=True)


def _level_row(claim: Claim, groups: Sequence[Group]) -> dict[str, object]:
    # The longest training of each recipe speaks for it.
    found = (g for g in groups if g.as_published and g.recipe == claim.recipe and g.seeds)
    group = next(found, None)
    answers = group.answers(_part(claim)) if group else None
    if answers is None:
        return _row(claim, judge_level(claim, [], 0, 0, 0))
    values, variance = _measured(claim, answers, group.classes)
    verdict = judge_level(claim, values, variance, group.epochs, group.recipe_epochs, group.chance)
    runs = [record for record in group.records if record.spec["seed"] in group.seeds]
    return _row(claim, verdict, values, group, runs)


def _gain_row(claim: Claim, groups: Sequence[Group]) -> dict[str, object]:
    pair = pair_up(groups, claim.recipe, claim.baseline, _part(claim)) if claim.tested else None
    if pair is None:
        row = _row(claim, judge_gain(claim, None, 0, 0))
        if any(group.as_published and group.recipe in (claim.recipe, claim.baseline) for group in groups):
            notes = (row["footnote"], "no seed with both recipes at one number of epochs yet")
            row["footnote"] = "; ".join(filter(None, notes))
        return row
    verdict = judge_gain(claim, pair.comparison, pair.ours.epochs, pair.ours.recipe_epochs)
    return _row(claim, verdict, pair.comparison.gains, pair.ours, pair.records)


def _part(claim: Claim) -> str:
    return "val" if claim.split == "val" else "test"


def _measured(claim: Claim, answers: Answers, classes: Sequence[str]) -> tuple[list[float], float]:
    """What a level or recall claim is about, measured for every seed, and the sampling variance of one value."""

    def measure(labels: np.ndarray, predicted: np.ndarray) -> float:
        found = summary(labels, predicted, len(classes))
        if claim.kind == "recall":
            return found["per_class_recall"][classes.index(claim.class_name)]
        return found[LEVELS[claim.metric]]

    values = [measure(answers.labels, predicted) for predicted in answers.predicted]
    if claim.kind == "recall":
        pictures = int((answers.labels == classes.index(claim.class_name)).sum())
    elif LEVELS[claim.metric] == "accuracy":
        pictures = len(answers.labels)
    else:  # no share of pictures
        return values, resampled_variance(measure, answers.labels, answers.predicted[0])
    return values, share_variance(float(np.mean(values)), pictures)


def _row(
    claim: Claim,
    verdict: Verdict,
    values: Sequence[float] = (),
    group: Group | None = None,
    runs: Sequence[RunRecord] = (),
) -> dict[str, object]:
    recipe = list_recipes().get(claim.recipe)
    text = verdict.text
    if text == "no run yet" and not claim.tested:
        text = "no run yet: recipe to come"
    return {
        "claim": claim.id,
        "paper": claim.paper,
        "system": claim.system,
        "kind": claim.kind,
        "measure": _measure_in_words(claim),
        "dataset": claim.dataset,
        "split": claim.split,
        "place": claim.place,
        "printed": claim.value * 100,
        "ours": _percent(verdict.mean),
        "sd": _percent(verdict.sd),
        "values": " ".join(f"{100 * value:.2f}" for value in values),
        "seeds": len(values),
        "gap": _percent(verdict.gap),
        "low": _percent(verdict.low),
        "high": _percent(verdict.high),
        "protocol": recipe.protocol if recipe else None,
        "epochs": group.epochs if group else None,
        "recipe_epochs": recipe.epochs if recipe else None,
        "verdict": text,
        "footnote": "; ".join(_footnotes(claim, verdict, group)),
        "recipe": claim.recipe or "",
        "runs": " ".join(record.id for record in runs),
    }


def _measure_in_words(claim: Claim) -> str:
    if claim.kind == "recall":
        return f"recall of {claim.class_name}"
    if claim.kind == "gain":
        baseline = list_recipes().get(claim.baseline)
        return f"gain over {baseline.title if baseline else claim.baseline}"
    return claim.metric if claim.metric.startswith("accuracy") else f"{claim.metric}, mean of classes"


def _footnotes(claim: Claim, verdict: Verdict, group: Group | None) -> list[str]:
    """What a reader must know beside the numbers."""
    notes = []
    if claim.dataset == "own" and claim.recipe:
        dataset = get_recipe(claim.recipe).dataset if claim.tested else claim.recipe.split("/")[-1]
        notes.append(f"ours on {DATASETS.get(dataset, dataset)}, the paper's pictures are not public")
    if claim.split == "val":
        notes.append("on the pictures that chose the epoch")
    if claim.split == "unstated" and claim.dataset == "fer2013":
        notes.append("the paper does not say which set; ours is PrivateTest")
    if group and group.epochs < group.recipe_epochs:
        notes.append(f"{group.epochs} of {group.recipe_epochs} epochs")
    if claim.kind == "gain" and verdict.low is not None:
        alone = verdict.low <= 0 <= verdict.high
        notes.append("no gain or loss beyond chance" if alone else "a gain" if verdict.low > 0 else "a loss")
    return notes


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else fraction * 100


# ---------------------------------------------------------------- for a reader

BRIEF = ("paper", "system", "data", "printed", "ours", "gap", "verdict")
"""Columns of the readable table where there is little room."""


def readable_claims(table: pd.DataFrame, runs_page: str | None = None) -> pd.DataFrame:
    """The claim table for a reader: numbers rounded, every short training marked.

    Args:
        table: of :func:`claim_table`.
        runs_page: where the runs are listed by recipe, to link to in Markdown; None for no links.
    """
    gain = table["kind"] == "gain"

    def signed(value: float, is_gain: bool) -> str:
        return f"{value:+.2f}" if is_gain else f"{value:.4g}"

    def ours(row: pd.Series) -> str:
        if pd.isna(row["ours"]):
            return "–"
        value = f"{row['ours']:+.1f}" if row["kind"] == "gain" else f"{row['ours']:.1f}"
        spread = "" if pd.isna(row["sd"]) else f" ± {row['sd']:.1f}"
        short = "" if row["epochs"] == row["recipe_epochs"] else f" ({_epochs(row)} epochs)"
        return f"{value}{spread}, n = {row['seeds']}{short}"

    def interval(row: pd.Series) -> str:
        if pd.isna(row["low"]):
            return "–"
        form = "{:+.1f} to {:+.1f}" if row["kind"] == "gain" else "{:.1f} to {:.1f}"
        return form.format(row["low"], row["high"])

    shown = pd.DataFrame(
        {
            "paper": table["paper"],
            "system": table["system"],
            "measure, %": table["measure"],
            "data": table["dataset"].map(lambda name: DATASETS.get(name, name))
            + table["split"].map({"val": ", validation"}).fillna(""),
            "printed": [signed(value, is_gain) for value, is_gain in zip(table["printed"], gain, strict=True)],
            "ours": table.apply(ours, axis=1),
            "gap": table["gap"].map(lambda gap: "–" if pd.isna(gap) else f"{round(gap, 1) + 0:+.1f}"),
            "95 % interval": table.apply(interval, axis=1),
            "protocol": table["protocol"].fillna("–"),
            "epochs": table.apply(_epochs, axis=1),
            "verdict": table["verdict"],
            "note": table["footnote"],
        }
    )
    if runs_page:
        pairs = zip(table["recipe"], table["runs"].str.split().map(len), strict=True)
        shown["runs"] = [f"[{count}]({runs_page}#{anchor(name)})" if count else "–" for name, count in pairs]
    return shown


def _epochs(row: pd.Series) -> str:
    if pd.isna(row["epochs"]):
        return "–"
    return f"{row['epochs']:.0f} of {row['recipe_epochs']:.0f}"


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading of a Markdown page."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
