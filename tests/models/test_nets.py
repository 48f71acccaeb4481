"""What a user may expect of every net, one parametrised test each.

Tests of behaviour that does not depend on size run on narrow, shallow forms of the residual nets.
"""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from fer_lib.models import create_model, list_models
from fer_lib.models.export import export_onnx

QUICK = ("resnet18_cbam", "li", "microexpnet", "parallel_cnn")
# Exporting takes long: these hold every kind of layer, and the others only arrange them differently.
EXPORTED = (
    "resnet18_se_eca_cbam_bam_coord_simam_mscam_aff",
    "resnet18_iaff",
    "resnet34_cbam_ends",
    "resnet50_acmix",
    "resnet50_psa",
    "resnet50_sc",
    "resnet50_spd",
    "li",
    "hu",
    "senet18",
    "vgg16_bn",
    "vggface",
    "alexnet",
    "googlenet",
    "densenet121",
    "mobilenetv2",
    "inceptionv4",
    "microexpnet",
    "lbcnn",
    "parallel_cnn",
)


def nets(names):
    """One test a name, all but the quick ones marked heavy."""
    return pytest.mark.parametrize(
        "name", [pytest.param(n, marks=() if n in QUICK else (pytest.mark.heavy,)) for n in names]
    )


every_net = nets(list_models())


def small(name):
    """A cheap form of a net with all its kinds of layers."""
    shallow = {"layers": (1, 1, 1, 1)}
    if name == "gu" or "_psa" in name:
        options = {**shallow, "width": 64}
    elif name.startswith("resnet") or name in ("li", "hu", "zhang"):
        options = {**shallow, "width": 16}
    elif name == "senet18":
        options = {"width": 16}
    elif name == "lbcnn":
        options = {"channels": 16, "num_weights": 32, "depth": 3}
    else:
        options = {}
    return create_model(name, **options)


def smallest_size(net):
    if net.fixed_size:
        return net.input_size
    step = net.size_multiple
    return -(-max(net.min_size, 24) // step) * step


def with_statistics(net):
    """The net in eval mode with normalisations that do something, as after training."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


@every_net
def test_runs_forward_and_backward_at_its_sizes(name):
    torch.manual_seed(0)
    net = create_model(name)
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
            features = net.forward_features(x)
            assert features.shape == (1, net.num_features)
            assert features.isfinite().all()
            torch.testing.assert_close(net(x), net.classify(features))


@every_net
def test_overfits_32_pictures(name):
    torch.manual_seed(0)
    net = small(name).train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    size = smallest_size(net)
    labels = torch.arange(32) % 7
    images = torch.randn(7, 1, size, size)[labels] + 0.5 * torch.randn(32, 1, size, size)
    # Without normalisation the large heads want small steps.
    normalised = any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3 if normalised else 1e-4, fused=True)
    for _ in range(200):
        logits = net(images)
        if (logits.argmax(1) == labels).all():
            return
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, labels).backward()
        optimizer.step()
    pytest.fail(f"{int((logits.argmax(1) == labels).sum())} of 32 pictures learnt in 200 steps")


@every_net
def test_saves_and_loads_bit_exactly(name, tmp_path):
    net, other = small(name), small(name)
    size = smallest_size(net)
    with_statistics(net)
    save_file(net.state_dict(), tmp_path / "weights.safetensors")
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    x = torch.randn(2, 1, size, size)
    with torch.no_grad():
        assert torch.equal(net(x), other.eval()(x))


@every_net
def test_channels_last_and_bfloat16_give_the_same_logits(name):
    # At its start: a random net whose normalisations are fitted to noise magnifies any rounding, plain
    # ResNet50 to a tenth and more of its logits, which says nothing about the arithmetic.
    torch.manual_seed(0)
    net = create_model(name).eval()
    size = smallest_size(net)
    x = torch.randn(4, 1, size, size)
    with torch.no_grad():
        features = net.forward_features(x)
        logits = net.classify(features)
        net.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
        assert (net(x) - logits).norm() < 1e-4 * logits.norm()
        with torch.autocast("cpu", torch.bfloat16):
            short = net.forward_features(x)
            assert (short.float() - features).norm() < 0.05 * features.norm()
            assert (net.classify(short).float() - logits).norm() < 0.05 * logits.norm()


@nets(EXPORTED)
def test_exports_to_onnx(name, tmp_path):
    import onnxruntime

    torch.manual_seed(0)
    net = small(name)
    size = smallest_size(net)
    with_statistics(net)
    export_onnx(net, tmp_path / "net.onnx", size, [str(i) for i in range(7)], {"mean": 0.5}, {"model": name})
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    for batch in (1, 3):
        x = torch.randn(batch, 1, size, size)
        (out,) = session.run(None, {"pictures": x.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(out, net(x).numpy(), rtol=1e-4, atol=1e-4)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == [str(i) for i in range(7)]


@every_net
def test_names_what_is_wrong_with_its_input(name):
    with torch.device("meta"):
        net = create_model(name)
        side = str(net.input_size) if net.fixed_size else "H"
        expected = rf"x must be \[B, 1, {side}, "
        size = smallest_size(net)
        wrong = [(1, size, size), (2, 3, size, size)]
        if net.fixed_size:
            wrong.append((2, 1, size + 1, size))
        elif net.min_size > 1:
            wrong.append((2, 1, net.min_size - 1, net.min_size))
        if net.size_multiple > 1:
            wrong.append((2, 1, size, size + 1))
        for shape in wrong:
            with pytest.raises(ValueError, match=expected):
                net(torch.zeros(shape))
