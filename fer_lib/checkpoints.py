"""Weight files that travel with the repository: ``results/checkpoints/NAME.safetensors`` with its card ``NAME.md``.

A file holds float16 weights and, as JSON in its header, all that is needed to build and to judge the net: the
recipe, the class names, the run and its accuracies. Nothing in it is executed when it is read. The card, written
for people, carries the file's SHA-256, which is compared before the weights are used.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
import torch
from msgspec import Meta, Struct
from torch import Tensor

from fer_lib.augment import face_view
from fer_lib.data import FACE_SIDE
from fer_lib.data.catalog import dataset_terms
from fer_lib.data.facts import load_facts
from fer_lib.errors import UserError
from fer_lib.models.base import Classifier
from fer_lib.models.registry import net_from_file
from fer_lib.models.weights import find_weights, read_header, weight_files, weights_dir
from fer_lib.parts import View
from fer_lib.paths import write_atomically
from fer_lib.recipe import Recorded
from fer_lib.runs import Counts, RunRecord
from fer_lib.schema import Digest, Name, Part, Share, Text, check

MAX_BYTES = 16_000_000
PARTS = {"val": "validation", "test": "test"}  # how people call them


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """A weight file whose checksum was found right.

    Attributes:
        path: the safetensors file.
        recipe: the plain values of the run's recipe, see :meth:`fer_lib.recipe.Recipe.training`.
        classes: class names in the order of the net's outputs.
        run: identity of the run the weights come from.
        data: ``name`` and ``fingerprint`` of the pictures it was trained on, and their ``counts`` by part.
        accuracy: ``[part][kind]``, such as ``["test"]["tta"]``, at the epoch that the val part chose.
    """

    path: Path
    recipe: dict[str, Any]
    classes: tuple[str, ...]
    run: str
    data: dict[str, Any]
    accuracy: dict[str, dict[str, float]]

    def __repr__(self) -> str:
        return f"Checkpoint({self.name!r}, run {self.run!r})"

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def view(self) -> View:
        """What the net is shown of a face."""
        return face_view(self.recipe["augment"])

    @property
    def title(self) -> str:
        """One line for people: name, net, data and accuracy."""
        accuracy = self.accuracy.get("test", {}).get("tta")
        shown = "accuracy not recorded" if accuracy is None else f"{100 * accuracy:.1f} % of the test pictures right"
        return f"{self.name}: {self.recipe['model']}, {self.data['name']}, {shown}"


class _Data(Struct):
    name: Text
    fingerprint: Digest
    counts: Counts


class _Content(Part, frozen=True):
    """What the header of a weight file holds."""

    recipe: Recorded
    classes: Annotated[list[Text], Meta(min_length=1)]
    run: Name
    data: _Data
    accuracy: dict[str, dict[str, Share]]


def list_checkpoints(folder: Path | None = None) -> list[str]:
    """Names of the weight files, sorted.

    Args:
        folder: see :func:`fer_lib.models.weights.weight_files`.
    """
    return list(weight_files(folder))


def best_checkpoint(folder: Path | None = None) -> Checkpoint | None:
    """The weight file that is taken where none is named; None where there is none.

    Accuracies compare on the same pictures only: a net that calls its three drawn faces right is no better for faces
    in photographs. So nets of this study's FER2013, judged on its whole validation part, come first, the best of
    them before the others; of other nets the one that saw most training pictures.

    Args:
        folder: as of :func:`list_checkpoints`.

    Raises:
        UserError: see :func:`read_checkpoint`.
    """
    found = [read_checkpoint(name, folder) for name in list_checkpoints(folder)]
    return max(found, key=_provenance, default=None)


def _provenance(checkpoint: Checkpoint) -> tuple[bool, float]:
    facts, counts = load_facts("fer2013"), checkpoint.data["counts"]
    whole = counts.get("val") == len(facts.faces.indices("val"))
    if whole and checkpoint.data["fingerprint"] == facts.fingerprint:
        return True, checkpoint.accuracy.get("val", {}).get("tta", 0.0)
    return False, counts["train"]


def read_checkpoint(name: str, folder: Path | None = None) -> Checkpoint:
    """Find a weight file by name and check that it is the one its card describes.

    Args:
        name: a name of :func:`list_checkpoints`.
        folder: as of :func:`list_checkpoints`.

    Raises:
        UserError: no such file, no card, another checksum than the card's, or a file of another origin.
    """
    path = find_weights(name, folder)
    content = read_header(path)
    check(_Content, content, str(path))
    return Checkpoint(path, **(content | {"classes": tuple(content["classes"])}))


def load_net(checkpoint: Checkpoint) -> Classifier:
    """The net with its weights, see :func:`fer_lib.models.registry.net_from_file`."""
    return net_from_file(checkpoint.path, checkpoint.recipe, checkpoint.classes)


def write_checkpoint(record: RunRecord, name: str | None = None, folder: Path | None = None) -> Checkpoint:
    """Make a weight file and its card from a run's ``val_selected`` weights.

    Args:
        record: a run whose folder holds ``weights.safetensors``.
        name: letters, digits, ``.``, ``_`` and ``-``; None for the recipe's name.
        folder: None for :func:`fer_lib.models.weights.weights_dir`; made if need be.

    Raises:
        UserError: no weights, an unfit name, a name that the weights of another run bear, or more than 16 MB; nothing
            is written then.
    """
    name = name or record.recipe.replace("/", "-")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"--name {name!r}: use letters, digits, '.', '_' and '-'")
    source = record.weights
    folder = folder or weights_dir()
    path = folder / f"{name}.safetensors"
    if path.exists() and (run := read_header(path)["run"]) != record.id:
        raise UserError(f"{path}: holds the weights of {run}; choose another --name, or remove it and its card first")
    content = {
        "recipe": record.spec["recipe"],
        "classes": list(record.classes),
        "run": record.id,
        "data": {key: record.content["data"][key] for key in ("name", "fingerprint", "counts")},
        "accuracy": {
            part: {kind: values["accuracy"] for kind, values in kinds.items()}
            for part, kinds in record.content["metrics"]["val_selected"].items()
            if part != "epoch"
        },
    }
    weights = {key: _halve(value) for key, value in safetensors.torch.load_file(source).items()}
    metadata = {"checkpoint": json.dumps(content), "model": record.spec["recipe"]["model"]}
    data = safetensors.torch.save(weights, metadata)
    if len(data) > MAX_BYTES:
        raise UserError(
            f"{record.id}: {len(data) / 1e6:.1f} MB in float16, a weight file may have {MAX_BYTES / 1e6:.0f};"
            " choose a run of a smaller net"
        )
    folder.mkdir(parents=True, exist_ok=True)
    card = _card(record, name, content, hashlib.sha256(data).hexdigest(), len(data))
    write_atomically(path, data)
    write_atomically(folder / f"{name}.md", card.encode())
    return read_checkpoint(name, folder)


def _halve(value: Tensor) -> Tensor:
    """Float16 where the numbers fit into it; counters and the rare larger statistic stay as they are."""
    half = value.half() if value.is_floating_point() else value
    return half if torch.isfinite(half).all() else value


def _card(record: RunRecord, name: str, content: dict[str, Any], checksum: str, size: int) -> str:
    recipe, data, metrics = content["recipe"], content["data"], record.content["metrics"]["val_selected"]
    rows = "\n".join(
        f"| {PARTS[part]} | {data['counts'][part]:,} | {values['plain']:.2%} | {values['tta']:.2%} |"
        for part, values in content["accuracy"].items()
    )
    recall = metrics["test"]["tta"]["per_class_recall"]
    by_class = "\n".join(f"| {label} | {share:.1%} |" for label, share in zip(record.classes, recall, strict=True))
    return f"""\
---
name: {name}
license: MIT
sha256: {checksum}
---
# {name}

{recipe["model"]} after the recipe `{recipe["name"]}`, run `{record.id}`, epoch {metrics["epoch"]} of {record.epochs}, \
chosen on the validation part. {size / 1e6:.1f} MB, float16.

## Data

Trained on {data["counts"]["train"]:,} pictures of {data["name"]} (fingerprint `{data["fingerprint"][:12]}`): grey, \
{FACE_SIDE} x {FACE_SIDE} pixels, one face each. Classes: {", ".join(record.classes)}.

## Accuracy

| part | pictures | one view | {recipe["test_views"]} views |
|---|---|---|---|
{rows}

| class | recall on the test part |
|---|---|
{by_class}

These are figures of cropped pictures. In the demo a detector crops the face, which costs accuracy.

## Limits

The net names the expression that a picture shows, as annotators of the data would; it does not know what a person \
feels. It errs more on some expressions than on others, on profiles, on covered or badly lit faces and on people \
unlike those of the data, whose age, sex and origin were not balanced. Base no decision about a person on it.

## Licence

MIT for what is ours. {dataset_terms(data["name"])}
"""
