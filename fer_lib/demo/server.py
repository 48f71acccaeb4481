"""`fer demo`: the camera alone, as a page of this machine's own browser."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from fer_lib.explore.lab import serve

APP = Path(__file__).with_name("app.ipynb")
"""The page: a notebook that Voilà executes and shows without its code."""


def open_demo(*, browser: bool = True, port: int = 8866, say: Callable[[str], None] = print) -> NoReturn:
    """Become the page's server, see :func:`fer_lib.explore.lab.serve`.

    Its address holds a token, so that other users of the machine cannot use the kernel behind it. Voilà speaks http
    only, and a certificate made here no phone would trust, so that a phone in the same network would get no camera.

    Args:
        browser: open the page in the browser; else the server prints its address.
        port: where to listen; the next free one where it is taken.
        say: is told who is served, and what others can do.
    """
    say(
        "This page is for browsers of this machine: they give a camera to pages on localhost or https alone. A phone: "
        "take the photo with it and choose the file here. This machine over ssh: "
        f"ssh -L {port}:127.0.0.1:{port} MACHINE, then the address that follows."
    )
    serve("voila", [str(APP), f"--port={port}", "--token"], browser=browser)
