"""Faces as a dataset of PyTorch."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset


class TorchFaces(Dataset[tuple[Any, Any]]):
    """Picture and target by number; made by :meth:`fer_lib.data.FaceDataset.torch`.

    Args:
        images: uint8 [N, H, W] or [N, H, W, 3].
        targets: int64 [N] or float32 [N, classes].
        chosen: positions of the pictures that belong to it, int64 [M].
        classes: names of the classes, in the order of the targets.
        transform: given a Pillow picture; None for a float32 tensor [C, H, W] from 0 to 1.
        target_transform: given the target.

    Attributes:
        classes: the same.
        targets: of its own pictures, a tensor.
    """

    def __init__(
        self,
        images: np.ndarray,
        targets: np.ndarray,
        chosen: np.ndarray,
        classes: tuple[str, ...],
        transform: Callable[[Any], Any] | None,
        target_transform: Callable[[Any], Any] | None,
    ) -> None:
        self.classes, self.transform, self.target_transform = classes, transform, target_transform
        self.targets = torch.from_numpy(targets[chosen])
        self._images, self._chosen = images, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        index = operator.index(index)
        image, target = self._images[self._chosen[index]], self.targets[index]
        wanted = target if target.dim() else int(target)
        if self.transform:
            shown = self.transform(Image.fromarray(image))
        else:
            shown = torch.from_numpy(np.atleast_3d(image).transpose(2, 0, 1) / np.float32(255))
        return shown, self.target_transform(wanted) if self.target_transform else wanted

    def __repr__(self) -> str:
        return f"TorchFaces({len(self):,} pictures, {len(self.classes)} classes)"
