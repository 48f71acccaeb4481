"""Modules of one's own: what is planned, what it could show, and the outcome beside the recorded modules."""

import csv
import dataclasses
import re

import numpy as np
import pytest
from tiny import write_run

from fer_lib.errors import UserError
from fer_lib.paths import ROOT
from fer_lib.recipe import RunSpec, get_recipe, list_recipes
from fer_lib.report.compare_page import write_page
from fer_lib.runs import read_records
from fer_lib.study.compare import cautions, outcome, plan_comparison, power_words, sentences, write_outcome
from fer_lib.study.results import Study

DRAWN = {"dataset": "synthetic"}


@pytest.fixture(autouse=True)
def recipes_as_before():
    before = dict(list_recipes())
    yield
    list_recipes().clear()
    list_recipes().update(before)


def test_the_same_net_without_and_with_each_module():
    planned = plan_comparison(["se", "eca"])
    assert [recipe.model for recipe in planned.modules] == ["resnet18_se", "resnet18_eca"]
    assert planned.baseline.training() | {"name": planned.base.name} == planned.base.training()
    for recipe in planned.modules:
        changed = {"name": planned.baseline.name, "model": "resnet18"}
        assert recipe.training() | changed == planned.baseline.training()
        assert recipe.name.startswith("own/")
    assert len(planned.specs) == 3 * 5
    assert planned.specs[0].run_id != RunSpec(planned.base).run_id  # never the study's own run


def test_a_recipe_may_have_any_name(monkeypatch):
    base = dataclasses.replace(get_recipe("narrow/none/fer2013"), name="mine/plain")
    monkeypatch.setitem(list_recipes(), base.name, base)
    planned = plan_comparison(["se"], base.name)
    assert [recipe.name for recipe in (planned.baseline, *planned.modules)] == [
        "own/mine-plain/fer2013",
        "own/mine-plain-se/fer2013",
    ]
    assert planned.name == "mine-plain-se-fer2013"


def test_drawn_faces_take_a_small_net_and_changes_come_after():
    planned = plan_comparison(["se"], changes=DRAWN | {"epochs": 2, "settings": ["model_options.width=24"]})
    assert planned.baseline.model_options == {"width": 24, "layers": [1, 1, 1, 1], "stem": "imagenet"}
    assert (planned.baseline.epochs, planned.seeds) == (2, 3)


def test_a_setting_of_the_module_is_the_module_s_alone():
    settings = ["model_options.se.reduction=2", "optimizer.lr=0.05"]
    planned = plan_comparison(["se", "eca"], changes={"settings": settings})
    assert [recipe.model_options.get("se") for recipe in planned.modules] == [{"reduction": 2}, None]
    assert "se" not in planned.baseline.model_options
    assert {recipe.optimizer["lr"] for recipe in (planned.baseline, *planned.modules)} == {0.05}


def test_places():
    assert plan_comparison(["se"], at="ends").modules[0].model == "resnet18_se_ends"
    assert plan_comparison(["bam"], at="after_stage").modules[0].model == "resnet18_bam"
    with pytest.raises(UserError, match="--at after_stage: se stands at its own place, branch"):
        plan_comparison(["se"], at="after_stage")
    with pytest.raises(UserError, match="unknown place 'stage': did you mean after_stage"):
        plan_comparison(["se"], at="stage")
    with pytest.raises(UserError, match="zhang/cbam_ends/fer2013: its net resnet34_cbam_ends has no free place"):
        plan_comparison(["se"], "zhang/cbam_ends/fer2013")
    with pytest.raises(UserError, match="--at ends would move the blocks of its net resnet18_cbam too"):
        plan_comparison(["se"], "control/cbam/fer2013", at="ends")
    with pytest.raises(UserError, match=r"unknown module .see.: .*FILE:CLASS"):
        plan_comparison(["see"])
    with pytest.raises(UserError, match="two modules are called 'se'"):
        plan_comparison(["se", "se"])


@pytest.fixture
def written(tmp_path):
    """Three seeds of plain net and SE on drawn faces, and of the study's own plain net and ECA."""
    planned = plan_comparison(["se"], changes=DRAWN)
    for spec in planned.specs:
        correct = (40 if "se" in spec.recipe.name else 30) + spec.seed
        write_run(tmp_path / "own" / "runs", spec, correct=correct, test=100, val=10)
    for name, correct in (("narrow/none/fer2013", 50), ("narrow/eca/fer2013", 45)):
        for seed in range(3):
            spec = RunSpec(get_recipe(name), seed)
            write_run(tmp_path / "study" / "runs", spec, correct=correct + seed, test=100, val=10)
    return planned, *(Study(read_records(tmp_path / name / "runs")[0]) for name in ("own", "study"))


def test_the_outcome_stands_beside_the_recorded_modules(written, tmp_path):
    planned, own, study = written
    found = outcome(planned, [*own.records, *study.records], study)
    plain, ours = found.yours.to_dict("records")
    assert (plain["seeds"], ours["seeds"]) == (3, 3)
    assert ours["gain"] == pytest.approx(100 * 10 / 110)  # ten more of 110 held-out pictures
    assert ours["standing"] == "yours"
    assert list(found.recorded["recipe"]) == ["narrow/none/fer2013", "narrow/eca/fer2013"]
    assert "yours" not in set(found.recorded["standing"])
    first, second = sentences(found)
    assert first.startswith("SE: +9.1 (")
    assert first.endswith(") points over the same net without it on drawn faces, gain.")
    assert second.startswith("Recorded, over ResNet18 of width 16 on FER2013: ECA")
    assert "says nothing about faces" in cautions(planned, found)[0]
    files = {path.name: path.read_bytes() for path in write_outcome(planned, found, tmp_path)}
    assert all(files.values())
    assert b"| test part, chosen epoch |" in files["table.md"]  # FER2013 alone has a PrivateTest
    page = write_page(planned, found, own.records, tmp_path).read_text(encoding="utf-8")
    for shown in (
        "SE beside the recorded modules",
        "says nothing about faces",
        "+9.09",
        "ResNet18 of width 16 + ECA",
        "6 epochs on drawn faces, their own split",
        "over ResNet18 of width 16 on FER2013",
        "width = 16, layers = [1, 1, 1, 1]",
        "<svg",
    ):
        assert shown in page
    assert page.index("Read with care") < page.index("Yours")
    assert "http" not in re.sub(r"http://www.w3.org/\S+|http://purl.org/\S+|http://creativecommons.org/\S+", "", page)


def test_other_people_s_runs_are_not_counted(written):
    _, own, study = written
    shorter = plan_comparison(["se"], changes=DRAWN | {"epochs": 1})
    found = outcome(shorter, own.records, study)
    assert set(found.yours["reading"]) == {"not run"}
    assert sentences(found)[0] == "SE: not run."


def test_power_is_told_before_the_first_run(written):
    planned, _, study = written
    words = power_words(planned, study)
    assert "a standard deviation of 0.91 points" in words  # of 50, 51, 52 and 45, 46, 47 of 110, in points
    assert np.std([50, 51, 52], ddof=1) / 1.1 == pytest.approx(0.91, abs=0.005)
    assert words.endswith("such comparisons; on drawn faces the spread is not known yet")
    shorter = plan_comparison(["se"], seeds=3, changes={"epochs": 1})
    assert power_words(shorter, study).endswith("; of the changed recipe the spread is not known yet")
    assert power_words(planned._replace(seeds=2), study) == "2 seeds of each: a reading needs 3"
    unknown = plan_comparison(["se"], "li/resnet18/fer2013", changes=DRAWN)
    assert "no spread of seeds is recorded" in power_words(unknown, Study())


def test_without_records_the_gains_that_the_library_brings_stand_beside_yours(written):
    planned, own, _ = written
    with open(ROOT / "results" / "tables" / "control.csv", encoding="utf-8") as file:
        brought = [row for row in csv.DictReader(file) if row["baseline"] == planned.base.name and row["gain"]]
    found = outcome(planned, own.records, Study())
    plain, *theirs = found.recorded.to_dict("records")
    assert (plain["recipe"], plain["baseline"]) == (planned.base.name, "")
    assert [row["recipe"] for row in theirs] == [row["recipe"] for row in brought]
    assert [row["gain"] for row in theirs] == [float(row["gain"]) for row in brought]
    assert sentences(found)[1].startswith("Recorded, over ResNet18 of width 16 on FER2013: ")
    spread = "ResNet18 of width 16: accuracy has a standard deviation of 0."
    assert re.match(rf"recorded, with \d seeds of each: {re.escape(spread)}", power_words(planned, Study()))
