"""The heat maps of recorded runs, scored: does attention make a net look where the expression shows?

The papers say yes and show single pictures. Here it is a claim like the others, judged by rules that were fixed
before any map was scored:

* The measure is the share of Grad-CAM's heat, for the true class, that lies in the region where a drawn face's
  expression shows (:func:`fer_lib.explain.energy_share`), a mean over the test pictures of `synthetic`. Each
  attention is compared with the same net without it, trained by the same recipe with the same seed on the same
  pictures in the same order.
* A net counts only if it has learned, that is, if its test accuracy is at least :data:`LEARNED` times chance; and
  only if its maps depend on what it learned, that is, if their mean rank correlation with the maps of its own
  randomised weights is at most :data:`SANE`.
* At least :data:`MIN_SEEDS` pairs of seeds are needed. The 95 % interval of the mean gain joins the spread over
  seeds and over pictures (:func:`fer_lib.statistics.mean_interval`).
* supported: the interval lies above 0; contradicted: below 0; undecided: it holds 0; else not judged, and why.

The pointing game, the other methods, ROAD, and wrongly classified pictures are shown beside it and judge nothing.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy import stats
from torch.nn import functional as F

from fer_lib import plots
from fer_lib.augment import Augmentation, test_views
from fer_lib.data import FaceDataset, split_indices
from fer_lib.errors import UserError
from fer_lib.explain import (
    METHODS,
    area_share,
    energy_share,
    heat_maps,
    pointing_game,
    randomized,
    rank_correlation,
    road,
)
from fer_lib.models import create_model
from fer_lib.models.base import Classifier
from fer_lib.paths import write_atomically
from fer_lib.recipe import Recipe, get_recipe
from fer_lib.runs import RunRecord
from fer_lib.statistics import mean_interval
from fer_lib.study.train import longest_run
from fer_lib.study.weights import load_trained, weight_file

MIN_SEEDS = 3
LEARNED = 2.0
SANE = 0.5
METHOD = "Grad-CAM"
FILE = "explanation.npz"
MEASURES = ("pointing", "energy", "area", "randomised energy", "correlation", "road")


def drawn_recipe(model: str, epochs: int) -> Recipe:
    """The training by which nets are compared on drawn faces: a small residual net that a CPU trains in a minute.

    Drawn faces need neither much augmentation nor a smoothed label, and Adam spares every net a learning rate of its
    own.

    Args:
        model: a name of :mod:`fer_lib.models.grammar`; it gets one block a stage and a quarter of the width.
        epochs: how long.
    """
    return dataclasses.replace(
        get_recipe("control/none/fer2013"),
        name=f"drawn/{model}/synthetic",
        title=f"{model}, small",
        dataset="synthetic",
        model=model,
        model_options={"width": 16, "layers": [1, 1, 1, 1]},
        augment={"crop": 44, "flip": 0.5},
        loss={"name": "cross_entropy"},
        optimizer={"name": "adam", "lr": 3e-3},
        batch_size=32,
        epochs=epochs,
    )


@dataclass(frozen=True)
class Shown:
    """Test pictures as a run's net sees them.

    Attributes:
        images: what is shown, uint8 [N, S, S].
        inputs: the same normalised, float32 [N, 1, S, S].
        labels: true classes, int64 [N].
        regions: where the expression shows, bool [N, S, S]; None where that is not known.
    """

    images: np.ndarray
    inputs: torch.Tensor
    labels: np.ndarray
    regions: np.ndarray | None


def show(record: RunRecord, dataset: FaceDataset, pictures: int) -> Shown:
    """The first test pictures of a run, cut and enlarged as its net wants them.

    Raises:
        UserError: the dataset is not the run's.
    """
    if dataset.fingerprint != record.content["data"]["fingerprint"]:
        raise UserError(f"{record.id}: was not trained on these pictures of {dataset.name}")
    spec = record.spec
    chosen = split_indices(dataset, spec["recipe"]["protocol"], spec["fold"] or 0).test
    chosen = chosen[: min(pictures, spec.get("limit_test") or pictures)]
    augmentation, side = Augmentation.from_dict(spec["recipe"]["augment"]), dataset.images.shape[1]
    window, size = augmentation.window_size(side), augmentation.output_size(side)
    margin = round((side - window) / 2)

    def cut(values: np.ndarray) -> np.ndarray:
        inner = torch.from_numpy(values[chosen, margin : margin + window, margin : margin + window])
        if size == window:
            return inner.numpy()
        return F.interpolate(inner[:, None].float(), (size, size), mode="nearest")[:, 0].numpy().astype(values.dtype)

    return Shown(
        images=cut(dataset.images),
        inputs=test_views(torch.from_numpy(dataset.images[chosen]), "one", window, size)[0],
        labels=dataset.labels[chosen],
        regions=None if dataset.regions is None else cut(dataset.regions),
    )


# ------------------------------------------------------------ scores of one run


def scores(
    record: RunRecord,
    dataset: FaceDataset,
    *,
    pictures: int = 350,
    road_pictures: int = 32,
    say: Callable[[str], None] = print,
) -> pd.DataFrame | None:
    """What a run's heat maps are worth, picture by picture; kept beside its record, so that it needs no weights.

    Args:
        record: the run.
        dataset: the run's own dataset.
        pictures: how many of the first test pictures are explained.
        road_pictures: how many of these ROAD takes, the slowest measure by far.
        say: receives a line before the work.

    Returns:
        One row a method and picture: ``method``, ``picture`` (position among the test pictures), ``label`` and
        ``predicted`` (class indices), and :data:`MEASURES`, NaN where not measured. None if the run has neither
        scores nor weights.
    """
    path = record.path / FILE
    if path.exists():
        with np.load(path, allow_pickle=False) as file:
            return pd.DataFrame(dict(file))
    if not weight_file(record).exists():
        return None
    say(f"{record.id}: scoring its heat maps")
    table = _score(load_trained(record), show(record, dataset, pictures), road_pictures)
    columns = {name: _compact(table[name]) for name in table}
    write_atomically(path, lambda file: np.savez_compressed(file, **columns))
    return table


def _compact(column: pd.Series) -> np.ndarray:
    if column.dtype.kind == "f":
        return column.to_numpy(np.float32)
    return column.to_numpy(np.str_) if column.dtype.kind not in "iu" else column.to_numpy(np.int16)


def _score(model: Classifier, shown: Shown, road_pictures: int) -> pd.DataFrame:
    predicted = _predict(model, shown.inputs)
    forgotten, tables = randomized(model, shown.inputs[:64]), []
    for method in METHODS:
        maps = heat_maps(model, shown.inputs, shown.labels, method)
        empty = heat_maps(forgotten, shown.inputs, shown.labels, method)
        table = pd.DataFrame({"method": method, "picture": np.arange(len(maps)), "label": shown.labels})
        table["predicted"] = predicted
        table[list(MEASURES)] = np.nan
        table["correlation"] = rank_correlation(maps, empty)
        if shown.regions is not None:
            table["pointing"] = pointing_game(maps, shown.regions)
            table["energy"] = energy_share(maps, shown.regions)
            table["area"] = area_share(shown.regions)
            table["randomised energy"] = energy_share(empty, shown.regions)
        few = slice(0, road_pictures)
        table.loc[: road_pictures - 1, "road"] = road(model, shown.inputs[few], shown.labels[few], maps[few])
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


# ------------------------------------------------------------ what they say


def measure_table(runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Every method's measures, as text: the mean over pictures and runs with its 95 % interval over pictures.

    Args:
        runs: :func:`scores` of the runs of one recipe, of the same pictures.
    """
    together = pd.concat(runs)
    rows = {}
    for method, table in together.groupby("method", sort=False):
        by_picture = table.groupby("picture")[list(MEASURES)].mean()
        rows[method] = {measure: _with_interval(by_picture[measure].dropna().to_numpy()) for measure in MEASURES}
    return pd.DataFrame.from_dict(rows, orient="index")


def _with_interval(values: np.ndarray) -> str:
    if len(values) < 2:
        return "–"
    mean = values.mean()
    if np.ptp(values) == 0:
        return f"{mean:.2f}"
    found = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=2000, rng=np.random.default_rng(0))
    low, high = found.confidence_interval
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"


@dataclass(frozen=True)
class Comparison:
    """An attention against the same net without it.

    Attributes:
        verdict: by the rules of this module.
        seeds: pairs of seeds.
        without: mean share of heat in the region without the attention.
        with_: the same with it.
        gains: the difference of the two for each seed.
        low: lower end of the interval of the mean gain; None below two seeds.
        high: its upper end.
    """

    verdict: str
    seeds: int
    without: float
    with_: float
    gains: tuple[float, ...]
    low: float | None = None
    high: float | None = None


def compare(with_: Mapping[int, pd.DataFrame], without: Mapping[int, pd.DataFrame], num_classes: int) -> Comparison:
    """Apply the rules of this module to one attention.

    Args:
        with_: :func:`scores` of the nets with attention, by seed.
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
    differences = energy[:, 0] - energy[:, 1]
    gains = differences.mean(1)
    low = high = None
    if len(seeds) > 1:
        low, high = mean_interval(gains.tolist(), float(differences.mean(0).var(ddof=1) / differences.shape[1]))
    return Comparison(
        verdict=_verdict(pairs, low, high, num_classes),
        seeds=len(seeds),
        without=float(energy[:, 1].mean()),
        with_=float(energy[:, 0].mean()),
        gains=tuple(gains.tolist()),
        low=low,
        high=high,
    )


def _of_method(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["method"] == METHOD]


def _verdict(pairs: list[list[pd.DataFrame]], low: float | None, high: float | None, num_classes: int) -> str:
    if len(pairs) < MIN_SEEDS:
        return f"not judged: {len(pairs)} of {MIN_SEEDS} seeds"
    sides = [side for pair in pairs for side in pair]
    if min((side["label"] == side["predicted"]).mean() for side in sides) < LEARNED / num_classes:
        return "not judged: a net has not learned"
    if max(side["correlation"].mean() for side in sides) > SANE:
        return "not judged: maps do not depend on the weights"
    if low > 0:
        return "supported"
    return "contradicted" if high < 0 else "undecided"


def comparison_table(comparisons: Mapping[str, Comparison]) -> pd.DataFrame:
    """The comparisons as text, in percent and points."""
    rows = {}
    for name, found in comparisons.items():
        interval = "–" if found.low is None else f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
        rows[name] = {
            "pairs of seeds": found.seeds,
            "heat in the region without, %": f"{100 * found.without:.1f}",
            "with, %": f"{100 * found.with_:.1f}",
            "gain of each seed, points": ", ".join(f"{100 * gain:+.1f}" for gain in found.gains),
            "95 % interval": interval,
            "verdict": found.verdict,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def right_and_wrong(runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Grad-CAM's measures of rightly and of wrongly classified pictures, over all runs given.

    Args:
        runs: :func:`scores` of the runs.
    """
    together = _of_method(pd.concat(runs))
    right = np.where(together["label"] == together["predicted"], "right", "wrong")
    columns = ["pointing", "energy", "area"]
    table = together.groupby(right)[columns].mean().round(3)
    return table.assign(pictures=together.groupby(right).size())


def road_table(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What can be measured where nobody knows the region: correlation with randomised weights, and ROAD.

    Args:
        runs: :func:`scores` by run.
    """
    return pd.concat({name: measure_table([table])[["correlation", "road"]] for name, table in runs.items()})


def map_sizes(models: Mapping[str, int]) -> pd.DataFrame:
    """How fine a map each net has to look with.

    Args:
        models: pixels of the picture for each model's name.
    """
    rows = []
    for name, pixels in models.items():
        net = create_model(name).eval()
        shapes = []
        hook = net.last_map.register_forward_hook(lambda module, inputs, output, to=shapes: to.append(output.shape))
        with torch.inference_mode():
            net(torch.zeros(1, net.in_channels, pixels, pixels))
        hook.remove()
        _, channels, height, width = shapes[0]
        rows.append((name, f"{pixels} × {pixels}", f"{height} × {width}", channels))
    return pd.DataFrame(rows, columns=["net", "picture", "places of the last map", "maps"]).set_index("net")


# ------------------------------------------------------------ pictures


def with_weights(records: Iterable[RunRecord]) -> dict[str, RunRecord]:
    """Of every recipe the longest run whose weights are at hand, by the recipe's name."""
    trained = [record for record in records if weight_file(record).exists()]
    names = dict.fromkeys(record.recipe for record in trained)
    return {name: run for name in names if (run := longest_run(trained, name))}


def heat_figure(
    records: Mapping[str, RunRecord], dataset: FaceDataset, expressions: Sequence[str], each: int = 3
) -> Figure | None:
    """Grad-CAM of nets side by side, for pictures of some expressions that all of the nets recognise, if there are any.

    Args:
        records: runs with weights, by the label of their row.
        dataset: what they were trained on.
        expressions: names of classes.
        each: pictures of each.

    Returns:
        A figure; None without runs.
    """
    if not records:
        return None
    nets = {name: load_trained(record) for name, record in records.items()}
    shown = show(next(iter(records.values())), dataset, 350)
    hits = np.mean([_predict(net, shown.inputs) == shown.labels for net in nets.values()], axis=0)
    chosen = []
    for name in expressions:
        of_class = np.flatnonzero(shown.labels == dataset.classes.index(name))
        chosen += of_class[np.argsort(-hits[of_class], kind="stable")][:each].tolist()
    rows = {name: heat_maps(net, shown.inputs[chosen], shown.labels[chosen]) for name, net in nets.items()}
    titles = [dataset.classes[label] for label in shown.labels[chosen]]
    return plots.heat(shown.images[chosen], rows, titles, None if shown.regions is None else shown.regions[chosen])


def mistakes_figure(record: RunRecord, dataset: FaceDataset, count: int = 6) -> Figure | None:
    """Grad-CAM of wrongly classified pictures, for the true class and for the one the net chose.

    Args:
        record: a run with weights.
        dataset: what it was trained on.
        count: of pictures, the first ones.

    Returns:
        A figure; None if the net makes no mistake.
    """
    net, shown = load_trained(record), show(record, dataset, 350)
    predicted = _predict(net, shown.inputs)
    wrong = np.flatnonzero(predicted != shown.labels)[:count]
    if not len(wrong):
        return None
    rows = {
        name: heat_maps(net, shown.inputs[wrong], targets[wrong])
        for name, targets in (("true class", shown.labels), ("chosen class", predicted))
    }
    names = dataset.classes
    titles = [f"{names[shown.labels[i]]},\nseen as {names[predicted[i]]}" for i in wrong]
    return plots.heat(shown.images[wrong], rows, titles, None if shown.regions is None else shown.regions[wrong])


def _predict(model: Classifier, inputs: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate([model(batch).argmax(1).numpy() for batch in inputs.split(64)])
