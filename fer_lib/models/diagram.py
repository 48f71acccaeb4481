"""A net's architecture as a drawing, read from the net itself.

What is drawn comes from the tree of modules and from one forward pass whose shapes are recorded, so that the drawing
cannot differ from the net.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import nn

from fer_lib.extras import from_extra
from fer_lib.models.base import Classifier, observed
from fer_lib.models.describe import count_parameters
from fer_lib.models.grammar import MODULES
from fer_lib.plots import OURS, PAPER, QUIET

with from_extra("analysis"):
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch, Rectangle

# Where a module stands in a residual block, by its attribute.
PLACES = {
    "attention": "before the sum",
    "inner": "before the last normalisation",
    "conv2": "as the 3×3 convolution",
    "fusion": "as the sum",
    "space_to_depth": "as the stride",
}
_INK = "0.35"
_SILENT = (nn.Identity, nn.Dropout, nn.BatchNorm2d, nn.ReLU, nn.Flatten)


@dataclass(frozen=True)
class Part:
    """One row of the drawing.

    Attributes:
        name: what it is, such as "stage 2".
        text: what it consists of, such as "4 × BasicBlock".
        shape: of one picture's output, (C, H, W) or (D,).
        parameters: its number of weights.
        attention: attention modules inside it, with their places; empty for a part without.
        is_attention: whether the whole part is an attention module.
    """

    name: str
    text: str
    shape: tuple[int, ...]
    parameters: int
    attention: tuple[str, ...] = ()
    is_attention: bool = False

    @property
    def size(self) -> str:
        """The shape in words."""
        if len(self.shape) == 1:
            return f"{self.shape[0]:,} numbers"
        return "{} × {} × {}".format(*self.shape)


Calls = dict[nn.Module, tuple[tuple[int, ...], tuple[int, ...]]]
"""Shapes of each called module's first input and output, without the batch."""


def _blocks() -> tuple[type, ...]:
    """The classes of attention modules, those of one's own included."""
    return tuple(make for make in MODULES.values() if isinstance(make, type))


def architecture(model: Classifier, pixels: int = 48) -> list[Part]:
    """What a net consists of, from the picture to the scores.

    Args:
        model: the net; it is left as it was.
        pixels: height and width of the picture, unless the net takes one size only.
    """
    if model.fixed_size and model.input_size:
        pixels = model.input_size
    calls = _record(model, torch.zeros(1, model.in_channels, pixels, pixels))
    parts = [Part("picture", "", (model.in_channels, pixels, pixels), 0)]
    names = {child: name for name, child in model.named_children()}
    for child in calls:  # in the order of the calls
        if child not in names or isinstance(child, _SILENT):
            continue
        before = calls[child][0]
        if before != parts[-1].shape:
            # Something between two modules has no module of its own.
            parts.append(
                Part("pooling" if len(before) == 1 else "resized", "mean of all places" * (len(before) == 1), before, 0)
            )
        parts += _parts(names[child], child, calls)
    return parts


@torch.no_grad()
def _record(model: Classifier, picture: torch.Tensor) -> Calls:
    """Shapes of every called module's first input and output, without the batch."""
    calls: Calls = {}

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        calls.setdefault(module, (tuple(inputs[0].shape[1:]), tuple(output.shape[1:])))

    with observed(model, ((module, note) for module in model.modules())):
        model(picture.to(next(model.parameters()).device))
    return calls


def _parts(name: str, module: nn.Module, calls: Calls) -> Iterator[Part]:
    """A child of the net as one part, or as several where modules of its own follow its blocks."""
    shape = calls[module][1]
    if isinstance(module, _blocks()):
        yield Part("attention", _label(module), shape, count_parameters(module), is_attention=True)
        return
    children = [child for child in module.children() if child in calls]
    if not isinstance(module, nn.Sequential) or not any(list(child.children()) for child in children):
        kind = "stem" if isinstance(module, nn.Conv2d) else "classifier" if isinstance(module, nn.Linear) else name
        inside = () if isinstance(module, nn.Conv2d | nn.Linear) else _inside([module])
        yield Part(kind, _label(module), shape, count_parameters(module), inside)
        return
    for kind_of_block, group in groupby(children, type):
        blocks = list(group)
        shape = calls[blocks[-1]][1]
        parameters = sum(map(count_parameters, blocks))
        if issubclass(kind_of_block, _blocks()):
            yield Part("attention", _label(blocks[0]), shape, parameters, is_attention=True)
        elif isinstance(blocks[0], nn.Sequential):
            yield Part("", " + ".join(_label(layer) for layer in blocks[0]), shape, parameters)
        else:
            title = name.replace("layer", "stage ")
            yield Part(title, f"{len(blocks)} × {kind_of_block.__name__}", shape, parameters, _inside(blocks))


def _inside(blocks: list[nn.Module]) -> tuple[str, ...]:
    """Attention modules inside blocks, each with its place and, unless all blocks have it, in which."""
    found: dict[str, list[int]] = {}
    for index, block in enumerate(blocks, start=1):
        for place, module in _outermost(block):
            words = PLACES.get(place.split(".")[0], "")
            found.setdefault(f"{_label(module)} {words}".strip(), []).append(index)
    every = list(range(1, len(blocks) + 1))
    return tuple(
        text if where == every else f"{text}, in block {', '.join(map(str, where))}" for text, where in found.items()
    )


def _outermost(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Attention modules that lie in no other one, with their paths."""
    for name, child in module.named_children():
        here = f"{path}.{name}".lstrip(".")
        if isinstance(child, _blocks()):
            yield here, child
        else:
            yield from _outermost(child, here)


def _label(module: nn.Module) -> str:
    """A module in a few words."""
    match module:
        case nn.Conv2d():
            stride = f", stride {module.stride[0]}" if module.stride[0] > 1 else ""
            return f"{module.kernel_size[0]}×{module.kernel_size[1]} convolution{stride}"
        case nn.MaxPool2d():
            return f"{module.kernel_size}×{module.kernel_size} maximum, stride {module.stride}"
        case nn.Linear():
            return f"linear, {module.in_features:,} → {module.out_features}"
        case nn.BatchNorm2d():
            return "batch normalisation"
    layers = list(module.modules())
    counts = {"convolution": nn.Conv2d, "linear layer": nn.Linear}
    found = {name: sum(isinstance(layer, kind) for layer in layers) for name, kind in counts.items()}
    if isinstance(module, nn.Sequential) and any(found.values()):
        return ", ".join(f"{n} {name}{'s' * (n > 1)}" for name, n in found.items() if n)
    return type(module).__name__


def draw_architecture(model: Classifier, pixels: int = 48, title: str = "") -> Figure:
    """Draw a net from the picture at the top to the scores at the bottom; attention modules are orange.

    Args:
        model: the net; it is left as it was.
        pixels: height and width of the picture, unless the net takes one size only.
        title: above the drawing; by default the model's class.

    Returns:
        A figure narrow enough for a phone. The squares at the left show the side of the maps; at the right stand
        channels × height × width and the share of the weights.
    """
    parts = architecture(model, pixels)
    heights = [0.4 + 0.2 * len(part.attention) for part in parts]
    weights = count_parameters(model)
    wide, high = 4.9, sum(heights) + 0.3
    # Coordinates are inches, so that squares are square and text fits.
    figure = Figure(figsize=(wide, high + 0.35), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, wide), ylim=(high, 0), aspect="equal")
    axes.axis("off")
    axes.set_title(f"{title or type(model).__name__}: {weights / 1e6:.1f} million weights", fontsize=10)
    axes.text(3.42, 0.15, "maps × places", fontsize=7, va="center", color=_INK)
    axes.text(wide, 0.15, "weights", fontsize=7, va="center", ha="right", color=_INK)
    largest = max(part.shape[-1] for part in parts if len(part.shape) == 3)
    top = 0.3
    for part, height in zip(parts, heights, strict=True):
        color = PAPER if part.is_attention else OURS if part.parameters else QUIET
        box: dict[str, Any] = {
            "boxstyle": "round,pad=0,rounding_size=0.05", "edgecolor": color, "facecolor": color
        }  # fmt: skip
        strong = 1.0 if part.is_attention else 0.15
        axes.add_patch(FancyBboxPatch((0.52, top + 0.04), 2.8, height - 0.08, **box, alpha=strong))
        ink = "white" if part.is_attention else "black"
        axes.text(0.6, top + 0.2, part.name, fontsize=8, weight="bold", va="center", color=ink)
        axes.text(1.4, top + 0.2, part.text, fontsize=8, va="center", color=ink)
        for line, text in enumerate(part.attention):
            place = top + 0.35 + 0.2 * line
            axes.add_patch(Rectangle((0.6, place), 2.64, 0.18, facecolor=PAPER))
            axes.text(0.65, place + 0.09, text, fontsize=7.5, va="center", color="white")
        if len(part.shape) == 3:
            side = 0.38 * part.shape[-1] / largest
            axes.add_patch(Rectangle((0.24 - side / 2, top + (height - side) / 2), side, side, facecolor=QUIET))
        axes.text(3.42, top + 0.2, part.size, fontsize=8, va="center")
        axes.text(wide, top + 0.2, _share(part.parameters, weights), fontsize=7.5, va="center", ha="right", color=_INK)
        top += height
    return figure


def _share(parameters: int, total: int) -> str:
    if not parameters:
        return ""
    return f"{parameters / total:.1%}" if parameters >= total / 1000 else "< 0.1%"
