"""The training loop: exact repetition and resumption, the selection rules, and what stops it."""

import functools
import itertools
import random
import re
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_dataset, tiny_recipe

from fer_lib.errors import UserError
from fer_lib.recipe import RunSpec
from fer_lib.training import Diverged, Interrupted, Stop, fit, loop
from fer_lib.training.checkpoint import FAILED, FILE
from fer_lib.training.step import TrainStep

STEPS = 4  # per epoch: 70 pictures, batches of 16


class StopAfter(Stop):
    """Asks to stop after the given number of steps."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    @property
    def reason(self):
        self.left -= 1
        return "the test" if self.left == 0 else None


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


@pytest.fixture(scope="module")
def train(dataset, tmp_path_factory):
    def train(spec=None, stops=(), folder=None, say=lambda line: None):
        """Train on the CPU, interrupted after each of the given numbers of steps and resumed."""
        spec = spec or RunSpec(tiny_recipe())
        folder = folder or tmp_path_factory.mktemp("run")
        for steps in stops:
            with pytest.raises(Interrupted, match="stopped by the test"):
                fit(spec, dataset, folder, device="cpu", stop=StopAfter(steps), say=say)
        return fit(spec, dataset, folder, device="cpu", say=say)

    return train


@pytest.fixture(scope="module")
def uninterrupted(train):
    return train()


def outcome(result):
    """All of an outcome that must not depend on when it was computed."""
    history = [{key: value for key, value in row.items() if key != "seconds"} for row in result.history]
    arrays = {
        f"{rule}/{part}/{kind}": values.tobytes()
        for rule, parts in result.probabilities.items()
        for part, kinds in parts.items()
        for kind, values in kinds.items()
    }
    weights = {name: value.numpy().tobytes() for name, value in result.weights.items()}
    return repr(history), result.epochs, arrays, weights, result.images, result.sizes


# ---------------------------------------------------------------- exact repetition


def test_two_runs_of_one_spec_are_identical(train, uninterrupted):
    assert outcome(train()) == outcome(uninterrupted)


@pytest.mark.parametrize(
    "stops",
    [[1], [6], [STEPS], [STEPS + 1, STEPS], [3 * STEPS], [1] * (3 * STEPS)],
    ids=["first step", "inside", "end of an epoch", "twice", "last step", "every step"],
)
def test_a_resumed_training_ends_as_an_uninterrupted_one(train, uninterrupted, stops):
    resumed = train(stops=stops)
    assert outcome(resumed) == outcome(uninterrupted)
    assert resumed.sessions == len(stops) + 1


@pytest.mark.parametrize("stops", [[6], [STEPS]], ids=["inside", "end of an epoch"])
def test_adam_is_resumed_too(train, stops):
    spec = RunSpec(tiny_recipe(optimizer={"name": "adamw", "lr": 1e-3}, epochs=2))
    assert outcome(train(spec, stops=stops)) == outcome(train(spec))


def test_a_training_in_float16_is_resumed_too(train, monkeypatch):
    """Its first scale is so large that gradients overflow, and it is halved until they do not."""
    monkeypatch.setattr(torch.amp, "GradScaler", functools.partial(torch.amp.GradScaler, init_scale=2.0**30))
    spec = RunSpec(tiny_recipe(precision="float16", loss={"name": "cross_entropy"}, epochs=2))
    assert outcome(train(spec, stops=[3])) == outcome(train(spec))


def test_what_others_draw_between_two_epochs_changes_nothing(train, uninterrupted):
    lines = []

    def say(line):
        torch.rand(7)
        lines.append(line)

    assert outcome(train(say=say)) == outcome(uninterrupted)
    assert len(lines) > 3


def test_seeds_differ(train, uninterrupted):
    other = train(RunSpec(tiny_recipe(), seed=1))
    assert other.history[0]["train_loss"] != uninterrupted.history[0]["train_loss"]
    assert outcome(other)[3] != outcome(uninterrupted)[3]


def test_a_longer_training_begins_as_a_shorter_one(train):
    # With a schedule that does not look at the last epoch, epochs are only added.
    short, long = (train(RunSpec(tiny_recipe(schedule={"name": "constant"}, epochs=n))) for n in (1, 2))
    assert outcome(short)[0][1:-1] in outcome(long)[0]


def test_the_callers_random_numbers_are_untouched(train):
    def states():
        return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()  # noqa: NPY002

    before = states()
    train(stops=[2])
    assert states() == before


# ---------------------------------------------------------------- what is recorded


def test_history_has_one_row_per_epoch(uninterrupted):
    assert [row["epoch"] for row in uninterrupted.history] == [1, 2, 3]
    assert list(uninterrupted.history[0]) == [
        "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_accuracy", "lr", "seconds",
    ]  # fmt: skip
    assert uninterrupted.sizes == {"train": 70, "val": 21, "test": 21}
    assert uninterrupted.images == 3 * STEPS * 16
    assert 0 < uninterrupted.train_seconds < uninterrupted.seconds


def test_one_line_per_epoch(train):
    lines = []
    train(say=lines.append)
    pattern = (
        r"epoch +\d/3  train \d+\.\d{3} +[\d.]+%  val \d\.\d{3} +[\d.]+%  test +[\d.]+%  lr [\de.-]+  [\d.]+ s  ETA .+"
    )
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 3
    assert all(re.fullmatch(pattern, line) for line in epochs), lines
    assert epochs[-1].endswith("ETA 0 s")


def test_every_rule_keeps_the_predictions_of_its_epoch(uninterrupted, dataset):
    for rule, epoch in uninterrupted.epochs.items():
        row = uninterrupted.history[epoch - 1]
        for part in ("val", "test"):
            right = uninterrupted.probabilities[rule][part]["plain"].argmax(1) == uninterrupted.labels[part]
            assert right.mean() == pytest.approx(row[f"{part}_accuracy"])
    assert (uninterrupted.labels["test"] == dataset.labels[dataset.split == "test"]).all()
    plain, averaged = (uninterrupted.probabilities["last"]["test"][kind] for kind in ("plain", "tta"))
    assert not np.array_equal(plain, averaged)
    assert averaged.sum(1) == pytest.approx(1, abs=1e-5)


def test_the_plateau_schedule_reads_the_validation_scores(uninterrupted):
    scores = [row["val_accuracy"] for row in uninterrupted.history]
    expected = [0.05]
    for epoch in (1, 2):
        better = len(scores[:epoch]) == 1 or scores[epoch - 1] > max(scores[: epoch - 1])
        expected.append(expected[-1] * (1 if better else 0.5))
    assert [row["lr"] for row in uninterrupted.history] == pytest.approx(expected)


@pytest.fixture
def scripted(monkeypatch):
    """Replace the net's predictions by ones of given accuracies, epoch by epoch."""

    def script(dataset, accuracies):
        truth = {part: torch.from_numpy(dataset.labels[dataset.split == part]) for part in accuracies}
        calls = itertools.chain.from_iterable(zip(*accuracies.values(), strict=True))
        parts = itertools.cycle(accuracies)

        def predict(model, images, view, **options):
            labels = truth[next(parts)]
            share = next(calls, 0.0)
            answers = torch.where(torch.arange(len(labels)) < round(share * len(labels)), labels, (labels + 1) % 7)
            return torch.nn.functional.one_hot(answers, 7).float()

        monkeypatch.setattr(loop, "predict_probabilities", predict)

    return script


def test_the_rules_choose_the_first_of_the_best_epochs(train, dataset, scripted):
    recipe = tiny_recipe(schedule={"name": "constant"}, epochs=4)
    scripted(dataset, {"val": [0.2, 0.6, 0.6, 0.4], "test": [0.8, 0.3, 0.8, 0.1]})
    result = train(RunSpec(recipe))
    assert result.epochs == {"last": 4, "val_selected": 2, "test_best": 1}
    scripted(dataset, {"val": [0.1, 0.2], "test": [0.1, 0.2]})
    shorter = train(RunSpec(tiny_recipe(schedule={"name": "constant"}, epochs=2)))
    assert shorter.epochs == {"last": 2, "val_selected": 2, "test_best": 2}
    assert outcome(result)[3] == outcome(shorter)[3]  # the weights kept are those of epoch 2


def test_without_a_val_part_the_last_epoch_is_selected(train, dataset, scripted):
    recipe = tiny_recipe(protocol="picture_2to1", schedule={"name": "constant"}, epochs=2)
    result = train(RunSpec(recipe))
    assert result.sizes["val"] == 0
    assert result.epochs["val_selected"] == result.epochs["last"] == 2
    assert result.probabilities["val_selected"]["test"] is result.probabilities["last"]["test"]
    assert "val" not in result.labels
    assert all(np.isnan(row["val_accuracy"]) and np.isnan(row["val_loss"]) for row in result.history)


def test_limits_draw_from_every_class(train, dataset):
    result = train(RunSpec(tiny_recipe(epochs=1), limit_train=20, limit_test=9))
    assert result.sizes == {"train": 20, "val": 9, "test": 9}
    assert result.images == 16
    for labels in result.labels.values():
        assert set(labels) == set(range(len(dataset.classes)))


def test_a_part_of_one_class_is_refused(dataset, tmp_path):
    sad = np.flatnonzero((dataset.split != "train") | (dataset.labels == 4))
    with pytest.raises(UserError, match="pictures of the train part are sad; take more, or another split"):
        fit(RunSpec(tiny_recipe()), dataset.subset(sad), tmp_path, device="cpu")


# ---------------------------------------------------------------- the plateau schedule and the gradient clamp


def test_what_reads_the_val_part_is_refused_without_one(dataset, tmp_path):
    words = "test/tiny/synthetic: the plateau schedule reads the validation accuracy, and protocol 'picture_2to1'"
    with pytest.raises(UserError, match=words) as caught:
        fit(RunSpec(tiny_recipe(protocol="picture_2to1")), dataset, tmp_path, device="cpu")
    assert "\n" not in str(caught.value)


def test_every_gradient_element_is_clamped(train, dataset, tmp_path):
    # One plain SGD step without momentum moves no weight by more than lr x clamp.
    changes = {"optimizer": {"name": "sgd", "lr": 1.0}, "schedule": {"name": "constant"}, "epochs": 1}
    spec = RunSpec(tiny_recipe(clamp_gradient=1e-3, batch_size=70, loss={"name": "cross_entropy"}, **changes))
    start = loop._Trainer(spec, dataset, tmp_path, torch.device("cpu"), Stop(), print).model.state_dict()
    moved = {
        name: (value - start[name]).abs().max() for name, value in train(spec).weights.items() if "running" not in name
    }
    steps = [float(value) for name, value in moved.items() if name.endswith(("weight", "bias"))]
    assert max(steps) == pytest.approx(1e-3, rel=1e-3)


# ---------------------------------------------------------------- what goes wrong


def test_a_diverging_loss_is_named_and_the_last_checkpoint_kept(train, dataset, tmp_path):
    recipe = tiny_recipe(
        optimizer={"name": "sgd", "lr": 1e38}, schedule={"name": "constant"}, clamp_gradient=None, batch_size=35
    )
    spec = RunSpec(recipe)
    with pytest.raises(Interrupted):
        fit(spec, dataset, tmp_path, device="cpu", stop=StopAfter(1), say=print)
    kept = (tmp_path / FILE).read_bytes()
    with pytest.raises(Diverged) as caught:
        fit(spec, dataset, tmp_path, device="cpu", say=print)
    assert isinstance(caught.value, UserError)
    assert "epoch 1, step 2 of 2, learning rate 1e+38" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / FILE).read_bytes() == kept
    note = (tmp_path / FAILED).read_text()
    assert note == "the loss became NaN or infinite at epoch 1, step 2 of 2, learning rate 1e+38\n"
    with pytest.raises(
        Diverged, match=rf"{re.escape(note.strip())}, when it was last tried; delete .* to train it again"
    ):
        fit(spec, dataset, tmp_path, device="cpu", say=print)
    assert (tmp_path / FILE).read_bytes() == kept


@pytest.mark.parametrize(("decay", "what"), [(100.0, "weights"), (0.0, "predicted probabilities")])
def test_what_diverges_in_the_last_step_is_no_result(dataset, tmp_path, decay, what):
    optimizer = {"name": "sgd", "lr": 1e38, "weight_decay": decay}
    recipe = tiny_recipe(
        optimizer=optimizer, schedule={"name": "constant"}, clamp_gradient=None, batch_size=70, epochs=1
    )
    with pytest.raises(Diverged, match=f"the {what} became NaN or infinite at epoch 1, step 1 of 1"):
        fit(RunSpec(recipe), dataset, tmp_path, device="cpu", say=print)
    assert not (tmp_path / FILE).exists()


def cpu_has_no_memory():
    torch.empty(2**60, dtype=torch.uint8)


def gpu_has_no_memory():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nMore lines.")


@pytest.mark.parametrize("act", [cpu_has_no_memory, gpu_has_no_memory])
def test_a_lack_of_memory_names_batch_size_and_model(dataset, tmp_path, monkeypatch, act):
    monkeypatch.setattr(TrainStep, "run", lambda self: act())
    with pytest.raises(UserError, match="out of memory with batch size 16 of resnet18") as caught:
        fit(RunSpec(tiny_recipe()), dataset, tmp_path, device="cpu", say=print)
    assert "\n" not in str(caught.value)
    assert "--batch-size" in str(caught.value)
    assert not (tmp_path / FAILED).exists(), "it may be tried again, with more memory"


def test_other_errors_keep_their_traceback(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(TrainStep, "run", lambda self: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):
        fit(RunSpec(tiny_recipe()), dataset, tmp_path, device="cpu", say=print)


def test_a_checkpoint_of_another_spec_is_refused(train, dataset, tmp_path):
    with pytest.raises(Interrupted):
        fit(RunSpec(tiny_recipe()), dataset, tmp_path, device="cpu", stop=StopAfter(1), say=print)
    with pytest.raises(UserError, match=rf"{FILE}: belongs to another spec.*delete it to start again"):
        fit(RunSpec(tiny_recipe(), seed=1), dataset, tmp_path, device="cpu", say=print)


def test_a_checkpoint_of_another_precision_is_refused(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("fer_lib.training.device.autocast_dtype", lambda device, precision: torch.bfloat16)
    with pytest.raises(Interrupted):
        fit(RunSpec(tiny_recipe()), dataset, tmp_path, device="cpu", stop=StopAfter(1), say=print)
    monkeypatch.setattr("fer_lib.training.device.autocast_dtype", lambda device, precision: torch.float32)
    with pytest.raises(UserError, match=r"begun in bfloat16, .* go on in float32; .*or delete .* to begin again"):
        fit(RunSpec(tiny_recipe()), dataset, tmp_path, device="cpu", say=print)


def test_a_checkpoint_of_other_data_is_refused(dataset, tmp_path):
    with pytest.raises(Interrupted):
        fit(RunSpec(tiny_recipe()), dataset, tmp_path, device="cpu", stop=StopAfter(1), say=print)
    other = dataset.subset(np.arange(len(dataset))[1:])
    with pytest.raises(UserError, match=rf"{FILE}: belongs to another spec or other data"):
        fit(RunSpec(tiny_recipe()), other, tmp_path, device="cpu", say=print)


@pytest.mark.parametrize(
    "damage", [lambda content: content[: len(content) // 2], lambda content: b"nonsense", lambda content: b""]
)
def test_a_corrupt_checkpoint_is_refused(dataset, tmp_path, damage):
    with pytest.raises(Interrupted):
        fit(RunSpec(tiny_recipe()), dataset, tmp_path, device="cpu", stop=StopAfter(1), say=print)
    (tmp_path / FILE).write_bytes(damage((tmp_path / FILE).read_bytes()))
    with pytest.raises(UserError, match=rf"{FILE}: not a readable checkpoint.*delete it to start again"):
        fit(RunSpec(tiny_recipe()), dataset, tmp_path, device="cpu", say=print)


def test_too_few_pictures_are_refused(dataset, tmp_path):
    with pytest.raises(UserError, match="1 training and 21 test pictures are too few"):
        fit(RunSpec(tiny_recipe(), limit_train=1), dataset, tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpu", "unknown device 'gpu'"),
        ("cdua", "did you mean cuda"),
        ("cuda:x", "unknown device"),
        ("cuda:99", "CUDA devices"),
    ],
)
def test_an_unknown_device_is_named(dataset, tmp_path, name, words):
    with pytest.raises(UserError, match=words):
        fit(RunSpec(tiny_recipe()), dataset, tmp_path, device=name)


# ---------------------------------------------------------------- memory


@pytest.mark.heavy
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc: resident memory is not read here")
def test_memory_does_not_grow_over_200_epochs(dataset, tmp_path):
    resident = []

    def say(line):
        if line.startswith("epoch"):
            resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20)

    recipe = tiny_recipe(
        epochs=200, augment={"crop": 24, "flip": 0.5, "rotate": [-9, 9]}, schedule={"name": "constant"}
    )
    fit(RunSpec(recipe, limit_train=32), dataset, tmp_path, device="cpu", say=say)
    assert len(resident) == 200
    print(f"resident memory: {resident[19]:.1f} MiB after epoch 20, {resident[-1]:.1f} MiB after epoch 200")
    # A copy of the net kept per epoch would be 0.3 MiB each, 53 MiB in all.
    assert resident[-1] - resident[19] < 10
