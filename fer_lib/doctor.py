"""What this machine has for the study, and whether its device trains rightly: found in a minute, before hours depend
on it."""

import itertools
import os
import platform
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import safetensors
import torch
import torchvision

from fer_lib.augment import face_view
from fer_lib.checkpoints import list_checkpoints
from fer_lib.data import FaceDataset, load_dataset, synthetic
from fer_lib.data.catalog import KAGGLE, MissingData, data_root
from fer_lib.errors import UserError, first_line
from fer_lib.paths import check_output, results_dir
from fer_lib.recipe import Recipe, RunSpec, get_recipe, headlines, with_changes
from fer_lib.training import (
    Interrupted,
    Stop,
    choose_device,
    device_name,
    first_step,
    fit,
    has_bfloat16,
    precision_name,
    why_unusable,
)

SMALL = "narrow/none/fer2013"
"""The recipe that the checks train: the study's smallest net."""
STEPS, BATCH = 6, 64
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.05}
"""How far, as a share, a loss may lie from that of the plain step in float32."""
FREE = 2.0
"""GB that the records, checkpoints and executed notebooks of a campaign need."""


LASTING = {"COLAB_RELEASE_TAG": Path("/content/drive"), "KAGGLE_KERNEL_RUN_TYPE": Path("/kaggle/working")}
"""The folder that outlasts a session, by a variable of the machines that forget the others."""


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Attributes:
        what: it is about.
        text: what was found.
        sound: whether all is well; None where nothing was tried.
        remedy: what to do, if anything.
    """

    what: str
    text: str
    sound: bool | None = True
    remedy: str = ""

    def __str__(self) -> str:
        mark = {True: "ok", False: "FAULT", None: "-"}[self.sound]
        return f"{mark:5} {self.what:22} {self.text}" + (f"; {self.remedy}" if self.remedy else "")


def examine(device: str = "auto", seconds: float = 60.0) -> Iterator[Finding]:
    """Look at the machine, then train a little on the device.

    Args:
        device: see :func:`fer_lib.training.choose_device`.
        seconds: what would begin after this long is left out.

    Yields:
        A finding as soon as it is made.

    Raises:
        UserError: there is no such device.
    """
    deadline = time.monotonic() + seconds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a GPU that is passed over is a finding
        target = choose_device(device)
    yield from _found(target)
    for what, check in _checks(target):
        if time.monotonic() > deadline:
            yield Finding(what, "not tried, the time is up", None, "give it more with --seconds")
            continue
        try:
            yield Finding(what, check())
        except Exception as error:  # whatever it is, the other checks can still be made
            yield Finding(what, f"{type(error).__name__}: {first_line(error)}"[:200], False)


# ---------------------------------------------------------------- what is there


def _found(device: torch.device) -> Iterator[Finding]:
    versions = {"torch": torch, "torchvision": torchvision, "numpy": np, "safetensors": safetensors}
    listed = ", ".join(f"{name} {module.__version__}" for name, module in versions.items())
    yield Finding("versions", f"Python {platform.python_version()}, {listed}")
    yield Finding("processor", f"{device_name(torch.device('cpu'))}, {os.cpu_count()} cores")
    for index in range(torch.cuda.device_count()):
        yield _gpu(torch.device("cuda", index))
    if torch.backends.mps.is_available():
        yield Finding("mps", device_name(torch.device("mps")))
    elif not torch.cuda.device_count():
        remedy = "" if torch.version.cuda is None else "if this machine has one, look at its driver with nvidia-smi"
        yield Finding("GPU", "none", None, remedy)
    precision = precision_name(device)
    slow = device.type == "cpu" and precision == "float32"
    yield Finding(
        "precision", f"{precision} on {device}", True,
        "no bfloat16 in this CPU: it trains at less than half the speed of one with it" if slow else "",
    )  # fmt: skip
    for name, download in (("fer2013", "fer data download fer2013"), ("ckplus", "fer data download ckplus")):
        yield _data(name, download)
    weights = list_checkpoints()
    yield Finding(
        "weight files", ", ".join(weights) or "none", True if weights else None,
        "" if weights else "make one from a trained run with: fer checkpoint RUN",
    )  # fmt: skip
    yield _results(results_dir())
    yield _space(results_dir())


def _gpu(device: torch.device) -> Finding:
    if reason := why_unusable(device):
        return Finding(str(device), reason, False, "it is passed over: use another GPU, or an older torch")
    properties = torch.cuda.get_device_properties(device)
    precision = precision_name(device)
    text = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, trains in {precision}"
    return Finding(str(device), text, True, "" if has_bfloat16(device) else "it has no bfloat16: losses are scaled")


def _data(name: str, download: str) -> Finding:
    try:
        dataset = load_dataset(name)
    except MissingData:
        get_it = "attach it to the notebook (Add Input)" if data_root() == KAGGLE else f"{download} says how to get it"
        return Finding(name, f"not in {data_root()}", None, f"{get_it}, FER_DATA where it lies")
    except UserError as error:
        return Finding(name, first_line(error), False)
    return Finding(name, f"{len(dataset.images):,} pictures of {dataset.source} in {data_root()}")


def _results(folder: Path) -> Finding:
    runs = sum(1 for _ in folder.glob("runs/*/run.json"))
    for variable, lasting in LASTING.items():
        if variable in os.environ and not folder.is_relative_to(lasting):
            return Finding(
                "results", f"{folder}, which is lost with the session", False,
                f"put the checkout into {lasting}, or name a folder in it by FER_RESULTS",
            )  # fmt: skip
    try:
        check_output(folder, folder=True)
    except UserError as error:
        return Finding("results", str(error), False, "FER_RESULTS names another folder")
    return Finding("results", f"{runs} runs in {folder}")


def _space(folder: Path) -> Finding:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    return Finding("free space", f"{free:.1f} GB in {folder}", free > FREE, "" if free > FREE else f"free {FREE:g} GB")


# ---------------------------------------------------------------- whether it trains


def _checks(device: torch.device) -> Iterator[tuple[str, Callable[[], str]]]:
    dataset = synthetic(train=STEPS * BATCH, val=BATCH, test=BATCH)
    small = with_changes(get_recipe(SMALL), dataset="synthetic", batch_size=BATCH, epochs=2, precision="float32")
    plain: list[float] = []
    yield "step in float32", partial(_plain, small, dataset, device, plain)
    own, on_gpu = precision_name(device), device.type == "cuda"
    # A GPU without bfloat16 imitates it, slowly.
    halves = [name for name in ("bfloat16", "float16") if name == own or (on_gpu and name == "float16")]
    for half in halves:
        changed = with_changes(small, precision=half)
        yield f"step in {half}", partial(_like, changed, dataset, device, plain, recorded=False)
    for precision in ("float32", *halves) if on_gpu else ():
        changed = with_changes(small, precision=precision)
        yield f"recorded, {precision}", partial(_like, changed, dataset, device, plain, recorded=True)
    yield "stopped and resumed", partial(_resumed, with_changes(small, precision=own), dataset, device)
    names = [name for name in headlines() if name.endswith("/fer2013")] if on_gpu else [SMALL]
    for name in names:
        yield name, partial(_speed, name, device)


def _losses(recipe: Recipe, dataset: FaceDataset, device: torch.device, recorded: bool) -> list[float]:
    step = first_step(RunSpec(recipe), dataset, device)
    if recorded:
        step.record()
    sums = [0.0]
    for _ in range(STEPS):
        step()
        sums.append(step.totals[0].item())
    if int(step.first_bad) >= 0:
        raise ArithmeticError(f"the loss of step {int(step.first_bad) + 1} is NaN or infinite")
    return [(after - before) / BATCH for before, after in itertools.pairwise(sums)]


def _plain(recipe: Recipe, dataset: FaceDataset, device: torch.device, kept: list[float]) -> str:
    kept += _losses(recipe, dataset, device, recorded=False)
    return f"losses {' '.join(f'{loss:.3f}' for loss in kept)}"


def _like(recipe: Recipe, dataset: FaceDataset, device: torch.device, plain: list[float], recorded: bool) -> str:
    if not plain:
        raise ArithmeticError("no losses of float32 to hold it against")
    losses = _losses(recipe, dataset, device, recorded)
    apart = max(abs(loss / own - 1) for loss, own in zip(losses, plain, strict=True))
    allowed = TOLERANCE[recipe.precision or "float32"]
    if apart > allowed:
        raise ArithmeticError(f"a loss is {apart:.1%} from that of the plain step in float32, more than {allowed:.1%}")
    return f"losses within {apart:.2%} of the plain step in float32"


class _StopAfter(Stop):
    """Stops when it has been asked so often."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._left = steps

    @property
    def reason(self) -> str | None:
        self._left -= 1
        return "the check" if self._left == 0 else None


def _resumed(recipe: Recipe, dataset: FaceDataset, device: torch.device) -> str:
    """Two epochs, and the same again with an interruption inside each."""
    lines: list[str] = []
    train = partial(fit, RunSpec(recipe), dataset, device=str(device), say=lines.append)
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as parts:
        at_once = train(Path(whole)).history[-1]["train_loss"]
        for steps in (2, STEPS):
            try:
                train(Path(parts), stop=_StopAfter(steps))
            except Interrupted:
                continue
            raise RuntimeError("it did not stop when it was asked to")
        resumed = train(Path(parts)).history[-1]["train_loss"]
    apart, allowed = abs(resumed / at_once - 1), 0.0 if device.type == "cpu" else TOLERANCE["bfloat16"]
    if apart > allowed:
        raise ArithmeticError(f"its last loss is {resumed:.5f}, that of a training at one go {at_once:.5f}")
    fallback = next((line for line in lines if line.startswith("no CUDA graph")), "")
    return f"last losses {resumed:.5f} and {at_once:.5f}" + (f"; {fallback}" if fallback else "")


def _speed(name: str, device: torch.device) -> str:
    """Pictures a second of a recipe's own step and batch, and the memory it takes."""
    recipe = with_changes(get_recipe(name), dataset="synthetic")
    side = face_view(recipe.augment).resize
    on_gpu = device.type == "cuda"
    rounds = 20 if on_gpu else 2
    dataset = synthetic(train=recipe.batch_size, val=2, test=2)
    many = np.resize(np.arange(recipe.batch_size), rounds * recipe.batch_size)
    chosen = np.concatenate([many, np.arange(recipe.batch_size, len(dataset.images))])
    repeated = dataset.subset(chosen)
    if on_gpu:
        torch.cuda.empty_cache()  # of what the checks before took
        torch.cuda.reset_peak_memory_stats(device)
    step = first_step(RunSpec(recipe), repeated, device)
    note = ""
    if on_gpu:
        try:
            step.record()
        except RuntimeError as error:
            note = f"; runs operation by operation: {first_line(error)}"
        torch.cuda.synchronize(device)
    else:
        step.rehearse()
    started = time.perf_counter()
    for _ in range(rounds):
        step()
    step.totals.tolist()  # waits for the device
    speed = rounds * recipe.batch_size / (time.perf_counter() - started)
    memory = f", {torch.cuda.max_memory_reserved(device) / 2**30:.1f} GiB" if on_gpu else ""
    what = f"{side} px, batches of {recipe.batch_size}, {precision_name(device)}"
    return f"{speed:,.0f} pictures/s in training, {what}{memory}{note}"
