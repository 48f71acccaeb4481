"""Optimisers and learning-rate schedules of the recipes."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from fer_lib.errors import UserError, unknown

OPTIMISERS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


def create_optimizer(options: dict[str, Any], parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Build a recipe's optimiser, in its fused form, with its whole state already there.

    PyTorch makes the state in the first step; a step that is recorded as a CUDA graph must find it. Moments of zero
    are what the first step starts from, but for SGD with dampening, which PyTorch spares its first step.

    Args:
        options: ``name`` (sgd, adam or adamw), ``lr`` and PyTorch's own options for it, but for ``dampening``.
        parameters: what it moves.

    Raises:
        UserError: an unknown name or option.
    """
    options, parameters = dict(options), list(parameters)
    name = options.pop("name", "")
    if name not in OPTIMISERS:
        raise unknown("optimizer", name, OPTIMISERS)
    if "dampening" in options:
        raise UserError(f"optimizer {name}: dampening is not supported; leave it out")
    if name != "sgd" and parameters[0].is_cuda:
        options["capturable"] = True
    try:
        optimizer = OPTIMISERS[name](parameters, fused=True, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"optimizer {name}: {error}") from None
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
        options: ``name`` and options of one of the schedules below:
            constant;
            step (``start``, ``every``, ``factor``): from epoch ``start`` on, times ``factor`` every ``every`` epochs;
            cosine (``warmup`` = 0 epochs, ``floor`` = 0): to ``floor`` x base at the end, after a linear warm-up;
            one_cycle (``peak`` = 0.3): linear from base/25 to base at ``peak`` of the way, then cosine to base/1e4;
            plateau (``factor``, ``patience``): times ``factor`` after ``patience`` epochs without a better score.
        base: the optimiser's ``lr``.
        progress: epochs done, with fraction; the first step is at 0.
        epochs: epochs in all.
        scores: validation accuracy of every epoch so far, for ``plateau``.

    Raises:
        UserError: an unknown schedule, or a missing or unknown option.
    """
    options = dict(options)
    name = options.pop("name", "")
    if name not in SCHEDULES:
        raise unknown("schedule", name, SCHEDULES)
    try:
        return base * SCHEDULES[name](progress, epochs, scores, **options)
    except TypeError as error:
        raise UserError(f"schedule {name}: {str(error).replace(f'_{name}()', 'it')}") from None


def _constant(progress: float, epochs: int, scores: Sequence[float]) -> float:
    return 1.0


def _step(progress: float, epochs: int, scores: Sequence[float], *, start: int, every: int, factor: float) -> float:
    return factor ** max(0, (int(progress) - start) // every)


def _cosine(progress: float, epochs: int, scores: Sequence[float], *, warmup: float = 0, floor: float = 0.0) -> float:
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    done = (progress - warmup) / max(epochs - warmup, 1e-9)
    return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2


def _one_cycle(progress: float, epochs: int, scores: Sequence[float], *, peak: float = 0.3) -> float:
    done = progress / epochs
    if done < peak:
        return 1 / 25 + (1 - 1 / 25) * done / peak
    return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (done - peak) / (1 - peak))) / 2


def _plateau(progress: float, epochs: int, scores: Sequence[float], *, factor: float, patience: int) -> float:
    best, waited, rate = -math.inf, 0, 1.0
    for score in scores:
        best, waited = (score, 0) if score > best else (best, waited + 1)
        if waited > patience:
            rate, waited = rate * factor, 0
    return rate


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": _constant,
    "step": _step,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
    "plateau": _plateau,
}
