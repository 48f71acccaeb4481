"""Attention blocks that reweight a feature map: out = x * gate(x), the shape unchanged.

Every block takes and returns float [B, C, H, W]. Where a block stands in a residual net is decided in
:mod:`fer_lib.models.resnet`, by its official code.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_lib.errors import UserError, check_count
from fer_lib.models import maximum
from fer_lib.models.base import check_odd


def hidden_width(channels: int, reduction: int, block: str) -> int:
    """Width ``channels // reduction`` of a bottleneck inside an attention block.

    Raises:
        UserError: ``reduction`` is no positive integer, or the width would be zero. The official codes build a layer
            without units then, whose gate ignores the picture.
    """
    check_count(f"{block}: reduction", reduction)
    width = channels // reduction
    if width < 1:
        raise UserError(f"{block}: channels must be at least reduction ({reduction}): got {channels} channels")
    return width


class Gated(nn.Module):
    """A block that multiplies its input by weights of it."""

    def gate(self, x: Tensor) -> Tensor:
        """The weights, of the input's shape or with a side of 1 where they do not tell numbers apart."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class SE(Gated):
    """Squeeze-and-excitation: x * s(W2 ReLU(W1 GAP(x))).

    Hu et al., CVPR 2018. Without bias as in moskomule/senet.pytorch; with bias as in the authors' Caffe net.

    Args:
        channels: C.
        reduction: C / hidden units.
        bias: whether the two layers have one.
    """

    def __init__(self, channels: int, reduction: int = 16, bias: bool = False):
        super().__init__()
        hidden = hidden_width(channels, reduction, "SE")
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=bias)

    def gate(self, x: Tensor) -> Tensor:
        """Weights in (0, 1), float [B, C, 1, 1]."""
        return torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class ECA(Gated):
    """Efficient channel attention: a 1-d convolution across the pooled channels, then a sigmoid.

    Wang et al., CVPR 2020; BangguWu/ECANet.

    Args:
        channels: C.
        kernel_size: odd; by default the paper's formula |log2(C)/2 + 1/2| made odd, on the channels at the
            block's place. (The official code takes it as an argument, 3 by default.)
    """

    def __init__(self, channels: int, kernel_size: int | None = None):
        super().__init__()
        if kernel_size is None:
            t = int(abs((math.log2(channels) + 1) / 2))
            kernel_size = t if t % 2 else t + 1
        check_odd("ECA: kernel_size", kernel_size)
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def gate(self, x: Tensor) -> Tensor:
        """Weights in (0, 1), float [B, C, 1, 1]."""
        pooled = x.mean((2, 3)).unsqueeze(1)
        return torch.sigmoid(self.conv(pooled)).squeeze(1)[:, :, None, None]


class ChannelAttention(Gated):
    """CBAM's channel half: x * s(MLP(GAP x) + MLP(GMP x)), one MLP for both.

    Woo et al., ECCV 2018, eq. 2; Jongchan/attention-module has biases, the paper's equation has none.
    """

    def __init__(self, channels: int, reduction: int = 16, bias: bool = True):
        super().__init__()
        hidden = hidden_width(channels, reduction, "channel attention")
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=bias)

    def _mlp(self, pooled: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(pooled)))

    def gate(self, x: Tensor) -> Tensor:
        """Weights in (0, 1), float [B, C, 1, 1]."""
        mean, peak = x.mean((2, 3), keepdim=True), maximum.map_maximum(x)
        return torch.sigmoid(self._mlp(mean) + self._mlp(peak))


class SpatialAttention(Gated):
    """CBAM's spatial half: x * s(BN(conv([max, mean] over the channels))).

    Woo et al., ECCV 2018, eq. 3; Jongchan/attention-module puts the maximum first and adds the batch
    normalisation (momentum 0.01), which the equation lacks.

    Args:
        kernel_size: of the convolution, odd.
        norm: whether the batch normalisation is there. Its weight starts at 0 as in the official net, so
            that every position counts alike at first.
    """

    def __init__(self, kernel_size: int = 7, norm: bool = True):
        super().__init__()
        check_odd("spatial attention: kernel_size", kernel_size)
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01) if norm else nn.Identity()
        if isinstance(self.bn, nn.BatchNorm2d):
            nn.init.zeros_(self.bn.weight)

    def gate(self, x: Tensor) -> Tensor:
        """Weights in (0, 1), float [B, 1, H, W]."""
        maps = torch.cat((maximum.channel_maximum(x), x.mean(1, keepdim=True)), 1)
        return torch.sigmoid(self.bn(self.conv(maps)))


class CBAM(nn.Module):
    """Channel attention, then spatial attention (Woo et al., ECCV 2018; Jongchan/attention-module).

    Args:
        channels: C.
        reduction: C / hidden units of the channel half.
        kernel_size: of the spatial half.
        plain: the paper's equations alone, as li eq. 2-3 and zhang eq. 2-3 print them: no biases and no
            batch normalisation.
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7, plain: bool = False):
        super().__init__()
        self.channel = ChannelAttention(channels, reduction, bias=not plain)
        self.spatial = SpatialAttention(kernel_size, norm=not plain)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(self.channel(x))


class BAM(Gated):
    """Bottleneck attention: x * (1 + s(Mc(x) * Ms(x))), Mc per channel, Ms per position.

    Park et al., BMVC 2018, in the form of Jongchan/attention-module, which multiplies the two branches and
    ends neither in a batch normalisation; the paper adds them. The official pooling reads the height for both
    directions and takes square maps only; this one takes any.

    Args:
        channels: C.
        reduction: C / hidden channels of both branches.
        dilation: of the spatial branch's two 3x3 convolutions.
    """

    def __init__(self, channels: int, reduction: int = 16, dilation: int = 4):
        super().__init__()
        hidden = hidden_width(channels, reduction, "BAM")

        def norm_relu() -> list[nn.Module]:
            return [nn.BatchNorm2d(hidden), nn.ReLU(inplace=True)]

        def dilated() -> nn.Module:
            return nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation)

        self.channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            *norm_relu(),
            nn.Conv2d(hidden, channels, 1),
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            *norm_relu(),
            dilated(),
            *norm_relu(),
            dilated(),
            *norm_relu(),
            nn.Conv2d(hidden, 1, 1),
        )

    def gate(self, x: Tensor) -> Tensor:
        """Weights in (1, 2), float [B, C, H, W]."""
        return 1 + torch.sigmoid(self.channel(x) * self.spatial(x))


class CoordAtt(nn.Module):
    """Coordinate attention: one gate along each row and one along each column.

    Hou et al., CVPR 2021; houqb/CoordAttention. li names the activation "non-linear" and gives no reduction:
    the official h-swish and 32 are used.

    Args:
        channels: C.
        reduction: C / hidden channels, of which there are at least 8.
    """

    def __init__(self, channels: int, reduction: int = 32):
        super().__init__()
        check_count("coordinate attention: reduction", reduction)
        hidden = max(8, channels // reduction)
        self.conv1 = nn.Conv2d(channels, hidden, 1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv_h = nn.Conv2d(hidden, channels, 1)
        self.conv_w = nn.Conv2d(hidden, channels, 1)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Weights in (0, 1) of the rows, float [B, C, H, 1], and of the columns, [B, C, 1, W]."""
        height, width = x.shape[2:]
        rows = x.mean(3, keepdim=True)
        columns = x.mean(2, keepdim=True).transpose(2, 3)
        both = F.hardswish(self.bn1(self.conv1(torch.cat((rows, columns), 2))))
        rows, columns = both.split((height, width), 2)
        return torch.sigmoid(self.conv_h(rows)), torch.sigmoid(self.conv_w(columns.transpose(2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.gates(x)
        return x * columns * rows


@torch.fx.wrap  # a traced graph has no place for checks of sizes
def check_places(x: Tensor) -> None:
    """Raise a UserError where a map has one place only."""
    if x.shape[2] * x.shape[3] < 2:
        raise UserError("SimAM: the map must be larger than 1x1: use larger pictures or fewer strides")


@torch.fx.wrap  # nor for choices
def widened(x: Tensor) -> Tensor:
    """A map whose squares can be summed: float16 ends at 65,504."""
    return x.float() if x.dtype == torch.float16 else x


class SimAM(Gated):
    """Parameter-free attention from an energy per position (Yang et al., ICML 2021; ZjjConan/SimAM).

    Args:
        channels: C, which this block has no use for; it is taken so that every block is made alike.
        e_lambda: the lambda of the energy.

    Raises:
        UserError: (forward) the map is 1x1, where the variance is 0/0.
    """

    def __init__(self, channels: int | None = None, e_lambda: float = 1e-4):
        super().__init__()
        self.e_lambda = e_lambda

    def gate(self, x: Tensor) -> Tensor:
        """Weights in (0.62, 1), the sigmoid of an inverse energy, float [B, C, H, W]."""
        check_places(x)
        n = x.shape[2] * x.shape[3] - 1
        wide = widened(x)
        d = (wide - wide.mean((2, 3), keepdim=True)).square()
        return torch.sigmoid(d / (4 * (d.sum((2, 3), keepdim=True) / n + self.e_lambda)) + 0.5).to(x.dtype)


class HybridAttention(nn.Module):
    """li's hybrid attention (Fig. 5): channel and spatial attention side by side, fused, times the input.

    out = ReLU(fuse([Fc, Fs]) * F) with Fc = Wc(F) F (eq. 2) and Fs = Ws(F) F (eq. 3). The figure shows
    [Fc, Fs], of 2C channels, multiplied with F, of C: a 1x1 convolution must stand between, which the paper
    does not name. No official code exists, so this is our reading; a sum in place of the convolution, or a
    sigmoid on the fused map, would fit the text as well.

    Args:
        channels: C.
        reduction: C / hidden units of the channel half.
        kernel_size: of the spatial half.
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7):
        super().__init__()
        self.channel = ChannelAttention(channels, reduction, bias=False)
        self.spatial = SpatialAttention(kernel_size, norm=False)
        self.fuse = nn.Conv2d(2 * channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.fuse(torch.cat((self.channel(x), self.spatial(x)), 1)) * x)
