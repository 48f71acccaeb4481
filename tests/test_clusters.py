"""The bootstrap over persons: against theory, against SciPy, and how often its intervals hold the truth."""

import numpy as np
import pytest
from scipy import stats

from fer_lib import clusters
from fer_lib.clusters import ByPerson, by_person, difference_interval


def test_answers_are_counted_by_person():
    found = by_person([2, 0, 2, 2], [True, False, True, False], persons=4)
    assert found.right.tolist() == [0, 0, 2, 0]
    assert found.asked.tolist() == [1, 0, 3, 0]
    assert found.accuracy == 0.5


def test_one_picture_a_person_is_the_binomial_case():
    found = by_person(np.arange(400), np.arange(400) < 300, persons=400)
    exact = stats.binomtest(300, 400).proportion_ci(method="exact")
    assert found.interval == (pytest.approx(exact.low, abs=0.003), pytest.approx(exact.high, abs=0.003))
    assert found.variance == pytest.approx(0.75 * 0.25 / 400, rel=0.05)


def test_frames_of_one_film_are_worth_one_picture():
    once = by_person(np.arange(100), np.arange(100) < 80, persons=100)
    thrice = by_person(np.repeat(np.arange(100), 3), np.repeat(np.arange(100) < 80, 3), persons=100)
    assert thrice.interval == pytest.approx(once.interval)
    assert by_person(np.arange(300), np.repeat(np.arange(100) < 80, 3), 300).variance < 0.4 * thrice.variance


def test_where_every_answer_is_right_a_person_is_one_picture():
    found = by_person(np.repeat(np.arange(100), 5), np.ones(500, bool), persons=100)
    exact = stats.binomtest(100, 100).proportion_ci(method="exact")
    assert found.interval == (pytest.approx(exact.low, abs=0.002), 1)
    wrong = by_person(np.repeat(np.arange(100), 5), np.zeros(500, bool), persons=100)
    assert wrong.interval == (0, pytest.approx(1 - exact.low, abs=0.002))


def test_the_variance_and_differences_agree_with_scipys_bootstrap():
    rng = np.random.default_rng(1)
    asked = rng.integers(2, 12, 60)
    right = rng.binomial(asked, 0.8)
    other = rng.binomial(asked, 0.7)

    def bootstrap(statistic, *counts):
        return stats.bootstrap(counts, statistic, paired=True, vectorized=True, method="percentile", rng=rng)

    alone = bootstrap(lambda r, a, axis: r.sum(axis) / a.sum(axis), right, asked)
    ours, theirs = (ByPerson(counts.astype(float), asked.astype(float)) for counts in (right, other))
    assert np.sqrt(ours.variance) == pytest.approx(alone.standard_error, rel=0.04)
    expected = bootstrap(lambda r, o, a, axis: (r - o).sum(axis) / a.sum(axis), right, other, asked).confidence_interval
    found = difference_interval(ours, theirs)
    assert found == (pytest.approx(expected.low, abs=0.005), pytest.approx(expected.high, abs=0.005))


def people(rng: np.random.Generator, mean: float, persons: int = 118) -> ByPerson:
    """A study of CK+'s size, whose persons differ in how well they are read."""
    asked = 3.0 * rng.integers(1, 6, persons)
    skill = rng.beta(3 * mean, 3 * (1 - mean), persons)
    return ByPerson(3.0 * rng.binomial((asked / 3).astype(int), skill), asked)


@pytest.fixture
def few_draws(monkeypatch):
    monkeypatch.setattr(clusters, "RESAMPLES", 1000)
    clusters._draws.cache_clear()
    yield
    clusters._draws.cache_clear()


@pytest.mark.parametrize(("mean", "most"), [(0.55, 0.975), (0.88, 0.975), (0.95, 0.975), (0.98, 0.99), (0.99, 1)])
def test_intervals_hold_the_truth_at_least_as_often_as_they_say(few_draws, mean, most):
    """Near the ceiling, where counts are small, more often, as exact intervals do."""
    rng, studies = np.random.default_rng(2), 600
    held = [low <= mean <= high for low, high in (people(rng, mean).interval for _ in range(studies))]
    chance = 2.6 * np.sqrt(0.05 * 0.95 / studies)
    assert 0.945 - chance < np.mean(held) <= most


def test_pictures_taken_for_independent_would_claim_too_much():
    rng, held = np.random.default_rng(3), []
    for _ in range(600):
        found = people(rng, 0.88)
        half = 1.96 * np.sqrt(found.accuracy * (1 - found.accuracy) / found.asked.sum())
        held.append(abs(found.accuracy - 0.88) <= half)
    assert np.mean(held) < 0.85


def test_a_difference_is_surer_than_its_sides_where_persons_are_hard_for_both():
    rng = np.random.default_rng(3)
    ours = people(rng, 0.85)
    better = ByPerson(np.minimum(ours.right + 1, ours.asked), ours.asked)
    low, high = difference_interval(better, ours)
    assert 0 < low < better.accuracy - ours.accuracy < high
    assert high - low < 0.5 * (ours.interval[1] - ours.interval[0])
    assert difference_interval(ours, ours) == (0, 0)


def test_the_numbers_are_the_same_on_every_machine():
    found = by_person(np.arange(30) % 10, np.arange(30) % 7 > 1, persons=10)
    assert difference_interval(found, by_person(np.arange(10), np.zeros(10, bool), 10)) == (
        pytest.approx(8 / 15, abs=1e-12), pytest.approx(0.8, abs=1e-12),
    )  # fmt: skip
