"""Which pictures a net gets wrong, and where two nets differ: by classes, confidence and FER+'s annotators."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn

from fer_lib import plots
from fer_lib.augment import face_view
from fer_lib.data import FaceDataset, load_dataset
from fer_lib.data.catalog import MissingData
from fer_lib.errors import UserError
from fer_lib.explore.data import ANY
from fer_lib.explore.own import OwnPicture
from fer_lib.explore.panel import Panel, Shown, face_png
from fer_lib.explore.runs import cached_record, run_index, same_pictures
from fer_lib.predict import face_heat
from fer_lib.runs import RunRecord
from fer_lib.study.groups import answers_of
from fer_lib.study.heat_scores import test_part
from fer_lib.study.weights import has_net, load_trained
from fer_lib.training import predict_probabilities

MOST = 40
"""Pictures shown at once."""
SHOW = ("all mistakes", "first right, second wrong", "first wrong, second right", "both wrong")
ORDERS = ("surest first", "least sure first", "FER+ disagrees most", "as they come")


@dataclass(frozen=True)
class Answers:
    """What two runs say of the same test pictures.

    Attributes:
        classes: names.
        labels: true classes, int64 [N].
        first: predicted by the first run, int64 [N].
        second: by the second; the same array where there is one run only.
        confidence: of the first run in its answer, float64 [N].
        support: share of FER+'s annotators that chose the true class, float64 [N]; None without votes.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    first: np.ndarray
    second: np.ndarray
    confidence: np.ndarray
    support: np.ndarray | None = None


def compared(first: RunRecord, second: RunRecord | None = None, dataset: FaceDataset | None = None) -> Answers:
    """Join the stored predictions of two runs, and FER+'s votes where the dataset with them is at hand.

    Raises:
        UserError: the runs were tested on different pictures.
    """
    if second is not None and not same_pictures(first, second):
        raise UserError(f"{first.id} and {second.id} were tested on different pictures; choose two runs on the same")
    labels, ours = answers_of([first])
    theirs = ours if second is None else answers_of([second])[1]
    probabilities = first.predictions["test/probabilities"] / 255
    support = None
    if dataset is not None and dataset.votes is not None:
        chosen = test_part(first, dataset)
        columns = [dataset.vote_classes.index(name) if name in dataset.vote_classes else -1 for name in first.classes]
        votes = dataset.votes[chosen]
        of_label = votes[np.arange(len(chosen)), np.array(columns)[labels]]
        support = of_label / np.maximum(1, votes.sum(1))
    return Answers(first.classes, labels, ours, theirs, probabilities[np.arange(len(ours)), ours], support)


def choose(
    found: Answers, show: str = SHOW[0], true: str = ANY, seen_as: str = ANY, order: str = ORDERS[0]
) -> np.ndarray:
    """Positions of the test pictures that fit, in the order asked for, int64 [M].

    Args:
        found: of :func:`compared`.
        show: one of :data:`SHOW`.
        true: a class, or :data:`ANY`.
        seen_as: what the first run says; of ``first right, second wrong`` what the second says.
        order: one of :data:`ORDERS`.
    """
    right, right_too = found.first == found.labels, found.second == found.labels
    fits = {
        SHOW[0]: ~right,
        SHOW[1]: right & ~right_too,
        SHOW[2]: ~right & right_too,
        SHOW[3]: ~right & ~right_too,
    }[show]
    said = found.second if show == SHOW[1] else found.first
    if true != ANY:
        fits = fits & (found.labels == found.classes.index(true))
    if seen_as != ANY:
        fits = fits & (said == found.classes.index(seen_as))
    chosen = np.flatnonzero(fits)
    if order == ORDERS[2] and found.support is None:
        return chosen
    key: Any = {
        ORDERS[0]: -found.confidence,
        ORDERS[1]: found.confidence,
        ORDERS[2]: found.support,
        ORDERS[3]: np.arange(len(found.labels)),
    }[order]
    return chosen[np.argsort(key[chosen], kind="stable")]


def pair_table(found: Answers, most: int = 10) -> pd.DataFrame:
    """The pairs of classes that the first run confuses most often.

    Returns:
        One row a pair, most frequent first: true, seen as, pictures, share (percent of the true class), mean
        confidence (percent) and, with FER+'s votes, the share of annotators (percent) who chose the label.
    """
    answers = pd.DataFrame({"true": found.labels, "seen as": found.first, "confidence, %": 100 * found.confidence})
    if found.support is not None:
        answers["annotators for the label, %"] = 100 * found.support
    pairs = answers[found.first != found.labels].groupby(["true", "seen as"])
    table, pictures = pairs.mean(), pairs.size()
    table.insert(0, "pictures", pictures)
    table.insert(1, "share, %", 100 * pictures.div(answers.groupby("true").size(), level="true"))
    table = table.sort_values("pictures", ascending=False, kind="stable").head(most).reset_index()
    names = np.array(found.classes)
    return table.assign(**{side: names[table[side]] for side in ("true", "seen as")})


def caption(found: Answers, position: int, two: bool) -> str:
    """Label, answers and confidence of a picture, in three short lines."""
    names = found.classes
    lines = [names[found.labels[position]], f"1: {names[found.first[position]]} {found.confidence[position]:.0%}"]
    if two:
        lines.append(f"2: {names[found.second[position]]}")
    if found.support is not None:
        lines.append(f"FER+ {found.support[position]:.0%}")
    return "\n".join(lines)


@cache
def _dataset(name: str) -> FaceDataset | str:
    try:
        return load_dataset(name)
    except MissingData as error:
        return str(error)


def picture_panel(runs: Path, first: str = "narrow/none/fer2013", second: str = "narrow/se/fer2013") -> Panel:
    """Browse the test pictures by what two runs say of them; the pictures are those of the reader's own FER_DATA.

    A picture of the reader's own may stand beside them, and is read by the nets whose weights are at hand.

    Args:
        runs: the folder of the records.
        first: recipe to begin with.
        second: the one it is compared with.
    """
    index = run_index(runs)
    names = {f"{recipe}, {label}": folder for recipe, of in index.items() for label, folder in of.items()}
    shown: dict[str, Any] = {}
    mine = OwnPicture()

    def start(recipe: str) -> str | None:
        return next(iter(index.get(recipe, {}).values()), next(iter(names.values()), None))

    def draw(
        first: str | None, second: str, show: str, true: str, seen_as: str, order: str, own: tuple[Any, ...]
    ) -> Shown:
        mine.take(own)
        if not first:
            return Shown(f"no run is recorded in {runs}")
        one, two = (cached_record(runs / name) for name in (first, second))
        dataset = _dataset(one.content["data"]["name"])
        here = dataset if isinstance(dataset, FaceDataset) else None
        found = compared(one, two, here)
        for name in ("true", "seen_as"):
            if controls[name].options != (options := (ANY, *found.classes)):
                controls[name].options, true, seen_as = options, ANY, ANY
        chosen = choose(found, show, true, seen_as, order)
        words = f"{len(chosen):,} of {len(found.labels):,} test pictures"
        if here is None:
            words += f". They are not shown: {dataset}"
            chosen = chosen[:0]
        else:
            words += f", the first {MOST} shown." if len(chosen) > MOST else "."
            chosen = chosen[:MOST]
        images = here.images[test_part(one, here)[chosen]] if here else mine.faces[:0]
        images, titles = mine.first(images, [caption(found, position, one.id != two.id) for position in chosen])
        shown.update(one=one, two=two, images=images, found=found, chosen=chosen)
        return Shown(words + mine.words(), [face_png(image) for image in images], titles, table=pair_table(found))

    def look(number: int) -> Shown:
        found, image = shown["found"], shown["images"][number]
        pair = {"1": shown["one"]} | ({"2": shown["two"]} if shown["one"].id != shown["two"].id else {})
        if number < len(mine.faces):
            return closer(image, mine.name, pair, {name: said(record, image) for name, record in pair.items()})
        position = shown["chosen"][number - len(mine.faces)]
        stored = {name: record.predictions["test/probabilities"][position] / 255 for name, record in pair.items()}
        return closer(image, found.classes[found.labels[position]], pair, stored)

    wide = {"layout": {"width": "30em"}, "options": list(names.items())}
    controls = {
        "first": ipywidgets.Dropdown(value=start(first), description="first", **wide),
        "second": ipywidgets.Dropdown(value=start(second), description="second", **wide),
        "show": ipywidgets.Dropdown(options=SHOW, description="show"),
        "true": ipywidgets.Dropdown(options=[ANY], description="true"),
        "seen_as": ipywidgets.Dropdown(options=[ANY], description="seen as"),
        "order": ipywidgets.Dropdown(options=ORDERS, description="order"),
        "own": mine.control,
    }
    return Panel("What nets get wrong", controls, draw, look)


def closer(
    image: np.ndarray, title: str, records: dict[str, RunRecord], probabilities: dict[str, np.ndarray | None]
) -> Shown:
    """One picture, what each run says of it, and where its net looks if its weights are at hand.

    Args:
        image: uint8 [H, W].
        title: its true class, or its name.
        records: runs by a short name.
        probabilities: of each, float [C]; None where it cannot say.
    """
    figure = Figure(figsize=(2 + 4.2 * len(records), 2.2), layout="constrained")
    axes = figure.subplots(1, 1 + 2 * len(records), width_ratios=[1, *[1, 1.1] * len(records)])
    axes[0].imshow(image, cmap="gray", vmin=0, vmax=255)
    axes[0].set_title(title, fontsize=9)
    without = []
    for column, (name, record) in enumerate(records.items()):
        heat, bars = axes[1 + 2 * column : 3 + 2 * column]
        shares = probabilities[name]
        if shares is not None:
            bars.barh(record.classes, 100 * shares, color=plots.OURS)
            bars.invert_yaxis()
            bars.set(xlim=(0, 100), xlabel="%")
            bars.tick_params(labelsize=7)
            bars.set_title(f"{name}: {record.classes[int(shares.argmax())]}", fontsize=9)
        else:
            bars.axis("off")
        if shares is not None and has_net(record):
            heat.imshow(image, cmap="gray", vmin=0, vmax=255)
            heat.imshow(_heat(record, image, int(shares.argmax())), cmap="inferno", alpha=0.5)
            heat.set_title(f"{name}: Grad-CAM", fontsize=9)
        else:
            without.append(record.id)
    for pictured in (axes[0], *axes[1::2]):
        pictured.axis("off")
    words = f"Without weights, which records are shared without, no heat map: {', '.join(without)}." if without else ""
    return Shown(words, figures=[figure])


@cache
def _net(folder: Path) -> nn.Module:
    return load_trained(cached_record(folder))


def said(record: RunRecord, image: np.ndarray) -> np.ndarray | None:
    """What a run's net says of a face it was not tested on, float32 [C]; None where its weights are not at hand.

    Args:
        record: the run.
        image: uint8 [48, 48].
    """
    if not has_net(record):
        return None
    view = face_view(record.spec["recipe"]["augment"])
    return predict_probabilities(_net(record.path), torch.from_numpy(image[None]), view)[0].numpy()


def _heat(record: RunRecord, image: np.ndarray, target: int) -> np.ndarray:
    view = face_view(record.spec["recipe"]["augment"])
    return face_heat(_net(record.path), image[None], np.array([target]), view)[0]
