"""The committed facts say what the real data say, and come back as they were written."""

import numpy as np
import pytest

from fer_lib.data import FER2013_CLASSES, FaceDataset, load_dataset, split_indices
from fer_lib.data.audit import identities
from fer_lib.data.catalog import KNOWN
from fer_lib.data.facts import DATASETS, facts_of, find_facts, load_facts, read_facts, write_all_facts, write_facts
from fer_lib.data.fer2013 import PUBLISHED
from fer_lib.data.ferplus import agreement
from fer_lib.errors import UserError


def made() -> FaceDataset:
    """Eight pictures: test picture 5 is a copy of training picture 1, val picture 4 of test picture 6."""
    shades = [1, 2, 3, 3, 7, 2, 7, 8]
    return FaceDataset(
        name="fer2013",
        images=np.array([np.full((2, 2), shade) for shade in shades], np.uint8),
        labels=np.array([0, 1, 2, 3, 4, 5, 6, 0], np.int64),
        classes=FER2013_CLASSES,
        split=np.array(["train"] * 4 + ["val"] + ["test"] * 3),
        source="made",
        subject=np.array(["S10", "S9", "S9", "S10", "S2", "S2", "S10", "S999"]),
        votes=np.arange(24).reshape(8, 3),
        vote_classes=("happy", "sad", "not_face"),
    )


def test_facts_come_back_as_written(tmp_path):
    dataset = made()
    path = tmp_path / "new" / "fer2013.npz"
    write_facts(facts_of(dataset), path)
    facts = read_facts(path)
    assert facts.fingerprint == dataset.fingerprint
    assert facts.picture.tolist() == [0, 1, 2, 2, 4, 1, 4, 7]
    assert facts.in_train("test").tolist() == [True, False, False]
    assert facts.in_train("val").tolist() == [False]
    for name in ("labels", "split", "votes"):
        assert np.array_equal(getattr(facts.faces, name), getattr(dataset, name))
    assert (facts.faces.classes, facts.faces.vote_classes) == (dataset.classes, dataset.vote_classes)
    assert facts.faces.images.shape == (8, 1, 4)
    assert np.array_equal(identities(facts.faces), identities(dataset))
    # Numbers in the place of names, sorted as the names are, so that folds are the same.
    order = np.unique(dataset.subject, return_inverse=True)[1]
    assert np.array_equal(np.unique(facts.faces.subject, return_inverse=True)[1], order)
    assert facts.faces.sequence is None
    before = path.read_bytes()
    write_facts(facts, path)
    assert path.read_bytes() == before


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "fer2013.npz"
    path.write_bytes(b"PK")
    with pytest.raises(UserError, match=r"fer2013\.npz: unreadable .* `fer data facts`"):
        read_facts(path)


def test_without_data_nothing_is_written(tmp_path):
    lines = []
    with pytest.raises(UserError, match="no dataset at hand"):
        write_all_facts(tmp_path, lines.append, tmp_path)
    assert [line.split()[0] for line in lines] == ["FER2013", "CK+"]
    assert not list(tmp_path.iterdir())


def test_no_other_dataset_has_facts():
    with pytest.raises(UserError, match="no facts of synthetic: `fer data facts` writes those of fer2013 and ckplus"):
        load_facts("synthetic")
    assert [find_facts(name) is not None for name in (*DATASETS, "synthetic", "folder:../x")] == [
        True,
        True,
        False,
        False,
    ]


def test_the_committed_facts_have_the_published_counts():
    fer2013, ckplus = (load_facts(name).faces for name in DATASETS)
    assert KNOWN["fer2013"].pictures == (len(fer2013.indices("train")), len(fer2013) - len(fer2013.indices("train")))
    assert KNOWN["ckplus"].pictures == (len(ckplus), 0)
    for split, counts in PUBLISHED.items():
        assert tuple(fer2013.counts()[split].values()) == counts
    assert tuple(ckplus.counts()[""].values()) == (135, 177, 75, 207, 84, 249, 54)
    assert (len(set(ckplus.subject)), len(set(ckplus.sequence))) == (118, 327)


@pytest.mark.data
@pytest.mark.parametrize("name", DATASETS)
def test_the_committed_facts_are_those_of_the_real_data(fer_data, name):
    dataset, facts = load_dataset(name, fer_data), load_facts(name)
    assert facts.fingerprint == dataset.fingerprint
    assert np.array_equal(facts.faces.labels, dataset.labels)
    assert np.array_equal(facts.faces.split, dataset.split)
    assert facts.faces.classes == dataset.classes
    images = {}  # counted here in another way than the audit does
    first = [images.setdefault(hash(image.tobytes()), i) for i, image in enumerate(dataset.images)]
    assert np.array_equal(facts.picture, first)
    if name == "fer2013":
        assert np.array_equal(facts.faces.votes, dataset.votes)
        assert facts.in_train("test").sum() == 288
        assert agreement(facts.faces)[facts.faces.indices("test")].mean() == pytest.approx(0.6219, abs=5e-5)
    else:
        for protocol, fold in (("subject_10fold", 3), ("picture_10fold", 9), ("picture_2to1", 0), ("copied_10fold", 9)):
            ours, theirs = (split_indices(faces, protocol, fold) for faces in (facts.faces, dataset))
            assert all(np.array_equal(*parts) for parts in zip(ours, theirs, strict=True))
