"""The parts of a recipe as checked data: what may be asked of augmentation, views, loss, optimiser and schedule.

Each part is a table in a recipe; its type here says its options, their ranges and their defaults. Nothing here needs
PyTorch, so that a recipe is checked when it is read.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

from msgspec import Meta, Struct

from fer_lib.errors import UserError
from fer_lib.schema import BelowOne, Count, NotNegative, Part, Positive, Share, Whole

T = TypeVar("T", bound=float)

# ---------------------------------------------------------------- augmentation and views

VIEWS = {"one": 1, "flip": 2, "five": 5, "ten": 10, "jitter": 32}
"""Kinds of test views, see :func:`fer_lib.augment.test_views`, and how many views each has."""


Alpha = Annotated[float, Meta(ge=0, le=100)]
Area = Annotated[float, Meta(ge=0.01, le=1)]
Box = Annotated[float, Meta(ge=0.001, le=1)]
Degrees = Annotated[float, Meta(ge=-360, le=360)]
Light = Annotated[float, Meta(ge=0, le=10)]
Ratio = Annotated[float, Meta(ge=0.01, le=100)]
Shift = Annotated[float, Meta(ge=-1, le=1)]
Size = Annotated[float, Meta(ge=0.1, le=10)]
Slant = Annotated[float, Meta(ge=-80, le=80)]


class Range(Struct, Generic[T], frozen=True, array_like=True, forbid_unknown_fields=True):
    """A magnitude drawn uniformly from ``[low, high]`` in a share `p` of the pictures, absent in the rest."""

    low: T
    high: T
    p: Share = 1.0

    def __post_init__(self) -> None:
        _check_order(self.low, self.high)


def _check_order(low: float, high: float) -> None:
    if low > high:
        raise ValueError(f"low {low:g} is above high {high:g}")


class Erase(Part, frozen=True):
    """A box of one grey level over a picture (Zhong et al. 2020, "Random Erasing", Algorithm 1).

    Attributes:
        p: share of the pictures that get a box.
        area: smallest and largest share of the output's area.
        ratio: smallest and largest height / width, drawn log-uniformly. A side longer than the output
            is cut to it, where torchvision draws again.
        value: grey level of the box, 0 black to 1 white.
    """

    p: Share
    area: tuple[Box, Box] = (0.02, 0.33)
    ratio: tuple[Ratio, Ratio] = (0.3, 3.3)
    value: Share = 0.0

    def __post_init__(self) -> None:
        _check_order(*self.area)
        _check_order(*self.ratio)


class View(NamedTuple):
    """What a net is shown of a picture, in pixels.

    Attributes:
        size: side of the square that is cut.
        resize: side to which the square is enlarged.
    """

    size: int
    resize: int


class Augment(Part, frozen=True):
    """What happens to a training picture, see :class:`fer_lib.augment.Augmentation`. A field left out does nothing.

    Attributes:
        crop: side of the output in pixels; the window is that large and placed at random on whole pixels.
            Left out, the window is the picture.
        resize: side of the output in pixels, to which the window is enlarged; for nets that need more pixels than
            the data have. Left out, the output is as large as the window of `crop`.
        area: the window is a square that holds this share of the picture's area, resized to the output.
        flip: probability of swapping left and right.
        rotate: degrees, counter-clockwise.
        shear: degrees along the rows, before rotation.
        scale: factor of the size.
        shift: share of the side, drawn for each direction by itself; positive is right and down.
        brightness: factor of every pixel.
        contrast: factor of the distance from the picture's mean.
        gamma: exponent; above 1 darkens.
        noise: standard deviation of Gaussian noise by pixel, on the 0..1 scale (variance 0.001 is 0.0316).
        erase: see :class:`Erase`.
        mixup: alpha of mixup's Beta(alpha, alpha), see :func:`fer_lib.augment.mix`; 0 is none.
    """

    crop: Count | None = None
    resize: Count | None = None
    area: Range[Area] | None = None
    flip: Share = 0.0
    rotate: Range[Degrees] | None = None
    shear: Range[Slant] | None = None
    scale: Range[Size] | None = None
    shift: Range[Shift] | None = None
    brightness: Range[Light] | None = None
    contrast: Range[Light] | None = None
    gamma: Range[Ratio] | None = None
    noise: Range[Share] | None = None
    erase: Erase | None = None
    mixup: Alpha = 0.0

    def view(self, side: int) -> View:
        """What is shown of pictures of this side, at training and test time."""
        if self.crop is not None and self.crop > side:
            raise UserError(f"augmentation 'crop': {self.crop} pixels do not fit into pictures of {side}")
        size = self.crop or side
        if self.resize is not None and self.resize < size:
            raise UserError(f"augmentation 'resize': {self.resize} pixels are fewer than the {size} shown; it enlarges")
        return View(size, self.resize or size)


# ---------------------------------------------------------------- losses


class _OnClasses(Part, frozen=True):
    """Options of every loss."""

    label_smoothing: BelowOne = 0.0
    class_weights: tuple[NotNegative, ...] | None = None


class CrossEntropy(_OnClasses, frozen=True):
    """Options of :class:`fer_lib.losses.CrossEntropy`."""

    reduction: Literal["mean", "sum", "none"] = "mean"


class Focal(CrossEntropy, frozen=True):
    """Options of :class:`fer_lib.losses.Focal` and :class:`fer_lib.losses.FocalLi`."""

    alpha: Share = 0.25
    gamma: NotNegative = 2.0


class Center(_OnClasses, frozen=True):
    """Cross-entropy plus ``weight`` times a term on the features, see :class:`fer_lib.losses.CenterTerm`."""

    weight: NotNegative = 0.003
    reduction: Literal["half_mean", "half_sum", "mean", "sum"] = "half_mean"
    center_rate: NotNegative = 0.5
    center_update: Literal["published", "gradient"] = "published"


class Island(Center, frozen=True):
    """The same with :class:`fer_lib.losses.IslandTerm`, Cai et al.'s weights."""

    weight: NotNegative = 0.01
    lambda1: NotNegative = 10.0


class Joint(Island, frozen=True):
    """The same with gu's weight of 1 (eq. 8); gu gives no lambda1, 0.1 is ours."""

    weight: NotNegative = 1.0
    lambda1: NotNegative = 0.1


LOSSES: dict[str, type[Any]] = {
    "cross_entropy": CrossEntropy,
    "focal": Focal,
    "focal_li": Focal,
    "center": Center,
    "island": Island,
    "joint": Joint,
}

# ---------------------------------------------------------------- optimisers


class Sgd(Part, frozen=True):
    """Options of ``torch.optim.SGD``."""

    lr: Positive
    momentum: BelowOne = 0.0
    weight_decay: NotNegative = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum")


class Adam(Part, frozen=True):
    """Options of ``torch.optim.Adam``."""

    lr: Positive
    weight_decay: NotNegative = 0.0


class AdamW(Adam, frozen=True):
    """Options of ``torch.optim.AdamW``."""

    weight_decay: NotNegative = 0.01


OPTIMISERS: dict[str, type[Any]] = {"sgd": Sgd, "adam": Adam, "adamw": AdamW}

# ---------------------------------------------------------------- schedules of the learning rate


class Constant(Part, frozen=True):
    """The optimiser's own rate throughout."""

    def share(self, progress: float, epochs: int, scores: Sequence[float]) -> float:
        """The rate at one moment, as a share of the optimiser's.

        Args:
            progress: epochs done, with fraction; the first step is at 0.
            epochs: epochs in all.
            scores: validation accuracy of every epoch so far.
        """
        return 1.0


class Step(Constant, frozen=True):
    """From epoch ``start`` on, times ``factor`` every ``every`` epochs."""

    start: Whole
    every: Count
    factor: Annotated[float, Meta(gt=0, le=1)]

    def share(self, progress: float, epochs: int, scores: Sequence[float]) -> float:
        return self.factor ** max(0, (int(progress) - self.start) // self.every)


class Cosine(Constant, frozen=True):
    """To 0 at the end, after a linear warm-up of ``warmup`` epochs."""

    warmup: NotNegative = 0

    def share(self, progress: float, epochs: int, scores: Sequence[float]) -> float:
        if progress < self.warmup:
            return (progress + 1e-3) / (self.warmup + 1e-3)
        done = (progress - self.warmup) / max(epochs - self.warmup, 1e-9)
        return (1 + math.cos(math.pi * done)) / 2


class OneCycle(Constant, frozen=True):
    """Linear from 1/25 to 1 at three tenths of the way, then cosine to 1/10,000."""

    def share(self, progress: float, epochs: int, scores: Sequence[float]) -> float:
        done, peak = progress / epochs, 0.3
        if done < peak:
            return 1 / 25 + (1 - 1 / 25) * done / peak
        return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (done - peak) / (1 - peak))) / 2


class Plateau(Constant, frozen=True):
    """Times ``factor`` after ``patience`` epochs without a better score."""

    factor: Annotated[float, Meta(gt=0, le=1)]
    patience: Whole

    def share(self, progress: float, epochs: int, scores: Sequence[float]) -> float:
        best, waited, rate = -math.inf, 0, 1.0
        for score in scores:
            best, waited = (score, 0) if score > best else (best, waited + 1)
            if waited > self.patience:
                rate, waited = rate * self.factor, 0
        return rate


SCHEDULES: dict[str, type[Constant]] = {
    "constant": Constant,
    "step": Step,
    "cosine": Cosine,
    "one_cycle": OneCycle,
    "plateau": Plateau,
}

# ---------------------------------------------------------------- balance


class Often(Part, frozen=True):
    """How often a class occurs in an epoch: so many pictures, or this many times its own."""

    count: Whole | None = None
    factor: NotNegative | None = None

    def __post_init__(self) -> None:
        if (self.count is None) == (self.factor is None):
            raise ValueError("give a count or a factor")

    def of(self, pictures: int) -> int:
        """How often a class of so many pictures occurs."""
        return round(self.factor * pictures) if self.factor is not None else self.count or 0
