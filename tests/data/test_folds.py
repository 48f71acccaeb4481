"""Protocols: every fold a partition, no subject on both sides, and the leaks known for the papers' ways."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_lib.data import CKPLUS_CLASSES, PROTOCOLS, FaceDataset, load_dataset, run_parts, split_indices
from fer_lib.data.catalog import KNOWN
from fer_lib.data.facts import FACTS_DIR, load_facts
from fer_lib.data.folds import COPIES, Parts, draw_by_class, picture_digests, protocol_digest
from fer_lib.errors import UserError

FOLDS = [name for name in PROTOCOLS if name.endswith("10fold")]


def faces(labels, subjects=None, classes=CKPLUS_CLASSES, split="") -> FaceDataset:
    n = len(labels)
    return FaceDataset(
        name="made",
        images=np.zeros((n, 2, 2), np.uint8),
        labels=np.asarray(labels, np.int64),
        classes=classes,
        split=np.resize(np.array(split, np.str_), n),
        source="made",
        subject=None if subjects is None else np.array([f"S{s}" for s in subjects]),
    )


# The sizes of CK+48's classes; its files in order of class and name.
CK48_SIZES = (135, 177, 75, 207, 84, 249, 54)


@pytest.fixture(scope="module")
def like_ck48() -> FaceDataset:
    return faces(np.repeat(range(7), CK48_SIZES), np.arange(981) // 9)


def assert_partition(dataset, parts):
    together = np.concatenate(parts)
    assert sorted(together.tolist()) == list(range(len(dataset)))
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != "official"])
def test_each_fold_is_a_partition_without_validation(like_ck48, protocol):
    for fold in range(PROTOCOLS[protocol]):
        parts = split_indices(like_ck48, protocol, fold)
        assert_partition(like_ck48, parts)
        assert len(parts.val) == 0
        again = split_indices(like_ck48, protocol, fold)
        assert again.test.tolist() == parts.test.tolist()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_ten_folds_test_every_picture_once_and_no_subject_twice(data):
    people = data.draw(st.integers(10, 40))
    labels = data.draw(st.lists(st.integers(0, 6), min_size=people, max_size=150))
    extra = st.lists(st.integers(0, people - 1), min_size=len(labels) - people, max_size=len(labels) - people)
    dataset = faces(labels, [*range(people), *data.draw(extra)])
    for protocol in ("subject_10fold", "picture_10fold", "subject_10fold_drawn", "picture_10fold_drawn"):
        seed = data.draw(st.integers(0, 99))
        folds = [split_indices(dataset, protocol, fold, seed=seed) for fold in range(10)]
        assert sorted(np.concatenate([parts.test for parts in folds]).tolist()) == list(range(len(labels)))
        for parts in folds:
            assert_partition(dataset, parts)
            if protocol.startswith("subject"):
                assert not set(dataset.subject[parts.test]) & set(dataset.subject[parts.train])
                assert len(parts.test)


def test_picture_folds_keep_each_class_in_proportion(like_ck48):
    for protocol, share in (("picture_10fold", 0.1), ("picture_2to1", 1 / 3), ("picture_90_10", 0.1)):
        parts = split_indices(like_ck48, protocol, 0)
        got = np.bincount(like_ck48.labels[parts.test], minlength=7)
        assert np.abs(got - share * np.array(CK48_SIZES)).max() < 1
        # And not the first of each class: the files are sorted by subject.
        assert len(set(like_ck48.subject[parts.test])) > 0.5 * 109 * (1 - (1 - share) ** 9)


@pytest.mark.parametrize("kind", ["picture_2to1", "picture_90_10", "picture_10fold", "subject_10fold"])
def test_a_drawn_split_is_drawn_anew_by_the_seed_and_by_nothing_else(like_ck48, kind):
    drawn = [split_indices(like_ck48, f"{kind}_drawn", seed=seed).test.tolist() for seed in (0, 1, 2)]
    assert drawn == [split_indices(like_ck48, f"{kind}_drawn", seed=seed).test.tolist() for seed in (0, 1, 2)]
    assert len(set(map(tuple, drawn))) == 3
    fixed = [split_indices(like_ck48, kind, seed=seed).test.tolist() for seed in (0, 1)]
    assert fixed[0] == fixed[1]
    # As many of every class as in the fixed split, where pictures are dealt out; chance alone says which.
    if kind.startswith("picture"):
        classes = [np.bincount(like_ck48.labels[test], minlength=7).tolist() for test in [fixed[0], *drawn]]
        assert classes == [classes[0]] * 4
        expected = len(drawn[0]) ** 2 / 981
        assert abs(len(set(drawn[1]) & set(drawn[2])) - expected) < 4 * np.sqrt(expected)


def test_a_run_without_a_fold_takes_all_of_them(like_ck48):
    whole = run_parts(like_ck48, "subject_10fold_drawn", None, 3)
    one = run_parts(like_ck48, "subject_10fold_drawn", 4, 3)
    assert len(whole) == 10
    assert [part.tolist() for part in one[0]] == [part.tolist() for part in whole[4]]
    assert np.sort(np.concatenate([parts.test for parts in whole])).tolist() == list(range(981))
    assert len(run_parts(like_ck48, "picture_2to1_drawn", None, 3)) == 1


def test_the_copied_folds_follow_the_published_code(like_ck48):
    """Against the loops of that code's description: blocks in file order, the last fold from the end."""
    starts = np.cumsum([0, *CK48_SIZES])
    seen = np.zeros(981, int)
    for fold in range(1, 11):
        expected = set()
        for j, block in enumerate([12, 18, 9, 21, 9, 24, 6]):
            for k in range(block):
                expected.add(starts[j] + (fold - 1) * block + k if fold != 10 else starts[j + 1] - 1 - k)
        test = split_indices(like_ck48, "copied_10fold", fold - 1).test
        assert set(test.tolist()) == expected
        seen[test] += 1
    assert seen.sum() == 990
    assert ((seen == 0).sum(), (seen == 2).sum()) == (24, 33)


def test_the_official_split_is_the_publishers():
    dataset = faces([0, 1, 2, 3, 4, 5], split=["train", "val", "test"])
    parts = split_indices(dataset, "official")
    assert (parts.train.tolist(), parts.val.tolist(), parts.test.tolist()) == ([0, 3], [1, 4], [2, 5])


@pytest.mark.parametrize(
    ("protocol", "fold", "words"),
    [
        ("subject_tenfold", 0, "unknown protocol 'subject_tenfold': did you mean"),
        ("subject_10fold", 10, "has folds 0 to 9"),
        ("picture_2to1", 1, "has folds 0 to 0"),
        ("subject_10fold", -1, "fold -1"),
        ("official", 0, "no official split into train and test; .* folders train, val and test"),
        ("subject_10fold", 0, "who is shown"),
        ("copied_10fold", 0, "981 pictures"),
    ],
)
def test_what_cannot_be_parted_is_refused(protocol, fold, words):
    with pytest.raises(UserError, match=words):
        split_indices(faces([0, 1, 2, 3, 4, 5, 6] * 10), protocol, fold)


def test_too_few_subjects_are_refused():
    with pytest.raises(UserError, match="9 subjects: too few for 10 folds"):
        split_indices(faces([0] * 18, [*range(9)] * 2), "subject_10fold", 0)


@pytest.fixture(scope="module")
def ckplus(fer_data) -> FaceDataset:
    return load_dataset("ckplus", fer_data)


def shared(dataset: FaceDataset, protocol: str, who: str) -> tuple[int, int]:
    """Test pictures whose subject or sequence is trained on too, and all test pictures, over all folds."""
    groups, leaked, tested = getattr(dataset, who), 0, 0
    for fold in range(PROTOCOLS[protocol]):
        parts = split_indices(dataset, protocol, fold)
        leaked += np.isin(groups[parts.test], groups[parts.train]).sum()
        tested += len(parts.test)
    return leaked, tested


@pytest.mark.data
def test_the_leaks_of_ckplus(ckplus):
    assert shared(ckplus, "copied_10fold", "subject") == (627, 990)
    assert shared(ckplus, "copied_10fold", "sequence")[0] == 0
    assert shared(ckplus, "subject_10fold", "subject") == (0, 981)
    for protocol, of_sequence, of_subject in (("picture_90_10", 0.986, 0.998), ("picture_2to1", 0.89, 0.99)):
        sequences, tested = shared(ckplus, protocol, "sequence")
        assert sequences / tested == pytest.approx(of_sequence, abs=0.05)
        assert shared(ckplus, protocol, "subject")[0] / tested == pytest.approx(of_subject, abs=0.02)


@pytest.mark.data
@pytest.mark.parametrize("protocol", ["subject_10fold", "subject_10fold_drawn"])
def test_subject_folds_of_ckplus_are_even(ckplus, protocol):
    """Each fold within one sequence (three pictures) or so of its tenth, in every class and in all."""
    for fold in range(10):
        test = split_indices(ckplus, protocol, fold).test
        got = np.bincount(ckplus.labels[test], minlength=7)
        assert np.abs(got - np.array(CK48_SIZES) / 10).max() <= 4.5
        assert 87 <= len(test) <= 108


# ---------------------------------------------------------------- pictures left out


def test_only_training_loses_what_annotators_call_no_face():
    votes = np.array([[3, 7], [7, 3], [5, 5], [0, 9], [2, 8], [1, 9]])  # a tie is no majority of the second
    dataset = dataclasses.replace(
        faces([0, 1, 2, 3, 4, 5], split=["train", "train", "train", "train", "val", "test"]),
        votes=votes,
        vote_classes=("happy", "not_face"),
    )
    parts = split_indices(dataset, "official", leave_out="not_face")
    assert [part.tolist() for part in parts] == [[1, 2], [4], [5]]
    assert [part.tolist() for part in split_indices(dataset, "official")] == [[0, 1, 2, 3], [4], [5]]
    with pytest.raises(UserError, match="unknown FER\\+ class 'no_face': did you mean not_face"):
        split_indices(dataset, "official", leave_out="no_face")
    with pytest.raises(UserError, match="no votes of FER"):
        split_indices(faces([0, 1], split=["train", "test"]), "official", leave_out="not_face")


def test_gu_would_lose_150_pictures_without_a_face():
    """The number of plurality votes in ``fer2013new.csv``, of which the training rows are 28,709."""
    dataset = load_facts("fer2013").faces
    parts = split_indices(dataset, "official", leave_out="not_face")
    assert [len(part) for part in parts] == [28_709 - 150, 3589, 3589]


def test_copies_of_held_out_pictures_can_be_left_out_of_training():
    pictures = np.zeros((8, 2, 2), np.uint8)
    pictures[:, 0, 0] = [1, 2, 3, 4, 2, 5, 3, 6]  # training has copies of the val picture 4 and the test picture 6
    dataset = FaceDataset(
        name="copies", images=pictures, labels=np.arange(8) % 2, classes=("a", "b"),
        split=np.array(["train"] * 4 + ["val"] * 2 + ["test"] * 2), source="made up",
    )  # fmt: skip
    parts = split_indices(dataset, "official", leave_out=COPIES)
    assert parts.train.tolist() == [0, 3]
    assert parts.test.tolist() == [6, 7]
    facts = load_facts("fer2013")
    kept = split_indices(facts.faces, "official", leave_out=COPIES).train
    everything = split_indices(facts.faces, "official").train
    left_out = np.setdiff1d(everything, kept)
    held_out = np.concatenate([facts.faces.indices("val"), facts.faces.indices("test")])
    assert set(facts.picture[left_out]) == set(facts.picture[everything]) & set(facts.picture[held_out])
    assert len(set(facts.picture[left_out])) > 500


# ---------------------------------------------------------------- limits


def test_a_limited_part_has_every_class_in_its_share():
    labels = np.repeat([0, 1, 2], [600, 300, 4])  # sorted, as folders are read
    counts = np.bincount(labels[draw_by_class(labels, 90)], minlength=3)
    assert counts.sum() == 90
    assert counts[2] >= 1
    assert abs(counts[0] - 2 * counts[1]) <= 2
    assert set(labels[draw_by_class(labels, 3)]) == {0, 1, 2}


def test_a_smaller_draw_lies_within_a_larger_one_and_never_changes():
    labels = np.repeat([0, 1, 2], [60, 30, 4])
    small, large = draw_by_class(labels, 10), draw_by_class(labels, 40)
    assert set(small) < set(large)
    assert small.tolist() == sorted(small.tolist())
    assert small.tolist() == [2, 3, 11, 13, 20, 59, 62, 69, 88, 92]
    assert draw_by_class(labels, None).tolist() == draw_by_class(labels, 94).tolist() == list(range(94))


def test_records_without_the_word_hold_the_first_pictures(like_ck48):
    (first,) = run_parts(like_ck48, "picture_2to1", None, 0, limit_train=5, limit_test=7, by_class=False)
    whole = split_indices(like_ck48, "picture_2to1")
    assert first.train.tolist() == whole.train[:5].tolist()
    assert first.test.tolist() == whole.test[:7].tolist()
    (drawn,) = run_parts(like_ck48, "picture_2to1", None, 0, limit_train=7, limit_test=7)
    assert set(like_ck48.labels[drawn.train]) == set(like_ck48.labels[drawn.test]) == set(range(7))


# ---------------------------------------------------------------- pinned


@pytest.mark.parametrize("name", ["fer2013", "ckplus"])
def test_the_folds_of_every_protocol_are_pinned(name):
    """A fold dealt out otherwise has equal counts and labels; runs of before and after would be averaged."""
    pinned = json.loads((FACTS_DIR / "splits.json").read_text())[name]
    assert {protocol: protocol_digest(load_facts(name).faces, protocol) for protocol in KNOWN[name].protocols} == pinned


def test_the_pins_are_what_they_were():
    """Records that do not say their pictures are held against them, so that they never change."""
    pinned = json.loads((FACTS_DIR / "splits.json").read_text())
    before = {
        name: [pinned[name][protocol][:8] for protocol in PROTOCOLS if protocol in pinned[name]] for name in pinned
    }
    assert before == {
        "fer2013": ["e41612b0", "2bf4ee9d", "b720a7c2", "683fc209", "ef114199", "9a0fbb02", "e5101813"],
        "ckplus": [
            "76b994a3", "6e6cb5ee", "b6e626c8", "d10ef585", "81733286", "af931429", "598fbfeb", "67291ffc", "7abe0b5f",
        ],
    }  # fmt: skip


def test_a_digest_tells_pictures_and_parts_apart():
    parts = Parts(np.array([0, 1]), np.array([], np.int64), np.array([2, 3]))
    other = picture_digests([Parts(np.array([0, 2]), parts.val, np.array([1, 3]))])
    assert picture_digests([parts]) == picture_digests([parts])
    assert all((picture_digests([parts])[part] == other[part]) == (part == "val") for part in ("train", "val", "test"))
