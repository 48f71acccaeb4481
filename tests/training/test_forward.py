"""Convolutions of small maps on a CPU, beside PyTorch's own."""

from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fer_lib.models import create_model
from fer_lib.parts import View
from fer_lib.training import forward, predict_probabilities
from fer_lib.training.forward import SmallMaps, fast_forward


def passes(layer, images, mode):
    """Output and gradients of one pass, the weights' and the pictures'."""
    layer.zero_grad()
    images = images.clone().requires_grad_()
    with mode:
        out = layer(images)
    (out * torch.arange(out.numel()).view_as(out)).sum().backward()
    return [out, images.grad, *(parameter.grad for parameter in layer.parameters())]


@settings(deadline=None, max_examples=60)
@given(
    side=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.tuples(st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 3])),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    channels_last=st.booleans(),
)
def test_small_maps_are_convolved_as_pytorch_does(side, kernel, stride, padding, dilation, bias, channels_last):
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, kernel, stride, padding, dilation, bias=bias).double()
    images = torch.randn(2, 3, *side, dtype=torch.float64)
    if channels_last:
        layer, images = (what.to(memory_format=torch.channels_last) for what in (layer, images))
    try:
        wanted = passes(layer, images, torch.enable_grad())
    except RuntimeError:  # the kernel is larger than the padded map, which PyTorch refuses
        refused = pytest.raises(RuntimeError, match="Kernel size can't be greater")
        with refused, mock.patch.object(forward, "MANY", 1):
            passes(layer, images, SmallMaps())
        return
    with mock.patch.object(forward, "MANY", 1):
        found = passes(layer, images, SmallMaps())
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_numbers_and_words_are_left_to_pytorch():
    images, weight = torch.randn(2, 3, 4, 4), torch.randn(4, 3, 3, 3)
    for arguments in ((None, 2, 1, 1, 1), (None, (1, 1), "same", (1, 1), 1)):
        with mock.patch.object(forward, "MANY", 1), mock.patch.object(forward, "SMALL", 16), SmallMaps():
            found = torch.conv2d(images, weight, *arguments)
        torch.testing.assert_close(found, torch.conv2d(images, weight, *arguments))


def calls(net, images, operation="conv2d"):
    """How often one of PyTorch's operations runs in a forward pass without gradients, by default its convolution."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities) as profile, torch.no_grad(), SmallMaps():
        net(images)
    return sum(event.count for event in profile.key_averages() if event.key == f"aten::{operation}")


def test_only_small_maps_under_many_weights_are_taken_over():
    small, large = torch.randn(2, 256, 3, 3), torch.randn(2, 256, 4, 4)
    same = nn.Conv2d(256, 256, 3, padding=1)
    assert calls(same, small) == 0
    assert calls(nn.Conv2d(256, 1024, 1), small) == 0
    assert calls(nn.Conv2d(256, 256, 3, 2, 1), large) == 0
    assert calls(same, large) == 1
    assert calls(nn.Conv2d(256, 64, 1), small) == 1
    assert calls(nn.Conv2d(256, 1024, 3, padding=1, groups=2), small) == 1
    assert calls(nn.Conv2d(256, 256, 3, padding="same"), small) == 1
    assert calls(same, small[0]) == 1


def test_all_pictures_are_in_one_product():
    skipping = nn.Conv2d(256, 1024, 1, 2, bias=False).to(memory_format=torch.channels_last)
    images = torch.randn(2, 256, 3, 3).contiguous(memory_format=torch.channels_last)
    assert calls(skipping, images, "mm") == 1
    assert calls(skipping, images, "bmm") == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_net_keeps_its_logits(dtype):
    torch.manual_seed(0)
    net = create_model("resnet50", stem="imagenet").eval().to(memory_format=torch.channels_last)
    images = torch.randn(4, 1, 44, 44)
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        wanted = net(images)
    with torch.no_grad(), fast_forward(torch.device("cpu"), dtype):
        found = net(images)
    assert calls(net, images) < sum(isinstance(module, nn.Conv2d) for module in net.modules())
    exact = dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=1e-4 if exact else 0.02, atol=1e-4 if exact else 0.02)


def test_a_part_that_is_frozen_stays_so_after_a_prediction():
    net = create_model("resnet18", width=8, layers=[1, 1, 1, 1]).train()
    net.layer1.eval()
    before = [module.training for module in net.modules()]
    pictures = torch.zeros(2, 48, 48, dtype=torch.uint8)
    assert predict_probabilities(net, pictures, View(44, 44)).shape == (2, 7)
    assert [module.training for module in net.modules()] == before
