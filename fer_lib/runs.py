"""Run records: what a finished training leaves in ``results/runs``.

A record is a folder named by its run's identity: ``run.json`` (spec, metrics, provenance), ``history.csv.gz`` (one
row per epoch) and ``predictions.npz``. The folder appears in one step, when all three are complete, so one that
is there is whole. Everything the study shows is computed from these files.
"""

import csv
import gzip
import json
import math
import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct, defstruct, field

from fer_lib import __version__
from fer_lib.data.catalog import KNOWN
from fer_lib.errors import UserError
from fer_lib.kept import code_digest
from fer_lib.metrics import expected_calibration_error, negative_log_likelihood, summary
from fer_lib.paths import ROOT, in_checkout, npz_bytes, write_atomically
from fer_lib.recipe import Recorded, spec_name
from fer_lib.schema import Count, Digest, Name, NotNegative, Share, Text, Whole, check
from fer_lib.selection import RULES

SCHEMA = 1
KINDS = ("plain", "tta")
PREDICTED = ("last", "val_selected")
"""The rules whose predictions are kept."""
HISTORY, PREDICTIONS, WEIGHTS = "history.csv.gz", "predictions.npz", "weights.safetensors"
Measured = Annotated[float, Meta(ge=0, le=1e9)]
"""Seconds, or pictures a second: up to 30 years, or to what no device does."""


class _Scores(Struct):
    accuracy: Share
    macro_precision: Share
    macro_recall: Share
    macro_f1: Share
    per_class_recall: list[Share]
    ece: Share | None = None
    nll: NotNegative | None = None


class _Kinds(Struct):
    plain: _Scores
    tta: _Scores


class _Chosen(Struct):
    epoch: Count
    test: _Kinds
    val: _Kinds | None = None


class Counts(Struct):
    """Pictures of each part."""

    train: Count
    val: Whole
    test: Count


class _Data(Struct):
    name: Text
    source: Text
    fingerprint: Digest
    counts: Counts
    pictures: dict[Literal["train", "val", "test"], Digest] | None = None


class _Spec(Struct):
    recipe: Recorded
    seed: Whole
    fold: Whole | None
    limit_train: Count | None
    limit_test: Count | None = None


class _Environment(Struct):
    python: Text
    torch: Text
    device: Text
    precision: Literal["float64", "float32", "bfloat16", "float16"]
    cuda: Text | None = None
    torchvision: Text | None = None
    numpy: Text | None = None
    safetensors: Text | None = None
    scikit_image: Text | None = field(default=None, name="scikit-image")
    scikit_learn: Text | None = field(default=None, name="scikit-learn")


class _Code(Struct):
    commit: Digest | None
    digest: Digest | None
    version: Text | None = None
    modified: bool | None = None


Moment = Annotated[datetime, Meta(tz=True)]
"""A time with its zone."""


class _Time(Struct):
    finished: Moment
    seconds: Measured
    train_images_per_second: Measured
    sessions: Count = 1
    last_session_started: Moment | None = None
    milliseconds_per_picture: Measured | None = None


_Metrics: Any = defstruct("Metrics", [(rule, _Chosen) for rule in RULES])


class _Content(Struct):
    """What ``run.json`` holds; more than that does no harm."""

    schema: Literal[1]
    id: Name
    spec: _Spec
    classes: Annotated[list[Text], Meta(min_length=2)]
    metrics: _Metrics
    data: _Data
    environment: _Environment
    code: _Code
    time: _Time
    pretrained: tuple[Text, ...] = ()


@dataclass(frozen=True, repr=False)
class RunRecord:
    """One complete run, read from its folder.

    Attributes:
        path: the folder.
        content: the parsed ``run.json``.
    """

    path: Path
    content: dict[str, Any]

    def __repr__(self) -> str:
        return f"RunRecord({self.path.name!r})"

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
        """Epochs that were trained."""
        return self.spec["recipe"]["epochs"]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.content["classes"])

    @property
    def weights(self) -> Path:
        """File of the ``val_selected`` weights, which only the machine that trained keeps.

        Raises:
            UserError: it is not there.
        """
        if not (self.path / WEIGHTS).exists():
            raise UserError(
                f"{self.path / WEIGHTS}: missing; records are shared without weights, `fer train` makes them"
            )
        return self.path / WEIGHTS

    def accuracy(self, part: str = "test", rule: str = "val_selected", kind: str = "tta") -> float:
        """Accuracy as a fraction; NaN where the protocol has no such part."""
        metrics = self.content["metrics"][rule].get(part)
        return math.nan if metrics is None else metrics[kind]["accuracy"]

    @cached_property
    def history(self) -> dict[str, np.ndarray]:
        """Columns of ``history.csv.gz`` as float64 arrays over epochs; NaN where a cell is empty."""
        with gzip.open(self.path / HISTORY, "rt", newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}

    @cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """Arrays of ``predictions.npz``.

        ``{part}/labels`` and ``{part}/{rule}/{kind}`` are uint8 [N] class indices for the rules ``last`` and
        ``val_selected``; ``{part}/probabilities`` is uint8 [N, C], 255 times the test-time-augmented probabilities
        under ``val_selected``. Rows follow the dataset's order within the part.
        """
        with np.load(self.path / PREDICTIONS, allow_pickle=False) as file:
            return _unpacked(dict(file))


def predictions_of(
    labels: dict[str, np.ndarray], probabilities: dict[str, dict[str, dict[str, np.ndarray]]]
) -> dict[str, np.ndarray]:
    """The arrays of ``predictions.npz``, see :attr:`RunRecord.predictions`.

    Args:
        labels: ``[part]`` int64 [N].
        probabilities: ``[rule][part][kind]`` float32 [N, C].

    Raises:
        ValueError: a probability is NaN or infinite.
    """
    arrays: dict[str, np.ndarray] = {}
    for part, truth in labels.items():
        arrays[f"{part}/labels"] = truth.astype(np.uint8)
        for rule in PREDICTED:
            for kind in KINDS:
                arrays[f"{part}/{rule}/{kind}"] = probabilities[rule][part][kind].argmax(1).astype(np.uint8)
        shown = probabilities["val_selected"][part]["tta"]
        if not np.isfinite(shown).all():
            raise ValueError(f"{part}: the net's probabilities are not finite")
        # The predicted class has what the others leave, so that the file need not hold it.
        stored = np.round(shown * 255).astype(np.uint8)
        predicted = shown.argmax(1)[:, None]
        np.put_along_axis(stored, predicted, 0, 1)
        np.put_along_axis(stored, predicted, 255 - stored.sum(1, keepdims=True, dtype=np.uint8), 1)
        arrays[f"{part}/probabilities"] = stored
    return arrays


def _packed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the file holds: ``{part}/probabilities`` without the predicted classes, a quarter to a third of its size."""
    packed = {}
    for name, array in arrays.items():
        if name.endswith("/probabilities"):
            part = name.split("/")[0]
            others = np.arange(array.shape[1]) != arrays[f"{part}/val_selected/tta"][:, None]
            name, array = f"{part}/other_probabilities", array[others].reshape(len(array), -1)
        packed[name] = array
    return packed


def _unpacked(packed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of :func:`_packed`."""
    arrays = {}
    for name, array in packed.items():
        if name.endswith("/other_probabilities"):
            part = name.split("/")[0]
            stored = np.zeros((len(array), array.shape[1] + 1), np.uint8)
            predicted = packed[f"{part}/val_selected/tta"][:, None]
            stored[np.arange(stored.shape[1]) != predicted] = array.ravel()
            np.put_along_axis(stored, predicted.astype(np.int64), 255 - array.sum(1, keepdims=True, dtype=np.uint8), 1)
            name, array = f"{part}/probabilities", stored
        arrays[name] = array
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
    truth = {part: arrays[f"{part}/labels"] for part in parts}
    metrics: dict[str, dict[str, Any]] = {
        rule: {
            part: {kind: summary(truth[part], arrays[f"{part}/{rule}/{kind}"], num_classes) for kind in KINDS}
            for part in parts
        }
        for rule in PREDICTED
    }
    for part in parts:
        probabilities = restore_probabilities(arrays[f"{part}/probabilities"])
        metrics["val_selected"][part]["tta"] |= {
            "ece": expected_calibration_error(truth[part], probabilities),
            "nll": negative_log_likelihood(truth[part], probabilities),
        }
    return metrics


def code_version() -> dict[str, Any]:
    """The library's version and a digest of its sources, and of a checkout its commit and whether it has changes.

    A wheel, or a copy of the tree, has no commit: that of a repository around it is another project's.
    """
    top = _git("rev-parse", "--show-toplevel") if in_checkout() else ""
    commit = _git("rev-parse", "HEAD") if top and Path(top).resolve() == ROOT else ""
    return {
        "version": __version__,
        "commit": commit or None,
        "modified": bool(_git("status", "--porcelain", "--", "fer_lib")) if commit else None,
        "digest": code_digest(),
    }


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


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
    weights: bytes | None = None,
) -> RunRecord:
    """Write a record whole or not at all.

    Args:
        folder: where it shall be; must not exist.
        content: what ``run.json`` shall hold.
        history: one row per epoch.
        arrays: see :attr:`RunRecord.predictions`.
        scratch: a folder on the same disk, in which the record is assembled.
        weights: content of ``weights.safetensors``, which is kept beside the record on the machine that trained.

    Raises:
        OSError: no space or no permission, naming the file; nothing is left at ``folder``.
    """
    draft = scratch / "record"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    files = {
        PREDICTIONS: npz_bytes(_packed(arrays)),
        HISTORY: gzip.compress(_history_csv(history).encode(), mtime=0),  # without a time: same run, same bytes
        "run.json": (json.dumps(content, indent=1, allow_nan=False) + "\n").encode(),
    }
    if weights is not None:
        files[WEIGHTS] = weights
    for name, data in files.items():
        write_atomically(draft / name, data)
    os.rename(draft, folder)
    return RunRecord(folder, content)


def _history_csv(history: list[dict[str, float]]) -> str:
    lines = [",".join(history[0])]
    for row in history:
        cells = (value if isinstance(value, int) else float(f"{value:.4g}") for value in row.values())
        lines.append(",".join("" if math.isnan(cell) else repr(cell) for cell in cells))
    return "\n".join(lines) + "\n"


def read_record(folder: Path) -> RunRecord:
    """Read one record.

    Raises:
        UserError: a file is missing or unreadable, or ``run.json`` lacks a field or has one of another type.
    """
    path = folder / "run.json"
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: missing; the folder is no run record") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: unreadable ({error})") from None
    if isinstance(content, dict) and content.get("schema", SCHEMA) != SCHEMA:
        raise UserError(f"{path}: schema {content['schema']!r}, this version reads {SCHEMA}")
    check(_Content, content, str(path))
    for name in (HISTORY, PREDICTIONS):
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
    for folder in sorted(runs.glob("*")):
        if folder.is_dir() and not folder.name.endswith(".partial"):
            try:
                records.append(read_record(folder))
            except UserError as error:
                problems.append(str(error))
    return records, problems


def verify_record(record: RunRecord) -> list[str]:
    """Hold a record's parts against each other: its name and spec, its predictions, metrics and history.

    Returns:
        One line per fault; empty if the record is sound.
    """
    faults = []
    if record.path.name != record.id:
        faults.append(f"folder is named {record.path.name}, run.json says {record.id}")
    if record.id != spec_name(record.spec):
        faults.append(f"run.json: the spec is not the one that {record.id} was made from")
    dataset, name = record.spec["recipe"]["dataset"], record.content["data"]["name"]
    if dataset in KNOWN and name != dataset:
        faults.append(f"run.json: data.name is {name}, the spec's dataset {dataset}")
    if not (record.content["code"]["commit"] or record.content["code"]["digest"]):
        faults.append("run.json: code has neither commit nor digest, so that nobody knows what made it")
    return faults + _faults_of_predictions(record) + _faults_of_history(record)


def _faults_of_predictions(record: RunRecord) -> list[str]:
    try:
        arrays = record.predictions
    except Exception as error:
        return [f"predictions.npz: unreadable ({type(error).__name__})"]
    counts = record.content["data"]["counts"]
    faults = []
    for name, array in arrays.items():
        part = name.split("/")[0]
        if len(array) != counts.get(part):
            faults.append(f"predictions.npz: {name} has {len(array)} rows, the {part} part has {counts.get(part)}")
        if array.dtype != np.uint8:
            faults.append(f"predictions.npz: {name} is {array.dtype}, not uint8")
    if faults:
        return faults
    try:
        faults = _faults_of_probabilities(arrays, len(record.classes))
        computed = metrics_of(arrays, len(record.classes))
    except KeyError as error:
        return [f"predictions.npz: lacks {error}"]
    except (ValueError, IndexError) as error:
        return [*faults, f"predictions.npz: {error}"]
    faults += _faults_of_test_best(record, arrays)
    for rule, parts in computed.items():
        for part, kinds in parts.items():
            for kind, values in kinds.items():
                stored = (record.content["metrics"][rule].get(part) or {}).get(kind, {})
                for metric, value in values.items():
                    same = np.shape(stored.get(metric)) == np.shape(value)
                    if not (same and np.allclose(stored[metric], value, rtol=0, atol=1e-9)):
                        where = f"{metric} of {part}, {rule}, {kind}"
                        faults.append(f"run.json: {where} is {stored.get(metric)}, predictions give {value}")
    return faults


def _faults_of_test_best(record: RunRecord, arrays: dict[str, np.ndarray]) -> list[str]:
    """Its predictions are not kept, but each class's recall must give its accuracy and mean recall."""
    faults = []
    for part, kinds in record.content["metrics"]["test_best"].items():
        if part == "epoch" or kinds is None:
            continue
        pictures = np.bincount(arrays[f"{part}/labels"], minlength=len(record.classes))
        for kind, scores in kinds.items():
            recall, where = scores["per_class_recall"], f"of {part}, test_best, {kind}"
            if len(recall) != len(pictures):
                faults.append(
                    f"run.json: per_class_recall {where} has {len(recall)} numbers for {len(pictures)} classes"
                )
                continue
            given = {"accuracy": np.dot(recall, pictures) / pictures.sum(), "macro_recall": np.mean(recall)}
            for metric, value in given.items():
                if abs(scores[metric] - value) > 1e-9:
                    faults.append(f"run.json: {metric} {where} is {scores[metric]}, per_class_recall gives {value}")
    return faults


def _faults_of_probabilities(arrays: dict[str, np.ndarray], classes: int) -> list[str]:
    faults = []
    for name in (name for name in arrays if name.endswith("/probabilities")):
        stored = arrays[name].astype(np.int64)
        if stored.shape[1:] != (classes,):
            faults.append(f"predictions.npz: {name} is {list(stored.shape)} for {classes} classes")
            continue
        # Each is rounded by half a step at most. Where the net said NaN, the whole row is far below.
        if wrong := int((np.abs(stored.sum(1) - 255) > (classes + 1) // 2).sum()):
            faults.append(f"predictions.npz: {wrong} rows of {name} do not sum to one")
        predicted = arrays[f"{name.split('/')[0]}/val_selected/tta"][:, None].astype(np.int64)
        of_predicted = np.take_along_axis(stored, np.minimum(predicted, classes - 1), 1)
        if wrong := int((of_predicted < stored.max(1, keepdims=True) - classes).sum()):
            faults.append(f"predictions.npz: {wrong} rows of {name} have another class on top than the one predicted")
    return faults


def _faults_of_history(record: RunRecord) -> list[str]:
    try:
        history = record.history
        rows = len(history["epoch"])
    except Exception as error:
        return [f"{HISTORY}: unreadable ({type(error).__name__})"]
    if rows != record.epochs:
        return [f"{HISTORY}: {rows} epochs, the spec has {record.epochs}"]
    faults = []
    for name, column in history.items():
        empty = name.startswith("val_") and not record.content["data"]["counts"].get("val")
        if not empty and not (finite := np.isfinite(column)).all():
            faults.append(f"{HISTORY}: {name} is no number in epoch {int(np.argmin(finite)) + 1}")
    for rule in RULES:
        epoch = record.content["metrics"][rule].get("epoch")
        if epoch not in range(1, rows + 1):
            faults.append(f"run.json: {rule} has epoch {epoch} of {rows}")
            continue
        if rule == "last" and epoch != rows:
            faults.append(f"run.json: last has epoch {epoch}, the last one is {rows}")
        for part in ("val", "test"):
            # The net was evaluated again after the last epoch; on a GPU rounding may tip a picture or a few.
            pictures = record.content["data"]["counts"].get(part, 0)
            then = history[f"{part}_accuracy"][epoch - 1]
            now = record.accuracy(part, rule, "plain")
            if pictures and not abs(then - now) <= 0.002 + 1 / pictures:
                faults.append(f"{HISTORY}: {part}_accuracy of epoch {epoch} is {then}, run.json has {now} ({rule})")
    return faults
