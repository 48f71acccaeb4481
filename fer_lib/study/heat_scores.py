"""Recorded runs explained: the heat maps of their nets, scored picture by picture and kept beside the record."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from fer_lib.augment import face_view, test_views
from fer_lib.data import FACE_SIDE, FaceDataset, run_parts
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
from fer_lib.models.base import Classifier
from fer_lib.paths import npz_bytes, write_atomically
from fer_lib.queue.train import check_pictures, find_run
from fer_lib.recipe import BY_CLASS, Recipe, RunSpec, spec_name
from fer_lib.runs import RunRecord, read_record
from fer_lib.study.exploration import load_or_say
from fer_lib.study.groups import longest_runs
from fer_lib.study.weights import has_net, load_trained

FILE = "explanation.npz"
MEASURES = ("pointing", "energy", "area", "randomised energy", "correlation", "road")


PAPER_NETS = {"li": 48, "hu": 44, "gu": 48, "zhang": 44}
"""The papers' own nets, and the side in pixels of what each is shown of a face."""


def drawn_recipe(model: str, epochs: int) -> Recipe:
    """The training by which nets are compared on drawn faces.

    Drawn faces need neither much augmentation nor a smoothed label, and Adam spares every net a learning rate of its
    own.

    Args:
        model: a name of :mod:`fer_lib.models.grammar`, which gets one block a stage and a quarter of the width, so
            that a CPU trains it in a minute; or one of :data:`PAPER_NETS`, which stays whole.
        epochs: how long.
    """
    whole = model in PAPER_NETS
    return Recipe(
        name=f"drawn/{model}/synthetic",
        title=f"{model}, whole" if whole else f"{model}, small",
        dataset="synthetic",
        protocol="official",
        model=model,
        model_options={} if whole else {"width": 16, "layers": [1, 1, 1, 1]},
        augment={"crop": PAPER_NETS.get(model, 44), "flip": 0.5},
        test_views="flip",
        loss={"name": "cross_entropy"},
        optimizer={"name": "adam", "lr": 1e-3 if whole else 3e-3},
        schedule={"name": "one_cycle"},
        batch_size=32,
        epochs=epochs,
    )


def find_drawn(spec: RunSpec, results: Path) -> RunRecord | None:
    """The record of a training on drawn faces; None without one.

    One limited to the first pictures counts too, as limits were before they were drawn class by class: drawn faces
    have their classes in turn.

    Args:
        spec: of :func:`drawn_recipe`.
        results: folder that holds ``runs/``.
    """
    if record := find_run(spec, results):
        return record
    older = {name: value for name, value in spec.as_dict().items() if name != "limits"}
    folder = results / "runs" / spec_name(older)
    return read_record(folder) if folder.exists() else None


@dataclass(frozen=True)
class Shown:
    """Test pictures as a run's net sees them.

    Attributes:
        inputs: the pictures, normalised, float32 [N, 1, S, S].
        labels: true classes, int64 [N].
        regions: where the expression shows, bool [N, S, S]; None where that is not known.
    """

    inputs: torch.Tensor
    labels: np.ndarray
    regions: np.ndarray | None


def test_part(record: RunRecord, dataset: FaceDataset) -> np.ndarray:
    """Where in its dataset a run's test pictures stand, int64 [N], in the order of its predictions.

    Raises:
        UserError: the dataset is not the run's.
    """
    check_pictures(record, dataset)
    spec = record.spec
    protocol, by_class = spec["recipe"]["protocol"], spec.get("limits") == BY_CLASS
    limit = spec.get("limit_test")
    parts = run_parts(dataset, protocol, spec["fold"], spec["seed"], limit_test=limit, by_class=by_class)
    return np.concatenate([part.test for part in parts])


vars(test_part)["__test__"] = False  # not a test, whatever pytest makes of its name


def show(record: RunRecord, dataset: FaceDataset, pictures: int) -> Shown:
    """The first test pictures of a run, cut and enlarged as its net wants them.

    Raises:
        UserError: the dataset is not the run's.
    """
    chosen = test_part(record, dataset)[:pictures]
    view = face_view(record.spec["recipe"]["augment"])
    inner = slice(margin := round((FACE_SIDE - view.size) / 2), margin + view.size)

    def cut(regions: np.ndarray) -> np.ndarray:
        found = torch.from_numpy(regions[chosen, inner, inner])[:, None].float()
        return F.interpolate(found, (view.resize, view.resize), mode="nearest")[:, 0].numpy() > 0

    return Shown(
        inputs=test_views(torch.from_numpy(dataset.images[chosen]), "one", *view)[0],
        labels=dataset.labels[chosen],
        regions=None if dataset.regions is None else cut(dataset.regions),
    )


def scores(
    record: RunRecord,
    dataset: FaceDataset | None,
    *,
    pictures: int = 350,
    road_pictures: int = 32,
    say: Callable[[str], None] = print,
) -> pd.DataFrame | None:
    """What a run's heat maps are worth, picture by picture; kept beside its record, so that it needs no weights.

    Scores that are kept are returned as they are, however many pictures are asked for; delete the file to score anew.

    Args:
        record: the run.
        dataset: the run's own dataset; None where it is not at hand.
        pictures: how many of the first test pictures are explained.
        road_pictures: how many of these ROAD takes, the slowest measure by far.
        say: receives a line before the work.

    Returns:
        One row a method and picture: ``method``, ``picture`` (position among the test pictures), ``label`` and
        ``predicted`` (class indices), and :data:`MEASURES`, NaN where not measured. None if the run has no scores
        yet, and weights or pictures are missing.
    """
    path = record.path / FILE
    if path.exists():
        with np.load(path, allow_pickle=False) as file:
            return pd.DataFrame(dict(file))
    if dataset is None or not has_net(record):
        return None
    say(f"{record.id}: scoring its heat maps")
    table = _score(load_trained(record), show(record, dataset, pictures), road_pictures)
    columns = {name: _compact(table[name]) for name in table}
    write_atomically(path, npz_bytes(columns))
    return pd.DataFrame(columns)  # to the last digit what the next call reads


def _compact(column: pd.Series) -> np.ndarray:
    if column.dtype.kind == "f":
        return column.to_numpy(np.float32)
    return column.to_numpy(np.str_) if column.dtype.kind not in "iu" else column.to_numpy(np.int16)


def _score(model: Classifier, shown: Shown, road_pictures: int) -> pd.DataFrame:
    predicted = predict(model, shown.inputs)
    randomised, tables = randomized(model, shown.inputs[:64]), []
    for method in METHODS:
        maps = heat_maps(model, shown.inputs, shown.labels, method)
        empty = heat_maps(randomised, shown.inputs, shown.labels, method)
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


def predict(model: Classifier, inputs: torch.Tensor) -> np.ndarray:
    """The most probable class of every picture, int64 [N]."""
    with torch.inference_mode():
        return np.concatenate([model(batch).argmax(1).numpy() for batch in inputs.split(64)])


def recorded_scores(
    records: Iterable[RunRecord], *, pictures: int, road_pictures: int, say: Callable[[str], None] = print
) -> dict[str, pd.DataFrame]:
    """Scores of the longest run of every recipe whose scores or weights are at hand.

    Args:
        records: runs.
        pictures: see :func:`scores`.
        road_pictures: see :func:`scores`.
        say: receives a line for each run that is scored, and for each dataset that is not here.
    """
    scored = [record for record in records if (record.path / FILE).exists() or has_net(record)]
    found, datasets = {}, {}
    for record in longest_runs(scored).values():
        name = record.content["data"]["name"]
        if name not in datasets:
            datasets[name] = load_if_here(name, say)
        table = scores(record, datasets[name], pictures=pictures, road_pictures=road_pictures, say=say)
        if table is not None:
            found[record.recipe] = table
    return found


def load_if_here(name: str, say: Callable[[str], None]) -> FaceDataset | None:
    """A dataset by name; None, and a line that says so, if its files are not on this machine."""
    told = f"the pictures of {name} are not here: runs that were not scored before are left out"
    return load_or_say(name, lambda _: say(told))
