"""No wire can be cut in silence: a training is the plain PyTorch one, and every value of every recipe reaches it."""

import dataclasses
import hashlib

import numpy as np
import pytest
import safetensors.torch
import torch
from tiny import tiny_recipe
from torch import nn
from torch.nn import functional as F

from fer_lib.data import FER2013_CLASSES, FaceDataset
from fer_lib.models import create_model
from fer_lib.nets import check_net
from fer_lib.recipe import Recipe, RunSpec, list_recipes
from fer_lib.training import fit, loop
from fer_lib.training.balance import balance_indices
from fer_lib.training.randomness import derive_seed

SIDE = 12


def pictures(side=SIDE, train=35, rest=14):
    """Pictures of nothing in particular, with votes that call every fifth one not a face."""
    n, chance = train + 2 * rest, np.random.default_rng(0)
    votes = np.tile(np.array([9, 1], np.int64), (n, 1))
    votes[::5] = [1, 9]
    return FaceDataset(
        name="nothing",
        images=chance.integers(0, 256, (n, side, side), np.uint8),
        labels=np.arange(n) % 7,
        classes=FER2013_CLASSES,
        split=np.array(["train"] * train + ["val"] * rest + ["test"] * rest),
        source="drawn here",
        votes=votes,
        vote_classes=("neutral", "not_face"),
    )


def train(tmp_path, recipe, dataset=None, **spec):
    return fit(RunSpec(recipe, **spec), dataset or pictures(), tmp_path, device="cpu", say=lambda line: None)


# ---------------------------------------------------------------- against plain PyTorch


def plain_training(recipe, dataset):
    """The same training, written down once more without the library's loop, step, loss or split."""
    not_face = dataset.votes.argmax(1) == 1
    chosen = torch.from_numpy(np.flatnonzero((dataset.split == "train") & ~not_face))
    images = (torch.from_numpy(dataset.images).float().unsqueeze(1) / 255 - 0.5) / 0.25
    labels = torch.from_numpy(dataset.labels)
    torch.manual_seed(derive_seed(0, "init"))
    net = create_model(recipe.model, num_classes=7, **recipe.model_options)
    centers = torch.zeros(7, net.num_features)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(recipe.epochs):
        generator = torch.Generator().manual_seed(derive_seed(0, "epoch", epoch))
        order = chosen[balance_indices(labels[chosen], generator, {1: 11})]
        torch.manual_seed(derive_seed(0, "dropout", epoch))
        net.train()
        for batch in order.split(recipe.batch_size):
            if len(batch) < recipe.batch_size:
                break
            x, y = images[batch], labels[batch]
            features = net.embed(x)
            distance = (features - centers[y]).square().sum() / 2 / len(batch)
            loss = F.cross_entropy(net.classify(features), y) + 0.1 * distance
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for label in y.unique():
                members = features.detach()[y == label]
                centers[label] -= 0.5 * (centers[label] - members).sum(0) / (1 + len(members))
    return net.state_dict()


@pytest.mark.parametrize("mode", [True, False], ids=["built for training", "built for evaluation"])
def test_a_training_is_the_plain_one(tmp_path, monkeypatch, mode):
    """Train mode whatever it was, dropout, centers, balance and pictures left out."""
    monkeypatch.setattr(loop, "autocast_dtype", lambda device, chosen=None: torch.float32)
    monkeypatch.setattr(loop, "create_model", lambda *args, **options: create_model(*args, **options).train(mode))
    recipe = tiny_recipe(
        dataset="fer2013",
        augment={},
        loss={"name": "center", "weight": 0.1},
        optimizer={"name": "sgd", "lr": 0.05, "momentum": 0.9},
        schedule={"name": "constant"},
        clamp_gradient=None,
        balance={"disgust": {"count": 11}},
        leave_out="not_face",
        batch_size=8,
        epochs=2,
    )
    outcome = train(tmp_path, recipe)
    # What is kept are the weights of the epoch that the val part liked best.
    expected = plain_training(dataclasses.replace(recipe, epochs=outcome.epochs["val_selected"]), pictures())
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(outcome.weights[name], value, rtol=1e-3, atol=1e-4)


# ---------------------------------------------------------------- every value of every recipe


def changed(value):
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value / 2
        case str():
            return {"small": "imagenet", "imagenet": "small", "pooled": "small", "coord": "se", "channel": "se"}[value]
        case list():
            return [changed(value[0]), *value[1:]] if isinstance(value[0], float) else [value[0] - 1, *value[1:]]
        case dict():
            key = list(value)[-1]
            return value | {key: changed(value[key])}


def in_small(part, values):
    """What a recipe asks for, so that a picture of SIDE pixels and four epochs can show it."""
    pixels = {"crop": SIDE - 2, "resize": SIDE + 2 if "crop" in values else 50}
    epochs = {"start": 1, "every": 1, "warmup": 1, "patience": 0}
    small = {"augment": pixels, "schedule": epochs}.get(part, {})
    return {key: small.get(key, value) for key, value in values.items()}


def uses():
    """Each key of each part of each recipe once, with the whole part around it; and each name."""
    found = {}
    for recipe in list_recipes().values():
        if recipe.is_classical:
            continue
        for part in ("augment", "loss", "optimizer", "schedule"):
            values = getattr(recipe, part)
            for key in values:
                found.setdefault((part, values.get("name"), key), in_small(part, values))
    return found


USES = uses()
OTHER_NAME = {"loss": {"name": "focal"}, "optimizer": {"name": "adamw", "lr": 0.001}, "schedule": {"name": "one_cycle"}}


def trace(tmp_path, recipe, **spec):
    """A digest of the trained weights and of all predictions."""
    tmp_path.mkdir(exist_ok=True)
    outcome = train(tmp_path, recipe, **spec)
    digest = hashlib.sha256(safetensors.torch.save({k: v.contiguous() for k, v in outcome.weights.items()}))
    for kinds in outcome.probabilities["last"].values():
        for kind in ("plain", "tta"):
            digest.update(kinds[kind].tobytes())
    return digest.hexdigest()


def small_recipe(**changes):
    steady = {"schedule": {"name": "constant"}, "loss": {"name": "cross_entropy"}, "clamp_gradient": None}
    return tiny_recipe(**{"augment": {}, "epochs": 4, "batch_size": 8, "dataset": "fer2013"} | steady | changes)


@pytest.fixture(scope="module")
def traced():
    return {}


@pytest.mark.parametrize(("part", "name", "key"), USES, ids=["-".join(filter(None, use)) for use in USES])
def test_every_option_of_every_recipe_changes_the_training(tmp_path, traced, part, name, key):
    values = USES[part, name, key]
    if part == "optimizer":
        values = values | {"lr": 0.01}  # a rate at which decay and momentum show within 20 steps
    other = OTHER_NAME[part] if key == "name" else values | {key: changed(values[key])}
    if values == other:
        other = {"name": "cross_entropy"} if part == "loss" else {"name": "constant"}
    found = []
    for number, of_part in enumerate((values, other)):
        if repr((part, of_part)) not in traced:
            traced[repr((part, of_part))] = trace(tmp_path / str(number), small_recipe(**{part: of_part}))
        found.append(traced[repr((part, of_part))])
    assert found[0] != found[1]


VALUES = {
    "protocol": "picture_2to1",
    "model": "resnet18_eca",
    "model_options": {"width": 16, "layers": [1, 1, 1, 1], "dropout": 0.0},
    "augment": {"flip": 0.5},
    "test_views": "flip",
    "loss": {"name": "focal"},
    "optimizer": {"name": "adam", "lr": 0.01},
    "schedule": {"name": "cosine"},
    "batch_size": 7,
    "epochs": 3,
    "clamp_gradient": 0.001,
    "balance": {"disgust": {"count": 20}},
    "leave_out": "not_face",
    "precision": "bfloat16",
}


def test_every_field_changes_the_training(tmp_path):
    base = small_recipe(test_views="one", precision="float32", model_options={"width": 8, "layers": [1, 1, 1, 1]})
    torch.manual_seed(1)
    start = tmp_path / "start.safetensors"
    safetensors.torch.save_file(create_model(base.model, **base.model_options).state_dict(), start)
    said = {"name", "title", "dataset", "seeds", "sources", "code"}  # they say what is trained, and train nothing
    fields = {f.name for f in dataclasses.fields(Recipe)} - said
    assert VALUES.keys() | {"pretrained"} == fields
    traces = {"": trace(tmp_path / "base", base)}
    for field, value in {**VALUES, "pretrained": str(start)}.items():
        traces[field] = trace(tmp_path / field, dataclasses.replace(base, **{field: value}))
    traces |= {"seed": trace(tmp_path / "seed", base, seed=1), "limit": trace(tmp_path / "l", base, limit_train=30)}
    traces["limit_test"] = trace(tmp_path / "limit_test", base, limit_test=7)
    same = [f for f, digest in traces.items() if list(traces.values()).count(digest) > 1]
    assert not same, f"train alike: {same}"


def nets():
    """Each option of each net of the recipes once, on a net as small as its other options allow."""
    found = {}
    for recipe in list_recipes().values():
        for key in recipe.model_options:
            options = dict(recipe.model_options)
            if recipe.model.startswith("resnet") or recipe.model in ("gu", "hu", "zhang", "li"):
                narrow = 64 if "psa" in recipe.model or recipe.model == "gu" else 16
                options = {"layers": [1, 1, 1, 1], "width": narrow} | options
            found.setdefault((recipe.model, key), options)
    # Nets of 15 million weights and more have a dropout only, as others that are tried here.
    return {use: options for use, options in found.items() if not use[0].startswith(("vgg", "alexnet"))}


NETS = nets()


def net_trace(name, options):
    """A digest of what a net answers in training mode, and of its weights' names and shapes."""
    net = check_net(name, options)
    torch.manual_seed(0)
    model = create_model(name, **options)
    if not isinstance(model, nn.Module) or not list(model.parameters()):
        return repr(model) + repr(vars(model).get("components")) + repr(vars(model).get("dual"))
    torch.manual_seed(0)
    side = net.only or 48
    answer = model.train()(torch.linspace(-1, 1, 2 * side * side).view(2, 1, side, side))
    shapes = repr([(key, tuple(value.shape)) for key, value in model.state_dict().items()])
    return hashlib.sha256(answer.detach().numpy().tobytes() + shapes.encode()).hexdigest()


@pytest.mark.parametrize(("name", "key"), NETS, ids=["-".join(use) for use in NETS])
def test_every_option_of_every_net_changes_it(name, key):
    options = NETS[name, key]
    other = options | {key: 44 + 5 if key == "pixels" else changed(options[key])}
    if key in ("layers", "groups", "width"):
        other = options | {key: [2, 1, 1, 1] if key == "layers" else 2 * options[key]}
    assert net_trace(name, options) != net_trace(name, other)
