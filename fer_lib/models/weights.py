"""Trained weights that travel with the library: a safetensors file and the card that holds its SHA-256.

The file's header says as JSON what net it is and what it was trained for; :mod:`fer_lib.checkpoints` writes and reads
all of it. Nothing in a file is executed.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import nn

from fer_lib.augment import MEAN, STD, face_view
from fer_lib.data import FACE_SIDE
from fer_lib.data.foreign import beginning_of, what_it_is
from fer_lib.errors import UserError, first_line, unknown
from fer_lib.models.base import Classifier
from fer_lib.paths import results_dir, shipped, study_results

NO_WEIGHTS = "no weight file in results/checkpoints; make one from a trained run with: fer checkpoint RUN"
_CHECKSUM = re.compile(r"^sha256: ([0-9a-f]{64})$", re.MULTILINE)


def weights_dir() -> Path:
    """Where weight files are written: beside the runs, also those of papers of your own."""
    return results_dir("checkpoints")


def weight_files(folder: Path | None = None) -> dict[str, Path]:
    """Weight files by name, sorted: what every command, panel and function means by the trained nets.

    Args:
        folder: where; None for :func:`weights_dir`, then the study's own ``results/checkpoints``, then those that the
            library brings.
    """
    folders = [folder] if folder else [shipped("results/checkpoints"), study_results() / "checkpoints", weights_dir()]
    found = {path.stem: path for place in folders for path in place.glob("*.safetensors")}
    return dict(sorted(found.items()))


def find_weights(name: str, folder: Path | None = None) -> Path:
    """A weight file by name, if it is the one that its card describes.

    Raises:
        UserError: no such file, no card, or another checksum than the card's.
    """
    if name not in (files := weight_files(folder)):
        raise unknown("weight file", name, files) if files else UserError(f"{name}: {NO_WEIGHTS}")
    path, card = files[name], files[name].with_name(f"{name}.md")
    stated = _CHECKSUM.search(card.read_text(encoding="utf-8", errors="replace")) if card.exists() else None
    if not stated:
        raise UserError(f"{card}: missing or without a line 'sha256: ...'; the weights are not used without it")
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != stated[1]:
        foreign = what_it_is(beginning_of(path))
        raise UserError(f"{path}: {foreign or f'its SHA-256 is not the one in {card.name}; fetch both files again'}")
    return path


def read_header(path: Path) -> dict[str, Any]:
    """What a weight file says of itself, as :func:`fer_lib.checkpoints.write_checkpoint` wrote it.

    Raises:
        UserError: a file of another origin.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            return dict(json.loads((file.metadata() or {})["checkpoint"]))
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError, RecursionError):
        raise UserError(f"{path}: no weight file of `fer checkpoint`") from None


def load_weights(model: nn.Module, path: Path, name: str) -> None:
    """Copy the weights of a safetensors file, in any precision, into a net.

    Args:
        model: changed in place.
        path: the file.
        name: of the net, for the message.

    Raises:
        UserError: the weights do not fit the net, or are NaN.
    """
    try:
        state = safetensors.torch.load_file(path)
        if broken := [key for key, value in state.items() if not value.isfinite().all()]:
            raise UserError(f"{path}: {broken[0]} has weights that are NaN or infinite; such a net names nothing")
        model.load_state_dict(state)  # copies into float32 parameters
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise UserError(f"{path}: does not fit {name} ({first_line(error)})") from None


def trained_for(header: dict[str, Any]) -> dict[str, Any]:
    """The pictures that a weight file's net was trained on, in timm's words.

    Returns:
        ``input_size`` (channels, height, width), ``crop_pct`` (the share of a face's side that is its central square,
        enlarged to the input), ``mean`` and ``std`` of the scale from 0 to 1, ``label_names`` and ``recipe``.
    """
    view = face_view(header["recipe"]["augment"])
    return {
        "input_size": (1, view.resize, view.resize),
        "crop_pct": view.size / FACE_SIDE,
        "mean": (MEAN,),
        "std": (STD,),
        "label_names": tuple(header["classes"]),
        "recipe": header["recipe"]["name"],
    }


def spread_channels(model: Classifier, channels: int) -> None:
    """Give a net of grey pictures another number of channels: a picture repeated in each has the scores it had.

    Args:
        model: of one channel; its first convolution is changed.
        channels: how many there will be.
    """
    first = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    model.in_channels = first.in_channels = channels
    first.weight = nn.Parameter(first.weight.data.repeat_interleave(channels, 1) / channels)
