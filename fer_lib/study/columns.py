"""Tables as files and as a reader sees them: each column's key, title, unit and format, said once a table.

A table's own columns are what its CSV file has: text, and numbers that are NaN where there is none. What a reader sees
is made from them by a list of :class:`Column`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from string import Formatter
from typing import Any

import numpy as np
import pandas as pd

from fer_lib.data.catalog import dataset_title
from fer_lib.data.folds import PROTOCOL_WORDS, kind_of, protocol_title
from fer_lib.recipe import get_recipe, paper_names
from fer_lib.texts import formatted, signed, spreadsheet_cell

DASH = "–"
ZERO = 1e-11
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column as a reader sees it.

    Attributes:
        title: its heading; ``%`` and ``points`` in it are the unit of its numbers.
        form: what a cell says: keys of the table in braces with the format of each, as in
            ``{accuracy:.2f}[ ± {sd:.2f}]``. A part in brackets is left out where one of its numbers is missing, all of
            it where another is. Besides Python's formats there are those of :data:`WORDS`, and ``M`` at the end of
            one to count in millions. Or what gives the form of a row.
        empty: what stands where it is left out.
    """

    title: str
    form: str | Callable[[Row], str]
    empty: str = ""


WORDS: dict[str, Callable[[Any], str]] = {
    "data": dataset_title,
    "paper": lambda name: paper_names().get(name, name),
    "protocol": protocol_title,
    "recipe": lambda name: get_recipe(name).title if name else "",
    "split": lambda protocol: PROTOCOL_WORDS[kind_of(protocol)],
    "system": lambda title: title.split(",")[0],
    "signed": signed,
}
"""Formats besides Python's: what a reader calls things."""


def number(title: str, key: str, form: str = ".2f") -> Column:
    """A number, or a dash where there is none."""
    return Column(title, f"{{{key}:{form}}}", DASH)


def spread(title: str, key: str) -> Column:
    """A mean with the standard deviation beside it where there is one, or a dash."""
    return Column(title, f"{{{key}:.2f}}[ ± {{{key}_sd:.2f}}]", DASH)


def table_of(rows: Iterable[Row | Sequence[Any]], columns: Sequence[str], numbers: Iterable[str] = ()) -> pd.DataFrame:
    """A table of rows, which need not have every column.

    Args:
        rows: values by column, or of all columns in their order; None for no value.
        columns: all columns, in their order.
        numbers: those that hold numbers, or nothing yet.
    """
    table = pd.DataFrame(list(rows), columns=list(columns)).astype(dict.fromkeys(numbers, float))
    return table.where(table.notna(), np.nan)


def readable(table: pd.DataFrame, columns: Iterable[Column]) -> pd.DataFrame:
    """A table as a reader sees it: text, with a row number from 0."""
    rows = table.to_dict("records")
    return pd.DataFrame(
        {column.title: pd.Series([_cell(column, row) for row in rows], dtype=object) for column in columns}
    )


def markdown(table: pd.DataFrame) -> str:
    """A table as GitHub Markdown."""
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV with a header, six significant digits; what a spreadsheet would execute is quoted.

    A number below :data:`ZERO` is written as 0: it is what rounding left of a difference, other on every processor.
    """
    return table.map(_csv_cell).to_csv(index=False, float_format="%.6g")


def _csv_cell(cell: object) -> object:
    if isinstance(cell, str):
        return spreadsheet_cell(cell)
    return 0.0 if isinstance(cell, float) and abs(cell) < ZERO else cell


class _Words(Formatter):
    def format_field(self, value: Any, form: str) -> str:
        if form in WORDS:
            return WORDS[form](value)
        if form.endswith("M"):
            return formatted(value / 1e6, form[:-1])
        return formatted(value, form) if form else str(value)


_FORMATTER = _Words()


def _cell(column: Column, row: Row) -> str:
    form = column.form if isinstance(column.form, str) else column.form(row)
    parts = []
    for part, keys, optional in _parts(form):
        if any(pd.isna(row[key]) for key in keys):
            if not optional:
                return column.empty
        else:
            parts.append(_FORMATTER.vformat(part, (), row))
    return "".join(parts)


@cache
def _parts(form: str) -> list[tuple[str, list[str], bool]]:
    """The parts of a form, the keys of each, and whether it may be left out."""
    found = []
    for at, part in enumerate(re.split(r"\[(.*?)\]", form)):
        keys = [key for _, key, _, _ in Formatter().parse(part) if key]
        found.append((part, keys, at % 2 == 1))
    return found
