"""Our blocks, nets and losses under the names and argument lists of the golden cases."""

from torch import Tensor, nn

from fer_lib import losses
from fer_lib.models import attention, convolution, create_model, fusion, small
from fer_lib.models.resnet import BasicBlock, Bottleneck, PreActBlock, Slots


class Gate(nn.Module):
    """The weights of an SE block alone."""

    def __init__(self, block: attention.SE):
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.block.gate(x)


class OnLogits(nn.Module):
    """A joint loss called as (logits, features, labels)."""

    def __init__(self, loss: losses.Joint):
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        return self.loss(logits, labels, features)


def net(name, **options):
    return lambda num_classes: create_model(name, num_classes=num_classes, in_channels=3, **options)


def block(kind, in_channels, planes, stride, **slots):
    return kind(in_channels, planes, stride, Slots(**slots))


def epsa_block(in_channels, planes, stride, groups):
    def psa(channels, stride):
        return convolution.PSA(channels, channels, stride, groups=groups)

    return block(Bottleneck, in_channels, planes, stride, convolution=psa)


def coord_block(in_channels, planes, stride, reduction):
    return block(
        BasicBlock, in_channels, planes, stride, branch=lambda channels: attention.CoordAtt(channels, reduction)
    )


def preact_block(in_channels, planes, stride):
    return block(PreActBlock, in_channels, planes, stride, branch=lambda channels: attention.SE(channels, bias=True))


def same_width(make):
    """A block whose output has as many channels as its input."""

    def factory(in_channels, out_channels, **options):
        assert in_channels == out_channels
        return make(in_channels, **options)

    return factory


def focal_li(alpha, gamma, num_classes, soft_targets, reduction):
    return losses.FocalLi(num_classes, alpha, gamma, reduction)


def center(num_classes, feat_dim):
    return losses.CenterTerm(num_classes, feat_dim, reduction="mean", center_update="gradient")


def island(num_classes, feat_dim, lambda1):
    return losses.IslandTerm(num_classes, feat_dim, lambda1, reduction="half_sum", center_update="gradient")


def joint(num_classes, feat_dim, lambda1, weight):
    return OnLogits(losses.Joint(num_classes, island(num_classes, feat_dim, lambda1), weight))


def lbcnn_net(in_channels, channels, num_weights, full, depth, sparsity):
    return small.LBCNN(10, in_channels, channels, num_weights, depth, full, density=sparsity, pixels=28)


IMAGENET = {"stem": "imagenet"}

FACTORIES = {
    "acmix": convolution.ACmix,
    "aff": fusion.AFF,
    "iaff": fusion.IAFF,
    "ms_cam": fusion.MSCAM,
    "bam": attention.BAM,
    "cbam": attention.CBAM,
    "cbam_plain": lambda **options: attention.CBAM(plain=True, **options),
    "cbam_channel": attention.ChannelAttention,
    "cbam_spatial": attention.SpatialAttention,
    "cbam_basic_block": lambda **place: block(BasicBlock, **place, branch=attention.CBAM),
    "cbam_bottleneck": lambda **place: block(Bottleneck, **place, branch=attention.CBAM),
    "coordatt": same_width(attention.CoordAtt),
    "ca_basic_block_001": coord_block,
    "eca": attention.ECA,
    "hybrid_attention_001": attention.HybridAttention,
    "psa": convolution.PSA,
    "epsa_block": epsa_block,
    "se": attention.SE,
    "se_bias": lambda **options: attention.SE(bias=True, **options),
    "se_weight": lambda **options: Gate(attention.SE(bias=True, **options)),
    "se_basic_block": lambda **place: block(BasicBlock, **place, branch=attention.SE),
    "senet_preact_block": preact_block,
    "simam": attention.SimAM,
    "space_to_depth": lambda block_size: convolution.SpaceToDepth(),
    "spd_focus": convolution.Focus,
    "spd_bottleneck": lambda in_channels, planes: Bottleneck(in_channels, planes, 2, Slots(), True),
    "lbcnn_block": lambda channels, num_weights, sparsity: small.LBCBlock(channels, num_weights, sparsity),
    "lbcnn_net": lbcnn_net,
    "microexpnet": small.MicroExpNet,
    "center_loss": center,
    "island_loss": island,
    "joint_loss_003": joint,
    "focal_loss_001": focal_li,
    "focal_loss_standard": losses.Focal,
    "net_resnet18": net("resnet18", **IMAGENET),
    "net_resnet34": net("resnet34", **IMAGENET),
    "net_resnet50": net("resnet50", **IMAGENET),
    "net_resnet18_fer": net("resnet18", pool=4, dropout=0.5),
    "net_cbam_resnet34": net("resnet34_cbam", **IMAGENET),
    "net_se_resnet18": net("resnet18_se", **IMAGENET),
    "net_eca_resnet18": net("resnet18_eca", **IMAGENET, eca={"kernel_size": 3}),
    "net_epsanet50": net("resnet50_psa", **IMAGENET),
    "net_spd_resnet50": net("resnet50_spd"),
    "net_senet18": net("senet18"),
    "net_vgg19_fer": net("vgg19_bn"),
    "net_densenet121": net("densenet121", **IMAGENET),
    "net_mobilenetv2": net("mobilenetv2", **IMAGENET),
    "net_inceptionv4": net("inceptionv4"),
}
