"""What the kernel answers to the camera: messages and bytes in, messages and bytes out, whatever goes wrong."""

import io
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from fer_lib.checkpoints import list_checkpoints, read_checkpoint
from fer_lib.data.pictures import decode_picture
from fer_lib.demo.annotate import annotate
from fer_lib.demo.files import save_new
from fer_lib.errors import UserError
from fer_lib.paths import setting_path
from fer_lib.predict import FACE_VIEWS, Detector, Face, Predictor, Reading, cut_faces, named

MAX_FACES = 8  # of a live picture; more would make every answer late
LIVE_VIEWS = "one"  # a live picture is shown to the net once; the next ones vary the frame
Answer = tuple[dict[str, Any], list[bytes]]


class Service:
    """Detects, classifies and explains the faces of the pictures it is sent, one picture at a time.

    JupyterLab hands a widget's messages to the kernel's main thread or to a subshell, which is a thread of its own:
    two may arrive at once, and two threads in one OpenCV net end the kernel.

    Attributes:
        detector: finds faces; may be replaced at any time.
        predictor: names expressions; None where there is no weight file, and faces are only marked then.
        folder: the only folder that is written to, and only when asked to.
    """

    def __init__(self, detector: Detector, folder: str | Path, checkpoints: Path | None = None) -> None:
        """Start without a net.

        Args:
            detector: finds faces.
            folder: where photos are saved; made with the first. A relative one lies in the checkout.
            checkpoints: folder of weight files, None for the repository's own.
        """
        self.detector = detector
        self.predictor: Predictor | None = None
        self.folder = setting_path(folder)
        self._checkpoints = checkpoints
        self._still: tuple[str, Any] | None = None
        self._one_at_a_time = threading.RLock()

    @property
    def net(self) -> str:
        """Name of the net in use; empty without one."""
        return self.predictor.checkpoint.name if self.predictor else ""

    def models(self) -> list[dict[str, str]]:
        """``name`` and ``title`` of every weight file that can be used."""
        found = []
        for name in list_checkpoints(self._checkpoints):
            try:
                found.append({"name": name, "title": read_checkpoint(name, self._checkpoints).title})
            except UserError as error:
                found.append({"name": name, "title": f"{name}: {error}"})
        return found

    def choose_model(self, name: str) -> None:
        """Take another net; the old one stays if that fails.

        Raises:
            UserError: see :func:`fer_lib.checkpoints.read_checkpoint`.
        """
        predictor = Predictor(read_checkpoint(name, self._checkpoints))
        with self._one_at_a_time:
            self.predictor = predictor

    def read(self, picture: np.ndarray) -> list[Reading]:
        """The faces of a picture, uint8 RGB [H, W, 3], with the views of a photo."""
        with self._one_at_a_time:
            faces = self.detector(picture)
            return self._classify(faces, cut_faces(picture, faces), FACE_VIEWS)

    def answer(self, message: dict[str, Any], content: bytes = b"") -> Answer:
        """Answer one message of the camera; never raises.

        Args:
            message: ``type`` (frame, photo, picture or save), ``id``, and for a frame ``explain``.
            content: the encoded picture.

        Returns:
            A message of the same ``id`` and its buffers: ``answer`` (to a frame), ``still`` (to a photo or a chosen
            picture; the buffer is the annotated JPEG), ``saved`` or ``error`` with a ``text`` for the reader.
        """
        kinds: dict[str, Callable[[dict[str, Any], bytes], Answer]] = {
            "frame": self._frame,
            "photo": self._picture,
            "picture": self._picture,
            "save": self._save,
        }
        name = message.get("id")
        try:
            if message.get("type") not in kinds:
                raise UserError(f"unknown message {message.get('type')!r}")
            with self._one_at_a_time:
                answer, buffers = kinds[message["type"]](message, content)
            return answer | {"id": name}, buffers
        except UserError as error:
            text = str(error)
        except OSError as error:
            text = f"{error.filename or self.folder}: {error.strerror or error}"
        except Exception as error:  # an exception that leaves a widget's callback is lost, and the reader waits
            text = f"the kernel failed on this picture: {type(error).__name__}: {error}"
        return {"type": "error", "id": name, "text": text}, []

    def _frame(self, message: dict[str, Any], content: bytes) -> Answer:
        started = time.perf_counter()
        picture = decode_picture(content)
        decoded = time.perf_counter()
        faces = self.detector(picture)[:MAX_FACES]
        detected = time.perf_counter()
        cut = cut_faces(picture, faces)
        readings = self._classify(faces, cut, LIVE_VIEWS)
        done = time.perf_counter()
        times = {"decode": decoded - started, "detector": detected - decoded, "net": done - detected}
        answer = _described(picture, readings, self.net) | {
            "ms": {part: round(1000 * t, 1) for part, t in times.items()}
        }
        reasons = self._reasons(cut) if message.get("explain") and self.predictor and faces else []
        return answer | {"type": "answer"}, reasons

    def _picture(self, message: dict[str, Any], content: bytes) -> Answer:
        picture = decode_picture(content, str(message.get("name") or "photo"))
        readings = self.read(picture)
        drawn = annotate(picture, readings, self.net)
        self._still = (str(message.get("id")), drawn)
        shown = drawn.copy()
        shown.thumbnail((1280, 1280))
        buffer = io.BytesIO()
        shown.save(buffer, "JPEG", quality=88)
        return _described(picture, readings, self.net) | {"type": "still"}, [buffer.getvalue()]

    def _save(self, message: dict[str, Any], content: bytes) -> Answer:
        if self._still is None or self._still[0] != message.get("still"):
            raise UserError("this photo is no longer in the kernel's memory; take it again")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = save_new(self._still[1], self.folder, f"photo-{datetime.now():%Y%m%d-%H%M%S}")
        return {"type": "saved", "text": f"saved as {path}"}, []

    def _classify(self, faces: list[Face], cut: np.ndarray, views: str) -> list[Reading]:
        if self.predictor is None:
            return [Reading(face, {}) for face in faces]
        rows = self.predictor.probabilities(cut, views)
        return [Reading(face, named(self.predictor.classes, row)) for face, row in zip(faces, rows, strict=True)]

    def _reasons(self, cut: np.ndarray) -> list[bytes]:
        """Grad-CAM of every face's most probable class: the bytes of 48 x 48 pixels, 0 cold to 255 hot."""
        return [np.round(255 * heat).astype(np.uint8).tobytes() for heat in self.predictor.heat_maps(cut)]


def _described(picture: np.ndarray, readings: list[Reading], net: str) -> dict[str, Any]:
    height, width = picture.shape[:2]
    faces = [
        {
            "box": [round(value, 1) for value in reading.face.box],
            "square": [round(value, 1) for value in reading.face.square],
            "label": reading.label,
            "probabilities": [round(share, 4) for share in reading.probabilities.values()],
        }
        for reading in readings
    ]
    return {"size": [width, height], "net": net, "faces": faces}
