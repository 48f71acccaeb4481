"""Size and cost of every model."""

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from fer_lib.augment import face_view
from fer_lib.data import FACE_SIDE
from fer_lib.errors import UserError, first_line
from fer_lib.kept import Kept, code_digest
from fer_lib.models.base import Classifier
from fer_lib.models.registry import create_model, list_models


@dataclass(frozen=True)
class ModelRow:
    """One row of the table of models. All but the name are ``None`` for a classical pipeline, which has neither
    weights nor a cost before it is fitted.

    Attributes:
        name: of :func:`fer_lib.models.create_model`.
        parameters: number of weights, trained or not, without buffers.
        pixels: height and width of the picture the next two refer to.
        macs: multiply-accumulates of one forward pass of one picture, in convolutions and matrix products.
        milliseconds: one forward pass of one picture takes on the device, in float32.
    """

    name: str
    parameters: int | None = None
    pixels: int | None = None
    macs: int | None = None
    milliseconds: float | None = None


def describe(
    names: Iterable[str] | None = None, pixels: int = 48, device: str | torch.device = "cpu"
) -> Iterator[ModelRow]:
    """Describe models at the size they were designed for, or at ``pixels`` where any size works.

    Args:
        names: of models, by default all of :func:`list_models`, classical ones included.
        pixels: for nets without a size of their own.
        device: where to measure the time.

    Yields:
        One row a name, in the order given, as soon as it is measured; none if a name is unknown.

    Raises:
        UserError: a name is unknown, or a net does not take pictures of ``pixels``.
    """
    nets = {name: meta_net(name) for name in names or [*list_models(), *list_models(classical=True)]}
    for name, model in nets.items():
        if model is None:
            yield ModelRow(name)
            continue
        side = model.input_size or pixels
        try:
            macs = count_macs(model, side)
        except UserError as error:
            raise UserError(f"{name} at {side} px: {error}") from None
        yield ModelRow(name, count_parameters(model), side, macs, milliseconds(model, side, device))


def meta_net(name: str, **options: Any) -> Classifier | None:
    """A net on PyTorch's meta device, in evaluation mode: shapes without values, so that counting costs no memory.

    Args:
        name: of :func:`fer_lib.models.create_model`.
        **options: of the same function.

    Returns:
        The net; None for a classical pipeline, which has no size before it is fitted.

    Raises:
        UserError: the name or an option is unknown, or a module of somebody's own needs values where it is built.
    """
    try:
        with torch.device("meta"), _Unfilled():
            model = create_model(name, **options)
    except RuntimeError as error:
        line = first_line(error)
        raise UserError(f"model {name} cannot be counted, as it cannot be built without values: {line}") from None
    return model.eval() if isinstance(model, Classifier) else None


class _Unfilled(TorchFunctionMode):
    """Leaves tensors as they come: without values there is nothing to fill, and asking takes longer than the net."""

    FILLS = (torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.fill_, torch.Tensor.zero_,
             nn.init.kaiming_uniform_, nn.init.normal_, nn.init.uniform_, nn.init.constant_)  # fmt: skip

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        named = kwargs or {}
        if func in self.FILLS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def count_parameters(model: nn.Module) -> int:
    """Number of weights, buffers not counted."""
    return sum(p.numel() for p in model.parameters())


class NetCost(NamedTuple):
    """What a net costs, from its shapes alone.

    Attributes:
        macs: multiply-accumulates of one forward pass of one picture.
        values: numbers that the operations of that pass write, which is what small layers wait for.
        parameters: number of weights, which small maps hardly reuse.
    """

    macs: int
    values: int
    parameters: int


@torch.no_grad()
def count_cost(model: Classifier, pixels: int) -> NetCost:
    """Count :class:`NetCost` for pictures of ``pixels`` x ``pixels``."""
    device = next(model.parameters()).device
    counter, written = FlopCounterMode(display=False), _Written()
    with counter, written:
        model(torch.zeros(1, model.in_channels, pixels, pixels, device=device))
    # The counter counts an addition and a multiplication as two.
    return NetCost(counter.get_total_flops() // 2, written.values, count_parameters(model))


def count_macs(model: Classifier, pixels: int) -> int:
    """Multiply-accumulates of one forward pass of one picture of ``pixels`` x ``pixels``."""
    return count_cost(model, pixels).macs


class CostCounter:
    """Counts what a net costs once.

    Args:
        path: the file that keeps the counts, see :class:`fer_lib.kept.Kept`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._kept = Kept(path, code_digest("models", "nets.py"))

    def __call__(self, recipe: Mapping[str, Any]) -> NetCost | None:
        """What the net of a recipe's plain values costs; None for a pipeline, which is fitted, not trained."""
        pixels = face_view(recipe.get("augment", {})).resize
        return self.of_net(recipe["model"], recipe.get("model_options", {}), pixels, recipe.get("code"))

    def of_net(
        self,
        model: str,
        options: Mapping[str, Any],
        pixels: int | None = None,
        code: Mapping[str, str] | None = None,
    ) -> NetCost | None:
        """The same of a model, its options and the side of its pictures, by default what it was designed for; ``code``
        is that of parts that are not ours."""

        def count() -> list[int] | None:
            net = meta_net(model, **options)
            return list(count_cost(net, pixels or net.input_size or FACE_SIDE)) if net else None

        known = self._kept(json.dumps([model, options, pixels, *filter(None, [code])], sort_keys=True), count)
        return NetCost(*known) if known else None

    def parameters(self, recipe: Mapping[str, Any]) -> float:
        """Weights of the net of a recipe's plain values; NaN for a pipeline."""
        model, options = recipe["model"], recipe.get("model_options", {})
        code = filter(None, [recipe.get("code")])

        def count() -> int | None:
            net = meta_net(model, **options)
            return count_parameters(net) if net else None

        known = self._kept(json.dumps([model, options, "parameters", *code], sort_keys=True), count)
        return math.nan if known is None else known


class _Written(TorchDispatchMode):
    """Counts the numbers that operations write; a view of another tensor writes none."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        if not any(result.alias_info and not result.alias_info.is_write for result in func._schema.returns):
            self.values += sum(leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor))
        return out


@torch.no_grad()
def milliseconds(model: Classifier, pixels: int, device: str | torch.device) -> float:
    """Time of one float32 pass of one picture: median over three, after one to warm up. The model's values are lost.

    A pass takes as long for zeros as for trained weights, which would take longer to draw than to measure.
    """
    device = torch.device(device)
    model.to_empty(device=device)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.zero_()
    picture = torch.zeros(1, model.in_channels, pixels, pixels, device=device)
    times = []
    for _ in range(4):
        started = time.perf_counter()
        model(picture)
        wait_for(device)
        times.append(time.perf_counter() - started)
    return 1000 * sorted(times[1:])[1]


def wait_for(device: torch.device) -> None:
    """Wait until a device has done all that it was given; a CPU is never behind."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
