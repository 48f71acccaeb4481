"""The four papers' nets: thin configurations of the residual net.

What each paper leaves open, and the reading chosen, is said where it matters. Every option of
:func:`fer_lib.models.grammar.build_resnet` is an option here too.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_lib.models.attention import CoordAtt, HybridAttention
from fer_lib.models.grammar import build_resnet
from fer_lib.models.resnet import BasicBlock, ResNet, Slots
from fer_lib.nets import hu_name


class LiNet(ResNet):
    """A residual net that works at 24 px whatever picture it is given.

    li halves 48 px pictures before the first layer, by a method the paper does not name: bilinear
    interpolation here, which at 48 px is the mean of 2x2 pixels.
    """

    pixels = 24

    def extract(self, x: Tensor) -> Tensor:
        return super().extract(_of_size(x, self.pixels))


@torch.fx.wrap
def _of_size(x: Tensor, pixels: int) -> Tensor:
    if tuple(x.shape[2:]) == (pixels, pixels):
        return x
    return F.interpolate(x, (pixels, pixels), mode="bilinear", align_corners=False)


def li(
    num_classes: int = 7,
    in_channels: int = 1,
    layers: tuple[int, ...] = (2, 2, 2, 2),
    norm_prelu_after: tuple[int, ...] = (4,),
    dropout: float = 0.3,
    width: int = 64,
    hybrid: bool = True,
    coord: bool = True,
) -> ResNet:
    """li's net: hybrid attention after the stem, coordinate attention in every block.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        layers: blocks in each stage. Section 3.3 says two each, section 3 ResNet34's 3, 4, 6, 3.
        norm_prelu_after: stages 1-4 that batch normalisation and a PReLU follow. The abstract puts them
            "after the residual module" and the body does not mention them.
        dropout: before the classifier (section 3.3; section 4.4 says after it).
        width: channels of the first stage; the paper gives none.
        hybrid: whether hybrid attention is there.
        coord: whether coordinate attention is there.
    """
    slots = Slots(
        branch=CoordAtt if coord else None,
        after_stem=(lambda channels: HybridAttention(channels, reduction=min(16, channels))) if hybrid else None,
        after_stage={stage: norm_prelu for stage in norm_prelu_after},
    )
    return LiNet(BasicBlock, layers, num_classes, in_channels, "pooled", width, dropout, slots=slots)


def norm_prelu(channels: int) -> nn.Module:
    """li's addition after a residual stage."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.PReLU())


def hu(
    num_classes: int = 7,
    in_channels: int = 1,
    ca: str = "coord",
    simam: bool = True,
    sc: bool = True,
    **options: Any,
) -> ResNet:
    """hu's net: ResNet50 with channel attention CA, SimAM, and interval sampling SC.

    Only the abstract, figures' titles and tables of the paper are at hand. CA is called "channel attention"
    in the text and "coord" in Table 2; SC replaces "the first downsampling module", read as space-to-depth
    in the place of the first strided convolution. CA and SimAM stand where their official codes put them.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        ca: ``"coord"`` (coordinate attention), ``"se"``, ``"channel"`` (CBAM's channel half) or ``""``.
        simam: whether SimAM is there.
        sc: whether SC is there.
        **options: of :func:`fer_lib.models.grammar.build_resnet`.
    """
    return build_resnet(hu_name(ca, simam, sc), num_classes, in_channels, **options)


def gu(num_classes: int = 7, in_channels: int = 1, stem: str = "imagenet", **options: Any) -> ResNet:
    """gu's net: ResNet50 whose 3x3 convolutions are PSA modules.

    The paper starts from ImageNet weights, hence the ImageNet stem. Its eq. 2 gives groups 2, 4, 8, 16
    (``psa={"groups": (2, 4, 8, 16)}``); the official 1, 4, 8, 16 are the default.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        stem: of :data:`fer_lib.nets.STEMS`.
        **options: of :func:`fer_lib.models.grammar.build_resnet`.
    """
    return build_resnet("resnet50_psa", num_classes, in_channels, stem=stem, **options)


def zhang(num_classes: int = 7, in_channels: int = 1, dropout: float = 0.5, **options: Any) -> ResNet:
    """zhang's net: ResNet34 with one CBAM after the first convolution and one after the last stage.

    The stem and the dropout are those of WuJie1010/Facial-Expression-Recognition.Pytorch, whose training
    set-up the paper's figures match.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        dropout: before the classifier.
        **options: of :func:`fer_lib.models.grammar.build_resnet`.
    """
    return build_resnet("resnet34_cbam_ends", num_classes, in_channels, dropout=dropout, **options)
