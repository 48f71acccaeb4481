"""Augmentation of whole batches, on whatever device holds the pictures.

Random numbers and arithmetic are kept apart. `Augmentation.draw` draws the parameters of every picture of
an epoch at once from a CPU generator, so that they are the same on every device, whatever the batch size,
and after a resumed run; `Augmentation.apply` is then a pure function of pictures and parameters with a fixed
sequence of tensor operations: it never reads a value back to the host.

Conventions: pictures are square, grey and uint8 ``[B, H, W]``; what comes out is float32 ``[B, 1, S, S]``,
normalised by `normalize`. Magnitudes mean what they mean in `torchvision.transforms.functional`, on pictures
of 0..1.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fer_lib.data.dataset import FACE_SIDE
from fer_lib.errors import UserError, check_known
from fer_lib.parts import VIEWS, Augment, View
from fer_lib.schema import check

MEAN = 0.5
STD = 0.25


def normalize(images: Tensor) -> Tensor:
    """Bring pictures of 0..1 to the scale that every model sees: ``(images - MEAN) / STD``.

    The constants are fixed, not measured, so that a model's input does not depend on the training set.
    """
    return images.sub(MEAN).div_(STD)


def face_view(augment: Mapping[str, Any]) -> View:
    """What a recipe with this augmentation shows its net of a face, a picture of 48 x 48 pixels."""
    return Augmentation.from_dict(augment).view(FACE_SIDE)


@dataclass(frozen=True)
class Draws:
    """The drawn parameters of some pictures: one row a picture, one named column a parameter.

    One tensor, so that an epoch's draws move to the device in one copy and a captured step has one input.

    Attributes:
        values: float32 ``[n, K]``.
        columns: the K names, see `Augmentation.draw`.
    """

    values: Tensor
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    @overload
    def __getitem__(self, key: str) -> Tensor: ...

    @overload
    def __getitem__(self, key: slice | Tensor) -> "Draws": ...

    def __getitem__(self, key: str | slice | Tensor) -> "Tensor | Draws":
        """One parameter ``[n]`` by its name, or the draws of the pictures that a slice or index picks."""
        if isinstance(key, str):
            return self.values[:, self.columns.index(key)]
        return Draws(self.values[key], self.columns)

    def to(self, device: torch.device | str) -> "Draws":
        return Draws(self.values.to(device, non_blocking=True), self.columns)


_NEUTRAL = {
    "rotate": 0.0,
    "shear": 0.0,
    "scale": 1.0,
    "shift": 0.0,
    "brightness": 1.0,
    "contrast": 1.0,
    "gamma": 1.0,
    "noise": 0.0,
}
"""The magnitudes that change nothing, in the order in which they are drawn."""


class Augmentation(Augment, frozen=True):
    """What happens to a training picture, with the fields of :class:`fer_lib.parts.Augment`.

    The geometry is one warp (bilinear, black outside the picture): the picture is sheared, scaled and rotated
    about its center, shifted, and seen through a window, which is enlarged and flipped. Crops and flips alone copy
    pixels.
    Light follows in the order of the fields: brightness, contrast, gamma, noise, each cut to 0..1, then the
    box of `erase`. Colour jitter of a grey picture is brightness and contrast.
    """

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Augmentation":
        """Read the plain values of a recipe.

        Args:
            values: field names and plain values. A range is ``[low, high]`` or ``[low, high, p]``; ``erase`` is a
                table of its fields, such as ``{"p": 0.5, "area": [0.02, 0.33]}``.

        Raises:
            UserError: an unknown key, or a value of the wrong type or outside its limits.
        """
        return check(cls, values, "augmentation")

    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        """Draw the parameters of `n` pictures, each picture's by itself.

        Only what the augmentation asks for becomes a column: ``left``, ``top`` (pixels), ``window`` (side in
        pixels), ``flip`` (0 or 1), ``rotate``, ``shear``, ``scale``, ``shift_x``,
        ``shift_y``, ``brightness``, ``contrast``, ``gamma``, ``noise`` (as the field says, or the value that
        changes nothing), ``noise_seed`` (a whole number below 2^24), ``erase_top``, ``erase_left``,
        ``erase_height``, ``erase_width`` (pixels of the output; 0 high without a box) and ``mixup`` (the
        picture's own weight).

        Args:
            n: number of pictures, usually an epoch's.
            size: side of the pictures in pixels.
            generator: on the CPU; it alone decides what is drawn.

        Returns:
            the draws, on the CPU.
        """
        shown, out = self.view(size)

        def uniform(low: float | Tensor = 0.0, high: float | Tensor = 1.0) -> Tensor:
            return low + (high - low) * torch.rand(n, generator=generator)

        def whole(count: float | Tensor) -> Tensor:
            """Uniform over 0, 1, ..., count - 1; the product stays below `count` in float32 too."""
            return (torch.rand(n, generator=generator) * count).floor()

        columns: dict[str, Tensor] = {}
        if self.area:
            side = (uniform(self.area.low, self.area.high).sqrt() * size).round().clamp(min=1.0)
            columns["window"] = torch.where(uniform() < self.area.p, side, float(shown))
        if self.area or shown < size:
            room = size + 1 - columns.get("window", torch.full((n,), float(shown)))
            columns["left"] = whole(room)
            columns["top"] = whole(room)
        if self.flip:
            columns["flip"] = (uniform() < self.flip).float()
        for name, neutral in _NEUTRAL.items():
            if not (asked := getattr(self, name)):
                continue
            chosen = uniform() < asked.p
            for column in ("shift_x", "shift_y") if name == "shift" else (name,):
                columns[column] = torch.where(chosen, uniform(asked.low, asked.high), neutral)
        if self.noise:
            columns["noise_seed"] = whole(2**24)
        if self.erase:
            area = uniform(*self.erase.area) * out**2
            ratio = uniform(*map(math.log, self.erase.ratio)).exp()
            height = (area * ratio).sqrt().round().clamp(1, out)
            width = (area / ratio).sqrt().round().clamp(1, out)
            columns["erase_top"] = whole(out + 1 - height)
            columns["erase_left"] = whole(out + 1 - width)
            columns["erase_height"] = torch.where(uniform() < self.erase.p, height, 0.0)
            columns["erase_width"] = width
        if self.mixup:
            # PyTorch's Beta takes no generator; NumPy's takes a seed.
            seed = int(torch.randint(2**62, (1,), generator=generator))
            weights = np.random.default_rng(seed).beta(self.mixup, self.mixup, n)
            columns["mixup"] = torch.from_numpy(weights.astype(np.float32))
        values = torch.stack(list(columns.values()), 1) if columns else torch.empty(n, 0)
        return Draws(values, tuple(columns))

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """Augment a batch.

        Args:
            images: uint8 ``[B, H, H]``, left as they are.
            draws: of these B pictures, made by this augmentation for their size, on the same device.

        Returns:
            normalised pictures, float32 ``[B, 1, S, S]``, in the order of `images`. With one channel the
            layouts NCHW and channels-last are the same memory.
        """
        x = _warp(images, draws, *self.view(_side(images))).div_(255)
        if "brightness" in draws:
            x = x.mul_(draws["brightness"].view(-1, 1, 1, 1)).clamp_(0, 1)
        if "contrast" in draws:
            mean = x.mean((1, 2, 3), keepdim=True)
            x = x.sub_(mean).mul_(draws["contrast"].view(-1, 1, 1, 1)).add_(mean).clamp_(0, 1)
        if "gamma" in draws:
            x = x.pow_(draws["gamma"].view(-1, 1, 1, 1))
        if "noise" in draws:
            noise = gaussian_noise(draws["noise_seed"], x.shape[-1])
            x = x.add_(noise.mul_(draws["noise"].view(-1, 1, 1, 1))).clamp_(0, 1)
        if self.erase:
            box = _inside(draws, "erase_top", "erase_height", x)[:, None, :, None]
            box = box & _inside(draws, "erase_left", "erase_width", x)[:, None, None, :]
            x = x.masked_fill_(box, self.erase.value)
        return normalize(x)


def _side(images: Tensor) -> int:
    if images.dtype != torch.uint8 or images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(f"pictures must be uint8 [B, H, H], not {images.dtype} {list(images.shape)}")
    return images.shape[-1]


def _inside(draws: Draws, start: str, length: str, x: Tensor) -> Tensor:
    """Which of the output's rows or columns lie in each picture's box: bool ``[B, S]``."""
    steps = torch.arange(x.shape[-1], device=x.device)
    first = draws[start][:, None]
    return (steps >= first) & (steps < first + draws[length][:, None])


def _warp(images: Tensor, draws: Draws, shown: int, out: int) -> Tensor:
    """Apply the geometry of all pictures at once: float32 ``[B, 1, out, out]`` of 0..255.

    Windows of ``shown`` pixels are enlarged to ``out``, unless each picture has a window of its own.
    """
    batch, size, _ = images.shape
    # x and y: where the window's columns and rows lie in the picture, in pixels, [B, out].
    x = y = steps = torch.arange(out, device=images.device, dtype=torch.float32).expand(batch, out)
    if "flip" in draws:
        x = torch.where(draws["flip"][:, None] > 0, out - 1 - steps, steps)
    resampled = "window" in draws or shown != out
    if resampled:
        # Half a pixel along the rim has no outer neighbour; it repeats the rim, as a resize does.
        window = draws["window"][:, None] if "window" in draws else shown
        x, y = (((step + 0.5) * (window / out) - 0.5).clamp(min=0).clamp(max=window - 1) for step in (x, y))
    if "left" in draws:
        x, y = x + draws["left"][:, None], y + draws["top"][:, None]

    if not resampled and not any(name in draws for name in ("rotate", "shear", "scale", "shift_x")):
        if x is steps and y is steps:
            return images.unsqueeze(1).float()
        source = size * y.long()[:, :, None] + x.long()[:, None, :]
        return images.reshape(batch, -1).gather(1, source.view(batch, -1)).view(batch, 1, out, out).float()

    # The affine map is inverted: output position, about the center -> position to read. The coefficients are
    # numbers or [B, 1, 1].
    x, y = x[:, None, :] - (size - 1) / 2, y[:, :, None] - (size - 1) / 2
    drawn = {name: draws[name].view(-1, 1, 1) for name in draws.columns}
    if "shift_x" in draws:
        x, y = x - size * drawn["shift_x"], y - size * drawn["shift_y"]
    # Numbers or [B, 1, 1].
    xx: Any = 1.0
    xy: Any = 0.0
    yx: Any = 0.0
    yy: Any = 1.0
    if "rotate" in draws:
        angle = drawn["rotate"].deg2rad()
        xx, xy, yx, yy = angle.cos(), -angle.sin(), angle.sin(), angle.cos()
    if "shear" in draws:
        slope = drawn["shear"].deg2rad().tan()
        xx, xy = xx + slope * yx, xy + slope * yy
    unit = 2 / size / drawn.get("scale", 1.0)  # grid_sample counts from -1 to 1 across the picture
    x, y = x * unit, y * unit
    grid = torch.stack((x * xx + y * xy, x * yx + y * yy), -1)
    return F.grid_sample(images.unsqueeze(1).float(), grid, padding_mode="zeros", align_corners=False)


def gaussian_noise(seeds: Tensor, size: int) -> Tensor:
    """Standard normal noise that depends on nothing but each picture's seed and the pixel's position.

    A hash of seed and position (the 32-bit integer finaliser `lowbias32` of Wellons 2018) gives 32 bits for
    two pixels; their halves are the two uniform numbers of the Box-Muller transform.

    Args:
        seeds: whole numbers, float32 ``[B]``.
        size: side S in pixels.

    Returns:
        float32 ``[B, 1, S, S]`` on the device of `seeds`.
    """
    pairs = (size * size + 1) // 2
    position = torch.arange(pairs, device=seeds.device, dtype=torch.int32)
    bits = _hash(_hash(seeds.to(torch.int32))[:, None] + position)
    radius = ((bits & 0xFFFF).float() + 0.5).mul_(2.0**-16).log_().mul_(-2).sqrt_()
    angle = _shift(bits, 16).float().mul_(2 * math.pi / 2**16)
    noise = torch.cat((radius * angle.cos(), radius * angle.sin()), 1)
    return noise[:, : size * size].reshape(-1, 1, size, size)


def _shift(bits: Tensor, by: int) -> Tensor:
    """Logical right shift: int32 `>>` copies the sign."""
    return (bits >> by) & ((1 << (32 - by)) - 1)


def _hash(bits: Tensor) -> Tensor:
    """Mix int32 bits; products wrap around. The second factor is 0x846ca68b as a signed number."""
    bits = (bits ^ _shift(bits, 16)) * 0x7FEB352D
    bits = (bits ^ _shift(bits, 15)) * (0x846CA68B - 2**32)
    return bits ^ _shift(bits, 16)


def mix(images: Tensor, targets: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Blend each picture and its target with those of the one before it in the batch (mixup, Zhang et al. 2018).

    An epoch's order is random, so the picture before is a random partner. Each picture has its own weight.

    Args:
        images: float ``[B, 1, S, S]``.
        targets: one-hot or soft, float ``[B, C]``.
        draws: of these pictures, of an augmentation with `mixup`.

    Returns:
        mixed pictures and soft targets, of the same shapes.
    """
    weight = draws["mixup"]
    mixed = images.roll(1, 0).lerp(images, weight.view(-1, 1, 1, 1))
    return mixed, targets.roll(1, 0).lerp(targets, weight.view(-1, 1).to(targets.dtype))


JITTER_SIZES = (0.8, 0.93, 1.07, 1.2)  # of the view "one": the sides of the views "jitter"
JITTER_SHIFT = 2  # pixels by which these are moved off the center, along both axes


def test_views(images: Tensor, kind: str, size: int, resize: int | None = None) -> Tensor:  # noqa: PT028 no test
    """Cut the fixed views whose predictions are averaged at test time.

    Args:
        images: uint8 ``[B, H, H]``.
        kind: ``"one"`` (center), ``"flip"`` (center and its mirror image), ``"five"`` (the corners top left,
            top right, bottom left, bottom right, then the center) or ``"ten"`` (the five, then those of the
            mirrored picture): the orders of torchvision's `center_crop`, `five_crop` and `ten_crop`; or
            ``"jitter"`` (`JITTER_SIZES` times as large, each moved `JITTER_SHIFT` pixels towards the corners in the
            order of ``"five"``, brought to the size of the others, then their mirror images): for faces of a
            detector, whose boxes vary. Outside the picture its rim is repeated.
        size: side of the square that is cut, in pixels.
        resize: side to which each square is then enlarged, bilinearly; None to leave it.

    Returns:
        normalised views, float32 ``[V, B, 1, S, S]``, S being ``resize`` or ``size``.

    Raises:
        UserError: an unknown kind, or a view larger than the picture.
    """
    check_known("kind of test views", kind, VIEWS)
    far = _side(images) - size
    if size < 1 or far < 0:
        raise UserError(f"test views of {size} pixels do not fit into pictures of {images.shape[-1]}")
    if kind == "jitter":
        views = _jittered(images.float().unsqueeze(1), size, resize or size).div_(255)
        return normalize(torch.cat([views, views.flip(4)]))
    middle = round(far / 2)
    corners = [(0, 0), (0, far), (far, 0), (far, far)] if kind in ("five", "ten") else []
    sides = [images, images.flip(2)] if kind in ("flip", "ten") else [images]
    cut = [
        side[:, top : top + size, left : left + size] for side in sides for top, left in [*corners, (middle, middle)]
    ]
    views = torch.stack(cut).float()
    if resize is not None and resize != size:
        views = F.interpolate(views, (resize, resize), mode="bilinear", align_corners=False)
    return normalize(views.unsqueeze(2).div_(255))


def _jittered(x: Tensor, size: int, out: int) -> Tensor:
    """The views "jitter" before they are mirrored, bilinear: from ``[B, 1, H, H]`` to ``[V, B, 1, out, out]``."""
    seen = []
    off = 2 * JITTER_SHIFT / x.shape[-1]  # of half the picture's side, as affine_grid counts
    for share, down, right in itertools.product(JITTER_SIZES, (-off, off), (-off, off)):
        scale = share * size / x.shape[-1]
        window = torch.tensor([[scale, 0.0, right], [0.0, scale, down]], device=x.device)
        grid = F.affine_grid(window.expand(len(x), -1, -1), [len(x), 1, out, out], align_corners=False)
        seen.append(F.grid_sample(x, grid, padding_mode="border", align_corners=False))
    return torch.stack(seen)
