"""The plan and its state as text."""

from collections import Counter
from collections.abc import Iterable, Sequence

from fer_lib.queue.goals import CPU_HOURS, Goal
from fer_lib.queue.pace import Pace
from fer_lib.queue.plan import STATES, Status, by_family

SHOWN = 10
"""Next verdicts that :func:`status_text` names."""


def status_text(statuses: Sequence[Status], todo: Sequence[Goal], left_out: Sequence[Goal], pace: Pace) -> str:
    """A row per paper: its recipes, runs, their states and the minutes that are left; what runs or failed; and what
    the next verdicts cost."""
    head = ["family", "recipes", "runs", *STATES, f"{_unit(pace)} left"]
    rows = [_row(name, members, pace) for name, members in by_family(statuses).items()]
    rows.append(_row("all", statuses, pace))
    lines = [_line(row) for row in [head, *rows]]
    for status in statuses:
        if status.state in ("running", "partial"):
            epochs = f"{status.epochs} of {status.spec.recipe.epochs} epochs"
            lines.append(f"{status.state}: {status.spec.run_id}, {epochs} in its checkpoint")
        elif status.state == "failed":
            lines.append(f"failed: {status.spec.run_id}: {status.note}")
    if todo:
        lines += ["", f"next verdicts, {_unit(pace)}:", *_goal_lines(todo[:SHOWN], pace)]
        if len(todo) > SHOWN:
            lines.append(f"and {len(todo) - SHOWN} recipes more: `fer study run --dry-run` lists them")
    return "\n".join([*lines, *notes(todo, left_out, pace)])


def plan_text(statuses: Sequence[Status], todo: Sequence[Goal], left_out: Sequence[Goal], pace: Pace) -> str:
    """What is still to do in the order of its training, a line per verdict, with the minutes so far."""
    return "\n".join([*_goal_lines(todo, pace), *notes(todo, left_out, pace), summary_line(statuses, pace)])


def _goal_lines(todo: Sequence[Goal], pace: Pace) -> list[str]:
    lines, total = [], 0.0
    for goal in todo:
        specs = [run.spec for run in goal.runs]
        folds = len({spec.fold for spec in specs})
        what = _span(sorted({spec.seed for spec in specs})) + (f", {folds} folds" if folds > 1 else "")
        begun = sum(run.epochs for run in goal.runs)
        total += goal.minutes or 0
        known = goal.minutes is not None
        unit = "core-min" if pace.on_cpu else "min"
        time = f"{goal.minutes:10,.1f} {unit}, {total:10,.1f} in all" if known else f"{'?':>10} {unit}"
        lines.append(f"{goal.recipe:46} {what:21}{time}" + (f", {begun} epochs done" if begun else ""))
    return lines


def _span(seeds: Sequence[int]) -> str:
    first, *_, last = (*seeds, seeds[-1])
    if last - first == len(seeds) - 1:
        return f"seed {first}" if first == last else f"seeds {first}-{last}"
    return "seeds " + " ".join(map(str, seeds))


def notes(todo: Sequence[Goal], left_out: Sequence[Goal], pace: Pace) -> list[str]:
    """What a reader of the plan must know besides: whose minutes they are, and what cannot be done here."""
    lines = []
    if pace.borrowed and any(goal.minutes for goal in (*todo, *left_out)):
        lines.append("no run of this machine in this precision yet: the minutes are other machines'")
    if left_out:
        runs, known = sum(len(goal.runs) for goal in left_out), [g.minutes for g in left_out if g.minutes is not None]
        unknown = f", {len(left_out) - len(known)} of unknown length" if len(known) < len(left_out) else ""
        lines.append(
            f"not on this CPU, at more than {CPU_HOURS} core-hours each: {len(left_out)} recipes, {runs} runs, "
            f"{sum(known) / 60:,.0f} core-hours{unknown}; they want a GPU, or --recipes to start one all the same"
        )
    return lines


def summary_line(statuses: Sequence[Status], pace: Pace) -> str:
    """Runs by state, and the minutes that are left, in one line."""
    counts = Counter(status.state for status in statuses)
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return f"{len(statuses)} runs: {states or 'nothing to do'}; {_unit(pace)} left: {_minutes(statuses, pace)}"


def _unit(pace: Pace) -> str:
    return "core-minutes" if pace.on_cpu else "minutes"


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
