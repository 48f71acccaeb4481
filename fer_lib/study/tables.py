"""Every table and figure of the study, computed from the run records and the claims alone."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fer_lib import plots
from fer_lib.claims import Claim, list_claims
from fer_lib.errors import UserError
from fer_lib.paths import ROOT, results_dir, write_atomically
from fer_lib.recipe import get_recipe, list_recipes, load_papers
from fer_lib.runs import KINDS, RunRecord, read_records
from fer_lib.selection import RULES
from fer_lib.study.groups import Group, group_records
from fer_lib.study.verdicts import Verdict, judge

DATASETS = {"fer2013": "FER2013", "ckplus": "CK+", "own": "own pictures", "synthetic": "synthetic"}


def claim_table(records: list[RunRecord], paper: str | None = None) -> pd.DataFrame:
    """The printed accuracies beside ours.

    Args:
        records: the study's runs.
        paper: only this paper's claims.

    Returns:
        One row per claim of an accuracy level: claim, paper, system, dataset, split, place, printed and ours
        (percent; on the validation set where the claim is about it, else on the test set), sd (points), seeds, gap
        (points), low and high (percent, ends of the interval), epochs, recipe_epochs, protocol, verdict, runs (their
        names, separated by spaces).
    """
    groups = {}
    for group in group_records(records):
        if group.as_published and group.seeds:
            groups.setdefault(group.recipe, group)  # the longest training of each recipe speaks for it
    judged = [claim for claim in list_claims(paper) if claim.kind == "level" and claim.metric == "accuracy"]
    return pd.DataFrame([_claim_row(claim, groups.get(claim.recipe)) for claim in judged])


def headline_claims(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a claim table that the papers are quoted for."""
    headlines = {claim.id for claim in list_claims() if claim.headline}
    return table[table["claim"].isin(headlines)].reset_index(drop=True)


def _claim_row(claim: Claim, group: Group | None) -> dict[str, object]:
    recipe = list_recipes().get(claim.recipe)
    if group is None:
        verdict = judge(claim, [], 0, 0, 0)
        if verdict.text == "no run yet" and recipe is None:
            verdict = Verdict("no run yet: recipe to come")
    else:
        part = "val" if claim.split == "val" else "test"
        verdict = judge(claim, group.accuracies(part), group.pictures, group.epochs, group.recipe_epochs)
    return {
        "claim": claim.id,
        "paper": claim.paper,
        "system": claim.system,
        "dataset": claim.dataset,
        "split": claim.split,
        "place": claim.place,
        "printed": claim.value * 100,
        "ours": _percent(verdict.mean),
        "sd": _percent(verdict.sd),
        "seeds": len(group.seeds) if group else 0,
        "gap": _percent(verdict.gap),
        "low": _percent(verdict.low),
        "high": _percent(verdict.high),
        "epochs": group.epochs if group else None,
        "recipe_epochs": recipe.epochs if recipe else None,
        "protocol": recipe.protocol if recipe else None,
        "verdict": verdict.text,
        "runs": " ".join(record.id for record in group.records) if group else "",
    }


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else fraction * 100


def run_table(records: list[RunRecord]) -> pd.DataFrame:
    """One row per run: what was trained, on what, and its test accuracy (percent) under the three selection rules."""
    rows = []
    for record in records:
        recipe, data, time = record.spec["recipe"], record.content["data"], record.content["time"]
        row = {
            "run": record.id,
            "recipe": record.recipe,
            "seed": record.spec["seed"],
            "fold": record.spec["fold"],
            "dataset": data["name"],
            "train_pictures": data["counts"]["train"],
            "epochs": record.trained_epochs,
            "recipe_epochs": list_recipes()[record.recipe].epochs if record.recipe in list_recipes() else None,
            "views": recipe["test_views"],
            "val_accuracy": _percent(record.accuracy("val")),
        }
        for rule in RULES:
            row[f"test_{rule}"] = _percent(record.accuracy("test", rule))
        row |= {
            "selected_epoch": record.content["metrics"]["val_selected"]["epoch"],
            "minutes": time["seconds"] / 60,
            "images_per_second": time["train_images_per_second"],
            "device": record.content["environment"]["device"],
            "torch": record.content["environment"]["torch"],
            "commit": record.content["code"]["commit"],
            "fingerprint": data["fingerprint"][:12],
        }
        rows.append(row)
    return pd.DataFrame(rows)


def readable_claims(table: pd.DataFrame) -> pd.DataFrame:
    """The claim table for a reader: fewer columns, numbers rounded, every short training marked."""

    def ours(row: pd.Series) -> str:
        if pd.isna(row["ours"]):
            return "–"
        spread = "" if pd.isna(row["sd"]) else f" ± {row['sd']:.1f}"
        short = (
            ""
            if row["epochs"] == row["recipe_epochs"]
            else f" ({row['epochs']:.0f} of {row['recipe_epochs']:.0f} epochs)"
        )
        return f"{row['ours']:.1f}{spread}, n = {row['seeds']}{short}"

    return pd.DataFrame(
        {
            "paper": table["paper"],
            "system": table["system"],
            "data": table["dataset"].map(DATASETS) + table["split"].map({"val": ", validation"}).fillna(""),
            "printed, %": table["printed"].map("{:.4g}".format),
            "ours, %": table.apply(ours, axis=1),
            "gap, points": table["gap"].map(lambda gap: "–" if pd.isna(gap) else f"{gap:+.1f}"),
            "verdict": table["verdict"],
        }
    )


def markdown(table: pd.DataFrame) -> str:
    """A table as GitHub Markdown."""
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def write_tables(results: Path | None = None, warn: Callable[[str], None] = print) -> list[Path]:
    """Rebuild ``tables/`` and ``figures/`` of a results folder; for the checkout's own, the README's table too.

    The same records give the same bytes.

    Args:
        results: the folder; None for :func:`fer_lib.paths.results_dir`.
        warn: receives one line for each folder in ``runs/`` that is no readable record.

    Returns:
        The files written.
    """
    results = results or results_dir()
    records, problems = read_records(results / "runs")
    for problem in problems:
        warn(f"left out of the tables: {problem}")
    claims = claim_table(records)
    text = markdown(readable_claims(claims))
    written = {
        results / "tables" / "claims.csv": claims.to_csv(index=False, float_format="%.4f").encode(),
        results / "tables" / "claims.md": text.encode(),
        results / "tables" / "runs.csv": run_table(records).to_csv(index=False, float_format="%.4f").encode(),
        results / "figures" / "claims.svg": plots.svg(plots.claims(claims)),
    }
    readme = ROOT / "README.md"
    if results.resolve() == ROOT / "results" and readme.exists():
        headline = markdown(readable_claims(headline_claims(claims)))
        written[readme] = _replace_section(readme.read_text(), "claims", headline).encode()
    for path, content in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        # An unchanged file keeps its time, so that nothing downstream is rebuilt.
        if not path.exists() or path.read_bytes() != content:
            write_atomically(path, lambda file, content=content: file.write(content))
    return list(written)


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
    rows = [(key, str(value), recipe.sources.get(key, "")) for key, value in recipe.training().items() if key != "name"]
    return pd.DataFrame(rows, columns=["hyper-parameter", "value", "source"])


def rule_table(record: RunRecord) -> pd.DataFrame:
    """One run's accuracy (percent) under the three selection rules, with and without test-time views."""
    rows = []
    for rule in RULES:
        row: dict[str, object] = {"rule": rule, "epoch": record.content["metrics"][rule]["epoch"]}
        for part in ("val", "test"):
            for kind in KINDS:
                row[f"{part}, {kind}"] = round(_percent(record.accuracy(part, rule, kind)), 2)
        rows.append(row)
    return pd.DataFrame(rows)
