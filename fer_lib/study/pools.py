"""Nets that a paper's file trains alike, fitted together: the spread of a seed is one for all of them."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cache, cached_property

from fer_lib.data import is_drawn
from fer_lib.recipe import Recipe, get_recipe
from fer_lib.runs import RunRecord
from fer_lib.statistics import Fit, fit, picture_variance
from fer_lib.study.groups import Group, Measure, check_same_pictures, group_records, is_confirmatory, longest_groups
from fer_lib.study.protocols import answers_by_person

MIN_SEEDS = 3
"""Seeds that a reading or a verdict needs."""


class Pools:
    """The study's trainings of full length, and what they measured.

    Args:
        records: the study's runs.
    """

    def __init__(self, records: Iterable[RunRecord]) -> None:
        self._records = tuple(records)
        self.groups = group_records(self._records)
        self._full = {g.recipe: g for g in self.groups if g.as_published and g.seeds and g.epochs == g.recipe_epochs}
        self.fit = cache(self._fit)
        self.picture_variance = cache(self._picture_variance)

    def full(self, recipe: str) -> Group | None:
        """The runs of a recipe at its full length that have all folds; None without one."""
        return self._full.get(recipe)

    @cached_property
    def confirmatory(self) -> "Pools":
        """The same of the runs that began after the rules were registered."""
        return Pools(filter(is_confirmatory, self._records))

    @cached_property
    def _alike(self) -> dict[str, list[Group]]:
        alike = defaultdict(list)
        for group in self._full.values():
            alike[trained_alike(get_recipe(group.recipe))].append(group)
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
        groups = self._alike.get(trained_alike(get_recipe(recipe)))
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

    @property
    def longest(self) -> list[Group]:
        """Of each recipe its longest training that has all folds."""
        return longest_groups(self.groups)

    def least_of_one_more(self, group: Group) -> float | None:
        """What one new run of a recipe stays above (95 %), by the spread of a seed in its paper's file.

        Returns:
            A fraction; None where the file has no recipe with two runs.
        """
        values = group.accuracies()
        recipe = get_recipe(group.recipe)
        if not group.chance and not is_drawn(recipe.protocol):
            return values[0]
        kin = [g for g in self.longest if _kin(get_recipe(g.recipe)) == _kin(recipe)]
        return fit({g.recipe: g.accuracies() for g in kin}).least_of_one_more(values)

    def own_pictures(self, recipe: str, measure: Measure) -> float:
        """What the choice of pictures adds to one accuracy where a paper's split is not ours: 0 but on a fixed split of
        CK+, whose pictures are of few persons. A split drawn with the seed has it in the spread of its seeds."""
        chosen = get_recipe(recipe)
        if chosen.dataset != "ckplus" or is_drawn(chosen.protocol):
            return 0.0
        return answers_by_person(self._full[recipe]).variance

    def _picture_variance(self, recipe: str, baseline: str, measure: Measure) -> float:
        """See :func:`fer_lib.statistics.picture_variance`; 0 where every seed draws pictures of its own.

        Raises:
            UserError: the two were tested on other pictures.
        """
        if is_drawn(get_recipe(recipe).protocol):
            return 0.0
        ours, theirs = self._full[recipe], self._full[baseline]
        for one, other in ((ours, ours), (ours, theirs), (theirs, theirs)):
            first = one.labels(measure)[0]
            for record, labels in zip(other.first_records, other.labels(measure), strict=True):
                check_same_pictures(one.records[0], first, record, labels)
        return picture_variance(ours.scores(measure), theirs.scores(measure))


def _kin(recipe: Recipe) -> tuple[str, ...]:
    """What recipes share that are trained on the same pictures by the same paper's file."""
    return recipe.name.split("/")[0], recipe.dataset, recipe.protocol


def trained_alike(recipe: Recipe) -> tuple[str, ...]:
    """What recipes share whose nets are trained alike: everything but the net, the loss and the pictures' treatment."""
    training = (recipe.dataset, recipe.protocol, recipe.epochs, recipe.batch_size, recipe.optimizer, recipe.schedule)
    return (recipe.name.split("/")[0], *map(repr, training))
