"""Browse a dataset: its classes, and what an audit finds: copies, contradictions, what is no face, films."""

from collections.abc import Callable

import ipywidgets
import numpy as np

from fer_lib.data import FaceDataset
from fer_lib.data.audit import identities, mixed
from fer_lib.explore.panel import Panel, Shown, face_png
from fer_lib.study.films import check_films
from fer_lib.study.sheets import no_faces

MOST = 42
"""Pictures shown at once."""
ANY = "any"


def _copies(dataset: FaceDataset, values: np.ndarray) -> np.ndarray:
    """Pictures equal in every pixel of which not all have the same value, next to each other, int64."""
    picture = identities(dataset)
    chosen = np.flatnonzero(mixed(picture, values)[picture])
    return chosen[np.argsort(picture[chosen], kind="stable")]


FINDS: dict[str, Callable[[FaceDataset], np.ndarray]] = {
    "all": lambda dataset: np.arange(len(dataset)),
    "copies": lambda dataset: _copies(dataset, np.arange(len(dataset))),
    "copies across parts": lambda dataset: _copies(dataset, dataset.split == "train"),
    "copies with different labels": lambda dataset: _copies(dataset, dataset.labels),
    "no face (FER+)": no_faces,
    "films": lambda dataset: np.argsort(check_films(dataset)[1], kind="stable"),  # all frames, film by film
}
"""What may be looked for, and the positions of the pictures that are it."""


def finds_of(dataset: FaceDataset) -> list[str]:
    """What may be looked for in a dataset: votes and films are not in every one."""
    without = {"no face (FER+)": dataset.votes is None, "films": dataset.sequence is None}
    without["copies across parts"] = not len(dataset.indices("train"))
    return [name for name in FINDS if not without.get(name, False)]


def browse(dataset: FaceDataset, show: str, of_class: str, part: str) -> np.ndarray:
    """Positions of the pictures that fit, int64 [M].

    Args:
        dataset: what is browsed.
        show: a key of :data:`FINDS`.
        of_class: name of a class, or :data:`ANY`.
        part: train, val or test, or :data:`ANY`.
    """
    chosen = FINDS[show](dataset)
    if of_class != ANY:
        chosen = chosen[dataset.labels[chosen] == dataset.classes.index(of_class)]
    return chosen if part == ANY else chosen[dataset.split[chosen] == part]


def caption(dataset: FaceDataset, position: int) -> str:
    """Number, part, label, and the film or the choice of FER+'s annotators where there is one."""
    lines = [f"{position} {dataset.split[position]}", dataset.classes[dataset.labels[position]]]
    if dataset.sequence is not None:
        lines.append(str(dataset.sequence[position]))
    if dataset.votes is not None:
        votes = dataset.votes[position]
        lines.append(f"FER+ {dataset.vote_classes[votes.argmax()]} {votes.max()}/{votes.sum()}")
    return "\n".join(lines)


def data_panel(dataset: FaceDataset) -> Panel:
    """Browse a dataset, page by page.

    Args:
        dataset: the reader's own; its pictures are never saved with the notebook.
    """

    def draw(show: str, of_class: str, part: str, page: int) -> Shown:
        chosen = browse(dataset, show, of_class, part)
        pages = max(1, -(-len(chosen) // MOST))
        start = MOST * (min(page, pages) - 1)
        these = chosen[start : start + MOST]
        words = f"{len(chosen):,} of {len(dataset):,} pictures of {dataset.name}, page {min(page, pages)} of {pages}."
        return Shown(words, [face_png(dataset.images[i]) for i in these], [caption(dataset, i) for i in these])

    parts = [part for part in ("train", "val", "test") if len(dataset.indices(part))]
    controls = {
        "show": ipywidgets.Dropdown(options=finds_of(dataset), description="show"),
        "of_class": ipywidgets.Dropdown(options=[ANY, *dataset.classes], description="label"),
        "part": ipywidgets.Dropdown(options=[ANY, *parts], description="part"),
        "page": ipywidgets.BoundedIntText(1, min=1, max=10_000, description="page"),
    }
    return Panel(f"Browse {dataset.name}", controls, draw)
