"""Drawn faces: seven expressions, with the places known where each of them shows.

The embedded datasets: no download, no licence, the same on every machine. Faces differ in identity, pose,
light and occlusion, so that the position of a pixel alone says little about the expression. :func:`synthetic` has
one picture of a person's expression and a split, as FER2013; :func:`synthetic_films` has several nearly equal ones and
no split, as CK+.

This file decides what is drawn: who, with which expression, how turned, lit and covered. `drawing` draws it.
"""

import numpy as np

from fer_lib.data.dataset import FACE_SIDE, FER2013_CLASSES, SPLITS, FaceDataset
from fer_lib.data.drawing import PARTS, draw

_BLOCK = 24  # faces drawn at once: their canvases fit into a processor's cache

# How far each expression moves each feature at full strength, in units of the feature's range; after the
# action units of the Facial Action Coding System that Ekman & Friesen ascribe to it.
_MOVES = ("raise", "tilt", "draw", "open", "curve", "gap", "width", "teeth", "sneer", "wrinkle", "fold")
_EXPRESSIONS = {
    #            brows              eyes   mouth                           nose, cheeks
    "angry":    (-0.9, -1.1, 0.9,  -0.15,  -0.30, 0.35,  0.05, 1.0, 0.0,  0.1, 0.1),
    "disgust":  (-0.4,  0.0, 0.2,  -0.70,  -0.60, 0.00, -0.25, 1.0, 1.0,  1.0, 1.0),
    "fear":     ( 0.7,  0.7, 0.6,   0.80,  -0.35, 0.50,  0.25, 0.5, 0.0,  0.0, 0.0),
    "happy":    ( 0.1,  0.0, 0.0,  -0.25,   1.00, 0.45,  0.35, 1.0, 0.0,  0.0, 0.8),
    "sad":      ( 0.2,  1.0, 0.4,  -0.40,  -0.95, 0.00, -0.15, 0.0, 0.0,  0.0, 0.1),
    "surprise": ( 1.0,  0.0, 0.0,   0.90,   0.05, 1.25, -0.45, 0.0, 0.0,  0.0, 0.0),
    "neutral":  ( 0.0,  0.0, 0.0,   0.00,   0.00, 0.00,  0.00, 0.0, 0.0,  0.0, 0.0),
}  # fmt: skip
# Where an expression shows: what it moves most. A neutral face shows in all that would move otherwise.
_SHOWS_IN = {
    "angry": ("brows", "mouth"),
    "disgust": ("nose", "mouth"),
    "fear": ("brows", "eyes", "mouth"),
    "happy": ("mouth",),
    "sad": ("brows", "mouth"),
    "surprise": ("brows", "eyes", "mouth"),
    "neutral": ("brows", "eyes", "mouth"),
}


def synthetic(train: int = 2100, val: int = 350, test: int = 350, seed: int = 0) -> FaceDataset:
    """Draw a dataset of faces.

    Every subject shows each expression once, and belongs to one split only.

    Args:
        train: number of training pictures.
        val: number of validation pictures.
        test: number of test pictures.
        seed: what all chance follows from.

    Returns:
        Pictures of 48 x 48 pixels with ``subject`` and ``regions``, in FER2013's classes.
    """
    sizes = (train, val, test)
    within = np.concatenate([np.arange(size) for size in sizes])
    split = np.repeat(SPLITS, sizes)
    labels = within % len(FER2013_CLASSES)
    names = np.array([f"{s}{i:04d}" for s, i in zip(split, within // len(FER2013_CLASSES), strict=True)], np.str_)
    _, subject = np.unique(names, return_inverse=True)
    chance = _Chance(seed)
    faces = _people(chance, subject) | _moves(chance, labels) | _circumstances(chance, len(labels))
    images, regions = _drawn(chance, faces, labels)
    return FaceDataset(
        name="synthetic",
        images=images,
        labels=labels.astype(np.int64),
        classes=FER2013_CLASSES,
        split=split,
        source="drawn",
        subject=names,
        regions=regions,
    )


def synthetic_films(persons: int = 40, films: int = 3, frames: int = 3, seed: int = 0) -> FaceDataset:
    """Draw the last frames of films, each of one person's face that moves towards an expression.

    The frames of a film differ by a twentieth of the movement, by less than a pixel of the pose and by noise, so that
    whoever has met one of them knows the others.

    Args:
        persons: number of persons.
        films: of each person, with an expression each; 7 at most.
        frames: of each film.
        seed: what all chance follows from.

    Returns:
        Pictures of 48 x 48 pixels with ``subject``, ``sequence`` and ``regions``, in FER2013's classes, sorted by
        class as CK+48's are; no split.
    """
    number = np.arange(persons * films)
    order = np.argsort(number % len(FER2013_CLASSES), kind="stable")
    person, label = number[order] // films, number[order] % len(FER2013_CLASSES)
    chance = _Chance(seed)
    filmed = _people(chance, person) | _moves(chance, label) | _circumstances(chance, len(number))
    film, before_peak = np.repeat(np.arange(len(number)), frames), np.tile(np.arange(frames)[::-1], len(number))
    faces = {name: values[film] for name, values in filmed.items()}
    for name in _MOVES:
        faces[name] = faces[name] * (1 - 0.05 * before_peak)
    for name in ("rotate", "shift_x", "shift_y", "turn", "nod"):
        faces[name] = faces[name] + chance.uniform(-0.01, 0.01, len(film))
    images, regions = _drawn(chance, faces, label[film])
    subject = np.array([f"P{one:03d}" for one in person])[film]
    return FaceDataset(
        name="synthetic_films",
        images=images,
        labels=label[film].astype(np.int64),
        classes=FER2013_CLASSES,
        split=np.full(len(film), ""),
        source="drawn",
        subject=subject,
        sequence=np.array([f"{who}_{FER2013_CLASSES[of]}" for who, of in zip(subject, label[film], strict=True)]),
        regions=regions,
    )


def _drawn(chance: "_Chance", faces: dict[str, np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures, uint8 [N, H, W], and where their expressions show, bool of that shape."""
    images = np.empty((len(labels), FACE_SIDE, FACE_SIDE), np.uint8)
    regions = np.empty(images.shape, bool)
    for start in range(0, len(labels), _BLOCK):
        block = slice(start, start + _BLOCK)
        face = {name: values[block, None, None].astype(np.float32) for name, values in faces.items()}
        images[block], shapes = draw(face, chance.bell((len(labels[block]), FACE_SIDE, FACE_SIDE)))
        shown = [[part in _SHOWS_IN[FER2013_CLASSES[label]] for part in PARTS] for label in labels[block]]
        regions[block] = (shapes & np.array(shown)[..., None, None]).any(1)
    return images, regions


class _Chance:
    """Random numbers that no release of NumPy changes: made from a bit generator's raw integers."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def uniform(self, low: float, high: float, n: int) -> np.ndarray:
        """Evenly spread numbers, float64 [n]."""
        return low + (high - low) * ((self._bits.random_raw(n) >> np.uint64(11)) * 2.0**-53)

    def happens(self, share: float, n: int) -> np.ndarray:
        """1 with the given probability, else 0, float64 [n]."""
        return (self.uniform(0, 1, n) < share).astype(float)

    def bell(self, shape: tuple[int, ...]) -> np.ndarray:
        """Nearly normal numbers of mean 0 and variance 1, float32: sums of four 16-bit integers."""
        raw = self._bits.random_raw(int(np.prod(shape))).view(np.uint16).reshape(*shape, 4)
        total = raw[..., 0].astype(np.int32) + raw[..., 1] + raw[..., 2] + raw[..., 3]
        return ((total - 131070) * np.float32(1 / 37837)).astype(np.float32)


def _people(chance: _Chance, subject: np.ndarray) -> dict[str, np.ndarray]:
    """What stays the same in all pictures of a subject, per picture."""
    n = int(subject.max(initial=-1)) + 1
    u = chance.uniform
    people = {
        "skin": u(0.42, 0.85, n),
        "head_width": u(0.62, 0.76, n),
        "head_height": u(0.86, 1.0, n),
        "jaw": u(0.0, 0.25, n),
        "hair": u(0.04, 0.6, n),
        "hairline": u(-0.78, -0.5, n),
        "parting": u(-0.5, 0.5, n),
        "hair_length": u(-0.25, 1.3, n),
        "eye_x": u(0.27, 0.34, n),
        "eye_y": u(-0.19, -0.11, n),
        "eye_width": u(0.135, 0.175, n),
        "eye_height": u(0.062, 0.088, n),
        "iris": u(0.03, 0.3, n),
        "brow_y": u(-0.40, -0.34, n),
        "brow_width": u(0.16, 0.22, n),
        "brow_thick": u(0.022, 0.05, n),
        "brow_arch": u(0.02, 0.07, n),
        "brow_tilt": u(-0.02, 0.02, n),
        "nose_y": u(0.17, 0.25, n),
        "nose_width": u(0.08, 0.13, n),
        "mouth_y": u(0.47, 0.56, n),
        "mouth_width": u(0.22, 0.31, n),
        "mouth_curve": u(-0.012, 0.012, n),
        "lip": u(0.025, 0.05, n),
        "beard": chance.happens(0.15, n) * u(0.1, 0.35, n),
        "glasses": chance.happens(0.15, n),
        "dark_glasses": chance.happens(0.03, n),
    }
    return {name: values[subject] for name, values in people.items()}


def _moves(chance: _Chance, labels: np.ndarray) -> dict[str, np.ndarray]:
    """How far each picture's features are moved from their rest."""
    n = len(labels)
    table = np.array([_EXPRESSIONS[name] for name in FER2013_CLASSES])
    strength = chance.uniform(0.55, 1.1, n)
    moves = {name: table[labels, i] * strength + chance.uniform(-0.12, 0.12, n) for i, name in enumerate(_MOVES)}
    # Mouths of the same expression are open or shut.
    moves["gap"] = np.maximum(moves["gap"], 0) * chance.uniform(0.35, 1.1, n)
    return moves


def _circumstances(chance: _Chance, n: int) -> dict[str, np.ndarray]:
    """Pose, light, background and occlusion of each picture."""
    u, happens = chance.uniform, chance.happens
    return {
        "rotate": u(-0.1, 0.1, n),  # tangent of half the angle: up to 11 degrees
        "scale": u(0.95, 1.2, n),
        "shift_x": u(-0.09, 0.09, n),
        "shift_y": u(-0.1, 0.08, n),
        "turn": u(-0.14, 0.14, n),
        "nod": u(-0.07, 0.07, n),
        "gaze": u(-0.035, 0.035, n),
        "gain": u(0.6, 1.15, n),
        "lift": u(-0.05, 0.12, n),
        "light_x": u(-0.35, 0.35, n),
        "light_y": u(-0.25, 0.15, n),
        "round": u(0.1, 0.35, n),
        "shadow": happens(0.2, n) * u(0.2, 0.5, n),
        "shadow_x": u(-0.5, 0.5, n),
        "shadow_slope": u(-1.0, 1.0, n),
        "ground": u(0.0, 1.0, n),
        "ground_x": u(-0.25, 0.25, n),
        "ground_y": u(-0.25, 0.25, n),
        "strand": happens(0.15, n),
        "strand_x": u(-0.5, 0.5, n),
        "strand_bend": u(-0.5, 0.5, n),
        "bar": happens(0.1, n),
        "bar_at": u(-0.8, 0.8, n),
        "bar_slope": u(-1.0, 1.0, n),
        "bar_steep": happens(0.5, n),
        "bar_half": u(0.03, 0.09, n),
        "bar_tone": u(0.0, 1.0, n),
        "noise": u(0.005, 0.035, n),
    }
