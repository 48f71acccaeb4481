"""What people who know timm, torchvision and torch.fx expect of a net."""

import pytest
import timm
import torch
from PIL import Image
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from fer_lib.checkpoints import load_net, read_checkpoint
from fer_lib.errors import UserError
from fer_lib.models import attn_layer, create_model, list_models, register_block
from fer_lib.models.grammar import MODULES
from fer_lib.models.registry import BUILDERS
from fer_lib.nets import BLOCKS, STUDIED
from fer_lib.predict import Predictor

SHIPPED = "narrow_resnet18"
SHORT = {"layers": (1, 1, 1, 1)}
SMALL = {"width": 16, **SHORT}


@pytest.fixture(scope="module")
def x():
    return torch.randn(3, 1, 40, 40, generator=torch.Generator().manual_seed(0))


def test_names_and_nets_of_trained_weights(x):
    assert SHIPPED in list_models(pretrained=True)
    checkpoint = read_checkpoint(SHIPPED)
    net = create_model(SHIPPED, pretrained=True)
    assert not net.training
    assert torch.equal(net(x), load_net(checkpoint)(x))
    config = net.pretrained_cfg
    assert config["label_names"] == checkpoint.classes
    assert config["input_size"] == (1, checkpoint.view.resize, checkpoint.view.resize)
    assert round(48 * config["crop_pct"]) == checkpoint.view.size
    assert create_model("resnet18", **SMALL).pretrained_cfg == {}


def test_trained_weights_take_colours_and_other_classes(x):
    grey, rgb = create_model(SHIPPED, pretrained=True), create_model(SHIPPED, in_chans=3, pretrained=True)
    torch.testing.assert_close(rgb(x.repeat(1, 3, 1, 1)), grey(x))
    other = create_model(SHIPPED, num_classes=4, pretrained=True)
    assert other(x).shape == (3, 4)
    assert torch.equal(other.embed(x), grey.embed(x))


def test_what_has_no_trained_weights_is_refused():
    with pytest.raises(UserError, match=f"unknown weight file 'resnet18': did you mean {SHIPPED}"):
        create_model("resnet18", pretrained=True)
    with pytest.raises(UserError, match="its options are those of its weights; leave out width"):
        create_model(SHIPPED, pretrained=True, width=8)


NETS = {
    "resnet18_cbam": SMALL,
    "resnet50_sc_coord_simam": SMALL,
    "li": {"layers": (1, 1, 1, 1), "width": 16},
    "senet18": {"width": 16},
    "vgg16_bn": {},
    "mobilenetv2": {},
    "microexpnet": {},
    "lbcnn": {"channels": 8, "num_weights": 8, "depth": 2, "full": 16},
    "parallel_cnn": {},
}


@pytest.fixture(scope="module", params=NETS)
def net(request):
    torch.manual_seed(0)
    return create_model(request.param, in_chans=1, **NETS[request.param]).eval()


@torch.no_grad()
def test_features_head_and_classifier(net):
    side = net.input_size or 48
    x = torch.randn(2, 1, side, side)
    maps = net.forward_features(x)
    assert maps.dim() == 4
    assert torch.equal(net.forward_head(maps), net(x))
    features = net.forward_head(maps, pre_logits=True)
    assert features.shape == (2, net.num_features)
    assert isinstance(net.get_classifier(), nn.Linear)
    torch.testing.assert_close(net.get_classifier()(features), net(x))


@torch.no_grad()
def test_another_number_of_classes_or_none(net):
    side = net.input_size or 48
    x = torch.randn(2, 1, side, side)
    before, old = net.embed(x), net.num_classes
    net.reset_classifier(3)
    assert net(x).shape == (2, net.num_classes) == (2, 3)
    net.reset_classifier(0)
    assert torch.equal(net(x), before)
    assert net.num_classes == 0
    net.reset_classifier(old)
    assert net(x).shape == (2, old)
    with pytest.raises(UserError, match="num_classes must be an integer of at least 0"):
        net.reset_classifier(-1)


def test_a_net_without_a_classifier():
    net = create_model("resnet18", num_classes=0, **SMALL).eval()
    assert net(torch.zeros(2, 1, 48, 48)).shape == (2, net.num_features) == (2, 128)


@torch.no_grad()
def test_torch_fx_takes_a_net_apart(net):
    side = net.input_size or 48
    x = torch.randn(2, 1, side, side)
    seen = []
    last = next(name for name, module in net.named_modules() if module is net.last_map)
    hook = net.last_map.register_forward_hook(lambda module, given, output: seen.append(output))
    logits = net(x)
    hook.remove()
    traced = create_feature_extractor(net, {last: "map"})
    assert torch.equal(traced(x)["map"], seen[0])
    whole = torch.fx.symbolic_trace(net)
    torch.testing.assert_close(whole(x), logits)


@torch.no_grad()
@pytest.mark.parametrize("block", BLOCKS)
def test_torch_fx_takes_every_block(block):
    options = SMALL | ({"width": 64} if block == "psa" else {})  # a multiple of 64, as its shared layer asks
    net = create_model(f"resnet50_{block}", **options).eval()
    x = torch.randn(2, 1, 32, 32)
    traced = create_feature_extractor(net, {"layer4": "map"})
    torch.testing.assert_close(traced(x)["map"], net.forward_features(x))


@torch.no_grad()
@pytest.mark.parametrize("name", [*STUDIED, *sorted(set(BUILDERS) - set(STUDIED))])
def test_torch_fx_takes_every_net(name):
    """Of shapes alone, so that the largest net costs nothing: whatever the number of pictures and their size."""
    with torch.device("meta"):
        net = create_model(name, **SHORT if name.startswith("resnet") else {}).eval()
        traced = torch.fx.symbolic_trace(net)
        least = net.input_size or net.size_multiple * (64 // net.size_multiple)
        for count, side in ((1, least), (3, least if net.fixed_size else 2 * least)):
            assert traced(torch.zeros(count, 1, side, side)).shape == (count, 7)


def test_maps_of_every_resolution():
    net = create_model("resnet18", features_only=True, **SMALL)
    assert net.feature_info.channels() == [16, 32, 64, 128]
    assert net.feature_info.reduction() == [1, 2, 4, 8]
    assert net.feature_info.module_name() == ["layer1", "layer2", "layer3", "layer4"]
    maps = net(torch.zeros(2, 1, 48, 48))
    assert [tuple(found.shape) for found in maps] == [(2, 16, 48, 48), (2, 32, 24, 24), (2, 64, 12, 12), (2, 128, 6, 6)]
    some = create_model("resnet18", features_only=True, out_indices=(0, -1), **SMALL)
    assert some.feature_info.reduction() == [1, 8]
    turned = create_model("resnet18", features_only=True, out_indices=(3, 1, 1), **SMALL)
    assert (
        turned.feature_info.channels()
        == [found.shape[1] for found in turned(torch.zeros(1, 1, 48, 48))]
        == [128, 32, 32]
    )
    with pytest.raises(UserError, match="there is no map 4: the net has 4"):
        create_model("resnet18", features_only=True, out_indices=(4,), **SMALL)
    imagenet = create_model("resnet18", features_only=True, stem="imagenet", in_chans=3, **SMALL)
    assert imagenet.feature_info.reduction() == [2, 4, 8, 16, 32]  # as timm's


@torch.no_grad()
def test_maps_of_a_trained_net(x):
    whole, maps = create_model(SHIPPED, pretrained=True), create_model(SHIPPED, pretrained=True, features_only=True)
    assert torch.equal(maps(x)[-1], whole.forward_features(x))


@pytest.mark.parametrize("block", ["se", "eca", "channel", "cbam", "coord", "mscam", "simam", "bam"])
def test_our_blocks_in_timms_nets(block):
    net = timm.create_model("resnet10t", block_args={"attn_layer": attn_layer(block)}, num_classes=7, in_chans=1)
    placed = [module for module in net.modules() if isinstance(module, MODULES[block])]
    assert len(placed) == 4
    net(torch.zeros(2, 1, 64, 64)).sum().backward()
    assert all(p.grad is not None for module in placed for p in module.parameters())


def test_options_of_a_block_in_timms_nets():
    make = attn_layer("cbam", reduction=8, plain=True)
    given = make(64, dtype=torch.float64)
    assert given.channel.fc1.weight.shape == (8, 64, 1, 1)
    assert given.channel.fc1.weight.dtype == torch.float64
    with pytest.raises(UserError, match="block cbam: unknown key 'reductio': did you mean reduction"):
        attn_layer("cbam", reductio=8)
    with pytest.raises(UserError, match="unknown block that reweights a map 'psa'"):
        attn_layer("psa")


def test_timms_blocks_in_our_nets():
    register_block(timm.layers.EcaModule, "timmeca")
    try:
        assert create_model("resnet18_timmeca", **SMALL)(torch.zeros(2, 1, 48, 48)).shape == (2, 7)
    finally:
        del BLOCKS["timmeca"], MODULES["timmeca"]


def test_a_predictor_by_name(tmp_path):
    named, best = Predictor(SHIPPED, "cpu"), Predictor(device="cpu")
    Image.new("RGB", (96, 130), "grey").save(tmp_path / "face.png")
    (first,), (second,) = (predictor(tmp_path / "face.png", "one") for predictor in (named, best))
    assert first.probabilities == second.probabilities
    assert repr(named.checkpoint).startswith(f"Checkpoint('{SHIPPED}'")
    assert repr(named) == f"Predictor('{SHIPPED}', 'cpu')"
    assert repr(first) == f"Reading({first.label!r}, {max(first.probabilities.values()):.2f})"
    with pytest.raises(UserError, match="unknown weight file 'nothing'"):
        Predictor("nothing", "cpu")
