"""How sure gains are: nets compared with one baseline, over seeds and pictures; and what one new run would show.

Two things vary: the seed of a training and the pictures of the test set. Seeds give an accuracy its spread, one for
all nets that are trained alike, so that all of them together estimate it (:func:`fit`); a net that spreads wider
than the others together has its own. Pictures give a difference of two nets a part of its own
(:func:`picture_variance`). NumPy and SciPy; fractions of 1 throughout.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_lib.errors import check_count
from fer_lib.extras import from_extra

with from_extra("analysis"):
    from scipy import optimize, stats

CONFIDENCE = 0.95
SAMENESS = 0.90
"""Confidence of the interval that shows sameness: two one-sided tests at 5 % (Schuirmann 1987)."""
POWER = 0.80
UNEQUAL = 0.01
"""p of the F test below which a net spreads wider than the others together, and is compared by its own spread."""
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
        low: lower end of the 95 % interval that holds for all nets of the family at once (Dunnett 1955; with own
            spreads Šidák 1967).
        high: its upper end.
        low_single: the same of this comparison alone.
        high_single: its upper end.
        low_90: lower end of the 90 % interval of this comparison alone.
        high_90: its upper end.
        smallest: the smallest true gain that the design finds (interval without zero) in 80 of 100 studies.
        statistic: the gain in standard errors.
        family: the distribution of the family's largest statistic.
    """

    gain: float
    low: float
    high: float
    low_single: float
    high_single: float
    low_90: float
    high_90: float
    smallest: float
    statistic: float
    family: "LargestOfMany"

    @property
    def p(self) -> float:
        """Two-sided p value, adjusted for the family as the interval is."""
        return self.family.p(abs(self.statistic))


class Spreads(NamedTuple):
    """Variance of a seed, degrees of freedom of it, and whether both are the net's own, each [nets]."""

    variances: NDArray[np.float64]
    freedoms: NDArray[np.float64]
    own: NDArray[np.bool_]


@dataclass(frozen=True)
class Fit:
    """The model ``value = net + blocks + seed`` fitted to all runs of nets that are trained alike.

    Attributes:
        names: the nets.
        effects: their estimated means, up to the blocks' [nets].
        weights: of every run in each of the effects [nets, runs].
        net_of_run: position of every run's net [runs].
        residuals: what the model leaves of every run [runs].
        leverages: the share of every run in its own fitted value [runs].
        estimable: projection onto the effects that the runs determine [nets + blocks, nets + blocks].
        sd: standard deviation of a seed, pooled over all nets; None without two runs of one net.
        freedom: its degrees of freedom.
    """

    names: tuple[Hashable, ...]
    effects: NDArray[np.float64]
    weights: NDArray[np.float64]
    net_of_run: NDArray[np.int64]
    residuals: NDArray[np.float64]
    leverages: NDArray[np.float64]
    estimable: NDArray[np.float64]
    sd: float | None
    freedom: int

    @property
    def runs(self) -> dict[Hashable, int]:
        """How many runs each net has."""
        return dict(zip(self.names, np.bincount(self.net_of_run, minlength=len(self.names)).tolist(), strict=True))

    @property
    def equal_p(self) -> float | None:
        """p of Bartlett's test that the nets of the pool spread alike; None where fewer than two have one."""
        each = (self.residuals[self.net_of_run == net] for net in np.flatnonzero(~self._spreads.own))
        spread = [left for left in each if len(left) > 1 and np.ptp(left) > 1e-12]
        return float(stats.bartlett(*spread).pvalue) if len(spread) > 1 else None

    @cached_property
    def _spreads(self) -> "Spreads":
        """The variance of a seed of every net: the pool's, but for those that spread wider than all others together.

        The widest net leaves the pool first, then the next is tested (one-sided F test of its variance).
        """
        squares, freedom = (
            np.bincount(self.net_of_run, of_run, len(self.names)).round(12)
            for of_run in (self.residuals**2, 1 - self.leverages)
        )
        wide = np.zeros(len(self.names), dtype=bool)
        while True:
            of_others, others = squares[~wide].sum() - squares, freedom[~wide].sum() - freedom
            testable = ~wide & (freedom > 1e-9) & (others > 1e-9) & (of_others > 1e-15)
            ratio = np.divide(squares * others, of_others * freedom, out=np.zeros(len(wide)), where=testable)
            p = np.where(testable, stats.f.sf(ratio, freedom, np.maximum(others, 1e-9)), 1.0)
            if p.min() >= UNEQUAL:
                break
            wide[p.argmin()] = True
        pool = freedom[~wide].sum()
        variances = np.full(len(wide), squares[~wide].sum() / pool if pool > 1e-9 else np.nan)
        variances[wide] = squares[wide] / freedom[wide]
        return Spreads(variances, np.where(wide, freedom, pool), wide)

    @property
    def pool(self) -> tuple[float, float]:
        """Standard deviation of a seed of the nets that share one, and its degrees of freedom."""
        variances, freedoms, own = self._spreads
        return math.sqrt(variances[~own].max()), float(freedoms[~own].max())

    def own_sd(self, name: Hashable) -> float:
        """Standard deviation of a seed of a net that spreads wider than the others together; NaN of any other net.

        Wider is what a one-sided F test of its variance says with p below :data:`UNEQUAL`.
        """
        variances, _, own = self._spreads
        net = self.names.index(name)
        return math.sqrt(variances[net]) if own[net] else math.nan

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

        Nets that share the spread of a seed have Dunnett's intervals (1955). A net with a wider one (:meth:`own_sd`) is
        compared by its own, with the degrees of freedom of Welch (1947), simultaneously by Šidák's inequality (1967).

        Args:
            names: the nets of the family, each once and :meth:`comparable` with the baseline, which is none of them.
            baseline: the net they are compared with.
            picture_variances: what the choice of pictures adds to the variance of each difference, see
                :func:`picture_variance`; None for nothing.
            to_come: further nets of the family that have no runs yet; with them it is taken to be balanced, so that
                a table half full claims no more than a full one.

        Raises:
            ValueError: the runs give no spread, or do not determine a difference, or a net is named twice.
        """
        if len({baseline, *names}) <= len(names):
            raise ValueError("name every net once, and the baseline not among them")
        if self.sd is None or not all(self.comparable(name, baseline) for name in names):
            raise ValueError("nets without a common block, or too few runs for a spread")
        contrasts = np.zeros((len(names), len(self.names)))
        contrasts[np.arange(len(names)), [self.names.index(name) for name in names]] = 1
        contrasts[:, self.names.index(baseline)] -= 1
        of_runs = contrasts @ self.weights
        variances, freedoms, wide = self._spreads
        shares = variances * np.stack([(of_runs[:, self.net_of_run == net] ** 2).sum(1) for net in range(len(wide))], 1)
        of_seeds = shares.sum(1)
        # The seeds' correlation alone: the pictures' part is too small to matter, and the quantile then depends on
        # nothing but the numbers of runs.
        size = len(names) + to_come
        scale = np.sqrt((of_runs**2).sum(1))
        correlation = (np.eye(size) + 1) / 2 if to_come else of_runs @ of_runs.T / np.outer(scale, scale)
        pool = LargestOfMany(_rows(correlation), self.freedom if not wide.any() else float(freedoms[~wide].max()))
        welch = of_seeds**2 / np.maximum((shares**2 / freedoms).sum(1), np.finfo(float).tiny)
        families = [
            LargestOfMany(_rows(np.eye(size)), float(freedom)) if own else pool
            for own, freedom in zip((shares[:, wide] > 0).any(1), welch, strict=True)
        ]
        pictures = np.zeros(len(names)) if picture_variances is None else np.asarray(picture_variances)
        errors = np.sqrt(of_seeds + pictures)
        return [
            _gain(float(gain), float(error), family)
            for gain, error, family in zip(contrasts @ self.effects, errors, families, strict=True)
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


def _gain(gain: float, error: float, family: "LargestOfMany") -> Gain:
    """A difference, its standard error and the distribution of the family's largest as an interval of each kind."""
    single, sameness = (float(stats.t.ppf((1 + level) / 2, family.freedom)) for level in (CONFIDENCE, SAMENESS))
    return Gain(
        gain=gain,
        low=gain - family.quantile * error,
        high=gain + family.quantile * error,
        low_single=gain - single * error,
        high_single=gain + single * error,
        low_90=gain - sameness * error,
        high_90=gain + sameness * error,
        smallest=family.detectable * error,
        statistic=gain / error if error else math.copysign(math.inf, gain) if gain else 0.0,
        family=family,
    )


def _rows(matrix: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, matrix.round(6).tolist()))


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
    net_of_run = np.repeat(np.arange(len(names)), [len(of_net) for of_net in figures])
    if not len(net_of_run):
        raise ValueError("a fit needs at least one run")
    y = np.concatenate(figures)
    design = [np.eye(len(names))[net_of_run]]
    factors = [tuple(of_run) for name in names for of_run in blocks[name]] if blocks else [()] * len(y)
    for levels in zip(*factors, strict=True):
        _, found = np.unique([repr(level) for level in levels], return_inverse=True)
        design.append(np.eye(found.max() + 1)[found][:, 1:])
    x = np.concatenate(design, 1)
    inverse = np.linalg.pinv(x).astype(np.float64)
    effects = inverse @ y
    left = y - x @ effects
    if np.abs(left).max() <= 1e-12 * max(1.0, np.abs(y).max()):
        left[:] = 0  # what rounding leaves is no spread
    freedom = len(y) - int(np.linalg.matrix_rank(x))
    return Fit(
        names=names,
        effects=effects[: len(names)],
        weights=inverse[: len(names)],
        net_of_run=net_of_run,
        residuals=left,
        leverages=np.einsum("rk,kr->r", x, inverse),
        estimable=inverse @ x,
        sd=float(np.sqrt((left**2).sum() / freedom)) if freedom > 0 else None,
        freedom=freedom,
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


def balanced_family(runs: int, nets: int) -> "LargestOfMany":
    """The comparisons of so many nets with a baseline, as many trainings of each.

    Raises:
        UserError: fewer than two trainings, which have no spread, or no net.
    """
    check_count("runs", runs, 2)
    check_count("nets", nets)
    return LargestOfMany(_rows((np.eye(nets) + 1) / 2), (nets + 1) * (runs - 1))


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
class LargestOfMany:
    """The largest of several t statistics.

    Those of one baseline and one spread are correlated (Dunnett 1955): SciPy's multivariate t distribution. Those that
    are given without a correlation are taken as independent, which errs on the safe side (Šidák 1967).

    Attributes:
        correlation: of the statistics, a tuple of rows.
        freedom: degrees of freedom of their spread.
    """

    correlation: tuple[tuple[float, ...], ...]
    freedom: float

    def p(self, statistic: float) -> float:
        """Chance that one of them is further from zero."""
        size, alone = len(self.correlation), float(2 * stats.t.sf(statistic, self.freedom))
        if size == 1 or not math.isfinite(statistic):
            return alone
        if np.array_equal(self.correlation, np.eye(size)):
            return 1 - (1 - alone) ** size
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
        """The true difference, in standard errors, whose statistic is beyond the quantile in 80 of 100 cases; NaN where
        it is larger than :data:`LARGEST_DETECTABLE`."""
        return _detectable(self)


@cache
def _quantile(family: LargestOfMany) -> float:
    alone, bonferroni = (
        stats.t.ppf(1 - (1 - CONFIDENCE) / tests, family.freedom) for tests in (2, 2 * len(family.correlation))
    )
    if len(family.correlation) == 1:
        return float(alone)
    return float(optimize.brentq(lambda c: family.p(c) - (1 - CONFIDENCE), 0.95 * alone, 1.05 * bonferroni, xtol=1e-4))


@cache
def _detectable(family: LargestOfMany) -> float:
    def missing(shift: float) -> float:
        return stats.nct.sf(family.quantile, family.freedom, shift) - POWER

    if not missing(LARGEST_DETECTABLE) > 0:
        return math.nan
    return float(optimize.brentq(missing, 0, LARGEST_DETECTABLE, xtol=1e-6))
