"""Is it the attention module, or how the net starts? What a module leaves of a residual branch before any training.

The sigmoid of a gate that has learnt nothing is about one half. A module at the end of a residual branch so halves
what the branch adds to its shortcut, or quarters it with two gates in a row; one before a normalisation has its scale
undone. The recipes with ``branch_scale`` start a plain net that way without a module, or a module without it.
"""

import json
from functools import partial

import pandas as pd
import torch

from fer_lib.augment import test_views
from fer_lib.data import synthetic
from fer_lib.models import create_model
from fer_lib.models.resnet import BasicBlock, Bottleneck
from fer_lib.nets import parse
from fer_lib.recipe import get_recipe
from fer_lib.study.columns import Column, readable
from fer_lib.study.gains import SHOWN, ablation_table
from fer_lib.study.results import Study

PICTURES, PIXELS = 64, 44


def start_table(study: Study) -> pd.DataFrame:
    """Narrow nets with attention, and narrow nets whose branches start scaled, beside the plain one.

    Args:
        study: the study's results.

    Returns:
        The rows of :func:`fer_lib.study.gains.ablation_table` for what a part adds and for the question ``start``,
        each family with its own correction, the plain net once; with ``attention`` (whether the net has a module)
        and ``branch_size`` (:func:`branch_size`).
    """
    table = pd.concat([ablation_table(study, "narrow", question=question) for question in ("", "start")])
    table = table.drop_duplicates("recipe", ignore_index=True)
    recipes = [get_recipe(name) for name in table["recipe"]]
    table.insert(4, "attention", [bool(parse(recipe.model)[1]) for recipe in recipes])
    sizes = [
        study.kept(f"branch size of {recipe.model} {options}", partial(branch_size, recipe.model, options))
        for recipe in recipes
        for options in [json.dumps(recipe.model_options, sort_keys=True)]
    ]
    table.insert(5, "branch_size", sizes)
    return table


def readable_start(table: pd.DataFrame) -> pd.DataFrame:
    """A start table for a reader, as :func:`fer_lib.study.gains.readable_gains`."""
    columns = (SHOWN[0], Column("branch at the start", "{branch_size:.2f}"), *SHOWN[1:])
    shown = readable(table[table["reading"] != "not run"], columns)
    return shown.drop(columns=["over", "data", "parameters", "precision", "Brier score × 100"])


def branch_size(model: str, options: str = "{}") -> float:
    """What a residual branch adds to its shortcut before any training: 1 in the plain net, whose branches end
    normalised.

    Args:
        model: a residual net of :mod:`fer_lib.models.grammar`.
        options: its options as JSON.

    Returns:
        Root mean square over pictures, channels and places, the mean over the net's blocks, on drawn faces; two
        decimals, the same on every machine.
    """
    images = torch.from_numpy(synthetic(train=PICTURES, val=0, test=0).images)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        net = create_model(model, **json.loads(options)).train()
        sizes: list[float] = []
        for module in net.modules():
            if isinstance(module, BasicBlock | Bottleneck):
                module.attention.register_forward_hook(
                    lambda module, inputs, out: sizes.append(out.square().mean().sqrt().item())
                )
        net(test_views(images, "one", PIXELS)[0])
    return round(sum(sizes) / len(sizes), 2)
