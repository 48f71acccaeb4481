"""Size and cost of every model."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fer_lib.models.base import Classifier
from fer_lib.models.registry import create_model, list_models, paper_rows


@dataclass(frozen=True)
class ModelRow:
    """One row of the table of models.

    Attributes:
        name: of :func:`fer_lib.models.create_model`.
        papers: rows of the papers' tables it serves, empty for a control of our own.
        parameters: number of weights, trained or not, without buffers; ``None`` for a classical pipeline.
        pixels: height and width of the picture the next two refer to.
        macs: multiply-accumulates of one forward pass of one picture, in convolutions and matrix products.
        milliseconds: per picture on the device, in a batch; ``None`` where it was not measured.
    """

    name: str
    papers: str
    parameters: int | None
    pixels: int | None = None
    macs: int | None = None
    milliseconds: float | None = None


def describe(
    names: Iterable[str] | None = None,
    pixels: int = 48,
    device: str | torch.device = "cpu",
    timed: bool = True,
    batch: int = 1,
) -> list[ModelRow]:
    """Describe models at the size they were designed for, or at ``pixels`` where any size works.

    Args:
        names: of models, by default all of :func:`list_models`, classical ones included.
        pixels: for nets without a size of their own.
        device: where to measure the time.
        timed: whether to measure it; without it nothing is computed and the table takes seconds.
        batch: pictures in a measured batch.

    Returns:
        One row a name, in the order given.
    """
    if names is None:
        names = [*list_models(), *list_models(classical=True)]
    return [_describe(name, pixels, torch.device(device), timed, batch) for name in names]


def _describe(name: str, pixels: int, device: torch.device, timed: bool, batch: int) -> ModelRow:
    # On the meta device layers have shapes and no values, so that counting costs no memory.
    with torch.device("meta"):
        model = create_model(name)
    if not isinstance(model, Classifier):
        return ModelRow(name, paper_rows(name), None)
    model.eval()
    pixels = model.input_size or pixels
    row = ModelRow(name, paper_rows(name), count_parameters(model), pixels, count_macs(model, pixels))
    if not timed:
        return row
    elapsed = _milliseconds(create_model(name).to(device).eval(), pixels, device, batch)
    return ModelRow(row.name, row.papers, row.parameters, row.pixels, row.macs, elapsed)


def count_parameters(model: nn.Module) -> int:
    """Number of weights, buffers not counted."""
    return sum(p.numel() for p in model.parameters())


@torch.no_grad()
def count_macs(model: Classifier, pixels: int) -> int:
    """Multiply-accumulates of one forward pass of one picture of ``pixels`` x ``pixels``."""
    device = next(model.parameters()).device
    counter = FlopCounterMode(display=False)
    with counter:
        model(torch.zeros(1, model.in_channels, pixels, pixels, device=device))
    # The counter counts an addition and a multiplication as two.
    return counter.get_total_flops() // 2


@torch.no_grad()
def _milliseconds(model: Classifier, pixels: int, device: torch.device, batch: int) -> float:
    """Median over three batches, after one to warm up."""
    pictures = torch.zeros(batch, model.in_channels, pixels, pixels, device=device)
    times = []
    for _ in range(4):
        started = time.perf_counter()
        model(pictures)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return 1000 * sorted(times[1:])[1] / batch
