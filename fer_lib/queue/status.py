"""The plan and its state as text."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from fer_lib.queue.pace import Pace
from fer_lib.queue.plan import STATES, Status, by_family


def status_text(statuses: Sequence[Status], pace: Pace) -> str:
    """A row per paper: its recipes, runs, their states and the minutes that are left; then what runs or failed."""
    head = ["family", "recipes", "runs", *STATES, "minutes left"]
    rows = [_row(name, members, pace) for name, members in by_family(statuses).items()]
    rows.append(_row("all", statuses, pace))
    lines = [_line(row) for row in [head, *rows]]
    for status in statuses:
        if status.state in ("running", "partial"):
            epochs = f"{status.epochs} of {status.spec.recipe.epochs} epochs"
            lines.append(f"{status.state}: {status.spec.run_id}, {epochs} in its checkpoint")
        elif status.state == "failed":
            lines.append(f"failed: {status.spec.run_id}: {status.note}")
    return "\n".join(lines)


def plan_text(statuses: Sequence[Status], pace: Pace) -> str:
    """What is still to do in the order of its training, a line per recipe and seed, with the minutes so far."""
    todo = [s for s in statuses if s.state == "partial"] + [s for s in statuses if s.state == "missing"]
    lines, total = [], 0.0
    for (name, seed), group in groupby(todo, key=lambda s: (s.spec.recipe.name, s.spec.seed)):
        members = list(group)
        folds = [member.spec.fold for member in members if member.spec.fold is not None]
        what = f"seed {seed}" + (f", {len(folds)} folds" if folds else "")
        begun = sum(member.epochs for member in members)
        known = [minutes for member in members if (minutes := pace.minutes(member)) is not None]
        total += sum(known)
        time = f"{sum(known):10,.1f} min, {total:10,.1f} in all" if len(known) == len(members) else f"{'?':>10} min"
        lines.append(f"{name:42} {what:18}{time}" + (f", {begun} epochs done" if begun else ""))
    return "\n".join([*lines, summary_line(statuses, pace)])


def summary_line(statuses: Sequence[Status], pace: Pace) -> str:
    """Runs by state, and the minutes that are left, in one line."""
    counts = Counter(status.state for status in statuses)
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return f"{len(statuses)} runs: {states or 'nothing to do'}; minutes left: {_minutes(statuses, pace)}"


def _row(name: str, statuses: Sequence[Status], pace: Pace) -> list[str]:
    counts = Counter(status.state for status in statuses)
    recipes = len({status.spec.recipe.name for status in statuses})
    return [name, *map(str, (recipes, len(statuses), *(counts[state] for state in STATES))), _minutes(statuses, pace)]


def _line(cells: Iterable[str]) -> str:
    first, *rest = cells
    return f"{first:9}" + "".join(f"{cell:>9}" for cell in rest[:-1]) + f"{rest[-1]:>20}"


def _minutes(statuses: Iterable[Status], pace: Pace) -> str:
    """The sum of what is known, and how many runs it leaves out."""
    minutes = [pace.minutes(status) for status in statuses if status.state != "failed"]
    known = [value for value in minutes if value is not None]
    unknown = len(minutes) - len(known)
    if not known:
        return "?" if minutes else "0"
    return f"{sum(known):,.0f}" + (f" + {unknown} runs ?" if unknown else "")
