"""What the next verdicts cost: a recipe can be judged once the runs that the study wants of it are there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fer_lib.queue.pace import Pace
from fer_lib.queue.plan import Status

CPU_HOURS = 24
"""Core-hours that a recipe's missing runs may take on a CPU; what takes longer is started only if it is named."""


@dataclass(frozen=True)
class Goal:
    """A recipe that cannot be judged yet.

    Attributes:
        recipe: its name.
        runs: the runs that are missing or begun, in the order of their training.
        minutes: what they will take, of one core if a CPU trains; None where that is not known.
    """

    recipe: str
    runs: tuple[Status, ...]
    minutes: float | None

    @property
    def fits_cpu(self) -> bool:
        """Whether a CPU can be expected to get there."""
        return self.minutes is not None and self.minutes <= 60 * CPU_HOURS


def goals(statuses: Iterable[Status], pace: Pace) -> list[Goal]:
    """The recipes that cannot be judged yet, in the order of their first run."""
    missing: dict[str, list[Status]] = {}
    for status in statuses:
        if status.state in ("missing", "partial", "running"):
            missing.setdefault(status.spec.recipe.name, []).append(status)
    return [Goal(name, tuple(runs), _sum(runs, pace)) for name, runs in missing.items()]


def cheapest_first(statuses: Iterable[Status], pace: Pace, named: bool) -> tuple[list[Goal], list[Goal]]:
    """The order for a CPU: what costs least to judge first, one recipe after the other.

    Args:
        statuses: the runs, see :func:`fer_lib.queue.plan.matrix`.
        pace: of the CPU.
        named: whether somebody asked for these very recipes, which are then not left out.

    Returns:
        What to train, and what a CPU cannot do in :data:`CPU_HOURS`. What nothing is known of is among the latter.
    """
    ordered = sorted(goals(statuses, pace), key=lambda goal: (goal.minutes is None, goal.minutes or 0))
    return [g for g in ordered if named or g.fits_cpu], [g for g in ordered if not named and not g.fits_cpu]


def _sum(runs: Sequence[Status], pace: Pace) -> float | None:
    minutes = [pace.minutes(run) for run in runs]
    known = [each for each in minutes if each is not None]
    return sum(known) if len(known) == len(minutes) else None
