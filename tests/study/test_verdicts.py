"""The rules: every verdict, and the interval against SciPy and by simulation."""

import numpy as np
import pytest
from scipy import stats

from fer_lib.claims import Claim
from fer_lib.study.verdicts import MIN_SEEDS, TOLERANCE, Verdict, interval, judge

SEEDS = (0.70, 0.71, 0.72)


def claim(value, dataset="fer2013"):
    return Claim(
        id="p/d/s", paper="p", place="Table 1", system="S", kind="level", dataset=dataset, split="test",
        metric="accuracy", value=value, recipe="p/s/d",
    )  # fmt: skip


def test_the_rules_are_those_announced():
    assert (MIN_SEEDS, TOLERANCE) == (3, 0.005)


@pytest.mark.parametrize(
    ("printed", "accuracies", "epochs", "verdict"),
    [
        (0.71, SEEDS, 500, "reproduced"),
        (0.7145, SEEDS, 500, "reproduced"),
        (0.7055, SEEDS, 500, "reproduced"),
        (0.716, SEEDS, 500, "within noise"),
        (0.70, SEEDS, 500, "within noise"),
        (0.80, SEEDS, 500, "not reproduced"),
        (0.62, SEEDS, 500, "not reproduced"),
        (0.71, SEEDS[:2], 500, "not judged: 2 of 3 seeds"),
        (0.71, SEEDS[:1], 500, "not judged: 1 of 3 seeds"),
        (0.71, SEEDS, 499, "not judged: 499 of 500 epochs"),
        (0.71, SEEDS[:1], 5, "not judged: 5 of 500 epochs"),
        (0.71, (), 0, "no run yet"),
    ],
)
def test_every_word(printed, accuracies, epochs, verdict):
    found = judge(claim(printed), accuracies, 3589, epochs, 500)
    assert found.text == verdict
    if not accuracies:
        assert found == Verdict("no run yet")
        return
    assert found.mean == pytest.approx(np.mean(accuracies))
    assert found.gap == pytest.approx(np.mean(accuracies) - printed)
    assert found.sd == (pytest.approx(0.01 if len(accuracies) == 3 else 0.01 / 2**0.5) if accuracies[1:] else None)
    judged = not verdict.startswith("not judged")
    assert (found.low is not None) == (found.high is not None) == judged
    if judged:
        assert (found.low <= printed <= found.high) == (verdict != "not reproduced")


def test_own_pictures_cannot_be_tested():
    assert judge(claim(0.71, "own"), SEEDS, 3589, 500, 500) == Verdict("not testable")


def test_close_means_reproduced_even_outside_a_tiny_interval():
    found = judge(claim(0.704), (0.7, 0.7, 0.7), 10**9, 500, 500)
    assert found.high < 0.704
    assert found.text == "reproduced"


@pytest.mark.parametrize("accuracies", [(0.7, 0.72), SEEDS, (0.65, 0.7, 0.71, 0.74, 0.6)])
@pytest.mark.parametrize("pictures", [327, 3589])
def test_the_ends_of_the_interval_are_where_welchs_test_gives_5_percent(accuracies, pictures):
    mean, many = np.mean(accuracies), 10**9  # a second sample so large that its variance counts as known
    known = np.sqrt(many * mean * (1 - mean) / pictures)
    for end in interval(accuracies, pictures):
        test = stats.ttest_ind_from_stats(
            mean, np.std(accuracies, ddof=1), len(accuracies), end, known, many, equal_var=False
        )
        assert test.pvalue == pytest.approx(0.05, abs=1e-6)


def test_without_spread_the_interval_is_that_of_the_pictures_alone():
    width = stats.norm.ppf(0.975) * stats.binom.std(3589, 0.7) / 3589
    assert interval((0.7, 0.7, 0.7), 3589) == pytest.approx((0.7 - width, 0.7 + width))


def test_the_interval_covers_the_truth():
    rng = np.random.default_rng(0)
    truth, pictures, inside = 0.7, 3589, 0
    for _ in range(1000):
        drawn = rng.binomial(pictures, truth) / pictures  # one test set, which all seeds share
        low, high = interval(drawn + rng.normal(0, 0.01, 3), pictures)
        inside += low <= truth <= high
    assert 0.93 <= inside / 1000 <= 0.97
