"""Attentional feature fusion: blocks that take the place of a residual block's sum.

Dai et al., WACV 2021; YimianDai/open-aff.
"""

import torch
from torch import Tensor, nn

from fer_lib.models.attention import hidden_width


def _local(channels: int, hidden: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, hidden, 1),
        nn.BatchNorm2d(hidden),
        nn.ReLU(inplace=True),
        nn.Conv2d(hidden, channels, 1),
        nn.BatchNorm2d(channels),
    ]


class _MultiScale(nn.Module):
    """The weights of multi-scale channel attention: s(L(x) + G(x)), L per position, G of the pooled map.

    Args:
        channels: C.
        reduction: C / hidden channels.
    """

    def __init__(self, channels: int, reduction: int = 4):
        super().__init__()
        hidden = hidden_width(channels, reduction, "MS-CAM")
        self.local_att = nn.Sequential(*_local(channels, hidden))
        self.global_att = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_local(channels, hidden))

    def gate(self, x: Tensor) -> Tensor:
        """Weights in (0, 1), float [B, C, H, W]."""
        return torch.sigmoid(self.local_att(x) + self.global_att(x))


class MSCAM(_MultiScale):
    """Multi-scale channel attention: the input times its weights. Arguments as its base's."""

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class AFF(_MultiScale):
    """Attentional fusion of a residual branch x with its shortcut y: 2 x w + 2 y (1 - w), w of x + y.

    The factor 2 is the official code's and keeps the weights' sum at that of a plain sum; the paper's formula
    has none. In training the pooled branch's batch normalisation needs at least two pictures.
    """

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        w = self.gate(x + y)
        return 2 * x * w + 2 * y * (1 - w)


class IAFF(_MultiScale):
    """Iterative attentional fusion: a first fusion of x and y decides the weights of the second.

    The official code uses the pooled branch of the first pass in the second as well, which leaves its own
    second one without effect; that one is left out here. There is no factor 2.
    """

    def __init__(self, channels: int, reduction: int = 4):
        super().__init__(channels, reduction)
        self.local_att2 = nn.Sequential(*_local(channels, channels // reduction))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        w = self.share(x, y)
        return x * w + y * (1 - w)

    def share(self, x: Tensor, y: Tensor) -> Tensor:
        """Weights in (0, 1) of the residual branch x, float [B, C, H, W]; the shortcut y has the rest."""
        w = self.gate(x + y)
        first = x * w + y * (1 - w)
        return torch.sigmoid(self.local_att2(first) + self.global_att(first))
