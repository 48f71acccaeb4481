"""Two runs side by side: found by the names of their folders, compared class by class, differences marked."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from fer_lib.errors import UserError
from fer_lib.explore.runs import compare, recall_table, run_index, run_panel
from fer_lib.recipe import RunSpec, get_recipe
from fer_lib.runs import read_record
from tests.tiny import write_run

NONE, SE = "narrow/none/fer2013", "narrow/se/fer2013"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two nets of 70 test pictures: one names 30 of them rightly, the other 65; a third one with a fold."""
    folder = tmp_path_factory.mktemp("study") / "runs"
    for name, correct in ((NONE, 30), (SE, 65)):
        write_run(folder, RunSpec(dataclasses.replace(get_recipe(name), epochs=3)), correct=correct, test=70)
    write_run(folder, RunSpec(get_recipe("zhang/plain/ckplus"), seed=2, fold=3), correct=5, test=14)
    return folder


def test_the_folders_names_say_which_runs_there_are(runs, tmp_path):
    found = run_index(runs)
    assert list(found) == [NONE, SE, "zhang/plain/ckplus"]
    assert list(found["zhang/plain/ckplus"]) == ["seed 2, fold 3"]
    assert read_record(runs / found[SE]["seed 0"]).recipe == SE
    assert run_index(tmp_path / "nothing") == {}


def test_recalls_and_their_test(runs):
    first, second = (read_record(runs / run_index(runs)[name]["seed 0"]) for name in (NONE, SE))
    table = recall_table(first, second)
    labels = np.arange(70) % 7
    for number, name in enumerate(first.classes):
        of_class = np.flatnonzero(labels == number)
        assert table.loc[name, "first"] == pytest.approx(100 * (of_class < 30).mean())
        assert table.loc[name, "second"] == pytest.approx(100 * (of_class < 65).mean())
    assert table.loc["all", "difference"] == pytest.approx(50)
    assert table.loc["all", "p"] == pytest.approx(stats.binomtest(35, 35).pvalue, abs=1e-4)
    assert table.loc["all", "differs"] == "▲"
    assert recall_table(second, first).loc["all", "differs"] == "▼"


def test_other_pictures_are_compared_by_eye_alone(runs):
    first, third = (read_record(runs / next(iter(of.values()))) for of in list(run_index(runs).values())[::2])
    third.content["classes"] = first.content["classes"]
    assert "p" not in recall_table(first, third)
    assert "no difference is tested" in compare(first, third).words
    third.content["classes"] = first.content["classes"][:5]
    with pytest.raises(UserError, match="different classes"):
        recall_table(first, third)


def test_the_panel_narrows_papers_to_recipes_to_runs(runs, tmp_path):
    panel = run_panel(runs)
    panel.redraw()
    assert "1: ResNet18 of width 16, seed " in panel.words.value
    assert panel.figures.count == 3
    assert "differs" in panel.table.value
    paper, recipe, run = panel.row.children[1].children
    paper.value = "zhang"
    assert (recipe.value, run.label) == ("zhang/plain/ckplus", "seed 2, fold 3")
    assert "no difference is tested" in panel.words.value
    empty = run_panel(tmp_path)
    empty.redraw()
    assert "no run is recorded" in empty.words.value
