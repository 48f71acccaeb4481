"""Detectors find drawn faces and a real one, and say where a training picture would be."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from fer_lib.demo.example import example_picture
from fer_lib.demo.faces import create_detector, whole_picture
from fer_lib.errors import UserError

EYES = np.array([[204, 100], [247, 103]])  # of the astronaut, as anyone sees them


@pytest.fixture(scope="module", params=["mtcnn", "haar"])
def detector(request):
    return create_detector(request.param)


def test_a_real_face_is_found_once(detector):
    (face, *others) = detector(skimage.data.astronaut())
    assert not others
    left, top, side = face.square
    assert (((left, top) < EYES) & ((left + side, top + side) > EYES)).all()
    middle = (left + side / 2, top + side / 2)
    assert np.abs(EYES.mean(0) + np.array((0, 15)) - middle).max() < 20  # the middle lies just below the eyes
    assert 80 < side < 140


def test_three_drawn_faces_the_largest_first(detector):
    faces = detector(example_picture())
    assert len(faces) == 3
    sides = [face.square[2] for face in faces]
    assert sides == sorted(sides, reverse=True)
    middles = sorted(face.square[0] + face.square[2] / 2 for face in faces)
    assert np.abs(np.array(middles) - (113, 320, 527)).max() < 25


def test_a_large_picture_is_searched_at_a_smaller_size(detector):
    large = np.asarray(Image.fromarray(skimage.data.astronaut()).resize((3072, 3072)))
    (small,), (found, *_) = detector(skimage.data.astronaut()), detector(large)
    assert np.abs(np.array(found.square) / 6 - small.square).max() < 20


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (11, 11), (39, 39), (480, 640)])
def test_pictures_without_a_face(detector, shape):
    assert detector(np.full((*shape, 3), 128, np.uint8)) == []


def test_a_cut_out_face_needs_no_search():
    (face,) = whole_picture(np.zeros((60, 40, 3), np.uint8))
    assert face.square == (0, 10, 40)
    assert create_detector("none") is whole_picture


def test_an_unknown_detector_is_refused():
    with pytest.raises(UserError, match="unknown detector 'mtcn': did you mean mtcnn"):
        create_detector("mtcn")


@pytest.mark.parametrize(
    "kind", [lambda p: p.convert("L"), lambda p: p.convert("RGBA"), np.asarray, lambda p: np.asarray(p) / 255]
)
def test_every_kind_of_picture_shows_the_same_faces(detector, kind):
    shown = kind(Image.fromarray(example_picture()))
    assert len(detector(shown)) == len(detector(np.asarray(shown))) == 3


def test_nothing_is_no_picture(detector):
    with pytest.raises(UserError, match="None instead of a picture; OpenCV's imread returns it"):
        detector(None)
    with pytest.raises(UserError, match="None instead of a picture"):
        whole_picture(None)
