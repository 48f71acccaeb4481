"""Maxima of a feature map whose gradients are as fast on a CPU as those of a mean.

PyTorch's ``amax`` shares a gradient among equal maxima, for which its backward pass compares, counts and divides over
the whole map. On a CPU, where that takes several times as long as a mean, the functions here pool with indices
instead: the values are the same to the bit, and of equal maxima the first takes the whole gradient, as in the max
pooling of the official CBAM. Elsewhere, and where no gradient is asked for, they are ``amax``.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.fx.wrap
def map_maximum(x: Tensor) -> Tensor:
    """Maximum of each map, float [B, C, H, W] to [B, C, 1, 1]."""
    return F.adaptive_max_pool2d(x, 1) if _trains_on_cpu(x) else x.amax((2, 3), keepdim=True)


@torch.fx.wrap
def channel_maximum(x: Tensor) -> Tensor:
    """Maximum over the channels at each position, float [B, C, H, W] to [B, 1, H, W]."""
    return _ChannelMaximum.apply(x) if _trains_on_cpu(x) else x.amax(1, keepdim=True)


def _trains_on_cpu(x: Tensor) -> bool:
    return x.requires_grad and x.device.type == "cpu"


class _ChannelMaximum(torch.autograd.Function):
    """Max pooling down the channels, and one write per position on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        batch, channels, height, width = ctx.shape = x.shape
        # Positions stand where pooling has its channels, next to each other in memory: it takes many at once.
        maps = x.contiguous(memory_format=torch.contiguous_format).view(batch, channels, 1, height * width)
        peaks, indices = F.max_pool2d(maps.permute(0, 3, 1, 2), (channels, 1), return_indices=True)
        ctx.save_for_backward(indices)
        return peaks.view(batch, 1, height, width)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (indices,) = ctx.saved_tensors
        batch, channels, height, width = ctx.shape
        spread = gradient.new_zeros(batch * height * width * channels)  # channels-last, as nets are trained
        spread.put_(torch.arange(0, spread.numel(), channels) + indices.flatten(), gradient.flatten())
        return spread.view(batch, height, width, channels).permute(0, 3, 1, 2)
