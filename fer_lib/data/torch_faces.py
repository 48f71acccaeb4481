"""Faces as a dataset of PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from fer_lib.data.dataset import SPLITS, FaceDataset
from fer_lib.data.ferplus import vote_shares
from fer_lib.errors import unknown

TARGETS = ("label", "votes")


class TorchFaces(Dataset[tuple[Any, Any]]):
    """Picture and target by number; see :meth:`fer_lib.data.FaceDataset.torch`.

    Attributes:
        classes: names of the classes, in the order of the targets.
        targets: of all pictures, int64 [N] or float32 [N, classes].
    """

    def __init__(
        self,
        faces: FaceDataset,
        split: str | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        targets: str = "label",
    ) -> None:
        if targets not in TARGETS:
            raise unknown("targets", targets, TARGETS)
        chosen = np.arange(len(faces)) if split is None else faces.indices(split)
        if split not in (None, *SPLITS, "") or not len(chosen):
            raise unknown(f"split of {faces.name}:", str(split), faces.counts())
        self.classes, self.transform, self.target_transform = faces.classes, transform, target_transform
        self.targets = torch.from_numpy((faces.labels if targets == "label" else vote_shares(faces))[chosen])
        self._images, self._chosen = faces.images, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, target = self._images[self._chosen[index]], self.targets[index]
        wanted = target if target.dim() else int(target)
        if self.transform:
            shown = self.transform(Image.fromarray(image))
        else:
            shown = torch.from_numpy(np.atleast_3d(image).transpose(2, 0, 1) / np.float32(255))
        return shown, self.target_transform(wanted) if self.target_transform else wanted

    def __repr__(self) -> str:
        return f"TorchFaces({len(self):,} pictures, {len(self.classes)} classes)"
