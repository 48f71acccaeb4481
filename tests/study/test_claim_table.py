"""The claim table: a row for everything printed, and the values measured for each kind of claim."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from mini_study import MINI, demo_paper
from scipy import stats
from sklearn.metrics import f1_score, recall_score
from tiny import write_run

from fer_lib.claims import NUMBERS, list_claims
from fer_lib.paths import ROOT
from fer_lib.recipe import RunSpec, get_recipe, list_recipes
from fer_lib.runs import read_records
from fer_lib.study.claim_table import BRIEF, anchor, claim_table, headline_claims, readable_claims
from fer_lib.study.films import answers_by_person
from fer_lib.study.results import Study


@pytest.fixture(scope="module")
def without_runs():
    return claim_table(Study())


def test_every_printed_number_has_a_row(without_runs):
    printed = [claim.id for claim in list_claims() if claim.kind in NUMBERS]
    assert without_runs["claim"].tolist() == printed
    assert len(printed) > 100
    assert without_runs["ours"].isna().all()


def test_levels_on_unpublished_pictures_are_not_testable_and_gains_are(without_runs):
    hu = without_runs[without_runs["paper"] == "hu"]
    # One of its accuracies is no whole number of the 378 pictures that all the others are.
    assert hu.loc[hu["kind"] == "level", "verdict"].value_counts().to_dict() == {
        "not testable": 37, "impossible on that test set": 1,
    }  # fmt: skip
    gains = hu[hu["kind"] == "gain"]
    assert set(gains["verdict"]) == {"undecidable from the paper's own data"}
    assert all(gains["note"].str.contains("the paper's pictures are not public"))
    others = without_runs.loc[without_runs["paper"] != "hu", "verdict"].value_counts()
    assert others["contradicted by its own table"] == 5
    assert set(others.index) == {"not run", "contradicted by its own table", "impossible on that test set"}


def test_where_a_paper_does_not_say_how_its_folds_are_drawn_both_figures_are_told(without_runs, tmp_path):
    untold = without_runs[(without_runs["paper"] == "zhang") & (without_runs["dataset"] == "ckplus")]
    assert all(untold["note"].str.startswith("the paper does not say what its folds keep apart"))
    by_picture = RunSpec(get_recipe("ckplus_classical/gabor_svm_picture_folds/ckplus"))
    record = write_run(tmp_path, by_picture, correct=970, test=981, val=0)
    notes = claim_table(Study([record])).set_index("claim")["note"]
    assert "persons apart, and by picture the same has 98.9 %" in notes["zhang/ckplus/gps"]


def test_the_headlines_fit_where_there_is_little_room(without_runs):
    shown = readable_claims(headline_claims(without_runs))[list(BRIEF)]
    assert shown["ours, %"].eq("").all()
    assert set(shown["paper"]) == {"Gu & Jin", "Hu, Tang, Zhu & Zhu", "Li & Pan (2023)", "Zhang, Chen & Wei"}
    assert shown[shown["paper"] == "Zhang, Chen & Wei"]["printed, %"].tolist() == ["74.9", "95.1"]


def test_measures_are_those_of_scikit_learn():
    with demo_paper():
        records = read_records(MINI / "runs")[0]
        table = claim_table(Study(records)).set_index("claim")
    f1, happy = [], []
    for record in records:
        truth, predicted = (record.predictions[f"test/{name}"] for name in ("labels", "val_selected/tta"))
        if record.recipe == "demo/bad/synthetic":
            f1.append(100 * f1_score(truth, predicted, average="macro"))
        if record.recipe == "demo/good/synthetic":
            happy.append(100 * recall_score(truth, predicted, labels=[3], average=None)[0])
    found = table.loc[["demo/synthetic/bad/f1", "demo/synthetic/good/happy"], ["ours", "sd"]].to_numpy()
    assert found == pytest.approx(np.array([[np.mean(v), np.std(v, ddof=1)] for v in (f1, happy)]))
    assert table["measure"]["demo/synthetic/bad/f1"] == "F1, mean of classes"


def test_a_gain_tested_on_other_pictures_says_so():
    with demo_paper():
        row = claim_table(Study(read_records(MINI / "runs")[0])).set_index("claim").loc["demo/own/ours_gain"]
    assert row["verdict"] == "undecidable from the paper's own data"
    assert row["note"] == "ours on drawn faces, the paper's pictures are not public"
    assert len(row["runs"].split()) == 6


def test_one_run_of_the_net_itself_takes_no_verdict_away(tmp_path):
    """Three runs judge; before, what smaller nets and the paper's own numbers say stands."""
    small = [RunSpec(get_recipe("ckplus/w16_picture_2to1/ckplus"), seed) for seed in range(3)]
    records = [write_run(tmp_path, spec, correct=320 + spec.seed, test=327, val=0) for spec in small]
    before = claim_table(Study(records), "gu").set_index("claim")["verdict"]
    own = [RunSpec(get_recipe(f"gu/{net}/ckplus"), 0) for net in ("basic", "psa_joint_weighted")]
    records += [write_run(tmp_path, spec, correct=300, test=327, val=0) for spec in own]
    after = claim_table(Study(records), "gu").set_index("claim")
    assert after.loc["gu/ckplus/basic", "seeds"] == 1
    claims = ["gu/ckplus/basic", "gu/ckplus/psa_joint"]
    assert before[claims].tolist() == after["verdict"][claims].tolist() == ["exceeded", "impossible on that test set"]


def test_a_fitted_pipeline_is_judged_by_one_run(tmp_path):
    with demo_paper():
        once = {"loss": {}, "optimizer": {}, "schedule": {}, "augment": {}, "epochs": 1}
        fitted = dataclasses.replace(get_recipe("demo/good/synthetic"), model="gabor_svm", **once)
        write_run(tmp_path, RunSpec(fitted), correct=30, test=40)
        trained = read_records(MINI / "runs")[0]
        by_chance = claim_table(Study([r for r in trained if r.recipe == "demo/lonely/synthetic"])).set_index("claim")
        assert by_chance["verdict"]["demo/synthetic/lonely"] == "undecided"
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(list_recipes(), fitted.name, fitted)
            table = claim_table(Study(read_records(tmp_path)[0])).set_index("claim")
    assert table["verdict"]["demo/synthetic/good"] == "consistent"  # 30 of 40 are the printed 75 %
    assert pd.isna(table["sd"]["demo/synthetic/good"])


def test_a_pipeline_on_a_fixed_split_of_ckplus_may_meet_other_persons():
    study = Study.load(ROOT / "results")
    row = claim_table(study, "zhang").set_index("claim").loc["zhang/ckplus/gps"]
    found = answers_by_person(study.full("zhang/gabor_svm/ckplus"))
    drawn = stats.bootstrap(
        (found.right, found.asked), lambda r, a, axis: r.sum(axis) / a.sum(axis), paired=True, vectorized=True,
        method="percentile", rng=np.random.default_rng(0),
    )  # fmt: skip
    # Ours and theirs are of other persons each, so that the interval is wider by the root of two.
    assert row["high"] - row["low"] == pytest.approx(100 * np.sqrt(2) * 3.92 * drawn.standard_error, rel=0.05)
    assert (row["low"] + row["high"]) / 2 == pytest.approx(row["ours"])


def test_links_lead_to_the_headings_of_the_page_of_runs():
    page = (MINI / "tables" / "runs.md").read_text()
    headings = {anchor(line.removeprefix("### ")) for line in page.splitlines() if line.startswith("### ")}
    linked = {part.split(")")[0] for part in (MINI / "tables" / "claims.md").read_text().split("(runs.md#")[1:]}
    assert linked
    assert linked <= headings
    assert anchor("zhang/cbam_ends/fer2013") == "zhangcbam_endsfer2013"
