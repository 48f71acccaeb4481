"""The ensemble: PublicTest chooses, PrivateTest is only reported."""

import numpy as np
import pytest
from mini_study import MINI, demo_paper
from tiny import write_run

from fer_lib.recipe import RunSpec, get_recipe
from fer_lib.runs import read_records, restore_probabilities
from fer_lib.study.ensemble import ensemble_table
from fer_lib.study.results import Study


@pytest.fixture(autouse=True)
def demo():
    with demo_paper():
        yield


def best_records():
    return [record for record in read_records(MINI / "runs")[0] if record.recipe.startswith("best/")]


def vote(records, part):
    """Accuracy of the members' mean probabilities, anew."""
    shares = sum(restore_probabilities(record.predictions[f"{part}/probabilities"]) for record in records)
    return np.mean(shares.argmax(1) == records[0].predictions[f"{part}/labels"])


def test_the_choice_is_the_best_on_publictest_whatever_privatetest_says():
    records = best_records()
    members = {name: [r for r in records if r.recipe == f"best/{name}/synthetic"] for name in ("one", "two", "three")}
    pairs = [("one", "two"), ("one", "three"), ("two", "three"), ("one", "two", "three")]
    scores = {
        part: {names: np.mean([vote([members[n][seed] for n in names], part) for seed in (0, 1)]) for names in pairs}
        for part in ("val", "test")
    }
    chosen = max(pairs, key=scores["val"].get)
    assert chosen != max(pairs, key=scores["test"].get)  # else this test would prove nothing

    table = ensemble_table(Study(records)).set_index("system")
    row = table.loc["ensemble, chosen on PublicTest"]
    assert row["note"].split(";")[0] == ", ".join(name.title() for name in chosen)
    assert row["val_accuracy"] == pytest.approx(100 * scores["val"][chosen])
    assert row["test_accuracy"] == pytest.approx(100 * scores["test"][chosen])
    assert table.loc["ensemble, all members", "test_accuracy"] == pytest.approx(100 * scores["test"][pairs[-1]])
    joined = [record for name in chosen for record in members[name]]
    in_one = table.loc["ensemble, chosen, all seeds in one"]
    assert in_one["test_accuracy"] == pytest.approx(100 * vote(joined, "test"))
    assert (in_one["nets"], in_one["seeds"]) == (4, 1)
    alone = np.mean([record.accuracy() for record in members["one"]])
    assert table.loc["One", "test_accuracy"] == pytest.approx(100 * alone)
    assert row["gain"] == pytest.approx(row["test_accuracy"] - 100 * alone)  # all are alike on PublicTest: the first


def test_only_seeds_that_every_member_has_vote(tmp_path):
    for name, seeds in (("one", (0, 1)), ("two", (1, 2))):
        for seed in seeds:
            write_run(tmp_path, RunSpec(get_recipe(f"best/{name}/synthetic"), seed), correct=20, test=40, val=20)
    table = ensemble_table(Study(read_records(tmp_path)[0])).set_index("system")
    assert table["seeds"].to_dict() == {
        "One": 2, "Two": 2, "Three": 0, "ensemble, chosen on PublicTest": 1, "ensemble, all members": 1
    }  # fmt: skip
    assert table.loc["Three", "note"] == "no run yet"
    assert table.loc["One", "note"] == "2 of 3 seeds"


def test_a_net_that_beats_every_mean_is_still_no_ensemble(tmp_path):
    for name, right in (("one", 40), ("two", 0), ("three", 0)):
        for seed in (0, 1):
            write_run(tmp_path, RunSpec(get_recipe(f"best/{name}/synthetic"), seed), correct=right, test=40, val=20)
    table = ensemble_table(Study(read_records(tmp_path)[0])).set_index("system")
    assert table.loc["ensemble, chosen on PublicTest", "nets"] >= 2


def test_one_net_or_none_is_no_ensemble():
    assert ensemble_table(Study())["note"].tolist() == ["no run yet"] * 3
    alone = [record for record in best_records() if "-two-" in record.id]
    assert ensemble_table(Study(alone))["system"].tolist() == ["One", "Two", "Three"]
