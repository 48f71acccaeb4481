"""The training loop: resident data, batched augmentation, exact resumption.

The pictures lie on the device as uint8 for the whole run. An epoch's order and its augmentation draws are made
once, at its start, from generators that depend on the seed and the epoch alone; a step only indexes them (see
:mod:`fer_lib.training.step`). So a training that was stopped inside an epoch continues with the very batches it would
have seen, and nets trained with one seed see the same pictures in the same order, which is what pairs them in
comparisons.

On one CPU with one number of threads the outcome is a function of the spec. On a GPU it is not: atomic additions
in cuDNN's backward passes vary in their order.
"""

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from fer_lib.augment import Augmentation
from fer_lib.data import FaceDataset, Parts, check_classes, picture_digests
from fer_lib.errors import UserError, first_line, is_out_of_memory
from fer_lib.losses import create_loss
from fer_lib.models import create_model
from fer_lib.models.base import Classifier
from fer_lib.models.pretrained import load_pretrained
from fer_lib.recipe import Recipe, RunSpec
from fer_lib.selection import RULES
from fer_lib.training.balance import balance_indices, class_counts
from fer_lib.training.checkpoint import load_checkpoint, mark_failed, read_failure, save_checkpoint
from fer_lib.training.device import autocast_dtype, choose_device, precision_name
from fer_lib.training.evaluate import predict_probabilities
from fer_lib.training.optimisers import create_optimizer, learning_rate
from fer_lib.training.randomness import derive_seed, get_random, set_random, undisturbed_random
from fer_lib.training.step import TrainStep
from fer_lib.training.stop import Interrupted, Stop

CHECKPOINT_SECONDS = 120.0
PARTS = ("val", "test")
Watch = Callable[[int, int, list[dict[str, float]]], None]
"""Is told after every step: the steps made of this epoch, the steps of an epoch, and the rows of the epochs before."""


class Diverged(UserError):
    """The loss became NaN or infinite, now or when the run was last tried."""


@dataclass(kw_only=True)
class _Course:
    """What a training notes on its way, and leaves in the end.

    Attributes:
        history: one row per epoch: epoch (1-based),
            train_loss, train_accuracy, val_loss, val_accuracy, test_accuracy, lr, seconds. Accuracies are fractions;
            val_* are NaN where the protocol has no val part.
        epochs: the epoch each selection rule chose.
        seconds: time spent training and evaluating epochs, over all sessions.
        train_seconds: of these, time spent on training steps.
        images: pictures trained on, over all epochs.
        sessions: how often the training was started or resumed.
        pretrained: what was loaded from other weights at the start, line by line; empty for a random start.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    epochs: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    train_seconds: float = 0.0
    images: int = 0
    sessions: int = 0
    pretrained: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Outcome(_Course):
    """What a finished training leaves beside its course.

    Attributes:
        probabilities: ``[rule][part][kind]`` float32 [N, C]; part val or test, kind plain or tta.
        labels: ``[part]`` int64 [N].
        weights: the ``val_selected`` state dict, on the CPU.
        sizes: pictures per part.
        pictures: which they were, see :func:`fer_lib.data.picture_digests`.
    """

    probabilities: dict[str, dict[str, dict[str, np.ndarray]]]
    labels: dict[str, np.ndarray]
    weights: dict[str, torch.Tensor]
    sizes: dict[str, int]
    pictures: dict[str, str]


@dataclass(kw_only=True)
class _Progress(_Course):
    """Everything of a training that is not a tensor of the model, the optimiser or the loss."""

    epoch: int = 0
    step: int = 0
    totals: list[float] = field(default_factory=lambda: [0.0, 0.0])
    best: dict[str, float] = field(default_factory=lambda: {"val_selected": -1.0, "test_best": -1.0})
    epoch_seconds: float = 0.0


def fit(
    spec: RunSpec,
    dataset: FaceDataset,
    folder: Path,
    *,
    device: str = "auto",
    stop: Stop | None = None,
    say: Callable[[str], None] = print,
    watch: Watch | None = None,
) -> Outcome:
    """Train a run, or continue it from the checkpoint in its folder.

    Args:
        spec: what to train.
        dataset: the pictures the recipe names.
        folder: an existing folder for the checkpoint.
        device: see :func:`fer_lib.training.device.choose_device`.
        stop: asks the loop to end early; None for never.
        say: receives one line per epoch.
        watch: see :data:`Watch`.

    Raises:
        Interrupted: stopped early; the checkpoint continues the training.
        Diverged: the loss became NaN or infinite; the last good checkpoint stays, with a note that keeps the run
            from being tried again.
        UserError: the spec does not fit the dataset or the device's memory, or the checkpoint belongs to another
            spec or other pictures.
    """
    target = choose_device(device)
    if failure := read_failure(folder):
        raise Diverged(f"{spec.run_id}: {failure}, when it was last tried; delete {folder} to train it again")
    # The caller's own random numbers go on as if no training had happened.
    with undisturbed_random(target), _memory_named(spec):
        return _Trainer(spec, dataset, folder, target, stop or Stop(), say, watch).run()


def first_step(spec: RunSpec, dataset: FaceDataset, device: torch.device) -> TrainStep:
    """The step of a run at the start of its first epoch, for whoever measures or checks it. It keeps nothing."""
    trainer = _Trainer(spec, dataset, Path(), device, Stop(), lambda line: None)
    trainer.begin_epoch()
    return trainer.train_step


@contextmanager
def _memory_named(spec: RunSpec) -> Iterator[None]:
    """Turn a lack of memory into one line. The last checkpoint stays, and the run may be tried elsewhere."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"{spec.run_id}: out of memory with batch size {spec.recipe.batch_size} of {spec.recipe.model}; free "
            "memory, use another --device, or make it a different run with a smaller --batch-size"
        ) from None


class _Trainer:
    def __init__(
        self,
        spec: RunSpec,
        dataset: FaceDataset,
        folder: Path,
        device: torch.device,
        stop: Stop,
        say: Callable[[str], None],
        watch: Watch | None = None,
    ) -> None:
        recipe = spec.recipe
        self.spec, self.recipe, self.folder = spec, recipe, folder
        self.device, self.stop, self.say, self.watch = device, stop, say, watch
        self.can_record = device.type == "cuda"
        # A checkpoint continues on the same pictures only, wherever the recipe's dataset now lies.
        self.identity = hashlib.sha256(f"{spec.digest} {dataset.fingerprint}".encode()).hexdigest()
        self.dtype = autocast_dtype(device, recipe.precision)
        self.precision = precision_name(device, recipe.precision)
        (parts,) = spec.parts(dataset)
        train = parts.train
        if len(train) < 2 or not len(parts.test):
            raise UserError(
                f"dataset {dataset.name}: {len(train)} training and {len(parts.test)} test pictures are too few"
            )
        check_classes(dataset, parts)
        _check_readers(recipe, bool(len(parts.val)))
        self.images = torch.from_numpy(np.ascontiguousarray(dataset.images)).to(device)
        self.labels = torch.from_numpy(dataset.labels).to(device)
        self.train_part = torch.from_numpy(train)
        self.parts = {part: torch.from_numpy(getattr(parts, part)).to(device) for part in PARTS}
        self.augmentation = Augmentation.from_dict(recipe.augment)
        self.source_size = dataset.images.shape[1]
        self.train_labels = torch.from_numpy(dataset.labels[train])
        self.balance = class_counts(recipe.balance, dataset.classes, self.train_labels)
        seen = len(self._epoch_order(torch.Generator()))
        self.batch = min(recipe.batch_size, seen)
        self.steps = seen // self.batch

        torch.manual_seed(derive_seed(spec.seed, "init"))
        classes = len(dataset.classes)
        model = create_model(recipe.model, num_classes=classes, **recipe.model_options)
        assert isinstance(model, Classifier), "pipelines are fitted elsewhere"
        self.model = model.to(device).to(memory_format=torch.channels_last)
        loss = create_loss(**recipe.loss, num_classes=classes, feature_dim=self.model.num_features)
        self.loss = loss.to(device)
        self.optimizer = create_optimizer(recipe.optimizer, [*self.model.parameters(), *self.loss.parameters()])
        self.train_step = TrainStep(
            recipe,
            model=self.model,
            loss=self.loss,
            optimizer=self.optimizer,
            augmentation=self.augmentation,
            images=self.images,
            labels=self.labels,
            batch=self.batch,
            dtype=self.dtype,
        )
        self.kept: dict[str, dict[str, torch.Tensor]] = {}
        self.at = _Progress()

    # ------------------------------------------------------------ the run

    def run(self) -> Outcome:
        state = load_checkpoint(self.folder, self.identity)
        if state is None and self.recipe.pretrained:
            self.at.pretrained = load_pretrained(self.model, self.recipe.pretrained).lines()
            self.say("\n".join(self.at.pretrained))
        if state is not None:
            self._restore(state)
            self.say(f"continuing {self._where()}")
        self.at.sessions += 1
        self.saved_at = time.monotonic()
        while not self._is_trained():
            self._train_epoch(resume_random=state.pop("random") if state else None)
            self._end_epoch()
            state = None
        try:
            self._save()  # the predictions that follow may take as long as an epoch
        except OSError as error:  # the record is smaller, and may still fit
            self.say(f"  no checkpoint before the predictions: {error.strerror}")
        return self._outcome()

    def _train_epoch(self, resume_random: dict[str, Any] | None) -> None:
        at = self.at
        self.begin_epoch()
        if resume_random is not None:
            set_random(resume_random, self.device)
        if self.can_record and self.train_step.graph is None:
            self._record_step()
        started, spent = time.monotonic(), at.epoch_seconds
        while at.step < self.steps:
            self.train_step()
            at.step += 1
            at.images += self.batch
            at.epoch_seconds = spent + time.monotonic() - started
            if self.watch:
                self.watch(at.step, self.steps, at.history)
            if self.device.type == "cpu":  # elsewhere it would stall the device
                self._check_loss()
            reason = self.stop.reason
            if reason or time.monotonic() - self.saved_at > CHECKPOINT_SECONDS:
                self._check_finite()
                at.totals = self.train_step.totals.tolist()
                self._save()
                if reason:
                    raise Interrupted(f"stopped by {reason} {self._where()}; start it again to continue")
                loss = at.totals[0] / (at.step * self.batch)
                self.say(f"  {self._where().removeprefix('at ')}: loss {loss:.3f}, checkpoint written")
        self._check_finite()
        at.totals = self.train_step.totals.tolist()
        at.epoch_seconds = spent + time.monotonic() - started

    def begin_epoch(self) -> None:
        """Draw an epoch's order and augmentation, and put them on the device."""
        at, recipe = self.at, self.recipe
        generator = torch.Generator().manual_seed(derive_seed(self.spec.seed, "epoch", at.epoch))
        order = self.train_part[self._epoch_order(generator)]
        draws = self.augmentation.draw(len(order), self.source_size, generator)
        scores, base = self._scores(), recipe.optimizer["lr"]
        self.rates = [
            learning_rate(recipe.schedule, base, at.epoch + step / self.steps, recipe.epochs, scores)
            for step in range(self.steps)
        ]
        torch.manual_seed(derive_seed(self.spec.seed, "dropout", at.epoch))
        self.model.train()
        self.train_step.begin(order, draws, torch.tensor(self.rates), at.step, at.totals)

    def _record_step(self) -> None:
        try:
            self.train_step.record()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.can_record = False
            self.say(f"no CUDA graph of the step, which runs operation by operation: {first_line(error)}")

    def _scores(self) -> list[float]:
        """Validation accuracy of every epoch so far."""
        return [row["val_accuracy"] for row in self.at.history]

    def _epoch_order(self, generator: torch.Generator) -> torch.Tensor:
        """Positions within the training part, in the epoch's order."""
        if not self.balance:
            return torch.randperm(len(self.train_part), generator=generator)
        return balance_indices(self.train_labels, generator, self.balance)

    def _check_loss(self) -> None:
        step = int(self.train_step.first_bad)
        if step >= 0:
            self._fail("loss", step)

    def _check_finite(self) -> None:
        """Check the weights as well: those that the last step moved have met no loss yet."""
        self._check_loss()
        tensors = [tensor for tensor in self.model.state_dict().values() if tensor.is_floating_point()]
        if not torch.stack([tensor.isfinite().all() for tensor in tensors]).all():
            self._fail("weights", self.at.step - 1)

    def _fail(self, what: str, step: int) -> NoReturn:
        text = (
            f"the {what} became NaN or infinite at epoch {self.at.epoch + 1}, step {step + 1} of {self.steps}, "
            f"learning rate {self.rates[step]:g}"
        )
        mark_failed(self.folder, text)
        raise Diverged(f"{self.spec.run_id}: {text}; delete {self.folder} to train it again")

    def _end_epoch(self) -> None:
        at, started = self.at, time.monotonic()
        seen = self.steps * self.batch
        row = {
            "epoch": at.epoch + 1,
            "train_loss": at.totals[0] / seen,
            "train_accuracy": at.totals[1] / seen,
            "val_loss": math.nan,
            "val_accuracy": math.nan,
            "test_accuracy": math.nan,
            "lr": self.rates[-1],
        }
        for part, chosen in self.parts.items():
            if len(chosen):
                probabilities = self._predict(chosen, "one")
                if not probabilities.isfinite().all():
                    self._fail("predicted probabilities", self.steps - 1)
                truth = self.labels[chosen]
                row[f"{part}_accuracy"] = (probabilities.argmax(1) == truth).sum().item() / len(truth)
                if part == "val":
                    picked = probabilities.gather(1, truth[:, None]).clamp_min(1e-12)
                    row["val_loss"] = -picked.log().mean().item()
        for rule, part in (("val_selected", "val"), ("test_best", "test")):
            if row[f"{part}_accuracy"] > at.best[rule]:
                at.best[rule], at.epochs[rule] = row[f"{part}_accuracy"], at.epoch + 1
                self.kept[rule] = copy.deepcopy(self.model.state_dict())
        at.train_seconds += at.epoch_seconds
        row["seconds"] = at.epoch_seconds + time.monotonic() - started
        at.seconds += row["seconds"]
        at.history.append(row)
        at.epoch, at.step, at.totals, at.epoch_seconds = at.epoch + 1, 0, [0.0, 0.0], 0.0
        self.say(self._line(row))

    def _line(self, row: dict[str, float]) -> str:
        epochs = self.recipe.epochs
        left = (epochs - self.at.epoch) * self.at.seconds / self.at.epoch
        val = f"val {row['val_loss']:.3f} {row['val_accuracy']:6.1%}  " if not math.isnan(row["val_loss"]) else ""
        return (
            f"epoch {row['epoch']:3d}/{epochs}  train {row['train_loss']:.3f} {row['train_accuracy']:6.1%}  "
            f"{val}test {row['test_accuracy']:6.1%}  lr {row['lr']:.2g}  {row['seconds']:.1f} s  ETA {_duration(left)}"
        )

    def _predict(self, chosen: torch.Tensor, views: str) -> torch.Tensor:
        view = self.augmentation.view(self.source_size)
        return predict_probabilities(self.model, self.images[chosen], view, views=views, dtype=self.dtype)

    def _outcome(self) -> Outcome:
        last, trained = copy.deepcopy(self.model.state_dict()), len(self.at.history)
        # Without a val part nothing may select, so the fixed last epoch is the honest choice.
        states = {"last": last, "val_selected": last} | self.kept
        epochs = {"last": trained, "val_selected": trained} | self.at.epochs
        probabilities: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        by_epoch: dict[int, dict[str, dict[str, np.ndarray]]] = {}
        for rule in RULES:
            if epochs[rule] not in by_epoch:
                self.say(f"predicting with the weights of epoch {epochs[rule]}, {self.recipe.test_views} test views")
                self.model.load_state_dict(states[rule])
                by_epoch[epochs[rule]] = {
                    part: {
                        kind: self._predict(chosen, views).cpu().numpy()
                        for kind, views in (("plain", "one"), ("tta", self.recipe.test_views))
                    }
                    for part, chosen in self.parts.items()
                    if len(chosen)
                }
            probabilities[rule] = by_epoch[epochs[rule]]
        course = {noted.name: getattr(self.at, noted.name) for noted in fields(_Course)}
        shown = [self.train_part, *(self.parts[part].cpu() for part in PARTS)]
        return Outcome(
            probabilities=probabilities,
            labels={part: self.labels[chosen].cpu().numpy() for part, chosen in self.parts.items() if len(chosen)},
            weights={name: value.cpu() for name, value in states["val_selected"].items()},
            sizes={"train": len(self.train_part)} | {part: len(chosen) for part, chosen in self.parts.items()},
            pictures=picture_digests([Parts(*(positions.numpy() for positions in shown))]),
            **course | {"epochs": epochs},
        )

    # ------------------------------------------------------------ stopping and resuming

    def _is_trained(self) -> bool:
        return self.at.epoch == self.recipe.epochs

    def _where(self) -> str:
        if self._is_trained():
            return "after the last epoch"
        return f"at epoch {self.at.epoch + 1} of {self.recipe.epochs}, step {self.at.step} of {self.steps}"

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loss": self.loss.state_dict(),
            "scaler": self.train_step.scaler.state_dict(),
            "kept": self.kept,
            "progress": vars(self.at),
            "precision": self.precision,
            "random": get_random(self.device),
        }
        save_checkpoint(self.folder, self.identity, state)
        self.saved_at = time.monotonic()

    def _restore(self, state: dict[str, Any]) -> None:
        if (begun := state.get("precision", self.precision)) != self.precision:  # a record has one
            raise UserError(
                f"{self.spec.run_id}: begun in {begun}, and this device would go on in {self.precision}; continue it "
                f"where it began, or delete {self.folder} to begin again"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.loss.load_state_dict(state["loss"])
        if scaler := state.get("scaler"):  # empty but under float16
            self.train_step.scaler.load_state_dict(scaler)
        self.kept = {
            rule: {name: value.to(self.device) for name, value in kept.items()} for rule, kept in state["kept"].items()
        }
        self.at = _Progress(**state["progress"])


def _check_readers(recipe: Recipe, has_val: bool) -> None:
    """Refuse what reads the validation accuracy where there is none.

    Raises:
        UserError: a plateau schedule without a validation part.
    """
    if recipe.schedule.get("name") == "plateau" and not has_val:
        raise UserError(
            f"{recipe.name}: the plateau schedule reads the validation accuracy, and protocol {recipe.protocol!r} "
            "leaves no validation part; train it without"
        )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
