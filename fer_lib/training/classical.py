"""Runs of the classical pipelines: features of every picture, one fit, and what a training of a net leaves.

A fit has one "epoch", so that the three selection rules coincide, and no random number in it, so that every seed
gives the same outcome.
"""

import math
import time
from collections.abc import Callable

import numpy as np
import torch

from fer_lib.data import FaceDataset, split_indices
from fer_lib.errors import UserError
from fer_lib.models import create_model
from fer_lib.models.classical import ClassicalModel
from fer_lib.recipe import Recipe, RunSpec
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
        UserError: the recipe wants what a single fit does not have, or the training part is too small.
        Interrupted: stopped early.
    """
    recipe = spec.recipe
    _check(recipe)
    model = create_model(recipe.model, num_classes=len(dataset.classes), **recipe.model_options)
    parts = split_indices(dataset, recipe.protocol, spec.fold or 0, recipe.leave_out)
    chosen = {"train": parts.train[: spec.limit_train]}
    chosen |= {part: getattr(parts, part)[: spec.limit_test] for part in ("val", "test")}
    sizes = {part: len(indices) for part, indices in chosen.items()}
    labels = {part: dataset.labels[indices] for part, indices in chosen.items() if len(indices)}
    if not sizes["train"] or not sizes["test"]:
        raise UserError(f"dataset {dataset.name}: no training pictures or no test pictures")

    say("deterministic: every seed gives this outcome")
    started = time.monotonic()
    features = _describe(model, dataset.images[chosen["train"]], "train", stop or Stop(), say)
    say(f"fitting {recipe.model} to {features.shape[0]} x {features.shape[1]} features")
    try:
        model.fit_features(features, labels["train"])
    except UserError as error:
        raise UserError(f"dataset {dataset.name}, training part: {error}") from None
    train_seconds = time.monotonic() - started
    say(f"fitted after {train_seconds:.0f} s")
    probabilities = {"train": model.probabilities(features)}
    for part in [part for part in labels if part != "train"]:
        probabilities[part] = model.probabilities(_describe(model, dataset.images[chosen[part]], part, Stop(), say))

    row: dict[str, float] = {"epoch": 1}
    for part in ("train", "val"):
        row |= {f"{part}_loss": math.nan, f"{part}_accuracy": math.nan}
        if part in labels:
            row |= _scores(part, probabilities[part], labels[part])
    row["test_accuracy"] = _scores("test", probabilities["test"], labels["test"])["test_accuracy"]
    row |= {"lr": 0.0, "seconds": time.monotonic() - started}
    # One view only: plain and test-time-augmented predictions are the same.
    evaluated = {part: dict.fromkeys(("plain", "tta"), probabilities[part]) for part in labels if part != "train"}
    return Outcome(
        history=[row],
        epochs=dict.fromkeys(RULES, 1),
        probabilities=dict.fromkeys(RULES, evaluated),
        labels={part: labels[part] for part in evaluated},
        weights={},
        sizes=sizes,
        seconds=row["seconds"],
        train_seconds=train_seconds,
        images=sizes["train"],
        sessions=1,
        pretrained=[],
    )


def classical_environment() -> dict[str, str]:
    """What a record says of a fit in addition to, or instead of, what it says of a training on a device."""
    import skimage
    import sklearn

    return {"precision": "float64", "scikit-image": skimage.__version__, "scikit-learn": sklearn.__version__}


def _check(recipe: Recipe) -> None:
    """Refuse what would change the run's name and not its outcome."""
    for name, value, only in (
        ("epochs", recipe.epochs, 1),
        ("test_views", recipe.test_views, "one"),
        ("augment", recipe.augment, {}),
        ("balance", recipe.balance, {}),
        ("pretrained", recipe.pretrained or "", ""),
    ):
        if value != only:
            raise UserError(f"{recipe.name}: {name} must be {only!r}, as {recipe.model} is fitted once: got {value!r}")


def _describe(
    model: ClassicalModel, images: np.ndarray, part: str, stop: Stop, say: Callable[[str], None]
) -> np.ndarray:
    """Features float32 [N, D] of pictures uint8 [N, H, W]."""
    chunks = []
    for start in range(0, len(images), CHUNK):
        chunk = torch.from_numpy(images[start : start + CHUNK]).unsqueeze(1)
        chunks.append(model.describe(chunk))
        say(f"  {part}: features of {start + len(chunk)} of {len(images)} pictures")
        if stop.reason:
            raise Interrupted(f"stopped by {stop.reason} before the fit; start it again from the beginning")
    return np.concatenate(chunks)


def _scores(part: str, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    picked = probabilities[np.arange(len(labels)), labels]
    return {
        f"{part}_loss": float(-np.log(picked).mean()),
        f"{part}_accuracy": float((probabilities.argmax(1) == labels).mean()),
    }
