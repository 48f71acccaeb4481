"""What every net of the study has in common."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from fer_lib.errors import UserError


class Classifier(nn.Module):
    """A net that maps pictures to class scores through one vector of features.

    A subclass gives :meth:`extract` and :meth:`classify`; ``forward`` is the one after the other. The losses
    that move features, such as the island loss, read them between the two.

    Attributes:
        num_classes: length of the logits.
        in_channels: channels a picture must have.
        num_features: length D of the features.
        input_size: height and width in pixels the net was designed for, ``None`` where any size does.
        fixed_size: whether the net takes pictures of ``input_size`` alone.
        min_size: the smallest height and width in pixels the net takes.
        size_multiple: height and width must be a multiple of this many pixels.
    """

    input_size: int | None = None
    fixed_size: bool = False
    min_size: int = 1
    size_multiple: int = 1

    def __init__(self, num_classes: int, in_channels: int, num_features: int):
        super().__init__()
        check_count("num_classes", num_classes)
        check_count("in_channels", in_channels)
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        """Score pictures.

        Args:
            x: float [B, in_channels, H, W].

        Returns:
            Logits, float [B, num_classes].

        Raises:
            UserError: ``x`` has another type, rank, number of channels or size than the net takes.
        """
        return self.classify(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Pooled features of the last layer before the classifier, float [B, num_features]."""
        self.check_input(x)
        return self.extract(x)

    def extract(self, x: Tensor) -> Tensor:
        """Features of pictures already known to fit."""
        raise NotImplementedError

    def classify(self, features: Tensor) -> Tensor:
        """Logits [B, num_classes] of features [B, num_features]."""
        raise NotImplementedError

    @property
    def last_map(self) -> nn.Module:
        """The module that puts out the last map, float [B, C, H, W], before places are pooled away."""
        raise NotImplementedError

    def check_input(self, x: Tensor) -> None:
        """Raise a UserError that names the expected shape or type unless ``x`` has it."""
        if self.fixed_size:
            expected, fits = f"{self.input_size}, {self.input_size}]", self._is_input_size
        else:
            expected, fits = "H, W]", self._is_large_enough
            if self.min_size > 1:
                expected += f" with H and W of at least {self.min_size}"
            if self.size_multiple > 1:
                expected += f" with H and W multiples of {self.size_multiple}"
        if x.dim() != 4 or x.shape[1] != self.in_channels or not all(fits(pixels) for pixels in x.shape[2:]):
            raise UserError(f"x must be [B, {self.in_channels}, {expected}: its shape is {list(x.shape)}")
        if not x.is_floating_point():
            raise UserError(
                f"x must be float [B, {self.in_channels}, {expected}: its type is {x.dtype}; scale it first"
            )

    def _is_input_size(self, pixels: int) -> bool:
        return pixels == self.input_size

    def _is_large_enough(self, pixels: int) -> bool:
        return pixels >= self.min_size and pixels % self.size_multiple == 0


def check_count(argument: str, value: int, at_least: int = 1) -> None:
    """Raise a UserError naming the argument unless it is an integer of at least ``at_least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise UserError(f"{argument} must be an integer of at least {at_least}: got {value!r}")


def check_odd(argument: str, value: int) -> None:
    """Raise a UserError naming the argument unless it is an odd integer of at least 1, as centred kernels are."""
    check_count(argument, value)
    if value % 2 == 0:
        raise UserError(f"{argument} must be odd: got {value}")


def check_share(argument: str, value: float) -> None:
    """Raise a UserError naming the argument unless it lies in [0, 1)."""
    if not 0 <= value < 1:
        raise UserError(f"{argument} must lie in [0, 1): got {value!r}")


@contextmanager
def kept_modes(model: nn.Module) -> Iterator[None]:
    """Give every module of a net its mode, training or evaluation, back as it was."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
