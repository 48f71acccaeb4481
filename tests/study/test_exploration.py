"""What the papers say of their data, beside the data."""

import dataclasses

import pytest

from fer_lib.claims import FOUR_A_SEQUENCE, parse_claim
from fer_lib.data import load_dataset, synthetic
from fer_lib.study import exploration
from fer_lib.study.exploration import count_table


@pytest.mark.parametrize(
    ("changes", "agree"),
    [
        ({"split": "all", "values": [40]}, "yes"),
        ({"split": "train, val, test", "values": [21, 5, 14]}, "yes"),
        ({"split": "train", "class_name": "happy", "values": [3]}, "yes"),
        ({"split": "train, test", "class_name": "happy", "values": [3, 2]}, "yes"),
        ({"split": "all", "class_name": "happy", "values": [6]}, "yes"),
        ({"split": "test", "class_name": "happy", "values": [14]}, "no"),
    ],
)
def test_counts_are_of_the_split_and_class_a_claim_names(monkeypatch, changes, agree):
    table = {"id": "n", "place": "1", "system": "drawn", "kind": "count", "dataset": "synthetic", "metric": "pictures"}
    monkeypatch.setattr(exploration, "list_claims", lambda: [parse_claim("demo", table | changes)])
    drawn = synthetic(21, 5, 14)  # the labels go round the seven classes; happy is the fourth
    assert count_table([drawn])["agree"].tolist() == [agree]
    assert count_table([dataclasses.replace(drawn, name="other")])["agree"].tolist() == ["–"]


def test_four_pictures_a_sequence_are_counted_from_the_sequences(monkeypatch):
    films = load_dataset("synthetic_films")
    sequences = len(set(films.sequence))
    assert len(films) != 4 * sequences
    table = {"id": "n", "place": "1", "system": "drawn", "kind": "count", "dataset": films.name, "split": "all"}
    claim = parse_claim("demo", table | {"metric": FOUR_A_SEQUENCE, "values": [4 * sequences]})
    monkeypatch.setattr(exploration, "list_claims", lambda: [claim])
    assert count_table([films])["agree"].tolist() == ["yes"]


@pytest.mark.data
def test_the_papers_miscount_fer2013_as_recorded(fer_data):
    table = count_table([load_dataset("fer2013", fer_data)])
    table = table[table["agree"] != "–"]
    wrong = {(row.paper, row.printed) for row in table.itertuples() if row.agree == "no"}
    assert wrong == {
        ("Zhang, Chen & Wei", "28,708 / 3,589 / 3,589"),
        ("Gu & Jin", "28,708 / 3,589 / 3,589"),
        ("Gu & Jin", "35,886"),
        ("Li & Pan (2023)", "35,886"),
    }
    assert (table["agree"] == "yes").sum() == 8
