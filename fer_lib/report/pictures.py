"""Pictures of executed notebooks in the bytes they need: a plot is a few colours, stored as millions of them."""

import base64
import io

import nbformat
import numpy as np
from PIL import Image

COLOURS = 256
INVISIBLE = 0.1
"""Of 255 steps: how far a picture with a palette may be from the original, mean over pixels and channels."""


def slim_pictures(notebook: nbformat.NotebookNode) -> None:
    """Store every PNG among a notebook's outputs in fewer bytes, in place."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).get("image/png"):
                output.data["image/png"] = base64.b64encode(slim_png(base64.b64decode(png))).decode()


def slim_png(png: bytes) -> bytes:
    """The same picture in fewer bytes: with a palette if nobody sees that, else without loss.

    A plot's palette is a third of its size; photographs and heat maps have too many colours for one. Pictures with
    transparent parts stay as they are.
    """
    image: Image.Image = Image.open(io.BytesIO(png))
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    if image.mode != "RGB":
        return png
    few = image.quantize(COLOURS, dither=Image.Dither.NONE)
    error = np.abs(np.asarray(image, np.int16) - np.asarray(few.convert("RGB"), np.int16)).mean()
    buffer = io.BytesIO()
    (few if error <= INVISIBLE else image).save(buffer, "PNG", optimize=True)
    return min(png, buffer.getvalue(), key=len)
