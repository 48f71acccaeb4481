"""One step: what it may touch, what a rehearsal leaves, and that it takes nothing from the host."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from tiny import tiny_dataset, tiny_recipe
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode

from fer_lib.augment import Augmentation, Draws
from fer_lib.losses import LOSSES, create_loss
from fer_lib.models import create_model
from fer_lib.recipe import RunSpec, list_recipes
from fer_lib.training import Stop, fit, loop
from fer_lib.training.optimisers import create_optimizer
from fer_lib.training.step import TrainStep

WITH_EVERYTHING = {
    "augment": {
        "crop": 24, "resize": 32, "flip": 0.5, "rotate": [-10, 10], "shear": [-5, 5],
        "scale": [0.9, 1.1], "shift": [-0.1, 0.1], "brightness": [0.8, 1.2], "contrast": [0.8, 1.2],
        "gamma": [0.5, 2], "noise": [0, 0.1], "erase": {"p": 0.5}, "mixup": 0.2,
    },
    "clamp_gradient": 0.1,
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


def combinations():
    """Every loss with every augmentation and optimiser that some recipe has it with, and everything at once."""
    found = {}
    for recipe in list_recipes().values():
        if not recipe.optimizer:  # a classical pipeline, which takes no steps
            continue
        changes = {key: getattr(recipe, key) for key in ("loss", "augment", "optimizer", "clamp_gradient")}
        found.setdefault(repr(changes), pytest.param(changes, id=recipe.name))
    gradient = {"loss": {"name": "center", "center_update": "gradient"}}
    return [*found.values(), pytest.param(WITH_EVERYTHING, id="everything"), pytest.param(gradient, id="gradient")]


# ---------------------------------------------------------------- nothing from the host


class Watch(TorchDispatchMode):
    """Fails on whatever a GPU would stall for: a value or a shape read by the host, or a copy between devices."""

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        name = str(op)
        assert "_local_scalar_dense" not in name, name
        assert "nonzero" not in name, name
        result = op(*args, **(kwargs or {}))
        if name.startswith(("aten._to_copy", "aten.copy_")):
            devices = {tensor.device.type for tensor in (*args, result) if isinstance(tensor, torch.Tensor)}
            assert len(devices) == 1, f"{name} between {devices}"
        return result


def on_fake_gpu(module):
    """Move a net to the pretended GPU; Module.to cannot replace pretended tensors."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                part._parameters[name] = torch.nn.Parameter(value.detach().to("cuda"))
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = value.to("cuda")
    return module


def fake_gpu_step(recipe, dtype):
    """A TrainStep on a GPU that PyTorch pretends to have: shapes and devices are real, values are not."""
    model = on_fake_gpu(create_model(recipe.model, num_classes=7, **recipe.model_options))
    loss = on_fake_gpu(create_loss(**recipe.loss, num_classes=7, feature_dim=model.num_features))
    return TrainStep(
        recipe,
        model=model,
        loss=loss,
        optimizer=create_optimizer(recipe.optimizer, [*model.parameters(), *loss.parameters()]),
        augmentation=Augmentation.from_dict(recipe.augment),
        images=torch.zeros(40, 48, 48, dtype=torch.uint8, device="cuda"),
        labels=torch.zeros(40, dtype=torch.int64, device="cuda"),
        batch=8,
        dtype=dtype,
    )


def pretend_backward(step):
    """PyTorch's backward engine asks the driver for the device; give it gradients of the right shapes instead."""

    def backward(loss):
        for parameter in [*step.model.parameters(), *step.loss.parameters()]:
            parameter.grad = torch.zeros_like(parameter)

    return backward


@pytest.mark.filterwarnings("ignore:CUDA is not available")
@pytest.mark.parametrize("changes", combinations())
def test_a_step_on_a_gpu_never_waits_for_the_host(changes, monkeypatch):
    take_two_steps(changes, torch.bfloat16, monkeypatch)


@pytest.mark.filterwarnings("ignore:CUDA is not available")
@pytest.mark.parametrize("optimizer", [{"name": "sgd", "lr": 0.1, "momentum": 0.9}, {"name": "adamw", "lr": 0.1}])
def test_scaled_losses_never_wait_for_the_host(optimizer, monkeypatch):
    """Where there is no bfloat16: whether gradients overflowed is asked and answered on the device."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    step = take_two_steps(WITH_EVERYTHING | {"optimizer": optimizer}, torch.float16, monkeypatch)
    assert step.scaler.is_enabled()
    assert len(step._changed()) > 4 + len(list(step.model.parameters()))


def take_two_steps(changes, dtype, monkeypatch):
    recipe = tiny_recipe(**changes)
    # Drawn outside the pretence, as draws are made of values.
    draws = Augmentation.from_dict(recipe.augment).draw(24, 48, torch.Generator().manual_seed(0))
    for name in ("sgd", "adam", "adamw"):  # kernels that PyTorch cannot pretend to run
        monkeypatch.setattr(torch, f"_fused_{name}_", lambda *lists, **options: None)
    with FakeTensorMode() as mode:
        step = fake_gpu_step(recipe, dtype)
        draws = Draws(mode.from_tensor(draws.values), draws.columns)
        step.begin(torch.arange(24), draws, torch.ones(3), 0, [0.0, 0.0])
        monkeypatch.setattr(torch.Tensor, "backward", pretend_backward(step))
        with Watch():
            step.run()
            step.run()
        assert {tensor.device.type for tensor in step._changed()} == {"cuda"}
    return step


def test_the_watch_sees_what_it_is_there_for():
    with FakeTensorMode():
        x = torch.ones(3, device="cuda")
        for act in (lambda: x.sum().item(), lambda: bool((x > 0).any()), lambda: x[x > 0], lambda: x.cpu()):
            with pytest.raises((AssertionError, DataDependentOutputException, DynamicOutputShapeException)), Watch():
                act()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_backward_pass_reads_no_value(dataset, tmp_path, loss, monkeypatch):
    """On the CPU, where the engine runs. What only checks targets there is no part of a GPU's step."""
    trainer = make(dataset, tmp_path, **(WITH_EVERYTHING | {"loss": {"name": loss}}))
    backward = torch.Tensor.backward

    def watched(self):
        with Watch():
            backward(self)

    monkeypatch.setattr(torch.Tensor, "backward", watched)
    trainer.train_step.run()


# ---------------------------------------------------------------- half precision


@pytest.mark.parametrize("optimizer", [{"name": "sgd", "lr": 0.1, "momentum": 0.9}, {"name": "adam", "lr": 0.01}])
def test_gradients_that_overflow_in_float16_move_nothing(dataset, tmp_path, optimizer):
    trainer = make(dataset, tmp_path, optimizer=optimizer, precision="float16", loss={"name": "cross_entropy"})
    step = trainer.train_step
    step()
    weights = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    step.scaler._scale.fill_(2.0**40)  # times any gradient, beyond float16's 65,504
    step()
    assert all(torch.equal(*pair) for pair in zip(weights, trainer.model.parameters(), strict=True))
    assert step.scaler.get_scale() == 2.0**39
    step.scaler._scale.fill_(2.0**10)
    step()
    assert not any(torch.equal(*pair) for pair in zip(weights, trainer.model.parameters(), strict=True))


def test_float16_moves_the_weights_as_float32_does(dataset, tmp_path):
    """What the scale does to the gradients is undone before the clamp."""
    moved = {}
    for precision in ("float32", "float16"):
        trainer = make(dataset, tmp_path, precision=precision, loss={"name": "cross_entropy"}, clamp_gradient=0.01)
        before = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
        trainer.train_step()
        moved[precision] = torch.cat([p.detach().flatten() for p in trainer.model.parameters()]) - before
    difference = (moved["float16"] - moved["float32"]).norm() / moved["float32"].norm()
    assert difference < 0.1


# ---------------------------------------------------------------- rehearsal


def make(dataset, folder, **changes):
    """A trainer at the start of its first epoch."""
    trainer = loop._Trainer(RunSpec(tiny_recipe(**changes)), dataset, folder, torch.device("cpu"), Stop(), print)
    order = trainer.train_part
    draws = trainer.augmentation.draw(len(order), trainer.source_size, torch.Generator().manual_seed(0))
    trainer.train_step.begin(order, draws, torch.full((trainer.steps,), 0.05), 0, [0.0, 0.0])
    return trainer


def everything(trainer):
    """All that must not have changed, as bytes."""
    state = {
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict()["state"],
        "loss": trainer.loss.state_dict(),
        "totals": [trainer.train_step.totals, trainer.train_step.first_bad, trainer.train_step._position],
        "scaler": trainer.train_step.scaler.state_dict(),
        "random": torch.get_rng_state(),
    }
    return torch.utils._pytree.tree_map(lambda v: v.numpy().tobytes() if isinstance(v, torch.Tensor) else v, state)


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("optimizer", [{"name": "sgd", "lr": 0.1, "momentum": 0.9}, {"name": "adamw", "lr": 0.1}])
def test_a_rehearsal_leaves_no_trace(dataset, tmp_path, optimizer, precision):
    trainer = make(dataset, tmp_path, optimizer=optimizer, precision=precision, **WITH_EVERYTHING)
    trainer.train_step()
    before = everything(trainer)
    trainer.train_step.run()
    assert everything(trainer) != before, "a step changes it"
    before = everything(trainer)
    trainer.train_step.rehearse()
    assert everything(trainer) == before
    assert all(parameter.grad is None for parameter in trainer.model.parameters())


def test_a_rehearsal_that_fails_leaves_no_trace_either(dataset, tmp_path, monkeypatch):
    """A training goes on without its recording where that fails, so nothing may have moved."""
    trainer = make(dataset, tmp_path, **WITH_EVERYTHING)
    step = trainer.train_step
    step()
    before, run = everything(trainer), step.run

    def failing():
        run()
        raise RuntimeError("out of something")

    monkeypatch.setattr(step, "run", failing)
    with pytest.raises(RuntimeError, match="out of something"):
        step.rehearse()
    assert everything(trainer) == before
    assert all(parameter.grad is None for parameter in trainer.model.parameters())


def test_a_rehearsed_training_is_the_same_training(dataset, tmp_path, monkeypatch):
    """The GPU's way of starting, but for the recording itself."""
    spec = RunSpec(tiny_recipe(epochs=2))
    plain = fit(spec, dataset, tmp_path, device="cpu", say=print)
    begin = TrainStep.begin
    monkeypatch.setattr(TrainStep, "begin", lambda self, *epoch: (begin(self, *epoch), self.rehearse())[0])
    (again := tmp_path / "again").mkdir()  # a finished training leaves its checkpoint
    rehearsed = fit(spec, dataset, again, device="cpu", say=print)
    assert all(torch.equal(plain.weights[name], value) for name, value in rehearsed.weights.items())


def test_an_epoch_is_put_where_the_first_one_was(dataset, tmp_path):
    """A recorded step reads from fixed addresses."""
    trainer = make(dataset, tmp_path)
    step = trainer.train_step
    before = [tensor.data_ptr() for tensor in (step._epoch[0], step._epoch[1].values, step._epoch[2], step.rate)]
    state = trainer.optimizer.state_dict()
    trainer.train_step()
    trainer.optimizer.load_state_dict(state)
    order = step._epoch[0].flip(0)
    step.begin(order, step._epoch[1], torch.full((trainer.steps,), 0.5), 1, [2.0, 3.0])
    assert [t.data_ptr() for t in (step._epoch[0], step._epoch[1].values, step._epoch[2], step.rate)] == before
    assert torch.equal(step._epoch[0], order)
    assert step.totals.tolist() == [2, 3]
    trainer.train_step()
    assert trainer.optimizer.param_groups[0]["lr"] is step.rate
    assert step.rate == 0.5


def test_a_step_that_cannot_be_recorded_is_run(dataset, tmp_path, monkeypatch):
    def record(self):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(TrainStep, "record", record)
    trainer = loop._Trainer(
        RunSpec(tiny_recipe(epochs=2)), dataset, tmp_path, torch.device("cpu"), Stop(), (lines := []).append
    )
    trainer.can_record = True
    outcome = trainer.run()
    assert len(outcome.history) == 2
    said = [line for line in lines if "CUDA graph" in line]
    assert said == [
        "no CUDA graph of the step, which runs operation by operation: operation not permitted when stream is capturing"
    ]


@contextmanager
def nothing(*arguments, **options):
    yield


@pytest.fixture
def stand_in(monkeypatch):
    """A graph that runs the step when it is replayed, in the place of CUDA's; it counts the replays."""
    graph = SimpleNamespace(replays=0, step=None)

    @contextmanager
    def capture(recorded, capture_error_mode):
        before = everything(graph.trainer)
        run, graph.step.run = graph.step.run, lambda: None  # a capture executes nothing
        yield
        graph.step.run = run
        assert everything(graph.trainer) == before

    def replay():
        graph.replays += 1
        graph.step.run()

    graph.replay = replay
    stream = SimpleNamespace(wait_stream=lambda other: None)
    for name, value in {
        "device": nothing,
        "stream": nothing,
        "graph": capture,
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "set_stream": lambda stream: None,
        "CUDAGraph": lambda: graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return graph


@pytest.mark.parametrize("precision", [None, "float16"])
def test_the_loop_replays_the_recorded_step(dataset, tmp_path, stand_in, precision):
    """All of a GPU's way but CUDA itself: rehearsed, recorded once, replayed for every step of every epoch."""
    spec = RunSpec(tiny_recipe(epochs=2, precision=precision))
    plain = fit(spec, dataset, tmp_path, device="cpu", say=print)
    (again := tmp_path / "again").mkdir()
    trainer = loop._Trainer(spec, dataset, again, torch.device("cpu"), Stop(), print)
    stand_in.trainer, stand_in.step = trainer, trainer.train_step
    trainer.can_record = True
    with torch.random.fork_rng():
        recorded = trainer.run()
    assert stand_in.replays == 1 + 2 * trainer.steps  # once, to be held against the step itself
    assert all(torch.equal(plain.weights[name], value) for name, value in recorded.weights.items())


def test_a_recorded_step_that_is_another_is_not_used(dataset, tmp_path, stand_in):
    """A graph that reads what is no longer there, such as old pictures, gives other losses."""
    spec, lines = RunSpec(tiny_recipe(epochs=1)), []
    trainer = loop._Trainer(spec, dataset, tmp_path, torch.device("cpu"), Stop(), lines.append)
    stand_in.trainer, stand_in.step = trainer, trainer.train_step
    replay = stand_in.replay
    stand_in.replay = lambda: (replay(), trainer.train_step.totals.mul_(1.5))
    trainer.can_record = True
    outcome = trainer.run()
    assert stand_in.replays == 1
    assert trainer.train_step.graph is None
    assert [line for line in lines if "which runs operation by operation: its first loss is" in line]
    (plain_folder := tmp_path / "plain").mkdir()
    plain = fit(spec, dataset, plain_folder, device="cpu", say=print)
    assert all(torch.equal(plain.weights[name], value) for name, value in outcome.weights.items())


# ---------------------------------------------------------------- on a GPU


gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: CUDA graphs are not tested")


@gpu
@pytest.mark.parametrize("optimizer", [{"name": "sgd", "lr": 0.01, "momentum": 0.9}, {"name": "adam", "lr": 1e-3}])
def test_a_recorded_step_trains_as_the_step_itself(dataset, tmp_path, monkeypatch, optimizer):
    spec = RunSpec(tiny_recipe(epochs=2, optimizer=optimizer, **WITH_EVERYTHING))
    lines = []
    recorded = fit(spec, dataset, tmp_path, device="cuda", say=lines.append)
    assert not [line for line in lines if "no CUDA graph" in line]
    monkeypatch.setattr(loop._Trainer, "_record_step", lambda self: None)
    (again := tmp_path / "again").mkdir()
    plain = fit(spec, dataset, again, device="cuda", say=lines.append)
    for name, value in plain.weights.items():
        torch.testing.assert_close(recorded.weights[name], value, rtol=0.05, atol=0.01, msg=name)
    for one, other in zip(recorded.history, plain.history, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=0.02)


@gpu
@pytest.mark.parametrize("changes", combinations())
def test_a_step_synchronises_nothing(dataset, tmp_path, changes):
    recipe = tiny_recipe(**changes, schedule={"name": "constant"})
    trainer = loop._Trainer(RunSpec(recipe), dataset, tmp_path, torch.device("cuda"), Stop(), print)
    order = trainer.train_part
    draws = trainer.augmentation.draw(len(order), trainer.source_size, torch.Generator().manual_seed(0))
    trainer.train_step.begin(order, draws, torch.full((trainer.steps,), 0.05), 0, [0.0, 0.0])
    trainer.train_step.run()  # libraries may wait while they are loaded
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.train_step.run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    trainer.train_step.record()
    trainer.train_step()
    assert torch.isfinite(trainer.train_step.totals).all()
