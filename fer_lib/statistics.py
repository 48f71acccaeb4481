"""How sure gains are: nets compared with one baseline, over seeds and pictures; and what one new run would show.

Two things vary: the seed of a training and the pictures of the test set. Seeds give an accuracy its spread, one for
all nets that are trained alike, so that all of them together estimate it (:func:`fit`). Pictures give a difference of
two nets a part of its own (:func:`picture_variance`). NumPy and SciPy; fractions of 1 throughout.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_lib.extras import from_extra

with from_extra("analysis"):
    from scipy import optimize, stats

CONFIDENCE = 0.95
SAMENESS = 0.90
"""Confidence of the interval that shows sameness: two one-sided tests at 5 % (Schuirmann 1987)."""
POWER = 0.80
LARGEST_DETECTABLE = 100.0
"""In standard errors: where the search for the smallest difference ends."""


def sample_sd(values: Sequence[float] | np.ndarray) -> float:
    """Standard deviation with n - 1; NaN below two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


# ---------------------------------------------------------------- many nets and one baseline


@dataclass(frozen=True)
class Gain:
    """What a net adds to the baseline.

    Attributes:
        gain: difference of the means.
        low: lower end of the 95 % interval that holds for all nets of the family at once (Dunnett 1955).
        high: its upper end.
        low_single: the same of this comparison alone.
        high_single: its upper end.
        low_sameness: lower end of the 90 % interval of this comparison alone.
        high_sameness: its upper end.
        smallest: the smallest true gain that the design finds (interval without zero) in 80 of 100 studies.
        statistic: the gain in standard errors.
        family: the distribution of the family's largest statistic.
    """

    gain: float
    low: float
    high: float
    low_single: float
    high_single: float
    low_sameness: float
    high_sameness: float
    smallest: float
    statistic: float
    family: "Dunnett"

    @property
    def p(self) -> float:
        """Two-sided p value, adjusted for the family as the interval is."""
        return self.family.p(abs(self.statistic))


@dataclass(frozen=True)
class Fit:
    """The model ``value = net + blocks + seed`` fitted to all runs of nets that are trained alike.

    Attributes:
        names: the nets.
        effects: their estimated means, up to the blocks' [nets].
        covariance: of the effects, in units of the seeds' variance [nets, nets].
        estimable: projection onto the effects that the runs determine [nets + blocks, nets + blocks].
        sd: standard deviation of a seed, pooled over the nets; None without two runs of one net.
        freedom: its degrees of freedom.
        values: the figures fitted, by net.
    """

    names: tuple[Hashable, ...]
    effects: NDArray[np.float64]
    covariance: NDArray[np.float64]
    estimable: NDArray[np.float64]
    sd: float | None
    freedom: int
    values: tuple[NDArray[np.float64], ...]

    @property
    def equal_p(self) -> float | None:
        """p of Bartlett's test that the nets spread alike; None where fewer than two have a spread."""
        spread = [values for values in self.values if len(values) > 1 and np.ptp(values) > 0]
        return float(stats.bartlett(*spread).pvalue) if len(spread) > 1 else None

    def comparable(self, name: Hashable, baseline: Hashable) -> bool:
        """Whether the runs determine the difference of two nets: not where no block has both, even by way of others."""
        if name not in self.names or baseline not in self.names:
            return False
        contrast = np.zeros(len(self.estimable))
        contrast[[self.names.index(name), self.names.index(baseline)]] = 1, -1
        return bool(np.allclose(self.estimable @ contrast, contrast))

    def gains(
        self,
        names: Sequence[Hashable],
        baseline: Hashable,
        picture_variances: Sequence[float] | None = None,
        to_come: int = 0,
    ) -> list[Gain]:
        """Compare nets with the baseline, all at once.

        Args:
            names: the nets of the family, each :meth:`comparable` with the baseline.
            baseline: the net they are compared with.
            picture_variances: what the choice of pictures adds to the variance of each difference, see
                :func:`picture_variance`; None for nothing.
            to_come: further nets of the family that have no runs yet; with them it is taken to be balanced, so that
                a table half full claims no more than a full one.

        Raises:
            ValueError: the runs give no spread, or do not determine a difference.
        """
        if self.sd is None or not all(self.comparable(name, baseline) for name in names):
            raise ValueError("nets without a common block, or too few runs for a spread")
        contrasts = np.zeros((len(names), len(self.names)))
        contrasts[np.arange(len(names)), [self.names.index(name) for name in names]] = 1
        contrasts[:, self.names.index(baseline)] -= 1
        of_seeds = contrasts @ self.covariance @ contrasts.T
        scale = np.sqrt(np.diag(of_seeds))
        # The seeds' correlation alone: the pictures' part is too small to matter, and the quantile then depends on
        # nothing but the numbers of runs.
        correlation = (np.eye(len(names) + to_come) + 1) / 2 if to_come else of_seeds / np.outer(scale, scale)
        family = Dunnett(tuple(map(tuple, correlation.round(6))), self.freedom)
        pictures = np.zeros(len(names)) if picture_variances is None else np.asarray(picture_variances)
        errors = np.sqrt((self.sd * scale) ** 2 + pictures)
        single, sameness = (stats.t.ppf((1 + level) / 2, self.freedom) for level in (CONFIDENCE, SAMENESS))
        return [
            Gain(
                gain=float(gain),
                low=float(gain - family.quantile * error),
                high=float(gain + family.quantile * error),
                low_single=float(gain - single * error),
                high_single=float(gain + single * error),
                low_sameness=float(gain - sameness * error),
                high_sameness=float(gain + sameness * error),
                smallest=float(family.detectable * error),
                statistic=float(gain / error) if error else math.copysign(math.inf, gain) if gain else 0.0,
                family=family,
            )
            for gain, error in zip(contrasts @ self.effects, errors, strict=True)
        ]

    def one_more(self, values: Sequence[float], sampling_variance: float = 0.0) -> tuple[float, float] | None:
        """The 95 % interval for one new run of a net, by somebody else.

        Args:
            values: ours of that net.
            sampling_variance: of one value, from the choice of test pictures, where the new run has pictures of its
                own; it counts for both sides. 0 where all runs share their pictures.

        Returns:
            Lower and upper end; None where the spread of the seeds is unknown, or is none by chance.
        """
        return self._around(float(np.mean(values)), 1 + 1 / len(values), sampling_variance)

    def least_of_one_more(self, values: Sequence[float], tried: int = 1) -> float | None:
        """What one new run of a net stays above in 95 of 100 cases; None where the spread of the seeds is unknown.

        Args:
            values: ours of that net.
            tried: how many nets it is one of; with more than one the bounds of all hold at once (Bonferroni).
        """
        if not self.sd:
            return None
        quantile = stats.t.ppf(1 - (1 - CONFIDENCE) / tried, self.freedom)
        half = quantile * self.sd * math.sqrt(1 + 1 / len(values))
        return float(np.mean(values) - half)

    def one_more_pair(
        self, ours: Sequence[float], baseline: Sequence[float], sampling_variance: float = 0.0
    ) -> tuple[float, float] | None:
        """The same for the difference of one new run each of two nets."""
        difference = float(np.mean(ours) - np.mean(baseline))
        return self._around(difference, 2 + 1 / len(ours) + 1 / len(baseline), sampling_variance)

    def _around(self, center: float, variances: float, sampling_variance: float) -> tuple[float, float] | None:
        if not self.sd:
            return None
        half = stats.t.ppf((1 + CONFIDENCE) / 2, self.freedom) * math.sqrt(
            self.sd**2 * variances + 2 * sampling_variance
        )
        return float(center - half), float(center + half)


def fit(
    values: Mapping[Hashable, ArrayLike], blocks: Mapping[Hashable, Sequence[Sequence[Hashable]]] | None = None
) -> Fit:
    """Fit :class:`Fit` by least squares.

    Args:
        values: one figure per run, by net.
        blocks: by net, what each of its runs shares with runs of other nets and should not count as a gain: its
            precision, or a split drawn for all nets alike; a tuple of as many factors for every run. None for no
            factors.

    Raises:
        ValueError: no run at all.
    """
    names, figures = tuple(values), [np.asarray(of_net, float) for of_net in values.values()]
    rows = [(net, run) for net, of_net in enumerate(figures) for run in range(len(of_net))]
    if not rows:
        raise ValueError("a fit needs at least one run")
    y = np.concatenate(figures)
    design = [np.eye(len(names))[[net for net, _ in rows]]]
    factors = [tuple(blocks[names[net]][run]) for net, run in rows] if blocks else [() for _ in rows]
    for levels in zip(*factors, strict=True):
        _, found = np.unique([repr(level) for level in levels], return_inverse=True)
        design.append(np.eye(found.max() + 1)[found][:, 1:])
    x = np.concatenate(design, 1)
    inverse = np.linalg.pinv(x)
    effects = inverse @ y
    left = y - x @ effects
    if np.abs(left).max() <= 1e-12 * max(1.0, np.abs(y).max()):
        left[:] = 0  # what rounding leaves is no spread
    freedom = len(y) - int(np.linalg.matrix_rank(x))
    return Fit(
        names=names,
        effects=effects[: len(names)],
        covariance=(inverse @ inverse.T)[: len(names), : len(names)],
        estimable=inverse @ x,
        sd=float(np.sqrt((left**2).sum() / freedom)) if freedom > 0 else None,
        freedom=freedom,
        values=tuple(figures),
    )


def one_more_fit(value: float, sampling_variance: float) -> tuple[float, float]:
    """The 95 % interval for one new run, by somebody else, of a training without chance.

    Args:
        value: ours.
        sampling_variance: as for :meth:`Fit.one_more`; all that two such runs can differ by.
    """
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * math.sqrt(2 * sampling_variance)
    return value - half, value + half


def smallest_gain(sd: float, runs: int, nets: int = 1, picture_variance: float = 0.0) -> float:
    """The smallest true gain that a comparison still to be made finds in 80 of 100 cases, see :class:`Gain`.

    Args:
        sd: standard deviation of a seed.
        runs: trainings of each net and of the baseline, two or more.
        nets: how many are compared with the baseline at once.
        picture_variance: see :func:`picture_variance`.
    """
    return balanced_family(runs, nets).detectable * math.sqrt(2 * sd**2 / runs + picture_variance)


def balanced_family(runs: int, nets: int) -> "Dunnett":
    """The comparisons of so many nets with a baseline, as many trainings of each."""
    return Dunnett(tuple(map(tuple, (np.eye(nets) + 1) / 2)), (nets + 1) * (runs - 1))


def picture_variance(ours: ArrayLike, baseline: ArrayLike) -> float:
    """What the choice of pictures adds to the variance of a gain, beyond what the seeds' spread already holds.

    Nets of two seeds differ picture by picture, which moves every seed's accuracy and so is part of the seeds'
    spread. Left is what the two nets, whatever their seeds, find unequally hard: the variance of the pictures' mean
    differences, less the seeds' share of it (the mean squares of a crossed analysis of variance), at least 0.

    Args:
        ours: score of every picture by every run, [runs, N], such as whether the answer is right.
        baseline: the same of the baseline, on the same pictures in the same order. A net with one run takes the
            other's share.
    """
    sides = [np.asarray(side, float) for side in (ours, baseline)]
    pictures = sides[0].shape[1]
    noise = [_residual(side) for side in sides]
    known = [value for value in noise if value is not None]
    if not known:
        return 0.0
    shares = [
        (np.mean(known) if value is None else value) / len(side) for value, side in zip(noise, sides, strict=True)
    ]
    difference = sides[0].mean(0) - sides[1].mean(0)
    return max(0.0, float(difference.var(ddof=1) - sum(shares)) / pictures)


def _residual(scores: NDArray[np.float64]) -> float | None:
    """Mean square of what neither the run nor the picture explains; None with one run."""
    runs, pictures = scores.shape
    if runs < 2:
        return None
    left = scores - scores.mean(1, keepdims=True) - scores.mean(0) + scores.mean()
    return float((left**2).sum() / ((runs - 1) * (pictures - 1)))


@dataclass(frozen=True)
class Dunnett:
    """The largest of several correlated t statistics, by SciPy's multivariate t distribution.

    Attributes:
        correlation: of the statistics, a tuple of rows.
        freedom: degrees of freedom of their common spread.
    """

    correlation: tuple[tuple[float, ...], ...]
    freedom: int

    def p(self, statistic: float) -> float:
        """Chance that one of them is further from zero."""
        size = len(self.correlation)
        if size == 1 or not math.isfinite(statistic):
            return float(2 * stats.t.sf(statistic, self.freedom))
        limits = np.full(size, statistic)
        shape = stats.multivariate_t(shape=np.array(self.correlation), df=self.freedom, allow_singular=True)
        # The integral is by random points: the same ones every time, so that tables are the same byte for byte.
        inside = shape.cdf(limits, lower_limit=-limits, random_state=np.random.default_rng(0))
        return float(np.clip(1 - inside, 0, 1))

    @property
    def quantile(self) -> float:
        """What all of them stay within in 95 of 100 cases."""
        return _quantile(self)

    @property
    def detectable(self) -> float:
        """The true difference, in standard errors, whose statistic is beyond the quantile in 80 of 100 cases."""
        return _detectable(self)


@cache
def _quantile(family: Dunnett) -> float:
    alone, bonferroni = (
        stats.t.ppf(1 - (1 - CONFIDENCE) / tests, family.freedom) for tests in (2, 2 * len(family.correlation))
    )
    if len(family.correlation) == 1:
        return float(alone)
    return float(optimize.brentq(lambda c: family.p(c) - (1 - CONFIDENCE), 0.95 * alone, 1.05 * bonferroni, xtol=1e-4))


@cache
def _detectable(family: Dunnett) -> float:
    def missing(shift: float) -> float:
        return stats.nct.sf(family.quantile, family.freedom, shift) - POWER

    return float(optimize.brentq(missing, 0, LARGEST_DETECTABLE, xtol=1e-6))
