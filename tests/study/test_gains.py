"""Gains: which runs are paired, what the tables say with none, one and several seeds, and the figure."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from mini_study import demo_paper
from scipy import stats
from tiny import write_run

from fer_lib import plots, recipe
from fer_lib.errors import UserError
from fer_lib.recipe import RunSpec, get_recipe, load_papers
from fer_lib.runs import read_records
from fer_lib.study.claim_table import claim_table
from fer_lib.study.gains import ablation_table, gain_table, list_ablations, pair_up, readable_gains
from fer_lib.study.groups import group_records

NONE, SE, ECA = (f"control/{module}/synthetic" for module in ("none", "se", "eca"))


@pytest.fixture
def demo():
    with demo_paper():
        yield


def records_of(folder, runs, **changes):
    """Write records, ``{recipe: {seed: pictures right of 200}}``, and read all that are there."""
    for name, seeds in runs.items():
        for seed, correct in seeds.items():
            spec = RunSpec(dataclasses.replace(get_recipe(name), **changes), seed)
            write_run(folder, spec, correct=correct, test=200, val=0, offset=seed)
    return read_records(folder)[0]


BASELINE = {0: 120, 1: 124, 2: 122, 3: 121, 4: 125}


def test_a_gain_is_that_of_the_seeds_shared(demo, tmp_path):
    records = records_of(tmp_path, {NONE: BASELINE, SE: {1: 130, 2: 127, 4: 134, 7: 10}})
    table = gain_table(records, [SE], NONE).set_index("recipe")
    gains = np.array([130 - 124, 127 - 122, 134 - 125]) / 2
    row = table.loc[SE]
    assert row["seeds"] == 3
    assert row["gains"] == "3.00 2.50 4.50"
    assert (row["accuracy"], row["gain"]) == pytest.approx(((130 + 127 + 134) / 6, gains.mean()))
    assert row["gain_sd"] == pytest.approx(gains.std(ddof=1))
    assert row["p"] == row["p_holm"] == pytest.approx(stats.ttest_rel([130, 127, 134], [124, 122, 125]).pvalue)
    assert row["d_z"] == pytest.approx(gains.mean() / gains.std(ddof=1))
    spread = (np.var([65, 63.5, 67], ddof=1) + np.var([62, 61, 62.5], ddof=1)) / 2
    assert row["in_seed_sds"] == pytest.approx(gains.mean() / spread**0.5)
    assert len(row["runs"].split()) == 6
    assert table.loc[NONE, ["seeds", "accuracy", "reading"]].tolist() == [5, pytest.approx(61.2), "baseline"]


def test_readings_need_the_interval_and_the_corrected_test(demo, tmp_path):
    clear = {seed: correct + 40 + seed % 2 for seed, correct in BASELINE.items()}
    chance = {seed: correct + (-1) ** seed * 2 for seed, correct in BASELINE.items()}
    records = records_of(tmp_path, {NONE: BASELINE, SE: clear, ECA: chance})
    table = gain_table(records, [SE, ECA], NONE).set_index("recipe")
    assert table["reading"].tolist() == ["baseline", "gain", "no difference seen"]
    assert table.loc[SE, "p_holm"] == pytest.approx(2 * table.loc[SE, "p"])
    swapped = gain_table(records, [NONE], SE)
    assert swapped["reading"].tolist() == ["baseline", "loss"]
    assert swapped["gain"][1] == pytest.approx(-table.loc[SE, "gain"])
    # The interval excludes zero, the test says 2 %: a gain alone, and none among five modules, four of them to come.
    gains = dict(zip(BASELINE, (60, 20, 50, 10, 45), strict=True))
    records = records_of(
        tmp_path / "unsure", {NONE: BASELINE, SE: {s: BASELINE[s] + gain for s, gain in gains.items()}}
    )
    others = [f"control/{module}/synthetic" for module in ("eca", "cbam", "simam", "bam")]
    alone, among = (gain_table(records, family, NONE).iloc[1] for family in ([SE], [SE, *others]))
    assert alone["low"] == among["low"] > 0
    assert (alone["p_holm"], among["p_holm"]) == pytest.approx((alone["p"], 5 * alone["p"]))
    assert (alone["reading"], among["reading"]) == ("gain", "no difference seen")


def test_one_seed_and_a_short_training_are_shown_and_not_judged(demo, tmp_path):
    records_of(tmp_path, {NONE: {0: 120}, SE: {0: 150}})
    records = records_of(tmp_path, {ECA: {0: 190, 1: 190, 2: 190}}, epochs=1)
    table = gain_table(records, [SE, ECA], NONE).set_index("recipe")
    assert table.loc[SE, ["gain", "reading"]].tolist() == [pytest.approx(15), "not judged: 1 of 3 seeds"]
    assert table.loc[SE, ["low", "high", "p", "p_holm", "p_pictures", "d_z"]].isna().all()
    assert (table.loc[ECA, "accuracy"], table.loc[ECA, "reading"]) == (pytest.approx(95), "not judged: 1 of 3 epochs")
    assert np.isnan(table.loc[ECA, "gain"])  # a short training is not compared with a full one
    shown = readable_gains(table.reset_index()).set_index("system")
    assert shown.loc["ResNet18 + SE", ["p", "p, Holm", "p, McNemar"]].tolist() == ["–"] * 3
    assert shown["accuracy, %"]["ResNet18 + ECA"] == "95.00 ± 0.00, n = 3 (1 of 3 epochs)"


def test_short_trainings_are_compared_with_each_other_and_never_judged(demo, tmp_path):
    records_of(tmp_path, {NONE: BASELINE})
    short = {seed: correct + 50 for seed, correct in BASELINE.items()}
    records = records_of(tmp_path, {NONE: BASELINE, SE: short}, epochs=1)
    pair = pair_up(group_records(records), SE, NONE)
    assert (pair.ours.epochs, pair.baseline.epochs, pair.seeds) == (1, 1, (0, 1, 2, 3, 4))
    assert gain_table(records, [SE], NONE)["reading"][1] == "not judged: 1 of 3 epochs"


def test_without_the_baseline_nothing_is_compared(demo, tmp_path):
    records = records_of(tmp_path, {SE: BASELINE})
    table = gain_table(records, [SE], NONE)
    assert table["reading"].tolist() == ["no run yet", "not judged: no seed of the baseline to pair with"]
    assert pair_up(group_records(records), SE, NONE) is None


def test_other_pictures_are_never_paired(demo, tmp_path):
    records_of(tmp_path, {NONE: {0: 120}})
    write_run(tmp_path, RunSpec(get_recipe(SE), 0), correct=30, test=40, val=0)
    with pytest.raises(UserError, match=r"control-se-.* and control-none-.*: their test labels differ"):
        gain_table(read_records(tmp_path)[0], [SE], NONE)


def test_recipes_that_differ_in_more_than_a_module_are_refused(demo):
    with pytest.raises(UserError, match="protocol is picture_10fold here, official there"):
        gain_table([], ["demo/folds/synthetic"], "demo/good/synthetic")
    with pytest.raises(UserError, match="unknown recipe 'control/sse/synthetic'"):
        gain_table([], ["control/sse/synthetic"], NONE)


def test_a_class_never_predicted_has_recall_zero(demo, tmp_path, monkeypatch):
    # The nets are right about the first pictures alone, which are of the classes 0 to 3: happy (3), never surprise (5).
    runs = [write_run(tmp_path, RunSpec(get_recipe("demo/good/synthetic"), s), correct=4, test=7) for s in range(3)]
    claims = claim_table(runs).set_index("claim")
    assert claims.loc["demo/synthetic/good/happy", ["ours", "sd"]].tolist() == [100, 0]
    for entry in load_papers()["demo"]["claim"]:
        if entry["id"] == "synthetic/good/happy":
            monkeypatch.setitem(entry, "class_name", "surprise")
    recipe_claims = claim_table.__globals__["list_claims"]
    recipe_claims.cache_clear()
    row = claim_table(runs).set_index("claim").loc["demo/synthetic/good/happy"]
    recipe_claims.cache_clear()
    assert (row["measure"], row["ours"], row["low"], row["verdict"]) == ("recall of surprise", 0, 0, "within noise")


# ---------------------------------------------------------------- the study's own ablations


@pytest.mark.parametrize("paper", sorted(load_papers()))
def test_every_ablation_names_recipes_that_can_be_compared(paper):
    for recipes, baseline in list_ablations(paper):
        assert baseline not in recipes
        assert not [pair_up([], name, baseline) for name in recipes if pair_up([], name, baseline)]


def test_every_module_of_the_control_is_in_an_ablation():
    compared = {name for names, baseline in list_ablations("control") for name in (*names, baseline)}
    headline = ("official", "subject_10fold")  # the other protocols of CK+ are there to be audited
    recipes = recipe.list_recipes().values()
    assert compared == {r.name for r in recipes if r.name.startswith("control/") and r.protocol in headline}
    bottlenecks = next(names for names, baseline in list_ablations("control") if "bottleneck" in baseline)
    assert bottlenecks == ("control/psa/fer2013", "control/acmix/fer2013")


def test_an_ablation_without_a_baseline_is_named(demo, monkeypatch):
    monkeypatch.setitem(load_papers()["control"], "ablation", [{"recipes": ["se/synthetic"]}])
    with pytest.raises(UserError, match=r"papers/control.toml: an ablation has a baseline and recipes, not recipes"):
        list_ablations("control")


def test_a_papers_family_is_one_dataset(demo, tmp_path):
    records = records_of(tmp_path, {NONE: BASELINE, SE: {s: c + 30 + s for s, c in BASELINE.items()}})
    table = ablation_table(records, "control").set_index("recipe")
    assert table.loc[SE, "p_holm"] == pytest.approx(min(1, 5 * table.loc[SE, "p"]))  # five modules, one with runs
    own = ablation_table(records, claimed=False)
    assert set(own["paper"]) == {"control"}
    assert set(ablation_table(records, claimed=True)["paper"]) == {"demo"}


# ---------------------------------------------------------------- the figure


def test_the_figure_shows_every_gain_in_order_with_the_spread_of_seeds(demo, tmp_path):
    runs = {ECA: {s: c - 1 for s, c in BASELINE.items()}, SE: {s: c + 41 + s % 2 for s, c in BASELINE.items()}}
    records = records_of(tmp_path, {NONE: BASELINE} | runs)
    table = gain_table(records, [ECA, SE, "control/bam/synthetic"], NONE)
    (axes,) = plots.gains(table).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "ResNet18 + SE", "ResNet18 + ECA", "ResNet18 + BAM"
    ]  # fmt: skip
    assert [text.get_text() for text in axes.texts] == ["gain", "no run yet"]
    band = axes.patches[0]
    sds = table["sd"].dropna()
    assert band.get_width() / 2 == pytest.approx(2 * (2 * (sds**2).mean()) ** 0.5)
    shown = np.concatenate(
        [np.asarray(dots.get_offsets()) for dots in axes.collections if len(dots.get_offsets()) == 5]
    )
    expected = [float(gain) for row in (2, 1) for gain in table["gains"][row].split()]
    assert shown[:, 0] == pytest.approx(expected)


@pytest.mark.parametrize("records", [0, 1])
def test_the_figure_needs_no_runs(demo, tmp_path, records):
    runs = records_of(tmp_path, {NONE: {0: 120}, SE: {0: 150}}) if records else []
    axes = plots.gains(ablation_table(runs, "control")).axes[0]
    if records:
        assert {text.get_text() for text in axes.texts} == {"no run yet", "not judged: 1 of 3 seeds"}
        assert axes.axison
    else:  # no empty axes, a line of text
        (text,) = axes.texts
        assert text.get_text().startswith("no run yet: ResNet18 + SE; ResNet18 + ECA; ")
        assert not axes.axison
    assert not axes.patches  # one run has no spread
    plots.svg(plots.gains(pd.DataFrame(columns=ablation_table([], "control").columns)))
