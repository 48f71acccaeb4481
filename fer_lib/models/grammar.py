"""The names of residual nets: ``resnet{18,34,50}[_BLOCK]...[_ends]``.

``resnet50`` is the plain net with the 3x3 stem for small pictures. Every ``_BLOCK`` adds one of :data:`BLOCKS`
at its official place in every residual block; ``_ends`` moves an attention block from there to two places,
after the first convolution and after the last stage. Several blocks may follow one another:
``resnet50_sc_coord_simam`` is hu's net.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from fer_lib.errors import UserError, unknown
from fer_lib.models import attention, convolution, fusion
from fer_lib.models.resnet import DEPTHS, BasicBlock, Bottleneck, ResNet, Slots

# name: (slot, class)
BLOCKS: dict[str, tuple[str, Callable[..., nn.Module]]] = {
    "se": ("branch", attention.SE),
    "eca": ("branch", attention.ECA),
    "channel": ("branch", attention.ChannelAttention),
    "cbam": ("branch", attention.CBAM),
    "coord": ("branch", attention.CoordAtt),
    "hybrid": ("branch", attention.HybridAttention),
    "mscam": ("branch", fusion.MSCAM),
    "simam": ("inner", attention.SimAM),
    "bam": ("after_stage", attention.BAM),
    "psa": ("convolution", convolution.PSA),
    "acmix": ("convolution", convolution.ACmix),
    "aff": ("fusion", fusion.AFF),
    "iaff": ("fusion", fusion.IAFF),
    "sc": ("downsampling", convolution.SpaceToDepth),
    "spd": ("downsampling", convolution.SpaceToDepth),
}
WHOLE_MAP = ("branch", "inner", "after_stage")


def build_resnet(
    name: str,
    num_classes: int = 7,
    in_channels: int = 1,
    stem: str | None = None,
    width: int = 64,
    layers: tuple[int, ...] | None = None,
    dropout: float = 0.0,
    pool: int | None = None,
    branch_scale: float = 1.0,
    **block_options: dict[str, Any],
) -> ResNet:
    """Build the residual net a name spells.

    Args:
        name: of this module's grammar.
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        stem: of :data:`fer_lib.models.resnet.STEMS`, by default ``"small"``.
        width: channels of the first stage, 64 in the publications.
        layers: blocks in each stage, by default those of the depth.
        dropout: before the classifier.
        pool: see :class:`fer_lib.models.resnet.ResNet`.
        branch_scale: the same.
        **block_options: for a block of the name, that block's own arguments:
            ``build_resnet("resnet50_aff", aff={"reduction": 4})``.

    Returns:
        The net, with random weights.

    Raises:
        UserError: the name, an option or its value does not fit.
    """
    depth, blocks, ends = parse(name)
    bottleneck = depth >= 50
    slots = Slots()
    for block in blocks:
        slot, make = BLOCKS[block]
        options = block_options.pop(block, {})
        if not isinstance(options, dict):
            raise UserError(f"{block} must be a dictionary of that block's arguments: got {options!r}")
        if slot == "downsampling":
            slots, stem = _space_to_depth(block, slots, stem)
            continue
        if block in ("aff", "iaff") and bottleneck:
            # 16 fits the publishers' parameter count of AFF-ResNet50, the port's default of 4 does not.
            options = {"reduction": 16, **options}
        slots = _fill(slots, slot, _factory(block, slot, make, options), ends)
    for option in block_options:
        known = ["stem", "width", "layers", "dropout", "pool", "branch_scale", *blocks]
        raise unknown(f"option of model {name!r}:", option, known)
    return ResNet(
        Bottleneck if bottleneck else BasicBlock,
        layers or DEPTHS[depth],
        num_classes,
        in_channels,
        stem or "small",
        width,
        dropout,
        pool,
        slots,
        branch_scale,
    )


def parse(name: str) -> tuple[int, list[str], bool]:
    """Split a name into depth, blocks and whether they stand at the ends only.

    Raises:
        UserError: the name is not of the grammar.
    """
    head, *blocks = name.split("_")
    ends = bool(blocks) and blocks[-1] == "ends"
    if ends:
        blocks.pop()
    depth = head.removeprefix("resnet")
    if not head.startswith("resnet") or not depth.isdecimal() or int(depth) not in DEPTHS:
        raise unknown("model", name, [f"resnet{d}" for d in DEPTHS])
    for block in blocks:
        if block not in BLOCKS:
            raise unknown(f"block in model {name!r}:", block, [*BLOCKS, "ends"])
    if ends and (not blocks or any(BLOCKS[block][0] not in WHOLE_MAP for block in blocks)):
        raise UserError(f"unknown model {name!r}: _ends places blocks that reweight a map, such as cbam")
    return int(depth), blocks, ends


def _factory(block: str, slot: str, make: Callable, options: dict[str, Any]) -> Callable[..., nn.Module]:
    known = [p for p in inspect.signature(make).parameters if p not in ("channels", "in_channels", "out_channels")]
    for option in options:
        if option not in known or option == "stride":
            raise unknown(f"argument of block {block!r}:", option, [k for k in known if k != "stride"])
    if slot == "convolution":
        return lambda channels, stride: make(channels, channels, stride=stride, **options)
    return partial(make, **options)


def _fill(slots: Slots, slot: str, factory: Callable[..., nn.Module], ends: bool) -> Slots:
    if ends:
        return replace(
            slots,
            after_stem=_chain(slots.after_stem, factory),
            after_stage={4: _chain(slots.after_stage.get(4), factory)},
        )
    if slot == "after_stage":
        return replace(slots, after_stage={1: factory, 2: factory, 3: factory})
    if slot in ("convolution", "fusion") and getattr(slots, slot) is not None:
        raise UserError(f"two blocks of one name both want to be the {slot}: keep one of them")
    return replace(slots, **{slot: _chain(getattr(slots, slot), factory)})


def _chain(first: Callable | None, second: Callable) -> Callable[..., nn.Module]:
    """The factory of both modules in a row."""
    if first is None:
        return second
    return lambda channels: nn.Sequential(first(channels), second(channels))


def _space_to_depth(block: str, slots: Slots, stem: str | None) -> tuple[Slots, str | None]:
    """Replace the first downsampling (hu's SC) or all of them (ResNet50-SPD)."""
    if block == "spd":
        if stem not in (None, "focus"):
            raise UserError(f"spd brings its own stem, focus: leave stem out (got {stem!r})")
        return replace(slots, space_to_depth=frozenset({2, 3, 4})), "focus"
    if stem == "imagenet":
        return slots, "focus_pooled"
    if stem in (None, "small"):
        return replace(slots, space_to_depth=frozenset({2})), stem
    raise UserError(f"sc replaces the first strided convolution of stem small or imagenet: got stem {stem!r}")
