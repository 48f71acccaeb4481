"""Our gains and printed ones are matched by the module that the nets differ in."""

import pandas as pd

from fer_lib.paths import ROOT
from fer_lib.runs import read_records
from fer_lib.study.gains import ablation_table
from fer_lib.study.modules import module_figure, module_gains, module_words, readable_modules, short_name
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


def test_without_runs_there_is_a_figure_that_says_so():
    empty = ablation_table(Study(), claimed=False)
    assert all(isinstance(table, pd.DataFrame) and table.empty for table in module_gains(empty))
    assert "no comparison" in module_figure(empty).axes[0].texts[0].get_text()
    assert readable_modules(empty).empty


def test_papers_are_named_by_their_authors():
    assert [short_name(paper) for paper in ("gu", "hu", "zhang")] == ["Gu & Jin", "Hu et al.", "Zhang et al."]
