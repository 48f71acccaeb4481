"""The rules: every word for every kind of claim, against the announced definitions."""

import numpy as np
import pytest
from scipy import stats

from fer_lib.claims import Claim
from fer_lib.statistics import Comparison, share_variance
from fer_lib.study.verdicts import LEVELS, MIN_SEEDS, TOLERANCE, Verdict, judge_gain, judge_level, shortfall

SEEDS = (0.70, 0.71, 0.72)
PICTURES = share_variance(0.71, 3589)


def claim(value, dataset="fer2013", metric="accuracy", kind="level"):
    return Claim(
        id="p/d/s", paper="p", place="Table 1", system="S", kind=kind, dataset=dataset, split="test",
        metric=metric, value=value, recipe="p/s/d", baseline="p/b/d" if kind == "gain" else None,
        class_name="happy" if kind == "recall" else None,
    )  # fmt: skip


def gain(mean, low=None, high=None, seeds=3):
    return Comparison(gains=(mean,) * seeds, sd=0.01, low=low, high=high)


def test_the_rules_are_those_announced():
    assert (MIN_SEEDS, TOLERANCE) == (3, 0.005)
    assert LEVELS == {
        "accuracy": "accuracy", "accuracy, upper bound": "accuracy", "precision": "macro_precision",
        "recall": "macro_recall", "F1": "macro_f1",
    }  # fmt: skip


# ---------------------------------------------------------------- levels and recalls


@pytest.mark.parametrize(("kind", "metric"), [("level", "accuracy"), ("level", "F1"), ("recall", "recall")])
@pytest.mark.parametrize(
    ("printed", "values", "epochs", "verdict"),
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
        (0.99, SEEDS, 499, "not judged: 499 of 500 epochs"),
        (0.71, SEEDS[:1], 5, "not judged: 5 of 500 epochs"),
        (0.71, (), 0, "no run yet"),
    ],
)
def test_every_word_about_a_level(printed, values, epochs, verdict, kind, metric):
    found = judge_level(claim(printed, metric=metric, kind=kind), values, PICTURES, epochs, 500)
    assert found.text == verdict
    if not values:
        assert found == Verdict("no run yet")
        return
    assert found.mean == pytest.approx(np.mean(values))
    assert found.gap == pytest.approx(np.mean(values) - printed)
    assert found.sd == (pytest.approx(0.01 if len(values) == 3 else 0.01 / 2**0.5) if values[1:] else None)
    judged = not verdict.startswith("not judged")
    assert (found.low is not None) == (found.high is not None) == judged
    if judged:
        assert (found.low <= printed <= found.high) == (verdict != "not reproduced")


@pytest.mark.parametrize(
    ("bound", "verdict"), [(0.72, "reproduced"), (0.95, "reproduced"), (0.71, "reproduced"), (0.705, "within noise"),
                           (0.6, "not reproduced")]
)  # fmt: skip
def test_a_printed_upper_bound(bound, verdict):
    found = judge_level(claim(bound, metric="accuracy, upper bound"), (0.71, 0.70, 0.72), PICTURES, 500, 500)
    assert found.text == verdict


def test_a_training_without_chance_needs_one_run():
    found = judge_level(claim(0.72), (0.71,), PICTURES, 1, 1, chance=False)
    width = stats.norm.ppf(0.975) * PICTURES**0.5
    assert (found.text, found.sd) == ("within noise", None)
    assert (found.low, found.high) == pytest.approx((0.71 - width, 0.71 + width))


def test_own_pictures_cannot_be_tested():
    assert judge_level(claim(0.71, "own"), SEEDS, PICTURES, 500, 500) == Verdict("not testable")


def test_close_means_reproduced_even_outside_a_tiny_interval():
    found = judge_level(claim(0.704), (0.7, 0.7, 0.7), 1e-12, 500, 500)
    assert found.high < 0.704
    assert found.text == "reproduced"


def test_an_interval_ends_where_shares_end():
    found = judge_level(claim(0.9, kind="recall"), (0.0, 0.0, 0.0), share_variance(0, 54), 500, 500)
    assert found.low == 0
    assert 0 < found.high < 0.1
    assert found.text == "not reproduced"


# ---------------------------------------------------------------- gains


@pytest.mark.parametrize(
    ("printed", "ours", "low", "high", "verdict"),
    [
        (0.025, 0.027, 0.010, 0.044, "reproduced"),
        (0.025, 0.021, 0.001, 0.041, "reproduced"),
        (0.025, 0.021, -0.001, 0.043, "within noise"),  # near, yet ours may be no gain
        (0.025, 0.010, -0.010, 0.030, "within noise"),
        (0.025, 0.040, 0.020, 0.060, "within noise"),  # a gain, larger than printed
        (0.025, 0.040, 0.030, 0.050, "not reproduced"),
        (0.025, 0.000, -0.010, 0.010, "not reproduced"),
        (0.025, -0.030, -0.040, -0.020, "not reproduced"),
        (0.003, 0.000, -0.001, 0.001, "not reproduced"),  # near, yet certainly smaller
        (0.003, -0.001, -0.010, 0.008, "within noise"),
        (-0.020, -0.018, -0.030, -0.006, "reproduced"),
        (-0.020, 0.018, 0.006, 0.030, "not reproduced"),
        (0.000, 0.004, -0.010, 0.018, "reproduced"),
        (0.000, 0.010, -0.010, 0.030, "within noise"),
        (0.000, 0.020, 0.010, 0.030, "not reproduced"),
    ],
)
@pytest.mark.parametrize("dataset", ["fer2013", "own"])
def test_every_word_about_a_gain(printed, ours, low, high, verdict, dataset):
    found = judge_gain(claim(printed, dataset, kind="gain"), gain(ours, low, high), 60, 60)
    assert found == Verdict(verdict, found.mean, 0.01, low, high, found.gap)
    assert (found.mean, found.gap) == pytest.approx((ours, ours - printed))


def test_gains_that_cannot_be_judged():
    printed = claim(0.025, kind="gain")
    assert judge_gain(printed, None, 0, 60) == Verdict("no run yet")
    short = judge_gain(printed, gain(-0.2, -0.3, -0.1), 59, 60)
    assert (short.text, short.low) == ("not judged: 59 of 60 epochs", None)
    few = judge_gain(printed, gain(-0.2, -0.3, -0.1, seeds=2), 60, 60)
    assert (few.text, few.high) == ("not judged: 2 of 3 seeds", None)


def test_what_falls_short():
    assert shortfall(3, 60, 60) is None
    assert shortfall(1, 60, 60, chance=False) is None
    assert shortfall(0, 60, 60) == "no run yet"
    assert shortfall(5, 59, 60) == "not judged: 59 of 60 epochs"
    assert shortfall(2, 60, 60) == "not judged: 2 of 3 seeds"
