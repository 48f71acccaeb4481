"""Names, options and places of blocks."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from fer_lib.claims import list_claims
from fer_lib.models import attention, convolution, create_model, fusion, list_models
from fer_lib.models.registry import paper_rows
from fer_lib.models.resnet import STEMS, BasicBlock, Bottleneck
from fer_lib.recipe import list_recipes


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


def test_every_row_of_the_papers_tables_has_a_model():
    rows = " ".join(paper_rows(name) for name in [*list_models(), *list_models(classical=True)])
    for table in ("li Table 2", "hu Table 1", "hu Table 2", "hu Table 3", "gu Table 3", "gu Table 5"):
        assert table in rows
    assert "zhang Table II" in rows
    assert "zhang Table III" in rows


def test_rows_name_the_papers_whose_recipes_use_the_model():
    recipes = list_recipes()
    judged = [claim for claim in list_claims() if claim.kind == "level" and claim.recipe in recipes]
    assert len(judged) > 30
    for claim in judged:
        assert claim.paper in paper_rows(recipes[claim.recipe].model), f"{claim.id}: {recipes[claim.recipe].model}"


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
    with pytest.raises(ValueError, match="branch_scale must be 0 or more: got -1"):
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
        ("resnet50_cbm", {}, "unknown block in model 'resnet50_cbm': 'cbm': did you mean cbam"),
        ("resnet50_ends", {}, "_ends"),
        ("resnet50_psa_ends", {}, "_ends"),
        ("resnet50_psa_acmix", {}, "both want to be the convolution"),
        ("resnet18_psa", {}, "use resnet50"),
        ("resnet18_sc", {}, "use resnet50"),
        ("resnet50_sc", {"stem": "focus"}, "sc replaces"),
        ("resnet50_spd", {"stem": "imagenet"}, "spd brings its own stem"),
        ("vgg", {}, "unknown model 'vgg': did you mean"),
        ("nonsense", {}, "unknown model 'nonsense'"),
        ("resnet18", {"num_classes": 0}, "num_classes must be an integer of at least 1: got 0"),
        ("resnet18", {"in_channels": 0}, "in_channels"),
        ("resnet18", {"width": 0}, "width"),
        ("resnet18", {"widht": 16}, "unknown option of model 'resnet18': 'widht': did you mean width"),
        ("resnet18", {"stem": "large"}, "unknown stem 'large'"),
        ("resnet18", {"layers": (1, 1, 1)}, "layers must be four"),
        ("resnet18", {"layers": (1, 1, 1, 0)}, r"layers\[3\]"),
        ("resnet18", {"layers": 2}, "layers must be four"),
        ("resnet18", {"pool": 0}, "pool must be an integer of at least 1: got 0"),
        ("resnet18", {"dropout": 1.0}, r"dropout must lie in \[0, 1\)"),
        ("resnet18_cbam", {"cbam": {"reductio": 8}}, "argument of block 'cbam'.*did you mean reduction"),
        ("resnet18_cbam", {"cbam": 8}, "cbam must be a dictionary of that block's arguments: got 8"),
        ("resnet18_cbam", {"cbam": {"kernel_size": 6}}, "spatial attention: kernel_size must be odd: got 6"),
        ("resnet18_se", {"se": {"reduction": 0}}, "SE: reduction must be an integer of at least 1: got 0"),
        ("resnet18_coord", {"coord": {"reduction": 0}}, "coordinate attention: reduction"),
        ("resnet18_eca", {"eca": {"kernel_size": 4}}, "ECA: kernel_size must be odd: got 4"),
        ("resnet50_acmix", {"acmix": {"kernel_att": 6}}, "ACmix: kernel_att must be odd: got 6"),
        ("resnet50_acmix", {"acmix": {"heads": 0}}, "ACmix: heads"),
        ("resnet18_cbam", {"width": 8}, "channels must be at least reduction"),
        ("resnet50_psa", {"width": 32}, "PSA: out_channels"),
        ("hu", {"ca": "cbam"}, "ca must be one of"),
        ("li", {"norm_prelu_after": (5,)}, "norm_prelu_after"),
        ("vgg16_bn", {"head": "large"}, "unknown head 'large'"),
        ("vgg16_bn", {"width": 16}, "option of model 'vgg16_bn'"),
        ("densenet121", {"stem": "focus"}, "unknown stem"),
        ("lbcnn", {"density": 0.0}, "density"),
        ("lbcnn", {"depth": 0}, "depth must be an integer of at least 1: got 0"),
        ("microexpnet", {"num_classes": -1}, "num_classes"),
    ],
)
def test_wrong_arguments_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        create_model(name, **options)


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
            assert name == "inceptionv4" and "needs timm" in str(error), error
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
