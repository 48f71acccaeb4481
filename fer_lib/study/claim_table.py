"""Every number the papers print beside ours, and the verdict on it."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_lib import plots
from fer_lib.claims import LEVELS, Claim, list_claims
from fer_lib.claims import NUMBERS as KINDS_OF_NUMBER
from fer_lib.data.catalog import dataset_title
from fer_lib.data.folds import kind_of
from fer_lib.metrics import summary
from fer_lib.recipe import Recipe, get_recipe, list_recipes, paper_names
from fer_lib.statistics import fit, one_more_fit, sample_sd
from fer_lib.study.columns import Column, Row, readable, table_of
from fer_lib.study.evidence import paper_finding
from fer_lib.study.groups import CHOSEN, Group, Measure
from fer_lib.study.results import MIN_SEEDS, Study, once
from fer_lib.study.verdicts import EXCEEDED, NOT_RUN, NOT_TESTABLE, OPEN, STAND_IN, judge_gain, judge_level

COLUMNS = (
    "claim", "paper", "system", "kind", "measure", "dataset", "split", "place", "fidelity", "printed", "ours", "sd",
    "values", "seeds", "low", "high", "runs", "protocol", "epochs", "recipe_epochs", "verdict", "settled", "finding",
    "note", "recipe",
)  # fmt: skip
NUMBERS = ("ours", "sd", "low", "high", "epochs", "recipe_epochs")
"""Columns of a claim table that stay empty until there are runs."""

VALIDATED = Measure(("val",), "val_selected")
"""For claims about the pictures that chose the epoch."""


@once
def claim_table(study: Study, paper: str | None = None) -> pd.DataFrame:
    """The printed numbers beside ours.

    Args:
        study: the study's results.
        paper: only this paper's claims.

    Returns:
        One row per claim of a level, a gain or a recall: claim, paper, system, kind, measure (in words), dataset (the
        claim's), split, place, fidelity (of our test), printed and ours (percent, of a gain points; ours only from
        runs of the recipe's length, on the validation set where the claim is about it, else on the test set), sd
        (points), values (ours, seed by seed), seeds, low and high (ends of the interval for one new run or pair),
        protocol (ours), epochs, recipe_epochs, verdict, settled (the verdict of the paper's own numbers, whatever runs
        say; empty for none), finding (its calculation), note, recipe, runs (their names, separated by spaces).
    """
    judged = [claim for claim in list_claims(paper) if claim.kind in KINDS_OF_NUMBER]
    return table_of([_row(claim, study) for claim in judged], COLUMNS, NUMBERS)


def headline_claims(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a claim table that the papers are quoted for."""
    headlines = {claim.id for claim in list_claims() if claim.headline}
    return table[table["claim"].isin(headlines)].reset_index(drop=True)


def _row(claim: Claim, study: Study) -> dict[str, object]:
    recipe = list_recipes().get(claim.recipe or "")
    found = _gain(claim, study) if claim.kind == "gain" else _level(claim, study)
    finding = paper_finding(claim)
    verdict, note = found.pop("verdict", NOT_RUN), found.pop("note", "")
    if claim.dataset == "own" and claim.kind != "gain":
        verdict = NOT_TESTABLE
    few = math.isnan(found.get("low", math.nan))  # too few runs for an interval, which judges
    if few and claim.kind == "level" and (better := _exceeding(claim, study)):
        verdict, note = EXCEEDED, better
    if finding and verdict != EXCEEDED and (few or claim.kind == "gain"):
        verdict = finding.word
    return {
        "claim": claim.id,
        "paper": claim.paper,
        "system": claim.system,
        "kind": claim.kind,
        "measure": _measure_in_words(claim),
        "dataset": claim.dataset,
        "split": claim.split,
        "place": claim.place,
        "fidelity": claim.fidelity,
        "printed": claim.number * 100,
        **{"values": "", "seeds": 0, "runs": ""},
        **found,
        "protocol": recipe and recipe.protocol,
        "epochs": recipe.epochs if found and recipe else None,
        "recipe_epochs": recipe and recipe.epochs,
        "verdict": verdict,
        "settled": finding.word if finding else "",
        "finding": finding.sentence if finding else "",
        "note": "; ".join(filter(None, [note, *_notes(claim, study)])),
        "recipe": claim.recipe or "",
    }


def _level(claim: Claim, study: Study) -> dict[str, Any]:
    group = study.full(claim.recipe)
    if group is None or claim.dataset == "own":
        return {}
    name = group.recipe
    values = _measured(claim, group)
    if not values:
        return {}
    accuracy = claim.kind == "level" and LEVELS[claim.metric] == "accuracy"
    spread = study.fit(name, _measure(claim), False) if accuracy else fit({name: values})
    interval, pictures = None, study.own_pictures(name)
    if not group.chance:
        interval = one_more_fit(values[0], pictures)
    elif spread and len(values) >= MIN_SEEDS:
        interval = spread.one_more(values, pictures)
    verdict = judge_level(claim.number, interval, claim.fidelity or "", claim.metric.endswith("upper bound"))
    return _beside(values, interval, verdict, [group])


def _gain(claim: Claim, study: Study) -> dict[str, Any]:
    ours, baseline = study.full(claim.recipe), study.full(claim.baseline)
    if not (ours and baseline):
        return {}
    measure = _measure(claim)
    with_it, without = ([float(scores.mean()) for scores in group.scores(measure)] for group in (ours, baseline))
    interval, fitted = None, study.fit(ours.recipe, measure)
    if fitted and min(len(with_it), len(without)) >= MIN_SEEDS:
        pictures = study.own_pictures_of_gain(ours.recipe, baseline.recipe, measure)
        interval = fitted.one_more_pair(with_it, without, pictures)
    verdict = judge_gain(claim.number, interval, claim.fidelity or "")
    return _beside([float(np.mean(with_it) - np.mean(without))], interval, verdict, [ours, baseline])


def _beside(
    values: Sequence[float], interval: tuple[float, float] | None, verdict: str, groups: Sequence[Group]
) -> dict[str, Any]:
    low, high = interval or (math.nan, math.nan)
    return {
        "ours": 100 * float(np.mean(values)),
        "sd": 100 * sample_sd(values),
        "values": " ".join(f"{100 * value:.2f}" for value in values),
        "seeds": min(len(group.seeds) for group in groups),
        "low": 100 * low,
        "high": 100 * high,
        "verdict": verdict,
        "runs": " ".join(group.run_ids() for group in groups),
    }


def _measure(claim: Claim) -> Measure:
    return VALIDATED if claim.split == "val" else CHOSEN


def _measured(claim: Claim, group: Group) -> list[float]:
    """What a level or recall claim is about, for every seed."""
    (part,) = _measure(claim).parts
    found = [summary(labels, predicted, len(group.classes)) for labels, predicted in group.classified(part)]
    if claim.kind == "recall":
        return [each["per_class_recall"][group.classes.index(claim.class_name)] for each in found]
    return [each[LEVELS[claim.metric]] for each in found]


def _exceeding(claim: Claim, study: Study) -> str:
    """The simplest of our systems of which one new run is above a printed accuracy; empty for none.

    Simpler than the claim's net is a net with fewer weights, or none; the net itself, trained for fewer epochs, counts
    too, and where ours is a stand-in the net's size is unknown and is not compared. On FER2013 the candidate is
    the one that PublicTest likes best. On CK+, on drawn splits, they are tried by the number of their weights, with
    bounds that hold for all of them at once.
    """
    recipe = list_recipes().get(claim.recipe or "")
    if recipe is None or not claim.metric.startswith("accuracy") or claim.split == "val":
        return ""
    official, stand_in = recipe.protocol == "official", claim.fidelity == STAND_IN
    split = (recipe.dataset, "official" if official else f"{kind_of(recipe.protocol)}_drawn")
    most = np.nan_to_num(study.parameters(recipe))
    candidates = []
    for name, group in study.longest.items():
        other = get_recipe(name)
        weights = np.nan_to_num(study.parameters(other))
        if (other.dataset, other.protocol) == split and (weights < most or name == recipe.name or stand_in):
            candidates.append((weights, group))
    if official:
        candidates = sorted(candidates, key=lambda found: -np.mean(found[1].accuracies("val") or [0]))[:1]
    for weights, group in sorted(candidates, key=lambda found: found[0]):
        low = study.least_of_one_more(group, len(candidates))
        if low is not None and low > claim.number:
            size = f"{weights / 1e6:.2f} million weights, {group.epochs} epochs" if weights else "no net"
            mean, seeds = 100 * np.mean(group.accuracies()), len(group.seeds)
            return (
                f"by {get_recipe(group.recipe).title} ({size}): {mean:.1f} %, n = {seeds}, "
                f"one more above {100 * low:.1f}"
            )
    return ""


def _measure_in_words(claim: Claim) -> str:
    if claim.kind == "recall":
        return f"recall of {claim.class_name}"
    if claim.kind == "gain":
        baseline = list_recipes().get(claim.baseline or "")
        return f"gain over {baseline.title if baseline else claim.baseline}"
    return claim.metric if claim.metric.startswith("accuracy") else f"{claim.metric}, mean of classes"


def _notes(claim: Claim, study: Study) -> list[str]:
    """What a reader must know beside the numbers."""
    notes = []
    if claim.split == "10-fold" and claim.kind == "level":
        by_picture = _by_picture(get_recipe(claim.recipe or ""), study)
        notes.append(f"the paper does not say what its folds keep apart; ours keep persons apart{by_picture}")
    if claim.dataset == "own" and claim.kind == "gain":
        dataset = get_recipe(claim.recipe or "").dataset
        notes.append(f"ours on {dataset_title(dataset)}, the paper's pictures are not public")
    if claim.split == "val":
        notes.append("on the pictures that chose the epoch")
    if claim.split == "unstated" and claim.dataset == "fer2013":
        notes.append("the paper does not say which set; ours is PrivateTest")
    if claim.fidelity == STAND_IN:
        notes.append("our test is a stand-in, which excludes nothing")
    return notes


def _by_picture(recipe: Recipe, study: Study) -> str:
    """What the same model has where the folds are drawn by picture."""
    for name, group in study.longest.items():
        other = get_recipe(name)
        alike = (other.model, other.dataset, other.epochs) == (recipe.model, recipe.dataset, recipe.epochs)
        if alike and kind_of(other.protocol) == "picture_10fold":
            return f", and by picture the same has {100 * np.mean(group.accuracies()):.1f} %"
    return ""


# ---------------------------------------------------------------- for a reader

BRIEF = ("paper", "system", "data", "printed, %", "ours, %", "fidelity", "verdict")
"""Columns of the readable table where there is little room."""


def _of_kind(level: str, gain: str) -> Callable[[Row], str]:
    return lambda row: gain if row["kind"] == "gain" else level


SHOWN = (
    Column("paper", "{paper:paper}"),
    Column("system", "{system}"),
    Column("measure", "{measure}"),
    Column("data", lambda row: "{dataset:data}" + ", validation" * (row["split"] == "val")),
    Column("printed, %", _of_kind("{printed:.4g}", "{printed:+.2f}")),
    Column("ours, %", _of_kind("{ours:.1f}[ ± {sd:.1f}], n = {seeds}", "{ours:+.1f}[ ± {sd:.1f}], n = {seeds}")),
    Column("one new run, 95 %", _of_kind("{low:.1f} to {high:.1f}", "{low:+.1f} to {high:+.1f}")),
    Column("fidelity", "{fidelity}"),
    Column("verdict", "{verdict}"),
    Column("note", lambda row: "; ".join(f"{{{key}}}" for key in ("finding", "note") if row[key])),
)


def readable_claims(table: pd.DataFrame, runs_page: str | None = None) -> pd.DataFrame:
    """The claim table for a reader, numbers rounded.

    Args:
        table: of :func:`claim_table`.
        runs_page: where the runs are listed by recipe, to link to in Markdown; None for no links.
    """
    shown = readable(table, SHOWN)
    if runs_page:
        pairs = zip(table["recipe"], table["runs"].str.split().map(len), strict=True)
        shown["runs"] = [f"[{count}]({runs_page}#{anchor(name)})" if count else "" for name, count in pairs]
    return shown


def judged_claims(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a claim table that have a verdict, without what the papers' own numbers say, which has a table of
    its own, the paper where it is one, and empty columns."""
    shown = readable_claims(table[~table["verdict"].isin(OPEN)].assign(finding=""))
    if table["paper"].nunique() < 2:
        shown = shown.drop(columns="paper")
    return shown if shown.empty else shown.loc[:, (shown != "").any()]


def claim_figure(table: pd.DataFrame) -> Figure:
    """The accuracies and recalls of a claim table."""
    return plots.claims(table.replace({"paper": paper_names()}))


def gain_figure(table: pd.DataFrame) -> Figure:
    """The gains of a claim table."""
    return plots.gain_claims(table.replace({"paper": paper_names()}))


def open_sentence(table: pd.DataFrame) -> str:
    """How many rows of a claim table have a verdict, how many wait for runs, and how many nobody can test."""
    waiting, never = (int((table["verdict"] == word).sum()) for word in (NOT_RUN, NOT_TESTABLE))
    parts = [f"{len(table)} rows: {len(table) - waiting - never} below"]
    parts += [f"{waiting} that no run of the paper's length has tested yet"] * bool(waiting)
    return ", ".join(parts + [f"{never} that cannot be tested"] * bool(never)) + "."


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading of a Markdown page."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
