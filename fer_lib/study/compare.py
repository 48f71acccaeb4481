"""Attention modules of your own: the same net without and with each, beside the recorded ones.

The runs of a comparison lie in a results folder of their own, and its recipes are called ``own/...``: no table of the
study holds them.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from pandas.api.types import is_numeric_dtype

from fer_lib import plots
from fer_lib.data.catalog import dataset_title
from fer_lib.errors import UserError, unknown
from fer_lib.models.grammar import MODULES
from fer_lib.models.registry import register_file
from fer_lib.nets import BLOCKS, parse
from fer_lib.paths import shipped, write_atomically
from fer_lib.plugins import look_up
from fer_lib.queue.plan import matrix
from fer_lib.recipe import Recipe, RunSpec, add_recipe, get_recipe, with_changes
from fer_lib.runs import RunRecord
from fer_lib.statistics import smallest_gain
from fer_lib.study.columns import csv_text, markdown
from fer_lib.study.exploration import load_or_say
from fer_lib.study.gains import ablation_table, family_sentences, gain_table, readable_gains
from fer_lib.study.groups import HELD_OUT
from fer_lib.study.modules import module_gains
from fer_lib.study.results import MIN_SEEDS, Study
from fer_lib.texts import added_part, interval, signed

PLACES = ("branch", "after_stage", "ends")
"""Where ``--at`` puts a module: at the end of every residual branch, after stages 1 to 3, or after the first
convolution and the last stage."""
SEEDS, DRAWN_SEEDS = 5, 3
DRAWN = {"width": 16, "blocks": 1, "epochs": 6, "batch_size": 64}
DRAWN_SETTINGS = ("model_options.stem=imagenet",)
"""Changes to a recipe for drawn faces, so that a comparison takes a minute: a training is ten seconds of a core."""


class Comparison(NamedTuple):
    """What is compared.

    Attributes:
        base: the recipe of the study that it starts from.
        baseline: the net without a module, as it is trained here.
        modules: the same net with each module.
        seeds: trainings of each.
    """

    base: Recipe
    baseline: Recipe
    modules: tuple[Recipe, ...]
    seeds: int

    @property
    def specs(self) -> list[RunSpec]:
        """The runs, seed by seed."""
        return matrix([self.baseline, *self.modules], self.seeds)

    def own(self, records: Iterable[RunRecord]) -> list[RunRecord]:
        """Those of some records that are its runs."""
        wanted = {spec.run_id for spec in self.specs}
        return [record for record in records if record.id in wanted]

    @property
    def name(self) -> str:
        """What its folder is called."""
        systems = [recipe.name.split("/")[1] for recipe in self.modules]
        return "-".join([*systems, self.baseline.name.split("/")[2]])


def choose_dataset(recipe: str) -> str:
    """A recipe's own dataset where it is at hand, else the drawn faces."""
    name = get_recipe(recipe).dataset
    return "synthetic" if load_or_say(name, lambda _: None) is None else name


def plan_comparison(
    modules: Sequence[str],
    recipe: str = "narrow/none/fer2013",
    *,
    at: str | None = None,
    seeds: int | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Comparison:
    """Say what is trained; its recipes are known from then on in this process.

    Args:
        modules: each ``FILE:CLASS``, or the name of a block of the library or of a plug-in.
        recipe: of the net without them.
        at: of :data:`PLACES`; None for the branches, or a named block's own place.
        seeds: None for :data:`SEEDS`, of drawn faces :data:`DRAWN_SEEDS`.
        changes: see :func:`fer_lib.recipe.with_changes`; drawn faces bring :data:`DRAWN` with them. A setting of
            ``model_options.NAME`` is for the module of that name alone.

    Raises:
        UserError: a module, a place or a change that does not fit the net.
    """
    base = get_recipe(recipe)
    if not base.model.startswith("resnet") or parse(base.model)[2]:
        raise UserError(f"{recipe}: its net {base.model} has no free place; name a recipe of a plain residual net")
    if at not in (None, *PLACES):
        raise unknown("place", at, PLACES)
    if at == "ends" and parse(base.model)[1]:
        raise UserError(f"{recipe}: --at ends would move the blocks of its net {base.model} too; name a plain net")
    blocks = [_block(module, at) for module in modules]
    if twice := {block for block in blocks if blocks.count(block) > 1}:
        raise UserError(f"two modules are called {min(twice)!r}: give one class another name")
    given = {key: value for key, value in (changes or {}).items() if value is not None}
    settings = list(given.pop("settings", ()))
    drawn = given.get("dataset", base.dataset) == "synthetic" != base.dataset
    own = {block: [s for s in settings if re.match(rf"model_options\.{block}\s*[.=]", s)] for block in blocks}
    shared = [setting for setting in settings if not any(setting in found for found in own.values())]
    if drawn:
        given, shared = DRAWN | given, [*DRAWN_SETTINGS, *shared]
    changed = with_changes(base, **given, settings=shared)
    system = base.name.removesuffix(f"/{base.dataset}").replace("/", "-")
    data = changed.dataset.split(":")[0]
    baseline = dataclasses.replace(changed, name=f"own/{system}/{data}", title=f"{base.title} (yours)", seeds=None)
    compared = []
    for block in blocks:
        place = "" if at in (None, "branch") else f"-{at}"
        with_module = dataclasses.replace(
            baseline,
            name=f"own/{system}-{block}{place}/{data}",
            title=f"{baseline.title} + {MODULES[block].__name__}",
            model=f"{baseline.model}_{block}" + ("_ends" if at == "ends" else ""),
        )
        compared.append(with_changes(with_module, settings=own[block]))
    for one in (baseline, *compared):
        add_recipe(one)
    return Comparison(base, baseline, tuple(compared), seeds or (DRAWN_SEEDS if drawn else SEEDS))


def _block(module: str, at: str | None) -> str:
    """The name of a module's block, which is registered first where it comes from a file."""
    if ":" in module:
        return register_file(module, "after_stage" if at == "after_stage" else "branch")
    look_up(module, BLOCKS)
    if module not in BLOCKS:
        raise UserError(f"{unknown('module', module, BLOCKS)}; one of a file is FILE:CLASS")
    if at not in (None, "ends", BLOCKS[module][0]):
        raise UserError(f"--at {at}: {module} stands at its own place, {BLOCKS[module][0]}, or at the ends")
    return module


# ---------------------------------------------------------------- what it can show


def power_words(comparison: Comparison, recorded: Study) -> str:
    """What gain such a comparison would find, by the spread of the recorded seeds.

    Args:
        comparison: what is compared.
        recorded: the study's results.
    """
    base, seeds = comparison.base, comparison.seeds
    if seeds < MIN_SEEDS:
        return f"{seeds} seed{'s' * (seeds > 1)} of each: a reading needs {MIN_SEEDS}"
    fitted = recorded.fit(base.name, HELD_OUT)
    if not fitted or not fitted.sd:
        family = _family(_study_gains(recorded), base.name)
        if words := family_sentences(family):
            return f"recorded, with {family['seeds'].max()} seeds of each: {words}"
        return f"no spread of seeds is recorded for {base.name}: the table will say what gain could be seen"
    theirs = _recorded(comparison, recorded)
    pictures = [
        recorded.picture_variance(name, base.name, HELD_OUT) for name in theirs["recipe"] if name != base.name
    ] or [0.0]
    spread, _ = fitted.pool
    smallest = smallest_gain(spread, seeds, len(comparison.modules), sum(pictures) / len(pictures))
    words = (
        f"a seed of {base.title} on {dataset_title(base.dataset)} has a standard deviation of {100 * spread:.2f} "
        f"points: with {seeds} seeds of each, a gain of {100 * smallest:.1f} points would be found in 80 of 100 such "
        "comparisons"
    )
    recipe = comparison.baseline
    if recipe.dataset != base.dataset:
        words += f"; on {dataset_title(recipe.dataset)} the spread is not known yet"
    elif recipe.training() | {"name": base.name} != base.training():
        words += "; of the changed recipe the spread is not known yet"
    return words


# ---------------------------------------------------------------- what came out


class Outcome(NamedTuple):
    """A comparison's gains beside the recorded ones.

    Attributes:
        yours: see :func:`fer_lib.study.gains.gain_table`.
        recorded: the same of the study's modules over their own plain net; empty without records.
    """

    yours: pd.DataFrame
    recorded: pd.DataFrame

    @property
    def table(self) -> pd.DataFrame:
        """Both, yours first."""
        return pd.concat([part for part in self if len(part)], ignore_index=True)


def outcome(comparison: Comparison, records: Iterable[RunRecord], recorded: Study) -> Outcome:
    """The gains of a comparison as far as its runs are there.

    Args:
        comparison: what is compared.
        records: of its results folder; those of other comparisons do no harm.
        recorded: the study's results.
    """
    yours = gain_table(
        Study(comparison.own(records)), [recipe.name for recipe in comparison.modules], comparison.baseline.name
    )
    yours["standing"] = yours["standing"].where(yours["standing"] == "", "yours")
    return Outcome(yours, _recorded(comparison, recorded))


def _recorded(comparison: Comparison, recorded: Study) -> pd.DataFrame:
    """The recorded modules over the recipe that a comparison starts from, else those of the study's chief family."""
    table = _study_gains(recorded)
    own = _family(table, comparison.base.name)
    if len(own):
        return own
    chief, _ = module_gains(table)
    return own if chief.empty else _family(table, chief["baseline"].iloc[0])


def _study_gains(recorded: Study) -> pd.DataFrame:
    """The study's own comparisons; where no record of theirs is at hand, as after the installation of a wheel, by the
    table that the library brings."""
    table = ablation_table(recorded, claimed=False)
    brought = shipped("results/tables") / "control.csv"
    if table["gain"].notna().any() or not brought.exists():
        return table
    table = pd.read_csv(brought)
    return table.fillna({name: "" for name in table if not is_numeric_dtype(table[name])})


def _family(table: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """A baseline's row and those of what has a gain over it; empty without any."""
    gains = table[(table["baseline"] == baseline) & table["gain"].notna()]
    plain = table[(table["recipe"] == baseline) & (table["baseline"] == "")][: min(1, len(gains))]
    return pd.concat([plain, gains]).drop(columns="paper")


def sentences(found: Outcome) -> list[str]:
    """What came out, a sentence for each module of yours and one for the recorded ones."""
    lines = []
    title = found.yours["system"].iloc[0]
    for _, row in found.yours[found.yours["baseline"] != ""].iterrows():
        over = f"points over the same net without it on {dataset_title(row['dataset'])}, "
        gain = "" if pd.isna(row["gain"]) else f"{_gain(row)} {over}"
        lines.append(f"{added_part(row['system'], title)}: {gain}{row['reading']}.")
    theirs = found.recorded[found.recorded["baseline"] != ""]
    if len(theirs):
        plain = found.recorded["system"].iloc[0]
        gains = [
            f"{added_part(row['system'], plain)} {_gain(row)}"
            for _, row in theirs.sort_values("gain").iloc[::-1].iterrows()
        ]
        lines.append(f"Recorded, over {plain} on {dataset_title(theirs['dataset'].iloc[0])}: {', '.join(gains)}.")
    return lines


def _gain(row: pd.Series) -> str:
    return f"{signed(row['gain'])} ({interval(row['low'], row['high'])})"


def cautions(comparison: Comparison, found: Outcome) -> list[str]:
    """What keeps the outcome from being more than it is."""
    recipe = comparison.baseline
    lines = [
        family_sentences(found.yours),
        f"One net and one training: {comparison.base.title}, {recipe.epochs} epochs on "
        f"{dataset_title(recipe.dataset)}. What holds there need not hold in another.",
        "Modules tried one after the other are not corrected for each other: of twenty that do nothing one seems to "
        "help. Name them in one comparison, or confirm a gain with seeds that were not looked at.",
    ]
    if len(found.recorded):
        lines.append(
            "The recorded modules have a plain net of their own, on their own machine: compare gains, not accuracies."
        )
    if recipe.dataset == "synthetic":
        lines.insert(0, "Drawn faces and a tiny net: this shows that everything works and says nothing about faces.")
    return [line for line in lines if line]


def write_outcome(comparison: Comparison, found: Outcome, results: Path) -> list[Path]:
    """Write the table and the figure of a comparison into its folder of ``results/compare``.

    Returns:
        ``table.csv``, ``table.md``, ``gains.svg`` and ``gains.png``.
    """
    folder = results / "compare" / comparison.name
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join(f"- {line}" for line in (*sentences(found), *cautions(comparison, found)))
    shown = readable_gains(found.table).rename(columns={"PrivateTest, chosen epoch": "test part, chosen epoch"})
    figure = plots.gains(found.table)
    files = {
        "table.csv": csv_text(found.table).encode(),
        "table.md": f"{markdown(shown)}\n{text}\n".encode(),
        "gains.svg": plots.svg(figure),
        "gains.png": plots.png(figure),
    }
    for name, content in files.items():
        write_atomically(folder / name, content)
    return [folder / name for name in files]
