"""Attention blocks at the sizes the papers use, their errors, and the forms without official code."""

import numpy as np
import pytest
import torch

from fer_lib.models.attention import BAM, CBAM, ECA, SE, ChannelAttention, CoordAtt, HybridAttention, SimAM
from fer_lib.models.convolution import PSA, ACmix, Focus, SpaceToDepth
from fer_lib.models.fusion import AFF, IAFF, MSCAM
from fer_lib.models.grammar import MODULES
from fer_lib.nets import BLOCKS, WHOLE_MAP

SAME_SIZE = {
    "se": lambda: SE(64),
    "eca": lambda: ECA(64),
    "cbam": lambda: CBAM(64),
    "cbam_plain": lambda: CBAM(64, plain=True),
    "bam": lambda: BAM(64),
    "coord": lambda: CoordAtt(64),
    "simam": SimAM,
    "hybrid": lambda: HybridAttention(64),
    "mscam": lambda: MSCAM(64),
    "psa": lambda: PSA(64, 64),
    "acmix": lambda: ACmix(64, 64),
}


@pytest.mark.parametrize("size", [(3, 3), (4, 7), (6, 6), (11, 11), (24, 24), (44, 44), (48, 48)])
@pytest.mark.parametrize("name", SAME_SIZE)
def test_keeps_the_shape_at_every_size(name, size):
    block = SAME_SIZE[name]()
    for training, batch in ((True, 2), (False, 1)):
        x = torch.randn(batch, 64, *size, requires_grad=True)
        out = block.train(training)(x)
        out.square().sum().backward()
        assert out.shape == x.shape
        assert out.isfinite().all()
        assert x.grad.isfinite().all()
        assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [(3, 3), (5, 4), (48, 48)])
@pytest.mark.parametrize("make", [AFF, IAFF])
def test_fusion_keeps_the_shape_at_every_size(make, size):
    block = make(64)
    for training, batch in ((True, 2), (False, 1)):
        x, y = torch.randn(batch, 64, *size), torch.randn(batch, 64, *size)
        assert block.train(training)(x, y).shape == x.shape


def test_fusion_of_equal_inputs_is_their_plain_sum_or_mean():
    x = torch.randn(2, 16, 4, 4)
    torch.testing.assert_close(AFF(16).eval()(x, x), 2 * x)
    torch.testing.assert_close(IAFF(16).eval()(x, x), x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_hybrid_attention_equals_the_papers_equations():
    torch.manual_seed(0)
    block = HybridAttention(32, reduction=8, kernel_size=3).double()
    x = torch.randn(2, 32, 5, 4, dtype=torch.float64)
    weights = {name: p.detach().numpy().squeeze() for name, p in block.named_parameters()}
    f = x.numpy()

    def mlp(v):
        return weights["channel.fc2.weight"] @ np.maximum(weights["channel.fc1.weight"] @ v, 0)

    expected = np.zeros_like(f)
    for n, picture in enumerate(f):
        channel = sigmoid(mlp(picture.mean((1, 2))) + mlp(picture.max((1, 2))))
        maps = np.pad(np.stack((picture.max(0), picture.mean(0))), ((0, 0), (1, 1), (1, 1)))
        spatial = np.zeros((5, 4))
        for row in range(5):
            for column in range(4):
                window = maps[:, row : row + 3, column : column + 3]
                spatial[row, column] = sigmoid((window * weights["spatial.conv.weight"]).sum())
        both = np.concatenate((channel[:, None, None] * picture, spatial * picture))
        fused = np.einsum("oc,chw->ohw", weights["fuse.weight"], both)
        expected[n] = np.maximum(fused * picture, 0)
    np.testing.assert_allclose(block(x).detach().numpy(), expected, rtol=1e-10)


def test_plain_cbam_has_neither_biases_nor_normalisation():
    names = dict(CBAM(64, plain=True).named_parameters())
    assert set(names) == {"channel.fc1.weight", "channel.fc2.weight", "spatial.conv.weight"}
    official = sum(p.numel() for p in CBAM(64).parameters())
    assert official == 2 * 64 * 4 + 64 + 4 + 98 + 2


def test_cbam_starts_with_every_position_alike():
    block = CBAM(64).eval()
    x = torch.randn(1, 64, 6, 6)
    torch.testing.assert_close(block(x), block.channel(x) / 2)


def test_eca_kernels_follow_the_formula():
    assert [ECA(c).conv.kernel_size[0] for c in (64, 128, 256, 512, 1024, 2048)] == [3, 5, 5, 5, 5, 7]
    assert ECA(512, kernel_size=3).conv.kernel_size[0] == 3


def test_psa_puts_its_largest_kernel_first():
    block = PSA(64, 64).eval()
    with torch.no_grad():
        for branch in block.branches[:3]:
            branch.weight.zero_()
    out = block(torch.randn(1, 64, 9, 9))
    assert out[:, :16].abs().sum() > 0
    assert out[:, 16:].abs().sum() == 0


@pytest.mark.parametrize(("size", "stride"), [(2, 1), (3, 1), (3, 2), (11, 2), (6, 2), (1, 1), (44, 2)])
def test_acmix_halves_odd_and_tiny_maps_as_a_convolution_does(size, stride):
    block = ACmix(16, 16, stride=stride)
    x = torch.randn(2, 16, size, size)
    assert block(x).shape[2:] == torch.nn.Conv2d(16, 16, 3, stride, 1)(x).shape[2:]


def attention_by_hand(block, x):
    """ACmix's attention at one position after another, reflecting indices by hand."""
    heads, depth = block.heads, x.shape[1] // block.heads
    _, _, height, width = x.shape
    query, key, value = block.query(x), block.key(x), block.value(x)
    columns, rows = torch.linspace(-1, 1, width).double(), torch.linspace(-1, 1, height).double()
    grid = torch.stack((columns.expand(height, width), rows[:, None].expand(height, width)))[None]
    position = block.position(grid)[0]
    reach = block.kernel_att // 2

    def inside(i, n):
        i = abs(i)
        return 2 * (n - 1) - i if i >= n else i

    out = torch.zeros_like(x)
    for head in range(heads):
        part = slice(head * depth, (head + 1) * depth)
        for row in range(height):
            for column in range(width):
                window = [
                    (inside(row + i, height), inside(column + j, width))
                    for i in range(-reach, reach + 1)
                    for j in range(-reach, reach + 1)
                ]
                q = query[0, part, row, column] / depth**0.5
                logits = [q @ (key[0, part, i, j] + position[:, row, column] - position[:, i, j]) for i, j in window]
                shares = torch.stack(logits).softmax(0)
                out[0, part, row, column] = sum(
                    s * value[0, part, i, j] for s, (i, j) in zip(shares, window, strict=True)
                )
    return out


def test_acmix_attention_equals_a_loop_over_positions():
    torch.manual_seed(1)
    block = ACmix(8, 8, kernel_att=3, heads=2).double()
    x = torch.randn(1, 8, 4, 5).double()
    with torch.no_grad():
        block.rate_conv.zero_()
        block.rate_att.fill_(1)
        torch.testing.assert_close(block(x), attention_by_hand(block, x))


def test_acmix_convolution_starts_as_a_sum_of_shifts():
    # With fc giving every tap the first head's query, the shift kernels add the 3x3 neighbourhood.
    block = ACmix(4, 4, heads=4).double()
    x = torch.randn(1, 4, 6, 6).double()
    with torch.no_grad():
        block.rate_att.zero_()
        block.rate_conv.fill_(1)
        block.fc.weight.zero_()
        block.fc.weight[:, 0] = 1
        neighbourhood = torch.nn.functional.avg_pool2d(block.query(x)[:, :1], 3, 1, 1) * 9
        torch.testing.assert_close(block(x), neighbourhood.expand(-1, 4, -1, -1))


def test_space_to_depth_goes_down_rows_first():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    out = SpaceToDepth()(x)
    assert out[0, :, 0, 0].tolist() == [0.0, 4.0, 1.0, 5.0]
    assert sorted(out.flatten().tolist()) == x.flatten().tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SimAM()(torch.zeros(1, 4, 1, 1)), "SimAM: the map must be larger than 1x1"),
        (lambda: SpaceToDepth()(torch.zeros(1, 4, 5, 4)), r"must be even: the map is \[5, 4\]"),
        (lambda: Focus(3, 8)(torch.zeros(1, 3, 4, 7)), "must be even"),
        (lambda: SE(8), "SE: channels must be at least reduction"),
        (lambda: CBAM(15), "channel attention: channels must be at least reduction"),
        (lambda: BAM(8), "BAM: channels must be at least reduction"),
        (lambda: AFF(3), "MS-CAM: channels must be at least reduction"),
        (lambda: PSA(32, 32), "PSA: out_channels must be a multiple of 64"),
        (lambda: PSA(64, 96), "PSA: out_channels must be a multiple of 64"),
        (lambda: PSA(40, 64), "PSA: in_channels"),
        (lambda: PSA(64, 64, groups=(1, 2)), "PSA: kernels and groups must be four"),
        (lambda: ACmix(16, 18), "ACmix: out_channels must be a multiple of heads"),
        (lambda: ACmix(16, 16, kernel_att=4), "kernel_att must be odd"),
        (lambda: ECA(64, 4), "ECA: kernel_size must be odd"),
    ],
)
def test_impossible_sizes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_channel_attention_ignores_the_order_of_positions():
    x = torch.randn(1, 64, 5, 5)
    shuffled = x.flatten(2)[:, :, torch.randperm(25)].reshape(x.shape)
    for block in (SE(64), ECA(64), ChannelAttention(64)):
        gates = [(block(t) / t)[0, :, 0, 0] for t in (x, shuffled)]
        torch.testing.assert_close(*gates, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, (slot, _) in BLOCKS.items() if slot in WHOLE_MAP])
def test_every_block_that_keeps_the_map_is_made_from_its_channels_alone(name):
    x = torch.randn(2, 64, 6, 5)
    assert MODULES[name](64)(x).shape == x.shape


@pytest.mark.parametrize("scale", [1, 6, 100])
def test_simam_in_float16_attends_as_in_float32(scale):
    """Sums of squares leave the range of float16 from a map of 48 x 48 and a spread of 6 on."""
    x = (scale * torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))).half()
    gate = SimAM().gate(x)
    assert gate.dtype == torch.float16
    torch.testing.assert_close(gate.float(), SimAM().gate(x.float()), rtol=1e-3, atol=1e-3)
    assert gate.float().std() > 0.05
