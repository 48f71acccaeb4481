"""Does attention make a net look where the expression shows? The rules, and the tables of what was scored.

The papers say yes and show single pictures. Here it is a claim like the others, judged by rules that were fixed
before any map was scored:

* The measure is the share of Grad-CAM's heat, for the true class, that lies in the region where a drawn face's
  expression shows (:func:`fer_lib.explain.energy_share`), a mean over the test pictures of `synthetic`. Each
  attention is compared with the same net without it, trained by the same recipe with the same seed on the same
  pictures in the same order.
* A net counts only if it has learned, that is, if its test accuracy is at least :data:`LEARNED` times chance; and
  only if its maps depend on what it learned, that is, if their mean rank correlation with the maps of its own
  randomised weights is at most :data:`SANE`.
* At least :data:`MIN_SEEDS` pairs of seeds are needed. The 95 % interval of the mean gain is for new seeds and new
  pictures (:func:`fer_lib.statistics.fit`, :func:`fer_lib.statistics.picture_variance`).
* supported: the interval lies above 0; contradicted: below 0; undecided: it holds 0; else not judged, and why.

The pointing game, the other methods, ROAD, and wrongly classified pictures are shown beside it and are no part of the
verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy import stats

from fer_lib.models import create_model
from fer_lib.models.base import Classifier
from fer_lib.recipe import called
from fer_lib.runs import RunRecord
from fer_lib.statistics import fit, picture_variance
from fer_lib.study.columns import DASH
from fer_lib.study.heat_scores import MEASURES
from fer_lib.study.results import MIN_SEEDS
from fer_lib.texts import formatted, interval, signed

LEARNED = 2.0
SANE = 0.5
METHOD = "Grad-CAM"


@dataclass(frozen=True)
class Comparison:
    """An attention against the same net without it.

    Attributes:
        verdict: by the rules of this module.
        seeds: pairs of seeds.
        without: mean share of heat in the region without the attention.
        with_: the same with it.
        gains: the difference of the two for each seed.
        low: lower end of the interval of the mean gain; NaN below two seeds.
        high: its upper end.
    """

    verdict: str
    seeds: int
    without: float
    with_: float
    gains: tuple[float, ...]
    low: float = np.nan
    high: float = np.nan


def compare(with_: Mapping[int, pd.DataFrame], without: Mapping[int, pd.DataFrame], num_classes: int) -> Comparison:
    """Apply the rules of this module to one attention.

    Args:
        with_: :func:`fer_lib.study.heat_scores.scores` of the nets with attention, by seed.
        without: of the nets without.
        num_classes: of which chance is one.
    """
    seeds = sorted(with_.keys() & without.keys())
    if not seeds:
        return Comparison("no pair of runs yet", 0, np.nan, np.nan, ())
    pairs = [
        [side[seed].query("method == @METHOD").set_index("picture") for side in (with_, without)] for seed in seeds
    ]
    energy = np.array([[side["energy"] for side in pair] for pair in pairs])  # [seeds, 2, pictures]
    gains = (energy[:, 0] - energy[:, 1]).mean(1)
    low = high = np.nan
    if len(seeds) > 1:
        means = fit({"with": energy[:, 0].mean(1), "without": energy[:, 1].mean(1)})
        (found,) = means.gains(["with"], "without", [picture_variance(energy[:, 0], energy[:, 1])])
        low, high = found.low, found.high
    return Comparison(
        verdict=_verdict(pairs, low, high, num_classes),
        seeds=len(seeds),
        without=float(energy[:, 1].mean()),
        with_=float(energy[:, 0].mean()),
        gains=tuple(gains.tolist()),
        low=low,
        high=high,
    )


def _verdict(pairs: list[list[pd.DataFrame]], low: float, high: float, num_classes: int) -> str:
    if len(pairs) < MIN_SEEDS:
        return f"not judged: {len(pairs)} of {MIN_SEEDS} seeds"
    sides = [side for pair in pairs for side in pair]
    if min((side["label"] == side["predicted"]).mean() for side in sides) < LEARNED / num_classes:
        return "not judged: a net has not learned"
    if max(side["correlation"].mean() for side in sides) > SANE:
        return "not judged: maps do not depend on the weights"
    return "supported" if low > 0 else "contradicted" if high < 0 else "undecided"


def comparison_table(comparisons: Mapping[str, Comparison]) -> pd.DataFrame:
    """The comparisons as text, in percent and points."""
    rows = {}
    for name, found in comparisons.items():
        rows[called(name)] = {
            "pairs of seeds": found.seeds,
            "heat in the region without it, %": f"{100 * found.without:.1f}" if found.seeds else DASH,
            "with it, %": f"{100 * found.with_:.1f}" if found.seeds else DASH,
            "gain of each seed, points": ", ".join(signed(100 * gain) for gain in found.gains),
            "95 % interval": DASH if np.isnan(found.low) else interval(100 * found.low, 100 * found.high),
            "verdict": found.verdict,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def measure_table(runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Every method's measures, as text: the mean over pictures and runs with its 95 % interval over pictures.

    Args:
        runs: :func:`fer_lib.study.heat_scores.scores` of the runs of one recipe, of the same pictures.
    """
    together = pd.concat(runs)
    rows = {}
    for method, table in together.groupby("method", sort=False):
        by_picture = table.groupby("picture")[list(MEASURES)].mean()
        rows[method] = {measure: _with_interval(by_picture[measure].dropna().to_numpy()) for measure in MEASURES}
    return pd.DataFrame.from_dict(rows, orient="index")


def _with_interval(values: np.ndarray) -> str:
    if len(values) < 2:
        return DASH
    mean = values.mean()
    if np.ptp(values) == 0:
        return formatted(mean, ".2f")
    found = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=2000, rng=np.random.default_rng(0))
    low, high = found.confidence_interval
    mean, low, high = (formatted(value, ".2f") for value in (mean, low, high))
    return f"{mean} ({low} to {high})"


def right_and_wrong(runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Grad-CAM's measures of rightly and of wrongly classified pictures, over all runs given.

    Args:
        runs: :func:`fer_lib.study.heat_scores.scores` of the runs.
    """
    together = pd.concat(runs).query("method == @METHOD")
    right = np.where(together["label"] == together["predicted"], "right", "wrong")
    columns = ["pointing", "energy", "area"]
    table = together.groupby(right)[columns].mean().round(3)
    return table.assign(pictures=together.groupby(right).size())


def road_table(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What can be measured where nobody knows the region: correlation with randomised weights, and ROAD.

    Args:
        runs: :func:`fer_lib.study.heat_scores.scores` by recipe.
    """
    return pd.concat({called(name): measure_table([table])[["correlation", "road"]] for name, table in runs.items()})


def accuracy_table(records: Mapping[str, Mapping[int, RunRecord]]) -> pd.DataFrame:
    """Test accuracy of every seed, in percent, by the model's name.

    Args:
        records: runs by model and seed.
    """
    rows = {
        called(model): {seed: f"{run.accuracy(kind='plain'):.1%}" for seed, run in runs.items()}
        for model, runs in records.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index").sort_index(axis=1)
    return table.rename(columns="seed {}".format).fillna(DASH)


def map_sizes(models: Mapping[str, int]) -> pd.DataFrame:
    """How fine a map each net has to look with.

    Args:
        models: pixels of the picture for each model's name.
    """
    rows = []
    for name, pixels in models.items():
        net = create_model(name).eval()
        assert isinstance(net, Classifier), "a pipeline has no map"
        maps: list[torch.Tensor] = []
        hook = net.last_map.register_forward_hook(lambda module, inputs, output, to=maps: to.append(output))
        with torch.inference_mode():
            net(torch.zeros(1, net.in_channels, pixels, pixels))
        hook.remove()
        _, channels, height, width = maps[0].shape
        rows.append((called(name), f"{pixels} × {pixels}", f"{height} × {width}", channels))
    return pd.DataFrame(rows, columns=["net", "picture", "places of the last map", "maps"]).set_index("net")
