"""Recipes: the papers' files build, bad tables are named, and a spec's identity is stable."""

import dataclasses

import pytest
import torch
from tiny import tiny_recipe

from fer_lib.augment import VIEWS, face_view
from fer_lib.data import PROTOCOLS
from fer_lib.errors import UserError
from fer_lib.losses import create_loss
from fer_lib.models import create_model
from fer_lib.models.classical import ClassicalModel
from fer_lib.recipe import RunSpec, get_recipe, list_recipes, load_papers, parse_recipes, with_changes
from fer_lib.training.optimisers import create_optimizer, learning_rate

CLASSES = 7
STEADY = {"name": "constant"}


def table(**changes):
    """A valid [[recipe]] table; None removes a field."""
    values = {
        "name": "plain/faces",
        "title": "Plain",
        "dataset": "fer2013",
        "protocol": "official",
        "model": "resnet18",
        "augment": {"crop": 44},
        "test_views": "one",
        "loss": {"name": "cross_entropy"},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "schedule": {"name": "constant"},
        "batch_size": 8,
        "epochs": 2,
    }
    values["sources"] = dict.fromkeys([*values, *changes], "section 1")
    return {key: value for key, value in (values | changes).items() if value is not None}


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_builds(name):
    recipe = get_recipe(name)
    with torch.device("meta"):  # shapes without the seconds that random weights take
        model = create_model(recipe.model, num_classes=CLASSES, **recipe.model_options)
    if isinstance(model, ClassicalModel):  # fitted once by its own solver
        assert (recipe.epochs, recipe.augment, recipe.test_views) == (1, {}, "one")
        return
    create_loss(**recipe.loss, num_classes=CLASSES, feature_dim=model.num_features)
    size = face_view(recipe.augment).resize
    assert size >= model.min_size
    assert size == model.input_size or not model.fixed_size
    assert recipe.test_views in VIEWS
    create_optimizer(recipe.optimizer, [torch.nn.Parameter(torch.zeros(1))])
    for epoch in range(recipe.epochs):
        rate = learning_rate(recipe.schedule, recipe.optimizer["lr"], epoch + 0.5, recipe.epochs, [0.5] * epoch)
        assert 0 < rate <= recipe.optimizer["lr"]


def test_every_value_has_a_source_and_every_source_a_value():
    fields = {f.name for f in dataclasses.fields(get_recipe("zhang/cbam_ends/fer2013"))}
    for paper, content in load_papers().items():
        for values in content.get("recipe", []):
            own = values.keys() - {"name", "title", "dataset", "extends", "seeds", "sources"}
            if values.get("protocol") == "official":
                own -= {"protocol"}
            assert own <= values["sources"].keys(), f"{paper}: {values['name']}"
            assert values["sources"].keys() <= fields, f"{paper}: {values['name']}"
            assert all(text.strip() for text in values["sources"].values())


def test_zhang_is_trained_as_its_paper_and_its_model_code_say():
    recipe = get_recipe("zhang/cbam_ends/fer2013")
    assert (recipe.epochs, recipe.batch_size, recipe.clamp_gradient) == (500, 128, 0.1)
    assert recipe.optimizer == {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}
    assert recipe.augment["crop"] == 44
    control = get_recipe("zhang/plain/fer2013")
    differences = {key for key, value in recipe.training().items() if control.training()[key] != value}
    assert differences == {"name", "model"}


def test_extends_inherits_what_is_not_replaced():
    child = {
        "name": "child/faces",
        "title": "Child",
        "extends": "plain/faces",
        "schedule": {"name": "cosine"},
        "sources": {"schedule": "section 2"},
    }
    parent, child = parse_recipes("demo", [table(augment={"crop": 40}), child])
    assert (parent.name, child.name) == ("demo/plain/faces", "demo/child/faces")
    assert child.schedule == {"name": "cosine"}
    assert (child.augment, child.epochs) == ({"crop": 40}, 2)
    assert (child.sources["schedule"], child.sources["epochs"]) == ("section 2", "section 1")
    assert parent.sources["schedule"] == "section 1"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (table(epoch=3), "unknown key 'epoch': did you mean epochs"),
        (table(epochs=None), "lacks epochs"),
        (table(epochs="2"), "epochs = '2': expected a whole number, got text"),
        (table(loss="cross_entropy"), "loss = 'cross_entropy': expected a table, got text"),
        (table(clamp_gradient="0.1"), "clamp_gradient = '0.1': expected a number or nothing, got text"),
        (table(protocol="oficial"), "protocol: unknown value 'oficial': did you mean official"),
        (table(extends="later/faces"), "extends 'later/faces'"),
        (table(sources={}), "model has no source"),
        (table(sources=None), "model has no source"),
    ],
)
def test_a_bad_table_is_named_in_one_line(bad, words):
    with pytest.raises(UserError) as caught:
        parse_recipes("demo", [bad])
    message = str(caught.value)
    assert "papers/demo.toml, recipe demo/plain/faces" in message
    assert words in message
    assert "\n" not in message


def test_an_inherited_source_does_not_vouch_for_a_new_value():
    child = {"name": "child/faces", "title": "Child", "extends": "plain/faces", "epochs": 9, "sources": {}}
    with pytest.raises(UserError, match="recipe demo/child/faces: epochs has no source"):
        parse_recipes("demo", [table(), child])


@pytest.mark.parametrize("second", [table(), {"title": "No name", "extends": "plain/faces"}])
def test_every_recipe_needs_a_name_of_its_own(second):
    with pytest.raises(UserError, match="a name of its own"):
        parse_recipes("demo", [table(), second])


def test_an_unknown_recipe_suggests_the_nearest():
    with pytest.raises(UserError, match="did you mean zhang/cbam_ends/fer2013"):
        get_recipe("zhang/cbam_end/fer2013")


# ---------------------------------------------------------------- identity


def test_the_identity_never_changes():
    # Records already written are found by this name. If it must change, every record must be renamed.
    assert RunSpec(tiny_recipe()).run_id == "test-tiny-synthetic-s0-7646035d"


def test_the_same_spec_has_the_same_identity():
    assert RunSpec(tiny_recipe(), 3).digest == RunSpec(tiny_recipe(), 3).digest


@pytest.mark.parametrize(
    "other",
    [
        RunSpec(tiny_recipe(), 1),
        RunSpec(tiny_recipe(), limit_train=10),
        RunSpec(tiny_recipe(name="test/tiny/other")),
        RunSpec(tiny_recipe(dataset="fer2013")),
        RunSpec(tiny_recipe(protocol="picture_2to1", schedule=STEADY)),
        RunSpec(tiny_recipe(model="resnet34")),
        RunSpec(tiny_recipe(model_options={"width": 16})),
        RunSpec(tiny_recipe(augment={"crop": 44})),
        RunSpec(tiny_recipe(test_views="one")),
        RunSpec(tiny_recipe(loss={"name": "focal"})),
        RunSpec(tiny_recipe(optimizer=tiny_recipe().optimizer | {"lr": 0.1})),
        RunSpec(tiny_recipe(schedule={"name": "constant"})),
        RunSpec(tiny_recipe(batch_size=8)),
        RunSpec(tiny_recipe(epochs=4)),
        RunSpec(tiny_recipe(clamp_gradient=None)),
        RunSpec(tiny_recipe(protocol="picture_10fold", schedule=STEADY), fold=0),
        RunSpec(tiny_recipe(protocol="picture_10fold", schedule=STEADY), fold=1),
    ],
    ids=lambda spec: spec.run_id,
)
def test_any_change_is_another_run(other):
    assert other.digest != RunSpec(tiny_recipe()).digest


def test_folds_are_different_runs():
    recipe = tiny_recipe(protocol="picture_10fold", schedule=STEADY)
    names = {RunSpec(recipe, fold=fold).run_id for fold in range(10)}
    assert len(names) == 10


def test_what_cannot_change_the_outcome_is_no_part_of_the_identity():
    recipe = tiny_recipe(title="another title", sources={"epochs": "elsewhere"})
    assert RunSpec(recipe).digest == RunSpec(tiny_recipe()).digest


@pytest.mark.parametrize("field", ["clamp_gradient", "seeds"])
def test_nothing_is_said_by_leaving_it_out_not_by_zero(field):
    with pytest.raises(UserError, match=f"recipe test/tiny/synthetic: {field} = 0: expected a .*number >=? [01]"):
        tiny_recipe(**{field: 0})


def test_an_optional_field_at_its_default_is_left_out():
    plain = tiny_recipe(model_options={}, clamp_gradient=None)
    assert not {"model_options", "clamp_gradient"} & plain.training().keys()
    assert {"model_options", "clamp_gradient"} <= tiny_recipe().training().keys()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"fold": 0}, "--fold 0: a run of .* takes no fold; leave it out"),
        ({"seed": -1}, "--seed -1"),
        ({"limit_train": 0}, "--limit-train 0"),
    ],
)
def test_a_bad_spec_is_refused(values, words):
    with pytest.raises(UserError, match=words):
        RunSpec(tiny_recipe(), **values)


@pytest.mark.parametrize("fold", [None, -1, 10])
def test_a_protocol_with_folds_needs_one_of_them(fold):
    assert PROTOCOLS["picture_10fold"] == 10
    with pytest.raises(UserError, match="needs a fold from 0 to 9"):
        RunSpec(tiny_recipe(protocol="picture_10fold", schedule=STEADY), fold=fold)


def test_with_changes():
    recipe = get_recipe("zhang/cbam_ends/ckplus")
    assert with_changes(recipe) == recipe
    changed = with_changes(recipe, dataset="synthetic", epochs=1, batch_size=4)
    assert (changed.dataset, changed.protocol, changed.epochs, changed.batch_size) == ("synthetic", "official", 1, 4)
    assert with_changes(get_recipe("zhang/cbam_ends/fer2013"), dataset="ckplus").protocol == "subject_10fold"
    assert with_changes(recipe, dataset="ckplus").protocol == recipe.protocol
    with pytest.raises(UserError, match="batch_size = 0: expected a whole number >= 1"):
        with_changes(recipe, batch_size=0)
    with pytest.raises(UserError, match="epochs = -1: expected a whole number >= 1"):
        with_changes(recipe, epochs=-1)


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("optimizer.lr=0.05", "optimizer", {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}),
        ("optimizer={name='adam', lr=1e-3}", "optimizer", {"name": "adam", "lr": 1e-3}),
        ("optimizer.momentum=none", "optimizer", {"name": "sgd", "lr": 0.05, "weight_decay": 5e-4}),
        ("augment.erase.p = 0.3", "augment", {"crop": 24, "flip": 0.5, "erase": {"p": 0.3}}),
        ("loss.name=cross_entropy", "loss", {"name": "cross_entropy"}),
        ("epochs=2", "epochs", 2),
        ("clamp_gradient=none", "clamp_gradient", None),
        ("model_options=none", "model_options", {}),
        ("precision=bfloat16", "precision", "bfloat16"),
    ],
)
def test_any_value_can_be_set(setting, field, value):
    changed = with_changes(tiny_recipe(), settings=[setting])
    assert changed == dataclasses.replace(tiny_recipe(), **{field: value})


def test_settings_come_last_and_one_after_the_other():
    changed = with_changes(tiny_recipe(), epochs=9, settings=["epochs=1", "loss={name='focal'}", "loss.gamma=1"])
    assert (changed.epochs, changed.loss) == (1, {"name": "focal", "gamma": 1})
    assert RunSpec(with_changes(tiny_recipe(), settings=["epochs=2"])) == RunSpec(with_changes(tiny_recipe(), epochs=2))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("optimizer.lr", "--set optimizer.lr: write KEY=VALUE"),
        ("optimizr.lr=1", "unknown value of a recipe 'optimizr': did you mean optimizer"),
        ("optimizer.lrr=1", "optimizer sgd: unknown key 'lrr': did you mean lr"),
        ("optimizer.lr=-1", "optimizer sgd: lr = -1: expected a number > 0.0"),
        ("optimizer.lr=fast", "optimizer sgd: lr = 'fast': expected a number"),
        ("batch_size.x=1", "x would be a key of 16, which is no table"),
        ("name=other", "unknown value of a recipe 'name'"),
        ("seeds=3", "unknown value of a recipe 'seeds'"),
        ("code.loss=1", "unknown value of a recipe 'code'"),
        ("epochs=none", "epochs = None: expected a whole number"),
    ],
)
def test_a_setting_is_checked_as_the_recipe_is(setting, words):
    with pytest.raises(UserError, match=words):
        with_changes(tiny_recipe(), settings=[setting])


def test_a_limit_says_how_it_is_drawn_and_its_absence_changes_nothing():
    assert "limits" not in RunSpec(tiny_recipe()).as_dict()
    for limit in ({"limit_train": 9}, {"limit_test": 9}):
        assert RunSpec(tiny_recipe(), **limit).as_dict()["limits"] == "by_class"
