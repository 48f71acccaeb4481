"""`fer demo`: JupyterLab with the webcam notebook, for this machine's own browser."""

import os
import sys
from importlib.util import find_spec
from typing import NoReturn

from fer_lib.errors import UserError
from fer_lib.paths import ROOT

NOTEBOOK = ROOT / "notebooks" / "08_webcam_demo.ipynb"


def open_notebook(*, browser: bool = True, port: int = 8888) -> NoReturn:
    """Become JupyterLab, which runs until it is stopped: whatever ends this process ends the server.

    It listens on 127.0.0.1 alone: browsers give a page the camera on localhost, and nobody else can reach it. So it
    may run as root too, as most containers do.

    Args:
        browser: open the notebook in the browser; else the server prints its address.
        port: where to listen; the next free one where it is taken.

    Raises:
        UserError: JupyterLab is not installed.
    """
    if find_spec("jupyterlab") is None:
        raise UserError("JupyterLab is not installed: pip install jupyterlab ipywidgets anywidget")
    command = [sys.executable, "-m", "jupyterlab", str(NOTEBOOK), "--ip=127.0.0.1", f"--port={port}"]
    if os.geteuid() == 0:
        command.append("--allow-root")
    if not browser:
        command.append("--no-browser")
    os.chdir(ROOT)
    os.execv(sys.executable, command)
