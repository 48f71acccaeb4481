"""`fer demo`: JupyterLab with the webcam notebook, for this machine's own browser."""

import os
import subprocess
import sys

from fer_lib.errors import UserError
from fer_lib.paths import ROOT

NOTEBOOK = ROOT / "notebooks" / "08_webcam_demo.ipynb"


def open_notebook(*, browser: bool = True, port: int = 8888) -> int:
    """Run JupyterLab until it is stopped.

    It listens on 127.0.0.1 alone: browsers give a page the camera on localhost, and nobody else can reach it. So it
    may run as root too, as most containers do.

    Args:
        browser: open the notebook in the browser; else the server prints its address.
        port: where to listen; the next free one where it is taken.

    Returns:
        The server's exit status.

    Raises:
        UserError: JupyterLab is not installed.
    """
    command = [sys.executable, "-m", "jupyterlab", str(NOTEBOOK), "--ip=127.0.0.1", f"--port={port}"]
    if os.geteuid() == 0:
        command.append("--allow-root")
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        raise UserError("JupyterLab is not installed: pip install jupyterlab ipywidgets anywidget") from None
    try:
        return subprocess.run(command + ([] if browser else ["--no-browser"]), cwd=ROOT, check=False).returncode
    except KeyboardInterrupt:  # Control-C reaches the server too, which ends by itself
        return 0
