"""Two recorded runs side by side: curves, confusions, and the recall of every class with its difference."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd

from fer_lib import plots
from fer_lib.errors import UserError
from fer_lib.explore.panel import Panel, Shown
from fer_lib.recipe import called, list_recipes
from fer_lib.runs import RunRecord, read_record
from fer_lib.study.evidence import mcnemar_p
from fer_lib.study.groups import answers_of
from fer_lib.study.run_page import confusion

LEVEL = 0.05
"""Of McNemar's test, shared by the classes of a comparison (Bonferroni)."""
_FOLDER = re.compile(r"(?P<recipe>.+)-(?P<run>s\d+(?:-f\d+)?)-[0-9a-f]{8}")


def run_index(runs: Path) -> dict[str, dict[str, str]]:
    """The recorded runs by recipe, from the names of their folders alone: no record is read.

    Args:
        runs: the folder of the records; may not exist.

    Returns:
        ``{recipe: {"seed 0" or "seed 0, fold 3": folder's name}}``, sorted. Where one seed has runs of different
        length or size, those after the first are named by their folders.
    """
    names = {name.replace("/", "-"): name for name in list_recipes()}
    found: dict[str, dict[str, str]] = {}
    for folder in sorted(path.name for path in runs.iterdir()) if runs.exists() else []:
        if match := _FOLDER.fullmatch(folder):
            labels = found.setdefault(names.get(match["recipe"], match["recipe"]), {})
            label = match["run"].replace("s", "seed ", 1).replace("-f", ", fold ")
            labels[folder if label in labels else label] = folder
    return dict(sorted(found.items()))


def first_runs(runs: Path, *recipes: str) -> list[RunRecord]:
    """The first recorded run of each of some recipes.

    Args:
        runs: the folder of the records.
        *recipes: their names.

    Raises:
        UserError: one of them has none.
    """
    index = run_index(runs)
    for name in recipes:
        if name not in index:
            raise UserError(f"{runs}: holds no run of {name}; fer train {name} makes one")
    return [cached_record(runs / next(iter(index[name].values()))) for name in recipes]


@cache
def cached_record(folder: Path) -> RunRecord:
    """A record, read once."""
    return read_record(folder)


def same_pictures(first: RunRecord, second: RunRecord) -> bool:
    """Whether two runs were tested on the same pictures in the same order."""
    digests = [(record.content["data"].get("pictures") or {}).get("test") for record in (first, second)]
    data = [record.content["data"]["fingerprint"] for record in (first, second)]
    same = digests[0] == digests[1] if None not in digests else data[0] == data[1]
    return same and np.array_equal(first.predictions["test/labels"], second.predictions["test/labels"])


def recall_table(first: RunRecord, second: RunRecord) -> pd.DataFrame:
    """The recall of every class by two runs, in percent, with what tells them apart.

    Args:
        first: the one run.
        second: the other, with the same classes.

    Returns:
        One row a class, then all: pictures, first, second, difference (points); of the same pictures also p (McNemar,
        exact) and a mark, ▲ or ▼, where p is below 0.05 shared among the classes.

    Raises:
        UserError: the runs have other classes.
    """
    if first.classes != second.classes:
        raise UserError(f"{first.id} and {second.id} have different classes; choose two runs on the same data")
    paired = same_pictures(first, second)
    labels, ours = answers_of([first])
    others, theirs = answers_of([second])
    rows = []
    for number, name in [*enumerate(first.classes), (None, "all")]:
        mine, yours = (of == number if number is not None else np.ones(len(of), bool) for of in (labels, others))
        right, right_too = ours[mine] == labels[mine], theirs[yours] == others[yours]
        row: dict[str, Any] = {
            "class": name,
            "pictures": int(mine.sum()),
            "first": 100 * right.mean() if len(right) else np.nan,
            "second": 100 * right_too.mean() if len(right_too) else np.nan,
        }
        row["difference"] = row["second"] - row["first"]
        if paired:
            gain = int(right_too.sum()) - int(right.sum())
            p = mcnemar_p(gain, int((right != right_too).sum()))
            told = p < (LEVEL if number is None else LEVEL / len(first.classes))
            row |= {"p": round(p, 4), "differs": ("▲" if gain > 0 else "▼") if told else ""}
        rows.append(row)
    return pd.DataFrame(rows).set_index("class")


def compare(first: RunRecord, second: RunRecord) -> Shown:
    """Everything of two runs side by side."""
    pair = {
        f"{number}: {called(record.recipe)}, seed {record.spec['seed']}": record
        for number, record in enumerate((first, second), start=1)
    }
    words = " ".join(
        f"{name}, {record.epochs} epochs, test accuracy {100 * record.accuracy():.1f} %."
        for name, record in pair.items()
    )
    if not same_pictures(first, second):
        words += " Their test pictures differ, so that no difference is tested."
    table = recall_table(first, second).round({"first": 1, "second": 1, "difference": 1, "p": 3})
    shares = {"first": "recall of 1, %", "second": "recall of 2, %", "difference": "difference, points"}
    table = table.rename(columns=shares)
    chosen = {name: record.content["metrics"]["val_selected"]["epoch"] for name, record in pair.items()}
    figures = [plots.curves({name: record.history for name, record in pair.items()}, chosen)]
    for name, record in pair.items():
        figures.append(confusion(record))
        figures[-1].axes[0].set_title(name, fontsize=9)
    return Shown(words, figures=figures, table=table)


def run_panel(runs: Path, first: str = "narrow/none/fer2013", second: str = "narrow/se/fer2013") -> Panel:
    """Choose two runs by paper, recipe and seed.

    Args:
        runs: the folder of the records.
        first: recipe to begin with, on the one side.
        second: on the other.
    """
    index = run_index(runs)

    def draw(first: str | None, second: str | None) -> Shown:
        if not first or not second:
            return Shown(f"no run is recorded in {runs}")
        return compare(cached_record(runs / first), cached_record(runs / second))

    rows, controls = [], {}
    for side, recipe in (("first", first), ("second", second)):
        row, controls[side] = _chooser(side, index, recipe)
        rows.append(row)
    panel = Panel("Two runs side by side", controls, draw)
    panel.row.children = rows
    return panel


def _chooser(side: str, index: dict[str, dict[str, str]], recipe: str) -> tuple[ipywidgets.HBox, ipywidgets.Dropdown]:
    """Paper, recipe and run, each narrowing the next; the last has the folder's name as its value."""
    papers = list(dict.fromkeys(name.partition("/")[0] for name in index))
    start = recipe if recipe in index else next(iter(index), "")
    paper = ipywidgets.Dropdown(options=papers, value=start.partition("/")[0] or None, description=f"{side}: paper")
    chosen = ipywidgets.Dropdown(description="recipe")
    run = ipywidgets.Dropdown(description="run")

    def fill_recipes(_: object = None) -> None:
        names = [name for name in index if name.partition("/")[0] == paper.value]
        chosen.options = [(name.partition("/")[2] or name, name) for name in names]
        chosen.value = start if start in names else next(iter(names), None)

    def fill_runs(_: object = None) -> None:
        runs = index.get(chosen.value, {})
        run.options = list(runs.items())
        run.value = next(iter(runs.values()), None)

    fill_recipes()
    fill_runs()
    paper.observe(fill_recipes, "value")
    chosen.observe(fill_runs, "value")
    return ipywidgets.HBox([paper, chosen, run]), run
