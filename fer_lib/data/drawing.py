"""Draws the faces of `synthetic` from their parameters.

Nothing is used but +, −, ×, ÷, √ and comparisons of IEEE numbers, which give the same bits on every
platform; sin, exp and powers do not. Edges are smooth because a shape's signed distance, in pixels, is
turned into the share of each pixel that it covers.

Coordinates of a face: x to the right, y down, 1 = half the picture. Tones: 0 black, 1 white. Every parameter
is a float32 array [B, 1, 1], every shape one of [B, 48, 48].
"""

import numpy as np

from fer_lib.data.dataset import FACE_SIDE

Tone = np.ndarray | np.floating | float

PARTS = ("brows", "eyes", "nose", "mouth")


def draw(face: dict[str, np.ndarray], grain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw a block of faces.

    Args:
        face: every parameter that `synthetic` draws, by name, float32 [B, 1, 1] each.
        grain: noise of variance 1, float32 [B, 48, 48].

    Returns:
        Pictures uint8 [B, 48, 48], and where each of PARTS lies, bool [B, 4, 48, 48].
    """
    canvas = _Canvas(face)
    _head(canvas, face)
    nose = _nose(canvas, face)
    eyes = _eyes(canvas, face)
    brows = _brows(canvas, face)
    mouth = _mouth(canvas, face)
    _hair(canvas, face)
    _glasses(canvas, face)
    _light(canvas, face)
    _bar(canvas, face)
    picture = canvas.picture + face["noise"] * grain
    return (np.clip(picture, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8), np.stack([brows, eyes, nose, mouth], 1)


class _Canvas:
    """A block of pictures, and where each of their pixels lies on the face.

    Attributes:
        px, py: on the picture.
        x, y: on the head, upright.
        u, v: on the features, which a turn or nod shifts against the outline of the head.
        side: distance from the middle of the face, so that both halves are drawn at once.
    """

    def __init__(self, f: dict[str, np.ndarray]) -> None:
        raster = ((np.arange(FACE_SIDE) + 0.5) * (2 / FACE_SIDE) - 1).astype(np.float32)
        self.px, self.py = raster[None, None, :], raster[None, :, None]
        # f["rotate"] is the tangent of half the angle.
        squared = f["rotate"] * f["rotate"]
        cos, sin = (1 - squared) / (1 + squared), 2 * f["rotate"] / (1 + squared)
        dx, dy = self.px - f["shift_x"], self.py - f["shift_y"]
        self.x, self.y = (cos * dx + sin * dy) / f["scale"], (cos * dy - sin * dx) / f["scale"]
        across, down = self.x / f["head_width"], self.y / f["head_height"]
        self.u = self.x - f["turn"] * np.maximum(1 - across * across, 0)
        self.v = self.y - f["nod"] * np.maximum(1 - down * down, 0)
        self.side = np.abs(self.u)
        self._pixels_per_unit = f["scale"] * (FACE_SIDE / 2)
        self.picture = f["ground"] + f["ground_x"] * self.px + f["ground_y"] * self.py

    def cover(self, distance: np.ndarray) -> np.ndarray:
        """Share of each pixel that a shape covers, from the distance to its edge, positive inside."""
        return np.clip(distance * self._pixels_per_unit + np.float32(0.5), 0, 1)

    def paint(self, share: np.ndarray, tone: Tone) -> None:
        """Lay a tone over the picture, as thickly as ``share`` says."""
        self.picture += share * (tone - self.picture)


def _ellipse(x: np.ndarray, y: np.ndarray, a: Tone, b: Tone) -> np.ndarray:
    """Distance to the edge of an ellipse of half axes a and b, to first order; positive inside."""
    inverse_a, inverse_b = 1 / a, 1 / b
    p, q = x * inverse_a, y * inverse_b
    level = np.sqrt(p * p + q * q)
    p, q = p * inverse_a, q * inverse_b
    return (1 - level) * level / (np.sqrt(p * p + q * q) + np.float32(1e-6))


def _between(v: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Distance to the edge of the shape below one curve and above another, measured downwards."""
    return np.minimum(v - top, bottom - v)


def _head(c: _Canvas, f: dict[str, np.ndarray]) -> None:
    wide, high, skin = f["head_width"], f["head_height"], f["skin"]
    behind = np.minimum(_ellipse(c.x, c.y + np.float32(0.1), wide + 0.1, high), f["hair_length"] - c.y)
    c.paint(c.cover(behind), f["hair"])
    c.paint(c.cover(np.minimum(wide * 0.6 - np.abs(c.x), c.y - 0.4)), skin * 0.7)
    c.paint(c.cover(_ellipse(np.abs(c.x) - wide, c.y + 0.02, np.float32(0.08), np.float32(0.17))), skin * 0.8)
    jaw = 1 - f["jaw"] * np.maximum(c.y, 0)
    face = c.cover(_ellipse(c.x / jaw, c.y, wide, high))
    c.paint(face, skin * (1 - f["round"] * (c.x * c.x + 0.5 * c.y * c.y)))
    c.paint(face * f["beard"] * c.cover(np.minimum(c.v - 0.3, c.side * 0.6 + c.v - 0.5)), f["hair"] * 0.6)


def _nose(c: _Canvas, f: dict[str, np.ndarray]) -> np.ndarray:
    tip, wide, skin = f["nose_y"], f["nose_width"], f["skin"]
    across = c.u / (wide * 0.6)
    along = np.clip((c.v + 0.15) * 3, 0, 1) * np.clip((tip + 0.06 - c.v) * 12, 0, 1)
    c.paint(0.25 * along / (1 + across * across * across * across), skin * 1.25)
    shade = (c.u - wide * 0.9) / (wide * 0.5)
    c.paint(0.3 * along / (1 + shade * shade * 4), skin * 0.55)
    c.paint(0.55 * c.cover(_ellipse(c.side - wide * 0.55, c.v - tip - 0.03, wide * 0.3, np.float32(0.022))), 0.08)
    wing = c.side - wide * 1.05
    c.paint(0.4 * c.cover(_ellipse(wing, c.v - tip + 0.01, np.float32(0.02), np.float32(0.05))), skin * 0.45)
    # Wrinkles across the bridge, and folds from the wings of the nose past the corners of the mouth.
    bridge = np.zeros_like(c.picture)
    for height in (-0.16, -0.085, -0.01):
        curve = np.float32(height) + c.u * c.u * 2.5
        bridge = np.maximum(bridge, c.cover(np.minimum(0.014 - np.abs(c.v - curve), 0.1 - c.side)))
    c.paint(np.clip(f["wrinkle"], 0, 1) * 0.6 * bridge, skin * 0.35)
    fold_x = wide * 1.3 + (c.v - tip + 0.05) * 0.65
    within = np.minimum(c.v - tip + 0.06, tip + 0.26 - c.v)
    fold = c.cover(np.minimum(0.017 - np.abs(c.side - fold_x), within))
    c.paint(np.clip(f["fold"], 0, 1) * 0.5 * fold, skin * 0.4)
    return np.minimum(np.minimum(wide * 1.3 + 0.08 - c.side, c.v + 0.22), tip + 0.1 - c.v) > 0


def _eyes(c: _Canvas, f: dict[str, np.ndarray]) -> np.ndarray:
    wide = f["eye_width"]
    high = f["eye_height"] * np.maximum(1 + 0.75 * f["open"], 0.12)
    across = (c.side - f["eye_x"]) / wide
    bulge = 1 - across * across
    top, bottom = f["eye_y"] - high * bulge, f["eye_y"] + 0.65 * high * bulge
    lens = c.cover(np.minimum(_between(c.v, top, bottom), wide - np.abs(c.side - f["eye_x"])))
    socket = _ellipse(c.side - f["eye_x"], c.v - f["eye_y"] + 0.03, wide * 1.35, np.float32(0.15))
    c.paint(0.25 * np.clip(socket * 8, 0, 1), f["skin"] * 0.5)
    c.paint(lens, np.float32(0.92))
    # Both irises move to the same side of the picture.
    iris_x = c.side - f["eye_x"] - f["gaze"] * np.sign(c.u)
    c.paint(lens * c.cover(_ellipse(iris_x, c.v - f["eye_y"] + 0.01, np.float32(0.072), np.float32(0.072))), f["iris"])
    c.paint(lens * c.cover(_ellipse(iris_x - 0.02, c.v - f["eye_y"] + 0.03, np.float32(0.02), np.float32(0.02))), 1.0)
    lid = np.minimum(0.02 - np.abs(c.v - top), wide * 1.08 - np.abs(c.side - f["eye_x"]))
    c.paint(0.9 * c.cover(lid), 0.06)
    lower = np.minimum(0.01 - np.abs(c.v - bottom), wide * 0.95 - np.abs(c.side - f["eye_x"]))
    c.paint(0.4 * c.cover(lower), 0.1)
    return _ellipse(c.side - f["eye_x"], c.v - f["eye_y"], wide + 0.05, high + 0.06) > 0


def _brows(c: _Canvas, f: dict[str, np.ndarray]) -> np.ndarray:
    wide, thick = f["brow_width"], f["brow_thick"]
    middle = f["eye_x"] - 0.05 * f["draw"]
    across = (c.side - middle) / wide  # -1 at the inner end, +1 at the outer
    squared = across * across
    # f["tilt"] lifts the inner end, f["raise"] the whole.
    height = f["brow_y"] - 0.11 * f["raise"] + f["brow_arch"] * squared * (1 + np.maximum(f["raise"], 0))
    height = height + (f["brow_tilt"] + 0.095 * f["tilt"]) * across
    brow = thick * (1 - 0.35 * across) * (1 - squared * squared) - np.abs(c.v - height)
    brow = np.minimum(brow, wide - np.abs(c.side - middle))
    c.paint(0.9 * c.cover(brow), np.minimum(f["hair"], f["skin"] * 0.6) * 0.8)
    frown = np.minimum(0.014 - np.abs(c.side - 0.05), 0.08 - np.abs(c.v - f["brow_y"] - 0.06))
    c.paint(0.5 * np.clip(f["draw"], 0, 1) * c.cover(frown), f["skin"] * 0.4)
    return np.minimum(wide + 0.04 - np.abs(c.side - middle), thick + 0.05 - np.abs(c.v - height)) > 0


def _mouth(c: _Canvas, f: dict[str, np.ndarray]) -> np.ndarray:
    wide = f["mouth_width"] * (1 + 0.45 * f["width"])
    across = c.u / wide
    bulge = 1 - across * across
    # A positive curve lifts the corners; an open mouth drops the lower lip more than it lifts the upper; a
    # sneer lifts the upper lip alone.
    line = f["mouth_y"] + (f["mouth_curve"] + 0.13 * f["curve"]) * (bulge - 0.5)
    gap = 0.17 * f["gap"] * bulge
    upper, lower = line - (0.45 * gap + 0.08 * f["sneer"] * bulge), line + gap
    lip = f["lip"] * np.maximum(bulge, 0)
    within = wide - np.abs(c.u)
    lips = np.minimum(_between(c.v, upper - lip, lower + lip * 1.3), within)
    c.paint(0.8 * c.cover(lips), f["skin"] * 0.62)
    inside = np.minimum(_between(c.v, upper, lower), within)
    c.paint(c.cover(inside), 0.07)
    teeth = np.minimum(inside, upper + 0.5 * (lower - upper) + 0.02 - c.v)
    c.paint(np.clip(f["teeth"], 0, 1) * c.cover(teeth), np.float32(0.93))
    parted = np.minimum(0.013 - np.abs(c.v - line), wide * 1.04 - np.abs(c.u))
    c.paint(0.85 * c.cover(np.where(lower - upper > 0.02, np.float32(-1), parted)), 0.1)
    shadow = _ellipse(c.u, c.v - lower - lip * 1.3 - 0.05, wide * 0.6, np.float32(0.035))
    c.paint(0.2 * np.clip(shadow * 15, 0, 1), f["skin"] * 0.4)
    return np.minimum(wide + 0.06 - np.abs(c.u), _between(c.v, upper - lip - 0.05, lower + lip * 1.3 + 0.05)) > 0


def _hair(c: _Canvas, f: dict[str, np.ndarray]) -> None:
    cap = _ellipse(c.x, c.y + np.float32(0.1), f["head_width"] + 0.1, f["head_height"])
    across = c.x - f["parting"]
    fringe = f["hairline"] + 0.55 * across * across - c.y
    c.paint(c.cover(np.minimum(np.minimum(cap, fringe), f["hair_length"] - c.y)), f["hair"])
    bend = f["strand_x"] + f["strand_bend"] * (c.y + 0.6) * (c.y + 0.6)
    strand = np.minimum(np.minimum(0.045 * (1 - c.y) - np.abs(c.x - bend), 0.3 - c.y), cap)
    c.paint(f["strand"] * c.cover(strand), f["hair"] * 0.9)


def _glasses(c: _Canvas, f: dict[str, np.ndarray]) -> None:
    rim = _ellipse(c.side - f["eye_x"] - 0.01, c.v - f["eye_y"], f["eye_width"] + 0.1, np.float32(0.19))
    bridge = np.minimum(0.02 - np.abs(c.v - f["eye_y"] + 0.03), f["eye_x"] - f["eye_width"] - 0.07 - c.side)
    temple = np.minimum(0.02 - np.abs(c.v - f["eye_y"] + 0.05), c.side - f["eye_x"] - f["eye_width"] - 0.1)
    temple = np.minimum(temple, f["head_width"] - np.abs(c.x))
    frame = np.maximum(np.maximum(0.022 - np.abs(rim), bridge), temple)
    worn = np.maximum(f["glasses"], f["dark_glasses"])
    c.paint(f["dark_glasses"] * 0.92 * c.cover(rim), 0.08)
    c.paint(worn * c.cover(frame), 0.08)


def _light(c: _Canvas, f: dict[str, np.ndarray]) -> None:
    light = f["gain"] * (1 + f["light_x"] * c.px + f["light_y"] * c.py)
    into_shadow = np.clip((c.px - f["shadow_x"] + f["shadow_slope"] * c.py) * 6, -1, 1) * 0.5 + 0.5
    c.picture = c.picture * light * (1 - f["shadow"] * into_shadow) + f["lift"]


def _bar(c: _Canvas, f: dict[str, np.ndarray]) -> None:
    along_x, along_y = c.py - f["bar_slope"] * c.px, c.px - f["bar_slope"] * c.py
    off = np.abs(np.where(f["bar_steep"] > 0, along_y, along_x) - f["bar_at"])
    c.paint(f["bar"] * c.cover(f["bar_half"] - off), f["bar_tone"])
