"""How a net's forward pass is computed on a device: in which type, and on a CPU small maps as matrix products."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

SMALL = 9
"""Places of a map, 3 x 3, up to which a CPU computes its convolution as a matrix product,"""
MANY = 2**18
"""and weights from which on: with fewer PyTorch's own convolution is as fast."""


@contextmanager
def fast_forward(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Compute what a net does within in the fastest way that the device has.

    Args:
        device: the net's.
        dtype: autocast's type; float32 turns autocast off.
    """
    small_maps = SmallMaps() if device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32), small_maps:
        yield


class SmallMaps(TorchFunctionMode):
    """Computes ``nn.Conv2d`` on small maps as one matrix product, which differs in rounding alone.

    The last stages of a ResNet50 have millions of weights and, of small pictures, maps of 2 x 2. There a
    1 x 1 convolution of 2048 channels to 512 took 7 to 14 times as long as the product (bfloat16, one core of a Xeon).
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Take over a convolution that suits; all else stays as it is."""
        if func is torch.conv2d and len(args) == 7 and not kwargs:  # as nn.Conv2d calls it
            images, weight, bias, stride, padding, dilation, groups = args
            # A module of somebody's own may give one number for both sides, or a word.
            pairs = all(isinstance(pair, tuple) for pair in (stride, padding, dilation))
            if images.dim() == 4 and groups == 1 and weight.numel() >= MANY and pairs:
                height, width = (
                    (side + 2 * pad - step * (kernel - 1) - 1) // stride + 1
                    for side, pad, step, kernel, stride in zip(
                        images.shape[2:], padding, dilation, weight.shape[2:], stride, strict=True
                    )
                )
                if min(height, width) > 0 and height * width <= SMALL:
                    return _product(images, weight, bias, stride, padding, dilation, (height, width))
        return func(*args, **(kwargs or {}))


def _product(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    size: tuple[int, int],
) -> Tensor:
    """The convolution [N, C, H, W] -> [N, K, *size] of what each place sees, side by side, with the kernels."""
    last = images.permute(0, 2, 3, 1)
    if any(padding):
        last = F.pad(last, (0, 0, padding[1], padding[1], padding[0], padding[0]))
    down, right = (
        [slice(tap * step, tap * step + (side - 1) * skip + 1, skip) for tap in range(taps)]
        for taps, step, side, skip in zip(weight.shape[2:], dilation, size, stride, strict=True)
    )
    seen = [last[:, lines, columns] for lines in down for columns in right]
    rows = (torch.cat(seen, -1) if len(seen) > 1 else seen[0]).flatten(0, 2)
    # Of more dimensions than two PyTorch may make a product for each picture, with a copy of the weights for each.
    product = F.linear(rows, weight.permute(0, 2, 3, 1).flatten(1), bias)
    return product.unflatten(0, (len(images), *size)).permute(0, 3, 1, 2)
