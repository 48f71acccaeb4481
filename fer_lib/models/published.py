"""Well-known nets of the comparison tables, from torchvision and timm, fitted to grey and to small pictures.

``stem="small"``, the default where there is a choice, is the form of kuangliu/pytorch-cifar for pictures of
about 32-48 px; ``stem="imagenet"`` the publishers' own. torchvision is imported where it is needed: importing
it takes seconds, and residual nets do without.
"""

from typing import Any

from torch import Tensor, nn

from fer_lib.extras import from_extra
from fer_lib.models.attention import SE
from fer_lib.models.base import Classifier
from fer_lib.models.resnet import PreActBlock, ResNet, Slots


class Published(Classifier):
    """A publisher's layers behind the study's interface.

    The classifier is a dropout and a linear layer.

    Args:
        features: pictures to a map.
        neck: the map to a vector of ``num_features``.
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        num_features: length of the vector.
        min_size: smallest picture the layers take.
        dropout: before the linear layer.
        input_size: size the publishers ask for.
    """

    classifier_name = "classifier.1"

    def __init__(
        self,
        features: nn.Module,
        neck: nn.Module,
        num_classes: int,
        in_channels: int,
        num_features: int,
        min_size: int,
        dropout: float,
        input_size: int | None = None,
    ):
        super().__init__(num_classes, in_channels, num_features)
        self.features, self.neck = features, neck
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(num_features, num_classes))
        self.levels = [f"features.{name}" for name, _ in features.named_children()]
        self.min_size, self.input_size = min_size, input_size
        _set_in_channels(features, in_channels)

    def extract(self, x: Tensor) -> Tensor:
        return self.features(x)

    def pool_map(self, maps: Tensor) -> Tensor:
        return self.neck(maps)

    def classify(self, features: Tensor) -> Tensor:
        return self.classifier(features)


def _set_in_channels(features: nn.Module, in_channels: int) -> None:
    """Replace the first convolution where it takes another number of channels."""
    name, first = next((n, m) for n, m in features.named_modules() if isinstance(m, nn.Conv2d))
    if first.in_channels == in_channels:
        return
    where: Any = {"kernel_size": first.kernel_size, "stride": first.stride, "padding": first.padding}
    layer = nn.Conv2d(in_channels, first.out_channels, **where, bias=first.bias is not None)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    features.set_submodule(name, layer)


def _average() -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def senet18(num_classes: int = 7, in_channels: int = 1, width: int = 64, dropout: float = 0.0) -> ResNet:
    """The widely copied "SENet18" (kuangliu/pytorch-cifar): pre-activation blocks, SE with biases (li Table 2).

    Its code takes 32 px only, where its 4x4 pooling is the mean of the map; the mean takes any size.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        width: channels of the first stage.
        dropout: before the classifier.
    """
    slots = Slots(branch=lambda channels: SE(channels, bias=True))
    return ResNet(PreActBlock, (2, 2, 2, 2), num_classes, in_channels, "small", width, dropout, slots=slots)


def vgg(name: str, num_classes: int = 7, in_channels: int = 1, head: str = "linear", dropout: float = 0.5) -> Published:
    """VGG (Simonyan & Zisserman, 2015): VGG19 in li Table 2 and gu Table 5, VGG16 in zhang Table II.

    gu's table says "VGGNet"; its section 2.1 means the 19 layers.

    Args:
        name: ``"vgg16"``, ``"vgg16_bn"``, ``"vgg19"`` or ``"vgg19_bn"``.
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        head: ``"linear"``, one layer on the pooled 512 channels as in
            WuJie1010/Facial-Expression-Recognition.Pytorch, or ``"fc4096"``, the publishers' three.
        dropout: before the last layer, and before the last but one of ``"fc4096"``.
    """
    import torchvision

    # The head is thrown away; a single class keeps its last layer small.
    features = getattr(torchvision.models, name)(num_classes=1).features
    if head == "linear":
        return Published(features, _average(), num_classes, in_channels, 512, 32, dropout)
    return _fully_connected(features, 512, 7, num_classes, in_channels, dropout, min_size=32)


def _fully_connected(
    features: nn.Module,
    channels: int,
    side: int,
    num_classes: int,
    in_channels: int,
    dropout: float,
    min_size: int,
    drop_first: bool = False,
) -> Published:
    """The head of AlexNet and VGG: two hidden layers of 4,096 units on a ``side`` x ``side`` map."""
    neck = nn.Sequential(
        nn.AdaptiveAvgPool2d(side),
        nn.Flatten(),
        nn.Dropout(dropout if drop_first else 0.0),
        nn.Linear(channels * side**2, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
    )
    # torch's default start lets the signal of a net without normalisation fade.
    for layer in [*features.modules(), *neck]:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    last = 0.0 if drop_first else dropout
    return Published(features, neck, num_classes, in_channels, 4096, min_size, last, input_size=224)


def vggface(num_classes: int = 7, in_channels: int = 1, dropout: float = 0.5) -> Published:
    """The net of VGG-Face (Parkhi et al., BMVC 2015; zhang Table II): VGG16 without batch normalisation.

    The published row rests on weights trained on 2.6 million faces, which are not part of the net.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        dropout: before the last two layers.
    """
    return vgg("vgg16", num_classes, in_channels, "fc4096", dropout)


def alexnet(num_classes: int = 7, in_channels: int = 1, dropout: float = 0.5) -> Published:
    """AlexNet (Krizhevsky, 2014 form): one half of zhang Table III's "Alex and GoogleNet" row.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        dropout: before the first two linear layers.
    """
    import torchvision

    features = torchvision.models.alexnet(num_classes=1).features
    return _fully_connected(features, 256, 6, num_classes, in_channels, dropout, min_size=63, drop_first=True)


def googlenet(num_classes: int = 7, in_channels: int = 1, dropout: float = 0.2) -> Published:
    """GoogLeNet with batch normalisation, without auxiliary classifiers (zhang Table III, the other half).

    Args:
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        dropout: before the classifier.
    """
    import torchvision

    net = torchvision.models.GoogLeNet(num_classes=1, aux_logits=False, init_weights=True)
    layers = {k: m for k, m in net.named_children() if k not in ("avgpool", "dropout", "fc", "aux1", "aux2")}
    features = nn.Sequential()
    for key, layer in layers.items():
        features.add_module(key, layer)
    return Published(features, _average(), num_classes, in_channels, 1024, 15, dropout)


def densenet121(num_classes: int = 7, in_channels: int = 1, stem: str = "small", dropout: float = 0.0) -> Published:
    """DenseNet121 (Huang et al., CVPR 2017): li Table 2, gu Table 5.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        stem: ``"small"``, a bare 3x3 convolution without stride, or ``"imagenet"``.
        dropout: before the classifier.
    """
    return _densenet((6, 12, 24, 16), num_classes, in_channels, stem, dropout)


def densenet169(num_classes: int = 7, in_channels: int = 1, stem: str = "small", dropout: float = 0.0) -> Published:
    """DenseNet169 (Huang et al., CVPR 2017), which gu section 3.3.3 may mean; the arguments of :func:`densenet121`."""
    return _densenet((6, 12, 32, 32), num_classes, in_channels, stem, dropout)


def _densenet(
    layers: tuple[int, int, int, int], num_classes: int, in_channels: int, stem: str, dropout: float
) -> Published:
    import torchvision

    densenet = torchvision.models.DenseNet(32, layers, 64, num_classes=1)
    features = densenet.features
    if stem == "small":
        features.conv0 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(features.conv0.weight, mode="fan_out", nonlinearity="relu")
        features.norm0 = features.relu0 = features.pool0 = nn.Identity()
    neck = nn.Sequential(nn.ReLU(), *_average())
    width = densenet.classifier.in_features
    return Published(features, neck, num_classes, in_channels, width, 8 if stem == "small" else 29, dropout)


def mobilenetv2(num_classes: int = 7, in_channels: int = 1, stem: str = "small", dropout: float = 0.2) -> Published:
    """MobileNetV2 (Sandler et al., CVPR 2018): gu Table 5.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        stem: ``"small"``, no stride before the third stage, an expansion in every block and a convolution
            in the shortcuts between widths, or ``"imagenet"``.
        dropout: before the classifier.
    """
    from torchvision.models.mobilenetv2 import MobileNetV2

    if stem == "imagenet":
        features = MobileNetV2(num_classes=1).features
    else:
        # expansion, channels, blocks, stride
        stages = [
            [1, 16, 1, 1],
            [6, 24, 2, 1],
            [6, 32, 3, 2],
            [6, 64, 4, 2],
            [6, 96, 3, 1],
            [6, 160, 3, 2],
            [6, 320, 1, 1],
        ]
        net = MobileNetV2(num_classes=1, inverted_residual_setting=stages, block=_InvertedResidual)
        features = net.features
        features[0][0].stride = (1, 1)
    return Published(features, _average(), num_classes, in_channels, 1280, 1, dropout)


class _InvertedResidual(nn.Module):
    """MobileNetV2's block as kuangliu/pytorch-cifar has it: always an expansion, a shortcut at stride 1."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand_ratio: int, norm_layer: type[nn.BatchNorm2d]):
        super().__init__()
        hidden = inputs * expand_ratio
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1, bias=False),
            norm_layer(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            norm_layer(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            norm_layer(outputs),
        )
        self.shortcut = None
        if stride == 1:
            self.shortcut = (
                nn.Identity()
                if inputs == outputs
                else nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), norm_layer(outputs))
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.branch(x)
        return out if self.shortcut is None else out + self.shortcut(x)


def inceptionv4(num_classes: int = 7, in_channels: int = 1, dropout: float = 0.0) -> Published:
    """InceptionV4 (Szegedy et al., AAAI 2017), which gu's section 3.3.3 names; its Table 5 has no such row.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        dropout: before the classifier.

    Raises:
        MissingExtra: timm is not installed.
    """
    with from_extra("study"):
        import timm
    net: Any = timm.create_model("inception_v4", num_classes=1, in_chans=in_channels)
    return Published(net.features, _average(), num_classes, in_channels, 1536, 75, dropout, input_size=299)
