"""Faces above the heat maps of trained nets."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from fer_lib import plots
from fer_lib.data import FaceDataset
from fer_lib.explain import heat_maps
from fer_lib.recipe import called
from fer_lib.runs import RunRecord
from fer_lib.study.groups import longest_runs
from fer_lib.study.heat_scores import load_if_here, predict, show
from fer_lib.study.weights import has_net, load_trained


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
    hits = np.mean([predict(net, shown.inputs) == shown.labels for net in nets.values()], axis=0)
    chosen = []
    for name in expressions:
        of_class = np.flatnonzero(shown.labels == dataset.classes.index(name))
        chosen += of_class[np.argsort(-hits[of_class], kind="stable")][:each].tolist()
    rows = {called(name): heat_maps(net, shown.inputs[chosen], shown.labels[chosen]) for name, net in nets.items()}
    titles = [dataset.classes[label] for label in shown.labels[chosen]]
    return plots.heat(shown.images[chosen], rows, titles, None if shown.regions is None else shown.regions[chosen])


def recorded_figure(
    records: Iterable[RunRecord], data: str, limit: int = 5, say: Callable[[str], None] = print
) -> Figure | None:
    """Happy and sad pictures of a dataset as the recorded nets see them.

    Args:
        records: runs.
        data: name of the dataset.
        limit: of nets, the most accurate ones.
        say: receives a line if the pictures are not here.
    """
    found = longest_runs(r for r in records if has_net(r) and r.content["data"]["name"] == data)
    best = sorted(found.values(), key=lambda record: -record.accuracy())[:limit]
    dataset = load_if_here(data, say) if best else None
    return heat_figure({r.recipe: r for r in best}, dataset, ["happy", "sad"]) if dataset else None


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
    predicted = predict(net, shown.inputs)
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
