"""`fer bench train`: pictures a second of the library's training beside the loop that people publish."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import asdict
from torch.utils.data import DataLoader

from fer_lib.augment import Augmentation, Draws
from fer_lib.bench import published
from fer_lib.bench.measure import Laps, compare, matmul_flops, table, write_report
from fer_lib.data import FACE_SIDE
from fer_lib.errors import UserError, check_known
from fer_lib.losses import create_loss
from fer_lib.models import create_model, list_models
from fer_lib.models.base import Classifier
from fer_lib.models.describe import count_macs
from fer_lib.paths import results_dir
from fer_lib.recipe import get_recipe
from fer_lib.training import autocast_dtype, choose_device
from fer_lib.training.optimisers import create_optimizer
from fer_lib.training.step import TrainStep

RECIPE = "control/none/fer2013"
CLASSES = 7


def bench_training(
    *,
    models: Sequence[str] = ("resnet18",),
    seconds: float = 60.0,
    device: str = "auto",
    workers: int | None = None,
    results: Path | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Measure, show the table and write it to ``benchmarks/`` of the results folder, where the plan looks for a pace.

    Args:
        models: nets, each a name or ``name:batch``.
        seconds: how long to measure in all, preparations not counted.
        device: see :func:`fer_lib.training.choose_device`.
        workers: processes of the published loop's DataLoader; None for 8 with a GPU, else none.
        results: the results folder; None for :func:`fer_lib.paths.results_dir`.
        say: receives the table.

    Raises:
        UserError: a model or batch size that does not exist.
    """
    target = choose_device(device)
    setting = _Setting(target, (8 if target.type == "cuda" else 0) if workers is None else workers)
    chosen, fastest = setting.models(models), matmul_flops(target, setting.dtype)
    rows = []
    for name, batch in chosen:
        trainer = _Epochs(setting, name, batch)

        def theirs(rounds: int, name: str = name, batch: int = batch) -> Callable[[], None]:
            net = _net(name).to(target)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
            loader = setting.loader(rounds * batch, batch)
            return lambda: published.train_epoch(loader, net, optimizer, target)

        row: dict[str, Any] = {"what": f"{name}, 44 px, batch {batch}", "model": name, "batch": batch}
        row |= compare(trainer.prepare, theirs, batch, seconds / len(chosen), target)
        row["macs"] = count_macs(_net(name).eval(), 44)
        flops = 3 * 2 * row["macs"] / row["seconds_per_image"]["ours"]["median"]
        row |= {"tflops": flops / 1e12, "share_of_matmul": flops / fastest, "breakdown": trainer.breakdown()}
        rows.append(row)
    path = write_report(
        results or results_dir(), "train", target, rows, workers=setting.workers, matmul_tflops=fastest / 1e12
    )
    say(table(rows))
    return path


class _Setting:
    """Where it is measured, and pictures to measure with: their content changes no speed."""

    def __init__(self, device: torch.device, workers: int) -> None:
        self.device, self.workers = device, workers
        self.dtype = autocast_dtype(device)

    def pictures(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Noise, uint8 [n, 48, 48], and labels, int64 [n]."""
        random = np.random.default_rng(0)
        return random.integers(0, 256, (n, FACE_SIDE, FACE_SIDE), dtype=np.uint8), random.integers(0, CLASSES, n)

    def loader(self, n: int, batch: int) -> DataLoader[Any]:
        dataset = published.Pictures(*self.pictures(n))
        pinned = self.device.type == "cuda"
        return DataLoader(dataset, batch, shuffle=True, num_workers=self.workers, pin_memory=pinned)

    def models(self, names: Sequence[str]) -> list[tuple[str, int]]:
        """Names and batch sizes of ``name`` or ``name:batch``."""
        found = []
        for text in names:
            name, colon, batch = text.partition(":")
            check_known("model", name, list_models())
            if colon and not (batch.isdigit() and int(batch) > 1):
                raise UserError(f"--models {text}: write NAME or NAME:BATCH, as in resnet18:128")
            found.append((name, int(batch) if colon else 128 if self.device.type == "cuda" else 64))
        return found


class _Epochs:
    """Epochs of the library's own training step, with the recipe of the control comparison."""

    def __init__(self, setting: _Setting, model: str, batch: int) -> None:
        self.setting, self.model, self.batch = setting, model, batch
        self.recipe = get_recipe(RECIPE)
        self.augmentation = Augmentation.from_dict(self.recipe.augment)

    def prepare(self, rounds: int, laps: Laps | None = None) -> Callable[[], None]:
        """An epoch of some steps, its draws included; with ``laps`` operation by operation, marking each part."""
        device, n = self.setting.device, rounds * self.batch
        images, labels = (torch.from_numpy(array).to(device) for array in self.setting.pictures(n))
        net = _net(self.model).to(device).to(memory_format=torch.channels_last)
        loss = create_loss(**self.recipe.loss, num_classes=CLASSES, feature_dim=net.num_features)
        optimizer = create_optimizer(self.recipe.optimizer, net.parameters())
        step = TrainStep(
            self.recipe,
            model=net.train(),
            loss=loss.to(device),
            optimizer=optimizer,
            augmentation=self.augmentation if laps is None else _Marked(**asdict(self.augmentation), laps=laps),
            images=images,
            labels=labels,
            batch=self.batch,
            dtype=self.setting.dtype,
        )
        if laps is not None:
            loss.register_forward_hook(lambda *_: laps.mark("forward"))
            optimizer.register_step_pre_hook(lambda *_: laps.mark("backward"))
            optimizer.register_step_post_hook(lambda *_: laps.mark("optimiser"))
        rates = torch.full((rounds,), 0.01)
        generator = torch.Generator().manual_seed(0)

        def epoch() -> None:
            order = torch.randperm(n, generator=generator)
            step.begin(order, self.augmentation.draw(n, FACE_SIDE, generator), rates, 0, [0.0, 0.0])
            if device.type == "cuda" and laps is None and step.graph is None:
                step.record()
            for _ in range(rounds):
                step()
                if laps is not None:
                    laps.mark("rest")
            step.totals.tolist()

        return epoch

    def breakdown(self, rounds: int = 4) -> dict[str, float]:
        """Where an epoch's time goes: shares of augment, forward, backward, optimiser and the rest."""
        self.prepare(1)()
        laps = Laps(self.setting.device)
        epoch = self.prepare(rounds, laps)
        laps.mark("start")
        epoch()
        laps.mark("rest")
        return laps.shares()


def _net(name: str) -> Classifier:
    net = create_model(name, num_classes=CLASSES)
    assert isinstance(net, Classifier), "list_models() names nets alone"
    return net


class _Marked(Augmentation, frozen=True, kw_only=True):
    """An augmentation that marks when it begins and ends."""

    laps: Laps

    def apply(self, images: torch.Tensor, draws: Draws) -> torch.Tensor:
        self.laps.mark("rest")
        out = super().apply(images, draws)
        self.laps.mark("augment")
        return out
