"""One run, whoever asks for it: failures are remembered, and processes do not get into each other's way."""

import dataclasses
import multiprocessing
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_dataset, tiny_recipe

from fer_lib.errors import UserError
from fer_lib.queue.lock import Busy
from fer_lib.queue.plan import run_status
from fer_lib.queue.train import train_run
from fer_lib.recipe import RunSpec
from fer_lib.runs import read_record, verify_record
from fer_lib.training import Diverged

SPEC = RunSpec(tiny_recipe(epochs=1))


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


def quiet(line):
    pass


def test_a_failed_run_is_not_tried_again_until_its_folder_is_deleted(tmp_path, dataset):
    spec = RunSpec(tiny_recipe(epochs=1, optimizer={"name": "sgd", "lr": 1e38}, clamp_gradient=None))
    runs = tmp_path / "runs"
    for words in ("step 2 of 4, learning rate 1e\\+38; delete", "when it was last tried; delete"):
        with pytest.raises(Diverged, match=words):
            train_run(spec, results=tmp_path, device="cpu", say=quiet, dataset=dataset)
        status = run_status(spec, runs)
        assert status.state == "failed"
        assert status.note.startswith("the loss became NaN or infinite at epoch 1, step 2 of 4")
        assert not (runs / spec.run_id).exists()
    shutil.rmtree(runs / f"{spec.run_id}.partial")
    assert run_status(spec, runs).state == "missing"
    with pytest.raises(Diverged, match="delete"):
        train_run(spec, results=tmp_path, device="cpu", say=quiet, dataset=dataset)


@pytest.mark.parametrize("shape", [(64, 64), (48, 40), (48, 48, 3)])
def test_pictures_of_another_shape_are_refused(tmp_path, dataset, shape):
    other = dataclasses.replace(dataset, images=np.zeros((len(dataset), *shape), np.uint8), regions=None)
    with pytest.raises(UserError, match=r"pictures of \[\d\d, .* a recipe takes grey ones of 48 x 48"):
        train_run(SPEC, results=tmp_path, device="cpu", say=quiet, dataset=other)


def test_a_folder_whose_pictures_changed_is_not_the_recorded_one(tmp_path, dataset):
    for index, (label, split) in enumerate(zip(dataset.labels, dataset.split, strict=True)):
        place = tmp_path / "faces" / str(split) / dataset.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dataset.images[index]).save(place / f"{index}.png")
    spec, said = RunSpec(tiny_recipe(dataset=f"folder:{tmp_path / 'faces'}", epochs=1)), []
    record = train_run(spec, results=tmp_path, device="cpu", say=quiet)
    train_run(spec, results=tmp_path, device="cpu", say=said.append)
    assert said == [f"{spec.run_id}: complete, loaded from its record"]
    next((tmp_path / "faces" / "train" / "happy").iterdir()).unlink()
    with pytest.raises(UserError, match=f"{record.path}: was trained on other pictures than folder:faces has now"):
        train_run(spec, results=tmp_path, device="cpu", say=quiet)


def test_a_net_that_cannot_be_counted_keeps_its_record(tmp_path, dataset, monkeypatch):
    def refuse(name, **options):
        raise UserError("cannot be counted")

    monkeypatch.setattr("fer_lib.queue.train.meta_net", refuse)
    said = []
    record = train_run(SPEC, results=tmp_path, device="cpu", say=said.append, dataset=dataset)
    assert record.content["time"]["milliseconds_per_picture"] is None
    assert verify_record(record) == []
    assert "  no time of a picture: cannot be counted" in said


def test_the_precision_of_a_run_can_be_chosen(tmp_path, dataset):
    """It is part of the identity, and of no identity where nothing was chosen."""
    assert "precision" not in SPEC.as_dict()["recipe"]
    for name in ("float32", "bfloat16"):
        spec = RunSpec(tiny_recipe(epochs=1, precision=name))
        assert spec.run_id != SPEC.run_id
        record = train_run(spec, results=tmp_path, device="cpu", say=quiet, dataset=dataset)
        assert record.content["environment"]["precision"] == name
        assert verify_record(record) == []
    with pytest.raises(UserError, match="precision"):
        tiny_recipe(precision="float8")


def train_it(results, barrier, answers):
    barrier.wait()
    try:
        train_run(SPEC, results=results, device="cpu", say=quiet, dataset=tiny_dataset())
        answers.put("done")
    except Busy:
        answers.put("busy")


@pytest.mark.heavy
def test_two_processes_train_a_run_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=train_it, args=(tmp_path, barrier, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    said = sorted(answers.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(60)
    assert said in (["busy", "done"], ["done", "done"])  # the second may come after the first has finished
    record = read_record(tmp_path / "runs" / SPEC.run_id)
    assert verify_record(record) == []
    assert record.content["time"]["sessions"] == 1
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [SPEC.run_id]
