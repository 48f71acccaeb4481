"""`fer lab`: JupyterLab with copies of the notebooks, so that a reader's work never changes the sources."""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from fer_lib.errors import unknown
from fer_lib.extras import need
from fer_lib.paths import anchor, shipped

NOTEBOOKS = shipped("notebooks")


def mine() -> Path:
    """Where a reader's copies lie, which git ignores."""
    return anchor() / "notebooks" / "mine"


def working_copies(folder: Path, say: Callable[[str], None] = print) -> list[Path]:
    """Copy every notebook of which there is no copy yet; the reader's own work is never replaced.

    Args:
        folder: of the copies, made if need be.
        say: is told of copies that are older than their sources.

    Returns:
        The copies, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for source in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        copy = folder / source.name
        if not copy.exists():
            shutil.copy(source, copy)  # its time is its own: that of the copying
        elif copy.stat().st_mtime < source.stat().st_mtime:
            say(f"{copy}: older than its source; delete it to get the new one")
        copies.append(copy)
    return copies


def open_lab(name: str = "", *, browser: bool = True, port: int = 8888, say: Callable[[str], None] = print) -> NoReturn:
    """Become JupyterLab on the copies, see :func:`serve`.

    Args:
        name: the notebook to begin with, such as ``06`` or ``06_ablations``; empty for the list of them.
        browser: open it in the browser; else the server prints its address.
        port: where to listen; the next free one where it is taken.
        say: is told where the copies are, and which are old.

    Raises:
        UserError: no such notebook.
    """
    stem = name.removesuffix(".ipynb").rpartition("/")[2]
    known = [path.stem for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))]
    chosen = [of for of in known if stem in (of, of.partition("_")[0])] if stem else []
    if stem and not chosen:
        raise unknown("notebook", name, known)
    copies = mine()
    working_copies(copies, say)
    say(f"your copies of the notebooks are in {copies}; the sources stay as they are")
    shown = copies / f"{chosen[0]}.ipynb" if chosen else copies
    serve("jupyterlab", [str(shown), f"--port={port}"], browser=browser)


def serve(module: str, arguments: Sequence[str], *, browser: bool) -> NoReturn:
    """Become a server of notebooks, which runs until it is stopped: whatever ends this process ends the server.

    It listens on 127.0.0.1 alone: browsers give a page the camera on localhost, and nobody else can reach it. So it
    may run as root too, as most containers do.

    Args:
        module: ``jupyterlab`` or ``voila``.
        arguments: of its command line.
        browser: whether it opens the browser.

    Raises:
        MissingExtra: it is not installed.
    """
    need("notebooks" if module == "jupyterlab" else "demo", module)
    command = [sys.executable, "-m", module, *arguments]
    command.append("--ip=127.0.0.1" if module == "jupyterlab" else "--Voila.ip=127.0.0.1")
    if module == "jupyterlab" and getattr(os, "geteuid", int)() == 0:
        command.append("--allow-root")
    if not browser:
        command.append("--no-browser")
    os.chdir(anchor())
    os.execv(sys.executable, command)
