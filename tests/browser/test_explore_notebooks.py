"""The widgets of the notebooks in a real JupyterLab, by mouse and by keyboard: they answer, and nothing is saved.

The cells are the notebooks' own, put on one page, so that one kernel serves them all.
"""

import io
import json
from urllib.parse import urlparse

import nbformat
import pytest
from PIL import Image

from fer_lib.checkpoints import write_checkpoint
from fer_lib.demo.example import example_picture
from fer_lib.paths import ROOT
from fer_lib.queue.train import train_run
from fer_lib.recipe import RunSpec
from tests.tiny import tiny_recipe

pytestmark = pytest.mark.heavy
PATIENCE = 150_000  # ms; what is tested is that things happen, not how fast
CELLS = {
    "06_ablations": ["power_panel(", "run_panel(", "picture_panel("],
    "01_data_exploration": ["data_panel(dataset)"],
    "07_gradcam": ["nets_with_attention()", "attention_panel("],
}
GIVEN = """
spread, modules = 0.6, 4
dataset = load_dataset("synthetic")
"""
SELECTED = "panel => [...panel.querySelectorAll('[role=option]')].findIndex(option => option.ariaSelected === 'true')"


@pytest.fixture(scope="module")
def study(lab_results):
    """Two runs on drawn faces, and the weight file of a net with CBAM, in the results that the kernels see."""
    for name, model, width in (("plain", "resnet18", 8), ("cbam", "resnet18_cbam_ends", 16)):
        options = {"width": width, "layers": [1, 1, 1, 1]}
        recipe = tiny_recipe(name=f"test/{name}/synthetic", epochs=1, model=model, model_options=options)
        spec = RunSpec(recipe, limit_train=70, limit_test=35)
        record = train_run(spec, results=lab_results, device="cpu", say=lambda line: None)
        write_checkpoint(record, name, lab_results / "drawn" / "checkpoints")


def one_page():
    """The imports and the panels of several notebooks as one."""
    imports, panels = [], []
    for name, wanted in CELLS.items():
        cells = [cell for cell in nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells if cell.source]
        imports += [cell for cell in cells if "%matplotlib" in cell.source]
        for words in wanted:
            (panel,) = (cell for cell in cells if cell.cell_type == "code" and words in cell.source)
            panels.append(panel)
    cells = [*imports, nbformat.v4.new_code_cell(GIVEN), *panels]
    for number, cell in enumerate(cells):
        cell.id = str(number)
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


@pytest.fixture
def page(browser, lab, study):
    """JupyterLab with that page, all of it run."""
    address, shown = lab
    path = shown / "panels.ipynb"
    nbformat.write(one_page(), path)
    context = browser.new_context(viewport={"width": 1300, "height": 1400})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.beyond = []  # requests that go beyond this machine
    page.on("request", lambda request: _check(page, request.url))
    page.goto(f"{address}/lab/workspaces/panels/tree/{path.name}")
    page.wait_for_function(
        "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    )
    command(page, "notebook:run-all-cells")
    page.file = path
    yield page
    context.close()
    path.unlink()


def _check(page, url):
    if urlparse(url).scheme not in ("data", "blob") and urlparse(url).hostname != "127.0.0.1":
        page.beyond.append(url)


def command(page, name):
    page.evaluate("name => { window.jupyterapp.commands.execute(name) }", name)


def panel_of(page, number):
    panel = page.locator(".fer-panel").nth(number)
    panel.wait_for()
    panel.scroll_into_view_if_needed()
    return panel


def until(panel, words):
    """Wait until a panel says some words."""
    panel.locator("[role=status]").filter(has_text=words).first.wait_for()


def choose(panel, label, *keys):
    """Choose in a list by keyboard."""
    control = panel.get_by_label(label, exact=True)
    control.focus()
    for key in keys:
        control.press(key)


def figures_drawn(panel):
    """How often the panel has drawn its figures."""
    return int(panel.locator(".fer-shelf").nth(1).get_attribute("data-shown"))


def until_drawn_after(page, panel, before):
    page.wait_for_function(
        "([panel, before]) => Number(panel.querySelectorAll('.fer-shelf')[1].dataset.shown) > before",
        arg=[panel.element_handle(), before],
    )


def give_picture(page, panel):
    """Give a picture with three faces, by keyboard."""
    png = io.BytesIO()
    Image.fromarray(example_picture()).save(png, "PNG")
    button = panel.get_by_role("button", name="own picture")
    with page.expect_file_chooser() as chooser:
        button.press("Enter")
    chooser.value.set_files({"name": "me.png", "mimeType": "image/png", "buffer": png.getvalue()})
    until(panel, "me.png stands first")
    panel.get_by_role("option", name="me.png").nth(2).wait_for()
    page.wait_for_function("button => button.textContent.includes('(0)')", arg=button.element_handle())


def power(page):
    panel = panel_of(page, 0)
    until(panel, "With 3 seeds")
    for number, words in enumerate(("With 4 seeds", "true gain of 1.1 points", "spread by 0.65 points")):
        panel.get_by_role("slider").nth(number).press("ArrowRight")
        until(panel, words)
    assert panel.locator("img").count() == 1


def two_runs(page):
    panel = panel_of(page, 1)
    until(panel, "1: test/")
    choose(panel, "second: paper", "ArrowDown")
    until(panel, "2: test/plain")
    until(panel, "1: test/cbam")
    page.wait_for_function(
        "panel => panel.querySelectorAll('.fer-shelf > img').length >= 2", arg=panel.element_handle()
    )
    assert panel.locator("table").inner_text().count("\n") >= 8
    assert "difference" in panel.locator("table").inner_text()


def mistakes(page):
    panel = panel_of(page, 2)
    until(panel, "of 35 test pictures")
    faces = panel.locator(".fer-shelf [role=option]")
    faces.nth(1).click()
    assert panel.evaluate(SELECTED) == 1
    before = figures_drawn(panel)
    page.keyboard.press("ArrowRight")
    assert panel.evaluate(SELECTED) == 2
    until_drawn_after(page, panel, before)
    before = figures_drawn(panel)
    choose(panel, "show", "End")  # what both nets get wrong
    until_drawn_after(page, panel, before)
    give_picture(page, panel)


def data(page):
    panel = panel_of(page, 3)
    until(panel, "pictures of synthetic, page 1")
    assert panel.locator(".fer-shelf [role=option]").count() == 42
    choose(panel, "part", "End")
    until(panel, "350 of")
    choose(panel, "page", "ArrowUp")
    until(panel, "page 2 of 9")
    choose(panel, "show", "ArrowDown")
    until(panel, "0 of")  # no drawn face is a copy


def attention(page):
    panel = panel_of(page, 4)
    until(panel, "Choose a face")
    until(panel, "cbam: resnet18_cbam_ends")
    faces = panel.locator(".fer-shelf [role=option]")
    faces.first.focus()
    before = figures_drawn(panel)
    page.keyboard.press("ArrowLeft")  # round to the last
    until_drawn_after(page, panel, before)
    last = faces.count() - 1
    assert panel.evaluate(SELECTED) == last
    before = figures_drawn(panel)
    choose(panel, "layers", "ArrowDown")
    until_drawn_after(page, panel, before)
    assert panel.evaluate(SELECTED) == last, "the chosen face stays"
    give_picture(page, panel)


def test_the_panels_by_mouse_and_by_keyboard(page):
    for section in (power, two_runs, mistakes, data, attention):
        section(page)
    assert "This failed" not in "".join(page.locator(".fer-panel").all_inner_texts())
    command(page, "docmanager:save")
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    saved = json.loads(page.file.read_text())
    outputs = [output for cell in saved["cells"] for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"], outputs
    figures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(figures) == 1, "the static figure of the modules, of drawn faces"
    assert "widgets" not in saved["metadata"]
    assert page.beyond == []
