"""Run records: written whole or not at all, read back as written, and every fault named."""

import errno
import gzip
import json
import math
import os

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from tiny import tiny_recipe, write_run

from fer_lib import runs as runs_module
from fer_lib.errors import UserError
from fer_lib.recipe import RunSpec
from fer_lib.runs import metrics_of, predictions_of, read_record, read_records, verify_record, write_record
from fer_lib.selection import RULES


@pytest.fixture
def record(tmp_path):
    return write_run(tmp_path / "runs", RunSpec(tiny_recipe()), correct=13)


def edit(record, change):
    """Change a record's run.json and read it again."""
    content = json.loads((record.path / "run.json").read_text())
    change(content)
    (record.path / "run.json").write_text(json.dumps(content))
    return read_record(record.path)


def resave(record, change):
    """Change a record's predictions and read it again."""
    arrays = dict(record.predictions)
    change(arrays)
    np.savez_compressed(record.path / "predictions.npz", **arrays)
    return read_record(record.path)


# ---------------------------------------------------------------- writing and reading


def test_what_is_written_is_read(record):
    read = read_record(record.path)
    assert read.content == json.loads(json.dumps(record.content))
    assert (read.recipe, read.epochs, len(read.classes)) == ("test/tiny/synthetic", 3, 7)
    assert read.accuracy() == read.accuracy("test", "test_best", "plain") == 13 / 20
    assert read.accuracy("val", "last") == 0.5
    assert read.history["epoch"].tolist() == [1, 2, 3]
    assert read.history["test_accuracy"].tolist() == [0.65] * 3
    assert (read.predictions["test/last/tta"] == read.predictions["test/labels"]).sum() == 13
    assert verify_record(read) == []
    assert sorted(path.name for path in record.path.parent.iterdir()) == [f"{record.id}", f"{record.id}.partial"]


def test_metrics_follow_from_predictions():
    rng = np.random.default_rng(0)
    labels = {"test": rng.integers(0, 7, 200)}
    chosen = {rule: {"test": {kind: rng.dirichlet(np.ones(7), 200) for kind in ("plain", "tta")}} for rule in RULES}
    metrics = metrics_of(predictions_of(labels, chosen), 7)
    for rule in ("last", "val_selected"):
        for kind in ("plain", "tta"):
            predicted = chosen[rule]["test"][kind].argmax(1)
            found = metrics[rule]["test"][kind]
            assert found["accuracy"] == pytest.approx(accuracy_score(labels["test"], predicted))
            assert found["macro_f1"] == pytest.approx(f1_score(labels["test"], predicted, average="macro"))
    shares = chosen["val_selected"]["test"]["tta"][np.arange(200), labels["test"]]
    exact = -np.log(shares.clip(0.002)).mean()
    assert metrics["val_selected"]["test"]["tta"]["nll"] == pytest.approx(exact, abs=0.05)


def test_a_protocol_without_val_part_leaves_empty_cells(tmp_path):
    record = write_run(tmp_path, RunSpec(tiny_recipe()), correct=5, val=0)
    read = read_record(record.path)
    assert np.isnan(read.history["val_accuracy"]).all()
    assert np.isnan(read.accuracy("val"))
    assert verify_record(read) == []


@pytest.mark.parametrize("sureness", [2, 3.5])
def test_a_record_of_500_epochs_on_fer2013_is_small(tmp_path, sureness):
    """3,589 + 3,589 rows of a net that is right in 65 %, as sure of itself as with label smoothing, or without."""
    rng = np.random.default_rng(0)
    labels, chosen = {}, {}
    for part in ("val", "test"):
        truth = rng.integers(0, 7, 3589)
        logits = rng.normal(size=(3589, 7))
        logits[np.arange(3589), truth] += 1.75
        kinds = {}
        for kind in ("plain", "tta"):  # the views of a picture differ a little
            shares = np.exp(sureness * (logits + 0.2 * rng.normal(size=logits.shape)))
            kinds[kind] = shares / shares.sum(1, keepdims=True)
        labels[part], chosen[part] = truth, kinds
    assert 0.6 < chosen["test"]["tta"].max(1).mean() < 0.85
    assert 0.6 < (chosen["test"]["tta"].argmax(1) == labels["test"]).mean() < 0.7
    arrays = predictions_of(labels, dict.fromkeys(RULES, chosen))
    small = write_run(tmp_path / "small", RunSpec(tiny_recipe()), correct=1)
    history = [
        {name: (epoch if name == "epoch" else rng.random()) for name in small.history} for epoch in range(1, 501)
    ]
    record = write_record(tmp_path / "record", small.content, history, arrays, tmp_path / "scratch")
    assert sum(path.stat().st_size for path in record.path.iterdir()) <= 64_000


def test_probabilities_are_kept_to_half_a_step(tmp_path):
    """The file leaves the predicted class out; what is read is what was written, and close to what was predicted."""
    rng = np.random.default_rng(0)
    labels = {"test": rng.integers(0, 7, 500)}
    shares = rng.dirichlet(np.full(7, 0.3), 500)
    arrays = predictions_of(labels, {rule: {"test": {"plain": shares, "tta": shares}} for rule in RULES})
    content = write_run(tmp_path / "small", RunSpec(tiny_recipe()), correct=1).content
    record = write_record(tmp_path / "record", content, [{"epoch": 1}], arrays, tmp_path / "scratch")
    read = record.predictions
    assert read.keys() == arrays.keys()
    assert all(np.array_equal(read[name], arrays[name]) and read[name].dtype == np.uint8 for name in arrays)
    stored = read["test/probabilities"]
    assert (stored.sum(1, dtype=int) == 255).all()
    others = np.arange(7) != shares.argmax(1)[:, None]
    assert np.abs(stored / 255 - shares)[others].max() <= 0.5 / 255 + 1e-9
    assert np.abs(stored / 255 - shares).max() <= 3 / 255


def test_probabilities_that_are_no_numbers_make_no_record():
    labels = {"test": np.array([0, 1])}
    shares = np.full((2, 7), 1 / 7)
    shares[1, 3] = np.nan
    with pytest.raises(ValueError, match="test: the net's probabilities are not finite"):
        predictions_of(labels, {rule: {"test": {"plain": shares, "tta": shares}} for rule in RULES})


@pytest.mark.parametrize("failing", ["predictions.npz", "history.csv.gz", "run.json", "weights.safetensors"])
def test_a_full_disk_leaves_no_record(tmp_path, monkeypatch, failing):
    whole = write_run(tmp_path / "whole", RunSpec(tiny_recipe()), correct=1)

    def write(path, fill):
        if path.name == failing:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return path.write_bytes(b"")

    monkeypatch.setattr(runs_module, "write_atomically", write)
    history = [{name: float(column[0]) for name, column in whole.history.items()}]
    with pytest.raises(OSError, match="No space left"):
        write_record(tmp_path / "run", whole.content, history, whole.predictions, tmp_path / "run.partial", b"weights")
    assert not (tmp_path / "run").exists()
    monkeypatch.undo()
    again = write_record(
        tmp_path / "run", whole.content, history, whole.predictions, tmp_path / "run.partial", b"weights"
    )
    assert sorted(path.name for path in again.path.iterdir()) == [
        "history.csv.gz", "predictions.npz", "run.json", "weights.safetensors",
    ]  # fmt: skip


def test_a_record_is_never_overwritten(record):
    before = (record.path / "run.json").read_bytes()
    with pytest.raises(OSError, match=r"not empty|exists"):
        write_run(record.path.parent, RunSpec(tiny_recipe()), correct=1)
    assert (record.path / "run.json").read_bytes() == before


# ---------------------------------------------------------------- records that are none


def test_read_records_sorts_and_leaves_unfinished_runs_out(tmp_path):
    runs = tmp_path / "runs"
    written = [write_run(runs, RunSpec(tiny_recipe(), seed), correct=5) for seed in (2, 0, 1)]
    records, problems = read_records(runs)
    assert [r.id for r in records] == sorted(r.id for r in written)
    assert problems == []  # .partial folders are there, too
    assert read_records(tmp_path / "nowhere") == ([], [])


@pytest.mark.parametrize("name", ["run.json", "history.csv.gz", "predictions.npz"])
def test_a_missing_file_is_named(record, name):
    (record.path / name).unlink()
    records, problems = read_records(record.path.parent)
    assert records == []
    assert len(problems) == 1
    assert problems[0].startswith(f"{record.path / name}: missing")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "\xff"])
def test_an_unreadable_run_json_is_named(record, text):
    (record.path / "run.json").write_bytes(text.encode("latin-1"))
    records, problems = read_records(record.path.parent)
    assert records == []
    assert len(problems) == 1
    assert problems[0].startswith(f"{record.path / 'run.json'}: ")


@pytest.mark.parametrize(
    "field", ["id", "spec", "metrics", "spec.recipe", "spec.seed", "metrics.test_best", "data.counts", "time.seconds"]
)
def test_a_missing_field_is_named(record, field):
    outer, _, inner = field.partition(".")

    def remove(content):
        if inner:
            del content[outer][inner]
        else:
            del content[outer]

    with pytest.raises(UserError, match=rf"run\.json: lacks {field}$"):
        edit(record, remove)


def test_another_schema_is_named(record):
    with pytest.raises(UserError, match="schema 99, this version reads 1"):
        edit(record, lambda content: content.update(schema=99))


# ---------------------------------------------------------------- records that contradict themselves


def flip(array):
    array[0] = (array[0] + 1) % 7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["metrics"]["last"]["test"]["plain"].update(accuracy=0.99), "test, last, plain is 0.99"),
        (lambda c: c["metrics"]["val_selected"]["test"]["tta"].update(ece=0.0), "ece of test, val_selected"),
        (lambda c: c["metrics"]["last"]["val"]["tta"]["per_class_recall"].reverse(), "per_class_recall of val, last"),
        (lambda c: c["metrics"]["last"]["test"].pop("plain"), "run.json: lacks metrics.last.test.plain"),
        (lambda c: c["metrics"]["last"]["test"]["tta"]["per_class_recall"].pop(), "per_class_recall of test, last"),
        (lambda c: c["metrics"]["test_best"]["test"]["plain"].update(accuracy=0.99), "test_accuracy of epoch 3"),
        (lambda c: c["metrics"]["test_best"].pop("test"), "run.json: lacks metrics.test_best.test"),
        (lambda c: c["metrics"]["val_selected"].update(epoch=4), "val_selected has epoch 4 of 3"),
        (lambda c: c["spec"]["recipe"].update(epochs=500), "the spec is not the one"),
        (lambda c: c["spec"].update(seed=7), "the spec is not the one"),
        (lambda c: c["data"]["counts"].update(test=21), "has 20 rows, the test part has 21"),
        (lambda c: c.update(id="fine-" + c["id"]), "the spec is not the one"),
        (lambda c: c["code"].update(commit=None, digest=None), "neither commit nor digest"),
        (lambda c: c["metrics"]["test_best"]["val"]["tta"].update(macro_f1=1.01), "val.tta.macro_f1 = 1.01: expected"),
        (lambda c: c["metrics"]["test_best"]["val"]["tta"].update(macro_f1=math.nan), "val.tta.macro_f1 = nan: expect"),
        (lambda c: c["metrics"]["last"]["val"]["tta"].update(macro_f1=math.nan), "val.tta.macro_f1 = nan: expected"),
        (lambda c: c["metrics"]["test_best"]["val"]["tta"]["per_class_recall"].pop(), "has 6 numbers for 7 classes"),
        (lambda c: c["metrics"]["test_best"]["val"]["tta"].update(accuracy=1), "accuracy of val, test_best, tta is 1"),
        (lambda c: c["metrics"]["test_best"]["val"]["tta"].update(macro_recall=0), "macro_recall of val, test_best"),
        (lambda c: c["data"].update(name="ckplus"), "data.name is ckplus, the spec's dataset synthetic"),
    ],
)  # fmt: skip
def test_an_edited_run_json_is_named(record, change, words):
    try:
        faults = verify_record(edit(record, change))
    except UserError as error:  # not even of the form that a record has
        faults = [str(error)]
    assert any(words in fault for fault in faults), faults
    assert all("\n" not in fault for fault in faults)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: flip(a["test/labels"]), "accuracy of test, last, plain is 0.65, predictions give 0.6"),
        (lambda a: flip(a["val/val_selected/tta"]), "accuracy of val, val_selected, tta is 0.5, predictions give 0.4"),
        (lambda a: a["test/probabilities"][:, -2:].sort(1), "nll of test, val_selected, tta"),
        (lambda a: a.update({"test/last/tta": a["test/last/tta"][1:]}), "test/last/tta has 19 rows"),
        (lambda a: a.pop("test/last/plain"), "predictions.npz: lacks 'test/last/plain'"),
        (lambda a: a["test/last/plain"].fill(9), "predictions.npz: predicted hold class 9"),
        (lambda a: a["val/probabilities"].fill(0), "10 rows of val/probabilities do not sum to one"),
        (lambda a: a.update({"val/probabilities": a["val/probabilities"] / np.nan}), "is float64, not uint8"),
        (lambda a: a.update({"val/probabilities": a["val/probabilities"][:, :6]}), "is [10, 6] for 7 classes"),
        (lambda a: a["val/probabilities"].sort(1), "9 rows of val/probabilities have another class on top"),
    ],
)  # fmt: skip
def test_edited_predictions_are_named(record, change, words):
    faults = verify_record(resave(record, change))
    assert any(words in fault for fault in faults), faults


@pytest.mark.parametrize("content", [b"", b"PK nonsense"])
def test_corrupt_predictions_are_named(record, content):
    (record.path / "predictions.npz").write_bytes(content)
    assert [f.split(" (")[0] for f in verify_record(read_record(record.path))] == ["predictions.npz: unreadable"]


HISTORY = "epoch,val_loss,val_accuracy,test_accuracy\n1,1.5,0.5,0.65\n2,1.5,0.5,0.65\n3,1.5,0.5,0.65\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "history.csv.gz: unreadable"),
        ("epoch,test_accuracy\none,0.5\n", "history.csv.gz: unreadable"),
        ("epoch,val_accuracy,test_accuracy\n1,0.5,0.65\n", "history.csv.gz: 1 epochs, the spec has 3"),
        (HISTORY.replace("2,1.5", "2,"), "history.csv.gz: val_loss is no number in epoch 2"),
        (HISTORY.replace("2,1.5", "2,inf"), "history.csv.gz: val_loss is no number in epoch 2"),
    ],
)
def test_a_bad_history_is_named(record, text, words):
    (record.path / "history.csv.gz").write_bytes(gzip.compress(text.encode()))
    faults = verify_record(read_record(record.path))
    assert len(faults) == 1
    assert faults[0].startswith(words)


def test_a_short_history_is_not_sound(tmp_path):
    record = write_run(tmp_path, RunSpec(tiny_recipe(epochs=4)), correct=13)
    spec = RunSpec(tiny_recipe(epochs=9))
    content = record.content | {"id": spec.run_id, "spec": spec.as_dict()}
    history = [{"epoch": n, "val_accuracy": 0.5, "test_accuracy": 0.65} for n in range(1, 5)]
    short = write_record(tmp_path / spec.run_id, content, history, record.predictions, tmp_path / "scratch")
    assert "history.csv.gz: 4 epochs, the spec has 9" in verify_record(short)


def test_a_renamed_folder_is_named(record):
    renamed = record.path.rename(record.path.with_name("copy"))
    assert verify_record(read_record(renamed)) == [f"folder is named copy, run.json says {record.id}"]
