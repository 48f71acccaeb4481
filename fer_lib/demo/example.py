"""A picture to try the demo on where there is no camera: drawn faces, so that nobody's rights are touched."""

import numpy as np
from PIL import Image

from fer_lib.data import synthetic

_FACES = (24, 5, 32)  # numbers among the drawn test faces: happy, surprise, sad
_SIDE = 190


def example_picture() -> np.ndarray:
    """Three drawn faces in a row, uint8 RGB [480, 640, 3], the same on every machine."""
    faces = synthetic(train=0, val=0, test=35).images
    picture = np.full((480, 640, 3), 200, np.uint8)
    for column, number in enumerate(_FACES):
        face = Image.fromarray(faces[number]).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        left, top = 18 + column * (_SIDE + 17), 120
        picture[top : top + _SIDE, left : left + _SIDE] = np.asarray(face)[..., None]
    return picture
