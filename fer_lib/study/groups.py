"""Runs that belong together: one recipe at one scale, over its seeds and folds."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from fer_lib.data import PROTOCOLS
from fer_lib.data.catalog import known_dataset
from fer_lib.errors import UserError
from fer_lib.recipe import list_recipes
from fer_lib.runs import RunRecord, restore_probabilities

REGISTERED = datetime(2026, 11, 26, 20, 30, tzinfo=UTC)
"""When the rules were written down (``REGISTRATION.md``): later runs confirm, earlier ones explore."""

DATASETS = {"fer2013": "FER2013", "ckplus": "CK+", "own": "own pictures", "synthetic": "synthetic"}
"""What tables call the data of the study."""


def dataset_title(name: str) -> str:
    """What tables call a dataset."""
    if name in DATASETS:
        return DATASETS[name]
    known = known_dataset(name)
    return known.title if known else name


class Measure(NamedTuple):
    """What is compared between runs.

    Attributes:
        parts: the parts whose pictures count; those that a protocol has of them.
        rule: the selection rule.
        brier: the Brier score (Brier 1950), its sign turned so that more is better, instead of the accuracy; known
            under ``val_selected`` only.
    """

    parts: tuple[str, ...]
    rule: str
    brier: bool = False


HELD_OUT = Measure(("val", "test"), "last")
"""Our own comparisons: no epoch is chosen, so both parts are held out."""
CHOSEN = Measure(("test",), "val_selected")
"""The papers' protocol, and the printed numbers'."""
BRIER = Measure(("test",), "val_selected", brier=True)


class Answers(NamedTuple):
    """What the nets of some seeds say of one part's pictures, folds joined in their order.

    Attributes:
        labels: true classes, int64 [N].
        predicted: predicted classes, int64 [seeds, N].
    """

    labels: np.ndarray
    predicted: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """Whether each net is right about each picture, bool [seeds, N]."""
        return self.predicted == self.labels


@dataclass(frozen=True)
class Group:
    """Records that differ in seed and fold only.

    Attributes:
        recipe: name of the recipe.
        as_published: whether they are the recipe as its paper's file has it, or a shorter training of it.
        records: the records, by seed, then fold.
    """

    recipe: str
    as_published: bool
    records: tuple[RunRecord, ...]

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return self.records[0].epochs

    @property
    def recipe_epochs(self) -> int:
        """Epochs of the recipe as published."""
        return list_recipes()[self.recipe].epochs

    @property
    def chance(self) -> bool:
        """Whether the outcome depends on the seed, see :attr:`fer_lib.recipe.Recipe.chance`."""
        return list_recipes()[self.recipe].chance

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.records[0].classes

    @property
    def folds(self) -> int:
        """Runs that a seed takes, see :attr:`fer_lib.recipe.Recipe.folds`."""
        spec = self.records[0].spec
        return 1 if spec["fold"] is None else PROTOCOLS[spec["recipe"]["protocol"]]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds whose every fold is there."""
        return tuple(seed for seed, records in self._by_seed().items() if len(records) == self.folds)

    @property
    def pictures(self) -> int:
        """Test pictures per complete seed, over all folds."""
        complete = self._by_seed()[self.seeds[0]] if self.seeds else []
        return sum(record.content["data"]["counts"]["test"] for record in complete)

    def accuracies(self, part: str = "test", rule: str = "val_selected", kind: str = "tta") -> list[float]:
        """Accuracy of each complete seed, pooled over its folds, as fractions; empty without such a part."""
        by_seed = self._by_seed()
        pooled = [_pooled(by_seed[seed], part, rule, kind) for seed in self.seeds]
        return [accuracy for accuracy in pooled if not math.isnan(accuracy)]

    @property
    def first_records(self) -> list[RunRecord]:
        """One record of each complete seed, to name it by."""
        by_seed = self._by_seed()
        return [by_seed[seed][0] for seed in self.seeds]

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precision that each complete seed was trained in."""
        by_seed = self._by_seed()
        found = ({record.content["environment"]["precision"] for record in by_seed[seed]} for seed in self.seeds)
        return tuple("+".join(sorted(names)) for names in found)

    def scores(self, measure: Measure) -> list[np.ndarray]:
        """What each complete seed's net scores on each picture, folds joined: float64 [N] a seed."""
        by_seed = self._by_seed()
        return [np.concatenate([_scores(record, measure) for record in by_seed[seed]]) for seed in self.seeds]

    def labels(self, measure: Measure) -> list[np.ndarray]:
        """The true classes of the same pictures, int64 [N] a seed."""
        by_seed = self._by_seed()
        return [
            np.concatenate([_joined([record], f"{part}/labels") for record in by_seed[seed] for part in measure.parts
                            if record.content["data"]["counts"].get(part)])
            for seed in self.seeds
        ]  # fmt: skip

    def classified(self, part: str = "test") -> list[tuple[np.ndarray, np.ndarray]]:
        """True and predicted classes of each complete seed at the epoch that validation chose, int64 [N] each; empty
        without such a part. Seeds may have other pictures."""
        by_seed = self._by_seed()
        chosen = [by_seed[seed] for seed in self.seeds]
        if not all(record.content["data"]["counts"].get(part) for records in chosen for record in records):
            return []
        return [tuple(_joined(rs, f"{part}/{name}") for name in ("labels", "val_selected/tta")) for rs in chosen]

    def answers(self, part: str = "test", seeds: Iterable[int] | None = None) -> Answers | None:
        """Predictions at the epoch that validation chose, with the recipe's test views.

        Args:
            part: val or test.
            seeds: of these complete seeds, in their order; by default of all.

        Returns:
            The answers; None without such a seed or part.

        Raises:
            UserError: two seeds have other labels, so that their pictures are not the same.
        """
        by_seed = self._by_seed()
        chosen = [by_seed[seed] for seed in (self.seeds if seeds is None else seeds)]
        if not chosen or not all(
            record.content["data"]["counts"].get(part) for records in chosen for record in records
        ):
            return None
        labels = [_joined(records, f"{part}/labels") for records in chosen]
        for records, found in zip(chosen, labels, strict=True):
            check_same_pictures(chosen[0][0], labels[0], records[0], found)
        predicted = [_joined(records, f"{part}/val_selected/tta") for records in chosen]
        return Answers(labels[0], np.stack(predicted))

    def _by_seed(self) -> dict[int, list[RunRecord]]:
        by_seed = defaultdict(list)
        for record in self.records:
            by_seed[record.spec["seed"]].append(record)
        return by_seed


def _scores(record: RunRecord, measure: Measure) -> np.ndarray:
    found = []
    for part in measure.parts:
        if record.content["data"]["counts"].get(part):
            labels = record.predictions[f"{part}/labels"].astype(np.int64)
            if measure.brier:
                probabilities = restore_probabilities(record.predictions[f"{part}/probabilities"])
                found.append(-((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(1))
            else:
                found.append((record.predictions[f"{part}/{measure.rule}/tta"] == labels).astype(float))
    return np.concatenate(found)


def is_confirmatory(record: RunRecord) -> bool:
    """Whether a run's training began after the rules were registered."""
    return datetime.fromisoformat(record.content["time"]["last_session_started"]) >= REGISTERED


def check_same_pictures(one: RunRecord, labels: np.ndarray, other: RunRecord, other_labels: np.ndarray) -> None:
    """Refuse to pair predictions by picture where the labels say that the pictures differ.

    Raises:
        UserError: naming both runs.
    """
    if not np.array_equal(labels, other_labels):
        raise UserError(f"{one.id} and {other.id}: their test labels differ; see fer study verify")


def _joined(records: list[RunRecord], name: str) -> np.ndarray:
    return np.concatenate([record.predictions[name] for record in records]).astype(np.int64)


def _pooled(records: list[RunRecord], part: str, rule: str, kind: str) -> float:
    counts = [record.content["data"]["counts"][part] for record in records]
    if not sum(counts):
        return math.nan
    return sum(r.accuracy(part, rule, kind) * n for r, n in zip(records, counts, strict=True)) / sum(counts)


def group_records(records: Iterable[RunRecord]) -> list[Group]:
    """Sort records into groups, in the order of the recipes; longer trainings first.

    Records of recipes that no paper's file defines any more are left out.
    """
    recipes = list_recipes()
    found = defaultdict(list)
    for record in records:
        if record.recipe in recipes:
            published = recipes[record.recipe].training() | {"epochs": record.epochs}
            same = (
                record.spec["recipe"] == published
                and record.epochs <= recipes[record.recipe].epochs
                and record.spec["limit_train"] is None
                and "limit_test" not in record.spec
            )
            key = (
                record.recipe,
                same,
                repr(record.spec["recipe"]),
                record.spec["limit_train"],
                record.spec.get("limit_test"),
                record.spec.get("limits"),
            )
            found[key].append(record)
    groups = [
        Group(recipe, same, tuple(sorted(members, key=lambda r: (r.spec["seed"], r.spec["fold"] or 0))))
        for (recipe, same, *_), members in found.items()
    ]
    order = list(recipes)
    return sorted(groups, key=lambda g: (order.index(g.recipe), not g.as_published, -g.epochs, g.records[0].id))


def longest_groups(groups: Iterable[Group]) -> list[Group]:
    """Of each recipe the longest of its published trainings that has a complete seed; it speaks for the recipe.

    Args:
        groups: as :func:`group_records` sorts them.
    """
    longest: dict[str, Group] = {}
    for group in groups:
        if group.as_published and group.seeds:
            longest.setdefault(group.recipe, group)
    return list(longest.values())
