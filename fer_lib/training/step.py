"""One training step on tensors that stay where they are, recorded as a CUDA graph where there is a GPU.

An epoch's order, draws and learning rates are put on the device once, at its start; a position on the device counts
the steps. So a step takes nothing from the host and gives nothing back, on every device, and on a GPU the host
launches one graph instead of a thousand kernels.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fer_lib.augment import Augmentation, Draws, mix
from fer_lib.losses import Loss
from fer_lib.models.base import Classifier
from fer_lib.recipe import Recipe
from fer_lib.training.device import sum_dtype
from fer_lib.training.forward import fast_forward
from fer_lib.training.randomness import undisturbed_random

ALIKE = 0.1
"""How far, as a share, the losses of a recorded step and of the step itself may lie apart: rounding is far below it."""
REHEARSALS = 3  # PyTorch's manual, "CUDA semantics", asks for a few steps on a side stream before a capture


class TrainStep:
    """The step of one training: pictures in, weights moved.

    Attributes:
        totals: [2], on the device, of :func:`fer_lib.training.device.sum_dtype`: loss times pictures, and right
            answers, summed over the epoch's steps.
        first_bad: int64 scalar, on the device: the epoch's first step with a NaN or infinite loss; -1 for none.
        graph: the recorded step, on a GPU, once :meth:`record` has been called.

    Args:
        recipe: the gradient clamp is read from it.
        model: the net, in channels-last layout.
        loss: the loss, on the net's device.
        optimizer: moves the net's weights, and the loss's if it has any.
        augmentation: of the pictures.
        images: uint8 [N, H, H], all pictures, on the device.
        labels: int64 [N].
        batch: pictures in a step.
        dtype: autocast's type; float32 turns autocast off. Under float16 the loss is scaled, so that small gradients
            are not lost, and a step whose gradients overflow moves nothing.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        model: Classifier,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        augmentation: Augmentation,
        images: Tensor,
        labels: Tensor,
        batch: int,
        dtype: torch.dtype,
    ) -> None:
        self.recipe, self.augmentation, self.batch, self.dtype = recipe, augmentation, batch, dtype
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.images, self.labels, self.device = images, labels, images.device
        self.graph: torch.cuda.CUDAGraph | None = None
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype == torch.float16)
        self.scaler.scale(torch.zeros((), device=self.device))  # makes its tensors, which a recorded step must find
        self.totals = torch.zeros(2, dtype=sum_dtype(self.device), device=self.device)
        self.first_bad = torch.full((), -1, device=self.device)
        self.rate = torch.zeros((), device=self.device)
        self._position = torch.zeros((), dtype=torch.int64, device=self.device)
        self._places = torch.arange(batch, device=self.device)
        self._epoch: tuple[Tensor, Draws, Tensor] | None = None

    def begin(self, order: Tensor, draws: Draws, rates: Tensor, step: int, totals: list[float]) -> None:
        """Put an epoch on the device.

        Args:
            order: numbers of the pictures in the epoch's order, int64 [M]; M is the same in every epoch.
            draws: their augmentation, of M pictures.
            rates: learning rate of every step, float32 [steps].
            step: the first step to take, from 0.
            totals: :attr:`totals` of the steps before it.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate  # also after a load_state_dict, which puts a tensor of its own there
        if self._epoch is None:
            self._epoch = order.to(self.device), draws.to(self.device), rates.to(self.device)
        else:  # a recorded step reads from where the first epoch was put
            for there, new in zip(_tensors(*self._epoch), _tensors(order, draws, rates), strict=True):
                there.copy_(new)
        self._position.fill_(step)
        self.totals.copy_(torch.tensor(totals, dtype=self.totals.dtype))
        self.first_bad.fill_(-1)

    def __call__(self) -> None:
        """Take the next step."""
        if self.graph is None:
            self.run()
        else:
            self.graph.replay()

    def run(self) -> None:
        """Take the next step, operation by operation."""
        assert self._epoch, "begin() comes first"
        order, draws, rates = self._epoch
        place = self._position * self.batch + self._places
        chosen = order.index_select(0, place)
        self.rate.copy_(rates.index_select(0, self._position.view(1)).view(()))
        targets = self.labels.index_select(0, chosen)
        loss, features, logits, wanted = self._forward(chosen, targets, draws[place])
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        if self.recipe.clamp_gradient is not None:
            nn.utils.clip_grad_value_(self.model.parameters(), self.recipe.clamp_gradient, foreach=True)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.loss.update_centers(features.detach().float(), wanted)
        self._count(loss.detach(), (logits.detach().argmax(1) == targets).sum())

    def _forward(self, chosen: Tensor, targets: Tensor, draws: Draws) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        inputs = self.augmentation.apply(self.images.index_select(0, chosen), draws)
        wanted = targets
        if self.augmentation.mixup:
            one_hot = nn.functional.one_hot(targets, self.model.num_classes).float()
            inputs, wanted = mix(inputs, one_hot, draws)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        with fast_forward(self.device, self.dtype):
            features = self.model.embed(inputs)
            logits = self.model.classify(features)
        return self.loss(logits.float(), wanted, features.float()), features, logits, wanted

    def _count(self, loss: Tensor, correct: Tensor) -> None:
        loss_sum, correct = loss.to(self.totals.dtype) * self.batch, correct.to(self.totals.dtype)
        self.totals += torch.stack([loss_sum, correct])
        is_first = (self.first_bad < 0) & ~loss.isfinite()
        self.first_bad.copy_(torch.where(is_first, self._position, self.first_bad))
        self._position += 1

    # ------------------------------------------------------------ recording

    def record(self) -> None:
        """Record the step as a CUDA graph; call it after the first :meth:`begin`. Nothing is trained by it.

        Raises:
            RuntimeError: the step cannot be recorded, or the recorded one is another; it can still be run.
            torch.OutOfMemoryError: it does not fit.
        """
        with torch.cuda.device(self.device):
            side, current = torch.cuda.Stream(), torch.cuda.current_stream()
            side.wait_stream(current)
            with torch.cuda.stream(side):
                self.rehearse()
            current.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            try:
                # Other threads of the process may go on using the GPU.
                with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                    self.run()
            except RuntimeError:
                torch.cuda.set_stream(current)  # a capture that fails may leave its own stream in place
                self.optimizer.zero_grad(set_to_none=True)
                raise
        plain, recorded = self._loss_of(self.run), self._loss_of(graph.replay)
        if not math.isclose(plain, recorded, rel_tol=ALIKE):
            raise RuntimeError(f"its first loss is {recorded:.4g}, the step's own {plain:.4g}")
        self.graph = graph

    def _loss_of(self, act: Callable[[], None]) -> float:
        """The loss of the epoch's first step, which is taken and undone."""
        with self._undone():
            self._position.zero_()
            self.totals.zero_()
            act()
            return self.totals[0].item() / self.batch

    def rehearse(self) -> None:
        """Take a few steps and undo them, so that libraries are loaded and their choices made."""
        with self._undone():
            for _ in range(REHEARSALS):
                self._position.zero_()
                self.run()

    @contextmanager
    def _undone(self) -> Iterator[None]:
        changed = self._changed()
        before = [tensor.clone() for tensor in changed]
        with undisturbed_random(self.device):
            try:
                yield
            finally:  # also where a step fails, after which a training goes on without its recording
                with torch.no_grad():
                    for tensor, value in zip(changed, before, strict=True):
                        tensor.copy_(value)
                self.optimizer.zero_grad(set_to_none=True)

    def _changed(self) -> list[Tensor]:
        """All that a step changes, the random numbers aside."""
        own = [self.totals, self.first_bad, self.rate, self._position]
        scaling = (self.scaler._scale, self.scaler._growth_tracker) if self.scaler.is_enabled() else ()
        own += [value for value in scaling if value is not None]
        state = [value for slots in self.optimizer.state.values() for value in slots.values()]
        modules = [tensor for m in (self.model, self.loss) for tensor in (*m.parameters(), *m.buffers())]
        return own + [value for value in state if isinstance(value, Tensor)] + modules


def _tensors(order: Tensor, draws: Draws, rates: Tensor) -> tuple[Tensor, ...]:
    return order, draws.values, rates
