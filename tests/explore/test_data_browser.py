"""A dataset browsed: copies, leaks and contradictions lie together, and what a dataset lacks is not offered."""

import dataclasses

import numpy as np
import pytest

from fer_lib.data import synthetic
from fer_lib.data.synthetic import synthetic_films
from fer_lib.explore.data import ANY, browse, data_panel, finds_of


@pytest.fixture(scope="module")
def dataset():
    """42 drawn faces: picture 20 (validation or test) copies 3 (training), and 9 copies 2 with another label."""
    drawn = synthetic(train=14, val=14, test=14)
    images, labels = drawn.images.copy(), drawn.labels.copy()
    train, test = drawn.indices("train"), drawn.indices("test")
    images[test[0]], labels[test[0]] = images[train[3]], labels[train[3]]
    images[train[9]] = images[train[2]]
    labels[train[9]] = (labels[train[2]] + 1) % 7
    return dataclasses.replace(drawn, images=images, labels=labels)


def test_what_is_found(dataset):
    train, test = dataset.indices("train"), dataset.indices("test")
    leak, odd = {train[3], test[0]}, {train[2], train[9]}
    copies = browse(dataset, "copies", ANY, ANY).tolist()
    assert {frozenset(copies[:2]), frozenset(copies[2:])} == {frozenset(leak), frozenset(odd)}
    assert set(browse(dataset, "copies across parts", ANY, ANY)) == leak
    assert set(browse(dataset, "copies with different labels", ANY, ANY)) == odd
    assert browse(dataset, "copies across parts", ANY, "test").tolist() == [test[0]]
    happy = browse(dataset, "all", "happy", "train")
    assert (dataset.labels[happy] == 3).all()
    assert len(happy) == ((dataset.labels == 3) & (dataset.split == "train")).sum()


def test_only_what_a_dataset_has_is_offered(dataset):
    assert finds_of(dataset) == ["all", "copies", "copies across parts", "copies with different labels"]
    films = synthetic_films()
    assert "films" in finds_of(films)
    order = films.sequence[browse(films, "films", ANY, ANY)]
    assert (np.sort(order) == order).all()


def test_pages(dataset):
    panel = data_panel(dataset)
    panel.redraw()
    assert "42 of 42 pictures of synthetic, page 1 of 1" in panel.words.value
    assert panel.faces.count == 42
    panel.controls["show"].value = "copies"
    assert panel.faces.count == 4
