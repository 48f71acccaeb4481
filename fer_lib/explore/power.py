"""What a comparison would take: how often a design of so many seeds finds a true gain."""

import math
from collections.abc import Sequence

import ipywidgets
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from fer_lib import plots
from fer_lib.errors import UserError
from fer_lib.explore.panel import Panel, Shown
from fer_lib.statistics import balanced_family, smallest_gain

SEEDS = (3, 5, 10, 20)
"""Seeds of each net whose curves are drawn."""
WIDEST = 4.0
"""Points of gain up to which they are drawn."""


def power(gain: float | np.ndarray, seeds: int, sd: float, modules: int = 4) -> float | np.ndarray:
    """In what share of studies a module's simultaneous 95 % interval leaves zero out.

    The study's own rule (:mod:`fer_lib.statistics`), with as many seeds for every net; what the choice of pictures
    adds to the variance is left out, so that true designs see a little less.

    Args:
        gain: the true gain, in points.
        seeds: of the module's net and of every other net, at least 2.
        sd: standard deviation of a seed, in points.
        modules: compared with one baseline together.
    """
    of = balanced_family(seeds, modules)
    shift = np.asarray(gain) / (sd * math.sqrt(2 / seeds))
    above, below = stats.nct.sf(of.quantile, of.freedom, shift), stats.nct.cdf(-of.quantile, of.freedom, shift)
    # SciPy has no number where the gain is many standard errors and is found for certain.
    return np.nan_to_num(above, nan=1.0) + np.nan_to_num(below, nan=0.0)


def power_figure(sd: float, modules: int = 4, seeds: Sequence[int] = SEEDS, gain: float | None = None) -> Figure:
    """Power by true gain, a curve for each number of seeds.

    Args:
        sd: standard deviation of a seed, in points.
        modules: compared with one baseline together.
        seeds: of every net; the last curve is drawn strongest.
        gain: marked by a line.
    """
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    gains = np.linspace(0, WIDEST, 81)
    for count, (color, _) in zip(seeds, plots.SYSTEMS, strict=False):
        axes.plot(gains, 100 * power(gains, count, sd, modules), color=color, label=f"{count} seeds")
    axes.axhline(80, color=plots.QUIET, linewidth=1, linestyle="--")
    if gain is not None:
        axes.axvline(gain, color=plots.QUIET, linewidth=1)
    axes.set(
        xlabel=f"true gain, points (seeds spread by {sd:.2f} points, {modules} modules)",
        ylabel="studies that find it, %",
        xlim=(0, WIDEST),
        ylim=(0, 101),
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return figure


def power_words(gain: float, seeds: int, sd: float, modules: int = 4) -> str:
    """The same of one design, in words."""
    found = 100 * float(power(gain, seeds, sd, modules))
    return (
        f"With {seeds} seeds per net and a standard deviation of {sd:.2f} points over seeds, a true gain of {gain:g} "
        f"point{'s' * (gain != 1)} is found in {found:.0f} of 100 studies. The smallest gain found in 80 of 100 is "
        f"{smallest_gain(sd, seeds, modules):.1f} points."
    )


def power_panel(sd: float, modules: int = 4) -> Panel:
    """Sliders for seeds, gain and spread.

    Args:
        sd: where the spread starts, in points.
        modules: compared with one baseline together.

    Raises:
        UserError: the spread is no number, as where nothing has run.
    """
    if not 0 < sd < math.inf:
        raise UserError(f"a spread of {sd} points: give one above 0, as 0.6")

    def draw(seeds: int, gain: float, spread: float) -> Shown:
        counts = [*(count for count in SEEDS if count != seeds), seeds]
        figure = power_figure(spread, modules, counts, gain)
        return Shown(power_words(gain, seeds, spread, modules), figures=[figure])

    wide = {"style": {"description_width": "initial"}, "continuous_update": False, "layout": {"width": "22em"}}
    controls = {
        "seeds": ipywidgets.IntSlider(3, 2, 40, description="seeds a net", **wide),
        "gain": ipywidgets.FloatSlider(1.0, min=0.1, max=WIDEST, step=0.1, description="true gain, points", **wide),
        "spread": ipywidgets.FloatSlider(
            round(sd, 2), min=0.05, max=3.0, step=0.05, description="spread of a seed, points", **wide
        ),
    }
    return Panel("What would it take?", controls, draw)
