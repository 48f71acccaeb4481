"""Every model by name."""

import inspect
from collections.abc import Callable

from torch import nn

from fer_lib.errors import unknown
from fer_lib.models.grammar import build_resnet

RESNETS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet18_se",
    "resnet18_eca",
    "resnet18_cbam",
    "resnet34_cbam",
    "resnet34_cbam_ends",
    "resnet50_cbam",
)
NETS: dict[str, Callable[..., nn.Module]] = {}


def create_model(name: str, num_classes: int = 7, in_channels: int = 1, **options) -> nn.Module:
    """Build a model with random weights.

    Args:
        name: of :func:`list_models`, or any name of :mod:`fer_lib.models.grammar`.
        num_classes: length of the logits.
        in_channels: channels of the pictures, 1 for grey.
        **options: of the model, such as ``width=16`` or ``stem="imagenet"`` of a residual net.

    Returns:
        A module from float [B, in_channels, H, W] to logits [B, num_classes], a
        :class:`fer_lib.models.base.Classifier`.

    Raises:
        UserError: the name, an option or its value is unknown or does not fit.
    """
    if name.startswith("resnet"):
        return build_resnet(name, num_classes, in_channels, **options)
    if name not in NETS:
        raise unknown("model", name, list_models())
    build = NETS[name]
    known = [p for p in inspect.signature(build).parameters if p not in ("num_classes", "in_channels")]
    for option in options:
        if option not in known:
            raise unknown(f"option of model {name!r}:", option, known)
    return build(num_classes=num_classes, in_channels=in_channels, **options)


def list_models() -> list[str]:
    """Names of the nets the study uses, sorted."""
    return sorted([*RESNETS, *NETS])
