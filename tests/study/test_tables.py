"""From records to tables: grouping, pooling, the committed miniature study, and the README."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from mini_study import MINI, demo_paper, write_runs
from tiny import write_run

from fer_lib import plots
from fer_lib.errors import UserError
from fer_lib.recipe import RunSpec, get_recipe
from fer_lib.runs import metrics_of, read_record, read_records, verify_record
from fer_lib.study import tables
from fer_lib.study.groups import group_records
from fer_lib.study.results import Study
from fer_lib.study.tables import claim_table, run_table, write_tables

GOOD = "demo/good/synthetic"
FOLDS = "demo/folds/synthetic"


@pytest.fixture(autouse=True)
def demo():
    with demo_paper():
        yield


@pytest.fixture
def mini(tmp_path):
    """A copy of the miniature study's records."""
    shutil.copytree(MINI / "runs", tmp_path / "runs")
    return tmp_path


@pytest.fixture
def no_figures(monkeypatch):
    """Leave out the slow part where a test is about tables."""
    monkeypatch.setattr(tables, "FIGURES", {})


def row(records, claim):
    table = claim_table(Study(records)).set_index("claim")
    return table.loc[f"demo/{claim}"]


# ---------------------------------------------------------------- the miniature study


def test_the_tables_are_rebuilt_byte_for_byte(mini, no_figures):
    write_tables(mini)
    written, committed = (
        {path.name: path.read_text() for path in (folder / "tables").iterdir()} for folder in (mini, MINI)
    )
    assert written.keys() == committed.keys()
    for name, text in written.items():
        assert text == committed[name], name


def test_the_miniature_records_are_what_its_script_writes(tmp_path):
    write_runs(tmp_path)
    written, committed = (read_records(runs)[0] for runs in (tmp_path, MINI / "runs"))
    assert [record.content for record in written] == [record.content for record in committed]
    for ours, theirs in zip(written, committed, strict=True):
        assert verify_record(theirs) == []
        assert ours.predictions.keys() == theirs.predictions.keys()
        assert all((ours.predictions[name] == theirs.predictions[name]).all() for name in ours.predictions)


def test_the_same_records_give_the_same_bytes(mini):
    paths = write_tables(mini)
    assert {path.suffix for path in paths} == {".csv", ".md", ".svg"}
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
    removed = {path for path in paths if path.suffix == ".svg"} - {mini / "figures" / "claims.svg"}
    for path in removed:
        path.unlink()
    assert write_tables(mini) == paths
    assert all(path.read_bytes() == content for path, (content, _) in before.items())
    assert {path for path, (_, time) in before.items() if path.stat().st_mtime_ns != time} == removed


def test_the_figures_show_every_claim_that_can_be_tested(mini):
    table = claim_table(Study(read_records(mini / "runs")[0]))
    for draw, shown in ((plots.claims, table["kind"] != "gain"), (plots.gain_claims, table["kind"] == "gain")):
        expected = table[shown & table["ours"].notna()]  # what has no run beside it is left out
        expected = expected[expected["dataset"] == "synthetic"]
        (axes,) = draw(table[shown & (table["dataset"] == "synthetic")]).axes
        assert axes.get_title(loc="left") == "demo, drawn faces"
        dots = {c.get_label(): np.asarray(c.get_offsets())[:, 0] for c in axes.collections if len(c.get_offsets())}
        assert dots["printed"] == pytest.approx(expected["printed"].to_numpy())
        assert dots["ours"] == pytest.approx(expected["ours"].to_numpy())
        seeds = [float(value) for values in expected["values"] for value in values.split()]
        assert dots.get("one seed", expected["ours"].to_numpy()) == pytest.approx(seeds, abs=0.006)
        assert [text.get_text() for text in axes.texts] == expected["verdict"].tolist()
        labels = axes.get_yticklabels()
        assert all(system in label.get_text() for system, label in zip(expected["system"], labels, strict=True))


def test_claims_have_a_panel_per_paper_and_dataset():
    (claim,) = claim_table(Study()).query("claim == 'demo/synthetic/good'").to_dict("records")
    rows = [
        {"paper": "b", "dataset": "fer2013"},
        {"paper": "b", "dataset": "ckplus"},
        {"paper": "a", "dataset": "fer2013", "place": "Table 1, row Good"},
        {"paper": "a", "dataset": "own", "recipe": "a/good/fer2013", "place": "section 2; Table 1 has 71"},
    ]
    known = {"ours": 75.0, "values": "75.00", "low": 60.0, "high": 90.0, "seeds": 1}
    axes = plots.claims(pd.DataFrame([claim | known | row for row in rows])).axes
    assert [panel.get_title(loc="left") for panel in axes] == [
        "b, FER2013", "b, CK+", "a, FER2013", "a, own pictures"
    ]  # fmt: skip
    both = plots.claims(pd.DataFrame([claim | known | row for row in (rows[2], rows[2] | {"place": "section 2"})])).axes
    names = [label.get_text() for label in both[0].get_yticklabels()]
    assert names == ["Good, Table 1", "Good, section 2"]  # two of one name: who prints which


def changed_figures(before, after, key):
    """The cells that differ, as {row's name: set of columns}."""
    columns = before.set_index(key).compare(after.set_index(key)).dropna(how="all")
    return {name: {c for c, _ in row.dropna().index} for name, row in columns.iterrows()}


def test_a_changed_prediction_changes_only_its_own_figures(mini, no_figures):
    tables_of = ("claims", "ablations", "control", "ensemble", "runs")
    write_tables(mini)
    before = {name: pd.read_csv(mini / "tables" / f"{name}.csv") for name in tables_of}
    records, _ = read_records(mini / "runs")
    record = next(r for r in records if r.recipe == GOOD and r.spec["seed"] == 1)

    arrays = dict(record.predictions)
    assert arrays["test/val_selected/tta"][0] == arrays["test/labels"][0] == 0  # an angry face, no happy one
    arrays["test/val_selected/tta"][0] += 1
    arrays["test/probabilities"][0] = np.roll(arrays["test/probabilities"][0], 1)
    content = json.loads((record.path / "run.json").read_text())
    for part, kinds in metrics_of(arrays, 7)["val_selected"].items():
        content["metrics"]["val_selected"][part] = kinds
    (record.path / "run.json").write_text(json.dumps(content))
    np.savez_compressed(record.path / "predictions.npz", **arrays)

    write_tables(mini)
    after = {name: pd.read_csv(mini / "tables" / f"{name}.csv") for name in tables_of}
    changed = changed_figures(before["claims"], after["claims"], "claim")
    # Its own claims have other values; the others of its pool another common spread, and so other intervals.
    of_its_own = {"good", "good_gain", "noisy_gain", "bad_gain", "lonely_gain", "short_gain"}
    for name, columns in changed.items():
        if name.rsplit("/", 1)[-1] in of_its_own:
            assert {"ours", "values"} <= columns, name
        else:
            assert columns <= {"low", "high"}, name
    verdicts = after["claims"].set_index("claim")["verdict"]
    assert verdicts["demo/synthetic/good"] == verdicts["demo/synthetic/good_gain"] == "undecided"
    assert after["claims"]["ours"][0] == pytest.approx(100 * (30 + 28 + 31) / 120, abs=1e-3)
    assert changed_figures(before["runs"], after["runs"], "run") == {record.id: {"test_val_selected"}}
    assert changed_figures(before["ablations"], after["ablations"], "recipe").keys() == {
        "demo/noisy/synthetic", "demo/bad/synthetic"
    }  # fmt: skip
    for name in ("control", "ensemble"):
        pd.testing.assert_frame_equal(before[name], after[name])


def test_an_unreadable_record_is_left_out_and_named(mini, no_figures):
    folder = next((mini / "runs").glob("demo-lonely-*"))
    (folder / "run.json").write_text("{")
    lines = []
    write_tables(mini, lines.append)
    assert len(lines) == 1
    assert str(folder / "run.json") in lines[0]
    assert pd.read_csv(mini / "tables" / "claims.csv")["verdict"][4] == "not run"
    for page in (mini / "tables").glob("*.md"):
        assert f"\nLeft out: runs/{folder.name}/run.json: " in page.read_text(), page.name


def lose_a_field(record):
    del record.content["data"]["counts"]


def change_the_fingerprint(record):
    record.content["data"]["fingerprint"] = "f" * 64


def change_a_metric(record):
    record.content["metrics"]["val_selected"]["test"]["tta"]["accuracy"] = 0.99


def shuffle_the_labels(record):
    arrays = {name: array[::-1] for name, array in record.predictions.items()}
    np.savez_compressed(record.path / "predictions.npz", **arrays)


def cut_the_predictions(record):
    arrays = {name: array[:-1] for name, array in record.predictions.items()}
    np.savez_compressed(record.path / "predictions.npz", **arrays)


def say_nan(record):
    arrays = dict(record.predictions)
    arrays["test/probabilities"] = arrays["test/probabilities"] * np.float32("nan")
    np.savez_compressed(record.path / "predictions.npz", **arrays)


def rename_the_folder(record):
    shutil.copytree(record.path, record.path.with_name(record.path.name + "-copy"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lose_a_field, "lacks data.counts"),
        (change_the_fingerprint, "made from another synthetic"),
        (change_a_metric, "accuracy of test, val_selected, tta is 0.99, predictions give 0.725"),
        (shuffle_the_labels, "labels or their order differ"),
        (cut_the_predictions, "has 39 rows, the test part has 40"),
        (say_nan, "test/probabilities is float32, not uint8"),
        (rename_the_folder, "folder is named demo-good-synthetic-s1-b7f96ca5-copy"),
    ],
)
def test_an_unsound_record_is_in_no_table_and_is_named(mini, no_figures, spoil, words):
    folder = next((mini / "runs").glob("demo-good-synthetic-s1-*"))
    record = read_record(folder)
    spoil(record)
    (folder / "run.json").write_text(json.dumps(record.content))
    lines = []
    write_tables(mini, lines.append)
    assert any(folder.name in line and words in line for line in lines), lines
    is_copy = spoil is rename_the_folder
    for path in (mini / "tables").iterdir():
        text = path.read_text().split("\nLeft out: ")[0]
        assert path.suffix == ".csv" or words in path.read_text(), path.name
        assert f"{folder.name}-copy" not in text
        shown = path.stem == "runs" or path.name in ("claims.csv", "ablations.csv")
        assert (folder.name in text) == (is_copy and shown), path.name
    verdicts = pd.read_csv(mini / "tables" / "claims.csv").set_index("claim")["verdict"]
    assert verdicts["demo/synthetic/good"] == "undecided"  # with three seeds by their spread, with two for want of one


def test_no_runs_at_all(tmp_path, no_figures):
    write_tables(tmp_path)
    table = pd.read_csv(tmp_path / "tables" / "claims.csv")
    assert set(table["verdict"]) == {"not run", "not testable", "undecidable from the paper's own data"}
    assert table["ours"].isna().all()
    for name in tables.TABLES:
        assert pd.read_csv(tmp_path / "tables" / f"{name}.csv").columns.tolist() == (
            pd.read_csv(MINI / "tables" / f"{name}.csv").columns.tolist()
        )
    assert set(pd.read_csv(tmp_path / "tables" / "control.csv")["reading"]) == {"not run"}


def test_a_write_that_fails_leaves_the_old_table(mini, monkeypatch, no_figures):
    write_tables(mini)
    before = (mini / "tables" / "claims.csv").read_bytes()
    shutil.rmtree(next((mini / "runs").glob("demo-lonely-*")))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_tables(mini)
    assert caught.value.filename == str(mini / "tables" / "claims.csv")
    assert (mini / "tables" / "claims.csv").read_bytes() == before
    assert not [path for path in (mini / "tables").iterdir() if path.name.startswith(".")]


# ---------------------------------------------------------------- which runs speak for a claim


def runs_of(tmp_path, name, counts, **changes):
    recipe = dataclasses.replace(get_recipe(name), **changes)
    for seed, correct in enumerate(counts):
        write_run(tmp_path, RunSpec(recipe, seed), correct=correct, test=40)
    return read_records(tmp_path)[0]


def test_ours_is_the_mean_over_seeds(tmp_path):
    found = row(runs_of(tmp_path, GOOD, (30, 29, 31)), "synthetic/good")
    assert (found["ours"], found["sd"], found["seeds"]) == (pytest.approx(75), pytest.approx(2.5), 3)
    assert found["values"] == "75.00 72.50 77.50"
    # Three seeds alone, 2 degrees of freedom: 75 ± 4.3 · 2.5 · sqrt(4 / 3) is wider than two points.
    assert (found["low"], found["high"]) == pytest.approx((75 - 12.42, 75 + 12.42), abs=0.01)
    assert found["verdict"] == "undecided"
    assert len(found["runs"].split()) == 3


def test_a_full_training_speaks_before_a_shorter_one(tmp_path):
    runs_of(tmp_path, GOOD, (10, 10, 10, 10), epochs=2)
    found = row(runs_of(tmp_path, GOOD, (30,)), "synthetic/good")
    assert (found["ours"], found["epochs"], found["verdict"]) == (75, 3, "undecided")


@pytest.mark.parametrize(
    "changes",
    [{"batch_size": 4}, {"epochs": 6}, {"dataset": "fer2013"}, {"optimizer": {"name": "sgd", "lr": 0.2}}],
)
def test_a_changed_recipe_speaks_for_no_claim(tmp_path, changes):
    records = runs_of(tmp_path, GOOD, (30, 29, 31), **changes)
    assert row(records, "synthetic/good")["verdict"] == "not run"
    assert len(run_table(Study(records))) == 3


@pytest.mark.parametrize("limits", [{"limit_train": 10}, {"limit_test": 10}])
def test_a_limited_run_speaks_for_no_claim(tmp_path, limits):
    write_run(tmp_path, RunSpec(get_recipe(GOOD), **limits), correct=30)
    assert row(read_records(tmp_path)[0], "synthetic/good")["verdict"] == "not run"


def test_a_recipe_that_is_gone_leaves_its_run_in_the_run_table(tmp_path):
    gone = dataclasses.replace(get_recipe(GOOD), name="demo/gone/synthetic")
    write_run(tmp_path, RunSpec(gone), correct=30)
    records = read_records(tmp_path)[0]
    assert group_records(records) == []
    assert run_table(Study(records))["recipe"].tolist() == ["demo/gone/synthetic"]


def test_folds_are_pooled_and_incomplete_seeds_left_out(tmp_path):
    recipe = get_recipe(FOLDS)
    sizes = [10, 20, *[10] * 8]  # unequal folds: the mean of their accuracies would be another number
    for seed, correct in ((0, 5), (1, 10), (2, 7)):
        for fold, size in enumerate(sizes):
            if (seed, fold) != (0, 1):
                write_run(tmp_path, RunSpec(recipe, seed, fold), correct=correct, test=size, val=0)
    records = read_records(tmp_path)[0]
    (group,) = group_records(records)
    assert (len(group.records), group.folds, group.seeds) == (29, 10, (1, 2))
    assert group.accuracies() == pytest.approx([100 / 110, 70 / 110])
    found = row(records, "synthetic/folds")
    assert found["ours"] == pytest.approx(100 * 170 / 220)
    assert found["verdict"] == "undecided"  # two seeds of three


def test_a_fold_alone_speaks_for_no_claim(tmp_path):
    write_run(tmp_path, RunSpec(get_recipe(FOLDS), fold=0), correct=5)
    assert row(read_records(tmp_path)[0], "synthetic/folds")["verdict"] == "not run"


def test_validation_accuracies_need_a_validation_part(tmp_path):
    (group,) = group_records(runs_of(tmp_path, GOOD, (30,)))
    assert group.accuracies("val") == [0.5]
    write_run(tmp_path / "other", RunSpec(get_recipe(GOOD)), correct=3, val=0)
    (group,) = group_records(read_records(tmp_path / "other")[0])
    assert group.accuracies("val") == []


# ---------------------------------------------------------------- the README


def test_a_readme_without_marks_is_refused():
    with pytest.raises(UserError, match=r"README\.md: the marks .* are missing"):
        tables._replace_section("# Title", "claims", "| a |")


def test_only_the_marked_section_is_replaced():
    begin, end = "<!-- claims: generated by `fer study tables` -->\n", "<!-- claims: end -->"
    text = f"before\n{begin}old \\1\n{end}\nafter\n"
    new = tables._replace_section(text, "claims", "| a \\1 |\n")
    assert new == f"before\n{begin}\n| a \\1 |\n\n{end}\nafter\n"
    assert tables._replace_section(new, "claims", "| a \\1 |\n") == new
