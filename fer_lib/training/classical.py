"""Runs of the classical pipelines: features of every picture, one fit, and what a training of a net leaves.

A fit has one "epoch", so that the three selection rules coincide, and no random number in it, so that every seed
gives the same outcome unless the split is drawn with it. Of a drawn cross-validation one run fits all folds, and its
test pictures are those of fold 0, then of fold 1 and so on.
"""

import math
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch

from fer_lib.data import FaceDataset, Parts, check_classes, picture_digests
from fer_lib.data.folds import joined
from fer_lib.errors import UserError
from fer_lib.models import create_model
from fer_lib.models.classical import ClassicalModel
from fer_lib.recipe import RunSpec
from fer_lib.selection import RULES
from fer_lib.training.loop import Outcome
from fer_lib.training.stop import Interrupted, Stop

CHUNK = 2000  # pictures between two lines of progress


def fit_classical(
    spec: RunSpec, dataset: FaceDataset, *, stop: Stop | None = None, say: Callable[[str], None] = print
) -> Outcome:
    """Fit a run's pipeline on the CPU.

    Nothing is kept of a fit that is stopped; it starts again from the beginning. scikit-learn's solvers cannot
    be stopped: once the features are there, the fit runs to its end.

    Args:
        spec: what to fit.
        dataset: the pictures the recipe names.
        stop: asks to end early.
        say: receives the lines of progress.

    Returns:
        As for a net. History has one row of learning rate 0; its losses are mean negative log-likelihoods.
        There are no weights.

    Raises:
        UserError: the training part is too small.
        Interrupted: stopped early.
    """
    recipe = spec.recipe
    parts = spec.parts(dataset)
    every = joined(parts)._asdict()
    sizes = {name: len(positions) for name, positions in every.items()}
    if not all(len(part.train) and len(part.test) for part in parts):
        raise UserError(f"dataset {dataset.name}: no training pictures or no test pictures")
    for part in parts:
        check_classes(dataset, part)

    say("deterministic: every seed gives this " + ("outcome" if not recipe.chance else "outcome on its split"))
    started = time.monotonic()
    model = create_model(recipe.model, num_classes=len(dataset.classes), **recipe.model_options)
    assert isinstance(model, ClassicalModel), "nets are trained elsewhere"
    wanted = np.unique(np.concatenate([*every.values()]))
    features = _features(model, dataset, wanted, stop or Stop(), say)
    probabilities: dict[str, list[np.ndarray]] = {name: [] for name in every}
    train_seconds = 0.0
    say(
        f"fitting {recipe.model} to {sizes['train']} x {features.shape[1]} features"
        + (f" of {len(parts)} folds" if len(parts) > 1 else "")
    )
    for part in parts:
        at = Parts(*(np.searchsorted(wanted, indices) for indices in part))
        begun = time.monotonic()
        try:
            model.fit_features(features[at.train], dataset.labels[part.train])
        except UserError as error:
            raise UserError(f"dataset {dataset.name}, training part: {error}") from None
        train_seconds += time.monotonic() - begun
        for name, positions in at._asdict().items():
            if len(positions):
                probabilities[name].append(model.probabilities(features[positions]))
    say(f"fitted after {time.monotonic() - started:.0f} s")

    labels = {name: dataset.labels[positions] for name, positions in every.items() if len(positions)}
    found = {name: np.concatenate(probabilities[name]) for name in labels}
    row: dict[str, float] = {"epoch": 1}
    for name in ("train", "val"):
        row |= {f"{name}_loss": math.nan, f"{name}_accuracy": math.nan}
        if name in labels:
            row |= _scores(name, found[name], labels[name])
    row["test_accuracy"] = _scores("test", found["test"], labels["test"])["test_accuracy"]
    row |= {"lr": 0.0, "seconds": time.monotonic() - started}
    # One view only: plain and test-time-augmented predictions are the same.
    evaluated = {name: dict.fromkeys(("plain", "tta"), found[name]) for name in labels if name != "train"}
    return Outcome(
        history=[row],
        epochs=dict.fromkeys(RULES, 1),
        probabilities=dict.fromkeys(RULES, evaluated),
        labels={name: labels[name] for name in evaluated},
        weights={},
        sizes=sizes,
        pictures=picture_digests(parts),
        seconds=row["seconds"],
        train_seconds=train_seconds,
        images=sizes["train"],
        sessions=1,
    )


def classical_environment() -> dict[str, str]:
    """What a record says of a fit in addition to, or instead of, what it says of a training on a device."""
    return {"precision": "float64", **{name: version(name) for name in ("scikit-image", "scikit-learn")}}


_kept: dict[tuple[str, str], np.ndarray] = {}
"""Features of whole datasets that are small, by fingerprint and feature: the next draw takes them from here."""


def _features(
    model: ClassicalModel, dataset: FaceDataset, wanted: np.ndarray, stop: Stop, say: Callable[[str], None]
) -> np.ndarray:
    """Features float32 [N, D] of the pictures at N positions."""
    key = (dataset.fingerprint, model.feature)
    if key in _kept:
        return _kept[key][wanted]
    chunks = []
    for start in range(0, len(wanted), CHUNK):
        chunk = torch.from_numpy(dataset.images[wanted[start : start + CHUNK]]).unsqueeze(1)
        chunks.append(model.describe(chunk))
        say(f"  features of {start + len(chunk)} of {len(wanted)} pictures")
        if stop.reason:
            raise Interrupted(f"stopped by {stop.reason} before the fit; start it again from the beginning")
    features = np.concatenate(chunks)
    if len(wanted) == len(dataset) <= CHUNK:
        _kept[key] = features
    return features


def _scores(part: str, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    picked = probabilities[np.arange(len(labels)), labels]
    return {
        f"{part}_loss": float(-np.log(picked).mean()),
        f"{part}_accuracy": float((probabilities.argmax(1) == labels).mean()),
    }
