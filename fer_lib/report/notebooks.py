"""Execute a notebook headlessly at one of two scales, and stamp the copy with what it came from.

A scale is nothing but a set of papermill parameters, kept in ``notebooks/scales.toml``: ``smoke`` runs anywhere
in seconds, on drawn faces; ``paper`` shows the recorded runs.
"""

import hashlib
import json
import os
import re
import time
import tomllib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from papermill.exceptions import PapermillExecutionError

from fer_lib.errors import UserError, unknown
from fer_lib.paths import ROOT, results_dir
from fer_lib.queue.train import code_version
from fer_lib.report.pictures import slim_pictures
from fer_lib.runs import read_records

NOTEBOOKS = ROOT / "notebooks"
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


def parse_parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn ``NAME=VALUE`` texts into parameters; values are YAML scalars.

    Raises:
        UserError: a text without ``=``.
    """
    parameters = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"parameter {pair!r}: write NAME=VALUE")
        parameters[name] = yaml.safe_load(value) if value else ""
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
        changes: parameters that replace the scale's.
        output: the executed copy; None for :func:`executed_path`.
        say: receives a line at the start and at the end.

    Returns:
        The executed copy. If a cell fails, the copy is kept beside it as ``NAME.failed.ipynb``.

    Raises:
        UserError: no such notebook or parameter, or a cell failed; the message quotes its first line and the error.
    """
    name = name.removesuffix(".ipynb").removeprefix("notebooks/")
    if name not in list_notebooks():
        raise unknown("notebook", name, list_notebooks())
    source = NOTEBOOKS / f"{name}.ipynb"
    parameters, limit = _parameters(name, scale, changes or {})
    output = output or executed_path(name, scale)
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f".{output.name}")
    say(f"{name} ({scale}): executing")
    started = time.monotonic()
    try:
        papermill.execute_notebook(
            source, draft, parameters, kernel_name="python3", cwd=str(ROOT), progress_bar=False,
            execution_timeout=limit, request_save_on_cell_execute=False,
        )  # fmt: skip
        notebook = nbformat.read(draft, as_version=4)
        _stamp(notebook, source, scale, parameters)
        slim_pictures(notebook)
        nbformat.write(notebook, draft)
        os.replace(draft, output)
    except PapermillExecutionError as error:
        failed = output.with_suffix(".failed.ipynb")
        os.replace(draft, failed)
        raise UserError(f"{name}: {_first_error(error)}; the executed copy is {failed}") from None
    except TimeoutError:
        raise UserError(f"{name}: a cell took longer than {limit} s, the limit of notebooks/scales.toml") from None
    finally:
        draft.unlink(missing_ok=True)
    output.with_suffix(".failed.ipynb").unlink(missing_ok=True)
    say(f"{name} ({scale}): done in {time.monotonic() - started:.0f} s")
    return output


def _parameters(name: str, scale: str, changes: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The parameters of a notebook at a scale, checked against the notebook's own, and the seconds a cell may take."""
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    table = tomllib.loads((NOTEBOOKS / "scales.toml").read_text())
    limit = table["cell_seconds"][scale]
    parameters = table[scale].get(name, {}) | changes
    # papermill only warns about a name the notebook does not have, and would go on at paper scale.
    known = papermill.inspect_notebook(NOTEBOOKS / f"{name}.ipynb")
    for parameter in parameters:
        if parameter not in known:
            raise UserError(f"{name}.ipynb: {unknown('parameter', parameter, known)}")
    return parameters, limit


def _first_error(error: PapermillExecutionError) -> str:
    line = next((line for line in error.source.splitlines() if line.strip()), "")
    return f"cell [{error.exec_count}] {line!r} failed with {error.ename}: {(error.evalue or ' ').splitlines()[0]}"


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
