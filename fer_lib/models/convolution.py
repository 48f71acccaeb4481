"""Blocks that take the place of a convolution: PSA, ACmix and space-to-depth."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_lib.errors import UserError, check_count
from fer_lib.models.attention import SE
from fer_lib.models.base import check_odd


def conv(inputs: int, outputs: int, kernel_size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A same-padded convolution without bias, He-initialised by fan-out as residual nets are."""
    layer = nn.Conv2d(inputs, outputs, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


class PSA(nn.Module):
    """Pyramid split attention: four convolutions of growing kernels, weighed against each other per channel.

    Zhang et al., ACCV 2022; murufeng/EPSANet. Each branch sees all inputs and gives a quarter of the outputs;
    one squeeze-and-excitation serves all four, and a softmax across the branches follows its sigmoid. The
    official loop joins the branches in reverse, the 9x9 first, and so does this one.

    Args:
        in_channels: C of the input.
        out_channels: C of the output, a multiple of 64: the shared SE reduces a quarter of it by 16.
        stride: of the four convolutions.
        kernels: their sizes.
        groups: their groups. gu's eq. 2 gives 2, 4, 8, 16; the published parameter count fits the default.

    Raises:
        UserError: ``out_channels`` is no multiple of 64, or ``in_channels`` none of the largest group count.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        kernels: tuple[int, ...] = (3, 5, 7, 9),
        groups: tuple[int, ...] = (1, 4, 8, 16),
    ):
        super().__init__()
        if len(kernels) != 4 or len(groups) != 4:
            raise UserError(f"PSA: kernels and groups must be four each: got {kernels!r} and {groups!r}")
        if out_channels < 64 or out_channels % 64:
            raise UserError(f"PSA: out_channels must be a multiple of 64: got {out_channels}")
        if any(in_channels % g for g in groups):
            raise UserError(f"PSA: in_channels must be a multiple of each of groups {groups}: got {in_channels}")
        branch = out_channels // 4
        self.branches = nn.ModuleList(
            conv(in_channels, branch, k, stride, g) for k, g in zip(kernels, groups, strict=True)
        )
        self.se = SE(branch, reduction=16, bias=True)

    def _maps(self, x: Tensor) -> Tensor:
        return torch.stack([branch(x) for branch in reversed(self.branches)], 1)

    def _shares(self, maps: Tensor) -> Tensor:
        return self.se.gate(maps.flatten(0, 1)).unflatten(0, maps.shape[:2]).softmax(1)

    def gate(self, x: Tensor) -> Tensor:
        """Shares in (0, 1) of the four kernels, the largest first, which add to 1 per channel: [B, C, 1, 1]."""
        return self._shares(self._maps(x)).flatten(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        maps = self._maps(x)
        return (maps * self._shares(maps)).flatten(1, 2)


class ACmix(nn.Module):
    """Self-attention in a window and a convolution from the same projections, added with learned rates.

    Pan et al., CVPR 2022; LeapLabTHU/ACmix. Two deviations, both where the official code raises: a map not
    larger than the padding (3 for a 7x7 window) is padded by repeating its border where a reflection is
    impossible, and a map of odd size at stride 2 gives its half rounded up, as a convolution does.

    Args:
        in_channels: C of the input.
        out_channels: C of the output, a multiple of ``heads``.
        kernel_att: side of the attention window, odd.
        heads: of the attention.
        kernel_conv: side of the convolution, odd.
        stride: of both.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_att: int = 7,
        heads: int = 4,
        kernel_conv: int = 3,
        stride: int = 1,
    ):
        super().__init__()
        check_count("ACmix: heads", heads)
        if out_channels % heads:
            raise UserError(f"ACmix: out_channels must be a multiple of heads ({heads}): got {out_channels}")
        check_odd("ACmix: kernel_att", kernel_att)
        check_odd("ACmix: kernel_conv", kernel_conv)
        self.heads, self.stride = heads, stride
        self.kernel_att, self.kernel_conv = kernel_att, kernel_conv
        depth = out_channels // heads
        self.rate_att = nn.Parameter(torch.full((1,), 0.5))
        self.rate_conv = nn.Parameter(torch.full((1,), 0.5))
        self.query = nn.Conv2d(in_channels, out_channels, 1)
        self.key = nn.Conv2d(in_channels, out_channels, 1)
        self.value = nn.Conv2d(in_channels, out_channels, 1)
        self.position = nn.Conv2d(2, depth, 1)
        taps = kernel_conv**2
        self.fc = nn.Conv2d(3 * heads, taps, 1, bias=False)
        self.shift = nn.Conv2d(
            taps * depth, out_channels, kernel_conv, stride, kernel_conv // 2, groups=depth, bias=False
        )
        # Tap t of the fc output belongs t places from the centre: the kernels start as those shifts.
        kernels = torch.eye(taps).reshape(1, taps, kernel_conv, kernel_conv)
        with torch.no_grad():
            self.shift.weight.copy_(kernels.expand_as(self.shift.weight))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.query(x), self.key(x), self.value(x)
        return self.rate_att * self._attend(query, key, value) + self.rate_conv * self._convolve(query, key, value)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        batch, channels = key.shape[:2]
        depth = channels // self.heads
        s = self.stride
        position = self.position(grid(key))
        query = query[:, :, ::s, ::s] * depth**-0.5
        rows, columns = query.shape[2:]
        query = query.reshape(batch * self.heads, depth, 1, rows, columns)
        window = (batch * self.heads, depth, self.kernel_att**2, rows, columns)
        keys, values, places = (windows(maps, self.kernel_att, s) for maps in (key, value, position))
        keys, values = keys.reshape(window), values.reshape(window)
        offsets = position[:, :, None, ::s, ::s] - places.reshape(1, *window[1:])
        attention = (query * (keys + offsets)).sum(1, keepdim=True).softmax(2)
        return (attention * values).sum(2).reshape(batch, channels, rows, columns)

    def _convolve(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        batch, channels, height, width = key.shape
        depth = channels // self.heads
        by_head = [t.reshape(batch, self.heads, depth, height * width) for t in (query, key, value)]
        taps = self.fc(torch.cat(by_head, 1))
        return self.shift(taps.transpose(1, 2).reshape(batch, -1, height, width))


@torch.fx.wrap  # of their sizes' values, which a traced graph does not know
def windows(x: Tensor, side: int, stride: int) -> Tensor:
    """The square around every place, float [B, C * side * side, places]."""
    pad = side // 2
    mode = "reflect" if min(x.shape[2:]) > pad else "replicate"
    return F.unfold(F.pad(x, [pad] * 4, mode=mode), side, stride=stride)


@torch.fx.wrap
def grid(like: Tensor) -> Tensor:
    """Coordinates x, y from -1 to 1, float [1, 2, H, W]."""
    rows, columns = (torch.linspace(-1, 1, n, device=like.device, dtype=like.dtype) for n in like.shape[2:])
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy")).unsqueeze(0)


@torch.fx.wrap  # a traced graph has no place for checks of sizes
def check_even(x: Tensor) -> None:
    """Raise a UserError where a map has an odd side."""
    if x.shape[2] % 2 or x.shape[3] % 2:
        raise UserError(f"space-to-depth: height and width must be even: the map is {list(x.shape[2:])}")


class SpaceToDepth(nn.Module):
    """Every 2x2 square of positions becomes four groups of channels: [B, C, H, W] to [B, 4C, H/2, W/2].

    Sunkara & Luo, ECML 2022; LabSAINT/SPD-Conv. The order is (0,0), (1,0), (0,1), (1,1) as (row, column),
    all channels of one position together, which is not that of ``torch.pixel_unshuffle``.

    Raises:
        UserError: (forward) an odd height or width.
    """

    def forward(self, x: Tensor) -> Tensor:
        check_even(x)
        return torch.cat([x[:, :, row::2, column::2] for column in (0, 1) for row in (0, 1)], 1)


class Focus(nn.Module):
    """A stem that halves the picture without losing a pixel: space-to-depth, convolution, BN, SiLU.

    LabSAINT/SPD-Conv, and hu's interval-sampling module SC as we read it.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1):
        super().__init__()
        self.space_to_depth = SpaceToDepth()
        self.conv = conv(4 * in_channels, out_channels, kernel_size)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.bn(self.conv(self.space_to_depth(x))))
