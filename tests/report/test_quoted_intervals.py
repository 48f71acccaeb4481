"""The intervals that the notebooks tell in words stand in the study's tables."""

import json
import re

import pandas as pd
import pytest

from fer_lib.paths import ROOT

SOURCES = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBER = "[+\N{MINUS SIGN}]?\\d+\\.\\d+"
QUOTED = re.compile(f"\\(({NUMBER}) to ({NUMBER})")


def quoted_in(notebook):
    """Intervals that open a bracket and have a sign, as their ends are written."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    words = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return [ends for ends in QUOTED.findall(words) if re.search("[+\N{MINUS SIGN}]", "".join(ends))]


@pytest.fixture(scope="module")
def tabled():
    """Every pair of a low and a high end in the tables, with as many decimals as a text has."""
    found = set()
    for path in (ROOT / "results/tables").glob("*.csv"):
        table = pd.read_csv(path)
        for low in (name for name in table if "low" in name and name.replace("low", "high") in table):
            ends = table[[low, low.replace("low", "high")]].dropna()
            found |= {
                tuple(f"{end:z.{decimals}f}" for end in pair) for pair in ends.to_numpy() for decimals in (1, 2, 3)
            }
    return found


@pytest.mark.parametrize("notebook", SOURCES, ids=lambda path: path.stem)
def test_quoted_intervals_are_those_of_the_tables(notebook, tabled):
    if notebook.stem == "07_gradcam":
        pytest.skip("its intervals are of heat maps, which it measures itself")
    plain = [tuple(end.replace("\N{MINUS SIGN}", "-").lstrip("+") for end in ends) for ends in quoted_in(notebook)]
    assert [ends for ends in plain if ends not in tabled] == []


def test_there_are_intervals_to_check():
    assert sum(len(quoted_in(path)) for path in SOURCES) > 30
