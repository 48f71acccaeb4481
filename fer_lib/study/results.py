"""The study's results, read, verified and grouped once: every table, notebook and page takes a :class:`Study`."""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache, cached_property, update_wrapper
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from fer_lib.data import is_drawn
from fer_lib.errors import UserError
from fer_lib.kept import Kept, code_digest, kept_in
from fer_lib.models.describe import CostCounter
from fer_lib.paths import results_dir
from fer_lib.recipe import Recipe, get_recipe
from fer_lib.runs import RunRecord
from fer_lib.statistics import Fit, fit, picture_variance
from fer_lib.study.films import answers_by_person, scores_by_person
from fer_lib.study.groups import Group, Measure, check_same_pictures, group_records, is_confirmatory
from fer_lib.study.verify import sound_records

MIN_SEEDS = 3
"""Seeds that a reading or a verdict needs."""

Options = ParamSpec("Options")
Table = TypeVar("Table")


class Study:
    """Run records by recipe, and what they measured; nets that a paper's file trains alike share the spread of a seed.

    Args:
        records: sound ones, in the order of their names.
        problems: what is wrong with others that were left out, one line each.
        logs: the folder in which this machine keeps what took long; None for none.
    """

    def __init__(
        self, records: Iterable[RunRecord] = (), problems: Iterable[str] = (), logs: Path | None = None
    ) -> None:
        self.records, self.problems = tuple(records), tuple(problems)
        self.costs = CostCounter(logs and logs / "costs.json")
        self.kept = Kept(
            logs and logs / "kept.json", code_digest("models", "nets.py", "augment.py", "data", "training")
        )
        self.built: dict[tuple[Any, ...], Any] = {}
        self.fit = cache(self._fit)
        self.picture_variance = cache(self._picture_variance)

    def __repr__(self) -> str:
        return f"Study({len(self.records):,} runs)"

    @classmethod
    def load(cls, results: Path | None = None) -> "Study":
        """The sound records of a results folder; what was found sound before and has not changed is not checked again.

        Args:
            results: the folder; None for :func:`fer_lib.paths.results_dir`.
        """
        results = results or results_dir()
        logs = kept_in(results)
        return cls(*sound_records(results / "runs", kept=logs and logs / "sound.json"), logs)

    def parameters(self, recipe: Recipe) -> float:
        """Weights of a recipe's net; NaN for a pipeline."""
        return self.costs.parameters(recipe.training())

    # ------------------------------------------------------------ groups

    @cached_property
    def groups(self) -> list[Group]:
        """The records by recipe and scale, see :func:`fer_lib.study.groups.group_records`."""
        return group_records(self.records)

    @cached_property
    def longest(self) -> dict[str, Group]:
        """Of each recipe the longest of its published trainings that has a complete seed; it speaks for the recipe."""
        longest: dict[str, Group] = {}
        for group in self.groups:
            if group.as_published and group.seeds:
                longest.setdefault(group.recipe, group)
        return longest

    def full(self, recipe: str | None) -> Group | None:
        """The runs of a recipe at its full length that have all folds; None without one."""
        group = self.longest.get(recipe or "")
        return group if group and group.epochs == group.recipe_epochs else None

    @cached_property
    def confirmatory(self) -> "Study":
        """The same of the runs that began after the rules were registered."""
        return Study(filter(is_confirmatory, self.records))

    # ------------------------------------------------------------ what they measured

    @cached_property
    def _alike(self) -> dict[tuple[str, ...], list[Group]]:
        alike = defaultdict(list)
        for name in self.longest:
            if group := self.full(name):
                alike[trained_alike(get_recipe(name))].append(group)
        return alike

    def _fit(self, recipe: str, measure: Measure, paired: bool = True) -> Fit | None:
        """The model of all nets that are trained as this recipe's.

        Args:
            recipe: name of the recipe.
            measure: what is measured.
            paired: where the split is drawn with the seed, whether nets of one seed are compared on their common
                split, rather than the spread over splits counted.

        Returns:
            The fit; None without a run.
        """
        groups = self._alike.get(trained_alike(get_recipe(recipe)), [])
        if not groups:
            return None
        by_split = paired and is_drawn(get_recipe(recipe).protocol)
        return fit(
            {group.recipe: [scores.mean() for scores in group.scores(measure)] for group in groups},
            {
                group.recipe: [
                    (precision, seed) if by_split else (precision,)
                    for precision, seed in zip(group.precisions, group.seeds, strict=True)
                ]
                for group in groups
            },
        )

    def least_of_one_more(self, group: Group, tried: int) -> float | None:
        """What one new run of a recipe stays above (95 %), by the spread of a seed in its paper's file.

        Args:
            group: the recipe's runs.
            tried: of how many recipes the bounds are to hold at once.

        Returns:
            A fraction; None where the file has no recipe with two runs.
        """
        values = group.accuracies()
        recipe = get_recipe(group.recipe)
        if not group.chance and not is_drawn(recipe.protocol):
            return values[0]
        kin = [g for name, g in self.longest.items() if _kin(get_recipe(name)) == _kin(recipe)]
        return fit({g.recipe: g.accuracies() for g in kin}).least_of_one_more(values, tried)

    def own_pictures(self, recipe: str) -> float:
        """What the choice of pictures adds to one accuracy where a paper's split is not ours: 0 but on a fixed split of
        CK+, whose pictures are of few persons. A split drawn with the seed has it in the spread of its seeds."""
        group = self.full(recipe) if _is_of_few_persons(recipe) else None
        return answers_by_person(group).variance if group else 0.0

    def own_pictures_of_gain(self, recipe: str, baseline: str, measure: Measure) -> float:
        """The same of the difference of two nets."""
        return self.picture_variance(recipe, baseline, measure) if _is_of_few_persons(recipe) else 0.0

    def _picture_variance(self, recipe: str, baseline: str, measure: Measure) -> float:
        """See :func:`fer_lib.statistics.picture_variance`; 0 where every seed draws pictures of its own. Of CK+ whole
        persons are chosen.

        Raises:
            UserError: one has no run of full length, or the two were tested on other pictures.
        """
        if is_drawn(get_recipe(recipe).protocol):
            return 0.0
        ours, theirs = self.full(recipe), self.full(baseline)
        if not (ours and theirs):
            raise UserError(f"{recipe} and {baseline} have no runs of full length to compare")
        first = ours.labels(measure)[0]
        for other in (ours, theirs):
            for record, labels in zip(other.first_records, other.labels(measure), strict=True):
                check_same_pictures(ours.first_records[0], first, record, labels)
        sides = [group.scores(measure) for group in (ours, theirs)]
        if _is_of_few_persons(recipe):
            protocol = get_recipe(recipe).protocol
            return picture_variance(*(scores_by_person(protocol, side) for side in sides))
        return picture_variance(*sides)


def _is_of_few_persons(recipe: str) -> bool:
    """Whether a recipe is tested on a fixed split of CK+, whose pictures of one person are not independent."""
    chosen = get_recipe(recipe)
    return chosen.dataset == "ckplus" and not is_drawn(chosen.protocol)


def _kin(recipe: Recipe) -> tuple[str, ...]:
    """What recipes share that are trained on the same pictures by the same paper's file."""
    return recipe.name.split("/")[0], recipe.dataset, recipe.protocol


def trained_alike(recipe: Recipe) -> tuple[str, ...]:
    """What recipes share whose nets are trained alike: everything but the net, the loss and the pictures' treatment."""
    training = (recipe.dataset, recipe.protocol, recipe.epochs, recipe.batch_size, recipe.optimizer, recipe.schedule)
    return (recipe.name.split("/")[0], *map(repr, training))


def once(build: Callable[Concatenate[Study, Options], Table]) -> Callable[Concatenate[Study, Options], Table]:
    """Build a table of a study once, however often it is asked for; each who asks has a copy."""

    def found(study: Study, /, *args: Options.args, **options: Options.kwargs) -> Table:
        key = (build, args, *sorted(options.items()))
        if key not in study.built:
            study.built[key] = build(study, *args, **options)
        return copy.copy(study.built[key])  # of a DataFrame this is a deep copy

    update_wrapper(found, build)
    return found
