"""Train a run of the study once: load it if it is complete, continue it if it was stopped, else start it."""

import platform
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from fer_lib.augment import face_view
from fer_lib.data import FACE_SIDE, FaceDataset, load_dataset
from fer_lib.errors import UserError
from fer_lib.metrics import summary
from fer_lib.models.describe import meta_net, milliseconds
from fer_lib.paths import results_dir
from fer_lib.queue.lock import locked, sweep
from fer_lib.recipe import RunSpec
from fer_lib.runs import SCHEMA, RunRecord, code_version, metrics_of, predictions_of, read_record, write_record
from fer_lib.texts import many
from fer_lib.training import Outcome, Stop, Watch, choose_device, device_name, fit, precision_name
from fer_lib.training.classical import classical_environment, fit_classical


def train_run(
    spec: RunSpec,
    *,
    results: Path | None = None,
    device: str = "auto",
    stop: Stop | None = None,
    say: Callable[[str], None] = print,
    watch: Watch | None = None,
    dataset: FaceDataset | None = None,
) -> RunRecord:
    """Return the record of a run, training it first if there is none.

    Args:
        spec: the run.
        results: folder that holds ``runs/``; None for :func:`fer_lib.paths.results_dir`.
        device: see :func:`fer_lib.training.choose_device`.
        stop: asks the training to end early; see :class:`fer_lib.training.Stop`.
        say: receives the lines of progress.
        watch: see :data:`fer_lib.training.Watch`.
        dataset: the recipe's dataset where the caller already holds it.

    Raises:
        fer_lib.errors.UserError: the data are missing or unfit, do not fit the device's memory, or are not those of
            the run's record.
        fer_lib.training.Diverged: the training failed, now or when it was last tried: it is not
            tried again before its unfinished folder is deleted.
        fer_lib.queue.lock.Busy: another process is training this run.
        fer_lib.training.Interrupted: stopped early; the same call continues.
    """
    runs = (results or results_dir()) / "runs"
    folder, partial = runs / spec.run_id, runs / f"{spec.run_id}.partial"
    sweep(runs)
    if record := find_run(spec, results):
        if spec.recipe.dataset.startswith("folder:"):
            check_pictures(record, dataset or load_dataset(spec.recipe.dataset))
        say(f"{spec.run_id}: complete, loaded from its record")
        return record
    choose_device(device)
    spec.recipe.check_code()
    dataset = dataset or load_dataset(spec.recipe.dataset)
    if dataset.images.shape[1:] != (FACE_SIDE, FACE_SIDE):
        shape = list(dataset.images.shape[1:])
        raise UserError(
            f"{dataset.name}: pictures of {shape}, which are for FaceDataset.torch; a recipe takes grey ones of "
            f"{FACE_SIDE} x {FACE_SIDE}"
        )
    for note in dataset.notes:
        say(note)
    with locked(partial):
        record = find_run(spec, results)  # another process may have finished it while this one read the data
        if record is None:
            say(f"{spec.run_id}: {many(spec.recipe.epochs, 'epoch')} on {dataset.name}")
            started, code = datetime.now(UTC), code_version()  # before the training, during which the tree may change
            if spec.recipe.is_classical:
                outcome, target = fit_classical(spec, dataset, stop=stop, say=say), torch.device("cpu")
                where = environment(target) | classical_environment()
            else:
                outcome = fit(spec, dataset, partial, device=device, stop=stop, say=say, watch=watch)
                target = choose_device(device)
                where = environment(target, spec.recipe.precision)
            latency = _latency(spec, dataset, target, say)
            record = _write(folder, partial, spec, dataset, outcome, where, latency, started, code)
    shutil.rmtree(partial, ignore_errors=True)  # the record is there: from now on nobody needs the lock
    epoch = record.content["metrics"]["val_selected"]["epoch"]
    say(f"{record.id}: test accuracy {record.accuracy():.2%} at the selected epoch {epoch}")
    return record


def check_pictures(record: RunRecord, dataset: FaceDataset) -> None:
    """Refuse pictures that are not those of a record.

    Raises:
        UserError: the dataset is not the run's.
    """
    if dataset.fingerprint != record.content["data"]["fingerprint"]:
        raise UserError(
            f"{record.path}: was trained on other pictures than {dataset.name} has now; give the new ones a "
            "folder of another name, or remove the record"
        )


def find_run(spec: RunSpec, results: Path | None = None) -> RunRecord | None:
    """The record of a run, or None if it has not been completed."""
    folder = (results or results_dir()) / "runs" / spec.run_id
    return read_record(folder) if folder.exists() else None


def _write(
    folder: Path,
    partial: Path,
    spec: RunSpec,
    dataset: FaceDataset,
    outcome: Outcome,
    where: dict[str, Any],
    latency: float | None,
    started: datetime,
    code: dict[str, Any],
) -> RunRecord:
    arrays = predictions_of(outcome.labels, outcome.probabilities)
    metrics = metrics_of(arrays, len(dataset.classes))
    best = outcome.probabilities["test_best"]
    metrics["test_best"] = {
        part: {
            kind: summary(outcome.labels[part], probabilities.argmax(1), len(dataset.classes))
            for kind, probabilities in kinds.items()
        }
        for part, kinds in best.items()
    }
    for rule, epoch in outcome.epochs.items():
        metrics[rule]["epoch"] = epoch
    content = {
        "schema": SCHEMA,
        "id": spec.run_id,
        "spec": spec.as_dict(),
        "classes": list(dataset.classes),
        "metrics": metrics,
        "data": {
            "name": dataset.name,
            "source": dataset.source,
            "fingerprint": dataset.fingerprint,
            "counts": outcome.sizes,
            "pictures": outcome.pictures,
        },
        "pretrained": outcome.pretrained,
        "environment": where,
        "code": code,
        "time": {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "last_session_started": started.isoformat(timespec="seconds"),
            "sessions": outcome.sessions,
            "seconds": round(outcome.seconds, 1),
            "train_images_per_second": round(outcome.images / outcome.train_seconds, 1),
            "milliseconds_per_picture": latency,
        },
    }
    # What is needed to build the net again travels with its weights.
    metadata = {"run": spec.run_id, "model": spec.recipe.model, "classes": ",".join(dataset.classes)}
    weights = {name: value.contiguous() for name, value in outcome.weights.items()}
    file = safetensors.torch.save(weights, metadata) if weights else None  # a classical pipeline has none
    return write_record(folder, content, outcome.history, arrays, partial, file)


def _latency(spec: RunSpec, dataset: FaceDataset, device: torch.device, say: Callable[[str], None]) -> float | None:
    """Milliseconds of one float32 pass of one picture, on the device that trained; None for a classical pipeline, and
    for a net that cannot be counted, which has been trained all the same."""
    recipe = spec.recipe
    try:
        net = meta_net(recipe.model, num_classes=len(dataset.classes), **recipe.model_options)
    except UserError as error:
        say(f"  no time of a picture: {error}")
        return None
    if net is None:
        return None
    side = face_view(recipe.augment).resize
    return round(milliseconds(net, side, device), 3)


def environment(device: torch.device, precision: str | None = None) -> dict[str, Any]:
    """Versions and device, for the record; ``precision`` is the recipe's, None for the device's own."""
    import torchvision  # takes longer to import than all the rest

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "safetensors": safetensors.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "device": device_name(device),
        "precision": precision_name(device, precision),
    }
