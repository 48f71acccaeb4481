"""The widgets of the notebooks in a real JupyterLab, by mouse and by keyboard: they answer, and nothing is saved."""

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


@pytest.fixture(scope="session")
def study(weight_files):
    """Two runs on drawn faces, and the weight file of a net with CBAM, in the results that the kernels see."""
    results = weight_files.parent
    for name, model, width in (("plain", "resnet18", 8), ("cbam", "resnet18_cbam_ends", 16)):
        options = {"width": width, "layers": [1, 1, 1, 1]}
        recipe = tiny_recipe(name=f"test/{name}/synthetic", epochs=1, model=model, model_options=options)
        spec = RunSpec(recipe, limit_train=70, limit_test=35)
        record = train_run(spec, results=results, device="cpu", say=lambda line: None)
        write_checkpoint(record, name, results / "drawn" / "checkpoints")


class Desk:
    """A page with some cells of a notebook, and the requests that went beyond this machine."""

    def __init__(self, browser, lab, name, keep, given):
        address, self.shown = lab
        self.path = self.shown / name
        notebook = nbformat.read(ROOT / "notebooks" / name, 4)
        (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
        parameters.source += f"\n{given}"
        notebook.cells = [
            cell
            for cell in notebook.cells
            if cell is parameters or "%matplotlib" in cell.source or any(words in cell.source for words in keep)
        ]
        nbformat.write(notebook, self.path)
        self.context = browser.new_context(viewport={"width": 1300, "height": 1400})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.beyond: list[str] = []
        self.page.on("request", lambda request: self._check(request.url))
        self.page.goto(f"{address}/lab/workspaces/{self.path.stem}/tree/{name}")
        self.idle()
        self.command("notebook:run-all-cells")

    def _check(self, url):
        if urlparse(url).scheme not in ("data", "blob") and urlparse(url).hostname != "127.0.0.1":
            self.beyond.append(url)

    def idle(self):
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
        )

    def command(self, name):
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name) }", name)

    def panel(self, number):
        panel = self.page.locator(".fer-panel").nth(number)
        panel.wait_for()
        panel.scroll_into_view_if_needed()
        return panel

    def until(self, panel, words):
        """Wait until a panel says some words."""
        panel.locator("[role=status]").filter(has_text=words).first.wait_for()

    def close(self):
        """Save as a reader would; what is in the file then."""
        self.command("docmanager:save")
        self.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
        text = self.path.read_text()
        self.context.close()
        self.path.unlink()
        assert self.beyond == []
        return json.loads(text)


def pictures_of(notebook):
    """Outputs of a notebook that hold a picture, and its widgets' saved state."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"], outputs
    return [output for output in outputs if "image/png" in output.get("data", {})], notebook["metadata"].get("widgets")


def test_power_runs_and_pictures(browser, lab, study):
    first = '"test-plain-synthetic", "test-cbam-synthetic"'
    given = f"spread, modules = 0.6, 4\nfrom fer_lib.paths import results_dir\nFIRST = ({first})"
    desk = Desk(browser, lab, "06_ablations.ipynb", ["_panel("], given)
    page = desk.page

    power = desk.panel(0)
    desk.until(power, "With 3 seeds")
    power.get_by_role("slider").first.focus()
    page.keyboard.press("ArrowRight")
    desk.until(power, "With 4 seeds")
    assert power.locator("img").count() == 1

    runs = desk.panel(1)
    desk.until(runs, "1: test-")
    # Two rows of paper, recipe and run.
    papers = runs.locator("select")
    names = papers.nth(0).locator("option").all_inner_texts()
    papers.nth(3).select_option(names[1])
    desk.until(runs, "2: test-plain")
    page.wait_for_function("panel => panel.querySelectorAll('.fer-shelf > img').length >= 2", arg=runs.element_handle())
    assert runs.locator("table").inner_text().count("\n") >= 8

    pictures = desk.panel(2)
    desk.until(pictures, "of 35 test pictures")
    faces = pictures.locator(".fer-shelf [role=option]")
    faces.nth(1).click()
    selected = "panel => [...panel.querySelectorAll('[role=option]')].findIndex(o => o.ariaSelected === 'true')"
    assert pictures.evaluate(selected) == 1
    shown = pictures.locator(".fer-shelf").nth(1).get_attribute("data-shown")
    page.keyboard.press("ArrowRight")
    assert pictures.evaluate(selected) == 2
    page.wait_for_function(
        "([panel, shown]) => panel.querySelectorAll('.fer-shelf')[1].dataset.shown > shown",
        arg=[pictures.element_handle(), shown],
    )
    saved, state = pictures_of(desk.close())
    assert saved == []
    assert state is None


def test_what_modules_do_to_a_face(browser, lab, study):
    given = 'from fer_lib.data import load_dataset\ndataset = load_dataset("synthetic")'
    desk = Desk(browser, lab, "07_gradcam.ipynb", ["nets_with_attention()", "attention_panel("], given)
    panel = desk.panel(0)
    desk.until(panel, "Choose a face")
    desk.until(panel, "cbam: resnet18_cbam_ends")
    panel.locator(".fer-shelf [role=option]").first.focus()
    before = panel.locator(".fer-shelf").nth(1).get_attribute("data-shown")
    desk.page.keyboard.press("ArrowLeft")  # round to the last
    desk.page.wait_for_function(
        "([panel, shown]) => panel.querySelectorAll('.fer-shelf')[1].dataset.shown > shown",
        arg=[panel.element_handle(), before],
    )
    png = io.BytesIO()
    Image.fromarray(example_picture()).save(png, "PNG")
    with desk.page.expect_file_chooser() as chooser:
        panel.locator(".jupyter-widgets.widget-upload").click()
    chooser.value.set_files({"name": "me.png", "mimeType": "image/png", "buffer": png.getvalue()})
    desk.until(panel, "me.png stands first")
    figures, state = pictures_of(desk.close())
    assert len(figures) == 1, "the static figure, of drawn faces"
    assert state is None


def test_the_data_are_browsed(browser, lab, study):
    given = 'from fer_lib.data import load_dataset\ndataset, ckplus = load_dataset("synthetic"), None'
    desk = Desk(browser, lab, "01_data_exploration.ipynb", ["data_panel("], given)
    panel = desk.panel(0)
    desk.until(panel, "pictures of synthetic, page 1")
    assert panel.locator(".fer-shelf [role=option]").count() == 42
    part = panel.locator("select").nth(2)
    part.focus()
    part.select_option("test")
    desk.until(panel, "350 of")
    saved, state = pictures_of(desk.close())
    assert (saved, state) == ([], None)
