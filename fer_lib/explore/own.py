"""A picture of the reader's own among those of a panel: chosen, cut out as the data are, never saved."""

from collections.abc import Sequence
from typing import Any

import ipywidgets
import numpy as np

from fer_lib.data import FACE_SIDE
from fer_lib.data.pictures import decode_picture
from fer_lib.errors import UserError
from fer_lib.predict import cut_faces


class OwnPicture:
    """The button that takes a picture, and the faces of the last one taken.

    Attributes:
        control: the button.
        name: of the picture's file; empty before one is chosen.
        faces: found in it, uint8 [N, 48, 48].
    """

    def __init__(self) -> None:
        """Start without a picture."""
        self.control = ipywidgets.FileUpload(accept="image/*", description="own picture")
        self.name, self.faces, self._trouble = "", np.empty((0, FACE_SIDE, FACE_SIDE), np.uint8), ""

    def take(self, chosen: Sequence[dict[str, Any]]) -> None:
        """Find the faces of what was chosen, and forget the file: a part of the widget's state may be saved.

        Of what is no readable picture :meth:`words` tells; the faces of the one before stay.

        Args:
            chosen: the button's value.
        """
        if chosen:
            self.control.value = ()
            name = str(chosen[-1]["name"])
            try:
                self.faces = own_faces(bytes(chosen[-1]["content"]), name)
                self.name, self._trouble = name, ""
            except UserError as error:
                self._trouble = f" {error}."

    def words(self) -> str:
        """That it is shown, and what is wrong with the one chosen last; nothing without one."""
        return (f" {self.name} stands first." if self.name else "") + self._trouble

    def first(self, faces: np.ndarray, titles: Sequence[str]) -> tuple[np.ndarray, list[str]]:
        """The faces of the picture before others, uint8 [M, 48, 48], and as many titles."""
        return np.concatenate([self.faces, faces]), [*[self.name] * len(self.faces), *titles]


def own_faces(content: bytes, name: str) -> np.ndarray:
    """The faces of a picture of the reader's, cut out as the training pictures were, uint8 [N, 48, 48].

    Where no face is found, the middle of the picture is taken for one.

    Raises:
        UserError: not a readable picture.
    """
    from fer_lib.demo.faces import create_detector, whole_picture  # loads OpenCV

    picture = decode_picture(content, name)
    return cut_faces(picture, create_detector()(picture) or whole_picture(picture))
