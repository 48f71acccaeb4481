"""The drawing of a net says what is known of the net from elsewhere: the publications' sizes and places."""

import pytest
import torch

from fer_lib.models import create_model
from fer_lib.models.describe import count_parameters
from fer_lib.models.diagram import architecture, draw_architecture
from fer_lib.models.resnet import Bottleneck, PreActBlock


def rows(name: str, pixels: int = 44, **options) -> list[tuple]:
    return [(part.name, part.text, part.shape) for part in architecture(create_model(name, **options), pixels)]


def test_zhang_has_cbam_behind_the_first_convolution_and_the_last_stage():
    assert rows("zhang") == [
        ("picture", "", (1, 44, 44)),
        ("stem", "3×3 convolution", (64, 44, 44)),
        ("attention", "CBAM", (64, 44, 44)),
        ("stage 1", "3 × BasicBlock", (64, 44, 44)),
        ("stage 2", "4 × BasicBlock", (128, 22, 22)),
        ("stage 3", "6 × BasicBlock", (256, 11, 11)),
        ("stage 4", "3 × BasicBlock", (512, 6, 6)),
        ("attention", "CBAM", (512, 6, 6)),
        ("pooling", "mean of all places", (512,)),
        ("classifier", "linear, 512 → 7", (7,)),
    ]


def test_li_works_at_24_pixels_with_hybrid_attention_before_the_pooling_of_its_stem():
    parts = architecture(create_model("li", width=16), 48)
    assert [part.name for part in parts[:5]] == ["picture", "resized", "stem", "attention", "maxpool"]
    assert parts[1].shape == (1, 24, 24)
    assert parts[3].text == "HybridAttention"
    stages = [part for part in parts if part.name.startswith("stage")]
    assert [part.shape[1] for part in stages] == [12, 6, 3, 2]
    assert all(part.attention == ("CoordAtt before the sum",) for part in stages)
    assert "batch normalisation + PReLU" in [part.text for part in parts]


def test_hu_samples_at_intervals_in_the_first_block_of_its_second_stage():
    stages = {part.name: part for part in architecture(create_model("hu", width=8), 48)}
    assert stages["stage 2"].text == "4 × Bottleneck"
    assert stages["stage 2"].attention == (
        "SpaceToDepth as the stride, in block 1", "SimAM before the last normalisation", "CoordAtt before the sum",
    )  # fmt: skip
    assert stages["stage 1"].attention == stages["stage 2"].attention[1:]


def test_gu_has_the_imagenet_stem_and_psa_as_its_3x3_convolutions():
    parts = architecture(create_model("gu", layers=(1, 1, 1, 1)), 224)
    assert [(part.text, part.shape) for part in parts[1:3]] == [
        ("7×7 convolution, stride 2", (64, 112, 112)),
        ("3×3 maximum, stride 2", (64, 56, 56)),
    ]
    assert parts[3].attention == ("PSA as the 3×3 convolution",)


@pytest.mark.parametrize(
    ("name", "attention"),
    [("resnet18", set()), ("resnet18_bam", {"BAM"}), ("resnet18_iaff", {"IAFF"}), ("resnet34_se", {"SE"})],
)
def test_every_attention_module_of_the_net_is_drawn_and_no_other(name, attention):
    parts = architecture(create_model(name), 32)
    drawn = {part.text for part in parts if part.is_attention}
    drawn |= {text.split()[0] for part in parts for text in part.attention}
    assert drawn == attention


@pytest.mark.parametrize("name", ["hu", "zhang", "resnet18_bam", "senet18"])
def test_parts_account_for_the_weights(name):
    net = create_model(name)
    skipped = count_parameters(net.bn1) if hasattr(net, "bn1") else 0
    assert sum(part.parameters for part in architecture(net, 32)) == count_parameters(net) - skipped


def test_other_nets_are_drawn_in_fewer_words():
    assert ("features", "13 convolutions", (512, 1, 1)) in rows("vgg16_bn", 32)
    assert rows("microexpnet")[0] == ("picture", "", (1, 84, 84))  # the one size it takes
    assert ("stage 1", f"2 × {PreActBlock.__name__}", (64, 32, 32)) in rows("senet18", 32)


def test_net_is_left_as_it_was():
    net = create_model("resnet18_cbam_ends", width=16)
    net.train()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    architecture(net)
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks for module in net.modules())
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_the_drawing_holds_every_part():
    net = create_model("resnet50_psa", layers=(1, 2, 1, 1))
    figure = draw_architecture(net, 48, "a net of mine")
    shown = [text.get_text() for text in figure.axes[0].texts]
    for part in architecture(net, 48):
        assert part.name in shown
        assert part.size in shown
    assert shown.count("PSA as the 3×3 convolution") == 4
    assert figure.axes[0].get_title() == f"a net of mine: {count_parameters(net) / 1e6:.1f} million weights"
    assert f"2 × {Bottleneck.__name__}" in shown
    width, _ = figure.get_size_inches()
    assert width <= 5, "wider than a phone can show at a readable size"
    right = max(text.get_window_extent().x1 for text in figure.axes[0].texts)
    assert right <= figure.bbox.x1 + 1
