"""The fit, its intervals and tests against SciPy and closed forms."""

import math

import numpy as np
import pytest
from scipy import stats

from fer_lib.errors import UserError
from fer_lib.statistics import POWER, LargestOfMany, fit, picture_variance, sample_sd, smallest_gain


def family(sizes, seed=0, shifts=None):
    """Made-up accuracies of a baseline and further nets, by name."""
    rng = np.random.default_rng(seed)
    shifts = shifts or [0.0] * len(sizes)
    return {f"net{k}": rng.normal(0.6 + shift, 0.01, n) for k, (n, shift) in enumerate(zip(sizes, shifts, strict=True))}


@pytest.mark.parametrize("sizes", [(3, 3, 3), (4, 3, 5, 3, 4), (5, 2, 3, 3, 3, 3, 3, 3)])
def test_simultaneous_intervals_and_p_are_scipys_dunnett(sizes):
    values = family(sizes, shifts=[0, 0.01, 0.02, -0.03, 0.005, 0, 0, 0][: len(sizes)])
    baseline, *names = values
    found = fit(values).gains(names, baseline)
    theirs = stats.dunnett(*(values[name] for name in names), control=values[baseline], rng=np.random.default_rng(1))
    interval = theirs.confidence_interval(0.95)
    assert [g.p for g in found] == pytest.approx(theirs.pvalue, abs=2e-3)
    assert [g.low for g in found] == pytest.approx(interval.low, abs=2e-4)
    assert [g.high for g in found] == pytest.approx(interval.high, abs=2e-4)


def test_one_net_and_its_baseline_are_students_t_test():
    values = family((4, 6), shifts=[0, 0.01])
    (found,) = fit(values).gains(["net1"], "net0")
    test = stats.ttest_ind(values["net1"], values["net0"])
    interval = test.confidence_interval(0.95)
    assert found.p == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.low_single, found.high_single) == pytest.approx((interval.low, interval.high))
    narrow = test.confidence_interval(0.90)
    assert (found.low_90, found.high_90) == pytest.approx((narrow.low, narrow.high))


@pytest.mark.parametrize("names", [["net0"], ["net1", "net0"], ["net1", "net1"]])
def test_a_net_is_compared_once_and_not_with_itself(names):
    with pytest.raises(ValueError, match="name every net once, and the baseline not among them"):
        fit(family((3, 3))).gains(names, "net0")


@pytest.mark.parametrize(
    ("design", "words"), [((1,), "runs must be an integer of at least 2"), ((3, 0), "nets must be")]
)
def test_a_design_without_a_spread_is_refused(design, words):
    with pytest.raises(UserError, match=words):
        smallest_gain(0.01, *design)


def test_a_net_that_spreads_wider_is_welchs_t_test_and_leaves_the_pool():
    values = family((6, 4, 5, 3)) | {"wide": np.array([0.5, 0.62, 0.7, 0.55])}
    found = fit(values)
    others = fit({name: values[name] for name in values if name != "wide"})
    assert found.pool == pytest.approx((others.sd, others.freedom))
    assert found.own_sd("wide") == pytest.approx(np.std(values["wide"], ddof=1))
    assert np.isnan(found.own_sd("net1"))
    (alone,), (net,) = found.gains(["wide"], "net0"), found.gains(["net1"], "net0")
    assert net == others.gains(["net1"], "net0")[0]
    # Welch by hand: the baseline's spread is the pool's.
    parts = np.array([found.own_sd("wide") ** 2 / 4, others.sd**2 / 6])
    freedom = parts.sum() ** 2 / (parts**2 / [3, others.freedom]).sum()
    assert alone.high_single - alone.gain == pytest.approx(stats.t.ppf(0.975, freedom) * np.sqrt(parts.sum()))
    first, second = found.gains(["wide", "net1"], "net0")
    sidak = stats.t.ppf((1 + 0.95**0.5) / 2, freedom)
    assert first.high - first.gain == pytest.approx(sidak * np.sqrt(parts.sum()), rel=1e-4)
    assert (first.p < 0.05) == (first.low > 0 or first.high < 0)
    assert second.high_single == pytest.approx(net.high_single)


def test_of_two_nets_with_unequal_spreads_the_comparison_is_welchs():
    values = {"plain": np.array([0.600, 0.601, 0.602, 0.601]), "wide": np.array([0.58, 0.66, 0.62])}
    (found,) = fit(values).gains(["wide"], "plain")
    test = stats.ttest_ind(values["wide"], values["plain"], equal_var=False)
    assert found.p == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval(0.95)))


def test_which_net_spreads_wider_is_a_one_sided_f_test_with_blocks_aside():
    rng = np.random.default_rng(8)
    split = rng.normal(0, 0.05, 6)  # common to all nets: no spread of theirs
    values = {f"net{k}": 0.9 + split + rng.normal(0, 0.01, 6) for k in range(4)}
    blocks = {name: [(seed,) for seed in range(6)] for name in values}
    assert np.isnan([fit(values, blocks).own_sd(name) for name in values]).all()
    at_limit = {"a": np.array([-1.0, 0, 1]), "b": np.array([-1.0, 0, 1]), "c": np.zeros(3)}
    limit = np.sqrt(stats.f.isf(0.01, 2, 4))
    for factor, wide in ((0.99, False), (1.01, True)):
        at_limit["c"] = factor * limit * np.array([-1.0, 0, 1])
        assert np.isfinite(fit(at_limit).own_sd("c")) == wide


def test_the_spread_is_pooled_over_all_nets_given():
    values = family((3, 3, 3, 4))
    found = fit(values)
    assert found.freedom == 9
    assert found.sd == pytest.approx(np.sqrt(sum(((v - v.mean()) ** 2).sum() for v in values.values()) / 9))
    assert found.equal_p == pytest.approx(stats.bartlett(*values.values()).pvalue)
    (alone,) = fit({name: values[name] for name in ("net0", "net1")}).gains(["net1"], "net0")
    (pooled,) = found.gains(["net1"], "net0")
    assert pooled.gain == pytest.approx(alone.gain)
    half = stats.t.ppf(0.975, 9) * found.sd * np.sqrt(2 / 3)
    assert pooled.high - pooled.gain == pytest.approx(half)


def test_a_precision_is_a_factor_and_no_gain():
    rng = np.random.default_rng(2)
    noise = {name: rng.normal(0, 0.002, 6) for name in ("plain", "module")}
    # Half of the plain runs, and all but one of the module's, are in the precision that is five points better.
    blocks = {"plain": [("a",)] * 3 + [("b",)] * 3, "module": [("a",)] + [("b",)] * 5}
    values = {
        name: [noise[name][run] + 0.05 * (block == ("b",)) for run, block in enumerate(blocks[name])] for name in noise
    }
    (naive,), (blocked,) = (fit(values, b).gains(["module"], "plain") for b in (None, blocks))
    assert naive.gain > 0.012
    assert abs(blocked.gain) < 0.003
    assert blocked.low < 0 < blocked.high
    # By hand: least squares of the two-way table.
    y = np.concatenate([values["plain"], values["module"]])
    x = np.column_stack([np.ones(12), np.repeat([0, 1], 6), [b == ("b",) for rows in blocks.values() for b in rows]])
    solution, residual, *_ = np.linalg.lstsq(x.astype(float), y, rcond=None)
    assert blocked.gain == pytest.approx(solution[1])
    error = np.sqrt(residual[0] / 9 * np.linalg.inv(x.T.astype(float) @ x)[1, 1])
    assert blocked.high_single - blocked.gain == pytest.approx(stats.t.ppf(0.975, 9) * error)


def test_nets_never_in_one_precision_are_not_compared():
    values = {"plain": [0.6, 0.61, 0.62], "module": [0.6, 0.61, 0.62]}
    apart = fit(values, {"plain": [("a",)] * 3, "module": [("b",)] * 3})
    assert not apart.comparable("module", "plain")
    with pytest.raises(ValueError, match="without a common block"):
        apart.gains(["module"], "plain")
    bridged = fit(
        values | {"other": [0.6, 0.61]},
        {"plain": [("a",)] * 3, "module": [("b",)] * 3, "other": [("a",), ("b",)]},
    )
    assert bridged.comparable("module", "plain")


def test_without_a_spread_nothing_is_compared():
    with pytest.raises(ValueError, match="too few runs"):
        fit({"plain": [0.6], "module": [0.7]}).gains(["module"], "plain")
    assert fit({"plain": [0.6], "module": [0.7]}).one_more([0.6]) is None


@pytest.mark.parametrize("level", [0.95, 1.0, 1 / 3])
def test_seeds_that_are_equal_by_chance_say_nothing_of_one_more(level):
    """What rounding leaves of a least-squares fit is no spread."""
    fitted = fit({"plain": [level] * 3, "module": [0.9] * 3})
    assert fitted.sd == 0
    assert fitted.one_more([level] * 3) is None
    assert fitted.one_more_pair([0.9] * 3, [level] * 3) is None
    assert fitted.least_of_one_more([level] * 3) is None
    assert fit({"plain": [level, level, level + 1e-9]}).sd > 0


def test_nets_still_to_come_count():
    values = family((3, 3, 3))
    few = fit(values).gains(["net1"], "net0")[0]
    many = fit(values).gains(["net1"], "net0", to_come=7)[0]
    assert many.high > few.high
    assert many.p > few.p
    assert (many.low_single, many.gain) == (few.low_single, few.gain)


@pytest.mark.parametrize("n", [1, 3, 10])
def test_one_more_run_is_the_prediction_interval_of_a_normal_sample(n):
    values = family((3, 5, 4))
    found = fit(values)
    own = list(np.linspace(0.6, 0.62, n))
    half = stats.t.ppf(0.975, 9) * found.sd * np.sqrt(1 + 1 / n)
    assert found.one_more(own) == pytest.approx((np.mean(own) - half, np.mean(own) + half))
    other = [0.5, 0.52]
    wide = stats.t.ppf(0.975, 9) * np.sqrt(found.sd**2 * (2 + 1 / n + 1 / 2) + 2 * 0.01**2)
    expected = np.mean(own) - 0.51
    assert found.one_more_pair(own, other, 0.01**2) == pytest.approx((expected - wide, expected + wide))


def test_the_smallest_gain_is_foretold_as_a_fit_of_as_many_runs_finds_it():
    runs = {"plain": [0.70, 0.71, 0.72], "a": [0.71, 0.73, 0.72], "b": [0.70, 0.70, 0.72]}
    found = fit(runs)
    gain, _ = found.gains(["a", "b"], "plain", [1e-5, 1e-5])
    assert smallest_gain(found.sd, 3, 2, 1e-5) == pytest.approx(gain.smallest)


def test_the_smallest_gain_found_is_found_in_80_of_100_studies():
    values = family((5, 5, 5, 5))
    found = fit(values).gains(["net1", "net2", "net3"], "net0")[0]
    rng, error = np.random.default_rng(3), fit(values).sd * np.sqrt(2 / 5)
    quantile = (found.high - found.gain) / error
    draws = (rng.normal(found.smallest / error, 1, 200_000)) / np.sqrt(rng.chisquare(16, 200_000) / 16)
    assert (draws > quantile).mean() == pytest.approx(0.8, abs=0.005)


# ---------------------------------------------------------------- pictures


def crossed(runs, pictures, of_picture, of_both, rng):
    """Scores whose variance is known: of the picture alone, and of picture and run together."""
    return rng.normal(0, of_picture, pictures) + rng.normal(0, of_both, (runs, pictures))


def test_picture_variance_leaves_out_what_the_seeds_spread_holds():
    rng = np.random.default_rng(4)
    found = [picture_variance(crossed(3, 2000, 0.3, 0.5, rng), crossed(5, 2000, 0.3, 0.5, rng)) for _ in range(40)]
    assert np.mean(found) == pytest.approx(2 * 0.3**2 / 2000, rel=0.05)
    alike = [picture_variance(crossed(3, 2000, 0, 0.5, rng), crossed(3, 2000, 0, 0.5, rng)) for _ in range(40)]
    assert min(alike) == 0
    assert np.mean(alike) < 0.05 * 0.5**2 * (2 / 3) / 2000


def test_a_single_run_takes_the_others_share_and_two_know_nothing():
    rng = np.random.default_rng(5)
    many, one = crossed(4, 3000, 0.2, 0.5, rng), crossed(1, 3000, 0.2, 0.5, rng)
    assert picture_variance(many, one) == pytest.approx(2 * 0.2**2 / 3000, rel=0.3)
    assert picture_variance(one, crossed(1, 3000, 0.2, 0.5, rng)) == 0


def test_one_value_has_no_spread():
    assert np.isnan(sample_sd([0.7]))
    assert sample_sd([0.70, 0.71, 0.72]) == pytest.approx(0.01)


def test_a_spread_that_is_all_but_unknown_has_no_smallest_difference():
    """Eight independent statistics of one degree of freedom, as of a net with two seeds of which one has diverged."""
    eight = LargestOfMany(tuple(map(tuple, np.eye(8).tolist())), 1.0)
    assert math.isnan(eight.detectable)
    one = LargestOfMany(((1.0,),), 4.0)
    assert stats.nct.sf(one.quantile, 4, one.detectable) == pytest.approx(POWER, abs=1e-4)
