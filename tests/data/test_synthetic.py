"""The drawn faces: the same everywhere, subjects apart, regions where the expression is, as hard as said."""

import itertools
import time
import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from fer_lib.data import FER2013_CLASSES, FaceDataset, load_dataset, synthetic, synthetic_films


@pytest.fixture(scope="module")
def drawn() -> FaceDataset:
    return synthetic()


def test_the_same_pictures_on_every_machine(drawn):
    assert synthetic(14, 7, 7).fingerprint == "ebb190b7fbc1303f4e6763509bf9acf0639060c9ba6fe1750b0ccb15208d0fba"
    assert drawn.fingerprint.startswith("a738d7814e9e")
    assert synthetic(14, 7, 7, seed=1).fingerprint != synthetic(14, 7, 7).fingerprint


def test_splits_classes_and_subjects(drawn):
    assert drawn.classes == FER2013_CLASSES
    assert drawn.counts() == {
        split: dict.fromkeys(FER2013_CLASSES, n) for split, n in (("train", 300), ("val", 50), ("test", 50))
    }
    people = [set(drawn.subject[drawn.indices(split)]) for split in ("train", "val", "test")]
    assert [len(group) for group in people] == [300, 50, 50]
    assert len(set.union(*people)) == 400
    assert len({image.tobytes() for image in drawn.images}) == len(drawn)


def test_sizes_need_not_divide_by_seven():
    odd = synthetic(10, 0, 5)
    assert {split: sum(row.values()) for split, row in odd.counts().items()} == {"train": 10, "test": 5}


def test_films_are_the_same_everywhere_and_know_person_and_film():
    films = synthetic_films(persons=14, films=3, frames=3)
    assert films.fingerprint == synthetic_films(persons=14).fingerprint
    assert load_dataset("synthetic_films").fingerprint.startswith("d9a9c961f627")
    assert (len(films), len(set(films.subject)), len(set(films.sequence))) == (126, 14, 42)
    for film in set(films.sequence):
        frames = films.subset(films.sequence == film)
        assert len(frames) == 3
        assert len(set(frames.subject)) == len(set(frames.labels)) == 1
    assert (
        len(set(zip(films.subject.tolist(), films.labels.tolist(), strict=True))) == 42
    )  # an expression once a person
    assert np.bincount(films.labels).tolist() == [18] * 7
    assert (np.diff(films.labels) >= 0).all()
    assert set(films.split) == {""}


def test_frames_of_a_film_are_nearly_one_picture_and_move_towards_the_expression():
    films = synthetic_films(persons=14, films=1, frames=3)
    images = films.images.reshape(14, 3, -1).astype(float)
    within = np.abs(np.diff(images, axis=1)).mean()
    assert within < 0.3 * np.abs(images[1:, 2] - images[:-1, 2]).mean()
    assert within > 0.5  # and yet no copies: a copy would be a leak that anybody can see
    assert len({image.tobytes() for image in films.images}) == 42


def test_pictures_are_not_washed_out(drawn):
    assert (drawn.images.std((1, 2)) > 5).all()
    assert 70 < drawn.images.mean() < 180


def test_an_expression_shows_inside_its_region_and_not_outside():
    """Faces drawn alike but for the label differ where the region is, and hardly elsewhere."""
    from fer_lib.data.drawing import PARTS, draw
    from fer_lib.data.synthetic import _EXPRESSIONS, _MOVES, _SHOWS_IN, _Chance, _circumstances, _people

    chance = _Chance(3)
    n = 40
    still = _people(chance, np.arange(n)) | _circumstances(chance, n)
    for occlusion in ("dark_glasses", "bar", "strand", "shadow"):
        still[occlusion] = np.zeros(n)

    def show(expression: str):
        moves = {name: np.full(n, value) for name, value in zip(_MOVES, _EXPRESSIONS[expression], strict=True)}
        face = {name: value[:, None, None].astype(np.float32) for name, value in (still | moves).items()}
        pictures, parts = draw(face, np.zeros((n, 48, 48), np.float32))
        chosen = [PARTS.index(part) for part in _SHOWS_IN[expression]]
        return pictures.astype(int), parts[:, chosen].any(1)

    rest, rest_region = show("neutral")
    for expression in FER2013_CLASSES[:6]:
        moved, region = show(expression)
        change = np.abs(moved - rest)
        inside = change[region].mean()
        outside = change[~(region | rest_region)].mean()
        assert inside > 8 * outside, expression
        assert 0.02 < region.mean() < 0.25, expression


def test_regions_are_there_for_every_picture(drawn):
    share = drawn.regions.mean((1, 2))
    assert drawn.regions.shape == drawn.images.shape
    assert (share > 0.005).all()
    assert (share < 0.3).all()


@pytest.mark.heavy
def test_no_linear_classifier_on_pixels_will_do(drawn):
    train, test = drawn.indices("train"), drawn.indices("test")
    flat = drawn.images.reshape(len(drawn), -1) / 255
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # more iterations only fit the training pictures better
        linear = LogisticRegression(C=0.03, max_iter=60).fit(flat[train], drawn.labels[train])
    assert linear.score(flat[train], drawn.labels[train]) > 0.5
    assert linear.score(flat[test], drawn.labels[test]) < 0.7


@pytest.mark.heavy
def test_a_small_net_will_do_within_a_minute(drawn):
    def stage(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]

    torch.manual_seed(0)
    widths = (1, 16, 32, 64, 128)
    stages = [layer for pair in itertools.pairwise(widths) for layer in stage(*pair)]
    net = nn.Sequential(*stages, nn.Flatten(), nn.Linear(128 * 9, 7))
    train, test = torch.from_numpy(drawn.indices("train")), torch.from_numpy(drawn.indices("test"))
    pictures, labels = torch.from_numpy(drawn.images)[:, None].float() / 255, torch.from_numpy(drawn.labels)
    batches, epochs = len(train) // 64, 6
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=epochs * batches)
    start = time.process_time()
    for _ in range(epochs):
        for batch in train[torch.randperm(len(train))].split(64)[:batches]:
            seen = pictures[batch].flip(3) if torch.rand(()) < 0.5 else pictures[batch]
            loss = nn.functional.cross_entropy(net(seen), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    seconds = (time.process_time() - start) / torch.get_num_threads()
    net.eval()
    with torch.no_grad():
        accuracy = (net(pictures[test]).argmax(1) == labels[test]).float().mean().item()
    print(f"accuracy {accuracy:.3f} after {seconds:.0f} s of each thread")
    assert accuracy >= 0.9
    assert seconds < 60
