"""Runs that belong together: one recipe at one scale, over its seeds and folds."""

import math
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from fer_lib.data import PROTOCOLS
from fer_lib.errors import UserError
from fer_lib.recipe import list_recipes
from fer_lib.runs import RunRecord, restore_probabilities

REGISTERED = datetime(2026, 11, 26, 20, 30, tzinfo=UTC)
"""When the rules were written down (``REGISTRATION.md``): later runs confirm, earlier ones explore."""


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

    @cached_property
    def complete(self) -> dict[int, list[RunRecord]]:
        """The records of each seed whose every fold is there, in the order of the folds."""
        by_seed = defaultdict(list)
        for record in self.records:
            by_seed[record.spec["seed"]].append(record)
        return {seed: records for seed, records in by_seed.items() if len(records) == self.folds}

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds whose every fold is there."""
        return tuple(self.complete)

    @property
    def first_records(self) -> list[RunRecord]:
        """One record of each complete seed, to name it by."""
        return [records[0] for records in self.complete.values()]

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precision that each complete seed was trained in."""
        found = ({r.content["environment"]["precision"] for r in records} for records in self.complete.values())
        return tuple("+".join(sorted(names)) for names in found)

    def run_ids(self, seeds: Container[int] | None = None) -> str:
        """The runs of these complete seeds, by default of all, separated by spaces."""
        wanted = self.complete if seeds is None else seeds
        return " ".join(r.id for seed, records in self.complete.items() if seed in wanted for r in records)

    # ------------------------------------------------------------ seed by seed, folds joined

    def has(self, part: str) -> bool:
        """Whether there is a complete seed, and the protocol has such a part."""
        runs = [record for records in self.complete.values() for record in records]
        return bool(runs) and all(record.content["data"]["counts"].get(part) for record in runs)

    def accuracies(self, part: str = "test", rule: str = "val_selected", kind: str = "tta") -> list[float]:
        """Accuracy of each complete seed, pooled over its folds, as fractions; empty without such a part."""
        return [pooled(records, part, rule, kind) for records in self.complete.values()] if self.has(part) else []

    def scores(self, measure: Measure) -> list[np.ndarray]:
        """What each complete seed's net scores on each picture: float64 [N] a seed."""
        return [np.concatenate([_scores(r, measure) for r in records]) for records in self.complete.values()]

    def labels(self, measure: Measure) -> list[np.ndarray]:
        """The true classes of the same pictures, int64 [N] a seed."""
        return [
            np.concatenate([r.predictions[f"{part}/labels"] for r in records for part in _parts(r, measure)])
            for records in self.complete.values()
        ]

    def classified(self, part: str = "test") -> list[tuple[np.ndarray, np.ndarray]]:
        """True and predicted classes of each complete seed at the epoch that validation chose, int64 [N] each; empty
        without such a part. Seeds may have other pictures."""
        return [answers_of(records, part) for records in self.complete.values()] if self.has(part) else []

    def shares(self, part: str = "test", seeds: Iterable[int] | None = None) -> list[np.ndarray]:
        """Test-time-augmented probabilities at the epoch that validation chose, float64 [N, C] a complete seed."""
        chosen = self.complete if seeds is None else seeds
        return [restore_probabilities(_joined(self.complete[seed], f"{part}/probabilities")) for seed in chosen]

    def answers(self, part: str = "test", seeds: Iterable[int] | None = None) -> Answers:
        """Predictions at the epoch that validation chose, with the recipe's test views.

        Args:
            part: val or test.
            seeds: of these complete seeds, in their order; by default of all.

        Returns:
            The answers.

        Raises:
            UserError: there is no such seed or part; or two seeds have other labels, so that their pictures are not
                the same.
        """
        found = dict(zip(self.complete, zip(self.first_records, self.classified(part), strict=False), strict=False))
        chosen = [found[seed] for seed in (self.complete if seeds is None else seeds) if seed in found]
        if not chosen:
            raise UserError(f"{self.recipe}: no complete seed has a {part} part")
        first, (labels, _) = chosen[0]
        for record, (other, _) in chosen:
            check_same_pictures(first, labels, record, other)
        return Answers(labels, np.stack([predicted for _, (_, predicted) in chosen]))


def _parts(record: RunRecord, measure: Measure) -> list[str]:
    """Those of a measure that a run's protocol has."""
    return [part for part in measure.parts if record.content["data"]["counts"].get(part)]


def _scores(record: RunRecord, measure: Measure) -> np.ndarray:
    found = []
    for part in _parts(record, measure):
        labels = record.predictions[f"{part}/labels"].astype(np.int64)
        if measure.brier:
            probabilities = restore_probabilities(record.predictions[f"{part}/probabilities"])
            found.append(-((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(1))
        else:
            found.append((record.predictions[f"{part}/{measure.rule}/tta"] == labels).astype(float))
    return np.concatenate(found)


def is_confirmatory(record: RunRecord) -> bool:
    """Whether a run's training began after the rules were registered."""
    started = record.content["time"].get("last_session_started")
    return started is not None and datetime.fromisoformat(started) >= REGISTERED


def check_same_pictures(one: RunRecord, labels: np.ndarray, other: RunRecord, other_labels: np.ndarray) -> None:
    """Refuse to pair predictions by picture where the labels say that the pictures differ.

    Raises:
        UserError: naming both runs.
    """
    if not np.array_equal(labels, other_labels):
        raise UserError(f"{one.id} and {other.id}: their test labels differ; see fer study verify")


def pooled(records: Sequence[RunRecord], part: str, rule: str, kind: str) -> float:
    """Accuracy over all pictures of some folds, a fraction; NaN without such a part."""
    counts = [record.content["data"]["counts"].get(part, 0) for record in records]
    if not sum(counts):
        return math.nan
    return sum(r.accuracy(part, rule, kind) * n for r, n in zip(records, counts, strict=True)) / sum(counts)


def answers_of(records: Sequence[RunRecord], part: str = "test") -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes of some folds' pictures at the epoch that validation chose, int64 [N] each."""
    labels, predicted = (_joined(records, f"{part}/{name}") for name in ("labels", "val_selected/tta"))
    return labels.astype(np.int64), predicted.astype(np.int64)


def _joined(records: Sequence[RunRecord], name: str) -> np.ndarray:
    return np.concatenate([record.predictions[name] for record in records])


def as_published(record: RunRecord, but: Sequence[str] = ()) -> bool:
    """Whether a run is its recipe as the paper's file has it, or a shorter training of it.

    Args:
        record: of a recipe that a paper's file defines.
        but: parts of the recipe that may differ.
    """
    recipe, spec = list_recipes()[record.recipe], record.spec
    trained, published = (training_but(of, "epochs", *but) for of in (spec["recipe"], recipe.training()))
    whole = spec["limit_train"] is None and "limit_test" not in spec
    return whole and trained == published and record.epochs <= recipe.epochs


def training_but(training: Mapping[str, Any], *fields: str) -> dict[str, Any]:
    """All that defines a training (:meth:`fer_lib.recipe.Recipe.training`) but some fields."""
    return {key: value for key, value in training.items() if key not in fields}


def group_records(records: Iterable[RunRecord]) -> list[Group]:
    """Sort records into groups, in the order of the recipes; longer trainings first.

    Records of recipes that no paper's file defines any more are left out.
    """
    recipes = list_recipes()
    found = defaultdict(list)
    for record in records:
        if record.recipe in recipes:
            same = as_published(record)
            scale = [record.spec.get(name) for name in ("recipe", "limit_train", "limit_test", "limits")]
            found[record.recipe, same, repr(scale)].append(record)
    groups = [
        Group(recipe, same, tuple(sorted(members, key=lambda r: (r.spec["seed"], r.spec["fold"] or 0))))
        for (recipe, same, _), members in found.items()
    ]
    order = list(recipes)
    return sorted(groups, key=lambda g: (order.index(g.recipe), not g.as_published, -g.epochs, g.records[0].id))


def longest_runs(records: Iterable[RunRecord]) -> dict[str, RunRecord]:
    """Of each recipe the run that was trained for most epochs, the lowest seed first."""
    longest: dict[str, RunRecord] = {}
    for record in records:
        kept = longest.setdefault(record.recipe, record)
        if (record.epochs, -record.spec["seed"]) > (kept.epochs, -kept.spec["seed"]):
            longest[record.recipe] = record
    return longest
