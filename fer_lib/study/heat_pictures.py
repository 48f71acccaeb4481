"""Faces above the heat maps of trained nets."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from fer_lib import plots
from fer_lib.augment import face_view
from fer_lib.data import FaceDataset
from fer_lib.models.base import Classifier
from fer_lib.parts import View
from fer_lib.predict import face_heat
from fer_lib.recipe import called
from fer_lib.runs import RunRecord
from fer_lib.study.groups import longest_runs
from fer_lib.study.heat_scores import load_if_here, test_part
from fer_lib.study.weights import has_net, load_trained
from fer_lib.training import predict_probabilities

PICTURES = 350
"""Test pictures, the first ones, among which the shown ones are."""


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
    nets = {name: _net(record) for name, record in records.items()}
    part = test_part(next(iter(records.values())), dataset)[:PICTURES]
    faces, labels = dataset.images[part], dataset.labels[part]
    hits = np.mean([_predicted(net, view, faces) == labels for net, view in nets.values()], axis=0)
    chosen = []
    for name in expressions:
        of_class = np.flatnonzero(labels == dataset.classes.index(name))
        chosen += of_class[np.argsort(-hits[of_class], kind="stable")][:each].tolist()
    rows = {called(name): face_heat(net, faces[chosen], labels[chosen], view) for name, (net, view) in nets.items()}
    titles = [dataset.classes[label] for label in labels[chosen]]
    return plots.heat(faces[chosen], rows, titles, None if dataset.regions is None else dataset.regions[part[chosen]])


def recorded_figure(
    records: Iterable[RunRecord], data: str, limit: int, say: Callable[[str], None] = print
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
    net, view = _net(record)
    part = test_part(record, dataset)[:PICTURES]
    faces, labels = dataset.images[part], dataset.labels[part]
    predicted = _predicted(net, view, faces)
    wrong = np.flatnonzero(predicted != labels)[:count]
    if not len(wrong):
        return None
    rows = {
        name: face_heat(net, faces[wrong], targets[wrong], view)
        for name, targets in (("true class", labels), ("chosen class", predicted))
    }
    names = dataset.classes
    titles = [f"{names[labels[i]]},\nseen as {names[predicted[i]]}" for i in wrong]
    return plots.heat(faces[wrong], rows, titles, None if dataset.regions is None else dataset.regions[part[wrong]])


def _net(record: RunRecord) -> tuple[Classifier, View]:
    """A run's net and what it is shown of a face."""
    return load_trained(record), face_view(record.spec["recipe"]["augment"])


def _predicted(net: Classifier, view: View, faces: np.ndarray) -> np.ndarray:
    """The most probable class of every face, int64 [N]."""
    return predict_probabilities(net, torch.from_numpy(faces), view).argmax(1).numpy()
