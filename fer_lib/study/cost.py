"""What a run costs: size of the net, time to train it, time to use it."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from fer_lib.augment import face_view
from fer_lib.data.catalog import dataset_title
from fer_lib.recipe import get_recipe
from fer_lib.study.columns import DASH, Column, table_of
from fer_lib.study.results import Study

COLUMNS = (
    "recipe", "system", "model", "parameters", "pixels", "macs", "epochs", "recipe_epochs", "runs", "minutes",
    "images_per_second", "milliseconds", "device",
)  # fmt: skip


def cost_table(study: Study) -> pd.DataFrame:
    """Cost of each recipe's longest training on each kind of device.

    Args:
        study: the study's results.

    Returns:
        One row per recipe and device: recipe, system, model, parameters, pixels (side of the net's input), macs
        (multiply-accumulates of one picture), epochs, recipe_epochs, runs, minutes (mean per run, evaluation after
        every epoch included), images_per_second (in training, mean), milliseconds (one picture, one view, float32;
        empty where the run did not measure it), device. parameters and macs are empty for a classical pipeline.
    """
    rows = []
    for group in study.longest.values():
        recipe = get_recipe(group.recipe)
        cost = study.costs(recipe.training())
        pixels = face_view(recipe.augment).resize
        sizes = (cost.parameters, pixels, cost.macs) if cost else (math.nan,) * 3
        devices: dict[str, list[dict[str, Any]]] = {}
        for record in group.records:
            devices.setdefault(record.content["environment"]["device"], []).append(record.content["time"])
        for device, times in devices.items():
            latencies = [t["milliseconds_per_picture"] for t in times if t.get("milliseconds_per_picture") is not None]
            row = (
                recipe.name, recipe.title, recipe.model, *sizes, group.epochs, recipe.epochs,
                len(times), _mean([t["seconds"] / 60 for t in times]),
                _mean([t["train_images_per_second"] for t in times]), _mean(latencies), device,
            )  # fmt: skip
            rows.append(row)
    return table_of(rows, COLUMNS, ("parameters", "pixels", "macs", "milliseconds"))


SHOWN = (
    Column("net", "{system}"),
    Column("data", lambda row: dataset_title(get_recipe(row["recipe"]).dataset)),
    Column("parameters, million", "{parameters:.2fM}", DASH),
    Column("MACs, million", "{macs:,.0fM}", DASH),
    Column("epochs", "{epochs} of {recipe_epochs}"),
    Column("runs", "{runs}"),
    Column("minutes a run", "{minutes:.1f}", DASH),
    Column("pictures/s, training", "{images_per_second:,.0f}", DASH),
    Column("ms a picture", "{milliseconds:.2f}", DASH),
    Column("device", "{device}"),
)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
