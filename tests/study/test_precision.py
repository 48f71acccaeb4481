"""Trainings of one recipe in two precisions, against scipy's t tests."""

import dataclasses

import numpy as np
import pytest
from scipy import stats
from tiny import write_run

from fer_lib.recipe import RunSpec, get_recipe
from fer_lib.study.precision import precision_table
from fer_lib.study.results import Study

FIXED, DRAWN = "narrow/none/fer2013", "ckplus/w8_picture_2to1/ckplus"
FLOAT, SHORT = (300, 310, 308), (305, 306, 301)  # right answers of 400, seed by seed


def trained(runs, name, precision, correct, chosen=True, **changes):
    """Records of a recipe in a precision, which was either asked for or is the machine's own."""
    recipe = dataclasses.replace(get_recipe(name), **({"precision": precision} if chosen else {}), **changes)
    records = []
    for seed, count in enumerate(correct):
        record = write_run(runs, RunSpec(recipe, seed), correct=count, test=400, val=0)
        record.content["environment"]["precision"] = precision
        records.append(record)
    return records


def test_on_one_test_set_the_interval_is_the_two_sample_t_test_s(tmp_path):
    records = trained(tmp_path, FIXED, "float32", FLOAT) + trained(tmp_path, FIXED, "bfloat16", SHORT, chosen=False)
    row = precision_table(Study(records)).iloc[0]
    a, b = np.array(SHORT) / 4, np.array(FLOAT) / 4
    assert row["difference"] == pytest.approx(a.mean() - b.mean())
    expected = stats.ttest_ind(a, b).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert (row["sd"], row["float32_sd"]) == pytest.approx((a.std(ddof=1), b.std(ddof=1)))


def test_means_that_are_equal_differ_by_nothing_on_every_machine(tmp_path):
    records = trained(tmp_path, DRAWN, "float32", FLOAT, chosen=False) + trained(
        tmp_path, DRAWN, "bfloat16", FLOAT[::-1]
    )
    assert str(precision_table(Study(records)).iloc[0]["difference"]) == "0.0"


def test_splits_drawn_by_the_seed_are_compared_seed_by_seed(tmp_path):
    records = trained(tmp_path, DRAWN, "float32", FLOAT, chosen=False) + trained(tmp_path, DRAWN, "bfloat16", SHORT)
    row = precision_table(Study(records)).iloc[0]
    expected = stats.ttest_rel(np.array(SHORT) / 4, np.array(FLOAT) / 4).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert (row["seeds"], row["float32_seeds"], row["reading"]) == (3, 3, "undecided")


def test_types_that_saw_different_splits_are_not_compared(tmp_path):
    later = trained(tmp_path, DRAWN, "bfloat16", SHORT * 2)[3:]
    row = precision_table(Study(trained(tmp_path, DRAWN, "float32", FLOAT, chosen=False) + later)).iloc[0]
    assert row["reading"] == "no split in both"
    assert np.isnan(row["difference"])


def test_the_spread_of_a_seed_is_pooled_over_recipes(tmp_path):
    records = [r for name in (FIXED, "narrow/se/fer2013") for r in trained(tmp_path, name, "float32", FLOAT)]
    records += [r for name in (FIXED, "narrow/se/fer2013") for r in trained(tmp_path, name, "bfloat16", SHORT)]
    pooled = precision_table(Study(records))
    alone = precision_table(Study(record for record in records if record.recipe == FIXED))
    widths = [(table["high"] - table["low"]).iloc[0] for table in (pooled, alone)]
    assert widths[0] / widths[1] == pytest.approx(stats.t.ppf(0.975, 8) / stats.t.ppf(0.975, 4))


def test_too_few_seeds_are_said_and_other_lengths_or_one_precision_have_no_row(tmp_path):
    both = trained(tmp_path, FIXED, "float32", FLOAT) + trained(tmp_path, FIXED, "bfloat16", SHORT[:2])
    assert precision_table(Study(both))["reading"].tolist() == ["too few: 2 of 3 seeds"]
    short = trained(tmp_path, DRAWN, "float32", FLOAT) + trained(tmp_path, DRAWN, "bfloat16", SHORT, epochs=7)
    assert precision_table(Study(short)).empty


def test_over_recipes_the_type_s_effect_is_the_paired_mean_of_their_splits(tmp_path):
    other, counts, short = "ckplus/w16_picture_2to1/ckplus", (390, 395, 380), (391, 388, 379)
    records = trained(tmp_path, DRAWN, "float32", FLOAT) + trained(tmp_path, DRAWN, "bfloat16", SHORT)
    records += trained(tmp_path, other, "float32", counts) + trained(tmp_path, other, "bfloat16", short)
    row = precision_table(Study(records)).iloc[-1]
    ours, theirs = np.array(SHORT + short) / 4, np.array(FLOAT + counts) / 4
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert row["recipe"] == ""
    assert row["difference"] == pytest.approx((ours - theirs).mean())
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
