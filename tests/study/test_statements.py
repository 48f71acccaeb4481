"""Statements: each check against nets, tables and made-up trainings whose answer is known."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from fer_lib.claims import list_claims
from fer_lib.errors import UserError
from fer_lib.recipe import get_recipe
from fer_lib.study.results import Study
from fer_lib.study.statements import CHECKS, statement_finding, statement_table


def statement(name):
    return next(claim for claim in list_claims() if claim.id == name)


def run(recipe, seed, limit=None, predictions=None, started="2026-12-01T00:00:00+00:00", **history):
    """A full-length run with these columns in its history."""
    spec = {"recipe": get_recipe(recipe).training(), "seed": seed, "fold": None, "limit_train": limit}
    columns = {name: np.array(values, float) for name, values in history.items()}
    classes = ("angry", "disgust")
    return SimpleNamespace(
        id=f"{recipe}-{seed}",
        spec=spec,
        recipe=recipe,
        epochs=spec["recipe"]["epochs"],
        history=columns,
        predictions=predictions,
        classes=classes,
        content={"time": {"last_session_started": started}},
    )


def runs(recipe, curves, column="val_accuracy"):
    return [run(recipe, seed, **{column: curve}) for seed, curve in enumerate(curves)]


def test_every_check_is_one_and_every_one_is_used():
    named = {claim.check for claim in list_claims() if claim.check}
    assert named == set(CHECKS)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("gu/statements/resnet50_is_smaller", "contradicted"),
        ("gu/statements/densenet_is_smaller", "holds"),
        ("gu/statements/small", "holds in part"),
        ("zhang/statements/light", "holds in part"),
        ("li/statements/block_computes_less", "contradicted"),
        ("li/statements/adam_is_light", "contradicted"),
        ("hu/statements/highest", "contradicted by its own table"),
        ("zhang/statements/best_fer2013", "holds"),
        ("zhang/statements/best_ckplus", "contradicted by its own table"),
        ("hu/statements/small_targets", "not testable"),
        ("hu/statements/background", "not testable"),
        ("li/statements/settles", "not run"),
    ],
)
def test_what_no_run_is_needed_for(name, word):
    found = statement_finding(statement(name), Study())
    assert found.word == word
    assert not found.runs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"check": "fewer_parameter"}, "unknown check 'fewer_parameter'.*fewer_parameters"),
        ({"check": "fewer_macs", "models": ()}, "its check fewer_macs needs models"),
        ({"check": "settles", "recipe": "li/full/fer2013", "values": ()}, "its check settles needs values"),
        ({"check": "no_overfitting", "recipe": None}, "its check no_overfitting needs recipe"),
        ({"check": "converges_faster", "recipe": "li/full/fer2013", "baseline": None}, "needs baseline"),
    ],
)
def test_a_check_that_cannot_be_made_is_named(changes, message):
    claim = dataclasses.replace(statement("gu/statements/densenet_is_smaller"), **changes)
    with pytest.raises(UserError, match=f"claim {claim.id}: .*{message}"):
        statement_finding(claim, Study())


def test_sizes_are_the_nets_own():
    sentence = statement_finding(statement("gu/statements/resnet50_is_smaller"), Study()).sentence
    assert "23.51 million parameters, ResNet34 21.28 million" in sentence  # of one input channel and seven classes
    smaller = dataclasses.replace(statement("gu/statements/resnet50_is_smaller"), models=("resnet18", "resnet34"))
    assert statement_finding(smaller, Study()).word == "holds"
    half = statement("gu/statements/densenet_is_smaller")
    assert statement_finding(dataclasses.replace(half, values=(70,)), Study()).word == "contradicted"
    smallest = dataclasses.replace(half, models=("densenet121", "resnet50"), values=(70,))
    assert statement_finding(smallest, Study()).word == "holds"


FAST, SLOW = [0.2, 0.6, 0.6, 0.6], [0.2, 0.3, 0.4, 0.6]


@pytest.mark.parametrize(
    ("ours", "base", "word"),
    [
        ([FAST] * 3, [SLOW] * 3, "holds"),
        ([SLOW] * 3, [FAST] * 3, "contradicted"),
        ([FAST, FAST, SLOW], [SLOW] * 3, "undecided"),
        ([FAST] * 3, [FAST] * 3, "undecided"),
        ([FAST] * 3, [[0.2, 0.3, 0.3, 0.59], SLOW, [0.2, 0.3, 0.3, 0.5]], "holds"),  # one never gets there
        ([FAST] * 2, [SLOW] * 3, "not run"),
    ],
)
def test_a_net_converges_faster_if_every_seed_does(ours, base, word):
    claim = statement("li/statements/converges_faster")
    records = runs(claim.recipe, ours) + runs(claim.baseline, base)
    found = statement_finding(claim, Study(records))
    assert found.word == word
    assert len(found.runs) == (0 if word == "not run" else len(records))


def test_a_stand_in_contradicts_nobody():
    claim = statement("li/statements/converges_faster_narrow")
    found = statement_finding(claim, Study(runs(claim.recipe, [SLOW] * 3) + runs(claim.baseline, [FAST] * 3)))
    assert found.word == "not seen in a stand-in"
    assert "exploratory" not in found.sentence
    early = [run(claim.recipe, seed, started="2026-11-01T00:00:00+00:00", val_accuracy=SLOW) for seed in range(3)]
    assert statement_finding(claim, Study(early + runs(claim.baseline, [FAST] * 3))).sentence.endswith("exploratory")


def test_short_trainings_and_trainings_on_part_of_the_data_say_nothing():
    claim = statement("li/statements/no_overfitting")
    records = [run(claim.recipe, seed, limit=100, val_loss=[1, 1]) for seed in range(3)]
    short = run(claim.recipe, 3, val_loss=[1, 1])
    short.spec["recipe"], short.epochs = short.spec["recipe"] | {"epochs": 4}, 4
    assert statement_finding(claim, Study([*records, short])).word == "not run"
    same_seed = [run(claim.recipe, 0, val_loss=[1, 1]) for _ in range(3)]
    assert statement_finding(claim, Study(same_seed)).word == "not run"


@pytest.mark.parametrize(
    ("last", "word"), [((0.9, 0.9, 0.93), "holds"), ((0.9, 1.2, 0.9), "undecided"), ((1.0, 1.2, 1.5), "contradicted")]
)
def test_a_net_overfits_if_its_loss_rises_again(last, word):
    claim = statement("li/statements/no_overfitting")
    assert statement_finding(claim, Study(runs(claim.recipe, [[2, 0.9, end] for end in last], "val_loss"))).word == word


def test_without_validation_pictures_nobody_can_tell_whether_a_net_overfits():
    claim = statement("li/statements/no_overfitting")
    found = statement_finding(claim, Study(runs(claim.recipe, [[np.nan] * 3] * 3, "val_loss")))
    assert (found.word, found.sentence) == ("not testable", "its protocol has no validation pictures")


@pytest.mark.parametrize(("swing", "word"), [(0.005, "holds"), (0.02, "contradicted")])
def test_a_net_is_stable_if_it_stays_near_its_mean(swing, word):
    claim = statement("li/statements/settles")
    wild = [0.3, 0.6] * 100
    curves = [wild + [0.7 + swing, 0.7 - swing] * 50 for _ in range(3)]
    assert statement_finding(claim, Study(runs(claim.recipe, curves))).word == word


def test_without_validation_pictures_the_test_accuracy_is_watched():
    claim = statement("gu/statements/settles_ckplus")
    curve = {"val_accuracy": [np.nan] * 200, "test_accuracy": [0.5] * 100 + [0.9] * 100}
    assert statement_finding(claim, Study([run(claim.recipe, seed, **curve) for seed in range(3)])).word == "holds"


def test_the_rarest_class_is_the_one_compared():
    claim = statement("li/statements/focal_balances")
    labels = np.array([0] * 8 + [1] * 4)

    def answers(right_of_rare):
        predicted = np.zeros(12, int)
        predicted[8 : 8 + right_of_rare] = 1
        return {"test/labels": labels, "test/val_selected/tta": predicted}

    ours = [run(claim.recipe, seed, predictions=answers(3)) for seed in range(3)]
    base = [run(claim.baseline, seed, predictions=answers(1)) for seed in range(3)]
    found = statement_finding(claim, Study(ours + base))
    assert (found.word, "disgust" in found.sentence, "75.0 %" in found.sentence) == ("holds", True, True)
    swapped = dataclasses.replace(claim, recipe=claim.baseline, baseline=claim.recipe)
    assert statement_finding(swapped, Study(ours + base)).word == "contradicted"


def test_the_table_has_every_statement():
    table = statement_table(Study())
    assert table["claim"].tolist() == [claim.id for claim in list_claims() if claim.kind == "statement"]
    assert set(table["finding"]) == {
        "holds",
        "holds in part",
        "contradicted",
        "contradicted by its own table",
        "not run",
        "not testable",
    }
