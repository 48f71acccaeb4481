"""Scored heat maps: pictures and regions fit each other, scores survive without weights, rules judge as written."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from fer_lib.checkpoints import write_checkpoint
from fer_lib.data import FaceDataset, synthetic
from fer_lib.errors import UserError
from fer_lib.explain import heat_maps
from fer_lib.paths import ROOT
from fer_lib.queue.train import train_run
from fer_lib.recipe import RunSpec, get_recipe, with_changes
from fer_lib.runs import RunRecord, read_record
from fer_lib.study import heat_scores
from fer_lib.study.heat_pictures import heat_figure, mistakes_figure, recorded_figure
from fer_lib.study.heat_scores import MEASURES, drawn_recipe
from fer_lib.study.heat_verdict import compare, comparison_table, measure_table, right_and_wrong


@pytest.fixture(scope="module")
def drawn():
    return synthetic(56, 14, 14)


def tiny(dataset, folder, **changes):
    recipe = with_changes(get_recipe("narrow/none/fer2013"), dataset="synthetic", epochs=1)
    recipe = dataclasses.replace(recipe, model_options={"width": 8, "layers": [1, 1, 1, 1]}, **changes)
    return train_run(RunSpec(recipe), results=folder, device="cpu", dataset=dataset, say=lambda line: None)


def test_scores_are_kept_beside_the_record_and_need_no_weights_again(drawn, tmp_path):
    record = tiny(drawn, tmp_path)
    table = heat_scores.scores(record, drawn, pictures=10, road_pictures=3, say=lambda line: None)
    assert len(table) == 4 * 10
    assert table["method"].unique().tolist() == ["Grad-CAM", "Grad-CAM++", "LayerCAM", "Eigen-CAM"]
    assert table["road"].notna().sum() == 4 * 3
    assert table[[m for m in MEASURES if m != "road"]].notna().all().all()
    assert table["label"].tolist()[:10] == drawn.labels[drawn.indices("test")][:10].tolist()
    assert table["area"].between(0.02, 0.5).all()
    # The record's own predictions average two views; these are of the plain one.
    plain = record.predictions["test/val_selected/plain"][:10]
    assert table["predicted"].tolist()[:10] == plain.tolist()

    (record.path / "weights.safetensors").unlink()
    again = heat_scores.scores(record, drawn)
    pd.testing.assert_frame_equal(again, table, check_dtype=False, rtol=1e-6)
    assert (record.path / heat_scores.FILE).stat().st_size < 20_000
    (record.path / heat_scores.FILE).unlink()
    assert heat_scores.scores(record, drawn) is None


def test_other_pictures_than_the_run_s_are_refused(drawn, tmp_path):
    record = tiny(drawn, tmp_path)
    with pytest.raises(UserError, match="was trained on other pictures than synthetic has now"):
        heat_scores.show(record, synthetic(56, 14, 14, seed=1), 5)


@pytest.mark.parametrize("resize", [None, 60])
def test_regions_lie_on_what_the_net_is_shown(drawn, tmp_path, resize):
    """Pictures that are white exactly where their regions are."""
    white = dataclasses.replace(drawn, images=np.where(drawn.regions, 255, 0).astype(np.uint8))
    assert isinstance(white, FaceDataset)
    augment = {"crop": 40} | ({"resize": resize} if resize else {})
    shown = heat_scores.show(tiny(white, tmp_path, augment=augment), white, 6)
    size = resize or 40
    assert shown.inputs.shape == (6, 1, size, size)
    assert shown.regions.shape == (6, size, size)
    middle = (shown.inputs[:, 0].max() + shown.inputs.min()) / 2
    assert ((shown.inputs[:, 0] > middle).numpy() == shown.regions).mean() > (0.97 if resize else 0.9999)


def test_nets_come_from_the_run_or_from_the_weight_file_beside_the_runs(drawn, tmp_path):
    record = tiny(drawn, tmp_path)
    whole = heat_scores.load_trained(record).state_dict()
    write_checkpoint(record, "small", tmp_path / "checkpoints")
    (record.path / "weights.safetensors").unlink()
    assert heat_scores.has_net(record)
    for name, value in heat_scores.load_trained(record).state_dict().items():
        torch.testing.assert_close(value, whole[name], rtol=1e-3, atol=1e-4)  # kept in 16 bits
    (tmp_path / "checkpoints" / "small.safetensors").unlink()
    assert not heat_scores.has_net(record)


def test_recorded_runs_whose_pictures_are_not_here_are_named(drawn, tmp_path, monkeypatch):
    monkeypatch.setenv("FER_DATA", str(tmp_path))
    record, said = tiny(drawn, tmp_path), []
    content = record.content | {"data": record.content["data"] | {"name": "fer2013"}}
    record = RunRecord(record.path, content)
    assert heat_scores.recorded_scores([record], pictures=5, road_pictures=1, say=said.append) == {}
    assert said == ["the pictures of fer2013 are not here: runs that were not scored before are left out"]
    assert recorded_figure([record], "fer2013", limit=1, say=said.append) is None


def test_figures_show_every_net_and_every_picture(drawn, tmp_path):
    record = tiny(drawn, tmp_path)
    figure = heat_figure({"one": record, "two": record}, drawn, ["happy", "sad"], each=2)
    assert len(figure.axes) == 3 * 4
    assert [axes.get_title() for axes in figure.axes[:4]] == ["happy", "happy", "sad", "sad"]
    assert [axes.get_ylabel() for axes in figure.axes[::4]] == ["", "one", "two"]
    labels, predicted = record.predictions["test/labels"], record.predictions["test/val_selected/plain"]
    first = np.flatnonzero(predicted != labels)[0]
    titles = [axes.get_title() for axes in mistakes_figure(record, drawn, 2).axes]
    assert titles[0] == f"{drawn.classes[labels[first]]},\nseen as {drawn.classes[predicted[first]]}"
    assert heat_figure({}, drawn, ["happy"]) is None


def test_every_net_of_a_figure_sees_the_faces_through_its_own_window(drawn, tmp_path):
    records = {
        str(crop): tiny(drawn, tmp_path, augment={"crop": crop, "resize": resize})
        for crop, resize in ((44, 44), (24, 48))
    }
    figure = heat_figure(records, drawn, ["happy"], each=1)
    wide, narrow = (axes.images[1].get_array()[..., 3] for axes in figure.axes[1:])  # how opaque the heat is
    for heat, crop in ((wide, 44), (narrow, 24)):
        assert heat.shape == (48, 48)
        outside = np.ones((48, 48), bool)
        outside[(48 - crop) // 2 : (48 + crop) // 2, (48 - crop) // 2 : (48 + crop) // 2] = False
        assert not heat[outside].any()
    inputs = heat_scores.show(records["24"], drawn, 14).inputs
    happy = int(np.flatnonzero(drawn.labels[drawn.indices("test")] == drawn.classes.index("happy"))[0])
    alone = heat_maps(heat_scores.load_trained(records["24"]), inputs[[happy]], np.array([3]))[0]
    assert narrow.max() > 0
    assert np.corrcoef(alone[::2, ::2].ravel(), narrow[12:36, 12:36].ravel())[0, 1] > 0.9


# ------------------------------------------------------------ rules


def frames(energy, seeds=3, accuracy=0.9, correlation=0.1, sd=0.1, pictures=200):
    """Scores of one recipe's runs; ``energy`` is the mean, one value a seed or one for all."""
    means = np.broadcast_to(energy, seeds)
    rng, runs = np.random.default_rng(0), {}
    for seed in range(seeds):
        labels = np.arange(pictures) % 7
        wrong = np.arange(pictures) >= accuracy * pictures
        runs[seed] = pd.DataFrame(
            {
                "method": "Grad-CAM",
                "picture": np.arange(pictures),
                "label": labels,
                "predicted": np.where(wrong, (labels + 1) % 7, labels),
                "energy": means[seed] + sd * rng.standard_normal(pictures),
                "pointing": 1.0,
                "area": 0.2,
                "randomised energy": 0.2,
                "correlation": correlation,
                "road": np.nan,
            }
        )
        runs[seed] = pd.concat([runs[seed], runs[seed].assign(method="LayerCAM", energy=0.0)])
    return runs


BASE = frames(0.4)


@pytest.mark.parametrize(
    ("with_", "without", "verdict"),
    [
        (frames([0.50, 0.51, 0.49]), BASE, "supported"),
        (frames([0.30, 0.31, 0.29]), BASE, "contradicted"),
        (frames([0.41, 0.39, 0.40]), BASE, "undecided"),
        # Two seeds gain much and one loses: a mean gain of 5 points is no evidence.
        (frames([0.55, 0.5, 0.3]), BASE, "undecided"),
        (frames(0.5, seeds=2), BASE, "not judged: 2 of 3 seeds"),
        (frames(0.5, accuracy=0.2), BASE, "not judged: a net has not learned"),
        (frames(0.5), frames(0.4, accuracy=0.2), "not judged: a net has not learned"),
        (frames(0.5, correlation=0.6), BASE, "not judged: maps do not depend on the weights"),
        ({}, BASE, "no pair of runs yet"),
    ],
)
def test_rules(with_, without, verdict):
    assert compare(with_, without, 7).verdict == verdict


def test_gain_is_that_of_the_same_seed_by_the_method_of_the_rules():
    found = compare(frames([0.5, 0.6, 0.7], sd=0), frames([0.4, 0.4, 0.4], sd=0), 7)
    np.testing.assert_allclose(found.gains, [0.1, 0.2, 0.3])
    assert found.with_ == pytest.approx(0.6)
    assert found.without == pytest.approx(0.4)
    # Student's t of twice three seeds without noise of pictures, their variance (0.1² + 0) / 2:
    half = 2.7764 * np.sqrt(0.005 * 2 / 3)
    np.testing.assert_allclose([found.low, found.high], [0.2 - half, 0.2 + half], atol=1e-4)
    unpaired = compare({0: BASE[0], 2: BASE[2]}, {1: BASE[1], 2: BASE[2]}, 7)
    assert unpaired.seeds == 1
    assert unpaired.gains == (0.0,)
    text = comparison_table({"CBAM": found, "none": compare({}, BASE, 7)})
    assert text.loc["CBAM", "gain of each seed, points"] == "+10.0, +20.0, +30.0"
    assert text.loc["none", "95 % interval"] == "–"


def test_measures_are_means_over_runs_with_the_interval_of_their_pictures():
    text = measure_table(list(frames(0.4, pictures=400).values()))
    assert text.loc["LayerCAM", "energy"] == "0.00"
    mean, low, _, high = text.loc["Grad-CAM", "energy"].translate(str.maketrans("()", "  ")).split()
    # Three runs' noise of 0.1, averaged, over 400 pictures: a standard error of 0.1 / sqrt(3 * 400).
    assert float(mean) == pytest.approx(0.4, abs=0.01)
    assert float(high) - float(low) == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(1200), abs=0.01)
    assert text.loc["Grad-CAM", "road"] == "–"


def test_right_and_wrong_pictures_are_told_apart():
    table = right_and_wrong(list(frames(0.4, accuracy=0.75, sd=0).values()))
    assert table.loc["right", "pictures"] == 450
    assert table.loc["wrong", "pictures"] == 150
    assert table.loc["right", "energy"] == pytest.approx(0.4)


DRAWN = ROOT / "results" / "drawn" / "runs"


@pytest.mark.parametrize("name", sorted(path.parent.name for path in DRAWN.glob("*/run.json")))
def test_committed_scores_belong_to_their_run(name):
    record = read_record(DRAWN / name)
    recipe = record.spec["recipe"]
    whole = recipe["model"] in heat_scores.PAPER_NETS
    # The whole nets have learned little, so that rounding decides between more of their classes.
    limit, pictures, alike = (700, 70, 0.85) if whole else (None, 350, 0.99)
    spec = RunSpec(drawn_recipe(recipe["model"], recipe["epochs"]), record.spec["seed"], limit_train=limit)
    assert heat_scores.find_drawn(spec, DRAWN.parent).id == record.id == name
    table = heat_scores.scores(record, None)
    for _, rows in table.groupby("method"):
        assert rows["picture"].tolist() == list(range(pictures))
        assert rows["label"].tolist() == record.predictions["test/labels"][:pictures].tolist()
        # On the machine that scored them, which may round a tie otherwise than the training did.
        assert (
            rows["predicted"].to_numpy() == record.predictions["test/val_selected/plain"][:pictures]
        ).mean() >= alike
