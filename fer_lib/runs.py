"""Run records: what a finished training leaves in ``results/runs``.

A record is a folder named by its run's identity: ``run.json`` (spec, metrics, provenance), ``history.csv`` (one
row per epoch) and ``predictions.npz``. The folder appears in one step, when all three are complete, so one that
is there is whole. Everything the study shows is computed from these files.
"""

import csv
import io
import json
import math
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fer_lib.errors import UserError
from fer_lib.metrics import expected_calibration_error, negative_log_likelihood, summary

SCHEMA = 1
RULES = ("last", "val_selected", "test_best")
KINDS = ("plain", "tta")
_FIELDS = ("schema", "id", "spec", "classes", "metrics", "data", "environment", "code", "time")


@dataclass(frozen=True)
class RunRecord:
    """One complete run, read from its folder.

    Attributes:
        path: the folder.
        content: the parsed ``run.json``.
    """

    path: Path
    content: dict[str, Any]

    @property
    def id(self) -> str:
        return self.content["id"]

    @property
    def spec(self) -> dict[str, Any]:
        return self.content["spec"]

    @property
    def recipe(self) -> str:
        """Name of the recipe."""
        return self.spec["recipe"]["name"]

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return self.spec["recipe"]["epochs"]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.content["classes"])

    def accuracy(self, part: str = "test", rule: str = "val_selected", kind: str = "tta") -> float:
        """Accuracy as a fraction; NaN where the protocol has no such part."""
        metrics = self.content["metrics"][rule].get(part)
        return math.nan if metrics is None else metrics[kind]["accuracy"]

    @cached_property
    def history(self) -> dict[str, np.ndarray]:
        """Columns of ``history.csv`` as float64 arrays over epochs; NaN where a cell is empty."""
        with open(self.path / "history.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}

    @cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """Arrays of ``predictions.npz``.

        ``{part}/labels`` and ``{part}/{rule}/{kind}`` are uint8 [N] class indices for the rules ``last`` and
        ``val_selected``; ``{part}/probabilities`` is uint8 [N, C], 255 times the test-time-augmented probabilities
        under ``val_selected``. Rows follow the dataset's order within the part.
        """
        with np.load(self.path / "predictions.npz", allow_pickle=False) as file:
            return dict(file)


def predictions_of(
    labels: dict[str, np.ndarray], probabilities: dict[str, dict[str, dict[str, np.ndarray]]]
) -> dict[str, np.ndarray]:
    """The arrays of ``predictions.npz``, see :attr:`RunRecord.predictions`.

    Args:
        labels: ``[part]`` int64 [N].
        probabilities: ``[rule][part][kind]`` float32 [N, C].
    """
    arrays: dict[str, np.ndarray] = {}
    for part, truth in labels.items():
        arrays[f"{part}/labels"] = truth.astype(np.uint8)
        for rule in ("last", "val_selected"):
            for kind in KINDS:
                arrays[f"{part}/{rule}/{kind}"] = probabilities[rule][part][kind].argmax(1).astype(np.uint8)
        shown = probabilities["val_selected"][part]["tta"]
        arrays[f"{part}/probabilities"] = np.round(shown * 255).astype(np.uint8)
    return arrays


def metrics_of(arrays: dict[str, np.ndarray], num_classes: int) -> dict[str, dict[str, Any]]:
    """Metrics of the rules ``last`` and ``val_selected``, from a record's predictions alone.

    Args:
        arrays: see :attr:`RunRecord.predictions`.
        num_classes: number of classes.

    Returns:
        ``[rule][part][kind]`` with the entries of :func:`fer_lib.metrics.summary`, and for ``val_selected``, tta,
        also ``ece`` and ``nll``, computed from the 8-bit probabilities.
    """
    parts = [name.removesuffix("/labels") for name in arrays if name.endswith("/labels")]
    metrics: dict[str, dict[str, Any]] = {}
    for rule in ("last", "val_selected"):
        metrics[rule] = {}
        for part in parts:
            truth = arrays[f"{part}/labels"].astype(np.int64)
            metrics[rule][part] = {
                kind: summary(truth, arrays[f"{part}/{rule}/{kind}"].astype(np.int64), num_classes) for kind in KINDS
            }
    for part in parts:
        probabilities = restore_probabilities(arrays[f"{part}/probabilities"])
        truth = arrays[f"{part}/labels"].astype(np.int64)
        metrics["val_selected"][part]["tta"] |= {
            "ece": float(expected_calibration_error(truth, probabilities)),
            "nll": float(negative_log_likelihood(truth, probabilities)),
        }
    return metrics


def restore_probabilities(stored: np.ndarray) -> np.ndarray:
    """Turn 8-bit probabilities back into float64 rows that sum to one.

    Half a step is added to every entry, so that none is exactly zero.
    """
    shares = stored.astype(np.float64) + 0.5
    return shares / shares.sum(1, keepdims=True)


def write_record(
    folder: Path,
    content: dict[str, Any],
    history: list[dict[str, float]],
    arrays: dict[str, np.ndarray],
    scratch: Path,
) -> RunRecord:
    """Write a record whole or not at all.

    Args:
        folder: where it shall be; must not exist.
        content: what ``run.json`` shall hold.
        history: one row per epoch.
        arrays: see :attr:`RunRecord.predictions`.
        scratch: a folder on the same disk, in which the record is assembled.

    Raises:
        OSError: no space or no permission; nothing is left at ``folder``.
    """
    draft = scratch / "record"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    (draft / "predictions.npz").write_bytes(buffer.getvalue())
    (draft / "history.csv").write_text(_history_csv(history))
    (draft / "run.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    os.rename(draft, folder)
    return RunRecord(folder, content)


def _history_csv(history: list[dict[str, float]]) -> str:
    lines = [",".join(history[0])]
    for row in history:
        cells = (value if isinstance(value, int) else float(f"{value:.5g}") for value in row.values())
        lines.append(",".join("" if math.isnan(cell) else repr(cell) for cell in cells))
    return "\n".join(lines) + "\n"


def read_record(folder: Path) -> RunRecord:
    """Read one record.

    Raises:
        UserError: a file is missing or unreadable, or ``run.json`` lacks a field.
    """
    path = folder / "run.json"
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: missing; the folder is no run record") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: unreadable ({error})") from None
    if missing := [name for name in _FIELDS if name not in content]:
        raise UserError(f"{path}: lacks {', '.join(missing)}")
    if content["schema"] != SCHEMA:
        raise UserError(f"{path}: schema {content['schema']}, this version reads {SCHEMA}")
    for name in ("history.csv", "predictions.npz"):
        if not (folder / name).exists():
            raise UserError(f"{folder / name}: missing; the record is not whole")
    return RunRecord(folder, content)


def read_records(runs: Path) -> tuple[list[RunRecord], list[str]]:
    """Read every record of a folder, sorted by name.

    Args:
        runs: the folder, such as ``results/runs``; may not exist.

    Returns:
        The readable records, and one line for each folder that is none. Unfinished runs are neither.
    """
    records, problems = [], []
    for folder in sorted(runs.iterdir()) if runs.exists() else []:
        if folder.is_dir() and not folder.name.endswith(".partial"):
            try:
                records.append(read_record(folder))
            except UserError as error:
                problems.append(str(error))
    return records, problems


def verify_record(record: RunRecord) -> list[str]:
    """Recompute a record's metrics from its predictions and compare.

    Returns:
        One line per fault; empty if the record is sound.
    """
    faults = []
    if record.path.name != record.id:
        faults.append(f"folder is named {record.path.name}, run.json says {record.id}")
    try:
        arrays = record.predictions
    except Exception as error:
        return [*faults, f"predictions.npz: unreadable ({type(error).__name__})"]
    for name, array in arrays.items():
        part = name.split("/")[0]
        if len(array) != record.content["data"]["counts"].get(part):
            faults.append(f"predictions.npz: {name} has {len(array)} rows, the {part} part has other")
    if faults:
        return faults
    try:
        computed = metrics_of(arrays, len(record.classes))
    except (KeyError, ValueError, IndexError) as error:
        return [f"predictions.npz: {error}"]
    for rule, parts in computed.items():
        for part, kinds in parts.items():
            for kind, values in kinds.items():
                stored = record.content["metrics"][rule].get(part, {}).get(kind, {})
                for metric, value in values.items():
                    if metric not in stored or not np.allclose(stored[metric], value, rtol=0, atol=1e-9):
                        where = f"{metric} of {part}, {rule}, {kind}"
                        faults.append(f"run.json: {where} is {stored.get(metric)}, predictions give {value}")
    if len(record.history["epoch"]) != record.epochs:
        faults.append(f"history.csv: {len(record.history['epoch'])} epochs, the spec has {record.epochs}")
    return faults
