"""Start a net from weights trained elsewhere: what fits by name and shape, and a list of what did not."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fer_lib.errors import UserError, unknown


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

    Args:
        model: changed in place.
        name: one of torchvision's classifiers, such as ``"resnet50"``, for its ImageNet weights
            (``IMAGENET1K_V1``), downloaded once into torch's cache; or a ``.safetensors``, ``.pth`` or ``.pt``
            file.

    Returns:
        What was loaded and what was not.

    Raises:
        UserError: the name or file does not exist or cannot be read, there is no network, or nothing fits.
            The net is unchanged then.
    """
    path = Path(name)
    is_file = path.suffix in (".safetensors", ".pth", ".pt")
    source = _read_file(path) if is_file else _download(name)
    target = model.state_dict()
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
    model.load_state_dict({**target, **fitting})
    unused = tuple(key for key in source if key not in target)
    return LoadReport(path.name if is_file else f"torchvision {name} IMAGENET1K_V1", (*fitting,), skipped, unused)


def _read_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"pretrained weights: no file {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"pretrained weights: {path} cannot be read: {error}") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise UserError(f"pretrained weights: {path} holds no state dict of tensors")
    return weights


def _download(name: str) -> dict[str, Tensor]:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise unknown("pretrained weights", name, known)
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
