"""A notebook's run: loaded, trained or replaced by the longest there is, and always said which."""

import numpy as np
import pytest

from fer_lib.errors import UserError
from fer_lib.recipe import RunSpec, get_recipe, with_changes
from fer_lib.study import run_page
from tests.tiny import write_run

NAME = "zhang/cbam_ends/fer2013"


def test_the_run_asked_for_is_loaded_and_else_the_longest(tmp_path):
    said = []
    options = {"results": tmp_path, "say": said.append, "dataset": "synthetic"}
    assert run_page.open_run(NAME, **options) is None
    recipe = with_changes(get_recipe(NAME), dataset="synthetic")
    assert f"TRAIN_MISSING = True trains {RunSpec(recipe).run_id} (500 epochs)" in said.pop()
    for epochs in (2, 5):
        write_run(tmp_path / "runs", RunSpec(with_changes(recipe, epochs=epochs)), correct=9)
    assert run_page.open_run(NAME, epochs=2, **options).epochs == 2
    assert not said
    assert run_page.open_run(NAME, **options).epochs == 5
    assert "below is the recipe's longest run" in said.pop()


def test_a_fold_is_needed_where_the_recipe_has_folds(tmp_path):
    with pytest.raises(UserError, match="needs a fold from 0 to 9"):
        run_page.open_run("zhang/cbam_ends/ckplus", results=tmp_path)
    with pytest.raises(UserError, match="takes no fold"):
        run_page.open_run(NAME, fold=1, results=tmp_path)


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
