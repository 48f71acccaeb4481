"""Tables and figures of the demo's notebook, for readers who see it without a camera."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_lib import plots
from fer_lib.checkpoints import PARTS, Checkpoint
from fer_lib.data import load_dataset
from fer_lib.data.catalog import dataset_title
from fer_lib.demo.annotate import annotate
from fer_lib.demo.faces import create_detector
from fer_lib.demo.pipeline import measure_loss
from fer_lib.errors import UserError
from fer_lib.models.weights import NO_WEIGHTS
from fer_lib.predict import Predictor, Reading, cut_faces
from fer_lib.recipe import called


def checkpoint_table(checkpoint: Checkpoint | None) -> pd.DataFrame:
    """What a weight file is, or that there is none and which command makes one."""
    if checkpoint is None:
        return _sentence(NO_WEIGHTS)
    accuracy = {
        f"accuracy, {PARTS[part]} part, {views}": f"{100 * checkpoint.accuracy[part][kind]:.2f} %"
        for part in checkpoint.accuracy
        for kind, views in (("plain", "one view"), ("tta", f"{checkpoint.recipe['test_views']} views"))
    }
    about = {
        "weight file": checkpoint.path.name,
        "net": called(checkpoint.recipe["name"]),
        "recipe": checkpoint.recipe["name"],
        "run": checkpoint.run,
        "trained on": f"{checkpoint.data['counts']['train']:,} pictures of {dataset_title(checkpoint.data['name'])}",
    }
    return pd.Series(about | accuracy, name="").to_frame()


def reading_table(readings: Sequence[Reading]) -> pd.DataFrame:
    """One row a face: place, size and probabilities in percent."""
    rows = [
        {f"{name}, px": round(value) for name, value in zip(("left", "top", "width", "height"), face.box, strict=True)}
        | {name: f"{100 * share:.0f} %" for name, share in reading.probabilities.items()}
        for reading in readings
        for face in [reading.face]
    ]
    return pd.DataFrame(rows) if rows else _sentence("no face found")


def figure(picture: np.ndarray, readings: Sequence[Reading], net: str) -> Figure:
    """The picture with boxes, words and the net's name, and beside it the probabilities of each face."""
    named = [reading for reading in readings if reading.probabilities]
    drawn = Figure(figsize=(9, 3.4), layout="constrained")
    axes = drawn.subplots(1, 1 + len(named), width_ratios=[4, *[1.3] * len(named)])
    first = axes[0] if named else axes
    first.imshow(annotate(picture, readings, net))
    first.axis("off")
    for column, reading in enumerate(named, start=1):
        names = list(reading.probabilities)
        axes[column].barh(names, [100 * share for share in reading.probabilities.values()], color=plots.OURS)
        axes[column].set(title=reading.label, xlim=(0, 100), xlabel="%")
        axes[column].invert_yaxis()
        if column > 1:
            axes[column].set_yticklabels([])
    return drawn


def cut_figure(picture: np.ndarray, readings: Sequence[Reading]) -> Figure:
    """The faces of a picture as the net is shown them."""
    cut = cut_faces(picture, [reading.face for reading in readings])
    return plots.pictures(cut, [reading.label or "a face" for reading in readings])


def pipeline_table(checkpoint: Checkpoint | None, detector: str, pictures: int) -> pd.DataFrame:
    """What the way through a camera picture costs on the first pictures of FER2013's PrivateTest part.

    Args:
        checkpoint: a weight file; None where there is none.
        detector: see :func:`fer_lib.demo.faces.create_detector`.
        pictures: how many; 0 for none.

    Returns:
        One figure a row, see :class:`fer_lib.demo.pipeline.Loss`; or one sentence, why there are none.
    """
    if checkpoint is None:
        return _sentence(NO_WEIGHTS)
    if not pictures:
        return _sentence("not measured: the parameter PIPELINE is 0")
    try:
        dataset = load_dataset("fer2013")
    except UserError as error:
        return _sentence(f"not measured: {error}")
    chosen = dataset.subset(dataset.indices("test")[:pictures])
    loss = measure_loss(chosen.images, chosen.labels, Predictor(checkpoint), create_detector(detector))
    rows = {
        "pictures": f"{loss.pictures}",
        "face found": f"{100 * loss.found:.1f} %",
        "of those found: same class as the picture itself": f"{100 * loss.agreement:.1f} %",
        "of those found: accuracy of the pictures themselves": f"{100 * loss.direct_found:.1f} %",
        "of those found: accuracy through the camera picture": f"{100 * loss.through:.1f} %",
        "of all: accuracy of the pictures themselves": f"{100 * loss.direct:.1f} %",
        "of all: accuracy through the camera picture, not found counted as wrong": f"{100 * loss.through_all:.1f} %",
    }
    return pd.Series(rows, name="").to_frame()


def _sentence(text: str) -> pd.DataFrame:
    """A sentence where a table would stand."""
    return pd.DataFrame({"": [text]}, index=[""])
