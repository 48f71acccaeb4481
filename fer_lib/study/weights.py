"""Trained nets: from a run's weight file back to the net, and on to other runtimes."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fer_lib.augment import MEAN, STD, face_view
from fer_lib.checkpoints import Checkpoint, load_net, read_checkpoint
from fer_lib.data import FACE_SIDE
from fer_lib.errors import UserError
from fer_lib.models.base import Classifier
from fer_lib.models.export import export_onnx
from fer_lib.models.registry import net_from_file
from fer_lib.models.weights import read_header, weight_files
from fer_lib.nets import is_classical
from fer_lib.runs import WEIGHTS, RunRecord


def has_net(record: RunRecord) -> bool:
    """Whether the weights of a run are at hand, in its folder or in ``checkpoints/`` beside ``runs/``."""
    return (record.path / WEIGHTS).exists() or _checkpoint(record) is not None


def _checkpoint(record: RunRecord) -> Checkpoint | None:
    folder = record.path.parents[1] / "checkpoints"
    # The headers are short; the checksum of a whole file is taken of the one that is meant alone.
    found = (name for name, path in weight_files(folder).items() if read_header(path).get("run") == record.id)
    return next((read_checkpoint(name, folder) for name in found), None)


def load_trained(record: RunRecord) -> Classifier:
    """A run's net with its ``val_selected`` weights, whichever are at hand, in evaluation mode on the CPU.

    Raises:
        UserError: the weight file is not there or does not fit the run's net, or the run fitted a classical pipeline.
    """
    recipe = record.spec["recipe"]
    if is_classical(recipe["model"]):
        raise UserError(f"{record.id}: {recipe['model']} leaves no weights; name a run that trained a net")
    if not (record.path / WEIGHTS).exists() and (checkpoint := _checkpoint(record)):
        return load_net(checkpoint)
    return net_from_file(record.weights, recipe, record.classes)


def export_run(record: RunRecord, path: Path) -> None:
    """Write a run's net as ONNX, with preprocessing, class names and provenance in the file.

    Args:
        record: the run.
        path: the file to write.

    Raises:
        UserError: the run's weights are not there, or the file cannot be written where it should.
    """
    content = record.content
    provenance = {
        "run": record.id,
        "recipe": record.recipe,
        "epochs": record.epochs,
        "dataset": content["data"]["name"],
        "fingerprint": content["data"]["fingerprint"],
        "test_accuracy": content["metrics"]["val_selected"]["test"]["plain"]["accuracy"],
        "commit": content["code"]["commit"],
    }
    _export(load_trained(record), path, record.spec["recipe"], record.classes, provenance)


def export_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a shipped weight file's net as ONNX, as :func:`export_run` does a run's.

    Args:
        checkpoint: of :func:`fer_lib.checkpoints.read_checkpoint`.
        path: the file to write.

    Raises:
        UserError: the weights do not fit, or the file cannot be written where it should.
    """
    provenance = {
        "weight_file": checkpoint.name,
        "run": checkpoint.run,
        "recipe": checkpoint.recipe["name"],
        "dataset": checkpoint.data["name"],
        "fingerprint": checkpoint.data["fingerprint"],
        "test_accuracy": checkpoint.accuracy.get("test", {}).get("plain"),
    }
    _export(load_net(checkpoint), path, checkpoint.recipe, checkpoint.classes, provenance)


def _export(
    model: Classifier, path: Path, recipe: Mapping[str, Any], classes: Sequence[str], provenance: Mapping[str, Any]
) -> None:
    view = face_view(recipe["augment"])
    export_onnx(
        model,
        path,
        size=view.resize,  # to which the crop is enlarged where it is smaller
        classes=classes,
        preprocessing={
            "color": "grey",
            "resize": FACE_SIDE,
            "center_crop": view.size,
            "scale": 1 / 255,
            "mean": MEAN,
            "std": STD,
        },
        provenance=provenance,
    )


def trained_models() -> dict[str, list[str]]:
    """Name of a model to the names of its weight files, of whatever options: those of ``list_models(pretrained=True)``.

    A file that is none is left out; who asks for it by name is told.
    """
    found: dict[str, list[str]] = {}
    for name, path in weight_files().items():
        with suppress(UserError):
            found.setdefault(read_header(path)["recipe"]["model"], []).append(name)
    return found
