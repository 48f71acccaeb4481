"""What a user may expect of every net, one parametrised test each.

It is built once and trained once for all its tests. Random weights say little: whatever rounding does to a net at its
start, it may do more to one whose normalisations have statistics of their own. What is trained and exported is the
whole net; of the residual nets with a block, of which there are dozens, it is a shallow form, in which every kind of
block is there once: more of the same would only take longer. Whole plain nets and whole nets of the papers stand for
their depth.
"""

import json
from collections import Counter
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fer_lib.models import create_model, list_models
from fer_lib.models.base import Classifier
from fer_lib.models.export import export_onnx
from fer_lib.training import autocast_dtype

QUICK = ("resnet18_cbam", "li", "microexpnet", "parallel_cnn")
# Two processes begin with a half each, and a net whose tests both come to share is trained by both: the slowest go
# first, in either half.
SLOWEST = ("vggface", "lbcnn", "inceptionv4", "alexnet", "resnet50", "hu", "gu", "densenet121")
ORDERED = sorted(list_models(), key=lambda name: name not in SLOWEST)
NAMES = [
    pytest.param(name, marks=() if name in QUICK else (pytest.mark.heavy,)) for name in ORDERED[::2] + ORDERED[1::2]
]


# A second block of a stage has no projection beside it.
SHALLOW = {"layers": [1, 2, 1, 1]}


class Trained(NamedTuple):
    """A net that has learnt 32 pictures, in eval mode, and what it was before."""

    net: Classifier
    before: Classifier
    images: Tensor
    labels: Tensor
    logits: Tensor


def smallest_size(net):
    """The smallest pictures a net takes, and at least 9 px: most nets' maps are of 9, 5, 3 and 2 px then."""
    if net.fixed_size:
        return net.input_size
    step = net.size_multiple
    return -(-max(net.min_size, 9) // step) * step


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    """The module's scope makes pytest run all tests of one net before the next net's."""
    return request.param


@pytest.fixture(scope="module")
def fresh(name):
    """A net as it is built, in eval mode, which no test may change."""
    torch.manual_seed(0)
    return create_model(name).eval()


@pytest.fixture(scope="module")
def trained(name, fresh):
    torch.manual_seed(0)
    before = create_model(name, **SHALLOW).eval() if name.startswith("resnet") and "_" in name else fresh
    net = deepcopy(before).train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    size = smallest_size(net)
    labels = torch.arange(32) % 7
    images = torch.randn(7, 1, size, size)[labels] + 0.5 * torch.randn(32, 1, size, size)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    # Running statistics are those of the last forward pass. A normalisation that serves several layers, as in iAFF,
    # keeps one set for all: it learns with that in place, a mean over them.
    passes = Counter()
    hooks = [norm.register_forward_hook(lambda norm, *_: passes.update([norm])) for norm in norms]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        net(images)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        norm.momentum = 1.0
        norm.train(passes[norm] == 1)
    # Without normalisation the large heads want small steps.
    lr = 1e-3 if norms else 1e-4
    optimizer = torch.optim.Adam(net.parameters(), lr=lr, betas=(0.8, 0.95), fused=True)
    net.to(memory_format=torch.channels_last)
    # bfloat16 saves time with the large pictures, where the processor has it. With the small ones some maps are 1x1,
    # and there torch 2.15 on a CPU leaves taps of a strided convolution's weight gradient unwritten.
    short = size > 16 and autocast_dtype(torch.device("cpu")) == torch.bfloat16
    for _ in range(200):
        with torch.autocast("cpu", torch.bfloat16, enabled=short):
            logits = net(images).float()
        loss = nn.functional.cross_entropy(logits, labels)
        if loss < 0.03 and torch.equal(logits.argmax(1), labels):
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.to(memory_format=torch.contiguous_format).eval()
    with torch.no_grad():
        return Trained(net, before, images, labels, net(images))


def test_runs_forward_and_backward_at_its_sizes(fresh):
    torch.manual_seed(0)
    net = deepcopy(fresh)
    sizes = [net.input_size] if net.input_size else [s for s in (44, 48) if s % net.size_multiple == 0]
    assert sizes
    logits = net.train()(torch.randn(2, 1, sizes[0], sizes[0]))
    logits.logsumexp(1).sum().backward()
    assert logits.shape == (2, 7)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    net.eval()
    for size in sizes:
        x = torch.randn(1, 1, size, size)
        with torch.no_grad():
            maps = net.forward_features(x)
            features = net.embed(x)
            assert maps.dim() == 4
            assert torch.equal(net.forward_head(maps, pre_logits=True), features)
            assert features.shape == (1, net.num_features)
            assert features.isfinite().all()
            torch.testing.assert_close(net(x), net.classify(features))


def test_overfits_32_pictures(trained):
    assert torch.equal(trained.logits.argmax(1), trained.labels)


def test_saves_and_loads_bit_exactly(trained, tmp_path):
    save_file(trained.net.state_dict(), tmp_path / "weights.safetensors")
    other = deepcopy(trained.before)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    (tmp_path / "weights.safetensors").unlink()  # half a gigabyte for the largest
    x = trained.images[:2]
    with torch.no_grad():
        assert torch.equal(trained.net(x), other(x))


def test_channels_last_and_bfloat16_give_the_same_logits(trained):
    """bfloat16 keeps 8 bits, and the error grows with the depth and with what 32 pictures leave in the batch norms."""
    net, x, logits = trained.net, trained.images, trained.logits
    with torch.no_grad():
        net.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
        assert (net(x) - logits).norm() < 1e-4 * logits.norm()
        with torch.autocast("cpu", torch.bfloat16):
            short = net(x).float()
    net.to(memory_format=torch.contiguous_format)
    assert (short - logits).norm() < 0.15 * logits.norm()
    # What is right by a margin stays right.
    sure = logits.softmax(1).amax(1) > 0.9
    assert torch.equal(short.argmax(1)[sure], logits.argmax(1)[sure])


def test_bfloat16_gives_nearly_the_same_logits(fresh):
    torch.manual_seed(0)
    size = smallest_size(fresh)
    x = torch.randn(4, 1, size, size)
    with torch.no_grad():
        logits = fresh(x)
        with torch.autocast("cpu", torch.bfloat16):
            short = fresh(x).float()
    assert (short - logits).norm() < 0.05 * logits.norm()


def test_exports_to_onnx(name, trained, tmp_path):
    import onnxruntime

    path, size, classes = tmp_path / "net.onnx", trained.images.shape[-1], [str(i) for i in range(7)]
    export_onnx(trained.net, path, size, classes, {"mean": 0.5}, {"seed": 0})
    session = onnxruntime.InferenceSession(path)
    path.unlink()
    for x in (trained.images[:1], trained.images[1:4]):
        (out,) = session.run(None, {"pictures": x.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(out, trained.net(x).numpy(), rtol=1e-4, atol=1e-4)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == classes


def test_names_what_is_wrong_with_its_input(fresh):
    side = str(fresh.input_size) if fresh.fixed_size else "H"
    expected = rf"x must be \[B, 1, {side}, "
    size = smallest_size(fresh)
    wrong = [(1, size, size), (2, 3, size, size)]
    if fresh.fixed_size:
        wrong.append((2, 1, size + 1, size))
    elif fresh.min_size > 1:
        wrong.append((2, 1, fresh.min_size - 1, fresh.min_size))
    if fresh.size_multiple > 1:
        wrong.append((2, 1, size, size + 1))
    for shape in wrong:
        with pytest.raises(ValueError, match=expected):
            fresh(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"x must be float .*its type is torch\.uint8"):
        fresh(torch.zeros(1, 1, size, size, dtype=torch.uint8))
