"""`fer demo`: the camera alone, as a page of this machine's own browser."""

from pathlib import Path
from typing import NoReturn

from fer_lib.explore.lab import serve

APP = Path(__file__).with_name("app.ipynb")
"""The page: a notebook that Voilà executes and shows without its code."""


def open_demo(*, browser: bool = True, port: int = 8866) -> NoReturn:
    """Become the page's server, see :func:`fer_lib.explore.lab.serve`.

    Its address holds a token, so that other users of the machine cannot use the kernel behind it.

    Args:
        browser: open the page in the browser; else the server prints its address.
        port: where to listen; the next free one where it is taken.
    """
    serve("voila", [str(APP), f"--port={port}", "--token"], browser=browser)
