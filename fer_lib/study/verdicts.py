"""The rules by which a printed number is judged. They were fixed before any full training.

A claim is judged only by runs of its own recipe, trained for all of its epochs, with at least :data:`MIN_SEEDS`
seeds; one run is enough for a training without chance, such as that of a support vector machine. Our value is the
mean over seeds, at the epoch that validation chose, with the recipe's test views; folds are pooled. "Near" means at
most :data:`TOLERANCE` away; the 95 % interval joins the spread of the seeds and the sampling error of the test set
(:mod:`fer_lib.statistics`).

A level - an accuracy, or a precision, recall or F1 as a mean over classes - and the recall of one class are

* reproduced: the printed value is near ours;
* within noise: it is further off, yet inside our interval;
* not reproduced: it is outside the interval, above or below.

Where the paper prints an upper bound, every value of ours up to the bound reproduces it.

A gain is the accuracy of one recipe less that of its baseline, the same seeds paired on the same pictures. It is

* reproduced: the printed gain is near ours, and our interval lies on its side of zero (a printed gain of zero needs
  the first only);
* within noise: it is not reproduced, yet inside our interval;
* not reproduced: it is outside the interval.

A gain on unpublished pictures is tested on ours, and says so; the levels on them are not. Besides these words a claim
can be

* not judged: too few seeds, or fewer epochs than the recipe has;
* no run yet;
* not testable: the pictures that the level was measured on are not public.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer_lib.claims import Claim
from fer_lib.statistics import Comparison, mean_interval, sample_sd

MIN_SEEDS = 3
TOLERANCE = 0.005
LEVELS = {
    "accuracy": "accuracy",
    "accuracy, upper bound": "accuracy",
    "precision": "macro_precision",
    "recall": "macro_recall",
    "F1": "macro_f1",
}
"""What a level claim's metric is called in :func:`fer_lib.metrics.summary`."""


@dataclass(frozen=True)
class Verdict:
    """What our runs say of a claim.

    Attributes:
        text: the verdict, in the words above.
        mean: our mean value, a fraction; None without a run.
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


def shortfall(seeds: int, epochs: int, recipe_epochs: int, chance: bool = True) -> str | None:
    """Why runs are too few or too short to be judged, in the words above; None if they are not.

    Args:
        seeds: how many there are, of a gain how many pairs.
        epochs: epochs trained.
        recipe_epochs: epochs of the recipe.
        chance: whether the outcome of a training depends on its seed.
    """
    needed = MIN_SEEDS if chance else 1
    if not seeds:
        return "no run yet"
    if epochs < recipe_epochs:
        return f"not judged: {epochs:.0f} of {recipe_epochs} epochs"
    return f"not judged: {seeds} of {needed} seeds" if seeds < needed else None


def judge_level(
    claim: Claim,
    values: Sequence[float],
    sampling_variance: float,
    epochs: int,
    recipe_epochs: int,
    chance: bool = True,
) -> Verdict:
    """Apply the rules to a level, or to the recall of a class.

    Args:
        claim: the claim; its ``value`` is a fraction.
        values: ours for every seed, fractions.
        sampling_variance: of one value, from the choice of the test pictures.
        epochs: epochs our runs were trained for.
        recipe_epochs: epochs the paper trains for.
        chance: whether the outcome of a training depends on its seed.
    """
    if claim.dataset == "own":
        return Verdict("not testable")
    if not values:
        return Verdict("no run yet")
    mean, sd = float(np.mean(values)), sample_sd(values)
    gap = mean - claim.value
    if why := shortfall(len(values), epochs, recipe_epochs, chance):
        return Verdict(why, mean, sd, gap=gap)
    low, high = mean_interval(values, sampling_variance)
    low, high = max(low, 0.0), min(high, 1.0)
    near = abs(gap) <= TOLERANCE
    if claim.metric.endswith("upper bound"):
        near, low_enough = gap <= 0, low <= claim.value
    else:
        low_enough = low <= claim.value <= high
    text = "reproduced" if near else "within noise" if low_enough else "not reproduced"
    return Verdict(text, mean, sd, low, high, gap)


def judge_gain(claim: Claim, comparison: Comparison | None, epochs: int, recipe_epochs: int) -> Verdict:
    """Apply the rules to a gain.

    Args:
        claim: the claim; its ``value`` is a difference of fractions.
        comparison: our runs of both recipes, compared; None without a pair.
        epochs: epochs the runs of both were trained for.
        recipe_epochs: epochs the paper trains for.
    """
    if comparison is None:
        return Verdict("no run yet")
    gap = comparison.gain - claim.value
    if why := shortfall(len(comparison.gains), epochs, recipe_epochs):
        return Verdict(why, comparison.gain, comparison.sd, gap=gap)
    low, high = comparison.low, comparison.high
    its_side = claim.value == 0 or (low > 0 if claim.value > 0 else high < 0)
    if abs(gap) <= TOLERANCE and its_side:
        text = "reproduced"
    else:
        text = "within noise" if low <= claim.value <= high else "not reproduced"
    return Verdict(text, comparison.gain, comparison.sd, low, high, gap)
