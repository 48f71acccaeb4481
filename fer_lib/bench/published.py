"""The loop that people publish: torchvision transforms on one PIL picture at a time, a DataLoader, eager float32.

After WuJie1010/Facial-Expression-Recognition.Pytorch and its many descendants; written anew.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode, v2

from fer_lib.augment import MEAN, STD
from fer_lib.models import attention

Transform = Callable[[Image.Image], Tensor]
_TENSOR = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
_NORMALISE = v2.Normalize([MEAN], [STD])

TRANSFORMS: dict[str, Transform] = {
    # crop 44, flip, 10 degrees, a box: the augmentation of control.toml
    "control": v2.Compose(
        [
            v2.RandomRotation(10, InterpolationMode.BILINEAR),
            v2.RandomCrop(44),
            v2.RandomHorizontalFlip(),
            *_TENSOR,
            v2.RandomErasing(0.5, (0.02, 0.2)),
            _NORMALISE,
        ]
    ),
    # flip, 10 degrees, shear, zoom and shift: that of gu.toml
    "gu": v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(10, (0.1, 0.1), (0.9, 1.1), 5, InterpolationMode.BILINEAR),
            *_TENSOR,
            _NORMALISE,
        ]
    ),
    "plain": v2.Compose([*_TENSOR, _NORMALISE]),
    "one": v2.Compose([v2.CenterCrop(44), *_TENSOR, _NORMALISE, lambda picture: picture[None]]),
    "ten": v2.Compose([v2.TenCrop(44), lambda crops: torch.stack([TRANSFORMS["plain"](crop) for crop in crops])]),
}


class Pictures(Dataset):
    """Pictures one at a time.

    Args:
        images: uint8 [N, H, W].
        labels: int64 [N].
        transform: a name of :data:`TRANSFORMS`.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform: str) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return TRANSFORMS[self.transform](Image.fromarray(self.images[index])), int(self.labels[index])


def train_epoch(loader: DataLoader, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
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


@torch.no_grad()
def predict(loader: DataLoader, model: nn.Module, device: torch.device) -> Tensor:
    """Class probabilities averaged over the views that the loader stacks: float32 [N, C]."""
    model.eval()
    found = []
    for views, _ in loader:
        logits = model(views.flatten(0, 1).to(device))
        found.append(logits.softmax(1).unflatten(0, views.shape[:2]).mean(1).cpu())
    return torch.cat(found)


def read_csv(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """FER2013 by pandas: pictures uint8 [N, 48, 48] and labels."""
    import pandas as pd

    frame = pd.read_csv(path)
    images = np.stack([np.array(row.split(), dtype=np.uint8).reshape(48, 48) for row in frame["pixels"]])
    return images, frame["emotion"].to_numpy()


class CBAM(attention.CBAM):
    """CBAM with the maxima as people write them."""

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, C, H, W] to the same."""
        mlp = self.channel._mlp
        x = x * torch.sigmoid(mlp(x.mean((2, 3), keepdim=True)) + mlp(x.amax((2, 3), keepdim=True)))
        maps = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), 1)
        return x * torch.sigmoid(self.spatial.bn(self.spatial.conv(maps)))
