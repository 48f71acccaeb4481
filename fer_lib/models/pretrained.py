"""Start a net from weights trained elsewhere: what fits by name and shape, and a list of what did not."""

import pickle
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fer_lib.data.foreign import beginning_of, what_it_is
from fer_lib.errors import UserError, check_known
from fer_lib.paths import user_path


@dataclass(frozen=True)
class LoadReport:
    """What a pretrained start took over.

    Attributes:
        source: the publisher's name of the weights, or the file's name.
        loaded: entries of the net that now hold the source's values.
        skipped: entry of the net to why it keeps its random start.
        unused: entries of the source that the net has no place for.
    """

    source: str
    loaded: tuple[str, ...]
    skipped: dict[str, str]
    unused: tuple[str, ...]

    def lines(self) -> list[str]:
        """The whole report, to print and to record."""
        total = len(self.loaded) + len(self.skipped)
        return [
            f"{self.source}: {len(self.loaded)} of {total} entries loaded, {len(self.skipped)} keep their start",
            *(f"loaded   {name}" for name in self.loaded),
            *(f"skipped  {name}: {reason}" for name, reason in self.skipped.items()),
            *(f"unused   {name}" for name in self.unused),
        ]


def load_pretrained(model: nn.Module, name: str) -> LoadReport:
    """Copy pretrained weights into every entry of the net that has the same name and shape.

    gu starts PSA-ResNet50 from an ImageNet ResNet50, whose 3x3 convolutions have no counterpart there: the
    rest is loaded. A net of one input channel keeps its own first convolution.

    A file may hold the weights under a key (``state_dict``, ``net``, ...) or a key in a key, beside other things, and
    their names may begin with a prefix (``module.`` of DataParallel, ``_orig_mod.`` of torch.compile, ``backbone.``):
    of all that it holds, what fits the net best is taken.

    Args:
        model: changed in place.
        name: one of torchvision's classifiers, such as ``"resnet50"``, for its ImageNet weights
            (``IMAGENET1K_V1``), downloaded once into torch's cache; or a file of safetensors or of ``torch.save``,
            whatever its suffix (``.pth``, ``.pt``, ``.t7``, ...).

    Returns:
        What was loaded and what was not.

    Raises:
        UserError: the name or file does not exist or cannot be read without running code of the file, there is no
            network, nothing fits, or what fits is NaN. The net is unchanged then.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", name):
        raise UserError(f"pretrained weights: {name} is an address, not a file; download it first")
    path = user_path(name)
    is_file = bool(path.suffix) or len(path.parts) > 1
    target = model.state_dict()
    if is_file:
        source, where = _best_fitting(_read_file(path), target)
        title = f"{path.name}{where}"
    else:
        source, title = _download(name), f"torchvision {name} IMAGENET1K_V1"
    fitting, skipped = {}, {}
    for key, value in target.items():
        if key not in source:
            skipped[key] = "not in the source"
        elif source[key].shape != value.shape:
            skipped[key] = f"shape {list(value.shape)}, the source's is {list(source[key].shape)}"
        else:
            fitting[key] = source[key]
    if not fitting:
        raise UserError(f"pretrained weights {name!r} fit no entry of this net by name and shape")
    if broken := [key for key, value in fitting.items() if not value.isfinite().all()]:
        raise UserError(f"pretrained weights: {broken[0]} of {name!r} is NaN or infinite; its training had failed")
    model.load_state_dict({**target, **fitting})
    unused = tuple(key for key in source if key not in target)
    return LoadReport(title, (*fitting,), skipped, unused)


def _best_fitting(content: Any, target: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The weights among a file's content that fit most entries of a net, named as there, and where they lay."""
    found: list[tuple[int, dict[str, Tensor], str]] = []
    for key, weights in _dictionaries(content):
        weights = {name.replace("_orig_mod.", ""): value for name, value in weights.items()}
        prefix, fits = _best_prefix(weights, target)
        words = [f"under {key!r}"] * bool(key) + [f"without {prefix!r}"] * bool(prefix)
        renamed = {name.removeprefix(prefix): value for name, value in weights.items()}
        found.append((fits, renamed, f" ({', '.join(words)})" if words else ""))
    fits, weights, where = max(found, key=lambda candidate: candidate[0])  # the first of equals
    return weights, where


def _dictionaries(content: Any, key: str = "", depth: int = 3) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The tensors that a file holds by name, at the top and under its keys, such as ``checkpoint.model``."""
    if not isinstance(content, Mapping) or not depth:
        return
    if tensors := {name: v for name, v in content.items() if isinstance(name, str) and isinstance(v, Tensor)}:
        yield key, tensors
    for name, value in content.items():
        yield from _dictionaries(value, f"{key}.{name}" if key else str(name), depth - 1)


def _best_prefix(weights: dict[str, Tensor], target: dict[str, Tensor]) -> tuple[str, int]:
    """What to take off the names so that most of them fit, and how many do then."""
    fits: Counter[str] = Counter()
    for name, value in weights.items():
        parts = name.split(".")
        for depth in range(len(parts)):
            wanted = target.get(".".join(parts[depth:]))
            if wanted is not None and wanted.shape == value.shape:
                fits["".join(f"{part}." for part in parts[:depth])] += 1
    return max(fits.items(), key=lambda item: (item[1], -len(item[0])), default=("", 0))


_SCALAR = vars(np)["_core"].multiarray.scalar  # which NumPy keeps for itself, and files name
# NumPy's numbers, as of an accuracy kept beside the weights: plain values, named as its versions 1 and 2 do.
_NUMBERS = [
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "?", "U1")),
    _SCALAR,
    (_SCALAR, "numpy.core.multiarray.scalar"),
]


_LUA = tuple(kind + b"\0\0\0\1\0\0\0" for kind in (b"\3", b"\4"))  # a table or an object, the first of its file


def _read_file(path: Path) -> dict[Any, Any]:
    """The content of a weight file, read without running any of it."""
    if not path.is_file():
        raise UserError(f"pretrained weights: no file {path}")
    beginning = beginning_of(path)
    try:
        if beginning[8:9] == b"{":  # after the length of a safetensors header, whatever the suffix
            from safetensors.torch import load_file

            return load_file(path)
        members = []
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                members = archive.namelist()
        if any("/code/" in name for name in members):
            raise UserError(
                f"pretrained weights: {path} is TorchScript, code and weights in one, which is not run here; save the "
                "weights alone: torch.save(net.state_dict(), FILE)"
            )
        if members and not any(name.endswith("data.pkl") for name in members):
            raise UserError(f"pretrained weights: {path} is {what_it_is(beginning)}")
        with torch.serialization.safe_globals(_NUMBERS), warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"pretrained weights: {path} {_why_unread(path, beginning, error)}") from None
    if not any(_dictionaries(content)):
        raise UserError(f"pretrained weights: {path} holds no state dict of tensors")
    return dict(content)


def _why_unread(path: Path, beginning: bytes, error: Exception) -> str:
    """In our words: torch's own advise to load such a file with all the code that it brings."""
    if isinstance(error, pickle.UnpicklingError) and (zipfile.is_zipfile(path) or beginning[:1] == b"\x80"):
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        kind = f" ({named[1]})" if named else ""
        return (
            f"holds Python objects{kind} beside tensors, and building them can run foreign code; where it was "
            "made, save the weights alone: torch.save(net.state_dict(), FILE)"
        )
    if beginning.startswith(_LUA):
        return "is a file of Lua's Torch 7, which PyTorch no longer reads"
    foreign = what_it_is(beginning)
    if foreign and not beginning.startswith(b"PK"):
        return f"is {foreign}"
    if beginning.startswith(b"PK") and not zipfile.is_zipfile(path):
        return "cannot be read: it is cut off; fetch it again"
    return "cannot be read: it is no whole file of torch.save or safetensors"


def _download(name: str) -> dict[str, Tensor]:
    from torchvision import models

    known = models.list_models(module=models)
    check_known("pretrained weights", name, known)
    weights = models.get_model_weights(name).IMAGENET1K_V1
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    was_there = cached.exists()
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # whatever network, disk, hash or unpickling raise
        if was_there:
            raise UserError(f"pretrained weights {name!r}: {cached} cannot be read ({error}): delete it") from error
        raise UserError(
            f"pretrained weights {name!r} could not be downloaded ({error}): "
            f"put the file of {weights.url} into {cached.parent}, or name a local file instead"
        ) from error
