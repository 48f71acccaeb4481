"""The maps of a net at every resolution, as timm's ``features_only`` gives them."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fer_lib.errors import UserError
from fer_lib.models.base import Classifier


class FeatureInfo(list[dict[str, Any]]):
    """What the maps are, from the finest to the coarsest: ``num_chs``, ``reduction`` and ``module`` of each."""

    def channels(self) -> list[int]:
        """Their channels."""
        return [info["num_chs"] for info in self]

    def reduction(self) -> list[int]:
        """By how much each is smaller than the picture."""
        return [info["reduction"] for info in self]

    def module_name(self) -> list[str]:
        """The modules that put them out."""
        return [info["module"] for info in self]


class FeatureMaps(nn.Module):
    """A net without its head, from float [B, in_channels, H, W] to a list of maps, the finest first.

    Args:
        net: its weights are shared.
        out_indices: which maps, as they are numbered in the whole list; None for all.

    Attributes:
        feature_info: what the maps are.

    Raises:
        UserError: there is no such map.
    """

    def __init__(self, net: Classifier, out_indices: Sequence[int] | None = None):
        from torchvision.models.feature_extraction import create_feature_extractor  # slow to import

        super().__init__()
        known = _maps_of(net)
        chosen = range(len(known)) if out_indices is None else out_indices
        if wrong := [index for index in chosen if not -len(known) <= index < len(known)]:
            raise UserError(f"out_indices: there is no map {wrong[0]}: the net has {len(known)}")
        self.feature_info = FeatureInfo(known[index] for index in chosen)
        self.body = create_feature_extractor(net, {name: name for name in self.feature_info.module_name()})

    def forward(self, x: Tensor) -> list[Tensor]:
        found = self.body(x)
        return [found[name] for name in self.feature_info.module_name()]


def _maps_of(net: Classifier) -> FeatureInfo:
    """The deepest of a net's levels at each resolution."""
    least = net.input_size or max(64, net.min_size)
    side = -(-least // net.size_multiple) * net.size_multiple
    found: dict[int, dict[str, Any]] = {}

    def note(name: str, output: Tensor) -> None:
        height = output.shape[2]
        found[height] = {"num_chs": output.shape[1], "reduction": round(side / height), "module": name}

    # Of its shapes alone: nothing is computed, and the net itself stays as it is.
    twin = copy.deepcopy(net).to("meta").eval()
    for name in twin.levels:
        twin.get_submodule(name).register_forward_hook(lambda module, given, output, name=name: note(name, output))
    with torch.no_grad():
        twin(torch.zeros(2, net.in_channels, side, side, device="meta"))
    return FeatureInfo(found.values())
