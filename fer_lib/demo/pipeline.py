"""What the way through a camera picture costs: the same faces, cut out by the publisher and by the detector."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fer_lib.predict import Detector, Predictor, cut_faces

FRAME = (480, 640)  # height and width of a camera picture


@dataclass(frozen=True)
class Loss:
    """Figures of :func:`measure_loss`, as shares of all pictures unless said otherwise.

    Attributes:
        pictures: how many were tried.
        found: a face was detected where it is.
        agreement: of those found, the share given the class that the net gives the publisher's picture.
        direct: accuracy on the publisher's pictures.
        direct_found: accuracy on the publisher's pictures, of those found.
        through: accuracy on the detector's cuts, of those found.
        through_all: the same of all pictures; one not found counts as wrong.
    """

    pictures: int
    found: float
    agreement: float
    direct: float
    direct_found: float
    through: float
    through_all: float


def paste(picture: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Lay a face picture, enlarged, somewhere on an evenly grey camera picture.

    Args:
        picture: uint8 [H, H].
        rng: chooses size (140 to 260 pixels), place and the background's grey.

    Returns:
        The camera picture, uint8 RGB [480, 640, 3], and the left, top and side of the face picture in it.
    """
    side = int(rng.integers(140, 261))
    top, left = (int(rng.integers(0, length - side + 1)) for length in FRAME)
    frame = np.full((*FRAME, 3), rng.integers(0, 256), np.uint8)
    enlarged = Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)
    frame[top : top + side, left : left + side] = np.asarray(enlarged)[..., None]
    return frame, (left, top, side)


def measure_loss(
    images: np.ndarray, labels: Sequence[int] | np.ndarray, predictor: Predictor, detector: Detector
) -> Loss:
    """Paste pictures into camera pictures, detect, cut, classify, and compare with the pictures themselves.

    Args:
        images: uint8 [N, 48, 48].
        labels: true classes, int [N], indices into the predictor's classes.
        predictor: with the views of a photo.
        detector: finds the faces.
    """
    rng = np.random.default_rng(0)
    cuts, found = [], np.zeros(len(images), bool)
    for i, image in enumerate(images):
        frame, (left, top, side) = paste(image, rng)
        center = np.array([left + side / 2, top + side / 2])
        near = [
            face for face in detector(frame)
            if np.abs(np.add(face.square[:2], face.square[2] / 2) - center).max() < side / 4
        ]  # fmt: skip
        if near:
            found[i] = True
            cuts.append(cut_faces(frame, near[:1]))
    direct = predictor.probabilities(images).argmax(1)
    through = predictor.probabilities(np.concatenate(cuts)).argmax(1) if cuts else np.empty(0, int)
    labels = np.asarray(labels)
    right = through == labels[found]
    return Loss(
        pictures=len(images),
        found=float(found.mean()),
        agreement=float((through == direct[found]).mean()) if cuts else 0.0,
        direct=float((direct == labels).mean()),
        direct_found=float((direct == labels)[found].mean()) if cuts else 0.0,
        through=float(right.mean()) if cuts else 0.0,
        through_all=float(right.sum() / len(images)),
    )
