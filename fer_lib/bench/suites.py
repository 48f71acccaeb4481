"""The six benchmarks: training, attention, augmentation, reading data, predicting, and faces in camera pictures."""

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from fer_lib.augment import Augmentation, Draws
from fer_lib.bench import published
from fer_lib.bench.measure import Laps, compare, matmul_flops, table, write_report
from fer_lib.checkpoints import NO_CHECKPOINT, best_checkpoint
from fer_lib.data import FACE_SIDE
from fer_lib.data.fer2013 import read_csv
from fer_lib.demo.example import example_picture
from fer_lib.errors import UserError
from fer_lib.losses import create_loss
from fer_lib.models import create_model
from fer_lib.models.attention import CBAM
from fer_lib.models.describe import count_macs
from fer_lib.paths import results_dir
from fer_lib.predict import Predictor
from fer_lib.recipe import get_recipe
from fer_lib.training import autocast_dtype, choose_device, predict_probabilities
from fer_lib.training.optimisers import create_optimizer
from fer_lib.training.step import TrainStep

RECIPE = "control/none/fer2013"
CLASSES = 7


def run_benchmark(
    name: str,
    *,
    models: Sequence[str] = ("resnet18",),
    seconds: float = 60.0,
    device: str = "auto",
    workers: int | None = None,
    results: Path | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Measure, show the table and write it to ``benchmarks/`` of the results folder.

    Args:
        name: a key of :data:`SUITES`.
        models: nets for ``train`` and ``predict``, each a name or ``name:batch``.
        seconds: how long to measure in all, preparations not counted.
        device: see :func:`fer_lib.training.choose_device`.
        workers: processes of the published loop's DataLoader; None for 8 with a GPU, else none.
        results: the results folder; None for :func:`fer_lib.paths.results_dir`.
        say: receives the table.

    Raises:
        UserError: a model or batch size that does not exist, or too little time.
    """
    if seconds <= 0:
        raise UserError(f"--seconds {seconds:g}: must be above 0")
    target = choose_device(device)
    setting = _Setting(target, (8 if target.type == "cuda" else 0) if workers is None else workers)
    rows, more = SUITES[name](setting, models, seconds)
    path = write_report(results or results_dir(), name, target, rows, workers=setting.workers, **more)
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

    def loader(self, n: int, batch: int, transform: str, shuffle: bool) -> DataLoader:
        dataset = published.Pictures(*self.pictures(n), transform)
        pinned = self.device.type == "cuda"
        return DataLoader(dataset, batch, shuffle=shuffle, num_workers=self.workers, pin_memory=pinned)

    def models(self, names: Sequence[str]) -> list[tuple[str, int]]:
        """Names and batch sizes of ``name`` or ``name:batch``."""
        found = []
        for text in names:
            name, colon, batch = text.partition(":")
            if colon and not (batch.isdigit() and int(batch) > 1):
                raise UserError(f"--models {text}: write NAME or NAME:BATCH, as in resnet18:128")
            found.append((name, int(batch) if colon else 128 if self.device.type == "cuda" else 64))
        return found


# ---------------------------------------------------------------- training


def _train(setting: _Setting, models: Sequence[str], seconds: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    fastest = matmul_flops(setting.device, setting.dtype)
    rows, chosen = [], setting.models(models)
    for name, batch in chosen:
        trainer = _Epochs(setting, name, batch)

        def theirs(rounds: int, name: str = name, batch: int = batch) -> Callable[[], None]:
            net = create_model(name, num_classes=CLASSES).to(setting.device)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
            loader = setting.loader(rounds * batch, batch, "control", shuffle=True)
            return lambda: published.train_epoch(loader, net, optimizer, setting.device)

        row = {"what": f"{name}, 44 px, batch {batch}", "model": name, "batch": batch}
        row |= compare(trainer.prepare, theirs, batch, seconds / len(chosen), setting.device)
        row["macs"] = count_macs(create_model(name, num_classes=CLASSES).eval(), 44)
        flops = 3 * 2 * row["macs"] / row["seconds_per_image"]["ours"]["median"]
        row |= {"tflops": flops / 1e12, "share_of_matmul": flops / fastest, "breakdown": trainer.breakdown()}
        rows.append(row)
    return rows, {"matmul_tflops": fastest / 1e12}


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
        net = create_model(self.model, num_classes=CLASSES).to(device, memory_format=torch.channels_last)
        loss = create_loss(**self.recipe.loss, num_classes=CLASSES, feature_dim=net.num_features)
        optimizer = create_optimizer(self.recipe.optimizer, net.parameters())
        step = TrainStep(
            self.recipe,
            model=net.train(),
            loss=loss.to(device),
            optimizer=optimizer,
            average=None,
            augmentation=self.augmentation if laps is None else _Marked(self.augmentation, laps),
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


class _Marked:
    """An augmentation that marks when it begins and ends."""

    def __init__(self, augmentation: Augmentation, laps: Laps) -> None:
        self._augmentation, self._laps, self.mixup = augmentation, laps, augmentation.mixup

    def apply(self, images: torch.Tensor, draws: Draws) -> torch.Tensor:
        self._laps.mark("rest")
        out = self._augmentation.apply(images, draws)
        self._laps.mark("augment")
        return out


# ---------------------------------------------------------------- the others


def _augment(setting: _Setting, models: Sequence[str], seconds: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    batch, rows = 256, []
    for name, recipe in (("control", RECIPE), ("gu", "gu/psa_joint/fer2013")):
        augmentation = Augmentation.from_dict(get_recipe(recipe).augment)

        def ours(rounds: int, augmentation: Augmentation = augmentation) -> Callable[[], None]:
            images = torch.from_numpy(setting.pictures(batch)[0]).to(setting.device)
            generator = torch.Generator().manual_seed(0)

            def act() -> None:
                for _ in range(rounds):
                    draws = augmentation.draw(batch, FACE_SIDE, generator).to(setting.device)
                    augmentation.apply(images, draws)

            return act

        def theirs(rounds: int, name: str = name) -> Callable[[], None]:
            images, transform = setting.pictures(batch)[0], published.TRANSFORMS[name]

            def act() -> None:
                for _ in range(rounds):
                    torch.stack([transform(Image.fromarray(image)) for image in images]).to(setting.device)

            return act

        compared = compare(ours, theirs, batch, seconds / 2, setting.device)
        rows.append({"what": f"augmentation of {name}.toml, batch {batch}"} | compared)
    return rows, {}


def _attention(setting: _Setting, models: Sequence[str], seconds: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    batch, rows = 128, []

    def passes(net: torch.nn.Module, *shape: int) -> Callable[[int], Callable[[], None]]:
        """Forward and backward passes of one batch."""
        net = net.to(setting.device, memory_format=torch.channels_last).train()
        x = torch.randn(batch, *shape, device=setting.device).contiguous(memory_format=torch.channels_last)

        def act() -> None:
            net.zero_grad()
            with torch.autocast(setting.device.type, setting.dtype, enabled=setting.dtype != torch.float32):
                out = net(x.clone().requires_grad_())
            out.float().sum().backward()

        return lambda rounds: lambda: [act() for _ in range(rounds)] and None

    for channels, side in ((16, 44), (64, 11)):
        ways = [passes(block(channels), channels, side, side) for block in (CBAM, published.CBAM)]
        what = f"CBAM of {channels} channels at {side} px, maxima by index beside amax"
        rows.append({"what": what} | compare(*ways, batch, seconds / 4, setting.device))
    recipes = [get_recipe(f"narrow/{name}/fer2013") for name in ("cbam", "none")]
    ways = [passes(create_model(r.model, num_classes=CLASSES, **r.model_options), 1, 44, 44) for r in recipes]
    compared = compare(*ways, batch, seconds / 2, setting.device)
    rows.append({"what": "narrow net with CBAM beside the plain one"} | compared)
    return rows, {}


def _predict(setting: _Setting, models: Sequence[str], seconds: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    rows = []
    plans = [(name, batch, views) for name, batch in setting.models(models) for views in ("one", "ten")]
    for name, batch, views in plans:
        net = create_model(name, num_classes=CLASSES).to(setting.device).eval()
        ready = create_model(name, num_classes=CLASSES).to(setting.device, memory_format=torch.channels_last).eval()

        def ours(
            rounds: int, net: torch.nn.Module = ready, batch: int = batch, views: str = views
        ) -> Callable[[], None]:
            images = torch.from_numpy(setting.pictures(rounds * batch)[0]).to(setting.device)
            return lambda: predict_probabilities(net, images, views=views, dtype=setting.dtype).cpu()

        def theirs(
            rounds: int, net: torch.nn.Module = net, batch: int = batch, views: str = views
        ) -> Callable[[], None]:
            loader = setting.loader(rounds * batch, batch, views, shuffle=False)
            return lambda: published.predict(loader, net, setting.device)

        compared = compare(ours, theirs, batch, seconds / len(plans), setting.device)
        rows.append({"what": f"{name}, 44 px, batch {batch}, views: {views}", "model": name, "views": views} | compared)
    return rows, {}


def _data(setting: _Setting, models: Sequence[str], seconds: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    n, batch = 500, 128
    images, labels = setting.pictures(n)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path, cache = Path(folder) / "fer2013.csv", Path(folder) / "cache"
        lines = [f"{y},{' '.join(map(str, x.ravel()))},Training" for x, y in zip(images, labels, strict=True)]
        path.write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
        read_csv(path, cache)

        def repeated(act: Callable[[], object]) -> Callable[[int], Callable[[], None]]:
            return lambda rounds: lambda: [act() for _ in range(rounds)] and None

        theirs = repeated(lambda: published.read_csv(path))
        for what, ours in (
            (f"fer2013.csv of {n} pictures, first time", repeated(lambda: read_csv(path))),
            (f"fer2013.csv of {n} pictures, again", repeated(lambda: read_csv(path, cache))),
        ):
            rows.append({"what": what} | compare(ours, theirs, n, seconds / 3, torch.device("cpu")))

    augmentation = Augmentation()
    generator = torch.Generator().manual_seed(0)

    def resident(rounds: int) -> Callable[[], None]:
        stored = torch.from_numpy(setting.pictures(rounds * batch)[0]).to(setting.device)
        draws = augmentation.draw(batch, FACE_SIDE, generator).to(setting.device)

        def act() -> None:
            order = torch.randperm(rounds * batch, generator=generator).to(setting.device)
            for chosen in order.split(batch):
                augmentation.apply(stored[chosen], draws)

        return act

    def loaded(rounds: int) -> Callable[[], None]:
        loader = setting.loader(rounds * batch, batch, "plain", shuffle=True)

        def act() -> None:
            for pictures, _ in loader:
                pictures.to(setting.device)

        return act

    compared = compare(resident, loaded, batch, seconds / 3, setting.device)
    rows.append({"what": f"batches of {batch} on the device, shuffled"} | compared)
    return rows, {}


def _faces(setting: _Setting, models: Sequence[str], seconds: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    # A machine that only trains has no OpenCV.
    from fer_lib.demo.faces import create_detector
    from fer_lib.demo.service import LIVE_VIEWS, Service

    checkpoint = best_checkpoint()
    if checkpoint is None:
        raise UserError(NO_CHECKPOINT)
    predictor, batch = Predictor(checkpoint, str(setting.device)), 250

    def at_once(rounds: int) -> Callable[[], None]:
        pictures, _ = setting.pictures(rounds * batch)

        def act() -> None:
            predictor.probabilities(pictures, LIVE_VIEWS)

        return act

    def one_by_one(rounds: int) -> Callable[[], None]:
        pictures, _ = setting.pictures(rounds * batch)

        def act() -> None:
            for picture in pictures:
                predictor.probabilities(picture[None], LIVE_VIEWS)

        return act

    cpu = torch.device("cpu")  # answers are read back, so that nothing is left to wait for
    rows = [{"what": "cut-out faces, at once"} | compare(at_once, one_by_one, batch, seconds / 2, cpu)]

    frame, spent = _camera_picture(), {"decode": 0.0, "detector": 0.0, "net": 0.0}

    def live(name: str) -> Callable[[int], Callable[[], None]]:
        service = Service(create_detector(name), folder="photos")  # where nothing is saved: no photo is asked for
        service.predictor = predictor

        def prepare(rounds: int) -> Callable[[], None]:
            def act() -> None:
                for _ in range(rounds):
                    answer, _ = service.answer({"type": "frame"}, frame)
                    if name == "mtcnn":
                        for part, milliseconds in answer["ms"].items():
                            spent[part] += milliseconds

            return act

        return prepare

    row = {"what": "live picture of 640 x 480 with a face, MTCNN beside Haar"}
    row |= compare(live("mtcnn"), live("haar"), 1, seconds / 2, cpu)
    row["breakdown"] = {part: milliseconds / sum(spent.values()) for part, milliseconds in spent.items()}
    return [*rows, row], {"weight_file": checkpoint.name}


def _camera_picture() -> bytes:
    """A JPEG of 640 x 480 pixels with one drawn face."""
    picture, jpeg = np.full((480, 640, 3), 200, np.uint8), io.BytesIO()
    picture[:, 200:430] = example_picture()[:, :230]
    Image.fromarray(picture).save(jpeg, "JPEG", quality=80)
    return jpeg.getvalue()


SUITES = {
    "train": _train,
    "attention": _attention,
    "augment": _augment,
    "data": _data,
    "predict": _predict,
    "faces": _faces,
}
