"""What attention modules do to a face: the weights that each computes, layer by layer, in figures and in numbers."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import ipywidgets
import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from fer_lib import plots
from fer_lib.augment import test_views
from fer_lib.checkpoints import Checkpoint, list_checkpoints, load_net, read_checkpoint
from fer_lib.data import FACE_SIDE, FaceDataset
from fer_lib.errors import check_known
from fer_lib.explore.own import OwnPicture
from fer_lib.explore.panel import Panel, Shown, face_png
from fer_lib.models.attention_maps import AttentionMap, attention_maps, has_attention
from fer_lib.models.describe import meta_net
from fer_lib.paths import results_dir
from fer_lib.predict import face_heat
from fer_lib.recipe import called
from fer_lib.texts import formatted
from fer_lib.training import predict_probabilities

MOST_ROWS = 5
"""Maps in one figure; of a deep net they are taken evenly from its depth."""
EVENLY, ALL = f"{MOST_ROWS} of its depth", "all"


def nets_with_attention(folders: Sequence[Path] | None = None) -> dict[str, Checkpoint]:
    """Weight files of nets that hold an attention module, by name.

    Args:
        folders: of weight files; None for all of :func:`fer_lib.models.weights.weight_files`, then for
            ``results/drawn/checkpoints``, whose nets know drawn faces alone.
    """
    found: dict[str, Checkpoint] = {}
    places: Sequence[Path | None] = folders or [None, results_dir("drawn") / "checkpoints"]
    for folder in places:
        for name in list_checkpoints(folder):
            checkpoint = read_checkpoint(name, folder)
            net = meta_net(checkpoint.recipe["model"], **checkpoint.recipe.get("model_options", {}))
            if net is not None and has_attention(net):
                found.setdefault(name, checkpoint)
    return found


@cache
def _net(checkpoint: Path, folder: Path) -> nn.Module:
    return load_net(read_checkpoint(checkpoint.stem, folder))


def net_of(checkpoint: Checkpoint) -> nn.Module:
    """The net of a weight file, loaded once."""
    return _net(checkpoint.path, checkpoint.path.parent)


def maps_of(checkpoint: Checkpoint, faces: np.ndarray) -> list[AttentionMap]:
    """The weights that a net's modules give some faces, see :func:`fer_lib.models.attention_maps.attention_maps`.

    Args:
        checkpoint: a weight file.
        faces: uint8 [N, 48, 48].
    """
    shown = test_views(torch.from_numpy(np.ascontiguousarray(faces)), "one", *checkpoint.view)[0]
    return attention_maps(net_of(checkpoint), shown)


def spread_table(maps: Sequence[AttentionMap]) -> pd.DataFrame:
    """How much each module tells apart: the spread of its weights, which is none where it only scales a map.

    Args:
        maps: of several pictures.

    Returns:
        One row a map: layer, module, weights (their kind), map (its size), mean, and three standard deviations. Those
        between channels and between places are of means over the pictures and the other of the two, NaN where the
        module does not tell them apart. That between pictures is of each weight, then their mean: 0 of a module that
        does the same whatever the picture.
    """
    rows = []
    for found in maps:
        places, channels = found.places(), found.channels()
        rows.append(
            {
                "layer": found.layer,
                "module": found.module,
                "weights": found.kind,
                "map": f"{found.size[0]}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{found.size[1]}",
                "mean": found.weights.mean(),
                "sd between channels": np.nan if channels is None else channels.mean(0).std(),
                "sd between places": np.nan if places is None else places.mean(0).std(),
                "sd between pictures": found.weights.std(0).mean(),
            }
        )
    return pd.DataFrame(rows)


def readable_spread(nets: Mapping[str, Checkpoint], faces: np.ndarray) -> pd.DataFrame:
    """The table of :func:`spread_table` of several nets for a reader, nets in words.

    Args:
        nets: weight files by name.
        faces: uint8 [N, 48, 48].
    """
    tables = [
        spread_table(maps_of(net, faces)).assign(net=called(net.recipe["model"])).set_index(["net", "layer"])
        for net in nets.values()
    ]
    return (
        pd.concat(tables)
        .map(lambda cell: formatted(cell, ".3f") if isinstance(cell, float) else cell)
        .replace("nan", "")
    )


def attention_figure(
    checkpoint: Checkpoint, faces: np.ndarray, titles: Sequence[str], most: int | None = MOST_ROWS
) -> Figure:
    """Faces above what each module makes of them, from the first layer to the last.

    Weights of places, of rows and columns and of single numbers are laid over the face, their channels averaged;
    weights of channels are drawn as a line, in the order of the channels. Dark and low is little weight; the scale of
    a row is its own, and is printed beside it.

    Args:
        checkpoint: a weight file.
        faces: uint8 [N, 48, 48].
        titles: one a face.
        most: maps shown, taken evenly from the net's depth; None for all.
    """
    maps = maps_of(checkpoint, faces)
    rows = min(most or len(maps), len(maps))
    picked = [maps[i] for i in np.unique(np.linspace(0, len(maps) - 1, rows).round().astype(int))]
    start = round((FACE_SIDE - checkpoint.view.size) / 2)
    window = slice(start, start + checkpoint.view.size)
    shown = faces[:, window, window]
    columns = 1 + len(faces)
    figure = Figure(figsize=(2.1 + len(faces), 1 + len(picked)), layout="constrained")
    grid = figure.subplots(1 + len(picked), columns, squeeze=False, width_ratios=[1.7, *[1.0] * len(faces)])
    for axes, face, title in zip(grid[0, 1:], shown, titles, strict=True):
        axes.imshow(face, cmap="gray", vmin=0, vmax=255)
        axes.set_title(title, fontsize=9)
    _words(grid[0, 0], called(checkpoint.recipe["model"]))
    for row, found in zip(grid[1:], picked, strict=True):
        values = found.channels() if found.kind == "channel" else found.places()
        low, high = float(values.min()), float(values.max())
        _words(row[0], f"{found.layer}\n{found.title}\n{low:.2f} to {high:.2f}")
        for axes, face, own in zip(row[1:], shown, values, strict=True):
            if found.kind == "channel":
                axes.plot(own, color=plots.OURS, linewidth=0.8)
                axes.set_ylim(low - 0.02, high + 0.02)
                axes.set_xticks([])
                axes.set_yticks([])
            else:
                axes.imshow(face, cmap="gray", vmin=0, vmax=255)
                # A row of one weight throughout is drawn as such, not as noise.
                scale = mpl.colors.Normalize(low, max(high, low + 0.01))
                axes.imshow(_enlarged(own, face.shape), cmap="viridis", norm=scale, alpha=0.65)
    for axes in grid.flat:
        if axes.images:
            axes.axis("off")
    return figure


def _words(axes: Axes, text: str) -> None:
    axes.axis("off")
    axes.text(0, 0.5, text, fontsize=7.5, va="center", transform=axes.transAxes)


def _enlarged(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A map as large as the face, each place a square, as nothing between two places was computed."""
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((shape[1], shape[0]), Image.Resampling.NEAREST))


def attention_panel(nets: dict[str, Checkpoint], faces: np.ndarray, titles: Sequence[str]) -> Panel:
    """Choose a net, a face and, in turn, see every module; the reader's own picture may be one of the faces.

    Args:
        nets: of :func:`nets_with_attention`.
        faces: uint8 [N, 48, 48] to choose from.
        titles: one a face.
    """
    mine = OwnPicture()

    def draw(net: str | None, layers: str, own: tuple[Any, ...]) -> Shown:
        mine.take(own)
        if net is None:
            return Shown("No weight file here is of a net with attention: fer checkpoint RUN makes one.")
        shown, names = mine.first(faces, titles)
        return Shown(f"Choose a face.{mine.words()}", [face_png(face) for face in shown], names)

    def look(number: int) -> Shown:
        checkpoint = nets[controls["net"].value]
        shown, names = mine.first(faces, titles)
        face = shown[number][None]
        net = net_of(checkpoint)
        scores = predict_probabilities(net, torch.from_numpy(face), checkpoint.view)[0]
        best = int(scores.argmax())
        words = f"{checkpoint.title}. It says {checkpoint.classes[best]}, {float(scores[best]):.0%}."
        heat = face_heat(net, face, np.array([best]), checkpoint.view)
        most = MOST_ROWS if controls["layers"].value == EVENLY else None
        maps = attention_figure(checkpoint, face, [names[number]], most)
        return Shown(words, figures=[maps, plots.heat(face, {"Grad-CAM": heat}, [checkpoint.classes[best]])])

    controls = {
        "net": ipywidgets.Dropdown(options=list(nets), description="net", value=next(iter(nets), None)),
        "layers": ipywidgets.Dropdown(options=[EVENLY, ALL], description="layers"),
        "own": mine.control,
    }
    return Panel("What each module does to a face", controls, draw, look)


def some_faces(dataset: FaceDataset, expressions: Sequence[str], each: int = 1) -> tuple[np.ndarray, list[str]]:
    """The first test faces of some expressions, uint8 [N, 48, 48], and their names.

    Raises:
        UserError: the dataset has no such expression.
    """
    for name in expressions:
        check_known("expression", name, dataset.classes)
    test = dataset.indices("test")
    chosen = [
        int(index) for name in expressions for index in test[dataset.labels[test] == dataset.classes.index(name)][:each]
    ]
    return dataset.images[chosen], [dataset.classes[dataset.labels[index]] for index in chosen]
