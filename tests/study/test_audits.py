"""Audits of nets whose answers are known, against figures that follow from the answers alone."""

import dataclasses
import itertools

import numpy as np
import pytest
from many_runs import write_fake
from tiny import tiny_dataset, tiny_recipe

from fer_lib import plots
from fer_lib.data.facts import load_facts
from fer_lib.errors import UserError
from fer_lib.models.describe import count_parameters
from fer_lib.models.registry import create_model
from fer_lib.queue.train import train_run
from fer_lib.recipe import RunSpec, get_recipe, list_recipes
from fer_lib.selection import RULES
from fer_lib.study import audits
from fer_lib.study.cost import cost_table
from fer_lib.study.protocols import protocol_audit, protocol_figure
from fer_lib.study.results import Study
from fer_lib.study.tables import TABLES, page
from fer_lib.study.verify import sound_records

NET, OTHER = "control/none/fer2013", "control/cbam/fer2013"
FACTS = load_facts("fer2013")
TRUTH = {part: FACTS.faces.labels[FACTS.faces.indices(part)] for part in ("val", "test")}
WRONG = {part: (labels + 1) % 7 for part, labels in TRUTH.items()}


def write(runs, test, seed=0, name=NET, last=None, test_best=None):
    """A net with these answers on PrivateTest at the selected epoch, and others at other epochs."""
    answers = {rule: {"val": TRUTH["val"], "test": test} for rule in RULES}
    if last is not None:
        answers["last"] = answers["last"] | {"test": last}
    if test_best is not None:
        answers["test_best"] = answers["test_best"] | {"test": test_best}
    return write_fake(runs, RunSpec(get_recipe(name), seed), answers=answers)


def right(count):
    """Answers of which the first ``count`` are right."""
    return np.where(np.arange(3589) < count, TRUTH["test"], WRONG["test"])


def test_the_worth_of_choosing_on_the_test_set(tmp_path):
    records = [
        write(tmp_path, right(count), seed, last=right(count - 36), test_best=right(count + gain))
        for seed, (count, gain) in enumerate([(2600, 18), (2700, 54)])
    ]
    (row,) = audits.rule_audit(Study(records)).to_dict("records")
    assert (row["recipe"], row["seeds"], row["protocol"]) == (NET, 2, "official")
    assert row["val_selected"] == pytest.approx(100 * 2650 / 3589)
    assert row["last"] == pytest.approx(100 * 2614 / 3589)
    assert row["worth"] == pytest.approx(100 * 36 / 3589)
    assert row["worth_one_view"] == pytest.approx(100 * 36 / 3589)
    assert row["worth_sd"] == pytest.approx(100 * np.std([18, 54], ddof=1) / 3589)


def test_leaked_pictures_are_counted_apart(tmp_path):
    leaked = np.zeros(3589, bool)
    train = set(FACTS.picture[FACTS.faces.indices("train")].tolist())
    for position, picture in enumerate(FACTS.picture[FACTS.faces.indices("test")].tolist()):
        leaked[position] = picture in train
    record = write(tmp_path, np.where(leaked, TRUTH["test"], WRONG["test"]))
    (row,) = audits.leak_audit(Study([record])).to_dict("records")
    assert (row["leaked"], row["alone"], row["without"]) == (288, 100, 0)
    assert row["accuracy"] == pytest.approx(100 * 288 / 3589)
    assert row["raised"] == pytest.approx(100 * 288 / 3589)
    assert np.isnan(row["accuracy_sd"])  # one seed has no spread


def test_a_net_that_says_what_people_say(tmp_path):
    faces = FACTS.faces
    said = []
    for votes in faces.votes[faces.indices("test")].tolist():
        name = faces.vote_classes[votes.index(max(votes))]
        said.append(faces.classes.index(name) if name in faces.classes else -1)
    said = np.array(said)
    (row,) = audits.ferplus_audit(Study([write(tmp_path, np.where(said < 0, WRONG["test"], said))])).to_dict("records")
    assert row["accuracy"] == pytest.approx(62.19, abs=0.005)  # the agreement of FER2013 and FER+, measured elsewhere
    assert (row["by_ferplus"], row["undisputed"]) == (100, 100)
    assert (row["disputed_says_fer2013"], row["disputed_says_ferplus"]) == (0, 100)
    assert row["undisputed_pictures"] == 2232 == (said == TRUTH["test"]).sum()
    (row,) = audits.ferplus_audit(Study([write(tmp_path / "2", TRUTH["test"])])).to_dict("records")
    assert row["by_ferplus"] == pytest.approx(100 * 2232 / row["ferplus_pictures"])
    assert (row["disputed_says_fer2013"], row["disputed_says_ferplus"]) == (100, 0)


def test_the_ceiling_of_the_labels():
    table = audits.ceiling_table().set_index(["labeller", "split"])
    assert table.loc[("FER+, most frequent choice", "test"), "accuracy"] == pytest.approx(62.19, abs=0.005)
    assert table.loc[("FER+, most frequent choice", "val"), "accuracy"] == pytest.approx(62.11, abs=0.005)
    clear = table.loc[("FER+, choice of more than half, one of the seven", "test")]
    assert clear["pictures"] == 2720
    assert clear["accuracy"] == pytest.approx(72.2, abs=0.05)
    copies = {}
    for picture, label in zip(FACTS.picture.tolist(), FACTS.faces.labels.tolist(), strict=True):
        copies.setdefault(picture, []).append(label)
    pairs = [list(itertools.combinations(labels, 2)) for labels in copies.values() if len(labels) > 1]
    agree = np.mean([np.mean([a == b for a, b in of_one]) for of_one in pairs])
    found = table.xs("all", level="split")
    assert found["pictures"].tolist() == [1518, 1518]
    assert found["accuracy"].iloc[0] == pytest.approx(100 * agree)
    a = found["accuracy"].iloc[1] / 100
    assert a > 0.9
    assert a**2 + (1 - a) ** 2 / 6 == pytest.approx(agree)


def test_classes_of_a_net_that_only_knows_happiness(tmp_path):
    happy = FACTS.faces.classes.index("happy")
    record = write(tmp_path, np.full(3589, happy))
    (row,) = audits.class_audit(Study([record])).to_dict("records")
    assert row["accuracy"] == pytest.approx(100 * 879 / 3589)
    assert row["macro_recall"] == pytest.approx(100 / 7)
    assert row["macro_precision"] == pytest.approx(100 * 879 / 3589 / 7)
    assert row["macro_f1"] == pytest.approx(100 * 2 * 879 / (879 + 3589) / 7)
    assert [row[f"recall_{name}"] for name in FACTS.faces.classes] == [0, 0, 0, 100, 0, 0, 0]


def test_calibration_of_a_net_that_is_always_sure(tmp_path):
    record = write(tmp_path, right(1795))
    (row,) = audits.calibration_audit(Study([record])).to_dict("records")
    sure = 100 * 255.5 / 258.5  # what 8 bits make of certainty: half a step for each class
    accuracy = 100 * 1795 / 3589
    assert (row["confidence"], row["accuracy"]) == (pytest.approx(sure), pytest.approx(accuracy))
    assert (row["overconfidence"], row["ece"]) == (pytest.approx(sure - accuracy), pytest.approx(sure - accuracy))
    likelihood = -(1795 * np.log(255.5 / 258.5) + 1794 * np.log(0.5 / 258.5)) / 3589
    assert row["nll"] == pytest.approx(likelihood)
    reliable = audits.reliability_table(Study([record]))
    assert reliable[["pictures", "confidence", "accuracy"]].to_numpy().tolist() == [
        [3589, pytest.approx(sure), pytest.approx(accuracy)]
    ]


def test_cleaning_is_judged_against_the_same_training_without(tmp_path):
    names = ("gu/basic_scratch/fer2013", "gu/basic_scratch_cleaned/fer2013")
    records = [
        write(tmp_path, right(2500 + 10 * seed + 18 * cleaned), seed, name)
        for seed in range(2)
        for cleaned, name in enumerate(names)
    ]
    table = audits.cleaning_audit(Study(records)).set_index("recipe")
    assert table.loc[names[1], "baseline"] == names[0]
    assert table.loc[names[1], "gain"] == pytest.approx(100 * 18 / 7178)
    assert table.loc["gu/psa_joint_weighted_cleaned/fer2013", "baseline"] == "gu/psa_joint_weighted/fer2013"
    assert table.loc["gu/psa_joint_weighted_cleaned/fer2013", "reading"] == "not run"


def test_pictures_without_a_face_are_left_out_of_a_training(tmp_path):
    dataset = tiny_dataset()
    spec = RunSpec(dataclasses.replace(tiny_recipe(epochs=1), dataset="folder:tiny", leave_out="not_face"))
    with pytest.raises(UserError, match=r"no votes of FER\+"):
        train_run(spec, results=tmp_path, device="cpu", say=lambda line: None, dataset=dataset)
    votes = np.tile([6, 4], (len(dataset), 1))
    train, test = dataset.indices("train"), dataset.indices("test")
    votes[[train[0], train[5], test[0]]] = [4, 6]
    dataset = dataclasses.replace(dataset, votes=votes, vote_classes=("happy", "not_face"))
    record = train_run(spec, results=tmp_path, device="cpu", say=lambda line: None, dataset=dataset)
    assert record.content["data"]["counts"] == {"train": len(train) - 2, "val": 21, "test": len(test)}
    assert sound_records(tmp_path / "runs")[1] == []
    assert "leave_out" not in RunSpec(tiny_recipe()).as_dict()["recipe"]
    assert record.content["time"]["milliseconds_per_picture"] > 0


def test_costs_are_those_of_the_recorded_runs(tmp_path):
    records = [write(tmp_path, right(2000), seed) for seed in range(2)]
    records[0].content["time"] |= {"seconds": 600, "milliseconds_per_picture": 2.0}
    records[1].content["time"] |= {"seconds": 1200, "milliseconds_per_picture": 3.0}
    records.append(write(tmp_path, right(2000), 2))
    records[2].content["environment"] |= {"device": "a GPU"}
    table = cost_table(Study(records)).set_index("device")
    assert table["minutes"].tolist() == [15, 1]
    assert table["runs"].tolist() == [2, 1]
    assert table.loc["a CPU, 1 threads", "milliseconds"] == 2.5
    assert np.isnan(table.loc["a GPU", "milliseconds"])
    assert table["parameters"].tolist() == [count_parameters(create_model("resnet18"))] * 2
    assert table["pixels"].tolist() == [44, 44]
    # 44 x 44 after the first convolution, halved before each of the last three stages: 3x3 convolutions and 1x1 ones.
    sides, widths = (44, 22, 11, 6), (64, 128, 256, 512)
    macs = 44**2 * 9 * 64 + 512 * 7
    for before, side, width in zip((64, *widths), sides, widths, strict=False):
        macs += side**2 * (9 * before * width + 3 * 9 * width**2)
        macs += side**2 * before * width if before != width else 0
    assert table["macs"].tolist() == [macs, macs]


def test_without_runs_every_table_has_its_header():
    for name in ("rules", "leaks", "ferplus", "ceiling", "protocols", "classes", "calibration", "reliability", "cost"):
        table = TABLES[name].build(Study())
        assert len(table.columns) > 1, name
        assert page(name, table)
    for figure in (
        protocol_figure(protocol_audit(Study())),
        audits.reliability_figure(audits.reliability_table(Study())),
    ):
        assert figure.axes


def test_two_nets_are_two_rows(tmp_path):
    records = [write_fake(tmp_path, RunSpec(get_recipe(name))) for name in (NET, OTHER)]
    for build in (audits.rule_audit, audits.leak_audit, audits.class_audit, audits.calibration_audit):
        assert build(Study(records))["recipe"].tolist() == [name for name in list_recipes() if name in (NET, OTHER)]
    short = dataclasses.replace(get_recipe("control/se/fer2013"), epochs=7)
    table = audits.reliability_table(Study([*records, write_fake(tmp_path, RunSpec(short))]))
    assert table.groupby("recipe")["epochs"].first().to_dict() == {NET: 60, OTHER: 60, short.name: 7}
    (axes, *_) = audits.reliability_figure(table).axes
    assert axes.get_title() == "A controlled comparison of\nattention modules, FER2013"
    lines = axes.get_lines()
    assert [line.get_label() for line in lines] == [
        "confidence = accuracy", "one recipe", "one recipe, fewer epochs", "one recipe", "all together"
    ]  # fmt: skip
    full = table[(table["recipe"] != short.name) & (table["pictures"] >= plots.FEW)]
    weighed = full.assign(hits=full["pictures"] * full["accuracy"]).groupby(np.ceil(full["confidence"] / 10)).sum()
    assert lines[-1].get_ydata() == pytest.approx((weighed["hits"] / weighed["pictures"]).to_numpy())
    few = table.assign(pictures=table["pictures"].where(table["confidence"] > 50, plots.FEW - 1))
    assert min(min(line.get_xdata()) for line in audits.reliability_figure(few).axes[0].get_lines()[1:]) > 50
