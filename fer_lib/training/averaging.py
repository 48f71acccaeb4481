"""Exponential moving average of a net's weights."""

import copy

import torch
from torch import Tensor, nn

from fer_lib.errors import UserError


class MovingAverage:
    """A second net whose weights follow those of a net in training.

    After every step each weight a becomes a + (1 - d) (w - a). The decay d starts low, so that the random first
    weights are soon forgotten: in step n, counted from 0, it is min(decay, (1 + n) / (10 + n)), as in TensorFlow's
    ``ExponentialMovingAverage`` with ``num_updates``. Statistics of batch normalisation are averaged like weights
    (as in timm's ``ModelEmaV2``), whole numbers copied.

    Attributes:
        model: the averaged net.
        updates: steps followed, float32 scalar on the net's device, so that following needs no number of the host.

    Args:
        model: the net in training.
        decay: d in the long run.

    Raises:
        UserError: the decay lies outside (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float):
        if not 0 < decay < 1:
            raise UserError(f"ema: the decay must lie between 0 and 1: got {decay!r}")
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay
        self.updates = torch.zeros((), device=next(model.parameters()).device)
        pairs = list(zip(_tensors(self.model), _tensors(model), strict=True))
        self._floats = [(a, w) for a, w in pairs if a.is_floating_point()]
        self._others = [(a, w) for a, w in pairs if not a.is_floating_point()]

    @torch.no_grad()
    def follow(self) -> None:
        """Take one step after the net."""
        share = 1 - ((1 + self.updates) / (10 + self.updates)).clamp(max=self.decay)
        averages, weights = zip(*self._floats, strict=True)
        moves = torch._foreach_sub(weights, averages)
        torch._foreach_mul_(moves, share)
        torch._foreach_add_(averages, moves)
        for average, value in self._others:
            average.copy_(value)
        self.updates += 1

    def tensors(self) -> list[Tensor]:
        """All that :meth:`follow` changes."""
        return [*_tensors(self.model), self.updates]

    def state_dict(self) -> dict[str, dict[str, Tensor] | Tensor]:
        """All that a checkpoint must keep."""
        return {"model": self.model.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, dict[str, Tensor] | Tensor]) -> None:
        """Go back to a state of :meth:`state_dict`."""
        self.model.load_state_dict(state["model"])
        self.updates.copy_(state["updates"])


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*(p.detach() for p in model.parameters()), *model.buffers()]
