"""Our gains and printed ones are matched by the module that the nets differ in."""

import pandas as pd
import pytest
from tiny import write_run

from fer_lib.paths import ROOT
from fer_lib.recipe import RunSpec, get_recipe
from fer_lib.runs import read_records
from fer_lib.study.gains import ablation_table
from fer_lib.study.modules import (
    module_caption,
    module_figure,
    module_gains,
    module_words,
    modules_by_net,
    readable_by_net,
    readable_modules,
    short_name,
)
from fer_lib.study.results import Study


def narrow():
    return ablation_table(Study(read_records(ROOT / "results" / "runs")[0]), claimed=False)


def test_printed_gains_stand_beside_the_same_module():
    ours, printed = module_gains(narrow())
    assert set(ours["baseline"]) == {"narrow/none/fer2013"}
    assert list(ours["gain"]) == sorted(ours["gain"], reverse=True)
    found = {(row.module, round(row.gain, 2), row.label) for row in printed.itertuples()}
    # Table 3 of Gu & Jin: SE 96.80 - 94.80; Table 2 of Hu et al.: SimAM 76.19 - 73.81, ECA 74.07 - 73.81.
    assert {
        ("SE", 2.0, "Gu & Jin, CK+"),
        ("SimAM", 2.38, "Hu et al., own pictures"),
        ("ECA", 0.26, "Hu et al., own pictures"),
    } <= found
    assert not any(row.label.startswith("Li") for row in printed.itertuples())


def test_every_seed_of_ours_is_drawn_and_told():
    control = narrow()
    ours, _ = module_gains(control)
    assert all(len(row["values"]) == row["seeds"] for _, row in ours.iterrows())
    assert abs(sum(ours["values"].iloc[0]) / ours["seeds"].iloc[0] - ours["gain"].iloc[0]) < 0.3
    words = module_words(control)
    assert all(name in words for name in ours["module"])
    assert len(readable_modules(control)) == len(ours)
    assert module_figure(control).axes


def test_the_caption_counts_the_printed_gains_above_our_intervals():
    control = narrow()
    control.loc[control["baseline"] == "narrow/none/fer2013", "high"] = 0.0
    assert module_caption(control).endswith("splits; all six lie above our interval of the same module.")
    control.loc[control["recipe"] == "narrow/se/fer2013", "high"] = 2.1  # SE prints 2.00, and ECA 0.26 and 3.02
    control.loc[control["recipe"] == "narrow/eca/fer2013", "high"] = 1.0
    assert "; four of six lie above" in module_caption(control)
    control["high"] = 2.9
    assert "; one of six lies above" in module_caption(control)
    control["high"] = 9.0
    assert "; none of six lie above" in module_caption(control)


def test_without_runs_there_is_a_figure_that_says_so():
    empty = ablation_table(Study(), claimed=False)
    assert all(isinstance(table, pd.DataFrame) and table.empty for table in module_gains(empty))
    assert "no comparison" in module_figure(empty).axes[0].texts[0].get_text()
    assert readable_modules(empty).empty
    assert module_caption(empty) == "Zero is the same net without the module."


def test_papers_are_named_by_their_authors():
    assert [short_name(paper) for paper in ("gu", "hu", "zhang")] == ["Gu & Jin", "Hu et al.", "Zhang et al."]


@pytest.fixture(scope="module")
def two_nets(tmp_path_factory):
    """Made-up runs: SE names 24 pictures more than the narrow net, 18 more than it with halved branches; SimAM none."""
    runs = tmp_path_factory.mktemp("runs")
    right = {
        "narrow/none/fer2013": 10, "narrow/se/fer2013": 34, "narrow/none_half/fer2013": 16,
        "ladder/w8_none/fer2013": 10, "ladder/w8_simam/fer2013": 10,
    }  # fmt: skip
    return Study(
        write_run(runs, RunSpec(get_recipe(name), seed), correct=count + seed % 2, test=40, val=0)
        for name, count in right.items()
        for seed in range(3)
    )


def test_a_comparison_has_a_row_and_a_module_its_name_once(two_nets):
    table = modules_by_net(two_nets)
    assert table["module"].tolist() == ["SE", "SE", "SimAM"]
    over_plain, over_halved, simam = table["gain"]
    assert over_plain / over_halved == pytest.approx(24 / 18)
    assert simam == 0
    shown = readable_by_net(table)
    assert shown["module"].tolist() == ["SE", "", "SimAM"]
    assert shown["net"].tolist() == [
        "ResNet18 of width 16",
        "ResNet18 of width 16, branches as small at the start",
        "ResNet18 of width 8 on halved maps",
    ]
    assert set(shown["training"]) == {"ten epochs on FER2013"}
    assert shown["gain, points"][0].startswith(f"+{over_plain:.1f} (+")
    assert shown["gain, points"][2].startswith("0.0 (")
    assert shown["reading"][:2].tolist() == ["gain", "gain"]
    assert "](gains.html#narrow-se-fer2013--narrow-none_half-fer2013)" in readable_by_net(table, links=True).to_csv()


def test_a_loss_is_no_module_of_the_table(tmp_path):
    right = {"li/w16_both/fer2013": 10, "li/w16_both_cross_entropy/fer2013": 18, "narrow/none/fer2013": 20,
             "narrow/none_half/fer2013": 10}  # fmt: skip
    study = Study(
        write_run(tmp_path, RunSpec(get_recipe(name), seed), correct=count + seed % 2)
        for name, count in right.items()
        for seed in range(3)
    )
    assert modules_by_net(study).empty


def test_without_runs_the_table_of_modules_is_empty():
    assert readable_by_net(modules_by_net(Study())).empty
