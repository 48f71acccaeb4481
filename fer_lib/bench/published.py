"""The loop that people publish: torchvision transforms on one PIL picture at a time, a DataLoader, eager float32.

After WuJie1010/Facial-Expression-Recognition.Pytorch and its many descendants; written anew.
"""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode, v2

from fer_lib.augment import MEAN, STD

# Crop 44, flip, 10 degrees, a box: the augmentation of control.toml.
TRANSFORM = v2.Compose(
    [
        v2.RandomRotation(10, InterpolationMode.BILINEAR),
        v2.RandomCrop(44),
        v2.RandomHorizontalFlip(),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.RandomErasing(0.5, (0.02, 0.2)),
        v2.Normalize([MEAN], [STD]),
    ]
)


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pictures one at a time.

    Args:
        images: uint8 [N, H, W].
        labels: int64 [N].
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return TRANSFORM(Image.fromarray(self.images[index])), int(self.labels[index])


def train_epoch(
    loader: DataLoader[Any], model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> None:
    """One epoch, with the running loss read back at every step."""
    criterion, running = nn.CrossEntropyLoss(), 0.0
    model.train()
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        running += loss.item()
