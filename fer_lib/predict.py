"""Expressions of faces in pictures of any size: detect, cut out as the training pictures were, classify in batches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from fer_lib.augment import test_views
from fer_lib.checkpoints import Checkpoint, best_checkpoint, load_net, read_checkpoint
from fer_lib.data import FACE_SIDE
from fer_lib.data.pictures import as_picture, square
from fer_lib.errors import UserError
from fer_lib.frames import Frame
from fer_lib.models.weights import NO_WEIGHTS
from fer_lib.parts import View
from fer_lib.training import autocast_dtype, choose_device, predict_probabilities

BATCH = 256  # views shown to the net at once
# What a face is looked at with unless said otherwise. A detector does not frame as the publisher of the training
# pictures did; views of several sizes and places make the answer depend less on the frame.
FACE_VIEWS = "jitter"
LOOK_AHEAD = 64  # frames whose faces are classified together


@dataclass(frozen=True)
class Face:
    """Where a face is.

    Attributes:
        box: left, top, width and height in pixels, as the detector reports the face.
        square: left, top and side in pixels of what a training picture would show of it; may leave the frame.
        score: the detector's confidence, 0 to 1; 1 where it gives none.
    """

    box: tuple[float, float, float, float]
    square: tuple[float, float, float]
    score: float = 1.0


Detector = Callable[[np.ndarray], list[Face]]
"""Finds the faces of a picture, the largest first; see :mod:`fer_lib.demo.faces`. Those of there take any picture that
:func:`fer_lib.data.pictures.as_picture` takes."""


@dataclass(frozen=True, repr=False)
class Reading:
    """A face and what the net says of it.

    Attributes:
        face: where it is.
        probabilities: class name to probability, in the net's order; empty without a net.
    """

    face: Face
    probabilities: dict[str, float]

    def __repr__(self) -> str:
        return f"Reading({self.label!r}, {self.probabilities.get(self.label, 0):.2f})"

    @property
    def label(self) -> str:
        """The most probable class; empty without a net."""
        return max(self.probabilities, key=self.probabilities.__getitem__, default="")


def cut_faces(picture: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    """Cut faces out as the training pictures were: square, grey (ITU-R 601 luma), 48 x 48 pixels.

    Resized as :func:`fer_lib.data.pictures.square` does; outside the picture its rim is repeated.

    Args:
        picture: uint8 RGB [H, W, 3].
        faces: found in it.

    Returns:
        uint8 [len(faces), 48, 48].
    """
    cut = np.empty((len(faces), FACE_SIDE, FACE_SIDE), np.uint8)
    height, width = picture.shape[:2]
    for i, face in enumerate(faces):
        left, top, side = face.square
        # Whole pixels around the square; the rest of the way is the resize's, which takes fractions.
        x0, y0 = int(np.floor(left)), int(np.floor(top))
        x1, y1 = int(np.ceil(left + side)), int(np.ceil(top + side))
        columns, rows = np.arange(x0, x1).clip(0, width - 1), np.arange(y0, y1).clip(0, height - 1)
        grey = Image.fromarray(picture[rows[:, None], columns]).convert("L")
        box = (left - x0, top - y0, left - x0 + side, top - y0 + side)
        cut[i] = np.asarray(grey.resize((FACE_SIDE, FACE_SIDE), Image.Resampling.LANCZOS, box=box))
    return cut


def face_squares(pictures: Any) -> np.ndarray:
    """Faces that were cut out, in any form, as the data are read: grey squares of 48 x 48 pixels.

    Args:
        pictures: one picture or a list of them, see :func:`fer_lib.data.pictures.as_picture`; or an array or tensor of
            many, grey [N, H, W] or with colours [N, H, W, C] (a tensor: [N, C, H, W], of 1, 3 or 4 grey ones
            [N, 1, H, W], since [3, H, W] is one picture with colours). A picture of another size is resized whole, as
            :func:`fer_lib.data.pictures.square` does.

    Returns:
        uint8 [N, 48, 48].

    Raises:
        UserError: naming the picture that is none.
    """
    if isinstance(pictures, np.ndarray) and pictures.dtype == np.uint8 and pictures.shape[1:] == (FACE_SIDE, FACE_SIDE):
        return np.require(pictures, requirements=["C", "W"])
    many = list(pictures) if isinstance(pictures, list | tuple) or _is_many(pictures) else [pictures]
    squares = [square(as_picture(picture, f"picture {i}"), FACE_SIDE) for i, picture in enumerate(many)]
    return np.stack(squares) if squares else np.empty((0, FACE_SIDE, FACE_SIDE), np.uint8)


def _is_many(pictures: Any) -> bool:
    """Whether an array or tensor holds pictures, and is not one."""
    if not isinstance(pictures, np.ndarray | torch.Tensor) or pictures.ndim != 3:
        return getattr(pictures, "ndim", 0) == 4
    return pictures.shape[0 if isinstance(pictures, torch.Tensor) else 2] not in (1, 3, 4)


class Predictor:
    """A net of :mod:`fer_lib.checkpoints`, ready to name expressions."""

    def __init__(self, checkpoint: Checkpoint | str | None = None, device: str = "auto") -> None:
        """Load the net.

        Args:
            checkpoint: a name of ``list_models(pretrained=True)``, or what :func:`fer_lib.checkpoints.read_checkpoint`
                gave; None for :func:`fer_lib.checkpoints.best_checkpoint`.
            device: see :func:`fer_lib.training.choose_device`.

        Raises:
            UserError: there are no such weights, they do not fit, or the device is not there.
        """
        if isinstance(checkpoint, str):
            checkpoint = read_checkpoint(checkpoint)
        elif checkpoint is None and (checkpoint := best_checkpoint()) is None:
            raise UserError(NO_WEIGHTS)
        elif not isinstance(checkpoint, Checkpoint):
            raise UserError(f"checkpoint must be a name of list_models(pretrained=True): got {checkpoint!r}")
        self.checkpoint = checkpoint
        self.classes = checkpoint.classes
        self.device = choose_device(device)
        self.net = load_net(checkpoint).to(self.device).to(memory_format=torch.channels_last)
        self._dtype = autocast_dtype(self.device)

    def __repr__(self) -> str:
        return f"Predictor({self.checkpoint.name!r}, {str(self.device)!r})"

    def __call__(self, pictures: Any, views: str = FACE_VIEWS) -> "list[Reading]":
        """Label and scores of faces that were cut out.

        Args:
            pictures: one or many, see :func:`face_squares`.
            views: see :meth:`probabilities`.

        Returns:
            One reading a picture; ``label`` and ``probabilities`` are what the net says, ``face`` the whole picture.
        """
        squares = face_squares(pictures)
        whole = Face((0.0, 0.0, FACE_SIDE, FACE_SIDE), (0.0, 0.0, FACE_SIDE))
        return [Reading(whole, named(self.classes, row)) for row in self.probabilities(squares, views)]

    def probabilities(self, pictures: Any, views: str = FACE_VIEWS) -> np.ndarray:
        """Class probabilities of cut-out faces.

        Args:
            pictures: uint8 [N, 48, 48], or what else :func:`face_squares` takes.
            views: test views averaged, see :func:`fer_lib.augment.test_views`.

        Returns:
            float32 [N, len(classes)].
        """
        pictures = face_squares(pictures)
        if not len(pictures):
            return np.empty((0, len(self.classes)), np.float32)
        found = predict_probabilities(
            self.net,
            torch.from_numpy(pictures).to(self.device),
            self.checkpoint.view,
            views=views,
            dtype=self._dtype,
            batch_size=BATCH,
        )
        return found.cpu().numpy()

    def heat_maps(self, pictures: Any) -> np.ndarray:
        """Where the net looks for the class it finds most probable (Grad-CAM), see :mod:`fer_lib.explain`.

        Args:
            pictures: as of :meth:`probabilities`.

        Returns:
            float32 [N, 48, 48], each from 0 to 1; 0 outside the central view that the net is shown.
        """
        pictures = face_squares(pictures)
        targets = self.probabilities(pictures, "one").argmax(1)
        return face_heat(self.net, pictures, targets, self.checkpoint.view)


def face_heat(net: nn.Module, pictures: np.ndarray, targets: np.ndarray, view: View) -> np.ndarray:
    """Where a net looks in whole faces (Grad-CAM), see :mod:`fer_lib.explain`.

    Args:
        net: in evaluation mode.
        pictures: uint8 [N, 48, 48].
        targets: the class explained of each, int64 [N].
        view: what the net is shown of a face.

    Returns:
        float32 [N, 48, 48], each from 0 to 1; 0 outside the central square.
    """
    from fer_lib.explain import heat_maps  # loads for seconds, and only here

    device = next(net.parameters()).device
    shown = test_views(torch.from_numpy(pictures).to(device), "one", *view)[0]
    found = torch.from_numpy(heat_maps(net, shown, targets))
    if view.resize != view.size:
        found = nn.functional.interpolate(found[:, None], (view.size, view.size), mode="bilinear", antialias=True)[:, 0]
    maps = np.zeros(pictures.shape, np.float32)
    start = round((FACE_SIDE - view.size) / 2)
    window = slice(start, start + view.size)
    maps[:, window, window] = found
    return maps


def read_faces(
    frames: Iterable[Frame], detector: Detector, predictor: Predictor, views: str = FACE_VIEWS
) -> Iterator[tuple[Frame, list[Reading]]]:
    """Detect and classify all faces of a stream of frames, many at a time.

    Args:
        frames: in any number; only the next few are held in memory.
        detector: finds the faces.
        predictor: names their expressions.
        views: see :meth:`Predictor.probabilities`.

    Yields:
        Every frame with its readings, in order.
    """
    waiting: list[tuple[Frame, list[Face], np.ndarray]] = []
    pixels = 0
    for frame in frames:
        faces = detector(frame.picture)
        waiting.append((frame, faces, cut_faces(frame.picture, faces)))
        pixels += frame.picture.size
        if len(waiting) == LOOK_AHEAD or pixels > 2**27:
            yield from _classify(waiting, predictor, views)
            waiting, pixels = [], 0
    yield from _classify(waiting, predictor, views)


def _classify(
    waiting: list[tuple[Frame, list[Face], np.ndarray]], predictor: Predictor, views: str
) -> Iterator[tuple[Frame, list[Reading]]]:
    if not waiting:
        return
    rows = iter(predictor.probabilities(np.concatenate([cut for _, _, cut in waiting]), views))
    for frame, faces, _ in waiting:
        yield frame, [Reading(face, named(predictor.classes, next(rows))) for face in faces]


def named(classes: Sequence[str], row: np.ndarray) -> dict[str, float]:
    """Probabilities [C] by class name."""
    return {name: float(share) for name, share in zip(classes, row, strict=True)}
