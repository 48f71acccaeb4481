"""The rules by which a printed accuracy is judged. They were fixed before any run.

A claim is judged only by runs of its own recipe, trained for all of its epochs, with at least
:data:`MIN_SEEDS` seeds. Our value is the mean test accuracy over seeds, at the epoch that validation chose, with
the recipe's test views.

* reproduced: the printed value is at most :data:`TOLERANCE` from ours;
* within noise: it is further off, yet inside our 95 % interval, which joins the spread of the seeds and the
  sampling error of the test set;
* not reproduced: it is outside the interval, above or below;
* not judged: too few seeds, or fewer epochs than the recipe has;
* no run yet;
* not testable: the data the claim is about are not public.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fer_lib.claims import Claim

MIN_SEEDS = 3
TOLERANCE = 0.005
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Verdict:
    """What our runs say of a claim.

    Attributes:
        text: the verdict, in the words above.
        mean: our mean accuracy, a fraction; None without a run.
        sd: standard deviation over the seeds; None below two of them.
        low: lower end of the interval; None where the rules judge nothing.
        high: upper end.
        gap: ours minus the printed value.
    """

    text: str
    mean: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    gap: float | None = None


def interval(accuracies: Sequence[float], pictures: int) -> tuple[float, float]:
    """The 95 % interval of a mean accuracy, for new seeds and a new test set of the same size.

    The variances of the mean over seeds (sd² / n) and of the test set (p (1 - p) / N) are added. Student's t gives
    the width, with the degrees of freedom of Welch (1947) and Satterthwaite (1946): the seeds' variance is an
    estimate with n - 1 of them, the binomial variance is as good as known.

    Args:
        accuracies: one per seed, fractions; at least two.
        pictures: pictures in the test set.

    Returns:
        Lower and upper end, as fractions.
    """
    count, mean = len(accuracies), float(np.mean(accuracies))
    of_seeds, of_pictures = np.var(accuracies, ddof=1) / count, mean * (1 - mean) / pictures
    total = of_seeds + of_pictures
    freedom = (count - 1) * (total / of_seeds) ** 2 if of_seeds else math.inf
    half = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * math.sqrt(total)
    return mean - half, mean + half


def judge(claim: Claim, accuracies: Sequence[float], pictures: int, epochs: int, recipe_epochs: int) -> Verdict:
    """Apply the rules to one level claim.

    Args:
        claim: the claim; its ``value`` is a fraction.
        accuracies: our test accuracy for every seed, fractions.
        pictures: pictures in the test set.
        epochs: epochs our runs were trained for.
        recipe_epochs: epochs the paper trains for.
    """
    if claim.dataset == "own":
        return Verdict("not testable")
    if not accuracies:
        return Verdict("no run yet")
    mean = float(np.mean(accuracies))
    sd = float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None
    gap = mean - claim.value
    if epochs < recipe_epochs:
        return Verdict(f"not judged: {epochs} of {recipe_epochs} epochs", mean, sd, gap=gap)
    if len(accuracies) < MIN_SEEDS:
        return Verdict(f"not judged: {len(accuracies)} of {MIN_SEEDS} seeds", mean, sd, gap=gap)
    low, high = interval(accuracies, pictures)
    if abs(gap) <= TOLERANCE:
        text = "reproduced"
    elif low <= claim.value <= high:
        text = "within noise"
    else:
        text = "not reproduced"
    return Verdict(text, mean, sd, low, high, gap)
