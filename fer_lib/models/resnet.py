"""The residual net of the study: one class, whose slots take every attention block at its place.

He et al., CVPR 2016. Layers carry torchvision's names, so that its ImageNet weights fit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn import functional as F

from fer_lib.errors import UserError
from fer_lib.models.base import Classifier
from fer_lib.models.convolution import Focus, SpaceToDepth, conv

Factory = Callable[[int], nn.Module]


@dataclass(frozen=True)
class Slots:
    """Where blocks stand in a residual net; an empty slot leaves the plain net.

    Attributes:
        inner: channels to module, in every residual branch between its last 3x3 convolution and that
            convolution's batch normalisation (SimAM's official place).
        branch: channels to module, at the end of every residual branch, before the sum.
        convolution: (channels, stride) to module, instead of a bottleneck's 3x3 convolution.
        fusion: channels to module of two inputs (residual branch, shortcut), instead of the sum.
        after_stem: channels to module, after the first convolution, its normalisation and activation, and
            before the stem's pooling.
        after_stage: stage 1-4 to factory, after that stage's last block.
        space_to_depth: stages 2-4 whose first block downsamples by space-to-depth (bottlenecks only).
    """

    inner: Factory | None = None
    branch: Factory | None = None
    convolution: Callable[[int, int], nn.Module] | None = None
    fusion: Factory | None = None
    after_stem: Factory | None = None
    after_stage: dict[int, Factory] = field(default_factory=dict)
    space_to_depth: frozenset[int] = frozenset()


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut.

    Args:
        inputs: channels of the input.
        planes: channels of both convolutions.
        stride: of the first.
        slots: what stands in the block.
        space_to_depth: not offered here; the publishers' form is a bottleneck.
    """

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int, slots: Slots, space_to_depth: bool = False):
        super().__init__()
        if slots.convolution is not None or space_to_depth:
            raise UserError("psa, acmix, sc and spd replace convolutions of a bottleneck: use resnet50")
        self.conv1 = conv(inputs, planes, 3, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3)
        self.inner = slots.inner(planes) if slots.inner else nn.Identity()
        self.bn2 = nn.BatchNorm2d(planes)
        self.attention = slots.branch(planes) if slots.branch else nn.Identity()
        self.downsample = _shortcut(inputs, planes, stride)
        self.fusion = slots.fusion(planes) if slots.fusion else None

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.attention(self.bn2(self.inner(self.conv2(out))))
        return F.relu(_join(self.fusion, out, self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the stride is the 3x3's.

    Args:
        inputs: channels of the input.
        planes: channels of the 3x3 convolution; the block puts out four times as many.
        stride: of the block.
        slots: what stands in the block.
        space_to_depth: replace the stride by a space-to-depth behind the 3x3 convolution, whose normalisation
            and activation then see four times the channels (LabSAINT/SPD-Conv, ResNet50-SPD).
    """

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int, slots: Slots, space_to_depth: bool = False):
        super().__init__()
        outputs = planes * self.expansion
        middle = 4 * planes if space_to_depth else planes
        self.conv1 = conv(inputs, planes, 1)
        self.bn1 = nn.BatchNorm2d(planes)
        inner_stride = 1 if space_to_depth else stride
        if slots.convolution is not None:
            self.conv2 = slots.convolution(planes, inner_stride)
        else:
            self.conv2 = conv(planes, planes, 3, inner_stride)
        self.space_to_depth = SpaceToDepth() if space_to_depth else nn.Identity()
        self.inner = slots.inner(middle) if slots.inner else nn.Identity()
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = conv(middle, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.attention = slots.branch(outputs) if slots.branch else nn.Identity()
        self.downsample = _shortcut(inputs, outputs, stride)
        self.fusion = slots.fusion(outputs) if slots.fusion else None

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.inner(self.space_to_depth(self.conv2(out)))))
        out = self.attention(self.bn3(self.conv3(out)))
        return F.relu(_join(self.fusion, out, self.downsample(x)))


class PreActBlock(nn.Module):
    """Pre-activation block: normalisation and ReLU before each of two 3x3 convolutions, nothing after the sum.

    The block of the widely copied "SENet18" (kuangliu/pytorch-cifar, models/senet.py), with its SE in the
    ``branch`` slot. The shortcut is a bare 1x1 convolution of the activated input. Arguments as for
    :class:`BasicBlock`.
    """

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int, slots: Slots, space_to_depth: bool = False):
        super().__init__()
        if slots.inner or slots.convolution or slots.fusion or space_to_depth:
            raise UserError("a pre-activation block has a place for a branch's module only")
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, planes, 3, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3)
        self.downsample = None if stride == 1 and inputs == planes else conv(inputs, planes, 1, stride)
        self.attention = slots.branch(planes) if slots.branch else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(out)
        out = self.conv2(F.relu(self.bn2(self.conv1(out))))
        return self.attention(out) + shortcut


def _join(fusion: nn.Module | None, branch: Tensor, shortcut: Tensor) -> Tensor:
    return branch + shortcut if fusion is None else fusion(branch, shortcut)


class ResNet(Classifier):
    """A residual net of four stages, whose options :func:`fer_lib.nets.check_net` has passed.

    Args:
        block: kind of block.
        layers: number of blocks in each of the four stages.
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        stem: one of :data:`fer_lib.nets.STEMS`.
        width: channels of the stem and of the first stage's 3x3 convolutions; each later stage doubles them.
        dropout: probability of dropping a feature before the classifier.
        pool: ``None`` to average the whole last map; k to average its first k x k positions only, as
            ``avg_pool2d(4)`` of WuJie1010/Facial-Expression-Recognition.Pytorch does with the 6x6 map of a
            44 px picture.
        slots: attention blocks and their places.
        branch_scale: weight at the start of the last normalisation of every residual branch, 1 as published. An
            attention module there scales the branch besides, by the gates it starts with (about 0.5 for each
            sigmoid). 0 is torchvision's ``zero_init_residual``.
    """

    levels = ("attention1", "layer1", "layer2", "layer3", "layer4")
    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck] | type[PreActBlock],
        layers: Sequence[int],
        num_classes: int = 7,
        in_channels: int = 1,
        stem: str = "small",
        width: int = 64,
        dropout: float = 0.0,
        pool: int | None = None,
        slots: Slots | None = None,
        branch_scale: float = 1.0,
    ):
        slots = slots or Slots()
        super().__init__(num_classes, in_channels, 8 * width * block.expansion)
        self.pool = pool
        self._build_stem(stem, in_channels, width)
        self.attention1 = slots.after_stem(width) if slots.after_stem else nn.Identity()
        # Every space-to-depth halves an even map, as do the plain strides before it.
        self.size_multiple = 2 ** (max(slots.space_to_depth, default=1) - 1)
        if stem.startswith("focus"):
            self.size_multiple *= 2
        inputs = width
        for stage, blocks in enumerate(layers, start=1):
            planes = width * 2 ** (stage - 1)
            modules: list[nn.Module] = []
            for index in range(blocks):
                first = index == 0 and stage > 1
                spd = first and stage in slots.space_to_depth
                modules.append(block(inputs, planes, 2 if first else 1, slots, spd))
                inputs = planes * block.expansion
            if stage in slots.after_stage:
                modules.append(slots.after_stage[stage](inputs))
            self.add_module(f"layer{stage}", nn.Sequential(*modules))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, num_classes)
        if branch_scale != 1:
            self._scale_branches(branch_scale)

    def _scale_branches(self, scale: float) -> None:
        for module in self.modules():
            if isinstance(module, BasicBlock | Bottleneck):
                last = module.bn2 if isinstance(module, BasicBlock) else module.bn3
                nn.init.constant_(last.weight, scale)

    def _build_stem(self, stem: str, in_channels: int, width: int) -> None:
        self.conv1: nn.Module
        self.bn1: nn.Module
        self.relu: nn.Module
        if stem.startswith("focus"):
            self.conv1, self.bn1, self.relu = Focus(in_channels, width), nn.Identity(), nn.Identity()
        else:
            kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
            self.conv1 = conv(in_channels, width, kernel, stride)
            self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        pooled = stem in ("pooled", "imagenet", "focus_pooled")
        self.maxpool = nn.MaxPool2d(3, 2, 1) if pooled else nn.Identity()

    def extract(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.attention1(self.relu(self.bn1(self.conv1(x)))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x

    def pool_map(self, maps: Tensor) -> Tensor:
        return (maps if self.pool is None else maps[:, :, : self.pool, : self.pool]).mean((2, 3))

    def classify(self, features: Tensor) -> Tensor:
        return self.fc(self.dropout(features))
