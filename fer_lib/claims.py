"""What the papers say, as data: one :class:`Claim` per number of a table or of the text, and per statement."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal

from msgspec import Meta

from fer_lib.data.catalog import KNOWN, known_dataset
from fer_lib.data.dataset import EIGHT_CLASSES
from fer_lib.errors import UserError, unknown
from fer_lib.nets import check_net
from fer_lib.recipe import list_recipes, load_papers, paper_file
from fer_lib.schema import Name, Text, check, checked_fields, shown

NUMBERS = ("level", "gain", "recall")
"""Kinds of claims that a training can test by its accuracy."""

FIDELITY = {
    "A": "specified by the paper",
    "B": "gaps filled from a named source",
    "C": "a stand-in of ours",
}
"""How much of a claim's test is the paper's own, which decides what the test can say of the paper."""
Kind = Literal["level", "gain", "recall", "count", "statement"]
Fidelity = Literal["A", "B", "C"]

LEVELS = {
    "accuracy": "accuracy",
    "accuracy, upper bound": "accuracy",
    "precision": "macro_precision",
    "recall": "macro_recall",
    "F1": "macro_f1",
}
"""What a level claim's metric is called in :func:`fer_lib.metrics.summary`."""
FILMS = "subjects, sequences"
FOUR_A_SEQUENCE = "pictures, four a sequence"
"""What gu counts of CK+: as many pictures as its sequences would give, of which CK+48 has three each."""
METRICS: dict[str, Collection[str]] = {
    "level": LEVELS,
    "gain": ("accuracy",),
    "recall": ("recall",),
    "count": ("pictures", "pictures per class", FILMS, FOUR_A_SEQUENCE),
}
"""What a number of each kind can measure; of a statement it is free."""

SPLITS = ("train", "val", "test", "10-fold", "2:1", "all", "unstated")
"""What a number is said to be measured on."""


@dataclass(frozen=True)
class Claim:
    """One printed number, one printed row of counts, or one statement."""

    id: Name
    """``paper/dataset/system``."""
    paper: Name
    place: Text
    """Where the paper prints it."""
    system: Text
    kind: Kind
    """``level``: how good a system is; ``gain``: how much better than another; ``recall``: how much of one class it
    finds; ``count``: how many pictures there are; ``statement``: what is said without a number of its own."""
    dataset: Name
    """A name of :func:`fer_lib.data.load_dataset`, or ``own`` for pictures that nobody else has."""
    split: Text
    """One of :data:`SPLITS`, or some of them with commas between."""
    metric: Text
    """What the number measures: accuracy, precision, pictures per class, and the like; see :data:`METRICS`."""
    class_name: Text | None = None
    """The class a recall, or a count of one class, is about."""
    value: Annotated[float, Meta(ge=-1, le=1)] | None = None
    """The printed value as a fraction, of a gain the difference of two; None for counts."""
    printed: str = ""
    """The value as printed, in percent, where it was no fraction: ``73.70`` or ``about 68``."""
    values: tuple[int, ...] = ()
    """The printed counts; of a statement the whole numbers that it names."""
    recipe: Name | None = None
    """The recipe that tests it; one that is not defined yet keeps its row."""
    fidelity: Fidelity | None = None
    """How far the recipe is the paper's, a key of :data:`FIDELITY`; None without a recipe."""
    gaps: str = ""
    """What fills the gaps, where the fidelity is not A."""
    headline: bool = False
    """Whether it is what the paper is quoted for."""
    baseline: Name | None = None
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
        """The tables that print it, see :func:`tables_of`."""
        return tables_of(self.place)

    @property
    def percent(self) -> Decimal | None:
        """The value in percent with the decimals of the print; None where the print is no plain number."""
        if not self.printed:
            # Written out, a whole ten has no exponent: 70, not 7E+1.
            return None if self.value is None else Decimal(f"{Decimal(str(self.value)).scaleb(2):f}")
        return Decimal(self.printed) if re.fullmatch(r"-?\d+(\.\d+)?", self.printed) else None

    @property
    def number(self) -> float:
        """The value of a claim that has one, as levels, gains and recalls do.

        Raises:
            UserError: it has none.
        """
        if self.value is None:
            raise UserError(f"claim {self.id} has no number")
        return self.value

    @property
    def exact(self) -> Decimal:
        """:attr:`percent` of a claim that prints a plain number.

        Raises:
            UserError: it prints none.
        """
        if self.percent is None:
            raise UserError(f"claim {self.id} prints no plain number")
        return self.percent

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
    claims = [
        parse_claim(name, table)
        for name, content in papers.items()
        if paper in (None, name)
        for table in content.get("claim", [])
    ]
    name, count = Counter(claim.id for claim in claims).most_common(1)[0] if claims else ("", 0)
    if count > 1:
        of_paper, _, short = name.partition("/")
        raise UserError(f"{paper_file(of_paper)}, claim {short}: {count} claims have this id")
    return tuple(claims)


def tables_of(place: str) -> frozenset[str]:
    """The tables that a place in a paper names, as in ``Table 4``: of "Tables 3 to 5" all three."""
    found: set[str] = set()
    for text in re.findall(r"Tables? ((?:[0-9IVX]+(?:, | and | to )?)+)", place):
        names = re.findall(r"[0-9IVX]+", text)
        if " to " in text and all(name.isdecimal() for name in names):
            names = [str(number) for number in range(int(names[0]), int(names[-1]) + 1)]
        found.update(f"Table {name}" for name in names)
    return frozenset(found)


@cache
def tables_of_models() -> dict[str, str]:
    """The papers' tables that a model's recipes test, by model, as in ``gu Table 3, Table 4``."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for claim in list_claims():
        if claim.recipe in list_recipes():
            found[list_recipes()[claim.recipe].model][claim.paper] |= claim.tables
    return {
        model: "; ".join(f"{paper} {', '.join(sorted(tables))}" for paper, tables in papers.items() if tables)
        for model, papers in found.items()
    }


def parse_claim(paper: str, table: dict[str, Any]) -> Claim:
    """Turn one ``[[claim]]`` table into a claim.

    Raises:
        UserError: a field that does not exist or is missing, an unknown kind, a level or recall outside 0..1, a
            recall without a class, a gain outside -1..1 or without two recipes, a count without counts, a metric that
            nothing here computes, a print of another value, a recipe without its fidelity or the reverse, a gap that
            is not told, or a statement that says nothing.
    """
    where = f"{paper_file(paper)}, claim {shown(table.get('id', '(no id)'))}"
    values = table | {"id": f"{paper}/{table['id']}", "paper": paper} if "id" in table else table
    check(_Fields, values, where)
    claim = Claim(**values | {key: tuple(table.get(key, ())) for key in ("values", "models")})
    if fault := _fault(claim):
        raise UserError(f"{where}: {fault}")
    return claim


_Fields = checked_fields(Claim)


def _fault(claim: Claim) -> str | None:
    """What keeps a claim from meaning something, or None."""
    kind, least = claim.kind, -1 if claim.kind == "gain" else 0
    known = None if claim.dataset == "own" else known_dataset(claim.dataset)
    if claim.dataset != "own" and not known:
        return str(unknown("dataset", claim.dataset, ["own", *KNOWN]))
    classes = known.classes if known else EIGHT_CLASSES
    if claim.class_name is not None and claim.class_name not in classes:
        return str(unknown("class", claim.class_name, classes))
    if kind in NUMBERS and (claim.value is None or claim.value < least):
        return f"a {kind} claim needs a value from {least} to 1; keep the printed form in 'printed'"
    if kind == "recall" and not claim.class_name:
        return "a recall claim needs a class_name"
    if kind == "gain" and not (claim.recipe and claim.baseline):
        return "a gain claim needs a recipe and a baseline, whose difference tests it"
    if kind == "count" and not claim.values:
        return "a count claim needs values, whole numbers"
    if kind == "statement" and not claim.statement:
        return "a statement needs 'statement', what is said in our words"
    if claim.metric not in METRICS.get(kind, [claim.metric]):
        return str(unknown("metric", claim.metric, METRICS[kind]))
    number = re.search(r"(?<![\d.,])-?\d+(\.\d+)?\Z", claim.printed)
    if claim.printed and (claim.value is None or not number or float(number[0]) != round(100 * claim.value, 4)):
        value = "none" if claim.value is None else f"{100 * claim.value:.6g} %"
        must = f"must end in the value in percent, which is {value}, as in '73.70' or 'about 68'"
        return f"printed = {claim.printed!r} {must}"
    if strange := [part for part in claim.split.split(", ") if part not in SPLITS]:
        return str(unknown("split", strange[0], SPLITS))
    for name in filter(None, (claim.recipe, claim.baseline)):
        if name.split("/")[0] not in (claim.paper, *load_papers()):
            return f"{name}: a recipe's whole name begins with its paper's, as in {claim.paper}/{name}"
    if (claim.recipe is None) != (claim.fidelity is None):
        return f"recipe and fidelity, {', '.join(FIDELITY)}, go together"
    if (claim.fidelity in ("B", "C")) != bool(claim.gaps):
        return "'gaps' says what fills them, for fidelity B and C alone"
    for model in claim.models:
        check_net(model, {})
    return None
