"""`fer bench attention`: a step of CBAM beside PyTorch's maxima and beside averages, a net beside one without it."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from fer_lib.bench.measure import Work, compare, table, write_report
from fer_lib.models import attention, create_model, maximum
from fer_lib.paths import results_dir
from fer_lib.recipe import get_recipe
from fer_lib.training import autocast_dtype, choose_device
from fer_lib.training.forward import fast_forward

MAPS = ((16, 44), (64, 11))
"""Channels and side of the first and the last maps but one of the narrow net."""
BATCH = 128
Reduction = Callable[[Tensor], Tensor]
"""Of [B, C, H, W], to [B, C, 1, 1] over the positions or to [B, 1, H, W] over the channels."""
OURS = (maximum.map_maximum, maximum.channel_maximum)
OTHERS: dict[str, tuple[Reduction, Reduction]] = {
    "amax": (lambda x: x.amax((2, 3), keepdim=True), lambda x: x.amax(1, keepdim=True)),
    "average": (lambda x: x.mean((2, 3), keepdim=True), lambda x: x.mean(1, keepdim=True)),
}
"""What CBAM's maximum over the positions and over the channels is replaced by."""


class CBAM(attention.CBAM):
    """CBAM with the maxima given.

    Args:
        channels: C.
        peaks: over the positions, and over the channels.
    """

    def __init__(self, channels: int, peaks: tuple[Reduction, Reduction]) -> None:
        super().__init__(channels)
        self.peaks = peaks

    def forward(self, x: Tensor) -> Tensor:
        over_positions, over_channels = self.peaks
        mlp = self.channel._mlp
        x = x * torch.sigmoid(mlp(x.mean((2, 3), keepdim=True)) + mlp(over_positions(x)))
        maps = torch.cat((over_channels(x), x.mean(1, keepdim=True)), 1)
        return x * torch.sigmoid(self.spatial.bn(self.spatial.conv(maps)))


def bench_attention(
    *,
    seconds: float = 60.0,
    device: str = "auto",
    results: Path | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Measure forward and backward passes, show the tables and write them to ``benchmarks/`` of the results folder.

    Args:
        seconds: how long to measure in all, preparations not counted.
        device: see :func:`fer_lib.training.choose_device`.
        results: the results folder; None for :func:`fer_lib.paths.results_dir`.
        say: receives the tables.
    """
    target, share = choose_device(device), seconds / (len(MAPS) * len(OTHERS) + 1)
    rows = []
    for name, peaks in OTHERS.items():
        ways = [
            {"what": f"CBAM, {channels} channels, {side} px, beside {name}", "batch": BATCH}
            | compare(
                _passes(CBAM(channels, OURS), (channels, side), target),
                _passes(CBAM(channels, peaks), (channels, side), target),
                BATCH, share, target, name,
            )
            for channels, side in MAPS
        ]  # fmt: skip
        say(table(ways))
        rows += ways
    recipes = [get_recipe(f"narrow/{name}/fer2013") for name in ("cbam", "none")]
    nets = [create_model(recipe.model, **recipe.model_options) for recipe in recipes]
    ours, plain = (_passes(net, (1, 44), target) for net in nets)
    row = {"what": "narrow net with CBAM, beside plain", "batch": BATCH}
    rows.append(row | compare(ours, plain, BATCH, share, target, "plain"))
    say(table(rows[-1:]))
    return write_report(results or results_dir(), "attention", target, rows)


def _passes(net: nn.Module, shape: tuple[int, int], device: torch.device) -> Work:
    """Forward and backward passes of one batch of ``shape``, channels and side, in the device's precision."""
    dtype = autocast_dtype(device)
    net.to(device).to(memory_format=torch.channels_last).train()
    channels, side = shape
    x = torch.randn(BATCH, channels, side, side, device=device).contiguous(memory_format=torch.channels_last)
    x.requires_grad_(channels > 1)  # of a net's pictures nobody asks for a gradient

    def act(rounds: int) -> None:
        for _ in range(rounds):
            net.zero_grad()
            x.grad = None
            with fast_forward(device, dtype):
                out = net(x)
            out.float().sum().backward()

    return lambda rounds: lambda: act(rounds)
