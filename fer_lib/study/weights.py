"""Trained nets: from a run's weight file back to the net, and on to other runtimes."""

from pathlib import Path

import safetensors
import safetensors.torch
from torch import nn

from fer_lib.augment import MEAN, STD, Augmentation
from fer_lib.data import FACE_SIDE
from fer_lib.errors import UserError
from fer_lib.models import create_model, list_models
from fer_lib.models.export import export_onnx
from fer_lib.paths import results_dir
from fer_lib.runs import RunRecord


def weight_file(record: RunRecord) -> Path:
    """Where a run keeps its ``val_selected`` weights; the file is not part of the committed record."""
    return record.path / "weights.safetensors"


def load_trained(record: RunRecord) -> nn.Module:
    """A run's net with its ``val_selected`` weights, in evaluation mode on the CPU.

    Raises:
        UserError: the weight file is not there or does not fit the run's net, or the run fitted a classical pipeline.
    """
    recipe = record.spec["recipe"]
    if recipe["model"] in list_models(classical=True):
        raise UserError(f"{record.id}: {recipe['model']} leaves no weights; name a run that trained a net")
    path = weight_file(record)
    if not path.exists():
        raise UserError(f"{path}: missing; records are shared without weights, `fer train` makes them")
    model = create_model(recipe["model"], num_classes=len(record.classes), **recipe.get("model_options", {}))
    try:
        model.load_state_dict(safetensors.torch.load_file(path))
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise UserError(f"{path}: does not fit {recipe['model']} ({str(error).splitlines()[0]})") from None
    return model.eval()


def export_run(record: RunRecord, path: Path) -> None:
    """Write a run's net as ONNX, with preprocessing, class names and provenance in the file.

    Args:
        record: the run.
        path: the file to write.

    Raises:
        UserError: the run's weights are not there, or the file cannot be written where it should.
    """
    recipe, content = record.spec["recipe"], record.content
    augmentation = Augmentation.from_dict(recipe["augment"])
    export_onnx(
        load_trained(record),
        path,
        size=augmentation.output_size(FACE_SIDE),  # to which the crop is enlarged where it is smaller
        classes=record.classes,
        preprocessing={
            "color": "grey",
            "resize": FACE_SIDE,
            "center_crop": augmentation.window_size(FACE_SIDE),
            "scale": 1 / 255,
            "mean": MEAN,
            "std": STD,
        },
        provenance={
            "run": record.id,
            "recipe": recipe["name"],
            "epochs": record.trained_epochs,
            "dataset": content["data"]["name"],
            "fingerprint": content["data"]["fingerprint"],
            "test_accuracy": content["metrics"]["val_selected"]["test"]["plain"]["accuracy"],
            "commit": content["code"]["commit"],
        },
    )


def trained_models() -> dict[str, list[str]]:
    """Name of a model to the names of its weight files in ``results/checkpoints``, of whatever options."""
    found: dict[str, list[str]] = {}
    for path in sorted((results_dir() / "checkpoints").glob("*.safetensors")):
        with safetensors.safe_open(path, "pt") as file:
            found.setdefault((file.metadata() or {}).get("model", ""), []).append(path.stem)
    return found
