"""Maxima against ``amax``: the same values to the bit, and its gradients where no two values are equal."""

import pytest
import torch

from fer_lib.models.attention import CBAM
from fer_lib.models.maximum import channel_maximum, map_maximum

MAXIMA = [
    pytest.param(map_maximum, (2, 3), id="of each map"),
    pytest.param(channel_maximum, 1, id="over the channels"),
]
LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize(("maximum", "dims"), MAXIMA)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 16, 11, 11), (2, 5, 3, 7), (1, 1, 1, 1)])
def test_values_to_the_bit_and_gradients_of_unique_maxima(maximum, dims, dtype, layout, shape):
    # All values of a map differ, also after rounding to bfloat16: shuffled integers below 256, times a power of two.
    random = torch.Generator().manual_seed(0)
    b, c, h, w = shape
    size = h * w if maximum is map_maximum else c
    maps = torch.stack([torch.randperm(size, generator=random) - 60 for _ in range(b * c * h * w // size)]) / 64
    maps = maps.view(shape) if maximum is map_maximum else maps.view(b, h, w, c).permute(0, 3, 1, 2)
    x = maps.to(dtype).contiguous(memory_format=layout).requires_grad_()
    weights = torch.randn(x.amax(dims, keepdim=True).shape, generator=random).to(dtype)
    found, wanted = maximum(x), x.amax(dims, keepdim=True)
    assert found.dtype == dtype
    assert found.shape == wanted.shape
    assert found.detach().view(-1).view(torch.uint8).equal(wanted.detach().reshape(-1).view(torch.uint8))
    gradients = [torch.autograd.grad((peak * weights).sum(), x)[0] for peak in (found, wanted)]
    assert torch.equal(*gradients)


@pytest.mark.parametrize(("maximum", "dims"), MAXIMA)
def test_of_equal_maxima_the_first_takes_the_gradient(maximum, dims):
    x = torch.zeros(1, 2, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(maximum(x).sum(), x)
    first = torch.zeros(1, 2, 2, 2)
    first[(..., 0, 0) if maximum is map_maximum else (0, 0)] = 1
    assert torch.equal(gradient, first)


@pytest.mark.parametrize(("maximum", "dims"), MAXIMA)
def test_nan_and_infinity_pass(maximum, dims):
    values = torch.randn(2, 4, 3, 3)
    values[0, 1, 2, 2], values[1] = torch.nan, -torch.inf
    found = maximum(values.clone().requires_grad_())
    torch.testing.assert_close(found.detach(), values.amax(dims, keepdim=True), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(("maximum", "dims"), MAXIMA)
def test_gradients_of_gradients(maximum, dims):
    x = torch.randn(2, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(maximum, x)


def test_autocast_keeps_the_precision():
    x = torch.randn(2, 16, 5, 5, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert {map_maximum(x).dtype, channel_maximum(x).dtype} == {torch.bfloat16}


def test_tracing_takes_the_maxima_as_they_are():
    block = CBAM(16).eval()
    x = torch.randn(2, 16, 5, 5)
    assert torch.equal(torch.fx.symbolic_trace(block)(x), block(x))
