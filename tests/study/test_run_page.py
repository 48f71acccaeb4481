"""A notebook's run: loaded, trained, or said what it would take; mistakes and stops in the notebook's words."""

import numpy as np
import pytest

from fer_lib.errors import UserError
from fer_lib.recipe import RunSpec, get_recipe, with_changes
from fer_lib.study import run_page
from fer_lib.training import Interrupted
from tests.tiny import write_run

NAME = "zhang/cbam_ends/fer2013"


@pytest.fixture
def said(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_RESULTS", str(tmp_path))  # where the costs of nets are kept
    return []


def test_the_run_asked_for_is_loaded_and_another_only_when_asked_for(tmp_path, said):
    options = {"results": tmp_path, "say": said.append, "dataset": "synthetic"}
    recipe = with_changes(get_recipe(NAME), dataset="synthetic")
    records = [
        write_run(tmp_path / "runs", RunSpec(with_changes(recipe, epochs=epochs)), correct=9) for epochs in (2, 5)
    ]
    assert run_page.open_run(NAME, epochs=2, **options).epochs == 2
    assert not said
    assert run_page.open_run(NAME, records=records, **options) is None
    missing, other = said
    assert missing.startswith(f"{RunSpec(recipe).run_id} (500 epochs) is not recorded")
    assert missing.endswith(f"\n    fer train {NAME} --seed 0 --dataset synthetic")
    assert "minutes on this device" in missing
    assert f"SHOW_OTHER = True shows the recipe's longest run, {records[1].id}" in other
    assert run_page.open_run(NAME, records=records, show_other=True, **options).epochs == 5


def test_the_command_has_what_the_parameters_changed(tmp_path, said):
    run_page.open_run(NAME, seed=3, epochs=7, limit_train=64, limit_test=14, results=tmp_path, say=said.append)
    assert said.pop().endswith(f"fer train {NAME} --seed 3 --epochs 7 --limit-train 64 --limit-test 14")
    run_page.open_run(NAME, width=16, results=tmp_path, say=said.append)  # which the command line does not offer
    assert said.pop().endswith("\n    TRAIN_MISSING = True")


def test_several_gpus_are_named_of_which_a_notebook_uses_one(tmp_path, said, monkeypatch):
    run_page.open_run(NAME, results=tmp_path, say=said.append)
    assert "GPUs" not in said.pop()
    monkeypatch.setattr(run_page, "usable_gpus", lambda: [0, 1])
    run_page.open_run(NAME, results=tmp_path, say=said.append)
    assert ", one of 2 GPUs: fer study run uses all" in said.pop()


def test_a_run_is_named_by_what_it_was_trained_on(tmp_path):
    drawn = with_changes(get_recipe(NAME), dataset="synthetic")
    assert RunSpec(drawn).run_id.startswith("zhang-cbam_ends-synthetic-s0-")
    assert RunSpec(get_recipe(NAME)).run_id.startswith("zhang-cbam_ends-fer2013-s0-")
    own = with_changes(get_recipe(NAME), dataset=f"folder:{tmp_path}/a b")
    assert RunSpec(own).run_id.startswith("zhang-cbam_ends-folder-s0-")


@pytest.mark.parametrize(("minutes", "asked"), [(11, True), (9, False), (None, False)])
def test_a_long_training_is_begun_when_the_reader_says_yes(tmp_path, said, monkeypatch, minutes, asked):
    questions = []
    monkeypatch.setattr(run_page, "expected_minutes", lambda *_: minutes)
    monkeypatch.setattr(run_page, "train_run", lambda spec, **_: "trained")
    options = {"train_missing": True, "results": tmp_path, "say": said.append}

    def ask(question):
        questions.append(question)
        return False

    found = run_page.open_run(NAME, ask=ask, **options)
    assert found == (None if asked else "trained")
    assert bool(questions) == asked
    assert run_page.open_run(NAME, ask=lambda _: True, **options) == "trained"


def test_an_interrupted_training_says_where_it_stopped_and_how_to_go_on(tmp_path, said, monkeypatch):
    def stopped(spec, **_):
        raise Interrupted("stopped by SIGINT at epoch 2 of 9, step 3 of 4; start it again to continue")

    monkeypatch.setattr(run_page, "train_run", stopped)
    monkeypatch.setattr(run_page, "expected_minutes", lambda *_: 1)
    with pytest.raises(Interrupted) as caught:
        run_page.open_run(NAME, train_missing=True, results=tmp_path, say=said.append)
    where, how = caught.value._render_traceback_()
    assert where.startswith("stopped by SIGINT at epoch 2 of 9, step 3 of 4")
    assert how == "Run this cell again to go on from there."


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("zhang/cbam_ends/ckplus", {}, "FOLD = -1: protocol 'subject_10fold' needs a fold from 0 to 9"),
        (NAME, {"fold": 1}, f"FOLD = 1: a run of {NAME} takes no fold; leave it out"),
        (NAME, {"seed": -2}, "SEED = -2: must be 0 or more"),
        (NAME, {"limit_train": -3}, "LIMIT_TRAIN = -3: must be 1 or more"),
    ],
)
def test_a_mistake_is_told_in_the_notebooks_words(tmp_path, name, given, words):
    with pytest.raises(UserError) as caught:
        run_page.open_run(name, results=tmp_path, **given)
    assert caught.value._render_traceback_() == [words]


def test_summary_and_confusion_say_what_the_record_says(tmp_path):
    record = write_run(tmp_path, RunSpec(with_changes(get_recipe(NAME), epochs=3), seed=4), correct=13)
    facts = run_page.summary(record).iloc[:, 0]
    assert facts["epochs"] == "3 of the recipe's 500"
    assert facts["seed"] == 4
    assert facts["pictures: training, validation, test"] == "100, 10, 20"
    matrix = run_page.confusion(record).axes[0].collections[0].get_array().reshape(7, 7)
    labels = np.arange(20) % 7  # the first 13 right, the others called the next class
    right = [100 * (labels[:13] == c).sum() / (labels == c).sum() for c in range(7)]
    assert np.allclose(np.diag(matrix), right)
