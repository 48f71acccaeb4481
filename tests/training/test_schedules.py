"""Learning rates against torch.optim.lr_scheduler, the code the papers follow, and closed forms."""

import math

import numpy as np
import pytest
import torch

from fer_lib.errors import UserError
from fer_lib.training.optimisers import OPTIMISERS, create_optimizer, learning_rate

BASE = 0.01


def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)


def of_torch(scheduler, optimizer, steps):
    """The rate before each step, as PyTorch's scheduler has it."""
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def ours(options, epochs, steps_per_epoch=1):
    moments = np.arange(epochs * steps_per_epoch) / steps_per_epoch
    return [learning_rate(options, BASE, moment, epochs) for moment in moments]


def test_constant():
    assert ours({"name": "constant"}, 4) == [BASE] * 4


@pytest.mark.parametrize(("start", "every", "factor"), [(80, 5, 0.9), (20, 1, 0.8)])
def test_step_is_that_of_the_code_zhang_follows(start, every, factor):
    # WuJie1010/Facial-Expression-Recognition.Pytorch, mainpro_FER.py and mainpro_CK+.py
    expected = [BASE * factor ** ((epoch - start) // every) if epoch > start else BASE for epoch in range(120)]
    assert ours({"name": "step", "start": start, "every": every, "factor": factor}, 120) == pytest.approx(expected)


def test_step_from_the_start_is_step_lr():
    reference = optimizer()
    scheduler = torch.optim.lr_scheduler.StepLR(reference, step_size=3, gamma=0.5)
    expected = of_torch(scheduler, reference, 12)
    assert ours({"name": "step", "start": 0, "every": 3, "factor": 0.5}, 12) == pytest.approx(expected)


def test_step_holds_within_an_epoch():
    rates = ours({"name": "step", "start": 1, "every": 1, "factor": 0.5}, 4, steps_per_epoch=3)
    assert rates == pytest.approx([BASE] * 6 + [BASE / 2] * 3 + [BASE / 4] * 3)


def test_cosine_is_cosine_annealing_lr():
    reference = optimizer()
    expected = of_torch(torch.optim.lr_scheduler.CosineAnnealingLR(reference, T_max=20), reference, 20)
    assert ours({"name": "cosine"}, 20) == pytest.approx(expected)


def test_cosine_warms_up_linearly_and_then_ends_at_zero():
    options = {"name": "cosine", "warmup": 5}
    rates = ours(options, 50, steps_per_epoch=10)
    assert 0 < rates[0] < 1e-3 * BASE
    assert rates[:50] == pytest.approx(np.arange(50) / 50 * BASE, abs=3e-4 * BASE)
    assert rates[50] == pytest.approx(BASE)
    assert np.all(np.diff(rates[50:]) < 0)
    assert learning_rate(options, BASE, 50, 50) == pytest.approx(0, abs=1e-12)


def test_one_cycle():
    rates = np.array(ours({"name": "one_cycle"}, 10, steps_per_epoch=10))
    way = np.arange(100) / 100
    rise = np.interp(way, [0, 0.3], [BASE / 25, BASE])
    low = BASE / 1e4
    fall = low + (BASE - low) * np.cos((way - 0.3) / 0.7 * math.pi / 2) ** 2
    assert rates == pytest.approx(np.where(way < 0.3, rise, fall))
    assert rates.argmax() == 30
    assert learning_rate({"name": "one_cycle"}, BASE, 10, 10) == pytest.approx(low)


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_plateau_is_reduce_lr_on_plateau(patience):
    scores = np.random.default_rng(0).integers(0, 12, 40) / 12  # ties included
    reference = optimizer()
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        reference, mode="max", factor=0.5, patience=patience, threshold=0, eps=0
    )
    options = {"name": "plateau", "factor": 0.5, "patience": patience}
    for epoch in range(len(scores) + 1):
        expected = reference.param_groups[0]["lr"]
        assert learning_rate(options, BASE, epoch, 99, list(scores[:epoch])) == pytest.approx(expected)
        if epoch < len(scores):
            scheduler.step(scores[epoch])
    assert expected < BASE / 8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "steps"}, "unknown schedule 'steps': did you mean step"),
        ({}, "unknown schedule ''"),
        ({"name": "step", "start": 1, "every": 2}, "schedule step: .*factor"),
        ({"name": "constant", "factor": 2}, "schedule constant: .*factor"),
    ],
)
def test_a_bad_schedule_is_named(options, words):
    with pytest.raises(UserError, match=words):
        learning_rate(options, BASE, 0, 10)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers_step_as_pytorchs_plain_ones(name):
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    more = {"momentum": 0.9} if name == "sgd" else {}
    results = []
    for make in (
        lambda p: create_optimizer({"name": name, "lr": 0.1, "weight_decay": 0.01, **more}, p),
        lambda p: kinds[name](p, lr=0.1, weight_decay=0.01, foreach=False, fused=False, **more),
    ):
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 7))
        moved = make([weight])
        for _ in range(3):
            moved.zero_grad()
            (weight**3).sum().backward()
            moved.step()
        results.append(weight.detach())
    torch.testing.assert_close(*results)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "sdg", "lr": 0.1}, "unknown optimizer 'sdg': did you mean sgd"),
        ({"name": "sgd", "lr": 0.1, "momentun": 0.9}, "optimizer sgd: .*momentun"),
        ({"name": "sgd", "lr": -1.0}, "optimizer sgd: lr = -1.0: expected a number > 0"),
    ],
)
def test_a_bad_optimiser_is_named(options, words):
    with pytest.raises(UserError, match=words):
        create_optimizer(options, [torch.nn.Parameter(torch.zeros(1))])
