"""A training watched in a notebook: how far the epoch is, and the curves so far."""

import sys
import time
from collections.abc import Callable

import numpy as np

from fer_lib import plots

BAR_SECONDS, CURVE_SECONDS = 0.2, 3.0
"""Between two looks at the bar, and between two drawings of the curves, which take a part of a second."""
SCREEN_DPI = 80
"""Points an inch of a figure in a widget."""


def reader_is_there() -> bool:
    """Whether somebody sits before this kernel: JupyterLab lets a cell ask its reader, papermill and nbval do not."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))


def ask_reader(question: str) -> bool:
    """Ask a question that is answered by yes or no; yes where nobody is there to be asked."""
    return not reader_is_there() or input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


class Live:
    """A bar for the epoch and the curves of those before, below the lines that a training prints.

    Quiet where no reader is there, so that an executed copy holds the lines alone.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._shown_at, self._drawn_at, self._rows = clock, -np.inf, -np.inf, 0
        self.box = None
        if not reader_is_there():
            return
        import ipywidgets
        from IPython.display import display

        self.bar = ipywidgets.IntProgress(max=1, layout={"width": "30em"})
        self.words = ipywidgets.Label()
        self.picture = ipywidgets.Image(format="png", layout={"visibility": "hidden", "max_width": "100%"})
        self.box = ipywidgets.VBox([ipywidgets.HBox([self.bar, self.words]), self.picture])
        display(self.box)

    def __call__(self, step: int, steps: int, history: list[dict[str, float]]) -> None:
        """See :data:`fer_lib.training.Watch`."""
        if self.box is None:
            return
        now = self._clock()
        if now - self._shown_at >= BAR_SECONDS or step == steps:
            self._shown_at = now
            self.bar.max, self.bar.value = steps, step
            self.words.value = f"epoch {len(history) + 1}, step {step} of {steps}"
        if len(history) > max(1, self._rows) and now - self._drawn_at >= CURVE_SECONDS:
            self._drawn_at, self._rows = now, len(history)
            columns = {name: np.array([row[name] for row in history]) for name in history[0]}
            self.picture.value = plots.png(plots.curves({"so far": columns}), SCREEN_DPI)
            self.picture.layout.visibility = "visible"

    def close(self) -> None:
        """Take bar and curves away: the finished run shows its own."""
        if self.box is not None:
            self.box.close()
