"""The matrix, the state of its runs and the minutes they will take."""

import dataclasses
from collections import Counter

import pytest
import torch
from tiny import tiny_recipe, write_run

from fer_lib.claims import list_claims
from fer_lib.errors import UserError
from fer_lib.models import create_model
from fer_lib.models.describe import count_macs
from fer_lib.queue.lock import locked
from fer_lib.queue.pace import MacCounter, Pace, benchmark_path, device_pace
from fer_lib.queue.plan import HEADLINES, Status, choose_recipes, matrix, run_status
from fer_lib.queue.status import plan_text, status_text
from fer_lib.recipe import RunSpec, get_recipe, list_recipes
from fer_lib.training.checkpoint import mark_failed, save_checkpoint

DEVICE = "a CPU, 1 threads"  # of write_run's records


def paper(spec):
    return spec.recipe.name.split("/")[0]


# ---------------------------------------------------------------- the matrix


@pytest.fixture(scope="module")
def whole():
    return matrix(choose_recipes())


def test_every_recipe_has_its_seeds_and_every_seed_its_folds(whole):
    assert len({spec.run_id for spec in whole}) == len(whole)
    found = Counter((spec.recipe.name, spec.seed) for spec in whole)
    for name, recipe in list_recipes().items():
        seeds = {seed for recipe_name, seed in found if recipe_name == name}
        usual = 5 if name in HEADLINES or name.startswith("control/") else 3 if recipe.optimizer else 1
        assert seeds == set(range(recipe.seeds or usual))
        # A pipeline's whole cross-validation is one run where it is drawn anew with every seed.
        whole_run = not recipe.optimizer and recipe.protocol.endswith("_drawn")
        assert {found[name, seed] for seed in seeds} == {10 if "10fold" in recipe.protocol and not whole_run else 1}


def test_the_most_urgent_run_first(whole):
    fer2013 = [spec for spec in whole if spec.recipe.name.endswith("/fer2013")]
    assert [paper(spec) for spec in whole[:4]] == ["li", "hu", "gu", "zhang"]
    assert {spec.recipe.name for spec in whole[:4]} == set(HEADLINES[:4])
    assert all(spec.seed == 0 for spec in whole[:4])
    # Then their CK+, all folds; then the control comparison; all of it before a further seed of a headline.
    first_control = next(i for i, spec in enumerate(whole) if paper(spec) == "control")
    assert {spec.recipe.name for spec in whole[:first_control]} == set(HEADLINES)
    assert {spec.seed for spec in whole[:first_control]} == {0}
    waves = [
        "headline"
        if spec.recipe.name in HEADLINES
        else paper(spec)
        if paper(spec) in ("control", "best", "narrow")
        else "row"
        for spec in whole[first_control:]
    ]
    assert list(dict.fromkeys(waves)) == ["control", "headline", "row", "best", "narrow"]
    datasets = [spec.recipe.dataset for spec in whole if paper(spec) == "control"]
    assert list(dict.fromkeys(datasets)) == ["fer2013", "ckplus"]
    assert datasets == sorted(datasets, reverse=True)  # FER2013 with all seeds before CK+
    control = [spec.seed for spec in fer2013 if paper(spec) == "control"]
    assert control == sorted(control)  # all modules of a seed before the next seed


def test_the_headlines_are_what_the_papers_are_quoted_for():
    quoted = {claim.recipe for claim in list_claims() if claim.headline and claim.recipe}
    assert quoted <= set(HEADLINES)
    assert set(HEADLINES) <= set(list_recipes())
    assert {name.split("/")[0] for name in HEADLINES} == {"li", "hu", "gu", "zhang"}


def test_choosing():
    chosen = choose_recipes(["narrow"], ["zhang/plain/fer2013"])
    assert {recipe.name.split("/")[0] for recipe in chosen} == {"narrow", "zhang"}
    assert [recipe.name for recipe in chosen if recipe.name.startswith("zhang")] == ["zhang/plain/fer2013"]
    assert {spec.seed for spec in matrix(chosen, seeds=2)} == {0, 1}
    assert matrix([get_recipe("classical/hog_svm/fer2013")], seeds=4)[-1].seed == 0  # no chance in it
    for papers, names in ((["zang"], []), ([], ["zhang/plane/fer2013"])):
        with pytest.raises(UserError, match="did you mean"):
            choose_recipes(papers, names)
    with pytest.raises(UserError, match="--seeds 0"):
        matrix(chosen, seeds=0)


# ---------------------------------------------------------------- how far a run is


@pytest.fixture
def spec():
    return RunSpec(tiny_recipe(name="li/hybrid/fer2013", dataset="fer2013", epochs=10))


def checkpoint(runs, spec, epoch):
    partial = runs / f"{spec.run_id}.partial"
    partial.mkdir(parents=True, exist_ok=True)
    state = {"model": {"weight": torch.zeros(4)}, "progress": {"epoch": epoch, "step": 3}}
    save_checkpoint(partial, "0" * 64, state)
    return partial


def test_the_five_states(tmp_path, spec):
    assert run_status(spec, tmp_path) == Status(spec, "missing")
    (tmp_path / f"{spec.run_id}.partial").mkdir()  # begun, and killed before the first checkpoint
    assert run_status(spec, tmp_path) == Status(spec, "missing")
    partial = checkpoint(tmp_path, spec, 4)
    assert run_status(spec, tmp_path) == Status(spec, "partial", 4)
    with locked(partial):
        assert run_status(spec, tmp_path) == Status(spec, "running", 4)
    mark_failed(partial, "the loss became NaN")
    assert run_status(spec, tmp_path) == Status(spec, "failed", 4, "the loss became NaN")
    write_run(tmp_path, spec, correct=5)
    assert run_status(spec, tmp_path) == Status(spec, "done", 10)


def test_a_checkpoint_that_cannot_be_read_is_none(tmp_path, spec):
    partial = checkpoint(tmp_path, spec, 4)
    (partial / "checkpoint.pt").write_bytes(b"torn")
    assert run_status(spec, tmp_path).state == "missing"


# ---------------------------------------------------------------- minutes


def macs_of(recipe):
    return {"resnet18": 100, "resnet34": 300}[recipe["model"]]


@pytest.fixture
def records(tmp_path, spec):
    """One run of 10 epochs in 60 seconds, on 100 + 10 + 20 pictures: 3·100 + 30 = 330 forward passes an epoch."""
    return [write_run(tmp_path / "runs", spec, correct=5)]


def test_a_recipe_that_ran_here_keeps_its_pace(records, spec):
    pace = Pace(records, DEVICE, macs_of)
    other_seed = dataclasses.replace(spec, seed=1)
    seconds = 60 / (10 * 330) * (3 * 28709 + 7178)  # an epoch of FER2013
    assert pace.minutes(Status(other_seed, "missing")) == pytest.approx(10 * seconds / 60)
    assert pace.minutes(Status(other_seed, "partial", 7)) == pytest.approx(3 * seconds / 60)
    assert pace.minutes(Status(other_seed, "done", 10)) == 0
    limited = dataclasses.replace(spec, limit_train=50, limit_test=7)
    assert pace.minutes(Status(limited, "missing")) == pytest.approx(10 * 60 / (10 * 330) * (150 + 14) / 60)


def test_another_recipe_is_taken_by_its_arithmetic(records, spec):
    pace = Pace(records, DEVICE, macs_of)
    heavier = RunSpec(dataclasses.replace(spec.recipe, name="li/resnet34/fer2013", model="resnet34"))
    one, other = (pace.minutes(Status(s, "missing")) for s in (spec, heavier))
    assert other == pytest.approx(3 * one)


def test_nothing_is_made_up(records, spec, tmp_path):
    assert Pace(records, "another CPU", macs_of).minutes(Status(spec, "missing")) is None
    assert Pace([], DEVICE, macs_of).minutes(Status(spec, "missing")) is None
    own_pictures = RunSpec(dataclasses.replace(spec.recipe, dataset="folder:faces"))
    assert Pace(records, DEVICE, macs_of).minutes(Status(own_pictures, "missing")) is None
    assert "?" in status_text([Status(spec, "missing")], Pace([], DEVICE, macs_of))


def test_a_benchmark_speaks_where_no_run_does(tmp_path, spec):
    path = benchmark_path(tmp_path, "train", "NVIDIA H100, 80GB")
    assert path.name == "train-nvidia-h100-80gb.json"
    path.parent.mkdir()
    path.write_text('{"rows": [{"macs": 100, "seconds_per_image": {"ours": {"median": 3e-4}}}]}')
    pace = device_pace([], tmp_path, "NVIDIA H100, 80GB")
    per_pass = 3e-4 / 3 / 100 * MacCounter(tmp_path / "macs.json")(spec.recipe.training())
    assert pace.minutes(Status(spec, "missing")) == pytest.approx(10 * per_pass * (3 * 28709 + 7178) / 60)


def test_counts_are_kept(tmp_path, monkeypatch):
    recipe = tiny_recipe()
    net = create_model(recipe.model, **recipe.model_options).eval()
    counted = MacCounter(tmp_path / "logs" / "macs.json")(recipe.training())
    assert counted == count_macs(net, 24)
    monkeypatch.setattr("fer_lib.queue.pace.count_macs", None)  # a second count would fail
    assert MacCounter(tmp_path / "logs" / "macs.json")(recipe.training()) == counted
    assert MacCounter(tmp_path / "more.json")._known == {}


def test_the_texts(tmp_path, spec):
    runs = tmp_path / "runs"
    done, failed, begun, missing = (dataclasses.replace(spec, seed=seed) for seed in range(4))
    records = [write_run(runs, done, correct=5)]
    mark_failed(checkpoint(runs, failed, 2), "the loss became NaN at epoch 3")
    checkpoint(runs, begun, 5)
    pace = Pace(records, DEVICE, macs_of)
    statuses = [run_status(s, runs) for s in (done, failed, begun, missing)]
    text = status_text(statuses, pace)
    head, li, everything, *_ = (line.split() for line in text.splitlines())
    minutes = f"{1.5 * pace.minutes(statuses[-1]):,.0f}"  # what failed takes none
    assert dict(zip(head, li, strict=False)) == {
        "family": "li", "recipes": "1", "runs": "4", "done": "1", "running": "0", "partial": "1", "failed": "1",
        "missing": "1", "minutes": minutes,
    }  # fmt: skip
    assert everything[1:] == li[1:]
    assert f"failed: {failed.run_id}: the loss became NaN at epoch 3" in text
    assert f"partial: {begun.run_id}, 5 of 10 epochs" in text
    first, second, last = plan_text(statuses, pace).splitlines()
    assert "seed 2" in first
    assert "5 epochs done" in first  # what was begun goes first
    assert "seed 3" in second
    assert last.startswith("4 runs: 1 done, 1 partial, 1 failed, 1 missing")
