"""How sure accuracies and gains are: spread over seeds, sampling error of pictures, and paired tests.

Two things vary: the seed of a training and the pictures of the test set. An interval here joins both: it is for new
seeds and a new test set of the same size. A paired t test asks about new seeds on the same pictures, McNemar's test
about new pictures for the same trained nets. Pictures count as independent, which the films of CK+ are not quite.
NumPy and SciPy; fractions of 1 throughout.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95


def sample_sd(values: Sequence[float]) -> float | None:
    """Standard deviation with n - 1; None below two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


# ---------------------------------------------------------------- intervals


def mean_interval(values: Sequence[float], sampling_variance: float) -> tuple[float, float]:
    """The 95 % interval of a mean over seeds, for new seeds and a new test set of the same size.

    The variance of the mean over seeds (sd² / n) and that of the test set are added. Student's t gives the width,
    with the degrees of freedom of Welch (1947) and Satterthwaite (1946): the seeds' variance is an estimate with
    n - 1 of them, that of thousands of pictures as good as known. The seeds' spread holds some of the pictures'
    noise already, so that the interval is rather too wide than too narrow.

    Args:
        values: one per seed; at least one. With one the interval is the test set's alone, which is right only for
            a training without chance.
        sampling_variance: variance that the choice of test pictures gives each value.

    Returns:
        Lower and upper end.
    """
    mean, of_seeds = float(np.mean(values)), (sample_sd(values) or 0.0) ** 2 / len(values)
    total = of_seeds + sampling_variance
    freedom = (len(values) - 1) * (total / of_seeds) ** 2 if of_seeds else math.inf
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * math.sqrt(total)
    return mean - half, mean + half


def share_variance(share: float, pictures: int) -> float:
    """Sampling variance of a share of `pictures`: binomial, after two imagined hits and two misses.

    Without these (Agresti & Coull 1998) a class never recognised would seem to be known without error.
    """
    moderate = (share * pictures + 2) / (pictures + 4)
    return moderate * (1 - moderate) / pictures


def resampled_variance(
    measure: Callable[[NDArray, NDArray], float], labels: NDArray, predicted: NDArray, resamples: int = 200
) -> float:
    """Sampling variance of any figure of merit, by the bootstrap over pictures (Efron 1979).

    Args:
        measure: gives the figure from labels [N] and predictions [N].
        labels: true classes, int [N].
        predicted: predicted classes, int [N].
        resamples: test sets drawn; 200 suffice for a variance.
    """
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, len(labels), (resamples, len(labels)))
    return float(np.var([measure(labels[rows], predicted[rows]) for rows in drawn], ddof=1))


# ---------------------------------------------------------------- gains


@dataclass(frozen=True)
class Comparison:
    """What pairs of runs, each of one seed, say about a gain. One pair alone tests nothing: None.

    Attributes:
        gains: the difference of accuracies, seed by seed.
        sd: standard deviation of the gains.
        low: lower end of the 95 % interval of the mean gain, see :func:`mean_interval`.
        high: its upper end.
        bootstrap: ends of the interval by :func:`paired_bootstrap`.
        p: of Student's paired t test over seeds, two-sided.
        p_pictures: of :func:`mcnemar` over pictures, joined over the pairs.
        d_z: Cohen's effect size of pairs, mean gain / sd of the gains.
        in_seed_sds: mean gain / standard deviation of a seed, pooled over both sides.
    """

    gains: tuple[float, ...]
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    bootstrap: tuple[float, float] | None = None
    p: float | None = None
    p_pictures: float | None = None
    d_z: float | None = None
    in_seed_sds: float | None = None

    @property
    def gain(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.gains))


def compare(ours: ArrayLike, baseline: ArrayLike) -> Comparison:
    """Compare two systems on the same pictures, seeds paired.

    Args:
        ours: whether each seed's net is right about each picture, bool [S, N].
        baseline: the same of the other system, the same seeds and pictures in the same order.

    Raises:
        ValueError: shapes that differ or are empty.
    """
    ours, baseline = np.asarray(ours, bool), np.asarray(baseline, bool)
    if ours.shape != baseline.shape or ours.ndim != 2 or not ours.size:
        raise ValueError(f"pairs of the same seeds and pictures [S, N] are needed, not {ours.shape}, {baseline.shape}")
    gains = ours.mean(1) - baseline.mean(1)
    if len(gains) == 1:
        return Comparison(tuple(gains.tolist()))
    sd = float(gains.std(ddof=1))
    of_pictures = (ours.mean(0) - baseline.mean(0)).var(ddof=1) / ours.shape[1]
    low, high = mean_interval(gains.tolist(), float(of_pictures))
    of_a_seed = math.sqrt((ours.mean(1).var(ddof=1) + baseline.mean(1).var(ddof=1)) / 2)
    mean = float(gains.mean())
    return Comparison(
        gains=tuple(gains.tolist()),
        sd=sd,
        low=low,
        high=high,
        bootstrap=paired_bootstrap(ours, baseline),
        p=paired_t(gains),
        p_pictures=joined_p([mcnemar(a, b) for a, b in zip(ours, baseline, strict=True)]),
        d_z=mean / sd if _is_spread(gains) else None,
        in_seed_sds=mean / of_a_seed if of_a_seed > 1e-12 else None,
    )


def paired_t(gains: ArrayLike) -> float | None:
    """Two-sided p of Student's paired t test; None where it has nothing to say.

    That is with fewer than two pairs, and where all pairs gain the same: then no spread is left to test against.
    All gains zero, as of equal models, is p = 1.
    """
    gains = np.asarray(gains, float)
    if len(gains) < 2:
        return None
    if not _is_spread(gains):
        return 1.0 if abs(gains[0]) < 1e-12 else None
    return float(stats.ttest_1samp(gains, 0).pvalue)


def _is_spread(values: NDArray) -> bool:
    """Whether values differ by more than rounding."""
    return float(np.ptp(values)) > 1e-12


def mcnemar(ours: ArrayLike, baseline: ArrayLike) -> float:
    """Two-sided p of McNemar's exact test (1947): of the pictures one net alone gets right, are half ours?

    Args:
        ours: whether one net is right about each picture, bool [N].
        baseline: the same of the other net.
    """
    ours, baseline = np.asarray(ours, bool), np.asarray(baseline, bool)
    won, lost = int((ours & ~baseline).sum()), int((~ours & baseline).sum())
    return float(stats.binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0


def joined_p(p_values: Sequence[float]) -> float:
    """One p of several that share their pictures and so depend on each other.

    Rüger (1978): n / k times the k-th smallest is valid under any dependence; here the median, k = n / 2 rounded up.
    """
    count = len(p_values)
    rank = -(-count // 2)
    return min(1.0, sorted(p_values)[rank - 1] * count / rank)


def paired_bootstrap(ours: ArrayLike, baseline: ArrayLike, resamples: int = 2000) -> tuple[float, float]:
    """95 % percentile interval of a mean gain, drawing pictures and pairs of seeds anew, both with replacement.

    It assumes no distribution, and is too narrow where few seeds vary more than the pictures do. The same arrays
    give the same interval.

    Args:
        ours: whether each seed's net is right about each picture, bool [S, N].
        baseline: the same of the other system.
        resamples: draws.
    """
    differences = np.asarray(ours, np.float32) - np.asarray(baseline, np.float32)
    seeds, pictures = differences.shape
    by_seed = _picture_weights(pictures, resamples) @ differences.T / pictures
    drawn = np.random.default_rng(1).integers(0, seeds, (resamples, seeds))
    means = np.take_along_axis(by_seed, drawn, 1).mean(1)
    low, high = np.quantile(means.astype(float), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


@lru_cache(maxsize=4)
def _picture_weights(pictures: int, resamples: int) -> NDArray[np.float32]:
    """How often each picture is in each drawn test set, [resamples, pictures]."""
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, pictures, (resamples, pictures))
    return np.stack([np.bincount(rows, minlength=pictures) for rows in drawn]).astype(np.float32)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p values adjusted for their number (Holm 1979), in their order.

    A test still to come (None) counts as one of the family, so that a table half full claims no more than a full
    one.
    """
    adjusted: list[float | None] = [None] * len(p_values)
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p))
        adjusted[index] = largest
    return adjusted
