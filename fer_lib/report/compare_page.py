"""The page of a comparison of your own modules with the recorded ones: one file, static and offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fer_lib import plots
from fer_lib.data.catalog import dataset_title
from fer_lib.data.folds import protocol_title
from fer_lib.paths import refresh
from fer_lib.report import words
from fer_lib.report.pages import about, inline_figure, render_template
from fer_lib.runs import RunRecord
from fer_lib.study.compare import Comparison, Outcome, cautions, sentences
from fer_lib.study.gains import readable_gains

COLUMNS = ("net", "accuracy, %", "gain, points", "95 % interval", "smallest gain seen", "reading", "parameters")


def write_page(comparison: Comparison, found: Outcome, records: Sequence[RunRecord], results: Path) -> Path:
    """Write ``index.html`` into a comparison's folder.

    Args:
        comparison: what is compared.
        found: its gains.
        records: of its results folder.
        results: the folder that holds ``compare/``.
    """
    ours = comparison.own(records)
    names = " and ".join(recipe.title.rsplit(" + ", 1)[-1] for recipe in comparison.modules)
    recipe = comparison.baseline
    split = protocol_title(recipe.protocol)
    if recipe.protocol == "official" and recipe.dataset not in ("fer2013", "ferplus"):
        split = "their own split"
    training = f"{recipe.epochs} epochs on {dataset_title(recipe.dataset)}, {split}"
    families = [_family("Yours", found.yours, training)]
    if len(found.recorded):
        plain = found.recorded.iloc[0]
        over = f"over {plain['system']} on {dataset_title(plain['dataset'])}"
        families.append(_family("Recorded in the study", found.recorded, over))
    told = sentences(found)
    stamp = f"{len(ours)} runs of yours; they are no part of the study. {words.STUDY}."
    text = render_template(
        "compare",
        about((), stamp),
        "index.html",
        title=f"{names} beside the recorded modules",
        description=told[0],
        sentences=told,
        figure=inline_figure(plots.gains(found.table), " ".join(told)),
        families=families,
        cautions=cautions(comparison, found),
        facts=_facts(comparison, ours),
    )
    path = results / "compare" / comparison.name / "index.html"
    refresh(path, text.encode())
    return path


def _family(title: str, table: pd.DataFrame, caption: str) -> dict[str, Any]:
    shown = readable_gains(table)[list(COLUMNS)]
    rows = [(first, rest) for first, *rest in shown.itertuples(index=False)]
    return {"title": title, "caption": caption, "head": COLUMNS, "rows": rows}


def _facts(comparison: Comparison, records: Sequence[RunRecord]) -> dict[str, str]:
    def of_records(section: str, key: str) -> str:
        return ", ".join(sorted({str(record.content[section][key]) for record in records})) or "no run yet"

    recipe = comparison.baseline
    code = [f"{part} {digest[:16]}" for net in comparison.modules for part, digest in net.code.items()]
    return {
        "starts from": comparison.base.name,
        "nets": ", ".join(net.model for net in (recipe, *comparison.modules)),
        "options": _settings(recipe.model_options),
        "optimiser": _settings(recipe.optimizer),
        "runs": f"{len(records)} of {len(comparison.specs)}, {comparison.seeds} seeds each",
        "code of yours": ", ".join(code) or "none",
        "machine": of_records("environment", "device"),
        "precision": of_records("environment", "precision"),
        "data": of_records("data", "source"),
    }


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())
