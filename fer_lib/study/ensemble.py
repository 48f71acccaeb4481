"""Nets that vote: an ensemble of the ``best`` family, chosen on PublicTest alone and reported on PrivateTest."""

from collections.abc import Container, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from fer_lib.recipe import Recipe, list_recipes
from fer_lib.statistics import fit, picture_variance, sample_sd
from fer_lib.study.columns import DASH, Column, number, table_of
from fer_lib.study.groups import Group, check_same_pictures
from fer_lib.study.results import MIN_SEEDS, Study

FAMILY = "best"
COLUMNS = (
    "system", "nets", "seeds", "val_accuracy", "test_accuracy", "sd", "gain", "low", "high", "epochs", "recipe_epochs",
    "note", "runs",
)  # fmt: skip
SHOWN = (
    Column("system", "{system}"),
    Column("nets", "{nets}"),
    Column("seeds", "{seeds}"),
    number("PublicTest, %", "val_accuracy"),
    Column("PrivateTest, %", "{test_accuracy:.2f}[ ± {sd:.2f}]", DASH),
    number("gain, points", "gain", "+.2f"),
    Column("95 % interval", "{low:+.2f} to {high:+.2f}", DASH),
    Column("epochs", "{epochs:.0f} of {recipe_epochs}", DASH),
    Column("note", "{note}"),
)


def ensemble_table(study: Study) -> pd.DataFrame:
    """The nets of the ``best`` family, alone and together.

    An ensemble averages the test-time-augmented probabilities of its members, nets of one seed each. Of all sets of
    two or more members the one with the best mean PublicTest accuracy over the seeds is chosen, of equals the
    smallest, then the first; PrivateTest has no say in it.

    Args:
        study: the study's results.

    Returns:
        One row per net alone, then the chosen ensemble, that of all members, and the chosen one with the nets of all
        seeds in one: system, nets (members of an ensemble), seeds, val_accuracy and test_accuracy (percent, mean over
        seeds), sd (points, on test), gain (test points over the member best on PublicTest) with its interval low to
        high, epochs, recipe_epochs, note, runs.
    """
    recipes = {name: recipe for name, recipe in list_recipes().items() if name.startswith(f"{FAMILY}/")}
    groups = {name: group for name, group in study.longest.items() if name in recipes and group.has("val")}
    seeds = tuple(sorted(set.intersection(*(set(group.seeds) for group in groups.values())))) if groups else ()
    rows = [_member_row(recipe, groups.get(name)) for name, recipe in recipes.items()]
    if len(groups) > 1 and seeds:
        rows += _ensemble_rows(list(groups.values()), seeds)
    return table_of(rows, COLUMNS)


def _member_row(recipe: Recipe, group: Group | None) -> dict[str, object]:
    if group is None:
        return {"system": recipe.title, "nets": 1, "seeds": 0, "recipe_epochs": recipe.epochs, "note": "no run yet"}
    right = [group.answers(part).correct for part in ("val", "test")]
    note = "" if len(group.seeds) >= MIN_SEEDS else f"{len(group.seeds)} of {MIN_SEEDS} seeds"
    if group.epochs < recipe.epochs:
        note = f"{group.epochs} of {recipe.epochs} epochs"
    return _row(recipe.title, 1, right, [group], group.seeds, note)


def _ensemble_rows(groups: list[Group], seeds: tuple[int, ...]) -> list[dict[str, object]]:
    answers = {part: [group.answers(part, seeds) for group in groups] for part in ("val", "test")}
    votes = {part: [np.stack(group.shares(part, seeds)) for group in groups] for part in ("val", "test")}

    for part, found in answers.items():
        for group, theirs in zip(groups, found, strict=True):
            check_same_pictures(groups[0].records[0], answers[part][0].labels, group.records[0], theirs.labels)

    def correct(part: str, members: Sequence[int]) -> np.ndarray:
        """Whether the members together are right, bool [seeds, N]."""
        return np.mean([votes[part][m] for m in members], 0).argmax(-1) == answers[part][0].labels

    everyone = tuple(range(len(groups)))
    sets = [members for size in everyone[2:] for members in combinations(everyone, size)] + [everyone]
    chosen = max(sets, key=lambda members: correct("val", members).mean())  # the first of equals
    best = max(everyone, key=lambda member: answers["val"][member].correct.mean())
    rows = []
    for label, members in (("chosen on PublicTest", chosen), ("all members", everyone)):
        right = [correct(part, members) for part in ("val", "test")]
        used = [groups[m] for m in members]
        note = f"{', '.join(_title(group) for group in used)}; gain over {_title(groups[best])}"
        row = _row(f"ensemble, {label}", len(members), right, used, seeds, note)
        test, single = right[1], answers["test"][best].correct
        row["gain"] = 100 * float(test.mean() - single.mean())
        # An ensemble holds the nets of its own seed, so that the two are compared seed by seed.
        by_seed = [(seed,) for seed in seeds]
        means = fit({"ensemble": test.mean(1), "best": single.mean(1)}, {"ensemble": by_seed, "best": by_seed})
        if means.sd is not None:
            (gained,) = means.gains(["ensemble"], "best", [picture_variance(test, single)])
            row |= {"low": 100 * gained.low, "high": 100 * gained.high}
        rows.append(row)
    if len(seeds) > 1:
        shares = {part: np.mean([votes[part][m] for m in chosen], (0, 1)) for part in ("val", "test")}
        right = [(shares[part].argmax(-1) == answers[part][0].labels)[None] for part in ("val", "test")]
        used = [groups[m] for m in chosen]
        system, nets = "ensemble, chosen, all seeds in one", len(chosen) * len(seeds)
        rows.append(_row(system, nets, right, used, seeds, "one ensemble"))
    return rows


def _row(
    system: str, nets: int, right: Sequence[np.ndarray], groups: Sequence[Group], seeds: Container[int], note: str
) -> dict[str, object]:
    val, test = right
    shortest = min(groups, key=lambda group: group.epochs / group.recipe_epochs)
    return {
        "system": system,
        "nets": nets,
        "seeds": len(test),
        "val_accuracy": 100 * float(val.mean()),
        "test_accuracy": 100 * float(test.mean()),
        "sd": 100 * sample_sd(test.mean(1)),
        "epochs": shortest.epochs,
        "recipe_epochs": shortest.recipe_epochs,
        "note": note,
        "runs": " ".join(group.run_ids(seeds) for group in groups),
    }


def _title(group: Group) -> str:
    return list_recipes()[group.recipe].title
