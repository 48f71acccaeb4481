"""What the kernel answers to the camera: messages and bytes in, messages and bytes out, whatever goes wrong."""

import io
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fer_lib.checkpoints import list_checkpoints, read_checkpoint
from fer_lib.data.pictures import decode_picture
from fer_lib.demo.annotate import annotate
from fer_lib.demo.files import save_new
from fer_lib.demo.tracks import Tracker, word
from fer_lib.errors import UserError
from fer_lib.paths import setting_path
from fer_lib.predict import FACE_VIEWS, Detector, Face, Predictor, Reading, cut_faces, named

MAX_FACES = 8  # of a live picture; more would make every answer late
LIVE_VIEWS = "one"  # a live picture is shown to the net once; the next ones vary the frame
KEPT_STILLS = 24  # photos that can still be saved
SURE = 0.4  # probability below which no expression is named
Answer = tuple[dict[str, Any], list[bytes]]


class Service:
    """Detects, classifies and explains the faces of the pictures it is sent, one picture at a time.

    JupyterLab hands a widget's messages to the kernel's main thread or to a subshell, which is a thread of its own:
    two may arrive at once, and two threads in one OpenCV net end the kernel.

    Attributes:
        detector: finds faces; may be replaced at any time.
        predictor: names expressions; None where there is no weight file, and faces are only marked then.
        second: another net beside it; None for none.
        tracker: follows the faces of live pictures; ``second_tracker`` does so for the second net.
        sure: probability below which no expression is named.
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
        self.second: Predictor | None = None
        self.tracker, self.second_tracker = Tracker(), Tracker()
        self.sure = SURE
        self.folder = setting_path(folder)
        self._checkpoints = checkpoints
        self._stills: dict[str, Image.Image] = {}
        self._heat = threading.Event()
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
            if self.second and self.second.classes != predictor.classes:
                self.second = None

    def choose_second(self, name: str) -> None:
        """Take another net beside the first, or none if the name is empty; the old one stays if that fails.

        Raises:
            UserError: other classes, or see :func:`fer_lib.checkpoints.read_checkpoint`.
        """
        predictor = Predictor(read_checkpoint(name, self._checkpoints)) if name else None
        if predictor and self.predictor and predictor.classes != self.predictor.classes:
            raise UserError(f"{name} knows other expressions than {self.net}; choose one with the same")
        with self._one_at_a_time:
            self.second = predictor

    def smooth(self, seconds: float) -> None:
        """Set how slowly the words and bars of live pictures follow."""
        self.tracker.smoothing = self.second_tracker.smoothing = seconds

    def read(self, picture: np.ndarray) -> list[Reading]:
        """The faces of a picture, uint8 RGB [H, W, 3], with the views of a photo."""
        with self._one_at_a_time:
            faces = self.detector(picture)
            return self._classify(self.predictor, faces, cut_faces(picture, faces), FACE_VIEWS)

    def answer(self, message: dict[str, Any], content: bytes = b"") -> Answer:
        """Answer one message of the camera; never raises.

        Args:
            message: ``type`` (frame, photo, picture or save), ``id``, for a frame ``explain``, for a picture its
                ``name``, and for a save the ``still`` to save.
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
        message = message if isinstance(message, dict) else {}
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
        followed = self.tracker.follow(self._classify(self.predictor, faces, cut, LIVE_VIEWS), started)
        beside = []
        if self.second:
            beside = self.second_tracker.follow(self._classify(self.second, faces, cut, LIVE_VIEWS), started)
        done = time.perf_counter()
        times = {"decode": decoded - started, "detector": detected - decoded, "net": done - detected}
        answer = self._described(picture, [reading for _, reading in followed], [reading for _, reading in beside])
        for face, (number, _) in zip(answer["faces"], followed, strict=True):
            face["number"] = number
        answer |= {"type": "answer", "ms": {part: round(1000 * t, 1) for part, t in times.items()}}
        if not (message.get("explain") and self.predictor):
            return answer, []
        if not self._heat.is_set():  # the camera goes on meanwhile
            self._load_heat()
            return answer | {"loading": True}, []
        if not faces:
            return answer, []
        # Of every face 48 x 48 bytes, 0 cold to 255 hot.
        return answer, [np.round(255 * heat).astype(np.uint8).tobytes() for heat in self.predictor.heat_maps(cut)]

    def _picture(self, message: dict[str, Any], content: bytes) -> Answer:
        picture = decode_picture(content, str(message.get("name") or "photo"))
        readings = self.read(picture)
        beside = []
        if self.second:
            faces = [reading.face for reading in readings]
            beside = self._classify(self.second, faces, cut_faces(picture, faces), FACE_VIEWS)
        drawn = annotate(picture, readings, self.net, self.sure)
        self._stills[str(message.get("id"))] = drawn
        for old in list(self._stills)[:-KEPT_STILLS]:
            del self._stills[old]
        shown = drawn.copy()
        shown.thumbnail((1280, 1280))
        buffer = io.BytesIO()
        shown.save(buffer, "JPEG", quality=88)
        return self._described(picture, readings, beside) | {"type": "still"}, [buffer.getvalue()]

    def _save(self, message: dict[str, Any], content: bytes) -> Answer:
        if message.get("still") not in self._stills:
            raise UserError("this photo is no longer in the kernel's memory; take it again")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = save_new(self._stills[message["still"]], self.folder, f"photo-{datetime.now():%Y%m%d-%H%M%S}")
        return {"type": "saved", "text": f"saved as {path}"}, []

    @staticmethod
    def _classify(predictor: Predictor | None, faces: list[Face], cut: np.ndarray, views: str) -> list[Reading]:
        if predictor is None:
            return [Reading(face, {}) for face in faces]
        rows = predictor.probabilities(cut, views)
        return [Reading(face, named(predictor.classes, row)) for face, row in zip(faces, rows, strict=True)]

    def _load_heat(self) -> None:
        """Load what heat maps need, which takes seconds, beside the camera."""

        def load() -> None:
            import fer_lib.explain  # noqa: F401

            self._heat.set()

        if not any(thread.name == "fer-heat" for thread in threading.enumerate()):
            threading.Thread(target=load, name="fer-heat", daemon=True).start()

    def _described(self, picture: np.ndarray, readings: list[Reading], beside: list[Reading]) -> dict[str, Any]:
        height, width = picture.shape[:2]
        faces = [
            {
                "box": [round(value, 1) for value in reading.face.box],
                "square": [round(value, 1) for value in reading.face.square],
                **self._words(reading),
            }
            for reading in readings
        ]
        for face, reading in zip(faces, beside, strict=False):
            face["second"] = self._words(reading)
        return {"size": [width, height], "net": self.net, "faces": faces}

    def _words(self, reading: Reading) -> dict[str, Any]:
        probabilities = [round(share, 4) for share in reading.probabilities.values()]
        return {"label": word(reading, self.sure), "probabilities": probabilities}
