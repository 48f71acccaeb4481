"""The weights that attention modules compute: what is read is what the net multiplies by, and the net is left alone."""

import numpy as np
import pytest
import torch
from torch import nn

from fer_lib.errors import UserError
from fer_lib.models import create_model
from fer_lib.models.attention_maps import attention_maps, has_attention
from fer_lib.models.convolution import PSA
from fer_lib.models.fusion import AFF, IAFF

SMALL = {"width": 16, "layers": (1, 1, 1, 1)}
GATED = {
    "resnet18_se": {"channel"},
    "resnet18_eca": {"channel"},
    "resnet18_cbam": {"channel", "place"},
    "resnet18_bam": {"number"},
    "resnet18_coord": {"rows", "columns"},
    "resnet18_simam": {"number"},
    "resnet18_mscam": {"number"},
    "li": {"channel", "place", "rows", "columns"},
}


@pytest.fixture(scope="module")
def pictures():
    return torch.randn(3, 1, 48, 48, generator=torch.Generator().manual_seed(0))


def watched(model, inputs):
    """Input and output of every module of a net in evaluation mode, by name."""
    seen, hooks = {}, []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_hook(lambda _, given, out, name=name: seen.update({name: (given, out)})))
    with torch.inference_mode():
        model.eval()(inputs)
    for hook in hooks:
        hook.remove()
    return seen


def trained_a_little(model):
    """Weights and statistics as no initialisation leaves them, such as the zeros of CBAM's normalisation."""
    generator = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        weight.data += 0.1 * torch.randn(weight.shape, generator=generator)
    return model


@pytest.mark.parametrize("name", GATED)
def test_a_module_multiplies_by_what_is_read(name, pictures):
    model = trained_a_little(create_model(name, **SMALL))
    maps = attention_maps(model, pictures)
    assert {found.kind for found in maps} == GATED[name]
    seen = watched(model, pictures)
    for layer in dict.fromkeys(found.layer for found in maps):
        (x,), out = seen[layer]
        weights = [found for found in maps if found.layer == layer]
        assert all(found.size == tuple(x.shape[2:]) for found in weights)
        product = x.numpy() * np.prod([np.broadcast_to(found.weights, x.shape) for found in weights], axis=0)
        np.testing.assert_allclose(product, out.numpy(), rtol=1e-4, atol=1e-5)


def test_shapes_say_what_is_told_apart(pictures):
    sides = {"channel": (1, 1), "place": (None, None), "rows": (None, 1), "columns": (1, None), "number": (None, None)}
    for name in ("resnet18_cbam", "resnet18_coord", "resnet18_simam"):
        for found in attention_maps(create_model(name, **SMALL), pictures):
            height, width = (side or of for side, of in zip(sides[found.kind], found.size, strict=True))
            assert found.weights.shape[2:] == (height, width)
            assert (found.weights.shape[1] == 1) == (found.kind == "place")
            places, channels = found.places(), found.channels()
            assert places is None or places.shape == (3, *found.size)
            assert channels is None or channels.shape == found.weights.shape[:2]


def test_layers_come_in_the_order_in_which_a_picture_meets_them(pictures):
    maps = attention_maps(create_model("resnet18_cbam_ends", **SMALL), pictures)
    assert [(found.layer, found.kind) for found in maps] == [
        ("attention1.channel", "channel"), ("attention1.spatial", "place"),
        ("layer4.1.channel", "channel"), ("layer4.1.spatial", "place"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [AFF, IAFF])
def test_a_fusion_weighs_branch_and_shortcut(kind, pictures):
    model = trained_a_little(create_model(f"resnet18_{kind.__name__.lower()}", **SMALL))
    factor, (found, *_) = {AFF: 2, IAFF: 1}[kind], attention_maps(model, pictures)
    (x, y), out = watched(model, pictures)[found.layer]
    w = torch.from_numpy(found.weights)
    torch.testing.assert_close(factor * (x * w + y * (1 - w)), out, rtol=1e-4, atol=1e-5)


def test_the_kernels_of_psa_share_every_channel():
    module, x = PSA(64, 64), torch.randn(2, 64, 6, 6)
    shares = module.eval().gate(x)
    assert shares.shape == (2, 64, 1, 1)
    torch.testing.assert_close(shares.unflatten(1, (4, 16)).sum(1), torch.ones(2, 16, 1, 1))


def test_the_net_is_left_as_it_was(pictures):
    model = create_model("resnet18_cbam", **SMALL).train()
    model.layer1.eval()
    before = [module.training for module in model.modules()], {k: v.clone() for k, v in model.state_dict().items()}
    attention_maps(model, pictures)
    assert [module.training for module in model.modules()] == before[0]
    assert all(torch.equal(value, before[1][name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_net_without_attention_has_none_and_another_module_is_refused(pictures):
    plain = create_model("resnet18", **SMALL)
    assert not has_attention(plain)
    assert has_attention(create_model("resnet18_se", **SMALL))
    assert attention_maps(plain, pictures) == []
    with pytest.raises(UserError, match="net of this library: got Linear"):
        attention_maps(nn.Linear(1, 1), pictures)
