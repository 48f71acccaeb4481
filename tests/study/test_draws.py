"""Nets on common draws of a split, against a ranking by hand."""

import pytest
from tiny import write_run

from fer_lib.recipe import RunSpec, get_recipe
from fer_lib.study.draws import draw_sentence, draw_table, draws_page, readable_draws
from fer_lib.study.results import Study

RIGHT = {  # of 327, draw by draw
    "ckplus/w16_picture_2to1/ckplus": (310, 320, 300),
    "ckplus/w16_se_picture_2to1/ckplus": (312, 320),
    "ckplus/w16_cbam_picture_2to1/ckplus": (305, 318, 327),
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    records = [
        write_run(runs, RunSpec(get_recipe(recipe), seed), correct=right, test=327, val=0)
        for recipe, counts in RIGHT.items()
        for seed, right in enumerate(counts)
    ]
    return draw_table(Study(records))


def test_draws_that_all_nets_have_are_ranked(table):
    assert table["seed"].unique().tolist() == [0, 1]  # SE has no third
    assert table["accuracy"].tolist() == pytest.approx([100 * n / 327 for n in (310, 312, 305, 320, 320, 318)])
    assert table["best"].tolist() == [False, True, False, True, True, False]


def test_a_reader_sees_who_is_the_best_on_each(table):
    shown = readable_draws(table)
    assert shown.columns.tolist() == ["draw", "plain", "SE", "CBAM", "best"]
    assert shown["best"].tolist() == ["SE", "plain, SE"]
    assert shown["CBAM"].tolist() == ["93.27", "97.25"]
    # 312 - 305 and 320 - 318 of 327; sums 630, 632, 623 of 654.
    assert draw_sentence(table).startswith("On 2 draws of the split 2 of 3 nets are the best at least once")
    assert draw_sentence(table).endswith("differ by 0.6 to 2.1 points, their means over all draws by 1.4.")
    assert draws_page(table).startswith("### ResNet18 of width 16, 2:1 by picture\n\n| draw |")


def test_one_draw_alone_is_called_so(table):
    assert (
        draw_sentence(table[table["seed"] == 0])
        == "On the one draw that all 3 nets have, best and worst differ by 2.1 points."
    )


def test_families_of_one_paper_are_told_apart(tmp_path):
    families = {
        "ckplus/w16_picture_2to1/ckplus": "ckplus/w16_se_picture_2to1/ckplus",
        "gu/basic/ckplus": "gu/psa/ckplus",
        "gu/basic_stem_scratch/ckplus": "gu/psa_stem_scratch/ckplus",
    }
    records = [
        write_run(tmp_path, RunSpec(get_recipe(name), 0), correct=300, test=327, val=0)
        for name in (*families, *families.values())
    ]
    table = draw_table(Study(records))
    assert {family: tuple(rows["recipe"]) for family, rows in table.groupby("family")} == {
        plain: (plain, module) for plain, module in families.items()
    }


def test_a_net_alone_has_nothing_to_be_ranked_with(tmp_path):
    record = write_run(tmp_path, RunSpec(get_recipe("gu/basic_stem_scratch/ckplus"), 0), correct=300, test=327, val=0)
    assert draw_table(Study([record])).empty


def test_without_runs_or_on_a_fixed_split_there_is_nothing(tmp_path):
    record = write_run(tmp_path, RunSpec(get_recipe("narrow/none/fer2013"), 0), correct=10)
    assert draw_table(Study([record])).empty
    assert draws_page(draw_table(Study())) == "No run yet.\n"
    assert draw_sentence(draw_table(Study())) == "No run yet."
