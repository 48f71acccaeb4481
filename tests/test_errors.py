"""What a user is told of a name that does not exist."""

import pytest

from fer_lib.errors import MANY, unknown

RUNS = [f"paper-net-s{seed}-0123abcd" for seed in range(MANY + 5)]


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("controll", ["claims", "control", "cost"], "did you mean control or cost?"),
        ("s21", RUNS, "did you mean paper-net-s21-0123abcd?"),
        ("", ["a", "b"], "choose from: a, b"),
        ("x", [], "there are none"),
        ("zzz", RUNS, f"choose from: {', '.join(sorted(RUNS)[:MANY])} and 5 more"),
    ],
)
def test_the_nearest_names_or_a_few_of_them(name, known, hint):
    assert str(unknown("thing", name, known)) == f"unknown thing {name!r}: {hint}"
