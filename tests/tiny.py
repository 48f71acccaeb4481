"""The smallest recipe, dataset and run record that behave like real ones."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_lib.data import FER2013_CLASSES, FaceDataset, synthetic
from fer_lib.recipe import Recipe, RunSpec
from fer_lib.runs import KINDS, RunRecord, metrics_of, predictions_of, write_record
from fer_lib.selection import RULES


def tiny_recipe(**changes: Any) -> Recipe:
    """A recipe that trains in a second, with everything whose state a resumed training must restore.

    Random crops and flips, dropout, momentum, centers that the loss moves, and a schedule that reads the scores.
    """
    recipe = Recipe(
        name="test/tiny/synthetic",
        title="tiny",
        dataset="synthetic",
        protocol="official",
        model="resnet18",
        model_options={"width": 8, "layers": [1, 1, 1, 1], "dropout": 0.5},
        augment={"crop": 24, "flip": 0.5},
        test_views="flip",
        loss={"name": "island"},
        optimizer={"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4},
        schedule={"name": "plateau", "factor": 0.5, "patience": 0},
        clamp_gradient=0.1,
        batch_size=16,
        epochs=3,
    )
    return dataclasses.replace(recipe, **changes)


def tiny_dataset() -> FaceDataset:
    """70 + 21 + 21 drawn faces."""
    return synthetic(train=70, val=21, test=21)


def scores(labels: np.ndarray, correct: int, seed: int = 0, classes: int = 7, offset: int = 0) -> np.ndarray:
    """Class probabilities, float32 [N, C], of which exactly ``correct`` rows are right, from ``offset`` on."""
    n = len(labels)
    answers = np.where((np.arange(n) - offset) % n < correct, labels, (labels + 1) % classes)
    logits = np.random.default_rng(seed).uniform(0, 1, (n, classes))
    logits[np.arange(n), answers] += 2
    shares = np.exp(2 * logits)
    return (shares / shares.sum(1, keepdims=True)).astype(np.float32)


def write_run(
    runs: Path,
    spec: RunSpec,
    *,
    correct: int,
    test: int = 20,
    val: int = 10,
    source: str = "drawn",
    offset: int = 0,
) -> RunRecord:
    """Write a made-up record: ``correct`` of ``test`` test pictures right, under every rule and view; see `scores`."""
    sizes = {"val": val, "test": test}
    labels = {part: np.arange(n) % 7 for part, n in sizes.items() if n}
    chosen = {
        part: {kind: scores(truth, correct if part == "test" else val // 2, offset=offset) for kind in KINDS}
        for part, truth in labels.items()
    }
    arrays = predictions_of(labels, {rule: chosen for rule in RULES})
    metrics = metrics_of(arrays, 7)
    metrics["test_best"] = {part: dict(kinds) for part, kinds in metrics["last"].items()}
    epochs = spec.recipe.epochs
    for rule in RULES:
        metrics[rule]["epoch"] = epochs
    history = [
        {
            "epoch": epoch,
            "train_loss": 2.0 / epoch,
            "train_accuracy": 0.5,
            "val_loss": 1.5 if val else float("nan"),
            "val_accuracy": 0.5 if val else float("nan"),
            "test_accuracy": correct / test,
            "lr": 0.01,
            "seconds": 1.0,
        }
        for epoch in range(1, epochs + 1)
    ]
    content = content_of(spec, metrics, {"train": 100, **sizes}, source=source)
    runs.mkdir(parents=True, exist_ok=True)
    return write_record(runs / spec.run_id, content, history, arrays, runs / f"{spec.run_id}.partial")


def content_of(
    spec: RunSpec,
    metrics: dict[str, Any],
    counts: dict[str, int],
    *,
    classes: Sequence[str] = FER2013_CLASSES,
    source: str = "drawn",
    fingerprint: str = "0123456789abcdef" * 4,
) -> dict[str, Any]:
    """A made-up ``run.json``."""
    return {
        "schema": 1,
        "id": spec.run_id,
        "spec": spec.as_dict(),
        "classes": list(classes),
        "metrics": metrics,
        "data": {
            "name": spec.recipe.dataset,
            "source": source,
            "fingerprint": fingerprint,
            "counts": counts,
        },
        "environment": {"python": "3.12.0", "torch": "2.11.0", "device": "a CPU, 1 threads", "precision": "float32"},
        "code": {"commit": "0" * 40, "modified": False, "digest": "f" * 64},
        "time": {
            "finished": "2025-01-01T00:00:00+00:00",
            "last_session_started": "2025-01-01T00:00:00+00:00",
            "sessions": 1,
            "seconds": 60.0,
            "train_images_per_second": 100.0,
        },
    }
