"""Controls and what they choose: the frame of every widget of the notebooks but the camera."""

import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import pandas as pd
import traitlets
from matplotlib.figure import Figure
from PIL import Image

from fer_lib import plots
from fer_lib.errors import UserError
from fer_lib.study.columns import DASH
from fer_lib.study.live import SCREEN_DPI, reader_is_there


class Shelf(anywidget.AnyWidget):
    """Pictures that are shown, and may be chosen by click and by arrow key.

    They travel as messages and are no part of the widget's state, so that none is ever saved with a notebook.
    """

    _esm = Path(__file__).with_name("shelf.js")
    _css = Path(__file__).with_name("shelf.css")

    chosen = traitlets.Int(0, help="number of the chosen picture").tag(sync=True)

    def __init__(self, label: str) -> None:
        """Start empty.

        Args:
            label: what the pictures are, for readers who hear the page.
        """
        super().__init__()
        self._label, self._number = label, 0
        self._message: tuple[dict[str, Any], list[bytes]] | None = None
        self.on_msg(self._hear)

    def _hear(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        if message.get("type") == "ready":
            self._resend()

    def show(self, pictures: Sequence[bytes], titles: Sequence[str], choosing: bool = False) -> None:
        """Replace what is shown.

        Args:
            pictures: PNG files.
            titles: as many texts, which stand below the pictures where one may be chosen.
            choosing: whether one may be chosen.
        """
        self._number += 1
        self._message = (
            {
                "type": "pictures", "titles": list(titles), "choosing": choosing, "label": self._label,
                "number": self._number,
            },
            list(pictures),
        )  # fmt: skip
        self._resend()

    @property
    def pictures(self) -> list[bytes]:
        """The PNG files shown."""
        return self._message[1] if self._message else []

    @property
    def count(self) -> int:
        """How many pictures are shown."""
        return len(self.pictures)

    def _resend(self) -> None:
        if self._message:
            self.send(*self._message)


@dataclass(frozen=True)
class Shown:
    """What a choice shows, from above.

    Attributes:
        words: a sentence or a few.
        faces: PNG files, of which one may be chosen to be looked at.
        titles: of the faces, as many.
        figures: below them.
        table: below the figures.
    """

    words: str = ""
    faces: Sequence[bytes] = ()
    titles: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    table: pd.DataFrame | None = None

    def _ipython_display_(self) -> None:
        """Show words, figures and table in a notebook without a widget, as in an executed copy; never the faces."""
        from IPython.display import Markdown, display

        display(Markdown(self.words), *self.figures, *([] if self.table is None else [self.table]))


class Panel:
    """Controls above what they choose. Where no reader is there, it is a line of text and computes nothing."""

    def __init__(
        self,
        label: str,
        controls: Mapping[str, ipywidgets.ValueWidget],
        draw: Callable[..., Shown],
        look: Callable[[int], Shown] | None = None,
    ) -> None:
        """Put the panel together; it draws when it is shown.

        Args:
            label: what it is for.
            controls: by the name of the argument of ``draw`` that each gives a value.
            draw: what the values show.
            look: words and figures of one of the faces shown, by its number.
        """
        self.label, self.controls, self._draw, self._look = label, dict(controls), draw, look
        self.words, self.closer_words, self.table = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.faces, self.figures = Shelf(f"{label}: faces"), Shelf(label)
        self.row = ipywidgets.Box(list(controls.values()), layout={"flex_flow": "row wrap"})
        self.box = ipywidgets.VBox([self.row, self.words, self.faces, self.closer_words, self.figures, self.table])
        self.box.add_class("fer-panel")
        self._drawing = False
        for control in controls.values():
            control.observe(lambda _: self.redraw(), "value")
        self.faces.observe(lambda change: self._look_at(change["new"]), "chosen")

    def redraw(self) -> None:
        """Show what the controls now say; a choice that a control makes for another meanwhile draws once."""
        if self._drawing:
            return
        self._drawing = True
        try:
            shown = told(lambda: self._draw(**{name: control.value for name, control in self.controls.items()}))
            self.words.value = escaped(shown.words)
            self.table.value = (
                "" if shown.table is None else shown.table.to_html(float_format="{:.3g}".format, na_rep=DASH)
            )
            if list(shown.faces) != self.faces.pictures:  # of the same faces, the chosen one stays
                self.faces.chosen = 0
            self.faces.show(shown.faces, shown.titles, choosing=True)
            self._show_figures(shown.figures)
            self.closer_words.value = ""
            self._look_at(self.faces.chosen)
        finally:
            self._drawing = False

    def _look_at(self, number: int) -> None:
        if (look := self._look) and number < self.faces.count:
            closer = told(lambda: look(number))
            self.closer_words.value = escaped(closer.words)
            self._show_figures(closer.figures)

    def _show_figures(self, figures: Sequence[Figure]) -> None:
        self.figures.show([plots.png(figure, SCREEN_DPI) for figure in figures], [self.label] * len(figures))

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if not reader_is_there():
            return {"text/plain": repr(self)}
        self.redraw()
        return self.box._repr_mimebundle_(**options)

    def __repr__(self) -> str:
        return f"{self.label.rstrip('?')}: shown here when the notebook runs in JupyterLab (fer lab)"


def told(act: Callable[[], Shown]) -> Shown:
    """What an act shows, or its error in words: one that leaves a widget's callback is lost, and the reader waits."""
    try:
        return act()
    except UserError as error:
        return Shown(str(error))
    except Exception as error:
        return Shown(f"This failed: {type(error).__name__}: {error}")


def escaped(words: str) -> str:
    """Words as HTML, with a status that is read aloud when it changes."""
    safe = html.escape(words, quote=False).replace("\n", "<br>")
    return f'<div role="status">{safe}</div>'


def face_png(face: np.ndarray) -> bytes:
    """A grey face, uint8 [H, W], as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "PNG")
    return buffer.getvalue()
