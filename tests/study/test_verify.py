"""Bad records are named, one line each, and left out; sound ones beside them stay."""

import json
import shutil

import numpy as np
import pytest
from many_runs import benchmark, write_fake, write_many
from tiny import tiny_recipe, write_run

from fer_lib.data import picture_digests, run_parts
from fer_lib.data.facts import load_facts
from fer_lib.paths import ROOT
from fer_lib.recipe import RunSpec, get_recipe
from fer_lib.runs import KINDS, RULES, metrics_of, predictions_of, read_record, write_record
from fer_lib.study import verify
from fer_lib.study.tables import FIGURES, TABLES
from fer_lib.study.verify import sound_records

FER2013, CKPLUS = get_recipe("zhang/cbam_ends/fer2013"), get_recipe("zhang/cbam_ends/ckplus")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Records of two seeds on FER2013, and of three folds on CK+."""
    runs = tmp_path_factory.mktemp("results") / "runs"
    for spec in (RunSpec(FER2013, 0), RunSpec(FER2013, 1), *(RunSpec(CKPLUS, 0, fold) for fold in range(3))):
        write_fake(runs, spec)
    return runs


@pytest.fixture
def runs(written, tmp_path):
    return shutil.copytree(written, tmp_path / "runs")


def edit(record, change):
    content = json.loads((record.path / "run.json").read_text())
    change(content)
    (record.path / "run.json").write_text(json.dumps(content))


def remade(record, change):
    """Write a record again, sound in itself, after a change of its labels."""
    arrays = dict(record.predictions)
    labels = {name.split("/")[0]: array.astype(np.int64) for name, array in arrays.items() if name.endswith("/labels")}
    change(labels)
    shares = {part: np.eye(7)[arrays[f"{part}/val_selected/tta"]] for part in labels}
    kinds = {part: dict.fromkeys(KINDS, values) for part, values in shares.items()}
    arrays = predictions_of(labels, {rule: kinds for rule in RULES})
    metrics = metrics_of(arrays, 7)
    metrics["test_best"] = metrics["last"]
    for rule in RULES:
        metrics[rule]["epoch"] = record.epochs
    at = {part: metrics["last"][part]["plain"]["accuracy"] for part in labels}
    row = {"val_accuracy": at.get("val", np.nan), "test_accuracy": at["test"]}
    content = record.content | {"metrics": metrics}
    shutil.rmtree(record.path)
    history = [{"epoch": epoch, **row} for epoch in range(1, record.epochs + 1)]
    return write_record(record.path, content, history, arrays, record.path.with_suffix(".partial"))


def first(runs, dataset):
    """The first record of a dataset."""
    return next(r for r in map(read_record, sorted(runs.iterdir())) if r.spec["recipe"]["dataset"] == dataset)


def reverse(labels):
    labels["test"] = labels["test"][::-1]


def only_fault(runs, record, words):
    """All but one record are sound, and its one fault is as expected."""
    names = {path.name for path in runs.iterdir() if not path.name.endswith(".partial")}
    records, problems = sound_records(runs)
    assert {r.path.name for r in records} == names - {record.path.name}
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"{record.path}: ")
    assert words in problems[0]
    assert "\n" not in problems[0]


def test_sound_records_have_no_faults(runs):
    records, problems = sound_records(runs)
    assert (len(records), problems) == (5, [])
    assert sound_records(runs / "nowhere") == ([], [])


def test_the_committed_records_are_sound():
    records, problems = sound_records(ROOT / "results" / "runs")
    assert records
    assert problems == []


def test_a_copy_under_another_name_is_left_out(runs):
    record = sound_records(runs)[0][0]
    copy = read_record(shutil.copytree(record.path, runs / "aaa-copy"))
    only_fault(runs, copy, f"folder is named aaa-copy, run.json says {record.id}")


def test_other_pictures_are_named(runs):
    record = sound_records(runs)[0][0]
    edit(record, lambda content: content["data"].update(fingerprint="e" * 64))
    only_fault(runs, record, "made from another ckplus (fingerprint eeeeeeeeeeee) than this study's (f4e1357616f0)")


def test_classes_in_another_order_are_named(runs):
    record = sound_records(runs)[0][-1]
    edit(record, lambda content: content["classes"].reverse())
    only_fault(runs, record, "run.json: classes are neutral, surprise, sad, happy, fear, disgust, angry, in fer2013")


@pytest.mark.parametrize("which", [0, -1])
def test_labels_in_another_order_are_named(runs, which):
    record = remade(sound_records(runs)[0][which], reverse)
    only_fault(runs, record, "test/labels or their order are not")


@pytest.mark.parametrize("part", ["train", "test"])
def test_pictures_other_than_the_specs_are_named(runs, part):
    record = first(runs, "ckplus")
    spec = record.spec
    (parts,) = run_parts(load_facts("ckplus").faces, spec["recipe"]["protocol"], spec["fold"], 0)
    digests = picture_digests([parts])
    edit(record, lambda content: content["data"].update(pictures=digests))
    assert sound_records(runs)[1] == []
    edit(record, lambda content: content["data"].update(pictures=digests | {part: "0" * 64}))
    only_fault(runs, record, f"run.json: data.pictures.{part} are not those of the spec")


def test_records_that_do_not_say_their_pictures_fall_with_their_folds(runs, monkeypatch):
    """A fold dealt out otherwise leaves counts and labels alike, as two classes' order inside a split does."""
    assert sound_records(runs)[1] == []
    monkeypatch.setattr(verify, "protocol_digest", lambda faces, protocol: "another")
    verify._splits_as_then.cache_clear()
    try:
        records, problems = sound_records(runs)
    finally:
        verify._splits_as_then.cache_clear()
    assert records == []
    assert len(problems) == 5
    assert "protocol official splits fer2013 otherwise than it did then" in " ".join(problems)


def test_a_sound_remade_record_has_no_faults(runs):
    remade(sound_records(runs)[0][0], lambda labels: None)
    assert sound_records(runs)[1] == []


def test_a_record_that_is_too_large_is_named(runs, monkeypatch):
    record = max(sound_records(runs)[0], key=lambda r: (r.path / "predictions.npz").stat().st_size)
    (record.path / "run.json").write_text((record.path / "run.json").read_text() + " " * 64_000)
    only_fault(runs, record, "bytes, a record may have 64,000")


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["metrics"].update(last=[]),
        lambda c: c["data"].update(counts=None),
        lambda c: c["spec"].update(recipe={"name": "x"}),
        lambda c: c["metrics"]["test_best"].update(test=3),
    ],
)
def test_a_record_of_another_form_is_named(runs, change):
    record = sound_records(runs)[0][0]
    edit(record, change)
    _, problems = sound_records(runs)
    assert problems
    assert all(problem.startswith(str(record.path)) and "\n" not in problem for problem in problems)


# ---------------------------------------------------------------- data without committed facts


def seeds(runs, count):
    return [write_run(runs, RunSpec(tiny_recipe(), seed), correct=13) for seed in range(count)]


def test_most_records_say_what_the_pictures_are(tmp_path):
    odd = seeds(tmp_path, 3)[1]
    edit(odd, lambda content: content["data"].update(fingerprint="e" * 64))
    only_fault(tmp_path, odd, "made from another synthetic or other classes than test-tiny-synthetic-s")


def test_most_records_say_in_which_order_the_labels_are(tmp_path):
    odd = remade(seeds(tmp_path, 3)[2], reverse)
    only_fault(tmp_path, odd, "labels or their order differ from those of test-tiny-synthetic-s0")


def test_without_a_majority_none_is_believed(tmp_path):
    odd = seeds(tmp_path, 2)[1]
    edit(odd, lambda content: content["data"].update(fingerprint="e" * 64))
    records, problems = sound_records(tmp_path)
    assert (records, len(problems)) == ([], 2)


def test_drawn_faces_have_no_place_in_the_study(tmp_path, monkeypatch):
    monkeypatch.setattr(verify, "ROOT", tmp_path)
    (record,) = seeds(tmp_path / "results" / "runs", 1)
    only_fault(tmp_path / "results" / "runs", record, "trained on drawn faces")
    assert sound_records(seeds(tmp_path / "results" / "smoke" / "runs", 1)[0].path.parent)[1] == []


# ---------------------------------------------------------------- size


@pytest.mark.heavy
def test_300_records_take_20_mb_and_give_every_table(tmp_path):
    write_many(tmp_path, 300)
    sizes = [sum(file.stat().st_size for file in run.iterdir()) for run in (tmp_path / "runs").iterdir()]
    assert max(sizes) <= 64_000
    assert sum(sizes) < 20e6
    lines = []
    benchmark(tmp_path, lines.append)
    print(*lines, sep="\n")  # the seconds; no test depends on a clock
    assert lines[0] == f"300 records: {sum(sizes) / 1e6:.1f} MB"
    assert lines[1].endswith(" s: 300 sound runs, 0 faults")
    assert lines[2].startswith(f"{2 * len(TABLES) + len(FIGURES)} tables and figures in ")
