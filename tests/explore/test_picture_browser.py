"""Which pictures a net gets wrong: chosen by classes, confidence and annotators, and shown from the reader's data."""

import io
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from fer_lib.data import FER2013_CLASSES
from fer_lib.demo.example import example_picture
from fer_lib.explore import pictures
from fer_lib.explore.pictures import ANY, ORDERS, SHOW, Answers, choose, pair_table, picture_panel
from fer_lib.queue.train import train_run
from fer_lib.recipe import RunSpec
from fer_lib.study.groups import answers_of
from tests.tiny import tiny_dataset, tiny_recipe

FOUND = Answers(
    classes=("a", "b", "c"),
    labels=np.array([0, 0, 1, 1, 2, 2]),
    first=np.array([0, 1, 1, 2, 0, 2]),
    second=np.array([0, 0, 2, 2, 0, 0]),
    confidence=np.array([0.9, 0.4, 0.8, 0.7, 0.6, 0.5]),
    support=np.array([1.0, 0.2, 0.9, 0.1, 0.5, 0.8]),
)


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ({}, [3, 4, 1]),
        ({"order": ORDERS[1]}, [1, 4, 3]),
        ({"order": ORDERS[2]}, [3, 1, 4]),
        ({"order": ORDERS[3]}, [1, 3, 4]),
        ({"true": "b"}, [3]),
        ({"seen_as": "a"}, [4]),
        ({"show": SHOW[1]}, [2, 5]),
        ({"show": SHOW[1], "seen_as": "a"}, [5]),
        ({"show": SHOW[2]}, [1]),
        ({"show": SHOW[3]}, [3, 4]),
        ({"show": SHOW[3], "true": "a"}, []),
    ],
)
def test_the_choice(asked, chosen):
    assert choose(FOUND, **({"show": SHOW[0], "true": ANY, "seen_as": ANY} | asked)).tolist() == chosen


def test_the_pairs_most_often_confused():
    table = pair_table(FOUND)
    assert table[["true", "seen as", "pictures"]].to_numpy().tolist() == [["a", "b", 1], ["b", "c", 1], ["c", "a", 1]]
    assert table["share, %"].tolist() == [50] * 3
    assert table["annotators for the label, %"].tolist() == [20, 10, 50]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A trained net with its weights, tested on drawn faces."""
    results = tmp_path_factory.mktemp("browsed")
    spec = RunSpec(tiny_recipe(epochs=1))
    train_run(spec, results=results, device="cpu", say=lambda line: None, dataset=tiny_dataset())
    return results / "runs"


def test_the_pictures_shown_are_those_the_net_was_wrong_on(study, monkeypatch):
    dataset = tiny_dataset()
    monkeypatch.setattr(pictures, "load_dataset", lambda name: dataset)
    pictures._dataset.cache_clear()
    panel = picture_panel(study)
    panel.redraw()
    record = pictures.cached_record(next(study.iterdir()))
    labels, said = answers_of([record])
    wrong = int((labels != said).sum())
    assert f"{wrong} of 21 test pictures" in panel.words.value
    assert panel.faces.count == wrong
    assert panel.figures.count == 1, "the first of them is looked at"
    assert "no heat map" not in panel.closer_words.value
    panel.controls["true"].value = FER2013_CLASSES[0]
    assert panel.faces.count == int(((labels != said) & (labels == 0)).sum())
    pictures._dataset.cache_clear()


def upload(name, content):
    about = {"name": name, "type": "image/png", "size": len(content), "last_modified": datetime.now(UTC)}
    return (about | {"content": memoryview(content)},)


def test_ones_own_picture_stands_beside_them_and_is_not_kept_in_the_state(study, monkeypatch):
    monkeypatch.setattr(pictures, "_dataset", lambda name: f"{name} not found in /nowhere")
    pictures._net.cache_clear()
    panel = picture_panel(study)
    panel.redraw()
    png = io.BytesIO()
    Image.fromarray(example_picture()).save(png, "PNG")
    panel.controls["own"].value = upload("me.png", png.getvalue())
    assert "me.png stands first" in panel.words.value
    assert panel.faces.count == 3, "the three faces of the picture, without any dataset"
    assert panel.figures.count == 1
    assert "no heat map" not in panel.closer_words.value
    assert panel.controls["own"].value == ()
    panel.faces.chosen = 2
    panel.controls["order"].value = ORDERS[1]
    assert panel.faces.chosen == 2, "the same faces, so the chosen one stays"
    panel.controls["own"].value = upload("no.png", b"nothing")
    assert "no.png: not a readable picture" in panel.words.value
    assert panel.faces.count == 3, "those of the picture before"


def test_a_run_without_weights_is_silent_about_ones_own_picture(study, monkeypatch):
    record = pictures.cached_record(next(study.iterdir()))
    monkeypatch.setattr(pictures, "has_net", lambda record: False)
    face = np.zeros((48, 48), np.uint8)
    assert pictures.said(record, face) is None
    assert record.id in pictures.closer(face, "me.png", {"1": record}, {"1": None}).words


def test_without_the_data_numbers_are_shown_and_it_is_said(study, monkeypatch):
    monkeypatch.setattr(pictures, "_dataset", lambda name: f"{name} not found in /nowhere")
    panel = picture_panel(study)
    panel.redraw()
    assert "They are not shown: synthetic not found in /nowhere" in panel.words.value
    assert panel.faces.count == 0
    assert "seen as" in panel.table.value
