"""Execute a notebook headlessly at one of two scales, and stamp the copy with what it came from.

A scale is nothing but a set of papermill parameters, kept in ``notebooks/scales.toml``: ``smoke`` runs anywhere
in seconds, on drawn faces; ``paper`` shows the recorded runs.
"""

import hashlib
import json
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from fer_lib.errors import UserError, check_known, first_line
from fer_lib.explore.parameters import assigned, fitting
from fer_lib.paths import anchor, check_output, results_dir, shipped, write_atomically
from fer_lib.report.pictures import slim_pictures
from fer_lib.runs import code_version, read_records

NOTEBOOKS = shipped("notebooks")
SCALES = ("smoke", "paper")


def list_notebooks() -> list[str]:
    """Names of the notebooks, in order, without suffix."""
    return sorted(path.stem for path in NOTEBOOKS.glob("[0-9]*.ipynb"))


def executed_path(name: str, scale: str) -> Path:
    """Where the executed copy of a notebook lies."""
    return scale_dir(scale) / "executed" / f"{name}.ipynb"


def scale_dir(scale: str) -> Path:
    """The results folder of a scale; smoke results never mix with real ones."""
    return results_dir() / "smoke" if scale == "smoke" else results_dir()


def parse_parameters(pairs: Sequence[str]) -> dict[str, str]:
    """Turn ``NAME=VALUE`` texts into parameters; the notebook's own value says of which type each is.

    Raises:
        UserError: a text without ``=``.
    """
    parameters = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"parameter {pair!r}: write NAME=VALUE")
        parameters[name] = value
    return parameters


def execute(
    name: str,
    *,
    scale: str = "smoke",
    changes: dict[str, Any] | None = None,
    output: Path | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Execute a notebook in a kernel of its own.

    Args:
        name: a notebook of ``notebooks/``, with or without suffix.
        scale: smoke or paper.
        changes: parameters that replace the scale's; a text is read as the notebook's own value is.
        output: the executed copy; None for :func:`executed_path`.
        say: receives a line at the start and at the end.

    Returns:
        The executed copy. Where a cell fails, takes too long or ends the kernel, what was executed is kept beside it
        as ``NAME.failed.ipynb``.

    Raises:
        UserError: no such notebook or parameter, a parameter of another type, a place that cannot be written to, or
            the execution failed; the message quotes the cell's first line and the error.
    """
    name = name.removesuffix(".ipynb").removeprefix("notebooks/")
    check_known("notebook", name, list_notebooks())
    source = NOTEBOOKS / f"{name}.ipynb"
    parameters, limit = _parameters(name, scale, changes or {})
    if output is None:
        output = executed_path(name, scale)
        output.parent.mkdir(parents=True, exist_ok=True)
    check_output(output, NOTEBOOKS.glob("*.ipynb"))
    failed = output.with_suffix(".failed.ipynb")
    say(f"{name} ({scale}): executing")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fer-") as scratch:
        # Papermill takes braces in a path for fields, which these paths have none of.
        copy, draft = Path(scratch, "source.ipynb"), Path(scratch, "executed.ipynb")
        shutil.copyfile(source, copy)
        problem = _run(copy, draft, parameters, limit)
        if problem:
            if draft.exists():
                write_atomically(failed, draft.read_bytes())
                problem += f"; the executed copy is {failed}"
            raise UserError(f"{name}: {problem}")
        notebook = nbformat.read(draft, as_version=4)
    _stamp(notebook, source, scale, parameters)
    slim_pictures(notebook)
    write_atomically(output, (nbformat.writes(notebook) + "\n").encode())
    failed.unlink(missing_ok=True)
    say(f"{name} ({scale}): done in {time.monotonic() - started:.0f} s")
    return output


def _run(source: Path, draft: Path, parameters: dict[str, Any], limit: int) -> str | None:
    """Execute a notebook into a draft, which is written after every cell; what went wrong, or None."""
    try:
        papermill.execute_notebook(
            source, draft, parameters, kernel_name="python3", cwd=str(anchor()), execution_timeout=limit,
            progress_bar={"file": sys.__stderr__, "leave": False, "disable": None},  # none but at a terminal
        )  # fmt: skip
    except PapermillExecutionError as error:
        return _first_error(error)
    except TimeoutError:
        return f"a cell took longer than {limit} s, the limit of notebooks/scales.toml"
    except DeadKernelError:
        return "the kernel died while a cell ran, perhaps for lack of memory"
    except (NoSuchKernel, RuntimeError, FileNotFoundError, PermissionError) as error:
        return f"the kernel could not be started ({first_line(error)}); the packages of the environment are needed"
    return None


def _parameters(name: str, scale: str, changes: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The parameters of a notebook at a scale, checked against the notebook's own, and the seconds a cell may take."""
    check_known("scale", scale, SCALES)
    table = tomllib.loads((NOTEBOOKS / "scales.toml").read_text(encoding="utf-8"))
    # papermill only warns about a name the notebook does not have, and would go on at paper scale.
    try:
        parameters = fitting(table[scale].get(name, {}) | changes, own_parameters(name))
    except UserError as error:
        raise UserError(f"{name}.ipynb: {error}") from None
    return parameters, table["cell_seconds"][scale]


def own_parameters(name: str) -> dict[str, Any]:
    """What the parameters cell of a notebook says, by name."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    return assigned(cell.source)


def _first_error(error: PapermillExecutionError) -> str:
    line = next((line for line in error.source.splitlines() if line.strip()), "")
    text = (error.evalue or "").splitlines() or [""]
    return f"cell [{error.exec_count}] {line!r} failed with {error.ename}: {text[0]}"


def _stamp(notebook: nbformat.NotebookNode, source: Path, scale: str, parameters: dict[str, Any]) -> None:
    """Record where the copy comes from, and drop what differs between two executions of the same thing."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
    notebook.metadata["fer"] = {
        "source": f"notebooks/{source.name}",
        "source_blob": git_blob(source),
        "scale": scale,
        "parameters": parameters,
        "commit": code_version()["commit"],
        "runs": runs_digest(),
        "executed": datetime.now(UTC).date().isoformat(),
    }


def git_blob(path: Path) -> str:
    """The hash git gives a file's content."""
    content = path.read_bytes()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def runs_digest() -> str:
    """A digest of the recorded runs that notebooks read."""
    records, _ = read_records(results_dir() / "runs")
    return hashlib.sha256(json.dumps([record.content for record in records], sort_keys=True).encode()).hexdigest()[:16]


def title_and_lead(notebook: nbformat.NotebookNode) -> tuple[str, str]:
    """A notebook's title and the first paragraph below it, as plain text."""
    text = notebook.cells[0].source
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    paragraphs = [part for part in re.split(r"\n\s*\n", text) if part.strip() and not part.lstrip().startswith("#")]
    lead = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", paragraphs[0] if paragraphs else "")
    return (title[1] if title else ""), re.sub(r"[*_`]", "", " ".join(lead.split()))
