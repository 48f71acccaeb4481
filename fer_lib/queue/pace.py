"""How long a run will take, from what this device took for others."""

import json
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fer_lib.augment import Augmentation
from fer_lib.data import FACE_SIDE
from fer_lib.models.describe import count_macs, meta_net
from fer_lib.paths import write_atomically
from fer_lib.queue.plan import Status
from fer_lib.runs import RunRecord

PICTURES = {"fer2013": (28709, 7178), "ckplus": (883, 98), "synthetic": (2100, 700)}
"""Pictures that an epoch trains on and that it evaluates; of CK+ those of a tenfold cross-validation."""
PASSES = 3
"""A training step in forward passes: one forward, two for the gradients of the weights and of the inputs."""


class Pace:
    """Expected minutes on one device.

    A recipe that ran on this device goes on at its own pace. Any other is taken at the median pace of what did run,
    by multiply-accumulates, which is rough: small layers take longer than large ones for the same arithmetic.

    Args:
        records: runs of any device.
        device: its name as records have it.
        macs: multiply-accumulates of one forward pass of a recipe's plain values (:meth:`Recipe.training`), or None.
        measured: seconds per multiply-accumulate of this device, used where it has no record yet.
    """

    def __init__(
        self,
        records: Iterable[RunRecord],
        device: str,
        macs: Callable[[dict[str, Any]], int | None],
        measured: Iterable[float] = (),
    ) -> None:
        seconds, recipes = defaultdict(list), {}
        for record in records:
            if record.content["environment"]["device"] == device:
                counts = record.content["data"]["counts"]
                passes = PASSES * counts["train"] + counts.get("val", 0) + counts.get("test", 0)
                seconds[record.recipe].append(record.content["time"]["seconds"] / (record.epochs * passes))
                recipes[record.recipe] = record.spec["recipe"]
        self._own = {name: statistics.median(values) for name, values in seconds.items()}
        rates = [self._own[name] / cost for name, recipe in recipes.items() if (cost := macs(recipe))]
        rates = rates or list(measured)
        self._rate = statistics.median(rates) if rates else None
        self._macs = macs

    def minutes(self, status: Status) -> float | None:
        """Minutes that are left of a run; None where nothing is known."""
        if status.state == "done":
            return 0.0
        spec = status.spec
        if spec.recipe.dataset not in PICTURES:
            return None
        train, evaluated = PICTURES[spec.recipe.dataset]
        train, evaluated = min(train, spec.limit_train or train), min(evaluated, 2 * (spec.limit_test or evaluated))
        seconds = self._own.get(spec.recipe.name)
        if seconds is None and self._rate is not None and (macs := self._macs(spec.recipe.training())):
            seconds = macs * self._rate
        return None if seconds is None else status.epochs_left * (PASSES * train + evaluated) * seconds / 60


class MacCounter:
    """Counts a recipe's multiply-accumulates once and keeps the numbers in a file: all nets take half a minute."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, int | None] = json.loads(path.read_text()) if path.exists() else {}

    def __call__(self, recipe: dict[str, Any]) -> int | None:
        """Multiply-accumulates of one picture's forward pass; None for a model that is fitted, not trained."""
        model, options = recipe["model"], recipe.get("model_options", {})
        pixels = Augmentation.from_dict(recipe.get("augment", {})).output_size(FACE_SIDE)
        key = json.dumps([model, options, pixels], sort_keys=True)
        if key not in self._known:
            net = meta_net(model, **options)
            self._known[key] = count_macs(net, pixels) if net else None
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, lambda file: file.write(json.dumps(self._known, indent=0).encode()))
        return self._known[key]


def benchmark_path(results: Path, name: str, device: str) -> Path:
    """Where a benchmark of a device is kept: ``benchmarks/train-nvidia-h100.json``."""
    return results / "benchmarks" / f"{name}-{re.sub('[^a-z0-9]+', '-', device.lower()).strip('-')}.json"


def device_pace(records: Iterable[RunRecord], results: Path, device: str) -> Pace:
    """The pace of a device from the study's records, or else from what `fer bench train` measured on it."""
    path = benchmark_path(results, "train", device)
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    measured = [row["seconds_per_image"]["ours"]["median"] / (PASSES * row["macs"]) for row in rows]
    return Pace(records, device, MacCounter(results / "logs" / "macs.json"), measured)
