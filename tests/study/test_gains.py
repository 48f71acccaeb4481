"""Gains: families, readings, what the tables say with none, one and several seeds, and the figure."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from mini_study import demo_paper
from scipy import stats
from tiny import write_run

from fer_lib import plots, recipe
from fer_lib.errors import UserError
from fer_lib.paths import ROOT
from fer_lib.recipe import Ablation, RunSpec, get_recipe, load_papers
from fer_lib.runs import read_records
from fer_lib.schema import check
from fer_lib.study.gains import (
    ablation_table,
    brief_gains,
    family_sentences,
    gain_table,
    list_ablations,
    of_families,
    readable_gains,
)
from fer_lib.study.groups import is_confirmatory
from fer_lib.study.results import Study

RESULTS = ROOT / "results"
NONE, SE, ECA, CBAM = (f"control/{module}/synthetic" for module in ("none", "se", "eca", "cbam"))


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


def gain_of(values, baseline):
    """Difference of means, the pooled standard deviation and its standard error, in points of 200 pictures."""
    ours, theirs = (np.array(list(side.values()), float) / 2 for side in (values, baseline))
    freedom = len(ours) + len(theirs) - 2
    spread = np.sqrt((((ours - ours.mean()) ** 2).sum() + ((theirs - theirs.mean()) ** 2).sum()) / freedom)
    return ours.mean() - theirs.mean(), spread, freedom


def test_a_gain_is_that_of_all_seeds_of_both(demo, tmp_path):
    se = {1: 130, 2: 127, 4: 134, 7: 128}
    records = records_of(tmp_path, {NONE: BASELINE, SE: se})
    table = gain_table(Study(records), [SE], NONE).set_index("recipe")
    row, (gain, spread, freedom) = table.loc[SE], gain_of(se, BASELINE)
    assert (row["seeds"], row["freedom"]) == (4, freedom)
    assert row["values"] == "65.00 63.50 67.00 64.00"
    assert (row["gain"], row["seed_sd"]) == pytest.approx((gain, spread))
    # Seeds alone give the least width; the pictures' part, which tests/test_statistics.py checks, adds to it.
    half = stats.t.ppf(0.975, freedom) * spread * np.sqrt(1 / 4 + 1 / 5)
    assert row["high"] - gain == pytest.approx(gain - row["low"])
    assert half < row["high"] - gain < 2 * half
    assert len(row["runs"].split()) == 4
    assert table.loc[NONE, ["seeds", "accuracy", "reading"]].tolist() == [5, pytest.approx(61.2), "baseline"]


def test_readings_follow_the_interval_of_the_whole_family(demo, tmp_path):
    clear = {seed: correct + 40 + seed % 2 for seed, correct in BASELINE.items()}
    same = {seed: BASELINE[(seed + 1) % 5] for seed in BASELINE}
    records = records_of(tmp_path, {NONE: BASELINE, SE: clear, ECA: same})
    table = gain_table(Study(records), [SE, ECA], NONE).set_index("recipe")
    assert table["reading"].tolist() == ["baseline", "gain", "undecided"]
    assert table.loc[ECA, "low_90"] < -1 < 1 < table.loc[ECA, "high_90"]
    swapped = gain_table(Study(records), [NONE], SE)
    assert swapped["reading"].tolist() == ["baseline", "loss"]
    assert swapped["gain"][1] == pytest.approx(-table.loc[SE, "gain"])
    # Three points alone are a gain; among five modules, four of them still to come, they are not.
    unsure = dict(zip(BASELINE, (4, 8, 6, 3, 10), strict=True))
    records = records_of(tmp_path / "unsure", {NONE: BASELINE, SE: {s: BASELINE[s] + unsure[s] for s in BASELINE}})
    others = [f"control/{module}/synthetic" for module in ("eca", "cbam", "simam", "bam")]
    alone, among = (gain_table(Study(records), family, NONE).iloc[1] for family in ([SE], [SE, *others]))
    assert alone["low"] > 0 > among["low"]
    assert (alone["reading"], among["reading"]) == ("gain", "undecided")


def test_a_spread_too_small_to_matter_is_the_same(demo, tmp_path):
    steady = dict.fromkeys(range(5), 122)
    records = records_of(tmp_path, {NONE: steady | {0: 123}, SE: steady})
    assert gain_table(Study(records), [SE], NONE)["reading"][1] == "within ±1 point"


def test_few_seeds_and_a_short_training_are_not_read(demo, tmp_path):
    records_of(tmp_path, {NONE: {0: 120, 1: 122}, SE: {0: 150}})
    records = records_of(tmp_path, {ECA: {0: 190, 1: 190, 2: 190}}, epochs=1)
    table = gain_table(Study(records), [SE, ECA], NONE).set_index("recipe")
    assert table.loc[SE, ["gain", "reading"]].tolist() == [pytest.approx(14.5), "too few: 1 of 3 seeds"]
    assert table.loc[ECA, ["seeds", "reading"]].tolist() == [0, "not run"]
    assert np.isnan(table.loc[ECA, "accuracy"])  # a short training is not shown beside a full one
    shown = readable_gains(table.reset_index())
    assert shown["net"].tolist() == ["ResNet18", "ResNet18 + SE"]


def test_without_the_baseline_nothing_is_compared(demo, tmp_path):
    table = gain_table(Study(records_of(tmp_path, {SE: BASELINE})), [SE], NONE)
    assert table["reading"].tolist() == ["not run", "too few: no run of the baseline"]


def test_the_first_of_a_family_opens_or_shuts_the_rest(demo, tmp_path, monkeypatch):
    far = {seed: correct + 40 + seed % 2 for seed, correct in BASELINE.items()}
    near = {seed: BASELINE[(seed + 1) % 5] for seed in BASELINE}
    table = {"baseline": "none/synthetic", "recipes": ["se/synthetic", "eca/synthetic"], "first": "se/synthetic"}
    monkeypatch.setitem(load_papers()["control"], "ablation", [table])
    records = records_of(tmp_path / "open", {NONE: BASELINE, SE: far, ECA: far})
    opened = ablation_table(Study(records), "control")
    assert opened["reading"].tolist() == ["baseline", "gain", "gain"]
    assert "read as undecided" not in family_sentences(opened)
    records = records_of(tmp_path / "shut", {NONE: BASELINE, SE: near, ECA: far})
    shut = ablation_table(Study(records), "control")
    assert shut["reading"].tolist() == ["baseline", "undecided", "undecided"]
    assert shut["low"][2] > 0
    assert "1 interval without zero is read as undecided: the proposed net is tested first" in family_sentences(shut)
    alike = records_of(tmp_path / "alike", {NONE: BASELINE, SE: near, ECA: BASELINE})
    monkeypatch.setattr("fer_lib.study.gains.SAME", 0.5)  # now both would read as within it
    shut = ablation_table(Study(alike), "control")
    assert shut["reading"].tolist() == ["baseline", "within ±1 point", "undecided"]
    with pytest.raises(UserError, match=r"here: .*first: bam/synthetic is none of the recipes"):
        check(Ablation, table | {"first": "bam/synthetic"}, "here")


def test_precisions_are_shown_and_told_apart(demo, tmp_path):
    def in_precision(runs, name):
        for record in records_of(tmp_path / name, runs):
            record.content["environment"]["precision"] = name
            yield record

    plain = {0: 120, 1: 124, 2: 122}
    low = list(in_precision({NONE: plain, SE: {s: c + 30 for s, c in plain.items()}}, "bfloat16"))
    high = list(in_precision({NONE: {s + 3: c + 20 for s, c in plain.items()}, SE: {3: 172}}, "float32"))
    row = gain_table(Study([*low, *high]), [SE], NONE).iloc[1]
    assert row["precision"] == "bfloat16 ×3, float32 ×1"
    naive = (np.mean([150, 154, 152, 172]) - np.mean([*plain.values(), 140, 144, 142])) / 2
    assert naive < 13
    assert row["gain"] == pytest.approx(15, abs=0.3)  # the precision's ten points are nobody's gain


def test_a_reading_says_whether_its_runs_were_seen_when_the_rules_were_written(demo, tmp_path):
    far = {seed: correct + 40 + seed % 2 for seed, correct in BASELINE.items()}
    records = records_of(tmp_path, {NONE: BASELINE, SE: far})

    def standing(after):
        for record in records:
            began = "2026-11-27T00:00:00+00:00" if record.spec["seed"] in after else "2026-11-20T00:00:00+00:00"
            record.content["time"]["last_session_started"] = began
        return gain_table(Study(records), [SE], NONE)["standing"][1]

    assert standing(()) == "exploratory"
    assert standing((3, 4)) == "exploratory"  # two later seeds confirm nothing
    assert standing((2, 3, 4)) == "confirmed"
    assert standing(range(5)) == "confirmatory"
    del records[0].content["time"]["last_session_started"]  # which a record need not have
    assert gain_table(Study(records), [SE], NONE)["standing"][1] == "confirmed"


def test_a_net_that_spreads_far_wider_leaves_the_others_as_they_are(demo, tmp_path):
    modest, wild = {s: c + 20 + s for s, c in BASELINE.items()}, {0: 40, 1: 200, 2: 90, 3: 10, 4: 160}
    table = gain_table(Study(records_of(tmp_path, {NONE: BASELINE, SE: modest, ECA: wild})), [SE, ECA], NONE)
    shares = [100 * np.array(list(net.values())) / 200 for net in (BASELINE, modest)]
    pooled = np.sqrt(sum(((x - x.mean()) ** 2).sum() for x in shares) / 8)
    assert table["seed_sd"].tolist() == pytest.approx([pooled] * 3)
    assert table["freedom"].tolist() == pytest.approx([8] * 3)
    wide = np.std(list(wild.values()), ddof=1) / 2
    assert table["own_sd"].tolist() == pytest.approx([np.nan, np.nan, wide], nan_ok=True)
    assert table["reading"].tolist() == ["baseline", "gain", "undecided"]
    words = family_sentences(table)
    assert f"deviation of {pooled:.2f} points over seeds (8 degrees of freedom" in words
    assert f"; ResNet18 + ECA spreads wider ({wide:.2f}) and is compared by its own spread" in words
    assert "ResNet18 + SE spreads" not in words


def test_other_pictures_are_never_compared(demo, tmp_path):
    records_of(tmp_path, {NONE: {0: 120, 1: 121}})
    write_run(tmp_path, RunSpec(get_recipe(SE), 0), correct=30, test=40, val=0)
    with pytest.raises(UserError, match=r"control-.*: their test labels differ"):
        gain_table(Study(read_records(tmp_path)[0]), [SE], NONE)


def test_recipes_that_differ_in_more_than_a_module_are_refused(demo):
    with pytest.raises(UserError, match="protocol is picture_10fold here, official there"):
        gain_table(Study(), ["demo/folds/synthetic"], "demo/good/synthetic")
    with pytest.raises(UserError, match="unknown recipe 'control/sse/synthetic'"):
        gain_table(Study(), ["control/sse/synthetic"], NONE)


def test_on_the_recorded_narrow_runs_the_analysis_is_that_of_an_independent_script():
    """Gains and single intervals computed by hand from the same predictions (exploratory runs, bfloat16)."""
    records = [r for r in read_records(RESULTS / "runs")[0] if not is_confirmatory(r)]
    for question, expected in {
        "": {"se": (-1.16, -1.81, -0.50), "eca": (-0.97, -1.62, -0.31), "coord": (-2.78, -3.49, -2.07),
             "simam": (0.26, -0.38, 0.91)},
        "start": {"coord_whole": (0.13, -0.51, 0.77), "none_half": (-1.00, -1.65, -0.35),
                  "none_quarter": (-2.02, -2.70, -1.35)},
    }.items():  # fmt: skip
        table = ablation_table(Study(records), "narrow", question=question).set_index("recipe")
        for name, numbers in expected.items():
            row = table.loc[f"narrow/{name}/fer2013"]
            # The script took the pictures' part from variance components, ours from mean squares: hundredths apart.
            assert row[["gain", "low_single", "high_single"]].tolist() == pytest.approx(numbers, abs=0.025)
            assert row["low"] < row["low_single"] < row["high_single"] < row["high"]
    assert table["seed_sd"].iloc[0] == pytest.approx(0.37, abs=0.005)
    assert table["freedom"].iloc[0] == 16


# ---------------------------------------------------------------- the study's own ablations


@pytest.mark.parametrize("paper", sorted(load_papers()))
def test_every_ablation_names_recipes_that_can_be_compared(paper):
    for recipes, baseline, *_ in list_ablations(paper):
        assert baseline not in recipes
        assert len(gain_table(Study(), recipes, baseline)) == len(recipes) + 1


def test_every_module_of_the_control_is_in_an_ablation():
    compared = {name for names, baseline, *_ in list_ablations("control") for name in (*names, baseline)}
    headline = ("official", "subject_10fold")  # the other protocols of CK+ are there to be audited
    recipes = recipe.list_recipes().values()
    assert compared == {r.name for r in recipes if r.name.startswith("control/") and r.protocol in headline}
    bottlenecks = next(names for names, baseline, *_ in list_ablations("control") if "bottleneck" in baseline)
    assert bottlenecks == ("control/psa/fer2013", "control/acmix/fer2013")


def test_families_come_with_their_baselines_and_with_no_other():
    rows = [
        ("a", "", ""), ("a_se", "a", ""), ("a_eca", "a", "own"), ("b", "", ""), ("b_se", "b", "own"), ("c", "", ""),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["recipe", "baseline", "family"])
    assert list(of_families(table, "")["recipe"]) == ["a", "a_se"]
    assert list(of_families(table, "own")["recipe"]) == ["a", "a_eca", "b", "b_se"]
    assert of_families(table, "other").empty


def test_each_net_stands_below_the_one_it_is_compared_with(demo, tmp_path):
    seeds = {seed: right + 3 for seed, right in BASELINE.items()}
    study = Study(records_of(tmp_path, {NONE: BASELINE, SE: seeds, ECA: seeds, CBAM: seeds}))
    tables = gain_table(study, [SE], NONE), gain_table(study, [ECA], SE), gain_table(study, [CBAM], NONE).iloc[1:]
    shown = brief_gains(pd.concat(tables, ignore_index=True))
    assert list(shown["net"]) == [get_recipe(name).title for name in (NONE, SE, CBAM, SE, ECA)]
    assert list(shown["reading"] == "baseline") == [True, False, False, True, False]


def test_an_ablation_without_a_baseline_is_refused():
    with pytest.raises(UserError, match="here: lacks baseline"):
        check(Ablation, {"recipes": ["se/synthetic"]}, "here")


def test_our_own_comparisons_are_told_from_the_papers(demo, tmp_path):
    records = records_of(tmp_path, {NONE: BASELINE, SE: {s: c + 30 + s for s, c in BASELINE.items()}})
    assert set(ablation_table(Study(records), claimed=False)["paper"]) == {"control"}
    assert set(ablation_table(Study(records), claimed=True)["paper"]) == {"demo"}


# ---------------------------------------------------------------- the figure


def test_the_figure_shows_every_gain_in_order_with_its_interval(demo, tmp_path):
    runs = {ECA: {s: c - 1 for s, c in BASELINE.items()}, SE: {s: c + 41 + s % 2 for s, c in BASELINE.items()}}
    records = records_of(tmp_path, {NONE: BASELINE} | runs)
    table = gain_table(Study(records), [ECA, SE, "control/bam/synthetic"], NONE)
    (axes,) = plots.gains(table).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["SE", "ECA"]
    assert [text.get_text() for text in axes.texts] == ["gain", "undecided"]
    assert axes.get_xlabel() == "gain in accuracy, points (1 comparisons without runs are left out)"
    dots = [np.asarray(found.get_offsets()) for found in axes.collections if len(found.get_offsets()) == 5]
    expected = [float(value) - 61.2 for row in (2, 1) for value in table["values"][row].split()]
    assert np.concatenate(dots)[:, 0] == pytest.approx(expected)
    lines = [segment[:, 0] for found in axes.collections if hasattr(found, "get_segments")
             for segment in found.get_segments()]  # fmt: skip
    assert [table["low"][2], table["high"][2]] == pytest.approx(lines[0])
    assert [table["low_90"][2], table["high_90"][2]] == pytest.approx(lines[1])


def test_the_figure_needs_no_runs(demo):
    (axes,) = plots.gains(ablation_table(Study(), "control")).axes
    assert [text.get_text() for text in axes.texts] == ["5 comparisons without runs are left out"]
    plots.svg(plots.gains(pd.DataFrame(columns=ablation_table(Study(), "control").columns)))
