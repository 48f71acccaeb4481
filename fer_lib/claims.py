"""What the papers say, as data: one :class:`Claim` per number of a table or of the text, and per statement."""

import dataclasses
import re
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from fer_lib.errors import UserError, unknown
from fer_lib.recipe import list_recipes, load_papers

NUMBERS = ("level", "gain", "recall")
"""Kinds of claims that a training can test by its accuracy."""

KINDS = (*NUMBERS, "count", "statement")

FIDELITY = {
    "A": "specified by the paper",
    "B": "gaps filled from a named source",
    "C": "a stand-in of ours",
}
"""How much of a claim's test is the paper's own, which decides what the test can say of the paper."""


@dataclass(frozen=True)
class Claim:
    """One printed number, one printed row of counts, or one statement."""

    id: str
    """``paper/dataset/system``."""
    paper: str
    place: str
    """Where the paper prints it."""
    system: str
    kind: str
    """``level``: how good a system is; ``gain``: how much better than another; ``recall``: how much of one class it
    finds; ``count``: how many pictures there are; ``statement``: what is said without a number of its own."""
    dataset: str
    split: str
    """train, val, test, 10-fold, 2:1, all, or unstated."""
    metric: str
    """What the number measures: accuracy, precision, pictures per class, and the like."""
    class_name: str | None = None
    """The class a recall, or a count of one class, is about."""
    value: float | None = None
    """The printed value as a fraction, of a gain the difference of two; None for counts."""
    printed: str = ""
    """The value as printed, where it was no fraction."""
    values: tuple[int, ...] = ()
    """The printed counts; of a statement the whole numbers that it names."""
    recipe: str | None = None
    """The recipe that tests it; one that is not defined yet keeps its row."""
    fidelity: str | None = None
    """How far the recipe is the paper's, a key of :data:`FIDELITY`; None without a recipe."""
    gaps: str = ""
    """What fills the gaps, where the fidelity is not A."""
    headline: bool = False
    """Whether it is what the paper is quoted for."""
    baseline: str | None = None
    """The recipe a gain, or a statement's comparison, is over."""
    statement: str = ""
    """What is said, in our words."""
    check: str | None = None
    """What tests a statement, a name of :data:`fer_lib.study.statements.CHECKS`; None where nothing can."""
    models: tuple[str, ...] = ()
    """The nets that a statement compares, the one it is about first: names of
    :func:`fer_lib.models.create_model`."""

    @property
    def tables(self) -> frozenset[str]:
        """The tables that print it, as in ``Table 4``."""
        lists = re.findall(r"Tables? ((?:[0-9IVX]+(?:, | and )?)+)", self.place)
        return frozenset(f"Table {number}" for found in lists for number in re.findall(r"[0-9IVX]+", found))

    @property
    def percent(self) -> Decimal | None:
        """The value in percent with the decimals of the print; None where the print is no plain number."""
        if not self.printed:
            return None if self.value is None else Decimal(str(self.value)).scaleb(2)
        return Decimal(self.printed) if re.fullmatch(r"[\d.]+", self.printed) else None

    @property
    def tested(self) -> bool:
        """Whether the study has the recipes for it."""
        return self.recipe in list_recipes() and self.baseline in (None, *list_recipes())


@cache
def list_claims(paper: str | None = None) -> tuple[Claim, ...]:
    """Every claim of one paper, or of all, in the papers' order.

    Raises:
        UserError: there is no such paper, or a claim in its file is malformed.
    """
    papers = load_papers()
    if paper is not None and paper not in papers:
        raise unknown("paper", paper, papers)
    return tuple(
        parse_claim(name, table)
        for name, content in papers.items()
        if paper in (None, name)
        for table in content.get("claim", [])
    )


@cache
def tables_of_models() -> dict[str, str]:
    """The papers' tables that a model's recipes test, by model, as in ``gu Table 3, 4; zhang Table III``."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for claim in list_claims():
        if claim.tables and claim.recipe in list_recipes():
            found[list_recipes()[claim.recipe].model][claim.paper] |= {name.split()[1] for name in claim.tables}
    return {
        model: "; ".join(f"{paper} Table {', '.join(sorted(tables))}" for paper, tables in papers.items())
        for model, papers in found.items()
    }


def parse_claim(paper: str, table: dict[str, Any]) -> Claim:
    """Turn one ``[[claim]]`` table into a claim.

    Raises:
        UserError: a field that does not exist or is missing, an unknown kind, a level or recall outside 0..1, a
            recall without a class, a gain outside -1..1 or without two recipes, a count without counts, a recipe
            without its fidelity or the reverse, a gap that is not told, or a statement that says nothing.
    """
    where = f"papers/{paper}.toml, claim {table.get('id', '(no id)')}"
    fields = {f.name: f for f in dataclasses.fields(Claim)}
    for key in table:
        if key not in fields:
            raise UserError(f"{where}: {unknown('field', key, fields)}")
    missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in (*table, "paper")]
    if missing:
        raise UserError(f"{where}: missing {', '.join(missing)}")
    if table["kind"] not in KINDS:
        raise UserError(f"{where}: {unknown('kind', table['kind'], KINDS)}")
    kind, value, values = table["kind"], table.get("value"), table.get("values", ())
    is_number = isinstance(value, int | float)
    if kind in ("level", "recall") and not (is_number and 0 <= value <= 1):
        raise UserError(f"{where}: a {kind} claim needs a value from 0 to 1; keep the printed form in 'printed'")
    if kind == "recall" and not table.get("class_name"):
        raise UserError(f"{where}: a recall claim needs a class_name")
    if kind == "gain" and not (is_number and -1 <= value <= 1):
        raise UserError(f"{where}: a gain claim needs a value from -1 to 1; keep the printed form in 'printed'")
    if kind == "gain" and not (table.get("recipe") and table.get("baseline")):
        raise UserError(f"{where}: a gain claim needs a recipe and a baseline, whose difference tests it")
    if kind == "count" and not (values and all(isinstance(count, int) for count in values)):
        raise UserError(f"{where}: a count claim needs values, whole numbers")
    if kind == "statement" and not table.get("statement"):
        raise UserError(f"{where}: a statement needs 'statement', what is said in our words")
    _check_fidelity(where, table)
    changes = {"id": f"{paper}/{table['id']}", "paper": paper}
    return Claim(**table | changes | {key: tuple(table.get(key, ())) for key in ("values", "models")})


def _check_fidelity(where: str, table: dict[str, Any]) -> None:
    fidelity = table.get("fidelity")
    if ("recipe" in table) != (fidelity is not None):
        raise UserError(f"{where}: recipe and fidelity, {', '.join(FIDELITY)}, go together")
    if fidelity is not None and fidelity not in FIDELITY:
        raise UserError(f"{where}: {unknown('fidelity', fidelity, FIDELITY)}")
    if (fidelity in ("B", "C")) != bool(table.get("gaps")):
        raise UserError(f"{where}: 'gaps' says what fills them, for fidelity B and C alone")
