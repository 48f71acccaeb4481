"""Faces followed: one keeps its number while it moves, its word is steady, and another face is another face."""

import pytest

from fer_lib.demo.annotate import caption
from fer_lib.demo.tracks import NOT_SURE, Tracker, overlap, word
from fer_lib.predict import Face, Reading


def reading(left, happy, top=0.0, side=100.0):
    return Reading(Face((left, top, side, side), (left, top, side)), {"happy": happy, "sad": 1 - happy})


def numbers(followed):
    return [number for number, _ in followed]


def test_a_face_keeps_its_number_while_it_moves_and_two_do_not_swap():
    tracker = Tracker()
    assert numbers(tracker.follow([reading(0, 1), reading(300, 0)], 0.0)) == [1, 2]
    assert numbers(tracker.follow([reading(270, 0), reading(20, 1)], 0.1)) == [2, 1]
    assert numbers(tracker.follow([reading(40, 1)], 0.2)) == [1]
    assert numbers(tracker.follow([reading(600, 1), reading(50, 1), reading(250, 0)], 0.3)) == [3, 1, 2]


def test_a_face_that_was_away_is_another_one():
    tracker = Tracker()
    tracker.follow([reading(0, 1)], 0.0)
    tracker.follow([], 0.5)
    assert numbers(tracker.follow([reading(0, 1)], 0.9)) == [1]
    assert numbers(tracker.follow([reading(0, 1)], 2.0)) == [2]


def test_probabilities_cover_two_thirds_of_the_way_in_the_time_said():
    tracker = Tracker(smoothing=0.5)
    tracker.follow([reading(0, 0.0)], 0.0)
    ((_, one),) = tracker.follow([reading(0, 1.0)], 0.5)
    assert one.probabilities["happy"] == pytest.approx(0.632, abs=1e-3)
    assert sum(one.probabilities.values()) == pytest.approx(1)
    tracker.smoothing = 0
    assert tracker.follow([reading(0, 0.25)], 0.6)[0][1].probabilities["happy"] == 0.25


def test_a_word_does_not_flicker_and_another_net_begins_anew():
    tracker = Tracker()
    words = [tracker.follow([reading(0, 0.9 if frame % 10 else 0.1)], frame / 30)[0][1].label for frame in range(1, 60)]
    assert set(words) == {"happy"}
    other = Reading(reading(0, 1).face, {"angry": 0.7, "calm": 0.3})
    assert tracker.follow([other], 2.0)[0][1].probabilities == other.probabilities


def test_below_the_stated_confidence_it_is_not_sure():
    face = reading(0, 0.55)
    assert (word(face, 0.5), word(face, 0.6)) == ("happy", NOT_SURE)
    assert (caption(face, 0.5), caption(face, 0.6)) == ("happy 55 %", NOT_SURE)
    assert word(Reading(face.face, {}), 0.6) == ""


def test_overlap():
    assert overlap((0, 0, 10), (0, 0, 10)) == 1
    assert overlap((0, 0, 10), (5, 0, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10), (20, 0, 10)) == overlap((0, 0, 0), (0, 0, 0)) == 0
