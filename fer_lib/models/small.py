"""Small nets of the papers' comparison tables: MicroExpNet, LBCNN and a parallel CNN."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_lib.models.base import Classifier
from fer_lib.models.convolution import conv


class MicroExpNet(Classifier):
    """Two convolutions and two linear layers for 84 px pictures (Cugu et al., 2017; zhang Table II).

    The graph of cuguilke/microexpnet, whose TensorFlow "SAME" paddings are spelled out: the second
    convolution pads its 21x21 map by one before and two behind. The publishers distil it from an InceptionV3;
    this is the net alone.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        dropout: before the classifier.
    """

    input_size = 84
    fixed_size = True
    classifier_name = "fc2"
    levels = ("conv1", "conv2")

    def __init__(self, num_classes: int = 7, in_channels: int = 1, dropout: float = 0.5):
        super().__init__(num_classes, in_channels, 48)
        self.conv1 = nn.Conv2d(in_channels, 16, 8, 2, 3)
        self.conv2 = nn.Conv2d(16, 32, 4, 2)
        self.fc1 = nn.Linear(32 * 6 * 6, 48)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(48, num_classes)

    def extract(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return F.relu(self.conv2(F.pad(x, (1, 2, 1, 2))))

    def pool_map(self, maps: Tensor) -> Tensor:
        return F.relu(self.fc1(F.max_pool2d(maps, 2, ceil_mode=True).flatten(1)))

    def classify(self, features: Tensor) -> Tensor:
        return self.fc2(self.dropout(features))


class LBCBlock(nn.Module):
    """x + Conv1x1(ReLU(FixedConv3x3(BN(x)))): a local binary convolution with a shortcut.

    Juefei-Xu et al., CVPR 2017; juefeix/lbcnn.torch, models/resnet-binary-felix.lua. The fixed weights are a
    buffer: -1, 0 and 1, drawn once.

    Args:
        channels: C of the input and output.
        num_weights: fixed filters.
        density: share of their weights that is not zero. The Lua code calls it sparsity.
    """

    def __init__(self, channels: int, num_weights: int, density: float = 0.5):
        super().__init__()
        self.batch_norm = nn.BatchNorm2d(channels)
        self.conv_lbp = _FixedConv(channels, num_weights, density)
        self.conv_1x1 = nn.Conv2d(num_weights, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_1x1(F.relu(self.conv_lbp(self.batch_norm(x))))


class _FixedConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, density: float):
        super().__init__()
        signs = torch.randint(0, 2, (outputs, inputs, 3, 3)) * 2.0 - 1
        self.weight: Tensor
        self.register_buffer("weight", signs * (torch.rand(outputs, inputs, 3, 3) < density))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, padding=1)


class LBCNN(Classifier):
    """A chain of local binary convolution blocks (Juefei-Xu et al., CVPR 2017; zhang Table II).

    The publishers' CIFAR setting (384 channels, 704 filters, depth 50) costs some 280 GMAC a 48 px picture,
    and zhang names none: the defaults are ours. The 5x5 average pooling leaves a map whose size the linear
    layer must know, so the net takes one picture size only.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        channels: of every block.
        num_weights: fixed filters of every block.
        depth: blocks.
        full: units of the hidden linear layer.
        density: of the fixed filters, see :class:`LBCBlock`.
        dropout: before each linear layer.
        pixels: height and width of the pictures.
    """

    fixed_size = True
    classifier_name = "fc2"
    levels = ("stem", "blocks")

    def __init__(
        self,
        num_classes: int = 7,
        in_channels: int = 1,
        channels: int = 64,
        num_weights: int = 128,
        depth: int = 10,
        full: int = 512,
        density: float = 0.5,
        dropout: float = 0.5,
        pixels: int = 48,
    ):
        super().__init__(num_classes, in_channels, full)
        self.input_size = pixels
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )
        self.blocks = nn.Sequential(*(LBCBlock(channels, num_weights, density) for _ in range(depth)))
        self.dropout = nn.Dropout(dropout)
        self.fc1 = nn.Linear(channels * (pixels // 5) ** 2, full)
        self.fc2 = nn.Linear(full, num_classes)

    def extract(self, x: Tensor) -> Tensor:
        return self.blocks(self.stem(x))

    def pool_map(self, maps: Tensor) -> Tensor:
        return F.relu(self.fc1(self.dropout(F.avg_pool2d(maps, 5).flatten(1))))

    def classify(self, features: Tensor) -> Tensor:
        return self.fc2(self.dropout(features))


class ParallelCNN(Classifier):
    """A CNN of parallel small convolutions: our own design for li's "parallel CNN" row.

    li's Table 2 gives the row no architecture and no citation; the text only mentions a net that "uses
    parallel small convolutions in place of the original one". Here four stages each run a 3x3 convolution
    and, beside it, two 3x3 in a row (the field of a 5x5), join them, and pool.

    Args:
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        width: channels of the first stage, which every stage doubles.
        dropout: before the classifier.
    """

    min_size = 16
    levels = tuple(f"stages.{index}" for index in range(4))

    def __init__(self, num_classes: int = 7, in_channels: int = 1, width: int = 32, dropout: float = 0.5):
        super().__init__(num_classes, in_channels, 8 * width)
        widths = [in_channels, width, 2 * width, 4 * width, 8 * width]
        self.stages = nn.Sequential(*(_ParallelStage(i, o) for i, o in pairwise(widths)))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(widths[-1], num_classes)

    def extract(self, x: Tensor) -> Tensor:
        return self.stages(x)

    def classify(self, features: Tensor) -> Tensor:
        return self.fc(self.dropout(features))


class _ParallelStage(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        half = outputs // 2
        self.small = _conv_norm_relu(inputs, half)
        self.large = nn.Sequential(_conv_norm_relu(inputs, half), _conv_norm_relu(half, outputs - half))

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(torch.cat((self.small(x), self.large(x)), 1), 2)


def _conv_norm_relu(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(conv(inputs, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
