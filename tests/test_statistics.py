"""Intervals and tests against SciPy, closed forms, published values and simulation."""

import numpy as np
import pytest
from scipy import stats

from fer_lib.statistics import (
    compare,
    holm,
    joined_p,
    mcnemar,
    mean_interval,
    paired_bootstrap,
    paired_t,
    resampled_variance,
    sample_sd,
    share_variance,
)

SEEDS = (0.70, 0.71, 0.72)


def nets(accuracies, pictures=3589, seed=0):
    """Which pictures nets of these accuracies are right about: the easy ones, and by chance some of the others."""
    difficulty = np.random.default_rng(0).permutation(pictures) / pictures
    scores = difficulty + np.random.default_rng(seed).normal(0, 0.15, (len(accuracies), pictures))
    return np.stack([s < np.quantile(s, a) for s, a in zip(scores, accuracies, strict=True)])


# ---------------------------------------------------------------- the interval of a mean


@pytest.mark.parametrize("accuracies", [(0.7, 0.72), SEEDS, (0.65, 0.7, 0.71, 0.74, 0.6)])
@pytest.mark.parametrize("variance", [1e-6, 5.9e-5, 6e-4])
def test_the_ends_of_the_interval_are_where_welchs_test_gives_5_percent(accuracies, variance):
    mean, many = np.mean(accuracies), 10**9  # a second sample so large that its variance counts as known
    for end in mean_interval(accuracies, variance):
        test = stats.ttest_ind_from_stats(
            mean, np.std(accuracies, ddof=1), len(accuracies), end, np.sqrt(many * variance), many, equal_var=False
        )
        assert test.pvalue == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize("accuracies", [(0.7,), (0.7, 0.7, 0.7)])
def test_without_spread_the_interval_is_that_of_the_pictures_alone(accuracies):
    width = stats.norm.ppf(0.975) * 0.0076
    assert mean_interval(accuracies, 0.0076**2) == pytest.approx((0.7 - width, 0.7 + width))


def test_the_interval_covers_the_truth():
    rng = np.random.default_rng(0)
    truth, pictures, inside = 0.7, 3589, 0
    for _ in range(1000):
        drawn = rng.binomial(pictures, truth) / pictures  # one test set, which all seeds share
        seeds = drawn + rng.normal(0, 0.01, 3)
        low, high = mean_interval(seeds, share_variance(seeds.mean(), pictures))
        inside += low <= truth <= high
    assert 0.93 <= inside / 1000 <= 0.97


def test_the_variance_of_a_share():
    assert share_variance(0.7, 3589) == pytest.approx(stats.binom.var(3589, 0.7) / 3589**2, rel=2e-3)
    for share in (0, 1):
        assert share_variance(share, 54) == pytest.approx(2 / 58 * 56 / 58 / 54)


def test_resampling_gives_the_binomial_variance_of_an_accuracy():
    labels = np.arange(500) % 5
    predicted = np.where(np.arange(500) < 350, labels, (labels + 1) % 5)
    found = resampled_variance(lambda truth, answers: np.mean(truth == answers), labels, predicted, resamples=2000)
    assert found == pytest.approx(0.7 * 0.3 / 500, rel=0.1)


def test_one_value_has_no_spread():
    assert sample_sd([0.7]) is None
    assert sample_sd(SEEDS) == pytest.approx(0.01)


# ---------------------------------------------------------------- tests over seeds


def test_the_paired_t_test_is_scipys():
    ours, baseline = np.array([0.74, 0.735, 0.75]), np.array([0.72, 0.73, 0.725])
    assert paired_t(ours - baseline) == pytest.approx(stats.ttest_rel(ours, baseline).pvalue)


@pytest.mark.parametrize(
    ("gains", "p"),
    [([0.0, 0.0, 0.0], 1.0), ([0.02, 0.02, 0.02], None), ([0.02], None), ([], None)],
)
def test_without_spread_or_pairs_there_is_no_test(gains, p):
    assert paired_t(gains) == p


# ---------------------------------------------------------------- tests over pictures


def test_mcnemar_in_closed_form():
    # 8 pictures that one net alone gets right, 2 the other: twice the binomial tail of at most 2 of 10.
    ours = np.array([1] * 8 + [0] * 2 + [1] * 50 + [0] * 40, bool)
    baseline = np.array([0] * 8 + [1] * 2 + [1] * 50 + [0] * 40, bool)
    assert mcnemar(ours, baseline) == mcnemar(baseline, ours) == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar(ours, ours) == 1
    tie = np.array([1, 0] * 5, bool)
    assert mcnemar(tie, ~tie) == 1


@pytest.mark.parametrize(
    ("p_values", "joined"), [([0.01], 0.01), ([0.01, 0.2], 0.02), ([0.5, 0.01, 0.02], 0.03), ([0.9, 0.8, 0.7], 1.0)]
)
def test_joined_p_values(p_values, joined):
    assert joined_p(p_values) == pytest.approx(joined)


def test_joined_p_values_hold_their_level_under_dependence():
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(20_000, 1)), rng.normal(size=(20_000, 5))
    for share in (0, 0.5, 0.95):
        p = 2 * stats.norm.sf(np.abs(np.sqrt(share) * shared + np.sqrt(1 - share) * own))
        assert np.mean([joined_p(row) <= 0.05 for row in p]) <= 0.053


# ---------------------------------------------------------------- several tests


def test_holm_as_r_adjusts():
    # p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") of R 4.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.5]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_holm_counts_the_tests_to_come():
    assert holm([0.01, None, 0.04, None]) == [pytest.approx(0.04), None, pytest.approx(0.12), None]


# ---------------------------------------------------------------- comparisons


def test_equal_models():
    same = nets([0.7, 0.71, 0.72])
    found = compare(same, same)
    assert (found.gain, found.low, found.high, found.bootstrap) == (0, 0, 0, (0, 0))
    assert (found.p, found.p_pictures, found.d_z, found.in_seed_sds) == (1, 1, None, 0)


def test_models_that_differ_by_chance_alone():
    found = compare(nets([0.70, 0.71, 0.72], seed=1), nets([0.712, 0.70, 0.718], seed=2))
    assert found.gain == pytest.approx(0, abs=1e-3)
    assert found.low < 0 < found.high
    assert found.p > 0.5
    assert found.p_pictures > 0.2


def test_a_gain_of_two_points_with_five_seeds():
    baseline = [0.700, 0.704, 0.698, 0.702, 0.696]
    found = compare(nets([a + g for a, g in zip(baseline, (0.02, 0.018, 0.022, 0.021, 0.019), strict=True)]),
                    nets(baseline, seed=1))  # fmt: skip
    assert found.gain == pytest.approx(0.02, abs=3e-4)
    assert found.gains == pytest.approx([0.02, 0.018, 0.022, 0.021, 0.019], abs=3e-4)
    assert found.p == pytest.approx(stats.ttest_1samp(found.gains, 0).pvalue)
    assert found.p < 1e-3
    assert 0 < found.low < 0.02 < found.high < 0.04
    assert found.bootstrap == pytest.approx((found.low, found.high), abs=0.004)
    assert found.d_z == pytest.approx(np.mean(found.gains) / np.std(found.gains, ddof=1))
    assert found.in_seed_sds == pytest.approx(0.02 / 0.0032, rel=0.1)


def test_one_seed_tests_nothing():
    found = compare(nets([0.75]), nets([0.70]))
    assert found.gain == pytest.approx(0.05, abs=1e-3)
    assert {found.sd, found.low, found.high, found.bootstrap, found.p, found.p_pictures, found.d_z} == {None}


def test_a_comparison_needs_pairs():
    with pytest.raises(ValueError, match=r"not \(2, 100\), \(3, 100\)"):
        compare(nets([0.7, 0.7], 100), nets([0.7, 0.7, 0.7], 100))


def test_the_interval_of_a_gain_covers_the_truth():
    # Nets whose every picture is a coin of its own, and whose seeds vary: the true gain is 0.05.
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        easy = rng.choice([0.5, 0.9], 400)
        ours, baseline = (rng.random((3, 400)) < easy - loss + rng.normal(0, 0.02, (3, 1)) for loss in (0.05, 0.1))
        found = compare(ours, baseline)
        inside += found.low <= 0.05 <= found.high
    assert inside / 400 >= 0.93


def test_the_bootstrap_draws_pictures_and_seeds():
    pictures = 400
    baseline = np.zeros((3, pictures), bool)
    ours = np.zeros((3, pictures), bool)
    ours[:, :200] = True  # all seeds alike: the pictures alone vary
    low, high = paired_bootstrap(ours, baseline)
    width = stats.norm.ppf(0.975) * np.sqrt(0.25 / pictures)
    assert (low, high) == pytest.approx((0.5 - width, 0.5 + width), abs=0.006)
    seeds = np.zeros((2, pictures), bool)
    seeds[1] = True  # all pictures alike: the seeds alone vary, and both draws are the same one half of the time
    assert paired_bootstrap(seeds, baseline[:2]) == (0, 1)
    assert paired_bootstrap(ours, baseline) == (low, high)
