"""Tables as files and as a reader sees them."""

import numpy as np
import pandas as pd
import pytest

from fer_lib.study.columns import Column, csv_text, markdown, number, readable, table_of

ROWS = [
    {"net": "A, small", "data": "fer2013", "gain": -0.04, "sd": 1.25, "seeds": 3, "weights": 1_234_567},
    {"net": "B", "data": "own", "gain": None, "seeds": 0},
]
TABLE = table_of(ROWS, ("net", "data", "gain", "sd", "seeds", "weights", "note"), ("gain", "sd", "weights"))


def test_what_is_missing_is_no_number_and_never_none():
    assert TABLE.dtypes[["gain", "sd", "weights"]].tolist() == [float] * 3
    assert TABLE["seeds"].tolist() == [3, 0]
    assert not any(cell is None for cell in TABLE.to_numpy().ravel())
    assert table_of([], TABLE.columns, ("gain",))["gain"].dtype == float


@pytest.mark.parametrize(
    ("form", "cells"),
    [
        ("{net}", ["A, small", "B"]),
        ("{gain:+.2f}", ["−0.04", "–"]),
        ("{gain:signed}", ["0.0", "–"]),  # what rounds to zero has no sign
        ("{seeds} seeds[, sd {sd:.1f}]", ["3 seeds, sd 1.2", "0 seeds"]),
        ("{gain:.1f}[ ± {sd:.1f}]", ["0.0 ± 1.2", "–"]),
        ("{weights:.2fM}", ["1.23", "–"]),
        ("{data:data}", ["FER2013", "own pictures"]),
        ("{net:system}", ["A", "B"]),
        (lambda row: "{net}" if row["seeds"] else "no run", ["A, small", "no run"]),
    ],
)
def test_cells(form, cells):
    assert readable(TABLE, [Column("title", form, "–")])["title"].tolist() == cells


def test_a_table_without_rows_has_its_headings():
    shown = readable(TABLE.iloc[:0], [Column("net", "{net}"), Column("gain, points", "{gain:+.1f}")])
    assert markdown(shown) == "| net | gain, points |\n|---|---|\n"


def test_text_and_files():
    table = pd.DataFrame({"a_b": [1.234567891, np.nan], "c": ["=1+1", "x"]})
    shown = readable(table, [number("A, %", "a_b"), Column("c", "{c}")])
    assert markdown(shown) == "| A, % | c |\n|---|---|\n| 1.23 | =1+1 |\n| – | x |\n"
    assert csv_text(table) == "a_b,c\n1.23457,'=1+1\n,x\n"


def test_what_rounding_left_is_zero_on_every_processor():
    assert csv_text(pd.DataFrame({"difference": [4.4e-14, -1.1e-14, 2.9e-7]})) == "difference\n0\n0\n2.9e-07\n"
