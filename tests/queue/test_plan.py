"""The matrix, the state of its runs and the minutes they will take."""

import copy
import dataclasses
import json
from collections import Counter, defaultdict

import pytest
import torch
from tiny import tiny_recipe, write_run

from fer_lib import kept
from fer_lib.claims import list_claims
from fer_lib.errors import UserError
from fer_lib.models import create_model, describe
from fer_lib.models.describe import CostCounter, NetCost, count_cost, count_macs, meta_net
from fer_lib.queue import pace as pace_module
from fer_lib.queue.goals import cheapest_first, goals
from fer_lib.queue.lock import locked
from fer_lib.queue.pace import Pace, benchmark_path, device_pace, pictures_of, work
from fer_lib.queue.plan import Status, choose_recipes, matrix, run_status
from fer_lib.queue.status import plan_text, status_text
from fer_lib.recipe import RunSpec, get_recipe, headlines, list_recipes
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
        usual = 5 if name in headlines() or name.startswith(("control/", "narrow/")) else 3 if recipe.optimizer else 1
        assert seeds == set(range(recipe.seeds or usual))
        # A pipeline's whole cross-validation is one run where it is drawn anew with every seed.
        whole_run = not recipe.optimizer and recipe.protocol.endswith("_drawn")
        assert {found[name, seed] for seed in seeds} == {10 if "10fold" in recipe.protocol and not whole_run else 1}


def test_the_most_urgent_run_first(whole):
    fer2013 = [name for name in headlines() if name.endswith("/fer2013")]
    pairs = [recipe for name in fer2013 for recipe in (name, headlines()[name])]
    assert [(spec.seed, spec.recipe.name) for spec in whole[:24]] == [(s, name) for s in range(3) for name in pairs]
    # Two more seeds of the headlines; then the control comparison, before the headlines on CK+.
    first_control = next(i for i, spec in enumerate(whole) if paper(spec) == "control")
    assert {spec.recipe.name for spec in whole[:first_control]} == set(pairs)
    quoted = {*headlines(), *headlines().values()}
    waves = [
        "quoted" if spec.recipe.name in quoted else paper(spec) if paper(spec) in ("control", "best") else "row"
        for spec in whole[first_control:]
        if paper(spec) not in ("narrow", "ladder", "ckplus")
    ]
    assert list(dict.fromkeys(waves)) == ["control", "quoted", "row", "best"]
    small = [paper(spec) in ("narrow", "ladder", "ckplus") for spec in whole]
    assert small == sorted(small)  # what a CPU can do is last for a GPU
    control = [spec for spec in whole if paper(spec) == "control"]
    datasets = [spec.recipe.dataset for spec in control]
    assert datasets == sorted(datasets, reverse=True)  # FER2013 with all seeds before CK+
    seeds = [spec.seed for spec in control if spec.recipe.dataset == "fer2013"]
    assert seeds == sorted(seeds)  # all modules of a seed before the next seed


def test_the_headlines_are_what_the_papers_are_quoted_for():
    quoted = {claim.recipe for claim in list_claims() if claim.headline and claim.recipe}
    assert quoted <= set(headlines())
    assert {*headlines(), *headlines().values()} <= set(list_recipes())
    assert {name.split("/")[0] for name in headlines()} == {"li", "hu", "gu", "zhang"}


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


def cost_of(recipe):
    """Of nets whose numbers are made up: a ResNet34 costs three times a ResNet18."""
    if recipe["model"] == "hog_svm":
        return None
    return NetCost({"resnet18": 100, "resnet34": 300}[recipe["model"]], 0, 0)


@pytest.fixture
def records(tmp_path, spec):
    """One run of 10 epochs in 60 seconds, on 100 + 10 + 20 pictures: 3·100 + 30 = 330 forward passes an epoch."""
    return [write_run(tmp_path / "runs", spec, correct=5)]


@pytest.fixture
def pace(records):
    return Pace(records, DEVICE, "float32", cost_of)


def missing(spec, **changes):
    return Status(dataclasses.replace(spec, **changes), "missing")


def test_a_recipe_that_ran_here_keeps_its_pace(pace, spec):
    seconds = 60 / (10 * 330) * (3 * 28709 + 7178)  # an epoch of FER2013
    assert pace.minutes(missing(spec, seed=1)) == pytest.approx(10 * seconds / 60)
    assert pace.minutes(Status(dataclasses.replace(spec, seed=1), "partial", 7)) == pytest.approx(3 * seconds / 60)
    assert pace.minutes(Status(spec, "done", 10)) == 0
    limited = missing(spec, limit_train=50, limit_test=7)
    assert pace.minutes(limited) == pytest.approx(10 * 60 / (10 * 330) * (150 + 14) / 60)


def test_another_recipe_is_taken_by_its_work(pace, spec):
    heavier = RunSpec(dataclasses.replace(spec.recipe, name="li/resnet34/fer2013", model="resnet34"))
    assert pace.minutes(missing(heavier)) == pytest.approx(3 * pace.minutes(missing(spec)))


def test_a_changed_recipe_that_keeps_its_name_has_no_pace_of_its_own(pace, spec):
    changed = RunSpec(dataclasses.replace(spec.recipe, model="resnet34"))
    assert pace.minutes(missing(changed)) == pytest.approx(3 * pace.minutes(missing(spec)))


def test_of_a_net_that_cannot_be_counted_nothing_is_known(records, spec):
    def cost(recipe):
        if recipe["model"] == "resnet34":
            raise UserError("cannot be counted")
        return cost_of(recipe)

    changed = RunSpec(dataclasses.replace(spec.recipe, model="resnet34"))
    assert Pace(records, DEVICE, "float32", cost).minutes(missing(changed)) is None


def test_a_minute_of_two_cores_is_two_core_minutes(records, spec):
    records[0].content["environment"]["device"] = "a CPU, 2 threads"
    two = Pace(records, DEVICE, "float32", cost_of)
    assert two.minutes(missing(spec, seed=1)) == pytest.approx(2 * 10 * 60 / (10 * 330) * (3 * 28709 + 7178) / 60)
    assert not two.borrowed


def test_each_precision_has_its_own_pace(records, spec):
    """One name is borne by CPUs with and without bfloat16, and a recipe may ask for another precision."""
    (record,) = records
    quick = copy.deepcopy(record)
    quick.content["environment"]["precision"], quick.content["time"]["seconds"] = "bfloat16", 20.0
    pace = Pace([record, quick], DEVICE, "bfloat16", cost_of)
    by_choice = RunSpec(dataclasses.replace(spec.recipe, precision="float32"))
    assert pace.minutes(missing(by_choice)) == pytest.approx(3 * pace.minutes(missing(spec, seed=1)))


def test_other_machines_speak_where_this_one_has_no_run(records, spec):
    own = Pace(records, DEVICE, "float32", cost_of).minutes(missing(spec))
    other = Pace(records, "another CPU, 8 threads", "float32", cost_of)
    assert other.borrowed
    assert other.minutes(missing(spec)) == pytest.approx(own)
    bfloat16 = Pace(records, "another CPU, 8 threads", "bfloat16", cost_of)
    assert bfloat16.minutes(missing(spec)) == pytest.approx(own / 2.3)
    assert Pace(records, "NVIDIA H100", "bfloat16", cost_of).minutes(missing(spec)) is None  # not of a CPU for a GPU


def test_nothing_is_made_up(records, spec, pace):
    assert Pace([], DEVICE, "float32", cost_of).minutes(missing(spec)) is None
    own_pictures = RunSpec(dataclasses.replace(spec.recipe, dataset="folder:faces"))
    assert pace.minutes(missing(own_pictures)) is None
    empty = Pace([], DEVICE, "float32", cost_of)
    assert "?" in status_text([missing(spec)], [], [], empty)


def test_a_benchmark_speaks_where_no_run_does(tmp_path, spec, monkeypatch):
    monkeypatch.setattr(pace_module, "device_name", lambda device: "NVIDIA H100, 80GB")
    monkeypatch.setattr(pace_module, "precision_name", lambda device: "bfloat16")
    path = benchmark_path(tmp_path, "train", "NVIDIA H100, 80GB")
    assert path.name == "train-nvidia-h100-80gb.json"
    path.parent.mkdir()
    row = {"model": "resnet18", "seconds_per_image": {"ours": {"median": 3e-4}}}
    path.write_text(json.dumps({"environment": {"precision": "bfloat16"}, "rows": [row]}))
    pace = device_pace([], tmp_path, torch.device("cpu"))
    cost = CostCounter(tmp_path / "costs.json")
    per_pass = 3e-4 / 3 * work(cost(spec.recipe.training())) / work(cost.of_net("resnet18", {}, 44))
    assert pace.minutes(missing(spec)) == pytest.approx(10 * per_pass * (3 * 28709 + 7178) / 60)
    path.write_text(json.dumps({"environment": {"precision": "float32"}, "rows": [row]}))
    assert device_pace([], tmp_path, torch.device("cpu")).minutes(missing(spec)) is None


@pytest.mark.parametrize(
    ("name", "measured"),
    [("gu/basic_stem_scratch/ckplus", 26), ("gu/psa_stem_scratch/ckplus", 56), ("ladder/w8_long_none/fer2013", 19)],
)
def test_a_net_that_never_ran_is_estimated_within_a_factor_of_two(name, measured, tmp_path):
    """Core-minutes of one seed, as a CPU took them that took 27 for a narrow net's run on FER2013."""
    cost, recipes = CostCounter(tmp_path / "costs.json"), list_recipes()

    def passes(recipe):
        train, evaluated = pictures_of(recipe)
        return recipe.epochs * (3 * train + evaluated)

    narrow, recipe = recipes["narrow/none/fer2013"], recipes[name]
    share = 27 * passes(recipe) / passes(narrow)
    costs = [cost(r.training()) for r in (recipe, narrow)]
    assert measured / 2 < share * work(costs[0]) / work(costs[1]) < 2 * measured
    if name.startswith("ladder"):  # small layers cost more than their arithmetic
        assert share * costs[0].macs / costs[1].macs < measured / 2


def test_counts_are_kept(tmp_path, monkeypatch):
    recipe = tiny_recipe()
    net = create_model(recipe.model, **recipe.model_options).eval()
    counted = CostCounter(tmp_path / "logs" / "costs.json")(recipe.training())
    assert counted == count_cost(meta_net(recipe.model, **recipe.model_options), 24)
    assert counted.macs == count_macs(net, 24)
    monkeypatch.setattr(describe, "count_cost", None)  # a second count would fail
    monkeypatch.setattr(kept, "_FOUND", defaultdict(dict))  # as in another process
    assert CostCounter(tmp_path / "logs" / "costs.json")(recipe.training()) == counted
    (tmp_path / "logs" / "costs.json").write_text("[")  # damaged: counted again
    with pytest.raises(TypeError):
        CostCounter(tmp_path / "logs" / "costs.json")(recipe.training())


# ---------------------------------------------------------------- the order for a CPU, and the texts


def test_a_cpu_takes_the_cheapest_verdict_first_and_leaves_out_what_it_cannot_do(pace, spec):
    """An epoch of ResNet18 takes 28 minutes here, one of ResNet34 three times that."""
    long = RunSpec(dataclasses.replace(spec.recipe, name="li/long/fer2013", epochs=1000))
    heavy = RunSpec(dataclasses.replace(spec.recipe, name="li/resnet34/fer2013", model="resnet34", epochs=5))
    unknown = RunSpec(dataclasses.replace(spec.recipe, name="own/net/folder", dataset="folder:faces"))
    statuses = [missing(s, seed=seed) for seed in (0, 1) for s in (long, unknown, heavy)]
    statuses += [Status(spec, "done", 10), missing(spec, seed=1), Status(dataclasses.replace(heavy, seed=2), "failed")]
    todo, left_out = cheapest_first(statuses, pace, named=False)
    assert [(goal.recipe, len(goal.runs)) for goal in todo] == [("li/hybrid/fer2013", 1), ("li/resnet34/fer2013", 2)]
    assert [goal.recipe for goal in left_out] == ["li/long/fer2013", "own/net/folder"]
    assert todo[1].minutes == pytest.approx(2 * 3 / 2 * todo[0].minutes)
    todo, left_out = cheapest_first(statuses, pace, named=True)
    assert [goal.recipe for goal in todo][2:] == ["li/long/fer2013", "own/net/folder"]
    assert left_out == []


def test_the_texts(tmp_path, spec):
    runs = tmp_path / "runs"
    done, failed, begun, new, big = (dataclasses.replace(spec, seed=seed) for seed in range(5))
    big = dataclasses.replace(big, recipe=dataclasses.replace(spec.recipe, name="li/long/fer2013", epochs=1000))
    records = [write_run(runs, done, correct=5)]
    mark_failed(checkpoint(runs, failed, 2), "the loss became NaN at epoch 3")
    checkpoint(runs, begun, 5)
    pace = Pace(records, DEVICE, "float32", cost_of)
    statuses = [run_status(s, runs) for s in (done, failed, begun, new, big)]
    todo, left_out = cheapest_first(statuses, pace, named=False)
    text = status_text(statuses, todo, left_out, pace)
    head, li, everything, *_ = (line.split() for line in text.splitlines())
    one, long = pace.minutes(statuses[3]), pace.minutes(statuses[4])
    assert dict(zip(head, li, strict=False)) == {
        "family": "li", "recipes": "2", "runs": "5", "done": "1", "running": "0", "partial": "1", "failed": "1",
        "missing": "2", "core-minutes": f"{1.5 * one + long:,.0f}",  # what failed takes none
    }  # fmt: skip
    assert everything[1:] == li[1:]
    assert f"failed: {failed.run_id}: the loss became NaN at epoch 3" in text
    assert f"partial: {begun.run_id}, 5 of 10 epochs" in text
    verdict, note = text.splitlines()[-2:]
    assert (
        verdict.split()
        == f"li/hybrid/fer2013 seeds 2-3 {1.5 * one:.1f} core-min, {1.5 * one:.1f} in all, 5 epochs done".split()
    )
    assert note.startswith(
        f"not on this CPU, at more than 24 core-hours each: 1 recipes, 1 runs, {long / 60:,.0f} core-hours; they want"
    )
    assert plan_text(statuses, todo, left_out, pace).splitlines() == [
        verdict, note, f"5 runs: 1 done, 1 partial, 1 failed, 2 missing; core-minutes left: {1.5 * one + long:,.0f}",
    ]  # fmt: skip
    gpu = Pace([], "NVIDIA H100", "bfloat16", cost_of)
    assert plan_text(statuses, goals(statuses, gpu), [], gpu).splitlines()[-1].endswith("; minutes left: 0 + 3 runs ?")
