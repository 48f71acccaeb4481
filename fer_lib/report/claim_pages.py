"""A page for every claim of the papers, and the one table that leads to them."""

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from fer_lib.claims import FIDELITY, Claim, list_claims, tables_of
from fer_lib.data.catalog import dataset_title
from fer_lib.data.folds import protocol_title
from fer_lib.queue.plan import wanted_seeds
from fer_lib.recipe import list_recipes, load_papers
from fer_lib.report import words
from fer_lib.report.run_pages import pages_of
from fer_lib.study.claim_table import claim_table
from fer_lib.study.evidence import evidence_table
from fer_lib.study.results import Study
from fer_lib.study.statements import statement_table
from fer_lib.study.tables import recipe_table
from fer_lib.study.verdicts import FROM_RUNS, OPEN
from fer_lib.texts import formatted


def claim_contexts(study: Study) -> Iterator[dict[str, Any]]:
    """What the template of a claim's page needs, claim by claim in the papers' order."""
    tested = claim_table(study).set_index("claim")
    stated = statement_table(study).set_index("claim")
    evidence = evidence_table(study)
    for claim in list_claims():
        row = tested.loc[claim.id] if claim.id in tested.index else None
        verdict, calculation = _verdict(claim, row, stated, evidence)
        yield {
            "claim": claim,
            "page": words.page_of_claim(claim.id),
            "title": f"{words.paper(claim.paper)['short']}: {_name(claim)}",
            "paper": words.paper(claim.paper),
            "printed": words.percent(claim),
            "formed": claim.kind == "gain" and not claim.printed,
            "measure": _measure(claim, row),
            "data": _data(claim),
            "verdict": verdict,
            "meaning": words.VERDICTS.get(verdict, ""),
            "calculation": calculation,
            "note": "" if row is None else row["note"],
            "fidelity": FIDELITY.get(claim.fidelity or "", ""),
            "findings": _findings(claim, calculation, evidence),
            "contradictions": contradictions(claim),
            **_ours(claim, row),
            "sides": [_side(name, study) for name in (claim.recipe, claim.baseline) if name in list_recipes()],
        }


def claim_rows(contexts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The table of all claims: what is known first, what is not testable or not run last.

    Args:
        contexts: of :func:`claim_contexts`.
    """
    rows = [
        context
        | {
            "paper": context["paper"]["short"],
            "system": _name(claim),
            "kind": _kind(claim),
            "printed_value": claim.value,
            "fidelity": claim.fidelity or "",
        }
        for context in contexts
        for claim in [context["claim"]]
    ]
    return sorted(rows, key=lambda row: _rank(row["verdict"]))


def _rank(verdict: str) -> int:
    """What our runs say first, then what the papers' own numbers say, then what says nothing."""
    return 0 if verdict in FROM_RUNS else OPEN.index(verdict) + 2 if verdict in OPEN else 1


def _kind(claim: Claim) -> str:
    if claim.kind == "level":
        return claim.metric.split(",")[0]
    return "number of pictures" if claim.kind == "count" else claim.kind


def _name(claim: Claim) -> str:
    return claim.statement if claim.kind == "statement" else claim.system


def _measure(claim: Claim, row: pd.Series | None) -> str:
    if row is not None:
        return row["measure"]
    return claim.metric if claim.kind == "count" else ""


def _data(claim: Claim) -> str:
    split = {"val": ", validation", "test": ", test"}.get(claim.split, "")
    recipe = list_recipes().get(claim.recipe or "") if claim.dataset == "own" else None
    tested = f"; tested on {dataset_title(recipe.dataset)}" if recipe and claim.kind == "gain" else ""
    return dataset_title(claim.dataset) + split + tested


def _verdict(claim: Claim, row: Any, stated: pd.DataFrame, evidence: pd.DataFrame) -> tuple[str, str]:
    if row is not None:
        return row["verdict"], row["finding"]
    found = stated.loc[claim.id] if claim.kind == "statement" else evidence[evidence["claims"] == claim.id].iloc[0]
    return found["finding"], found["calculation"]


def _ours(claim: Claim, row: pd.Series | None) -> dict[str, Any]:
    if row is None or pd.isna(row["ours"]):
        return {"ours": "", "ours_value": None, "interval": "", "seeds": 0}
    gain = claim.kind == "gain"
    unit, form = (" points", "+.1f") if gain else (" %", ".1f")
    spread = "" if pd.isna(row["sd"]) else f" ± {row['sd']:.1f}"
    fixed = pd.isna(row["low"]) or row["low"] == row["high"]  # as of a deterministic pipeline
    interval = "" if fixed else f"{formatted(row['low'], form)} to {formatted(row['high'], form)}{unit}"
    found = {"ours": formatted(row["ours"], form) + spread + unit, "interval": interval}
    return found | {"ours_value": row["ours"], "seeds": row["seeds"]}


def _side(name: str, study: Study) -> dict[str, Any]:
    """One recipe of a claim's test: its runs of full length, its shorter ones, its settings."""
    recipe, group = list_recipes()[name], study.full(name)
    complete = pages_of([record.id for record in group.records] if group else [], study)
    every = pages_of([record.id for record in study.records if record.recipe == name], study)
    return {
        "name": name,
        "title": recipe.title,
        "epochs": recipe.epochs,
        "protocol": protocol_title(recipe.protocol),
        "wanted": wanted_seeds(recipe),
        "runs": complete,
        "shorter": [entry for entry in every if entry not in complete],
        "settings": recipe_table(name).to_dict("records"),
        "command": f"fer study run --recipes {name}",
    }


def _findings(claim: Claim, shown: str, evidence: pd.DataFrame) -> list[dict[str, str]]:
    """What else is known of a claim without a run."""
    mine = evidence[evidence["claims"].map(lambda ids: claim.id in ids.split()) & (evidence["calculation"] != shown)]
    return mine[["place", "printed", "finding", "calculation"]].to_dict("records")


def contradictions(claim: Claim) -> list[dict[str, str]]:
    """The paper's contradictions and gaps that touch a claim: those of its tables, its data or the whole paper."""
    return [
        entry
        for entry in load_papers()[claim.paper].get("contradiction", [])
        if tables_of(entry["place"]) & claim.tables or entry["place"].startswith("the whole paper")
    ]
