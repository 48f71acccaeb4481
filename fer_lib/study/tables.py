"""Every table and figure of the study, computed from the run records and the claims alone."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from fer_lib import plots
from fer_lib.data.catalog import dataset_title
from fer_lib.data.folds import PROTOCOL_WORDS, kind_of
from fer_lib.errors import UserError, check_known
from fer_lib.paths import ROOT, own_papers, refresh, results_dir
from fer_lib.progress import track
from fer_lib.recipe import called, get_recipe, list_recipes, load_papers
from fer_lib.runs import KINDS, RunRecord
from fer_lib.selection import RULES
from fer_lib.study import audits, cost, ensemble, evidence, precision, statements
from fer_lib.study.answer import answer, net_by_net
from fer_lib.study.claim_table import BRIEF, claim_figure, claim_table, gain_figure, headline_claims, readable_claims
from fer_lib.study.columns import DASH, Column, csv_text, markdown, number, readable, table_of
from fer_lib.study.draws import draw_table, draws_page
from fer_lib.study.gains import ablation_table, readable_gains
from fer_lib.study.modules import LEGEND, module_caption, module_figure, modules_by_net, readable_by_net
from fer_lib.study.protocols import protocol_audit, protocol_figure, reach_table, readable_protocols, readable_reach
from fer_lib.study.results import Study
from fer_lib.study.start import readable_start, start_table

RUN_COLUMNS = (
    "run", "recipe", "seed", "fold", "dataset", "train_pictures", "epochs", "recipe_epochs", "views", "val_accuracy",
    *(f"test_{rule}" for rule in RULES), "selected_epoch", "minutes", "images_per_second", "device", "precision",
    "torch", "commit", "fingerprint",
)  # fmt: skip


RUNS_SHOWN = (
    Column("run", "{run}"),
    Column("seed", "{seed}"),
    Column("fold", "{fold:.0f}", DASH),
    Column("epochs", "{epochs}[ of {recipe_epochs:.0f}]"),
    number("validation, %", "val_accuracy"),
    number("test, last epoch, %", "test_last"),
    number("test, best on validation, %", "test_val_selected"),
    number("test, best on test, %", "test_test_best"),
)


def run_table(study: Study) -> pd.DataFrame:
    """One row per run: what was trained, on what, and its test accuracy (percent) under the three selection rules."""
    rows = []
    for record in study.records:
        recipe, published = record.spec["recipe"], list_recipes().get(record.recipe)
        data, time, environment = (record.content[key] for key in ("data", "time", "environment"))
        row = {
            "run": record.id,
            "recipe": record.recipe,
            "seed": record.spec["seed"],
            "fold": record.spec["fold"],
            "dataset": data["name"],
            "train_pictures": data["counts"]["train"],
            "epochs": record.epochs,
            "recipe_epochs": published and published.epochs,
            "views": recipe["test_views"],
            "val_accuracy": 100 * record.accuracy("val"),
            **{f"test_{rule}": 100 * record.accuracy("test", rule) for rule in RULES},
            "selected_epoch": record.content["metrics"]["val_selected"]["epoch"],
            "minutes": time["seconds"] / 60,
            "images_per_second": time["train_images_per_second"],
            **{key: environment[key] for key in ("device", "precision", "torch")},
            "commit": record.content["code"]["commit"],
            "fingerprint": data["fingerprint"][:12],
        }
        rows.append(row)
    return table_of(rows, RUN_COLUMNS)


# ---------------------------------------------------------------- as text


def _runs_page(table: pd.DataFrame) -> str:
    """The runs by recipe, each with a link to its folder; the claims' tables link to the recipes' headings."""
    pages = []
    for recipe, rows in table.groupby("recipe", sort=True):
        shown = readable(rows.assign(run=[f"[{run}](../runs/{run})" for run in rows["run"]]), RUNS_SHOWN)
        pages.append(f"### {recipe}\n\n{markdown(shown)}")
    return "\n".join(pages) or "No run yet.\n"


# ---------------------------------------------------------------- all of them


class Sheet(NamedTuple):
    """A table of the study.

    Attributes:
        build: from the results to the numbers.
        shown: how it reads: all its rows under these columns, or what makes it readable, as a table or as Markdown.
    """

    build: Callable[[Study], pd.DataFrame]
    shown: Sequence[Column] | Callable[[pd.DataFrame], pd.DataFrame | str]


def _gains(**chosen: Any) -> Sheet:
    return Sheet(lambda study: ablation_table(study, **chosen), readable_gains)


TABLES: dict[str, Sheet] = {
    "claims": Sheet(claim_table, partial(readable_claims, runs_page="runs.md")),
    "evidence": Sheet(evidence.evidence_table, evidence.SHOWN),
    "statements": Sheet(statements.statement_table, statements.SHOWN),
    "modules": Sheet(modules_by_net, readable_by_net),
    "control": _gains(claimed=False),
    "start": Sheet(start_table, readable_start),
    "alike": _gains(claimed=False, question="alike"),
    "ablations": _gains(claimed=True),
    "precision": Sheet(precision.precision_table, precision.SHOWN),
    "ensemble": Sheet(ensemble.ensemble_table, ensemble.SHOWN),
    "rules": Sheet(audits.rule_audit, audits.RULES_SHOWN),
    "leaks": Sheet(audits.leak_audit, audits.LEAKS_SHOWN),
    "ferplus": Sheet(audits.ferplus_audit, audits.FERPLUS_SHOWN),
    "ceiling": Sheet(audits.ceiling_table, audits.CEILING_SHOWN),
    "protocols": Sheet(protocol_audit, readable_protocols),
    "reach": Sheet(reach_table, readable_reach),
    "draws": Sheet(draw_table, draws_page),
    "cleaning": Sheet(audits.cleaning_audit, readable_gains),
    "classes": Sheet(audits.class_audit, audits.CLASSES_SHOWN),
    "calibration": Sheet(audits.calibration_audit, audits.CALIBRATION_SHOWN),
    "reliability": Sheet(audits.reliability_table, audits.RELIABILITY_SHOWN),
    "cost": Sheet(cost.cost_table, cost.SHOWN),
    "runs": Sheet(run_table, _runs_page),
}
"""Every table by name."""

FIGURES: dict[str, tuple[str, Callable[[pd.DataFrame], Figure]]] = {
    "claims": ("claims", claim_figure),
    "gain_claims": ("claims", gain_figure),
    "modules": ("control", module_figure),
    "control": ("control", plots.gains),
    "start": ("start", plots.start),
    "ablations": ("ablations", plots.gains),
    "protocols": ("protocols", protocol_figure),
    "reliability": ("reliability", audits.reliability_figure),
}
"""Every figure by name: the table it shows, and what draws it."""


def page(name: str, table: pd.DataFrame) -> str:
    """A table of :data:`TABLES` as Markdown."""
    shown = TABLES[name].shown
    text = shown(table) if callable(shown) else readable(table, shown)
    return text if isinstance(text, str) else markdown(text)


def build_table(name: str, results: Path | None = None, warn: Callable[[str], None] = print) -> pd.DataFrame:
    """One table of the study.

    Args:
        name: of :data:`TABLES`.
        results: the results folder; None for :func:`fer_lib.paths.results_dir`.
        warn: receives one line for each folder in ``runs/`` that is no sound record.

    Raises:
        UserError: there is no such table.
    """
    check_known("table", name, TABLES)
    return TABLES[name].build(_load(results or results_dir(), warn))


def write_tables(results: Path | None = None, warn: Callable[[str], None] = print) -> list[Path]:
    """Rebuild ``tables/`` and ``figures/`` of a results folder; for the checkout's own, the README's answer and
    tables too.

    The same records give the same bytes.

    Args:
        results: the folder; None for :func:`fer_lib.paths.results_dir`.
        warn: receives one line for each folder in ``runs/`` that is no sound record; these are left out of the
            tables, which say so.

    Returns:
        The files written.
    """
    results = results or results_dir()
    with suppress(OSError):  # keeps what was found sound for the next time
        (results / "logs").mkdir(exist_ok=True)
    study = _load(results, warn)
    left_out = "".join(f"\nLeft out: {problem.removeprefix(f'{results}/')}\n" for problem in study.problems)
    tables = {name: sheet.build(study) for name, sheet in track(TABLES.items(), "tables")}
    written = {}
    for name, table in tables.items():
        written[results / "tables" / f"{name}.csv"] = csv_text(table).encode()
        written[results / "tables" / f"{name}.md"] = (page(name, table) + left_out).encode()
    for name, (shown, draw) in FIGURES.items():
        written[results / "figures" / f"{name}.svg"] = plots.svg(draw(tables[shown]))
    readme = ROOT / "README.md"
    if results.resolve() == ROOT / "results" and readme.exists() and not own_papers():
        headline = markdown(readable_claims(headline_claims(tables["claims"]))[list(BRIEF)])
        text = readme.read_text(encoding="utf-8")
        caption = module_caption(tables["control"])
        table = f"{net_by_net(study)}\n\n{LEGEND}\n\n{page('modules', tables['modules'])}"
        folded = f"<details><summary>Net by net, and every comparison</summary>\n\n{table}\n</details>\n"
        modules = f"{caption}\n\n{folded}"
        sections = {"answer": answer(study) + "\n", "modules": modules, "claims": headline}
        for name, section in sections.items():
            text = _replace_section(text, name, section)
        written[readme] = text.encode()
    for path, content in written.items():
        refresh(path, content)
    return list(written)


def _load(results: Path, warn: Callable[[str], None]) -> Study:
    study = Study.load(results)
    for problem in study.problems:
        warn(f"left out of the tables: {problem}")
    return study


def _replace_section(text: str, name: str, content: str) -> str:
    begin, end = f"<!-- {name}: generated by `fer study tables` -->\n", f"<!-- {name}: end -->"
    if begin not in text or end not in text:
        raise UserError(f"README.md: the marks {begin.strip()} and {end} are missing")
    return re.sub(
        re.escape(begin) + ".*?" + re.escape(end), lambda _: f"{begin}\n{content}\n{end}", text, flags=re.DOTALL
    )


# ---------------------------------------------------------------- what a paper's notebook shows


def contradiction_table(paper: str) -> pd.DataFrame:
    """Where a paper contradicts itself or leaves something out, and the reading chosen."""
    return pd.DataFrame(load_papers()[paper]["contradiction"], columns=["place", "problem", "reading"])


def recipe_table(name: str) -> pd.DataFrame:
    """Every value of a recipe beside the place it comes from."""
    recipe = get_recipe(name)
    words = {"dataset": dataset_title, "protocol": lambda name: PROTOCOL_WORDS[kind_of(name)], "model": called}
    rows = [
        (key.replace("_", " "), words.get(key, setting_words)(value), recipe.sources.get(key, ""))
        for key, value in recipe.training().items()
        if key != "name"
    ]
    return pd.DataFrame(rows, columns=["hyper-parameter", "value", "source"])


def setting_words(value: Any) -> str:
    """A value of a recipe in words: ``adam, lr 0.001, weight decay 0.0005``."""
    if isinstance(value, dict):
        parts = [f"{key.replace('_', ' ')} {_inner(inner)}" for key, inner in value.items() if key != "name"]
        return ", ".join([*(value[key] for key in ("name",) if key in value), *parts]) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(setting_words, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).replace("-", "\N{MINUS SIGN}") if isinstance(value, int | float) else str(value)


def _inner(value: Any) -> str:
    return f"({setting_words(value)})" if isinstance(value, dict | list | tuple) else setting_words(value)


def rule_table(record: RunRecord) -> pd.DataFrame:
    """One run's accuracy (percent) under the three selection rules, with and without test-time views."""
    kinds = [(part, kind) for part in ("val", "test") for kind in KINDS]
    rows = [
        {"rule": rule, "epoch": record.content["metrics"][rule]["epoch"]}
        | {f"{part}, {kind}": round(100 * record.accuracy(part, rule, kind), 2) for part, kind in kinds}
        for rule in RULES
    ]
    return pd.DataFrame(rows)
