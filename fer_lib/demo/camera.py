"""The camera of the notebook: a widget that sends pictures of the reader's own camera to the kernel."""

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from fer_lib.checkpoints import best_checkpoint
from fer_lib.demo.faces import create_detector
from fer_lib.demo.service import SURE, Service
from fer_lib.errors import UserError
from fer_lib.models.weights import NO_WEIGHTS

NO_MODEL = f"Faces are marked but not named: {NO_WEIGHTS}"


class Camera(anywidget.AnyWidget):
    """Camera, photo and chosen pictures, with boxes, expressions, probabilities and reasons drawn over them.

    The browser sends JPEG pictures as binary messages, at most two at a time, and drops what it cannot send. The
    kernel answers each; see :class:`fer_lib.demo.service.Service`. No picture is part of the widget's state, so none
    is stored with the notebook.
    """

    # One module for the browser, two files for its readers.
    _esm = "\n".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("session.js", "camera.js"))
    _css = Path(__file__).with_name("camera.css")

    models: traitlets.List[Any] = traitlets.List(help="name and title of every weight file").tag(sync=True)
    model = traitlets.Unicode(help="name of the weight file in use, empty for none").tag(sync=True)
    second = traitlets.Unicode(help="name of another one beside it, empty for none").tag(sync=True)
    threshold = traitlets.Float(SURE, help="probability below which no expression is named").tag(sync=True)
    smoothing = traitlets.Float(0.5, help="seconds in which a bar covers two thirds of its way").tag(sync=True)
    classes = traitlets.List(traitlets.Unicode(), help="class names of the net in use").tag(sync=True)
    note = traitlets.Unicode(help="what the reader should know before starting").tag(sync=True)
    folder = traitlets.Unicode(help="where photos are saved").tag(sync=True)
    mirror = traitlets.Bool(True, help="show the live picture as a mirror does").tag(sync=True)
    explain = traitlets.Bool(False, help="show where the net looks").tag(sync=True)

    def __init__(
        self,
        model: str = "",
        *,
        detector: str = "mtcnn",
        folder: str | Path = "photos",
        checkpoints: Path | None = None,
    ) -> None:
        """Make the widget; the camera itself starts when the reader presses Start.

        Args:
            model: a weight file by name; empty for :func:`fer_lib.checkpoints.best_checkpoint`.
            detector: see :func:`fer_lib.demo.faces.create_detector`.
            folder: where photos are saved when asked to, and nothing else is written; a relative one lies in the
                checkout.
            checkpoints: folder of weight files, None for the repository's own.

        Raises:
            UserError: an unknown model or detector.
        """
        service = Service(create_detector(detector), folder, checkpoints)
        best = None if model else best_checkpoint(checkpoints)
        name = best.name if best else model
        if name:
            service.choose_model(name)
        super().__init__(models=service.models(), model=name, folder=str(service.folder), note="" if name else NO_MODEL)
        self.service = service
        self._show_classes()
        self.observe(self._change_model, "model")
        self.observe(self._change_second, "second")
        self.observe(lambda change: setattr(service, "sure", change["new"]), "threshold")
        self.observe(lambda change: service.smooth(change["new"]), "smoothing")
        self.on_msg(self._receive)

    def __repr__(self) -> str:
        """What stands in the widget's place where there is no kernel, as in an executed copy."""
        return "The camera is shown here when the notebook runs in JupyterLab; fer demo opens it alone"

    def _show_classes(self) -> None:
        predictor = self.service.predictor
        self.classes = list(predictor.classes) if predictor else []

    def _change_model(self, change: Any) -> None:
        predictor = self.service.predictor
        if predictor and change["new"] == predictor.checkpoint.name:
            return  # the old name put back below
        try:
            self.service.choose_model(change["new"])
            self.second = self.second if self.service.second else ""
            self._show_classes()
        except UserError as error:
            self.model = change["old"]
            self.send({"type": "error", "text": str(error)})

    def _change_second(self, change: Any) -> None:
        try:
            self.service.choose_second(change["new"])
        except UserError as error:
            self.second = change["old"]
            self.send({"type": "error", "text": str(error)})

    def _receive(self, _widget: Any, message: Any, buffers: list[memoryview]) -> None:
        answer, found = self.service.answer(message, bytes(buffers[0]) if buffers else b"")
        self.send(answer, found)
