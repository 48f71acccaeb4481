"""Sheets show the pictures they say, and no others."""

import dataclasses

import numpy as np
import pytest
import torch

from fer_lib.data import CKPLUS_CLASSES, FER2013_CLASSES, FaceDataset, load_dataset, synthetic
from fer_lib.data.ckplus import NOTICE, PUBLISHABLE_SUBJECTS
from fer_lib.data.ferplus import FERPLUS_CLASSES
from fer_lib.recipe import get_recipe
from fer_lib.study import sheets
from fer_lib.training.balance import balance_indices


def shown(figure):
    """The pictures of a sheet with their titles, in order."""
    return [(np.asarray(axes.images[0].get_array()), axes.get_title()) for axes in figure.axes if axes.images]


def numbered(n, side=8, **fields):
    """A dataset whose picture k has the grey level k everywhere."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None], (n, side, side)).copy()
    return FaceDataset(images=images, source="test", **fields)


def test_a_leaked_picture_stands_above_its_copy_with_both_labels():
    labels = np.array([0, 1, 2, 3, 4, 5], np.int64)
    split = np.array(["train", "train", "train", "test", "test", "test"])
    dataset = numbered(6, name="x", labels=labels, classes=FER2013_CLASSES, split=split)
    images = dataset.images.copy()
    images[4] = images[1]  # a test picture that is the second training picture, under another label
    pairs = shown(sheets.leak_sheet(dataclasses.replace(dataset, images=images)))
    assert [title for _, title in pairs] == ["test: sad", "training: disgust"]
    assert all((picture == 1).all() for picture, _ in pairs)
    with pytest.raises(ValueError, match="no test picture occurs in training"):
        sheets.leak_sheet(dataset)


def test_only_publishable_subjects_of_ckplus_are_shown_with_the_notice():
    subjects = np.array(["S010", "S052", "S999", "S055", "S074", "S106"] * 2)
    labels = np.array([0] * 6 + [3] * 6, np.int64)
    dataset = numbered(
        12, name="ckplus", labels=labels, classes=CKPLUS_CLASSES, split=np.full(12, ""), subject=subjects
    )
    figure = sheets.ckplus_sheet(dataset, each=2)
    levels = [int(picture[0, 0]) for picture, _ in shown(figure)]
    assert levels == [1, 3, 7, 9]  # two allowed subjects of each of the two expressions
    assert {subjects[level] for level in levels} <= set(PUBLISHABLE_SUBJECTS)
    assert figure.get_supxlabel() == NOTICE


def test_pictures_without_a_face_are_shown_once_each():
    votes = np.zeros((5, len(FERPLUS_CLASSES)), np.int64)
    votes[:, 0] = 6
    votes[[1, 2, 4], FERPLUS_CLASSES.index("not_face")] = 10
    dataset = numbered(5, name="x", labels=np.zeros(5, np.int64), classes=FER2013_CLASSES, split=np.full(5, "train"))
    images = dataset.images.copy()
    images[2] = images[1]
    dataset = dataclasses.replace(dataset, images=images, votes=votes, vote_classes=FERPLUS_CLASSES)
    assert sheets.no_faces(dataset).tolist() == [1, 2, 4]
    assert sorted(int(picture[0, 0]) for picture, _ in shown(sheets.no_face_sheet(dataset))) == [1, 4]


def test_an_epochs_counts_are_those_the_training_draws():
    dataset = synthetic(train=700, val=7, test=7)
    train = dataset.indices("train")
    rare = np.r_[train[dataset.labels[train] != 1], train[dataset.labels[train] == 1][:10]]
    dataset = dataset.subset(np.sort(np.r_[rare, dataset.indices("val"), dataset.indices("test")]))
    counts = sheets.epoch_counts("gu/psa_joint_weighted/fer2013", dataset)
    assert counts["published"]["disgust"] == 10
    labels = torch.from_numpy(dataset.labels[dataset.indices("train")])
    balanced = counts[get_recipe("gu/psa_joint_weighted/fer2013").title]
    drawn = balance_indices(labels, torch.Generator().manual_seed(0), counts={1: balanced["disgust"]})
    assert torch.bincount(labels[drawn], minlength=7).tolist() == list(balanced.values())
    assert balanced["disgust"] > 10


@pytest.mark.parametrize("split", ["train", "test", ""])
def test_folders_with_few_pictures_are_shown_too(split):
    """Angry twice, happy once, disgust not at all in what is shown; and only test pictures, or no parts."""
    dataset = numbered(
        4,
        side=48,
        name="x",
        labels=np.array([0, 0, 0, 2], np.int64),
        classes=("angry", "disgust", "happy"),
        split=np.full(4, split),
    )
    assert sorted(title for _, title in shown(sheets.class_sheet(dataset))) == ["angry", "angry", "happy"]
    assert [(float(face[0, 0]), title) for face, title in shown(sheets.mean_sheet(dataset))] == [
        (1, "angry"),
        (3, "happy"),
    ]
    assert len(shown(sheets.augmentation_sheet("zhang/cbam_ends/fer2013", dataset, rows=9, draws=2))) == 4 * 3
    counts = sheets.epoch_counts("gu/psa_joint_weighted/fer2013", dataset)
    assert list(counts.values()) == [{"angry": 3, "disgust": 0, "happy": 1}] * 2


@pytest.mark.data
def test_fer2013s_pictures_without_a_face_and_leaks(fer_data):
    dataset = load_dataset("fer2013", fer_data)
    assert len(sheets.no_faces(dataset)) == (dataset.votes.argmax(1) == 9).sum() > 100
    pairs = shown(sheets.leak_sheet(dataset, pairs=5))
    assert len(pairs) == 10
    for (test, _), (train, _) in zip(pairs[:5], pairs[5:], strict=True):
        assert (test == train).all()
