"""What attention modules compute: the weights that every module of a net gives a picture, layer by layer.

A heat map says which places of the last map speak for a class. This is another question: what does the module itself
do? Each one multiplies a map by weights, of its channels, of its places, of its rows and columns, or of every number
in it; they are read here with hooks, on whichever net it is, while a picture passes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fer_lib.errors import UserError
from fer_lib.models import attention, convolution, fusion
from fer_lib.models.base import Classifier, observed

Gates = dict[str, Tensor]
"""Weights by kind, each with a side of 1 where the module does not tell numbers apart: ``channel`` [B, C, 1, 1],
``place`` [B, 1, H, W], ``rows`` [B, C, H, 1], ``columns`` [B, C, 1, W] and ``number`` [B, C, H, W]."""


def _coordinates(module: attention.CoordAtt, x: Tensor) -> Gates:
    rows, columns = module.gates(x)
    return {"rows": rows, "columns": columns}


MODULES: dict[type[nn.Module], Callable[..., Gates]] = {
    attention.SE: lambda module, x: {"channel": module.gate(x)},
    attention.ECA: lambda module, x: {"channel": module.gate(x)},
    attention.ChannelAttention: lambda module, x: {"channel": module.gate(x)},
    attention.SpatialAttention: lambda module, x: {"place": module.gate(x)},
    attention.BAM: lambda module, x: {"number": module.gate(x)},
    attention.CoordAtt: _coordinates,
    attention.SimAM: lambda module, x: {"number": module.gate(x)},
    convolution.PSA: lambda module, x: {"channel": module.gate(x)},
    fusion.MSCAM: lambda module, x: {"number": module.gate(x)},
    fusion.AFF: lambda module, x, y: {"number": module.gate(x + y)},
    fusion.IAFF: lambda module, x, y: {"number": module.share(x, y)},
}
"""How each module's weights are had from its inputs. CBAM and the hybrid attention are their two halves; ACmix has
no weights of a map, but a softmax over a window for every place, and is left out."""


@dataclass(frozen=True)
class AttentionMap:
    """The weights that one module gives some pictures.

    Attributes:
        layer: where the module stands in the net, such as ``layer2.0.attention``.
        module: name of its class.
        kind: ``channel``, ``place``, ``rows``, ``columns`` or ``number``, see :data:`Gates`.
        weights: float32 [N, C, H, W], a side of 1 where the module does not tell apart.
        size: height and width of the map that is weighed.
    """

    layer: str
    module: str
    kind: str
    weights: np.ndarray
    size: tuple[int, int]

    @property
    def title(self) -> str:
        """Module and kind for people: ``SE, channel``."""
        return f"{self.module}, {self.kind}"

    def places(self) -> np.ndarray | None:
        """Mean weight of the channels at every place, float32 [N, H, W]; None of a module that knows no places."""
        return None if self.kind == "channel" else np.broadcast_to(self.weights.mean(1), self._whole())

    def channels(self) -> np.ndarray | None:
        """Mean weight of the places for every channel, float32 [N, C]; None of a module that knows no channels."""
        return None if self.kind == "place" else self.weights.mean((2, 3))

    def _whole(self) -> tuple[int, int, int]:
        return len(self.weights), *self.size


def has_attention(model: nn.Module) -> bool:
    """Whether a net holds a module whose weights can be read."""
    return any(type(module) in MODULES for module in model.modules())


def attention_maps(model: nn.Module, inputs: Tensor) -> list[AttentionMap]:
    """Read the weights that every attention module of a net gives some pictures.

    The net is left as it was; it is used in evaluation mode.

    Args:
        model: a net of this library.
        inputs: normalised pictures, float [N, C, H, W].

    Returns:
        The maps in the order in which a picture meets the modules; empty for a net without attention.

    Raises:
        UserError: the model is no net of this library, or the pictures do not fit it.
    """
    if not isinstance(model, Classifier):
        raise UserError(f"model must be a net of this library: got {type(model).__name__}")
    found: list[AttentionMap] = []

    def read(layer: str, module: nn.Module, given: tuple[Any, ...], _: Any) -> None:
        for kind, weights in MODULES[type(module)](module, *given).items():
            name = type(module).__name__
            found.append(AttentionMap(layer, name, kind, weights.float().cpu().numpy(), tuple(given[0].shape[2:])))

    hooks = [(module, partial(read, name)) for name, module in model.named_modules() if type(module) in MODULES]
    with observed(model, hooks), torch.inference_mode():
        model(inputs)
    return found
