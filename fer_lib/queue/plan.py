"""The study's matrix: which runs it wants, in what order, and how far each of them is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_lib.errors import check_known, check_least
from fer_lib.queue.lock import is_locked
from fer_lib.recipe import Recipe, RunSpec, headlines, list_recipes, load_papers

HEADLINE_SEEDS = 5
CONTROL_SEEDS = 5
SEEDS = 3
"""Seeds of a headline, of the control comparisons, and of every other recipe; one that uses no chance needs one."""

STATES = ("done", "running", "partial", "failed", "missing")


def wanted_seeds(recipe: Recipe) -> int:
    """How many seeds the study wants of a recipe."""
    if not recipe.chance:  # the same whatever the seed
        return 1
    if recipe.seeds is not None:
        return recipe.seeds
    if recipe.name in headlines():
        return HEADLINE_SEEDS
    return CONTROL_SEEDS if recipe.name.startswith(("control/", "narrow/")) else SEEDS


def choose_recipes(papers: Sequence[str] = (), names: Sequence[str] = ()) -> list[Recipe]:
    """The recipes of these papers and those of these names; of both none, all.

    Raises:
        UserError: there is no such paper or recipe.
    """
    recipes = list_recipes()
    for paper in papers:
        check_known("paper", paper, load_papers())
    for name in names:
        check_known("recipe", name, recipes)
    everything = not papers and not names
    return [r for name, r in recipes.items() if everything or name in names or name.split("/")[0] in papers]


def matrix(
    recipes: Iterable[Recipe],
    seeds: int | None = None,
    limit_train: int | None = None,
    limit_test: int | None = None,
) -> list[RunSpec]:
    """The runs that are wanted of some recipes, the most urgent first where a GPU trains them.

    First every paper's headline on FER2013 with its plain net, seed by seed; then the control comparison; the
    headlines on CK+; the papers' comparators and ablations; our own strongest recipes; last what is for machines
    without a GPU, whose order is :func:`fer_lib.queue.goals.cheapest_first`. Within each of these FER2013 goes first,
    then seed by seed, so that what is compared is there together.

    Args:
        recipes: see :func:`choose_recipes`.
        seeds: this many seeds of every recipe that uses chance; None for :func:`wanted_seeds`.
        limit_train: see :class:`fer_lib.recipe.RunSpec`.
        limit_test: the same.
    """
    check_least("--seeds", seeds)
    specs = []
    for recipe in recipes:
        count = wanted_seeds(recipe) if seeds is None else seeds if recipe.chance else 1
        specs += [
            RunSpec(recipe, seed, fold, limit_train, limit_test)
            for seed in range(count)
            for fold in (range(recipe.folds) if recipe.folds > 1 else [None])
        ]
    return sorted(specs, key=_urgency)  # stable: within a seed the order of the recipes, then of the folds


def _urgency(spec: RunSpec) -> tuple[int, ...]:
    name, seed = spec.recipe.name, spec.seed
    on_fer2013 = name.endswith("/fer2013")
    pairs = [recipe for pair in headlines().items() for recipe in pair]
    if name in pairs:
        return (0 if on_fer2013 else 2, seed, pairs.index(name))
    wave = {"control": 1, "best": 4, "narrow": 5, "ladder": 5, "ckplus": 5}.get(name.split("/")[0], 3)
    return (wave, not on_fer2013, seed)


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes:
        spec: the run.
        state: one of :data:`STATES`; a partial run has a checkpoint and nobody who trains it.
        epochs: epochs that are trained, as far as the last checkpoint knows.
        note: why it failed, one line.
    """

    spec: RunSpec
    state: str
    epochs: int = 0
    note: str = ""

    @property
    def epochs_left(self) -> int:
        return 0 if self.state == "done" else self.spec.recipe.epochs - self.epochs


def run_status(spec: RunSpec, runs: Path) -> Status:
    """How far a run is.

    Args:
        spec: the run.
        runs: the folder of the records, such as ``results/runs``.
    """
    if (runs / spec.run_id / "run.json").exists():
        return Status(spec, "done", spec.recipe.epochs)
    partial = runs / f"{spec.run_id}.partial"
    if not partial.exists():
        return Status(spec, "missing")
    # Here, so that a plan of which nothing is begun needs no torch.
    from fer_lib.training.checkpoint import epochs_done, read_failure

    epochs = epochs_done(partial)
    if is_locked(partial):
        return Status(spec, "running", epochs or 0)
    if reason := read_failure(partial):
        return Status(spec, "failed", epochs or 0, reason)
    return Status(spec, "missing") if epochs is None else Status(spec, "partial", epochs)


def by_family(statuses: Iterable[Status]) -> dict[str, list[Status]]:
    """Statuses by paper, in the papers' order."""
    families: dict[str, list[Status]] = {paper: [] for paper in load_papers()}
    for status in statuses:
        families.setdefault(status.spec.recipe.name.split("/")[0], []).append(status)
    return {name: members for name, members in families.items() if members}
