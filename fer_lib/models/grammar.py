"""Residual nets from their names, whose grammar is :mod:`fer_lib.nets`'."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from fer_lib.models import attention, convolution, fusion
from fer_lib.models.resnet import BasicBlock, Bottleneck, ResNet, Slots
from fer_lib.nets import BLOCKS, DEPTHS, parse

MODULES: dict[str, Callable[..., nn.Module]] = {
    "se": attention.SE,
    "eca": attention.ECA,
    "channel": attention.ChannelAttention,
    "cbam": attention.CBAM,
    "coord": attention.CoordAtt,
    "hybrid": attention.HybridAttention,
    "mscam": fusion.MSCAM,
    "simam": attention.SimAM,
    "bam": attention.BAM,
    "psa": convolution.PSA,
    "acmix": convolution.ACmix,
    "aff": fusion.AFF,
    "iaff": fusion.IAFF,
    "sc": convolution.SpaceToDepth,
    "spd": convolution.SpaceToDepth,
}
"""The class of every block; slot and options are said in :data:`fer_lib.nets.BLOCKS`, and both grow with
:func:`fer_lib.models.register_block`."""


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
        name: of the grammar of :mod:`fer_lib.nets`, whose ``check_net`` has passed the options.
        num_classes: length of the logits.
        in_channels: channels of the pictures.
        stem: of :data:`fer_lib.nets.STEMS`, by default ``"small"``.
        width: channels of the first stage, 64 in the publications.
        layers: blocks in each stage, by default those of the depth.
        dropout: before the classifier.
        pool: see :class:`fer_lib.models.resnet.ResNet`.
        branch_scale: the same.
        **block_options: for a block of the name, that block's own arguments:
            ``build_resnet("resnet50_aff", aff={"reduction": 4})``.

    Returns:
        The net, with random weights.
    """
    depth, blocks, ends = parse(name)
    bottleneck = depth >= 50
    slots = Slots()
    for block in blocks:
        slot, make, options = BLOCKS[block][0], MODULES[block], block_options.get(block, {})
        if slot == "downsampling":
            slots, stem = _space_to_depth(block, slots, stem)
            continue
        if block in ("aff", "iaff") and bottleneck:
            # 16 fits the publishers' parameter count of AFF-ResNet50, the port's default of 4 does not.
            options = {"reduction": 16, **options}
        slots = _fill(slots, slot, _factory(slot, make, options), ends)
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


def _factory(slot: str, make: Callable[..., nn.Module], options: dict[str, Any]) -> Callable[..., nn.Module]:
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
        return replace(slots, after_stage={s: _chain(slots.after_stage.get(s), factory) for s in (1, 2, 3)})
    filled: dict[str, Any] = {slot: _chain(getattr(slots, slot), factory)}
    return replace(slots, **filled)


def _chain(first: Callable[..., nn.Module] | None, second: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """The factory of both modules in a row."""
    if first is None:
        return second
    return lambda channels: nn.Sequential(first(channels), second(channels))


def _space_to_depth(block: str, slots: Slots, stem: str | None) -> tuple[Slots, str | None]:
    """Replace the first downsampling (hu's SC) or all of them (ResNet50-SPD)."""
    if block == "spd":
        return replace(slots, space_to_depth=frozenset({2, 3, 4})), "focus"
    if stem == "imagenet":
        return slots, "focus_pooled"
    return replace(slots, space_to_depth=frozenset({2})), stem
