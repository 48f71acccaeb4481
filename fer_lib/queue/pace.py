"""How long a run will take, from what this device took for others."""

import json
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fer_lib.data.catalog import known_dataset
from fer_lib.errors import UserError
from fer_lib.kept import kept_in
from fer_lib.models.describe import CostCounter, NetCost
from fer_lib.queue.plan import Status
from fer_lib.recipe import Recipe
from fer_lib.runs import RunRecord
from fer_lib.training import device_name, precision_name

BENCHMARK_SIDE = 44
"""Side of the pictures of `fer bench train`."""
PASSES = 3
"""A training step in forward passes: one forward, two for the gradients of the weights and of the inputs."""
MACS_PER_VALUE, MACS_PER_PARAMETER = 61, 5
"""What a written number and a weight cost beside a multiply-accumulate, in each pass of a picture.

Fitted to the times of twenty recipes that one CPU trained, from ResNet18 of width 8 to ResNet50 on the smallest maps:
all come out within a factor of 2.2, while their seconds per multiply-accumulate alone lie ten times apart.
"""
FLOAT32 = 2.3
"""How much longer a CPU takes in float32 than one with bfloat16 takes in that."""


def work(cost: NetCost) -> float:
    """What a pass of one picture costs, in multiply-accumulates of a large layer."""
    return cost.macs + MACS_PER_VALUE * cost.values + MACS_PER_PARAMETER * cost.parameters


def pictures_of(recipe: Recipe) -> tuple[int, int] | None:
    """How many pictures an epoch trains on and how many it evaluates; None for a dataset nobody has counted."""
    known = known_dataset(recipe.dataset)
    if known is None or known.pictures is None or recipe.protocol == "official":
        return known and known.pictures
    tested = round(sum(known.pictures) / (3 if "2to1" in recipe.protocol else 10))
    return sum(known.pictures) - tested, tested


class _Known(NamedTuple):
    """Core-seconds a pass of each precision and training (:func:`_alike`), and per :func:`work` of each precision."""

    own: dict[tuple[str, str], float]
    rates: dict[str, float]


class Pace:
    """Expected minutes on one device; of a CPU, of one of its cores.

    A recipe that ran on this device in its precision goes on at its own pace. Any other is taken at the median pace
    of what did run, by :func:`work`. Where nothing ran and nothing was measured, the CPUs of other records speak.

    Args:
        records: runs of any device.
        device: its name as records have it.
        precision: what it trains in where a recipe does not say, as records have it.
        cost: of a recipe's net, from its plain values (:meth:`Recipe.training`); None for a fitted pipeline.
        measured: seconds per :func:`work` of this device, used where it has no record yet.

    Attributes:
        on_cpu: whether the minutes are those of a CPU's core.
        borrowed: whether they come from other machines' records.
    """

    def __init__(
        self,
        records: Iterable[RunRecord],
        device: str,
        precision: str,
        cost: Callable[[dict[str, Any]], NetCost | None],
        measured: Iterable[float] = (),
    ) -> None:
        self._cost, self._precision = cost, precision
        kind, cores = _cores(device)
        self.on_cpu = cores is not None
        named = [(_cores(record.content["environment"]["device"]), record) for record in records]
        here = self._learn(record for (name, _), record in named if name == kind)
        if precision not in here.rates and (measured := list(measured)):
            here.rates[precision] = statistics.median(measured)
        self._known = [here]
        self.borrowed = self.on_cpu and precision not in here.rates
        if self.on_cpu:
            others = self._learn(record for (_, threads), record in named if threads is not None)
            for one, other, ratio in (("float32", "bfloat16", FLOAT32), ("bfloat16", "float32", 1 / FLOAT32)):
                if one not in others.rates and other in others.rates:
                    others.rates[one] = ratio * others.rates[other]
            self._known.append(others)

    def _learn(self, records: Iterable[RunRecord]) -> _Known:
        seconds, recipes, rates = defaultdict(list), {}, defaultdict(list)
        for record in records:
            environment, counts = record.content["environment"], record.content["data"]["counts"]
            passes = PASSES * counts["train"] + counts.get("val", 0) + counts.get("test", 0)
            spent = record.content["time"]["seconds"] * (_cores(environment["device"])[1] or 1)
            key = environment["precision"], _alike(record.spec["recipe"])
            seconds[key].append(spent / (record.epochs * passes))
            recipes[key] = record.spec["recipe"]
        own = {key: statistics.median(values) for key, values in seconds.items()}
        for (precision, alike), recipe in recipes.items():
            with suppress(UserError):  # a net with somebody's module that is not at hand
                rates[precision].append(own[precision, alike] / self._work(recipe))
        return _Known(own, {precision: statistics.median(values) for precision, values in rates.items()})

    def _work(self, recipe: dict[str, Any]) -> float:
        """:func:`work` of a net; 1 for a pipeline, whose precision no net has."""
        cost = self._cost(recipe)
        return work(cost) if cost else 1.0

    def minutes(self, status: Status) -> float | None:
        """Minutes that are left of a run; None where nothing is known."""
        if status.state == "done":
            return 0.0
        spec = status.spec
        pictures, seconds = pictures_of(spec.recipe), self._seconds(spec.recipe)
        if pictures is None or seconds is None:
            return None
        train, evaluated = pictures
        train, evaluated = min(train, spec.limit_train or train), min(evaluated, 2 * (spec.limit_test or evaluated))
        return status.epochs_left * (PASSES * train + evaluated) * seconds / 60

    def _seconds(self, recipe: Recipe) -> float | None:
        """Core-seconds of a pass of one picture."""
        precision = "float64" if recipe.is_classical else recipe.precision or self._precision
        values = recipe.training()
        for known in self._known:
            if (own := known.own.get((precision, _alike(values)))) is not None:
                return own
            if precision in known.rates:
                with suppress(UserError):  # a module that cannot be counted
                    return known.rates[precision] * self._work(values)
        return None


def _alike(recipe: dict[str, Any]) -> str:
    """What decides how long a picture takes in a recipe's plain values: a changed recipe may keep its name."""
    return json.dumps([recipe.get(key) for key in ("name", "model", "model_options", "augment")], sort_keys=True)


def _cores(device: str) -> tuple[str, int | None]:
    """A device's name as records have it, without its number of threads, and that number; None for a GPU."""
    found = re.fullmatch(r"(.*), (\d+) threads", device)
    return (found[1], int(found[2])) if found else (device, None)


def benchmark_path(results: Path, name: str, device: str) -> Path:
    """Where a benchmark of a device is kept: ``benchmarks/train-nvidia-h100.json``."""
    return results / "benchmarks" / f"{name}-{re.sub('[^a-z0-9]+', '-', device.lower()).strip('-')}.json"


def device_pace(records: Iterable[RunRecord], results: Path, device: torch.device) -> Pace:
    """The pace of a device from the study's records, or else from what `fer bench train` measured on it."""
    name, precision = device_name(device), precision_name(device)
    path, logs = benchmark_path(results, "train", name), kept_in(results)
    cost = CostCounter(logs and logs / "costs.json")
    content, cores = json.loads(path.read_text()) if path.exists() else {}, _cores(name)[1] or 1
    measured = [
        cores * row["seconds_per_image"]["ours"]["median"] / (PASSES * work(net))
        for row in content.get("rows", [])
        if content["environment"]["precision"] == precision and (net := cost.of_net(row["model"], {}, BENCHMARK_SIDE))
    ]
    return Pace(records, name, precision, cost, measured)
