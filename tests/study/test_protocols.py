"""CK+ under its protocols: accuracies, draws, persons and what a protocol adds, against counts made by hand."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from many_runs import write_fake
from scipy import stats

from fer_lib.clusters import by_person, difference_interval
from fer_lib.data import split_indices, synthetic, synthetic_films
from fer_lib.data.facts import load_facts
from fer_lib.errors import UserError
from fer_lib.recipe import RunSpec, get_recipe
from fer_lib.statistics import picture_variance
from fer_lib.study import protocols
from fer_lib.study.films import answers_by_person, film_counts, film_distances, scores_by_person
from fer_lib.study.films import tested as draw_of
from fer_lib.study.groups import HELD_OUT, Group, group_records
from fer_lib.study.protocols import (
    WORDS,
    measure,
    printed_accuracies,
    protocol_audit,
    protocol_figure,
    reach_table,
    readable_protocols,
    readable_reach,
)
from fer_lib.study.results import Study

FACES = load_facts("ckplus").faces


def write(runs, name, seeds=2, **options):
    recipe = get_recipe(name) if isinstance(name, str) else name
    folds = range(recipe.folds) if recipe.folds > 1 else [None]
    return [write_fake(runs, RunSpec(recipe, seed, fold), **options) for seed in range(seeds) for fold in folds]


def hits(records):
    return np.concatenate([r.predictions["test/labels"] == r.predictions["test/val_selected/tta"] for r in records])


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    runs = tmp_path_factory.mktemp("fixed")
    short = dataclasses.replace(get_recipe("control/none_copied_folds/ckplus"), epochs=7)
    return (
        write(runs, "control/none/ckplus", skill=3),
        write(runs, "control/none_picture_2to1/ckplus", skill=4.5),
        write(runs, short, seeds=1),
    )


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    runs = tmp_path_factory.mktemp("drawn")
    return write(runs, "ckplus/w8/ckplus", skill=3), write(runs, "ckplus/w8_picture_2to1/ckplus", seeds=3, skill=4.5)


def test_inflation_is_over_the_subject_independent_folds(fixed):
    honest, split, short = fixed
    table = protocol_audit(Study([*honest, *split, *short])).set_index("recipe")
    rows = table[table.index.str.startswith("control/none")]
    assert rows["protocol"].tolist() == ["subject_10fold", "copied_10fold", "picture_2to1", "picture_90_10"]
    assert rows["same_subject"].round(1).tolist() == [0, 63.3, 100, 100]
    row = table.loc["control/none_picture_2to1/ckplus"]
    assert (row["test_pictures"], row["seeds"]) == (327, 2)
    assert row["precision"] == "float32 ×2"
    assert row["accuracy"] == pytest.approx(100 * hits(split).mean())
    assert row["inflation"] == pytest.approx(100 * (hits(split).mean() - hits(honest).mean()))
    assert 1 < row["inflation_low"] < row["inflation"] < row["inflation_high"]
    # Seven epochs are not compared with sixty.
    assert table.loc["control/none_copied_folds/ckplus", "epochs"] == 7
    assert np.isnan(table.loc["control/none_copied_folds/ckplus", "inflation"])
    assert table.loc["zhang/cbam_ends_copied_folds/ckplus", "seeds"] == 0


def test_answers_are_counted_for_the_persons_of_each_seeds_own_pictures(drawn):
    _, split = drawn
    (group,) = group_records(split)
    found = answers_by_person(group)
    names = sorted(set(FACES.subject.tolist()))
    asked, right = Counter(), Counter()
    for record in split:
        tested = split_indices(FACES, "picture_2to1_drawn", seed=record.spec["seed"]).test
        for position, hit in zip(tested.tolist(), hits([record]).tolist(), strict=True):
            asked[FACES.subject[position]] += 1
            right[FACES.subject[position]] += hit
    assert found.asked.tolist() == [asked[name] for name in names]
    assert found.right.tolist() == [right[name] for name in names]


def test_other_persons_count_for_a_fixed_split_and_are_in_the_spread_of_a_drawn_one(drawn, fixed):
    study = Study([*fixed[1], *drawn[1]])
    found = study.own_pictures("control/none_picture_2to1/ckplus")
    persons = answers_by_person(group_records(fixed[1])[0])
    drawn_again = stats.bootstrap(
        (persons.right, persons.asked), lambda r, a, axis: r.sum(axis) / a.sum(axis), paired=True, vectorized=True,
        method="percentile", rng=np.random.default_rng(0),
    )  # fmt: skip
    assert np.sqrt(found) == pytest.approx(drawn_again.standard_error, rel=0.05)
    assert study.own_pictures("ckplus/w8_picture_2to1/ckplus") == 0
    assert study.own_pictures("control/none/fer2013") == 0


def test_a_gain_on_a_fixed_split_is_as_sure_as_persons_make_it(fixed, tmp_path, monkeypatch):
    better = write(tmp_path, "control/se/ckplus", skill=3.4)
    groups = group_records([*fixed[0], *better])
    assert [group.recipe for group in groups] == ["control/none/ckplus", "control/se/ckplus"]
    scores = [np.stack(group.scores(HELD_OUT)) for group in groups]
    # Nets that answer alike at every seed: the bootstrap over persons has nothing but persons to draw.
    names, person = np.unique(FACES.subject, return_inverse=True)
    shown = person[draw_of(FACES, "subject_10fold", 0).pictures]
    sides = [scores_by_person("subject_10fold", [side[0]] * 2) for side in scores]
    low, high = difference_interval(*(by_person(shown, side[0], len(names)) for side in scores))
    assert np.sqrt(picture_variance(*sides)) == pytest.approx((high - low) / 3.92, rel=0.05)
    # Frames that one person answers alike are one answer.
    alike = np.random.default_rng(0).random(len(names))[shown]
    none = np.zeros(len(shown))
    by_persons = picture_variance(*(scores_by_person("subject_10fold", [side] * 2) for side in (alike, none)))
    assert by_persons > 4 * picture_variance([alike] * 2, [none] * 2)
    study = Study([*fixed[0], *better])
    answers = {"control/none/ckplus": none, "control/se/ckplus": alike}
    monkeypatch.setattr(Group, "scores", lambda group, _: [answers[group.recipe]] * 2)
    assert study.own_pictures_of_gain("control/se/ckplus", "control/none/ckplus", HELD_OUT) == by_persons
    assert study.own_pictures_of_gain("control/se/fer2013", "control/none/fer2013", HELD_OUT) == 0


def test_a_drawn_split_is_held_against_drawn_folds_and_shows_its_draws(drawn, fixed):
    honest, split = drawn
    table = protocol_audit(Study([*honest, *split, *fixed[0]])).set_index("recipe")
    row = table.loc["ckplus/w8_picture_2to1/ckplus"]
    each = [100 * hits([record]).mean() for record in split]
    assert (row["seeds"], row["lowest"], row["highest"]) == (3, pytest.approx(min(each)), pytest.approx(max(each)))
    assert row["accuracy_sd"] == pytest.approx(np.std(each, ddof=1))
    assert row["low"] < row["accuracy"] < row["high"]
    assert row["inflation"] == pytest.approx(np.mean(each) - 100 * hits(honest).mean())
    assert 85 < row["same_sequence"] < 98
    (text,) = readable_protocols(table.reset_index().query("recipe == 'ckplus/w8_picture_2to1/ckplus'")).to_dict(
        "records"
    )
    assert (text["system"], text["split"], text["drawn"]) == ("ResNet18 of width 8", "2:1, by picture", "by the seed")


def test_the_figure_draws_a_line_a_system_and_every_printed_number(drawn, fixed):
    table = protocol_audit(Study([*drawn[0], *drawn[1], *fixed[0], *fixed[1], *fixed[2]]))
    (axes,) = protocol_figure(table).axes
    labels = axes.get_legend_handles_labels()[1]
    assert {"ResNet18", "ResNet18 of width 8"} <= set(labels)
    assert len(axes.collections) >= len(printed_accuracies())
    assert [tick.get_text().replace("\n", " ") for tick in axes.get_xticklabels()] == list(WORDS.values())
    assert protocol_figure(protocol_audit(Study())).axes


def test_printed_numbers_stand_where_they_can_belong():
    printed = printed_accuracies()
    assert set(printed.loc[printed["paper"] == "gu", "split"]) == {"picture_2to1"}
    ours = printed[printed["claim"] == "zhang/ckplus/ours"]
    assert ours["split"].tolist() == ["subject_10fold", "copied_10fold", "picture_10fold"]
    assert ours["value"].tolist() == [95.1] * 3


def test_draws_that_reach_a_printed_number_are_counted(drawn, fixed):
    table = reach_table(Study([*drawn[0], *drawn[1], *fixed[1]]))
    assert set(table["recipe"]) == {"ckplus/w8/ckplus", "ckplus/w8_picture_2to1/ckplus"}  # the study's own draws alone
    each = [100 * hits([record]).mean() for record in drawn[1]]
    at_split = table[table["split"] == "picture_2to1"]
    assert len(at_split) == 13  # every printed accuracy of gu's
    for row in at_split.itertuples():
        assert (row.reached, row.seeds) == (sum(value >= row.printed - 0.005 for value in each), 3)
    assert at_split["reached"].max() > 0  # the made-up net is good enough for some of them
    shown = readable_reach(table)
    assert shown.columns.tolist() == ["paper", "net", "printed, %", "split", "ResNet18 of width 8"]
    assert len(shown) == 13 + 4  # zhang's by person, where the net has runs too
    assert readable_reach(reach_table(Study())).empty


def test_every_family_of_protocols_has_its_honest_one():
    table = protocol_audit(Study())
    by_family = table.groupby("family")["protocol"].agg(list)
    assert all(kinds[0].startswith("subject_10fold") for kinds in by_family)
    assert len(by_family["control/none/ckplus"]) == 4
    for family in ("ckplus_classical/pixels_nn/ckplus", "ckplus/w16/ckplus"):
        assert [kind.removesuffix("_drawn") for kind in by_family[family]] == list(WORDS)


# ---------------------------------------------------------------- films


@pytest.fixture(scope="module")
def films():
    return synthetic_films(persons=14)


def test_films_on_both_sides_inflate_an_accuracy(films):
    """What CK+ shows, on drawn faces: who finds the film again names nearly all, and of new persons hardly any."""
    table = measure(films, draws=1).set_index("protocol")
    by_person, by_picture = table.loc["subject_10fold_drawn"], table.loc["picture_10fold_drawn"]
    assert by_picture["accuracy"] > 97
    assert by_person["accuracy"] < 35
    assert by_picture["low"] > by_person["high"] + 40  # fourteen right persons may be all but 23 % of others
    assert (by_person["same_subject"], by_picture["same_sequence"] > 95) == (0, True)
    assert table.loc["picture_2to1_drawn", "accuracy"] > by_person["accuracy"] + 50


def test_the_nearest_picture_is_of_the_same_film(films):
    found = film_distances(films)
    assert found.index.tolist() == ["the same film", "the same person, another film", "another person"]
    assert found["is the nearest of all, %"].sum() == pytest.approx(100, abs=0.2)
    assert found.loc["the same film", "is the nearest of all, %"] > 95
    flat = films.images.reshape(len(films), -1).astype(float)
    own = [
        min(np.sqrt(((flat[i] - flat[j]) ** 2).mean()) for j in np.flatnonzero(films.sequence == film) if j != i)
        for i, film in enumerate(films.sequence)
    ]
    assert found.loc["the same film", "median difference, grey levels"] == pytest.approx(np.median(own), abs=0.06)


def test_a_copy_of_ckplus_with_other_counts_is_refused(films):
    broken = dataclasses.replace(FACES, source="CK+48").subset(np.arange(1, 981))
    with pytest.raises(UserError, match="CK\\+48 is not CK\\+ as published: 980 pictures for 981"):
        film_counts(broken)
    whole = film_counts(FACES)
    assert (whole["here"] == whole["published"]).all()
    assert whole["here"].tolist() == [118, 327, 981, 327, 990]
    assert film_counts(films)["here"].tolist() == [14, 42, 126, 42]


def test_pictures_without_films_are_refused():
    with pytest.raises(UserError, match="synthetic does not say who is shown, and in which film"):
        protocols.measure(dataclasses.replace(synthetic(7, 7, 7), sequence=None))
