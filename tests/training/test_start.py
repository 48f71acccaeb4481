"""What a recipe changes before the first step: the classes' shares, the mixture, the starting weights."""

import dataclasses

import numpy as np
import pytest
import safetensors.torch
import torch
from tiny import tiny_dataset, tiny_recipe

from fer_lib.errors import UserError
from fer_lib.models import create_model
from fer_lib.recipe import RunSpec
from fer_lib.training import fit, loop
from fer_lib.training.step import TrainStep


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


def test_balance_sets_how_often_a_class_is_seen(dataset, tmp_path, monkeypatch):
    seen = []
    forward = TrainStep._forward
    monkeypatch.setattr(
        TrainStep, "_forward", lambda self, chosen, *rest: (seen.append(chosen), forward(self, chosen, *rest))[1]
    )
    # 10 pictures a class: disgust 40, fear 5, the five others 10 each: 95 = 19 batches of 5.
    recipe = tiny_recipe(balance={"disgust": {"factor": 4}, "fear": {"count": 5}}, batch_size=5, epochs=2)
    outcome = fit(RunSpec(recipe), dataset, tmp_path, device="cpu", say=quiet)
    first, second = torch.cat(seen[:19]).numpy(), torch.cat(seen[19:]).numpy()
    for epoch in (first, second):
        assert np.bincount(dataset.labels[epoch]).tolist() == [10, 40, 5, 10, 10, 10, 10]
    assert not np.array_equal(first, second), "the order is drawn anew in every epoch"
    assert outcome.images == 190


@pytest.mark.parametrize(
    ("balance", "message"),
    [
        ({"disgst": {"factor": 2}}, "did you mean disgust"),
        ({"disgust": {"times": 2}}, "unknown key 'times': choose from: count, factor"),
    ],
)
def test_balance_is_checked(dataset, tmp_path, balance, message):
    with pytest.raises(UserError, match=message):
        fit(RunSpec(tiny_recipe(balance=balance)), dataset, tmp_path, device="cpu", say=quiet)


def test_mixup_trains_on_mixed_pictures_and_soft_targets(dataset, tmp_path, monkeypatch):
    targets, moved = [], []

    class Spy(torch.nn.Module):
        def update_centers(self, features, wanted):
            moved.append(wanted)

        def forward(self, logits, wanted, features=None):
            targets.append(wanted)
            return -(wanted * logits.log_softmax(1)).sum(1).mean()

    monkeypatch.setattr(loop, "create_loss", lambda *args, **options: Spy())
    recipe = tiny_recipe(augment={"crop": 40, "mixup": 1.0}, epochs=1)
    fit(RunSpec(recipe), dataset, tmp_path, device="cpu", say=quiet)
    soft = torch.cat(targets)
    assert soft.shape[1] == len(dataset.classes)
    assert torch.allclose(soft.sum(1), torch.ones(len(soft)))
    assert ((soft > 0.02) & (soft < 0.98)).any()
    assert torch.equal(torch.cat(moved), soft)


def test_pretrained_weights_are_the_start_and_are_listed(dataset, tmp_path):
    recipe = tiny_recipe(loss={"name": "cross_entropy"}, epochs=1)
    recipe = dataclasses.replace(recipe, optimizer=recipe.optimizer | {"lr": 1e-30, "weight_decay": 0.0})
    torch.manual_seed(123)
    source = create_model(recipe.model, **recipe.model_options)
    path = tmp_path / "start.safetensors"
    safetensors.torch.save_file(source.state_dict(), path)
    said = []
    outcome = fit(
        RunSpec(dataclasses.replace(recipe, pretrained=str(path))), dataset, tmp_path, device="cpu", say=said.append
    )
    trained = dict(source.named_parameters())
    assert all(torch.allclose(outcome.weights[name], value, rtol=0, atol=1e-25) for name, value in trained.items())
    assert outcome.pretrained[0].startswith(f"start.safetensors: {len(source.state_dict())} of")
    assert outcome.pretrained[0] in said[0]
    plain = fit(RunSpec(recipe, seed=1), dataset, _folder(tmp_path), device="cpu", say=quiet)
    assert plain.pretrained == []
    assert not torch.equal(plain.weights["fc.weight"], trained["fc.weight"])


def test_pretrained_weights_that_are_not_there_stop_the_run(dataset, tmp_path):
    recipe = tiny_recipe(pretrained=str(tmp_path / "missing.pth"))
    with pytest.raises(UserError, match=r"missing\.pth"):
        fit(RunSpec(recipe), dataset, tmp_path, device="cpu", say=quiet)


def _folder(parent):
    folder = parent / "plain"
    folder.mkdir()
    return folder
