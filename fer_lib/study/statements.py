"""What the papers say without a number of its own, held against nets, trainings and the papers' own tables.

The rules were fixed before any full-length run of the papers' recipes; of our own narrow nets, which stand in once,
runs were there, and what those show is exploratory. A rule about trainings needs full-length runs of the
statement's recipes with at least :data:`MIN_SEEDS` seeds, and says

* holds, or contradicted: in every seed; of two recipes, in every pair of their seeds;
* undecided: in some.

Of several nets a statement may hold in part. Besides, it may be contradicted by its own table, not run, or not
testable, where no check is possible. A stand-in of ours (fidelity C) contradicts no paper: what it shows is seen, or
not seen, in a stand-in.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import torch

from fer_lib.claims import Claim, list_claims
from fer_lib.data.catalog import dataset_title
from fer_lib.errors import UserError, unknown
from fer_lib.recipe import called, get_recipe
from fer_lib.runs import RunRecord
from fer_lib.study.columns import Column, table_of
from fer_lib.study.evidence import CONTRADICTED, Finding, table_levels
from fer_lib.study.groups import is_confirmatory
from fer_lib.study.results import MIN_SEEDS, Study, once
from fer_lib.study.verdicts import NOT_TESTABLE
from fer_lib.training.optimisers import create_optimizer

REACHED = 0.95
"""A net has converged once its accuracy is this share of the lower of the two best accuracies that are compared."""
STABLE = 0.01
"""A stable accuracy stays within this much of its mean."""
RISE = 0.05
"""A net overfits if its validation loss ends more than this share above its lowest value."""


def statement_finding(claim: Claim, study: Study) -> Finding:
    """Apply its check to a statement.

    Args:
        claim: of kind ``statement``.
        study: the study's results.

    Raises:
        UserError: its check is none of :data:`CHECKS`, or lacks what it needs.
    """
    if claim.check is None:
        return Finding("not testable", "no measurement of the study can show it", claim.place)
    if claim.check not in CHECKS:
        raise UserError(f"claim {claim.id}: {unknown('check', claim.check, CHECKS)}")
    check, needed = CHECKS[claim.check]
    for key in needed:
        if not getattr(claim, key):
            raise UserError(f"claim {claim.id}: its check {claim.check} needs {key}")
    if "recipe" not in needed:
        return Finding(*check(claim, study), claim.place)
    names = [name for name in (claim.recipe, claim.baseline) if name]
    runs = []
    for name in names:
        group = study.full(name)
        seeds = len(group.seeds) if group else 0
        if group is None or seeds < MIN_SEEDS:
            data = dataset_title(get_recipe(name).dataset)
            told = f"{seeds} of {MIN_SEEDS} full-length trainings: {called(name)} on {data}"
            return Finding("not run", told, claim.place)
        runs.append(group.records)
    word, sentence = check(claim, *runs)
    if not all(is_confirmatory(record) for record in chain(*runs)):
        sentence += "; exploratory"
    if claim.fidelity == "C":
        word = {"holds": "seen in a stand-in", "contradicted": "not seen in a stand-in"}.get(word, word)
    return Finding(word, sentence, claim.place, tuple(record.id for record in chain(*runs)))


# ---------------------------------------------------------------- without a run


def _fewer(claim: Claim, study: Study, what: str) -> tuple[str, str]:
    """Whether the first net has fewer than the others; where a share in percent is named, about so many fewer."""
    nets = [study.costs.of_net(name, {}) for name in claim.models]
    ours, *others = (getattr(net, what) for net in nets)
    if claim.values:
        saved = [100 * (1 - ours / other) for other in others]
        held = [abs(share - claim.values[0]) <= 5 for share in saved]
    else:
        held = [ours < other for other in others]
    word = "holds" if all(held) else "holds in part" if any(held) else "contradicted"
    against = [
        f"{name} {_millions(n)} (ratio {ours / n:.4g})"
        for name, n in zip(map(called, claim.models[1:]), others, strict=True)
    ]
    return word, f"{called(claim.models[0])} has {_millions(ours)} {UNITS[what]}, {', '.join(against)}"


UNITS = {"parameters": "parameters", "macs": "multiply-accumulates"}


def _millions(count: int) -> str:
    return f"{count / 1e6:,.2f} million" if count >= 1e6 else f"{count:,}"


def _optimiser_memory(claim: Claim, study: Study) -> tuple[str, str]:
    """Numbers that an optimiser keeps for every weight."""
    named: dict[str, dict[str, Any]] = {
        "Adam": {"name": "adam"},
        "SGD": {"name": "sgd"},
        "SGD with momentum": {"name": "sgd", "momentum": 0.9},
    }
    kept = {
        name: study.kept(f"numbers a weight of {name}", partial(_numbers, options)) for name, options in named.items()
    }
    word = "holds" if kept["Adam"] < kept["SGD"] else "contradicted"
    return word, "numbers kept for each weight: " + ", ".join(f"{k} {n}" for k, n in kept.items())


def _numbers(options: dict[str, Any]) -> int:
    weights = [torch.nn.Parameter(torch.zeros(1000))]
    state = create_optimizer({"lr": 0.01} | options, weights).state[weights[0]]
    return sum(x.numel() for x in state.values() if isinstance(x, torch.Tensor)) // 1000


def _best_of_its_table(claim: Claim, study: Study) -> tuple[str, str]:
    """Whether the system's accuracy is above every other of the tables that print it."""
    rows = [row for row in table_levels(claim.paper) if row.dataset == claim.dataset]
    ours = next(row for row in rows if row.system == claim.system)
    others = [row for row in rows if row is not ours and row.tables & ours.tables]
    best = max(others, key=lambda row: row.number)
    word = "holds" if ours.number > best.number else CONTRADICTED
    return word, f"{ours.system} {ours.percent}, the best of the others, {best.system}, {best.percent}"


def _heat(claim: Claim, study: Study) -> tuple[str, str]:
    return NOT_TESTABLE, "a run's record holds no heat maps; notebook 07 tests it on drawn faces"


# ---------------------------------------------------------------- with runs


def _verdict(held: Iterable[bool]) -> str:
    held = list(held)
    return "holds" if all(held) else "undecided" if any(held) else "contradicted"


def _accuracy(record: RunRecord) -> np.ndarray:
    """Accuracy by epoch, on validation pictures where there are any."""
    watched = record.history["val_accuracy"]
    return record.history["test_accuracy"] if np.isnan(watched).all() else watched


def _converges_faster(claim: Claim, ours: Sequence[RunRecord], base: Sequence[RunRecord]) -> tuple[str, str]:
    curves = [[_accuracy(record) for record in runs] for runs in (ours, base)]
    goal = REACHED * min(np.mean([curve.max() for curve in side]) for side in curves)
    # A seed that never gets there is slower than any that does.
    first = [[int(np.argmax(c >= goal)) + 1 if c.max() >= goal else len(c) + 1 for c in side] for side in curves]
    # Equal epochs are no victory for either.
    held = [x < y for x in first[0] for y in first[1]]
    lost = [x > y for x in first[0] for y in first[1]]
    word = "holds" if all(held) else "contradicted" if all(lost) else "undecided"
    names = [called(name or "") for name in (claim.recipe, claim.baseline)]
    told = [f"{name} after {', '.join(map(str, sorted(n)))} epochs" for name, n in zip(names, first, strict=True)]
    return word, f"{100 * goal:.1f} % accuracy is reached by {', by '.join(told)}"


def _rare_class_gains(claim: Claim, ours: Sequence[RunRecord], base: Sequence[RunRecord]) -> tuple[str, str]:
    labels = ours[0].predictions["test/labels"]
    rare = int(np.bincount(labels).argmin())
    shown = labels == rare
    recall = [
        [float(np.mean(r.predictions["test/val_selected/tta"][shown] == rare)) for r in runs] for runs in (ours, base)
    ]
    held = [x > y for x in recall[0] for y in recall[1]]
    told = [", ".join(f"{100 * value:.1f} %" for value in side) for side in recall]
    return _verdict(held), f"recall of {ours[0].classes[rare]}: {told[0]} against {told[1]}"


def _no_overfitting(claim: Claim, runs: Sequence[RunRecord]) -> tuple[str, str]:
    losses = [record.history["val_loss"] for record in runs]
    if any(np.isnan(loss).all() for loss in losses):
        return NOT_TESTABLE, "its protocol has no validation pictures"
    rise = [loss[-1] / np.nanmin(loss) - 1 for loss in losses]
    told = ", ".join(f"{100 * value:.1f} %" for value in rise)
    return _verdict(value <= RISE for value in rise), f"the validation loss ends {told} above its lowest"


def _settles(claim: Claim, runs: Sequence[RunRecord]) -> tuple[str, str]:
    after = [_accuracy(record)[claim.values[0] :] for record in runs]
    spread = [float(np.abs(part - part.mean()).max()) for part in after]
    told = ", ".join(f"{100 * value:.2f}" for value in spread)
    return _verdict(
        value <= STABLE for value in spread
    ), f"after epoch {claim.values[0]} the accuracy is up to {told} points from its mean"


CHECKS: dict[str, tuple[Callable[..., tuple[str, str]], tuple[str, ...]]] = {
    "fewer_parameters": (partial(_fewer, what="parameters"), ("models",)),
    "fewer_macs": (partial(_fewer, what="macs"), ("models",)),
    "optimiser_memory": (_optimiser_memory, ()),
    "best_of_its_table": (_best_of_its_table, ()),
    "heat": (_heat, ()),
    "converges_faster": (_converges_faster, ("recipe", "baseline")),
    "rare_class_gains": (_rare_class_gains, ("recipe", "baseline")),
    "no_overfitting": (_no_overfitting, ("recipe",)),
    "settles": (_settles, ("recipe", "values")),
}
"""What a statement's ``check`` may name, and the keys without which it cannot be made. One that needs a recipe is given
its runs, and the baseline's; another one the study."""

COLUMNS = ("paper", "place", "statement", "fidelity", "finding", "calculation", "check", "claim", "runs")
SHOWN = (Column("paper", "{paper:paper}"), *(Column(key, f"{{{key}}}") for key in COLUMNS[1:]))


@once
def statement_table(study: Study, paper: str | None = None) -> pd.DataFrame:
    """Every statement of the papers, and what is found of it.

    Args:
        study: the study's results.
        paper: only this paper's.

    Returns:
        One row per statement: paper, place, statement, fidelity (of a test by training), finding (its word),
        calculation (in words), check (its name), claim (its id), runs (their names, separated by spaces).
    """
    rows = []
    for claim in list_claims(paper):
        if claim.kind == "statement":
            found = statement_finding(claim, study)
            row = (
                claim.paper, claim.place, claim.statement, claim.fidelity or "", found.word, found.sentence,
                claim.check or "", claim.id, " ".join(found.runs),
            )  # fmt: skip
            rows.append(row)
    return table_of(rows, COLUMNS)
