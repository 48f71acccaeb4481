"""What every net of the study has in common."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fer_lib.errors import UserError, check_count


class Classifier(nn.Module):
    """A net that maps pictures to class scores through one vector of features.

    A subclass gives :meth:`extract`, :meth:`pool_map` and :meth:`classify`; ``forward`` is one after the other. The
    losses that move features, such as the island loss, read them before the last. Names and meanings of the public
    methods are timm's.

    Attributes:
        num_classes: length of the logits; 0 where there is no classifier, and the features are put out.
        in_channels: channels a picture must have.
        num_features: length D of the features.
        input_size: height and width in pixels the net was designed for, ``None`` where any size does.
        fixed_size: whether the net takes pictures of ``input_size`` alone.
        min_size: the smallest height and width in pixels the net takes.
        size_multiple: height and width must be a multiple of this many pixels.
        classifier_name: the submodule that is the last, linear layer.
        levels: submodules that put out maps, in their order; of those of one resolution the last counts.
        pretrained_cfg: of trained weights what they were trained for: ``input_size`` (channels, height, width),
            ``crop_pct``, ``mean``, ``std``, ``label_names``; empty without.
    """

    input_size: int | None = None
    fixed_size: bool = False
    min_size: int = 1
    size_multiple: int = 1
    classifier_name: str = "fc"
    levels: Sequence[str]

    def __init__(self, num_classes: int, in_channels: int, num_features: int):
        super().__init__()
        check_count("num_classes", num_classes)
        check_count("in_channels", in_channels)
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.num_features = num_features
        self.pretrained_cfg: dict[str, Any] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Score pictures.

        Args:
            x: float [B, in_channels, H, W].

        Returns:
            Logits, float [B, num_classes].

        Raises:
            UserError: ``x`` has another type, rank, number of channels or size than the net takes.
        """
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map, float [B, C, H, W], before places are pooled away."""
        self.check_input(x)
        return self.extract(x)

    def forward_head(self, maps: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits [B, num_classes] of what :meth:`forward_features` gave; ``pre_logits`` stops at the features."""
        features = self.pool_map(maps)
        return features if pre_logits else self.classify(features)

    def embed(self, x: Tensor) -> Tensor:
        """Features of pictures, what the classifier is given, float [B, num_features]."""
        return self.forward_head(self.forward_features(x), pre_logits=True)

    def get_classifier(self) -> nn.Module:
        """The last layer, a linear one."""
        return self.get_submodule(self.classifier_name)

    def reset_classifier(self, num_classes: int) -> None:
        """Put a new last layer, with random weights, in the place of the old one.

        Args:
            num_classes: length of the logits; 0 leaves the layer out, so that the net puts out its features.
        """
        check_count("num_classes", num_classes, at_least=0)
        like = next(self.parameters())
        layer = nn.Linear(self.num_features, num_classes).to(like.device, like.dtype) if num_classes else nn.Identity()
        self.set_submodule(self.classifier_name, layer)
        self.num_classes = num_classes

    def extract(self, x: Tensor) -> Tensor:
        """The last map of pictures already known to fit, float [B, C, H, W]."""
        raise NotImplementedError

    def pool_map(self, maps: Tensor) -> Tensor:
        """Features [B, num_features] of the last map; here the mean over its places."""
        return maps.mean((2, 3))

    def classify(self, features: Tensor) -> Tensor:
        """Logits [B, num_classes] of features [B, num_features]."""
        raise NotImplementedError

    @property
    def last_map(self) -> nn.Module:
        """The module that puts out the last map, float [B, C, H, W], before places are pooled away."""
        return self.get_submodule(self.levels[-1])

    def check_input(self, x: Tensor) -> None:
        """Raise a UserError that names the expected shape or type unless ``x`` has it."""
        only = self.input_size if self.fixed_size else None
        check_pictures(x, self.in_channels, only, self.min_size, self.size_multiple)


@torch.fx.wrap  # a traced graph has no place for checks of sizes
def check_pictures(x: Tensor, channels: int, only: int | None, least: int, multiple: int) -> None:
    """Raise a UserError unless pictures have the rank, channels, size and type that :class:`Classifier` describes."""
    expected = f"[B, {channels}, {only}, {only}]" if only else f"[B, {channels}, H, W]"
    if not only and least > 1:
        expected += f" with H and W of at least {least}"
    if not only and multiple > 1:
        expected += f" with H and W multiples of {multiple}"
    fits = all(side == only if only else side >= least and not side % multiple for side in x.shape[2:])
    if x.dim() != 4 or x.shape[1] != channels or not fits:
        raise UserError(f"x must be {expected}: its shape is {list(x.shape)}")
    if not x.is_floating_point():
        raise UserError(f"x must be float {expected}: its type is {x.dtype}; scale it first")


def check_odd(argument: str, value: int) -> None:
    """Raise a UserError naming the argument unless it is an odd integer of at least 1, as centred kernels are."""
    check_count(argument, value)
    if value % 2 == 0:
        raise UserError(f"{argument} must be odd: got {value}")


@contextmanager
def kept_modes(model: nn.Module) -> Iterator[None]:
    """Give every module of a net its mode, training or evaluation, back as it was."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def observed(model: nn.Module, hooks: Iterable[tuple[nn.Module, Callable[..., None]]]) -> Iterator[None]:
    """Evaluation mode with forward hooks; afterwards modes are as they were, and the hooks are gone."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        with kept_modes(model):
            model.eval()
            yield
    finally:
        for handle in handles:
            handle.remove()
