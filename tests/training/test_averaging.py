"""The moving average of the weights against its recurrence in float64."""

import numpy as np
import pytest
import torch
from torch import nn

from fer_lib.errors import UserError
from fer_lib.training.averaging import MovingAverage


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_the_average_is_the_documented_recurrence():
    model, decay, steps = net(), 0.7, 40
    average = MovingAverage(model, decay)
    expected = {name: value.double().numpy().copy() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 3)).square().sum().backward()
        optimizer.step()
        average.follow()
        d = min(decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            whole = name.endswith("num_batches_tracked")
            expected[name] = value.double().numpy() if whole else d * expected[name] + (1 - d) * value.double().numpy()
    assert (1 + steps) / (10 + steps) > decay, "the decay reached its long-run value"
    for name, value in average.model.state_dict().items():
        np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-4, atol=1e-6, err_msg=name)
    assert not any(p.requires_grad for p in average.model.parameters())


def test_the_net_in_training_is_left_alone():
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    MovingAverage(model, 0.9).follow()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, 2.0])
def test_a_decay_that_averages_nothing_is_refused(decay):
    with pytest.raises(UserError, match="ema: the decay must lie between 0 and 1"):
        MovingAverage(net(), decay)
