"""What CK+ accuracies measure: one classifier under every protocol that CK+ is split by.

Frames of one film are nearly one picture. Where a protocol puts them on both sides, an accuracy says how well a
classifier finds a picture again; where it keeps persons apart, how well it reads somebody new.
"""

import json

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from fer_lib import plots
from fer_lib.claims import list_claims
from fer_lib.clusters import by_person, difference_interval
from fer_lib.data import PROTOCOLS, FaceDataset, is_drawn, run_parts
from fer_lib.data.folds import PROTOCOL_WORDS, kind_of
from fer_lib.models.classical import build_classical
from fer_lib.recipe import Recipe, get_recipe, list_recipes, paper_names
from fer_lib.statistics import sample_sd
from fer_lib.study.columns import Column, readable, table_of
from fer_lib.study.films import DRAWS, answers_by_person, check_films, met_in_training, tested, tested_of_ckplus
from fer_lib.study.gains import counted
from fer_lib.study.groups import Group, training_but
from fer_lib.study.results import Study, once

REACH = (
    "claim", "paper", "printed_system", "headline", "split", "printed", "recipe", "system", "seeds", "reached",
    "accuracy", "lowest", "highest",
)  # fmt: skip

WORDS = {kind: words for kind, words in PROTOCOL_WORDS.items() if kind != "official"}
"""The protocols of CK+ in words."""

HEAD = (
    "recipe", "system", "family", "split", "protocol", "epochs", "recipe_epochs", "seeds", "precision", "folds",
    "test_pictures",
)  # fmt: skip
NUMBERS = (
    "same_sequence", "same_subject", "accuracy", "accuracy_sd", "lowest", "highest", "low", "high", "inflation",
    "inflation_low", "inflation_high",
)  # fmt: skip


# ---------------------------------------------------------------- the study's runs


@once
def protocol_audit(study: Study) -> pd.DataFrame:
    """CK+ under several protocols: how much of an accuracy is the protocol's.

    Returns:
        One row per system and protocol, of systems for which the study has several: family (its first recipe), split (a
        key of WORDS), seeds (draws where the split is drawn), precision (how many in which), folds, test pictures of a
        seed, the shares of them of whose sequence and subject training has another picture; accuracy (mean over seeds,
        the recipe's test views), its sd, lowest and highest seed; low and high, the 95 % interval of the mean by
        bootstrap over persons; and ``inflation``, the accuracy minus that of the same system on subject-independent
        folds split alike (fixed or drawn), with its interval. Percent and points.
    """
    groups = study.longest
    rows = []
    for variants in _systems():
        for recipe in variants:
            group = groups.get(recipe.name)
            row = {
                "recipe": recipe.name,
                "system": recipe.title,
                "family": variants[0].name,
                "split": kind_of(recipe.protocol),
                "protocol": recipe.protocol,
                "recipe_epochs": recipe.epochs,
                "seeds": 0,
                "precision": "",
                "folds": PROTOCOLS[recipe.protocol],
                "test_pictures": len(tested_of_ckplus(recipe.protocol, 0).pictures),
            }
            honest = next((groups[r.name] for r in variants if _is_honest_for(r, recipe) and r.name in groups), None)
            rows.append(row | _measured(recipe, group, honest))
    return table_of(rows, [*HEAD, *NUMBERS], NUMBERS)


def _measured(recipe: Recipe, group: Group | None, honest: Group | None) -> dict[str, object]:
    seeds = group.seeds if group else range(DRAWS if is_drawn(recipe.protocol) else 1)
    row: dict[str, object] = {**met_in_training([tested_of_ckplus(recipe.protocol, seed) for seed in seeds])}
    if group is None:
        return row
    found, values = answers_by_person(group), 100 * np.array(group.accuracies())
    row |= {
        "seeds": len(group.seeds),
        "precision": counted(group.precisions),
        "epochs": group.epochs,
        "accuracy": float(values.mean()),
        "accuracy_sd": sample_sd(values),
        "lowest": float(values.min()),
        "highest": float(values.max()),
    }
    row["low"], row["high"] = (100 * end for end in found.interval)
    if honest and honest is not group and honest.epochs == group.epochs:
        ends = difference_interval(found, answers_by_person(honest))
        row["inflation"] = float(values.mean() - 100 * np.mean(honest.accuracies()))
        row["inflation_low"], row["inflation_high"] = (100 * end for end in ends)
    return row


def _systems() -> list[list[Recipe]]:
    """CK+ recipes that differ in the protocol alone, in the protocols' order; systems with one protocol left out."""
    families: dict[str, list[Recipe]] = {}
    for recipe in list_recipes().values():
        if recipe.dataset == "ckplus":
            alike = json.dumps(training_but(recipe.training(), "name", "protocol"), sort_keys=True)
            families.setdefault(alike, []).append(recipe)
    order = list(WORDS)
    return [
        sorted(variants, key=lambda recipe: (order.index(kind_of(recipe.protocol)), is_drawn(recipe.protocol)))
        for variants in families.values()
        if len(variants) > 1
    ]


def _is_honest_for(candidate: Recipe, recipe: Recipe) -> bool:
    """Whether a recipe's folds keep persons apart, and are fixed or drawn as the other's split is. The copied folds are
    fixed for everybody, and held against whichever there are."""
    fits = is_drawn(candidate.protocol) == is_drawn(recipe.protocol) or recipe.protocol == "copied_10fold"
    return kind_of(candidate.protocol) == "subject_10fold" and fits


SHOWN = (
    Column("system", "{system:system}"),
    Column("split", "{protocol:split}"),
    Column("drawn", lambda row: "by the seed" if is_drawn(row["protocol"]) else "once"),
    Column("seeds", "{seeds}"),
    Column("precision", "{precision}"),
    Column("same film, %", "{same_sequence:.0f}"),
    Column("same person, %", "{same_subject:.0f}"),
    Column("accuracy ± sd, %", "{accuracy:.1f}[ ± {accuracy_sd:.1f}]"),
    Column("lowest to highest", lambda row: "" if row["seeds"] < 2 else "{lowest:.1f} to {highest:.1f}"),
    Column("95 %, other persons", "{low:.1f} to {high:.1f}"),
    Column("more than by person", "{inflation:+.1f} ({inflation_low:+.1f} to {inflation_high:+.1f})"),
)


def readable_protocols(table: pd.DataFrame) -> pd.DataFrame:
    """The same for a reader; systems without runs are left out."""
    return readable(table[table["accuracy"].notna()], SHOWN)


def printed_accuracies() -> pd.DataFrame:
    """What the papers print of CK+, at the splits that it can belong to.

    Returns:
        One row per printed accuracy and split: claim, paper, system, split (a key of WORDS), value (percent), headline.
        A paper that does not say which kind of ten folds it means has a row at each.
    """
    rows = []
    for claim in list_claims():
        if claim.kind == "level" and claim.dataset == "ckplus" and claim.recipe:
            kind = kind_of(get_recipe(claim.recipe).protocol)
            # zhang section IV.A: "10-fold cross-validation", kind unstated.
            splits = [split for split in WORDS if split.endswith("10fold")] if kind.endswith("10fold") else [kind]
            rows += [
                (claim.id, claim.paper, claim.system, split, 100 * claim.number, claim.headline) for split in splits
            ]
    columns = ["claim", "paper", "system", "split", "value", "headline"]
    return pd.DataFrame(rows, columns=columns).astype({"headline": bool})


def reach_table(study: Study) -> pd.DataFrame:
    """How often classifiers that the papers would not propose reach what the papers print of CK+.

    Returns:
        One row per printed accuracy, split that it can belong to and system with runs at that split: claim, paper,
        printed_system, headline, split, printed, recipe, system, seeds, reached (seeds that reach it), accuracy (mean),
        lowest and highest. Percent.
    """
    rows = []
    for recipe in (recipe for variants in _systems() for recipe in variants):
        # This study's own files on CK+, whose splits are drawn where they have a draw.
        if recipe.name.split("/")[0] in ("ckplus", "ckplus_classical") and recipe.name in study.longest:
            values = 100 * np.array(study.longest[recipe.name].accuracies())
            system, split = recipe.title.split(",")[0], kind_of(recipe.protocol)
            rows.append((recipe.name, system, split, len(values), values.mean(), values.min(), values.max(), values))
    columns = ["recipe", "system", "split", "seeds", "accuracy", "lowest", "highest", "values"]
    printed = printed_accuracies().rename(columns={"system": "printed_system", "value": "printed"})
    table = printed.merge(pd.DataFrame(rows, columns=columns), on="split")
    goals = zip(table["values"], table["printed"].round(2), strict=True)
    table["reached"] = [int((values.round(2) >= goal).sum()) for values, goal in goals]
    return table[list(REACH)]


def readable_reach(table: pd.DataFrame) -> pd.DataFrame:
    """The same for a reader: a row a printed accuracy and split, a column a system."""
    if table.empty:
        return pd.DataFrame(columns=["paper", "printed, %", "split"])
    cells = table["reached"].astype(str) + " of " + table["seeds"].astype(str)
    shown = table.assign(
        paper=table["paper"].map(paper_names()),
        net=table["printed_system"],
        split=table["split"].map(WORDS),
        cell=cells,
        **{"printed, %": table["printed"].round(2)},
    )
    wide = shown.pivot(index=["paper", "net", "printed, %", "split"], columns="system", values="cell")
    order = list(dict.fromkeys(zip(shown["paper"], shown["net"], shown["printed, %"], shown["split"], strict=True)))
    return wide.reindex(order)[list(dict.fromkeys(shown["system"]))].fillna("").reset_index().rename_axis(columns=None)


def protocol_figure(table: pd.DataFrame) -> Figure:
    """The table of :func:`protocol_audit` with what the papers print."""
    printed = printed_accuracies()
    return plots.protocols(table, printed.assign(paper=printed["paper"].map(paper_names())), WORDS)


# ---------------------------------------------------------------- any dataset, on the spot


TRIED = ("split", "same film, %", "same person, %", "accuracy ± sd, %", "95 %, other persons")
"""What :func:`measure` can tell, of :data:`SHOWN`."""


def readable_measure(table: pd.DataFrame) -> pd.DataFrame:
    """What :func:`measure` gives of one pipeline, for a reader."""
    return readable(table, [column for column in SHOWN if column.title in TRIED])


def measure(dataset: FaceDataset, draws: int = 3) -> pd.DataFrame:
    """The nearest neighbour on pixels under the drawn protocols, on pictures at hand: nothing is recorded.

    Args:
        dataset: pictures with subjects and sequences.
        draws: of each split.

    Returns:
        One row per protocol: protocol, same_sequence, same_subject, accuracy, accuracy_sd, low and
        high (95 %, bootstrap over persons). Percent.

    Raises:
        UserError: the dataset does not say who is shown, and in which film.
    """
    names, person = np.unique(check_films(dataset)[0], return_inverse=True)
    rows = []
    model = build_classical("pixels_nn", num_classes=len(dataset.classes))
    features = model.describe(torch.from_numpy(dataset.images).unsqueeze(1))
    for protocol in (f"{kind}_drawn" for kind in WORDS if f"{kind}_drawn" in PROTOCOLS):
        drawn = [tested(dataset, protocol, seed) for seed in range(draws)]
        right = []
        for seed in range(draws):
            folds = []
            for part in run_parts(dataset, protocol, None, seed):
                model.fit_features(features[part.train], dataset.labels[part.train])
                folds.append(model.probabilities(features[part.test]).argmax(1) == dataset.labels[part.test])
            right.append(np.concatenate(folds))
        shown = person[np.concatenate([draw.pictures for draw in drawn])]
        low, high = by_person(shown, np.concatenate(right), len(names)).interval
        accuracies = [100 * float(mask.mean()) for mask in right]
        rows.append(
            {
                "protocol": protocol,
                **met_in_training(drawn),
                "accuracy": float(np.mean(accuracies)),
                "accuracy_sd": sample_sd(accuracies),
                "low": 100 * low,
                "high": 100 * high,
            }
        )
    return pd.DataFrame(rows)
