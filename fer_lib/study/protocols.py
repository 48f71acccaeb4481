"""What CK+ accuracies measure: one classifier under every protocol that CK+ is split by.

Frames of one film are nearly one picture. Where a protocol puts them on both sides, an accuracy says how well a
classifier finds a picture again; where it keeps persons apart, how well it reads somebody new.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from fer_lib import plots
from fer_lib.claims import list_claims
from fer_lib.clusters import ByPerson, by_person, difference_interval
from fer_lib.data import PROTOCOLS, FaceDataset, is_drawn, run_parts
from fer_lib.data.facts import load_facts
from fer_lib.errors import UserError
from fer_lib.models import create_model
from fer_lib.recipe import Recipe, get_recipe, list_recipes, paper_names
from fer_lib.runs import RunRecord
from fer_lib.statistics import sample_sd
from fer_lib.study.groups import Group, group_records, longest_groups

REACH = (
    "claim", "paper", "printed_system", "headline", "split", "printed", "recipe", "system", "seeds", "reached",
    "accuracy", "lowest", "highest",
)  # fmt: skip

DRAWS = 20
"""Draws of a split over which its neighbours are counted."""

WORDS = {
    "subject_10fold": "10 folds, by person",
    "copied_10fold": "10 folds, copied code",
    "picture_2to1": "2:1, by picture",
    "picture_90_10": "90/10, by picture",
    "picture_10fold": "10 folds, by picture",
}
"""The protocols in words, in the order of what they put on both sides: nothing, the person, the film."""

HEAD = (
    "recipe", "system", "family", "split", "protocol", "epochs", "recipe_epochs", "seeds", "folds", "test_pictures",
)  # fmt: skip
NUMBERS = (
    "same_sequence", "same_subject", "accuracy", "accuracy_sd", "lowest", "highest", "low", "high", "inflation",
    "inflation_low", "inflation_high",
)  # fmt: skip


def kind_of(protocol: str) -> str:
    """The protocol whether fixed or drawn, a key of :data:`WORDS`."""
    return protocol.removesuffix("_drawn")


# ---------------------------------------------------------------- persons, films and frames

PUBLISHED = {
    "persons": 118,
    "films": 327,
    "pictures": 981,
    "test pictures, 2:1": 327,
    "test pictures, copied folds": 990,
}
"""Of CK+'s labelled films (Lucey et al. 2010; 123 persons with the unlabelled ones), its usual copy, and its splits."""


def film_counts(dataset: FaceDataset) -> pd.DataFrame:
    """Persons, films, pictures and what the splits test, beside what is published of CK+.

    Args:
        dataset: pictures with subjects and sequences.

    Returns:
        One row per count: here, and published, for CK+.

    Raises:
        UserError: a copy of CK+ whose counts are not the published ones, naming them; or a dataset that does not say
            who is shown, and in which film.
    """
    _check_films(dataset)
    is_ckplus = dataset.name == "ckplus"
    here = {
        "persons": len(np.unique(dataset.subject)),
        "films": len(np.unique(dataset.sequence)),
        "pictures": len(dataset),
        "test pictures, 2:1": len(tested(dataset, "picture_2to1", 0).pictures),
    }
    if is_ckplus:
        wrong = [f"{here[name]} {name} for {PUBLISHED[name]}" for name in here if here[name] != PUBLISHED[name]]
        if wrong:
            raise UserError(
                f"{dataset.source} is not CK+ as published: {', '.join(wrong)}; `fer data check` says what is missing"
            )
        here["test pictures, copied folds"] = len(tested(dataset, "copied_10fold", 0).pictures)
    table = pd.DataFrame({"here": here})
    return table.assign(published=pd.Series(PUBLISHED)) if is_ckplus else table


def film_distances(dataset: FaceDataset) -> pd.DataFrame:
    """How far the nearest picture is: of the same film, of the same person elsewhere, of another person.

    Args:
        dataset: pictures with subjects and sequences.

    Returns:
        One row for each of the three: the median over pictures of the root mean square difference of pixels to the
        nearest such picture (grey levels of 255), and the share of pictures of which it is the nearest of all
        (percent).
    """
    _check_films(dataset)
    flat = dataset.images.reshape(len(dataset), -1).astype(np.float64)
    square = (flat**2).sum(1)
    far = np.sqrt(np.maximum(square[:, None] + square - 2 * flat @ flat.T, 0) / flat.shape[1])
    np.fill_diagonal(far, np.inf)
    film = dataset.sequence[:, None] == dataset.sequence
    person = dataset.subject[:, None] == dataset.subject
    kinds = {"the same film": film, "the same person, another film": person & ~film, "another person": ~person}
    nearest = {name: np.where(mask, far, np.inf).min(1) for name, mask in kinds.items()}
    first = np.argmin(list(nearest.values()), axis=0)
    rows = {
        name: {
            "median difference, grey levels": float(np.median(at[np.isfinite(at)])),
            "is the nearest of all, %": 100 * float((first == number).mean()),
        }
        for number, (name, at) in enumerate(nearest.items())
    }
    return pd.DataFrame.from_dict(rows, orient="index").round(1)


def _check_films(dataset: FaceDataset) -> None:
    if dataset.subject is None or dataset.sequence is None:
        raise UserError(f"{dataset.name} does not say who is shown, and in which film: use ckplus or synthetic_films")


# ---------------------------------------------------------------- what the splits share


def ckplus_protocol_table(dataset: FaceDataset) -> pd.DataFrame:
    """How much of each protocol's test pictures a net has met in training.

    Args:
        dataset: CK+, with subjects and sequences.

    Returns:
        One row per protocol: folds, draws, test pictures of a draw over all folds, and the shares of them (percent,
        over the draws) of whose sequence, and of whose subject, training has another picture.
    """
    rows = []
    for protocol, folds in PROTOCOLS.items():
        if protocol == "official":
            continue
        draws = DRAWS if is_drawn(protocol) else 1
        found = [tested(dataset, protocol, seed) for seed in range(draws)]
        rows.append(
            {
                "protocol": protocol,
                "folds": folds,
                "draws": draws,
                "test pictures": len(found[0].pictures),
                "same sequence, %": round(100 * float(np.mean([draw.same_sequence for draw in found])), 1),
                "same subject, %": round(100 * float(np.mean([draw.same_subject for draw in found])), 1),
            }
        )
    return pd.DataFrame(rows)


class Tested(NamedTuple):
    """What one draw of a split tests.

    Attributes:
        pictures: positions of the test pictures, folds joined, int64 [N].
        same_sequence: share of them of whose sequence training has another picture.
        same_subject: the same of the subject.
    """

    pictures: np.ndarray
    same_sequence: float
    same_subject: float


def tested(dataset: FaceDataset, protocol: str, seed: int) -> Tested:
    """What a protocol tests of a dataset with subjects and sequences."""
    parts = run_parts(dataset, protocol, None, seed)
    met = [
        np.concatenate([np.isin(of[part.test], of[part.train]) for part in parts])
        for of in (dataset.sequence, dataset.subject)
    ]
    return Tested(np.concatenate([part.test for part in parts]), *(float(mask.mean()) for mask in met))


@cache
def _tested_of_ckplus(protocol: str, seed: int) -> Tested:
    return tested(load_facts("ckplus").faces, protocol, seed)


# ---------------------------------------------------------------- the study's runs


def protocol_audit(records: Sequence[RunRecord]) -> pd.DataFrame:
    """CK+ under several protocols: how much of an accuracy is the protocol's.

    Returns:
        One row per system and protocol, of systems for which the study has several: family (its first recipe), split
        (a key of WORDS), seeds (draws where the split is drawn), folds, test pictures of a seed, the shares of them of
        whose sequence and subject training has another picture; accuracy (mean over seeds, the recipe's test views),
        its sd, lowest and highest seed; low and high, the 95 % interval of the mean by bootstrap over persons; and
        ``inflation``, the accuracy minus that of the same system on subject-independent folds split alike (fixed or
        drawn), with its interval. Percent and points.
    """
    groups = {group.recipe: group for group in longest_groups(group_records(records))}
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
                "folds": PROTOCOLS[recipe.protocol],
                "test_pictures": len(_tested_of_ckplus(recipe.protocol, 0).pictures),
            }
            honest = next((groups[r.name] for r in variants if _is_honest_for(r, recipe) and r.name in groups), None)
            rows.append(row | _measured(recipe, group, honest))
    return pd.DataFrame(rows, columns=[*HEAD, *NUMBERS]).astype(dict.fromkeys(NUMBERS, float))


def _measured(recipe: Recipe, group: Group | None, honest: Group | None) -> dict[str, object]:
    seeds = group.seeds if group else range(DRAWS if is_drawn(recipe.protocol) else 1)
    draws = [_tested_of_ckplus(recipe.protocol, seed if is_drawn(recipe.protocol) else 0) for seed in seeds]
    row: dict[str, object] = {
        "same_sequence": 100 * float(np.mean([draw.same_sequence for draw in draws])),
        "same_subject": 100 * float(np.mean([draw.same_subject for draw in draws])),
    }
    if group is None:
        return row
    found, values = answers_by_person(group), 100 * np.array(group.accuracies())
    row |= {
        "seeds": len(group.seeds),
        "epochs": group.epochs,
        "accuracy": float(values.mean()),
        "accuracy_sd": sample_sd(values),
        "lowest": float(values.min()),
        "highest": float(values.max()),
    }
    row |= dict(zip(("low", "high"), (100 * end for end in found.interval), strict=True))
    if honest and honest is not group and honest.epochs == group.epochs:
        by_persons = answers_by_person(honest)
        ends = difference_interval(found, by_persons)
        row["inflation"] = float(values.mean() - 100 * np.mean(honest.accuracies()))
        row |= dict(zip(("inflation_low", "inflation_high"), (100 * end for end in ends), strict=True))
    return row


def answers_by_person(group: Group) -> ByPerson:
    """Right and wrong answers of all complete seeds of a group on CK+, by who is shown."""
    faces = load_facts("ckplus").faces
    names, person = np.unique(faces.subject, return_inverse=True)
    shown, right = [], []
    protocol = get_recipe(group.recipe).protocol
    for seed, (labels, predicted) in zip(group.seeds, group.classified("test"), strict=True):
        pictures = _tested_of_ckplus(protocol, seed if is_drawn(protocol) else 0).pictures
        if not np.array_equal(faces.labels[pictures], labels):
            raise UserError(f"{group.recipe}, seed {seed}: its test labels are not CK+'s; see fer study verify")
        shown.append(person[pictures])
        right.append(labels == predicted)
    return by_person(np.concatenate(shown), np.concatenate(right), len(names))


def _systems() -> list[list[Recipe]]:
    """CK+ recipes that differ in the protocol alone, in the protocols' order; systems with one protocol left out."""
    families: dict[str, list[Recipe]] = {}
    for recipe in list_recipes().values():
        if recipe.dataset == "ckplus":
            families.setdefault(_key(recipe), []).append(recipe)
    order = list(WORDS)
    return [
        sorted(variants, key=lambda recipe: (order.index(kind_of(recipe.protocol)), is_drawn(recipe.protocol)))
        for variants in families.values()
        if len(variants) > 1
    ]


def _key(recipe: Recipe) -> str:
    """All that defines a training but its name and protocol."""
    return json.dumps({k: v for k, v in recipe.training().items() if k not in ("name", "protocol")}, sort_keys=True)


def _is_honest_for(candidate: Recipe, recipe: Recipe) -> bool:
    """Whether a recipe's folds keep persons apart, and are fixed or drawn as the other's split is. The copied folds are
    fixed for everybody, and held against whichever there are."""
    fits = is_drawn(candidate.protocol) == is_drawn(recipe.protocol) or recipe.protocol == "copied_10fold"
    return kind_of(candidate.protocol) == "subject_10fold" and fits


def readable_protocols(table: pd.DataFrame) -> pd.DataFrame:
    """The same for a reader: in words, rounded, systems without runs left out."""
    known = table[table["accuracy"].notna()]

    def accuracy(row: pd.Series) -> str:
        return f"{row['accuracy']:.1f}" + ("" if pd.isna(row["accuracy_sd"]) else f" ± {row['accuracy_sd']:.1f}")

    def spread(row: pd.Series) -> str:
        return "" if row["seeds"] < 2 else f"{row['lowest']:.1f} to {row['highest']:.1f}"

    def inflation(row: pd.Series) -> str:
        if pd.isna(row["inflation"]):
            return ""
        return f"{row['inflation']:+.1f} ({row['inflation_low']:+.1f} to {row['inflation_high']:+.1f})"

    if known.empty:
        return pd.DataFrame(columns=["system", "split"])
    return pd.DataFrame(
        {
            "system": known["system"].str.split(",").str[0],
            "split": known["split"].map(WORDS),
            "drawn": known["protocol"].map(lambda name: "by the seed" if is_drawn(name) else "once"),
            "seeds": known["seeds"],
            "same film, %": known["same_sequence"].map("{:.0f}".format),
            "same person, %": known["same_subject"].map("{:.0f}".format),
            "accuracy ± sd, %": known.apply(accuracy, axis=1),
            "lowest to highest": known.apply(spread, axis=1),
            "95 %, other persons": [f"{a:.1f} to {b:.1f}" for a, b in zip(known["low"], known["high"], strict=True)],
            "more than by person": known.apply(inflation, axis=1),
        }
    ).reset_index(drop=True)  # fmt: skip


def printed_accuracies() -> pd.DataFrame:
    """What the papers print of CK+, at the splits that it can belong to.

    Returns:
        One row per printed accuracy and split: claim, paper, system, split (a key of WORDS), value (percent), headline.
        A paper that does not say which kind of ten folds it means has a row at each.
    """
    rows = []
    for claim in list_claims():
        if claim.kind == "level" and claim.dataset == "ckplus":
            kind = kind_of(get_recipe(claim.recipe).protocol)
            # zhang section IV.A: "10-fold cross-validation", kind unstated.
            splits = [split for split in WORDS if split.endswith("10fold")] if kind.endswith("10fold") else [kind]
            rows += [
                {
                    "claim": claim.id,
                    "paper": claim.paper,
                    "system": claim.system,
                    "split": split,
                    "value": 100 * claim.value,
                    "headline": claim.headline,
                }
                for split in splits
            ]
    columns = ["claim", "paper", "system", "split", "value", "headline"]
    return pd.DataFrame(rows, columns=columns).astype({"headline": bool})


def reach_table(records: Sequence[RunRecord]) -> pd.DataFrame:
    """How often classifiers that the papers would not propose reach what the papers print of CK+.

    Returns:
        One row per printed accuracy, split that it can belong to and system with runs at that split: claim, paper,
        printed_system, headline, split, printed, recipe, system, seeds, reached (seeds that reach it), accuracy (mean),
        lowest and highest. Percent.
    """
    groups = {group.recipe: group for group in longest_groups(group_records(records))}
    ours = (recipe for variants in _systems() for recipe in variants if _is_ours(recipe))
    found = [groups[recipe.name] for recipe in ours if recipe.name in groups]
    rows = []
    for printed in printed_accuracies().to_dict("records"):
        for group in found:
            recipe = get_recipe(group.recipe)
            if kind_of(recipe.protocol) == printed["split"]:
                values = 100 * np.array(group.accuracies())
                rows.append(
                    {
                        "claim": printed["claim"],
                        "paper": printed["paper"],
                        "printed_system": printed["system"],
                        "headline": printed["headline"],
                        "split": printed["split"],
                        "printed": printed["value"],
                        "recipe": recipe.name,
                        "system": recipe.title.split(",")[0],
                        "seeds": len(values),
                        "reached": int((values.round(2) >= round(printed["value"], 2)).sum()),
                        "accuracy": float(values.mean()),
                        "lowest": float(values.min()),
                        "highest": float(values.max()),
                    }
                )
    return pd.DataFrame(rows, columns=REACH)


def _is_ours(recipe: Recipe) -> bool:
    """Whether a recipe is of this study's own files on CK+, whose splits are drawn where they have a draw."""
    return recipe.name.split("/")[0] in ("ckplus", "ckplus_classical")


def readable_reach(table: pd.DataFrame) -> pd.DataFrame:
    """The same for a reader: a row a printed accuracy and split, a column a system."""
    if table.empty:
        return pd.DataFrame(columns=["paper", "printed, %", "split"])
    cells = table["reached"].astype(str) + " of " + table["seeds"].astype(str)
    shown = table.assign(
        **{"net": table["printed_system"], "printed, %": table["printed"].round(2), "split": table["split"].map(WORDS)},
        cell=cells,
    )
    wide = shown.pivot(index=["paper", "net", "printed, %", "split"], columns="system", values="cell")
    order = list(dict.fromkeys(zip(shown["paper"], shown["net"], shown["printed, %"], shown["split"], strict=True)))
    return wide.reindex(order)[list(dict.fromkeys(shown["system"]))].fillna("").reset_index().rename_axis(columns=None)


def protocol_figure(table: pd.DataFrame) -> Figure:
    """The table of :func:`protocol_audit` with what the papers print."""
    printed = printed_accuracies()
    return plots.protocols(table, printed.assign(paper=printed["paper"].map(paper_names())), WORDS)


# ---------------------------------------------------------------- any dataset, on the spot


def measure(dataset: FaceDataset, models: Sequence[str] = ("pixels_nn",), draws: int = 3) -> pd.DataFrame:
    """Classical pipelines under the drawn protocols, on pictures at hand: nothing is recorded.

    Args:
        dataset: pictures with subjects and sequences.
        models: names of :func:`fer_lib.models.list_models` with ``classical``.
        draws: of each split.

    Returns:
        One row per model and protocol: model, protocol, same_sequence, same_subject, accuracy, accuracy_sd, low and
        high (95 %, bootstrap over persons). Percent.

    Raises:
        UserError: the dataset does not say who is shown, and in which film.
    """
    _check_films(dataset)
    names, person = np.unique(dataset.subject, return_inverse=True)
    rows = []
    for name in models:
        model = create_model(name, num_classes=len(dataset.classes))
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
                    "model": name,
                    "protocol": protocol,
                    "same_sequence": 100 * float(np.mean([draw.same_sequence for draw in drawn])),
                    "same_subject": 100 * float(np.mean([draw.same_subject for draw in drawn])),
                    "accuracy": float(np.mean(accuracies)),
                    "accuracy_sd": sample_sd(accuracies),
                    "low": 100 * low,
                    "high": 100 * high,
                }
            )
    return pd.DataFrame(rows)
