"""Optimisers and learning-rate schedules of the recipes."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from msgspec import structs

from fer_lib import parts
from fer_lib.schema import check_named

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


def create_optimizer(options: dict[str, Any], parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Build a recipe's optimiser, in its fused form, with its whole state already there.

    PyTorch makes the state in the first step; a step that is recorded as a CUDA graph must find it. The first
    step starts from moments of zero; SGD with dampening, which would not, is not offered.

    Args:
        options: ``name`` and options of one of :data:`fer_lib.parts.OPTIMISERS`.
        parameters: what it moves.

    Raises:
        UserError: an unknown name or option, or a value outside its limits.
    """
    parameters = list(parameters)
    settings = structs.asdict(check_named("optimizer", parts.OPTIMISERS, options))
    if options["name"] != "sgd" and parameters[0].is_cuda:
        settings["capturable"] = True
    optimizer = OPTIMISERS[options["name"]](parameters, fused=True, **settings)
    _make_state(optimizer)
    return optimizer


def _make_state(optimizer: torch.optim.Optimizer) -> None:
    """Take a step of length 0, which makes the state and moves nothing, and set the state to 0."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    rates = [group["lr"] for group in optimizer.param_groups]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    for slots in optimizer.state.values():
        for value in slots.values():
            if isinstance(value, torch.Tensor):
                value.zero_()


def learning_rate(
    options: dict[str, Any], base: float, progress: float, epochs: int, scores: Sequence[float] = ()
) -> float:
    """The learning rate at one moment of a training.

    It follows from the moment and the validation scores alone, so a resumed training needs no scheduler state.

    Args:
        options: ``name`` and options of one of :data:`fer_lib.parts.SCHEDULES`.
        base: the optimiser's ``lr``.
        progress: epochs done, with fraction; the first step is at 0.
        epochs: epochs in all.
        scores: validation accuracy of every epoch so far, for ``plateau``.

    Raises:
        UserError: an unknown schedule, or a missing or unknown option.
    """
    return base * check_named("schedule", parts.SCHEDULES, options).share(progress, epochs, scores)
