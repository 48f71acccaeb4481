"""Boxes and words drawn over a picture."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fer_lib.demo.tracks import NOT_SURE, word
from fer_lib.predict import Reading

GREEN = (0, 158, 115)  # of Okabe and Ito's palette, told apart by every eye


def annotate(picture: np.ndarray, readings: Sequence[Reading], net: str = "", sure: float = 0.0) -> Image.Image:
    """Draw a box around every face and the most probable expression above it.

    Args:
        picture: uint8 RGB [H, W, 3], left as it is.
        readings: of its faces.
        net: name of the net that read them, written into the lower left corner; empty for none.
        sure: probability below which an expression is not named.

    Returns:
        A picture of the same size.
    """
    drawn = Image.fromarray(picture)
    draw = ImageDraw.Draw(drawn)
    width = max(2, round(max(drawn.size) / 320))
    font = ImageFont.load_default(max(12.0, max(drawn.size) / 40))
    for reading in readings:
        left, top, across, down = reading.face.box
        draw.rectangle((left, top, left + across, top + down), outline=GREEN, width=width)
        words = caption(reading, sure)
        if words:
            box = draw.textbbox((left, max(0.0, top)), words, font=font, anchor="lt")
            height = box[3] - box[1] + 2 * width
            start = top - height if top >= height else max(0.0, top)
            draw.rectangle((left, start, box[2] + 2 * width, start + height), fill=GREEN)
            draw.text((left + width, start + width), words, fill="white", font=font, anchor="lt")
    if net:
        words = f"net: {net}"
        across, down = draw.textbbox((0, 0), words, font=font, anchor="lt")[2:]
        top = max(0, drawn.height - down - 2 * width)
        draw.rectangle((0, top, across + 2 * width, drawn.height), fill="black")
        draw.text((width, top + width), words, fill="white", font=font, anchor="lt")
    return drawn


def caption(reading: Reading, sure: float = 0.0) -> str:
    """The most probable expression with its probability, as in "happy 87 %"; empty without a net.

    Args:
        reading: of a face.
        sure: probability below which it is "not sure", without a number.
    """
    name = word(reading, sure)
    if name in ("", NOT_SURE):
        return name
    return f"{name} {reading.probabilities[name]:.0%}".replace("%", " %")
