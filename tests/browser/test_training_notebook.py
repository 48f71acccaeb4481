"""A reader's work in JupyterLab: change a parameter, run all, interrupt the training, run again."""

import re

import nbformat
import pytest

from fer_lib.paths import ROOT

pytestmark = pytest.mark.heavy
NAME = "05_zhang_cbam.ipynb"
PATIENCE = 180_000  # ms
CELLS = "window.jupyterapp.shell.currentWidget.content.model.cells"


@pytest.fixture
def page(browser, lab, tmp_path):
    """The notebook of a paper, open in JupyterLab, set to train a long run on a few drawn faces."""
    address, shown = lab
    notebook = nbformat.read(ROOT / "notebooks" / NAME, 4)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source += f"""
RECIPE, DATASET, TRAIN_MISSING = "narrow/none/fer2013", "synthetic", True
LIMIT_TRAIN, LIMIT_TEST, RESULTS = 256, 35, {str(tmp_path)!r}
SEED, EPOCHS = 0, 1
study = Study([])"""
    # What comes before the training is read elsewhere; here it would only take time.
    notebook.cells = [cell for cell in notebook.cells if not re.search(r"\((study|claims)\b", cell.source)]
    nbformat.write(notebook, shown / NAME)
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}/lab/workspaces/training/tree/{NAME}")  # a desk of its own: others find theirs clean
    yield page
    context.close()
    (shown / NAME).unlink()


def idle(page):
    page.wait_for_function(
        "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    )


def command(page, name):
    page.evaluate("name => { window.jupyterapp.commands.execute(name) }", name)


def output(page):
    """All that the cells have printed."""
    return page.evaluate(f"[...{CELLS}].map(cell => JSON.stringify(cell.toJSON().outputs ?? '')).join()")


def until_printed(page, words):
    page.wait_for_function(
        f"words => [...{CELLS}].some(cell => JSON.stringify(cell.toJSON().outputs ?? '').includes(words))", arg=words
    )


def set_parameters(page, old, new):
    changed = page.evaluate(
        f"""([old, wanted]) => {{
          const cell = [...{CELLS}].find(cell => cell.sharedModel.getSource().includes(old));
          cell.sharedModel.setSource(cell.sharedModel.getSource().replace(old, wanted));
          return cell.sharedModel.getSource().includes(wanted);
        }}""",
        [old, new],
    )
    assert changed


def test_change_a_parameter_interrupt_and_go_on(page):
    idle(page)
    set_parameters(page, "SEED, EPOCHS = 0, 1", "SEED, EPOCHS = 7, 9")
    command(page, "notebook:run-all-cells")
    page.get_by_text(re.compile(r"epoch \d+, step \d+ of \d+")).wait_for()  # beside the bar
    until_printed(page, "epoch   2/9")
    command(page, "notebook:interrupt-kernel")
    until_printed(page, "stopped by SIGINT at epoch")
    until_printed(page, "Run this cell again to go on from there.")
    idle(page)
    assert "Traceback" not in output(page)
    assert "epoch   9/9" not in output(page)
    command(page, "notebook:run-all-cells")
    until_printed(page, "continuing at epoch")
    until_printed(page, "epoch   9/9")
    idle(page)
    assert "epoch   1/9" not in output(page), "the second run began again"
    assert "narrow-none-synthetic-s7-" in output(page)
    assert '"output_type":"error"' not in output(page)
