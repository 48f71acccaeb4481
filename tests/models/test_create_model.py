"""Names, options and places of blocks."""

import inspect
import subprocess
import sys

import pytest
import torch
from msgspec import structs
from torch import nn

from fer_lib.errors import UserError
from fer_lib.models import attention, convolution, create_model, fusion, list_models
from fer_lib.models.classical import build_classical
from fer_lib.models.grammar import MODULES, build_resnet
from fer_lib.models.registry import BUILDERS
from fer_lib.models.resnet import BasicBlock, Bottleneck, PreActBlock, Slots
from fer_lib.nets import BLOCKS, STEMS, check_net, known_net
from fer_lib.schema import Part


def build(name, **options):
    with torch.device("meta"):
        return create_model(name, **options)


def classes_in(module):
    return [type(m) for m in module.modules()]


def test_lists_what_it_can_build():
    names = list_models()
    assert len(names) == len(set(names)) > 40
    for name in ("resnet18", "resnet34", "resnet50", "li", "hu", "gu", "zhang", "vgg19_bn", "lbcnn"):
        assert name in names
    assert "hog_svm" in list_models(classical=True)
    assert "hog_svm" not in names
    assert list_models("resnet34*") == ["resnet34", "resnet34_cbam", "resnet34_cbam_ends"]
    assert list_models("hog*") == []
    assert list_models("hog*", classical=True) == ["hog_svm", "hog_knn", "hog_pca_svm"]


BUILT = [*list_models(), *list_models(classical=True), "resnet50_hybrid", "resnet50_channel"]


@pytest.mark.parametrize("name", BUILT)
def test_options_and_defaults_are_said_as_they_are_built(name):
    """nets.py says without PyTorch what the builders take: the same options with the same defaults, and sizes."""
    known, fitted = known_net(name), name in list_models(classical=True)
    build = BUILDERS.get(name, build_classical if fitted else build_resnet)
    places = [build] if name not in ("hu", "gu", "zhang") else [build_resnet, build]
    expected = {}
    for place in places:
        expected |= {key: p.default for key, p in inspect.signature(place).parameters.items()}
    ignored = {"components": "_pca" not in name, "dual": not name.endswith("_svm")} if fitted else {}
    named = (key for key, unused in ignored.items() if unused)
    for key in ("name", "num_classes", "in_channels", "options", "block_options", *named):
        expected.pop(key, None)
    assert structs.asdict(known.options()) == expected
    if not fitted:
        with torch.device("meta"):
            net = create_model(name)
        assert check_net(name, {}).only == (net.input_size if net.fixed_size else None)
        assert check_net(name, {}).least == net.min_size


@pytest.mark.parametrize("block", [block for block, (_, options) in BLOCKS.items() if options is not Part])
def test_options_of_blocks_are_those_of_their_classes(block):
    parameters = inspect.signature(MODULES[block]).parameters
    expected = {key: p.default for key, p in parameters.items()}
    for key in ("channels", "in_channels", "out_channels", "stride"):
        expected.pop(key, None)
    assert structs.asdict(BLOCKS[block][1]()) == expected


BLOCK_CLASSES = {
    "se": attention.SE,
    "eca": attention.ECA,
    "channel": attention.ChannelAttention,
    "cbam": attention.CBAM,
    "coord": attention.CoordAtt,
    "hybrid": attention.HybridAttention,
    "mscam": fusion.MSCAM,
    "simam": attention.SimAM,
    "psa": convolution.PSA,
    "acmix": convolution.ACmix,
    "aff": fusion.AFF,
    "iaff": fusion.IAFF,
}


@pytest.mark.parametrize("token", BLOCK_CLASSES)
def test_every_residual_block_has_its_attention_block(token):
    net = build(f"resnet50_{token}")
    blocks = [m for m in net.modules() if isinstance(m, Bottleneck)]
    assert len(blocks) == 16
    assert all(classes_in(b).count(BLOCK_CLASSES[token]) == 1 for b in blocks)
    if token not in ("psa", "acmix"):
        blocks = [m for m in build(f"resnet18_{token}").modules() if isinstance(m, BasicBlock)]
        assert all(classes_in(b).count(BLOCK_CLASSES[token]) == 1 for b in blocks)


def test_bam_follows_the_first_three_stages():
    net = build("resnet50_bam")
    stages = [net.layer1, net.layer2, net.layer3, net.layer4]
    assert [isinstance(stage[-1], attention.BAM) for stage in stages] == [True, True, True, False]
    assert classes_in(net).count(attention.BAM) == 3


def test_ends_stand_after_the_stem_and_after_the_last_stage():
    net = build("zhang")
    assert classes_in(net).count(attention.CBAM) == 2
    assert net.attention1.channel.fc1.in_channels == 64
    assert net.layer4[-1].channel.fc1.in_channels == 512
    assert isinstance(net.maxpool, nn.Identity)
    assert net.dropout.p == 0.5
    plain, ends = build("resnet34"), build("resnet34_cbam_ends")
    extra = set(ends.state_dict()) - set(plain.state_dict())
    assert extra
    assert all(key.startswith(("attention1.", "layer4.3.")) for key in extra)


def test_simam_stands_between_convolution_and_normalisation():
    block = build("resnet18_simam").layer1[0]
    assert isinstance(block.inner, attention.SimAM)
    assert isinstance(block.attention, nn.Identity)


def test_several_blocks_stand_in_one_net():
    block = build("resnet50_coord_simam").layer1[0]
    assert isinstance(block.attention, attention.CoordAtt)
    assert isinstance(block.inner, attention.SimAM)
    both = build("resnet18_se_coord").layer1[0].attention
    assert [type(m) for m in both] == [attention.SE, attention.CoordAtt]


def test_sc_replaces_the_first_downsampling_only():
    small = build("resnet50_sc")
    assert classes_in(small).count(convolution.SpaceToDepth) == 1
    assert isinstance(small.layer2[0].space_to_depth, convolution.SpaceToDepth)
    large = build("resnet50_sc", stem="imagenet")
    assert classes_in(large).count(convolution.SpaceToDepth) == 1
    assert isinstance(large.conv1, convolution.Focus)
    assert isinstance(large.maxpool, nn.MaxPool2d)
    every = build("resnet50_spd")
    assert classes_in(every).count(convolution.SpaceToDepth) == 4


def test_hu_is_its_tables_rows():
    assert build("hu").state_dict().keys() == build("resnet50_sc_coord_simam").state_dict().keys()
    assert build("hu", ca="", sc=False).state_dict().keys() == build("resnet50_simam").state_dict().keys()
    assert attention.SE in classes_in(build("hu", ca="se"))
    assert attention.ChannelAttention in classes_in(build("hu", ca="channel"))


def test_densenet169_has_the_published_number_of_parameters():
    with torch.device("meta"):
        net = create_model("densenet169", num_classes=1000, in_channels=3, stem="imagenet")
    assert sum(weight.numel() for weight in net.parameters()) == 14_149_480  # torchvision's table of weights


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("hu", {"ca": "coord", "se": {"reduction": 8}}, "options of se are for ca = 'se'"),
        ("hog_svm", {"components": 9}, "unknown key 'components'"),
        ("hog_pca_svm", {"component": 9}, "did you mean components"),
        ("hog_knn", {"dual": True}, "unknown key 'dual'"),
        ("resnet50_sc_spd", {}, "two blocks both want to be the downsampling"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(name, options, words):
    with pytest.raises(UserError, match=words):
        create_model(name, **options)
    assert build("hu", ca="se", se={"reduction": 8})


def test_li_works_at_24_pixels_whatever_it_is_given():
    torch.manual_seed(0)
    net = create_model("li", width=16).eval()
    x = torch.randn(2, 1, 48, 48)
    halved = nn.functional.avg_pool2d(x, 2)
    torch.testing.assert_close(net(x), net(halved))
    assert classes_in(net).count(attention.HybridAttention) == 1
    assert classes_in(net).count(attention.CoordAtt) == 8
    assert classes_in(net).count(nn.PReLU) == 1
    assert net.dropout.p == 0.3
    deep = build("li", layers=(3, 4, 6, 3), norm_prelu_after=(1, 2, 3, 4))
    assert classes_in(deep).count(attention.CoordAtt) == 16
    assert classes_in(deep).count(nn.PReLU) == 4


def test_each_module_of_li_can_be_left_out_and_nothing_else_goes_with_it():
    whole = set(build("li", width=16).state_dict())
    without_hybrid = set(build("li", width=16, hybrid=False).state_dict())
    without_coord = set(build("li", width=16, coord=False).state_dict())
    plain = build("li", width=16, hybrid=False, coord=False)
    assert attention.HybridAttention not in classes_in(plain)
    assert attention.CoordAtt not in classes_in(plain)
    assert set(plain.state_dict()) == without_hybrid & without_coord
    assert whole == without_hybrid | without_coord
    assert plain.state_dict()["layer4.1.conv2.weight"].shape == (128, 128, 3, 3)


def test_options_change_what_they_name():
    assert build("resnet18", width=16).num_features == 128
    assert len(build("resnet18", layers=[1, 1, 3, 1]).layer3) == 3
    assert build("resnet50_psa", psa={"groups": (2, 4, 8, 16)}).layer1[0].conv2.branches[0].groups == 2
    assert build("resnet50_coord_simam", coord={"reduction": 16}).layer4[0].attention.conv1.out_channels == 128
    assert build("resnet50_aff").layer1[0].fusion.local_att[0].out_channels == 256 // 16
    assert build("resnet18_aff").layer1[0].fusion.local_att[0].out_channels == 64 // 4
    assert build("vgg16_bn", head="fc4096").num_features == 4096


@pytest.mark.parametrize("stem", STEMS)
def test_stems_divide_the_picture_as_they_say(stem):
    net = create_model("resnet18", stem=stem, width=16).eval()
    seen = []
    net.layer1.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[2]))
    net(torch.zeros(1, 1, 48, 48))
    assert seen == [{"small": 48, "pooled": 24, "imagenet": 12, "focus": 24, "focus_pooled": 12}[stem]]


def test_pool_reads_the_first_positions_only():
    torch.manual_seed(0)
    net = create_model("resnet18", width=16, pool=4).eval()
    whole = create_model("resnet18", width=16).eval()
    whole.load_state_dict(net.state_dict())
    square = torch.randn(1, 1, 32, 32)
    torch.testing.assert_close(net(square), whole(square))
    crop = torch.randn(1, 1, 44, 44)
    assert not torch.allclose(net(crop), whole(crop))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("scale", [0.0, 0.25])
def test_branch_scale_is_what_a_branch_starts_with(name, scale):
    """The zero start of torchvision's own nets leaves the shortcuts alone; a quarter leaves a quarter."""
    torch.manual_seed(0)
    net = create_model(name, width=16, branch_scale=scale).train()
    sizes = []
    for block in (*net.layer1, *net.layer2, *net.layer3, *net.layer4):
        block.attention.register_forward_hook(lambda module, inputs, out: sizes.append(out.square().mean().sqrt()))
    net(torch.randn(16, 1, 32, 32))
    assert len(sizes) == {"resnet18": 8, "resnet50": 16}[name]
    torch.testing.assert_close(torch.stack(sizes), torch.full((len(sizes),), scale), rtol=1e-3, atol=0)
    torch.manual_seed(0)
    plain = create_model(name, width=16)
    changed = [k for k, v in net.named_parameters() if not torch.equal(v, plain.get_parameter(k))]
    assert changed == [
        k for k, _ in net.named_parameters() if k.endswith(f"{'bn2' if name == 'resnet18' else 'bn3'}.weight")
    ]
    with pytest.raises(ValueError, match=r"branch_scale = -1: expected a number >= 0"):
        create_model(name, branch_scale=-1)


def test_dropout_acts_on_the_features():
    net = create_model("resnet18", width=16, dropout=0.5).train()
    features = torch.ones(1, net.num_features)
    torch.manual_seed(0)
    first, second = net.classify(features), net.classify(features)
    assert not torch.equal(first, second)
    assert torch.equal(net.eval().classify(features), net.classify(features))


def test_lbcnn_keeps_its_binary_filters():
    torch.manual_seed(0)
    net = create_model("lbcnn", channels=16, num_weights=64, depth=2, density=0.25, pixels=44)
    fixed = net.blocks[0].conv_lbp.weight
    assert set(fixed.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert (fixed != 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert not any("conv_lbp" in name for name, _ in net.named_parameters())
    assert net(torch.zeros(2, 1, 44, 44)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet51", {}, "unknown model 'resnet51': did you mean"),
        ("resnet018", {}, "unknown model 'resnet018': did you mean"),
        ("resnet\u0663\u0664", {}, "unknown model 'resnet\u0663\u0664'"),
        ("resnet50_cbm", {}, "unknown block in model 'resnet50_cbm': 'cbm': did you mean cbam"),
        ("resnet50_ends", {}, "_ends"),
        ("resnet50_psa_ends", {}, "_ends"),
        ("resnet50_psa_acmix", {}, "both want to be the convolution"),
        ("resnet18_psa", {}, "use resnet50"),
        ("resnet18_sc", {}, "use resnet50"),
        ("resnet50_sc", {"stem": "focus"}, "it replaces the stem's own stride"),
        ("resnet50_spd", {"stem": "imagenet"}, "it replaces the stem's own stride"),
        ("vgg", {}, "unknown model 'vgg': did you mean"),
        ("nonsense", {}, "unknown model 'nonsense'"),
        ("resnet18", {"num_classes": True}, "num_classes must be an integer of at least 1: got True"),
        ("resnet18", {"in_channels": 0}, "in_channels"),
        ("resnet18", {"width": 0}, "width"),
        ("resnet18", {"widht": 16}, "model resnet18: unknown key 'widht': did you mean width"),
        ("resnet18", {"stem": "large"}, "model resnet18: stem: unknown value 'large': choose from: focus"),
        ("resnet18", {"layers": (1, 1, 1)}, r"layers = \(1, 1, 1\): expected a list of length 4"),
        ("resnet18", {"layers": (1, 1, 1, 0)}, r"layers\[3\]"),
        ("resnet18", {"layers": 2}, "layers = 2: expected a list"),
        ("resnet18", {"pool": 0}, "pool = 0: expected a whole number >= 1"),
        ("resnet18", {"dropout": 1.0}, r"dropout = 1.0: expected a number < 1.0"),
        ("resnet18_cbam", {"cbam": {"reductio": 8}}, "block cbam: unknown key 'reductio': did you mean reduction"),
        ("resnet18_cbam", {"cbam": 8}, "block cbam: expected a table, got a whole number"),
        ("resnet18_cbam", {"cbam": {"kernel_size": 6}}, "block cbam: kernel_size: unknown value '6'"),
        ("resnet18_se", {"se": {"reduction": 0}}, "block se: reduction = 0: expected a whole number >= 1"),
        ("resnet18_coord", {"coord": {"reduction": 0}}, "block coord: reduction = 0"),
        ("resnet18_eca", {"eca": {"kernel_size": 4}}, "block eca: kernel_size.*4"),
        ("resnet50_acmix", {"acmix": {"kernel_att": 6}}, "block acmix: kernel_att.*6"),
        ("resnet50_acmix", {"acmix": {"heads": 0}}, "block acmix: heads = 0"),
        ("resnet18_cbam", {"width": 8}, "8 channels must be at least cbam's reduction of 16"),
        ("resnet50_psa", {"width": 32}, "psa needs a width that is a multiple of 64: got 32"),
        ("hu", {"ca": "cbam"}, "ca: unknown value 'cbam'"),
        ("li", {"norm_prelu_after": (5,)}, "norm_prelu_after"),
        ("vgg16_bn", {"head": "large"}, "head: unknown value 'large'"),
        ("vgg16_bn", {"width": 16}, "model vgg16_bn: unknown key 'width'"),
        ("densenet169", {"stem": "focus"}, "stem: unknown value 'focus'"),
        ("densenet121", {"stem": "focus"}, "stem: unknown value 'focus'"),
        ("resnet50_sc", {"sc": {"kernel_size": 3}}, "block sc: unknown key 'kernel_size': there are none"),
        ("lbcnn", {"density": 0.0}, "density"),
        ("lbcnn", {"depth": 0}, "depth = 0: expected a whole number >= 1"),
        ("microexpnet", {"num_classes": -1}, "num_classes"),
    ],
)
def test_wrong_arguments_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        create_model(name, **options)


@pytest.mark.parametrize("slots", [Slots(inner=attention.SimAM), Slots(fusion=fusion.AFF)])
def test_a_block_refuses_what_it_has_no_place_for(slots):
    with pytest.raises(ValueError, match="a pre-activation block has a place for a branch's module only"):
        PreActBlock(8, 8, 1, slots)


@pytest.mark.heavy
def test_trains_without_the_packages_a_bare_machine_lacks():
    """Only torch, torchvision, numpy and safetensors may be imported on the way to a net."""
    code = """
import sys
for name in ("timm", "skimage", "sklearn", "scipy", "onnx", "onnxscript", "pandas", "matplotlib"):
    sys.modules[name] = None
from fer_lib.models import create_model, list_models
from fer_lib.losses import create_loss
import torch
with torch.device("meta"):
    for name in list_models():
        try:
            create_model(name)
        except ValueError as error:
            assert name == "inceptionv4" and "timm is not installed" in str(error), error
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
