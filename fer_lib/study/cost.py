"""What a run costs: size of the net, time to train it, time to use it."""

import json
from collections.abc import Sequence
from functools import cache

import pandas as pd

from fer_lib.augment import Augmentation
from fer_lib.data import FACE_SIDE
from fer_lib.models.describe import count_macs, count_parameters, meta_net
from fer_lib.recipe import Recipe, get_recipe
from fer_lib.runs import RunRecord
from fer_lib.study.groups import group_records, longest_groups

COLUMNS = (
    "recipe", "system", "model", "parameters", "pixels", "macs", "epochs", "recipe_epochs", "runs", "minutes",
    "images_per_second", "milliseconds", "device",
)  # fmt: skip


def cost_table(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Cost of each recipe's longest training on each kind of device.

    Args:
        records: the study's runs.

    Returns:
        One row per recipe and device: recipe, system, model, parameters, pixels (side of the net's input), macs
        (multiply-accumulates of one picture), epochs, recipe_epochs, runs, minutes (mean per run, evaluation after
        every epoch included), images_per_second (in training, mean), milliseconds (one picture, one view, float32;
        empty where the run did not measure it), device. parameters and macs are empty for a classical pipeline.
    """
    rows = []
    for group in longest_groups(group_records(records)):
        recipe = get_recipe(group.recipe)
        parameters, pixels, macs = _size(recipe)
        devices: dict[str, list[dict]] = {}
        for record in group.records:
            devices.setdefault(record.content["environment"]["device"], []).append(record.content["time"])
        for device, times in devices.items():
            latencies = [t["milliseconds_per_picture"] for t in times if t.get("milliseconds_per_picture") is not None]
            values = (
                recipe.name, recipe.title, recipe.model, parameters, pixels, macs, group.epochs, recipe.epochs,
                len(times), _mean([t["seconds"] / 60 for t in times]),
                _mean([t["train_images_per_second"] for t in times]), _mean(latencies), device,
            )  # fmt: skip
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    numbers = dict.fromkeys(("parameters", "pixels", "macs", "milliseconds"), float)  # None is no number to pandas
    return pd.DataFrame(rows, columns=COLUMNS).astype(numbers)


def readable_costs(table: pd.DataFrame) -> pd.DataFrame:
    """The cost table for a reader: fewer columns, millions in the place of units."""

    def number(form: str, values: pd.Series) -> pd.Series:
        return values.map(lambda value: "–" if pd.isna(value) else form.format(value))

    epochs = table["epochs"].astype(str) + " of " + table["recipe_epochs"].astype(str)
    return pd.DataFrame(
        {
            "recipe": table["recipe"],
            "system": table["system"],
            "parameters": number("{:.2f} M", table["parameters"] / 1e6),
            "MACs": number("{:,.0f} M", table["macs"] / 1e6),
            "epochs": epochs,
            "runs": table["runs"],
            "minutes a run": number("{:.1f}", table["minutes"]),
            "pictures/s, training": number("{:,.0f}", table["images_per_second"]),
            "ms a picture": number("{:.2f}", table["milliseconds"]),
            "device": table["device"],
        }
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _size(recipe: Recipe) -> tuple[int | None, int | None, int | None]:
    """Parameters, side of the input and multiply-accumulates of a recipe's net."""
    pixels = Augmentation.from_dict(recipe.augment).output_size(FACE_SIDE)
    return _counted(recipe.model, json.dumps(recipe.model_options), pixels)


@cache  # most recipes share their net with others, and counting takes a second
def _counted(model: str, options: str, pixels: int) -> tuple[int | None, int | None, int | None]:
    net = meta_net(model, **json.loads(options))
    return (count_parameters(net), pixels, count_macs(net, pixels)) if net else (None, None, None)
