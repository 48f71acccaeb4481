"""Pictures of executed notebooks: plots get a palette that nobody sees, photographs lose nothing."""

import base64
import io

import nbformat
import numpy as np
import pandas as pd
from PIL import Image

from fer_lib import plots
from fer_lib.report.pictures import INVISIBLE, slim_pictures, slim_png


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"), int)


def plot():
    figure = plots.shares(pd.DataFrame(np.arange(49).reshape(7, 7)), "predicted", "true")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def test_a_plot_takes_half_the_bytes_and_looks_the_same():
    before = plot()
    after = slim_png(before)
    assert len(after) < 0.5 * len(before)
    assert 0 < np.abs(pixels(after) - pixels(before)).mean() <= INVISIBLE
    assert slim_png(after) == after


def test_a_photograph_and_a_transparent_picture_keep_every_pixel():
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 4), np.uint8)
    for image in (Image.fromarray(noise[..., :3]), Image.fromarray(noise), Image.fromarray(noise[..., 0])):
        before = png(image)
        after = slim_png(before)
        assert len(after) <= len(before)
        assert (pixels(after) == pixels(before)).all()


def test_every_picture_of_a_notebook_is_stored_anew_and_nothing_else():
    content = plot()
    outputs = [
        nbformat.v4.new_output("stream", text="text"),
        nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(content).decode(), "text/plain": "<F>"}),
    ]
    cells = [nbformat.v4.new_markdown_cell("# A"), nbformat.v4.new_code_cell("plot()", outputs=outputs)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    slim_pictures(notebook)
    stream, shown = notebook.cells[1].outputs
    assert (stream.text, shown.data["text/plain"]) == ("text", "<F>")
    assert base64.b64decode(shown.data["image/png"]) == slim_png(content)
    nbformat.validate(notebook)
