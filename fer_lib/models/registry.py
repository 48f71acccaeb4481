"""Every model by name."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from fer_lib.errors import UserError, unknown
from fer_lib.models import paper_nets, published, small
from fer_lib.models.classical import build_classical
from fer_lib.models.grammar import MODULES, build_resnet
from fer_lib.nets import BLOCKS, PIPELINES, STUDIED, WHOLE_MAP, check_net, is_classical, known_net
from fer_lib.paths import user_path
from fer_lib.plugins import default_name, load_file, options_of, register

# Nets outside the grammar of residual nets.
BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "li": paper_nets.li,
    "hu": paper_nets.hu,
    "gu": paper_nets.gu,
    "zhang": paper_nets.zhang,
    "senet18": published.senet18,
    "vgg16": partial(published.vgg, "vgg16"),
    "vgg16_bn": partial(published.vgg, "vgg16_bn"),
    "vgg19": partial(published.vgg, "vgg19"),
    "vgg19_bn": partial(published.vgg, "vgg19_bn"),
    "vggface": published.vggface,
    "alexnet": published.alexnet,
    "googlenet": published.googlenet,
    "densenet121": published.densenet121,
    "mobilenetv2": published.mobilenetv2,
    "inceptionv4": published.inceptionv4,
    "microexpnet": small.MicroExpNet,
    "lbcnn": small.LBCNN,
    "parallel_cnn": small.ParallelCNN,
}


def create_model(name: str, num_classes: int = 7, in_channels: int = 1, **options: Any) -> nn.Module:
    """Build a model with random weights.

    Args:
        name: of :func:`list_models`, or any name of the grammar of :mod:`fer_lib.nets` such as ``resnet18_eca_ends``.
        num_classes: length of the logits.
        in_channels: channels of the pictures, 1 for grey.
        **options: of the model, such as ``width=16`` or ``stem="imagenet"`` of a residual net.

    Returns:
        A module from float [B, in_channels, H, W] to logits [B, num_classes]: a
        :class:`fer_lib.models.base.Classifier`, or for the classical names a
        :class:`fer_lib.models.classical.ClassicalModel`, which is fitted instead of trained.

    Raises:
        UserError: the name, an option or its value is unknown or does not fit.
    """
    check_net(name, options)
    if is_classical(name):
        return build_classical(name, num_classes, in_channels, **options)
    build = BUILDERS.get(name) or partial(build_resnet, name)
    return build(num_classes=num_classes, in_channels=in_channels, **options)


def list_models(classical: bool = False) -> list[str]:
    """Names of the nets the study uses, in the order of its tables.

    Args:
        classical: the classical pipelines instead, which are fitted and not trained.
    """
    return list(PIPELINES if classical else STUDIED)


# ---------------------------------------------------------------- blocks of your own

FROM_FILES: list[tuple[str, str]] = []
"""Reference and slot of every block that :func:`register_file` took, for processes that begin without them."""


def register_block(make: type[nn.Module], name: str | None = None, slot: str = "branch") -> type[nn.Module]:
    """Take an attention module of your own: ``resnet18_NAME`` is then a net like any other. Also a decorator.

    Args:
        make: its class, built as ``make(channels, **options)`` with a default for every option; it maps float
            [B, C, H, W] to the same shape.
        name: what nets call it, small letters and digits; by default the class's own name in small letters.
        slot: its place in a net, ``branch``, ``inner`` or ``after_stage`` of :class:`fer_lib.models.resnet.Slots`.

    Returns:
        The class.

    Raises:
        UserError: the class, the name or the slot does not fit.
    """
    if not (isinstance(make, type) and issubclass(make, nn.Module)):
        raise UserError(f"{make!r} is no class of torch.nn.Module")
    if slot not in WHOLE_MAP:
        raise unknown("slot", slot, WHOLE_MAP)
    name = name or default_name(make)
    options = options_of(make, f"block {make.__name__}", "channels")
    taken = {*BLOCKS, *known_net("resnet18").options.__struct_fields__, "ends"}
    register("block", name, make, taken, about=slot)
    BLOCKS[name], MODULES[name] = (slot, options), make
    return make


def register_file(reference: str, slot: str = "branch") -> str:
    """Take the module of a Python file, as in ``my_module.py:MyAttention``; gives its name.

    Raises:
        UserError: there is no such file or class, or see :func:`register_block`.
    """
    file, _, name = reference.rpartition(":")
    if not file or not name:
        raise UserError(f"{reference}: write FILE:CLASS, as in my_module.py:MyAttention")
    found = vars(load_file(user_path(file)))
    classes = [key for key, value in found.items() if isinstance(value, type) and issubclass(value, nn.Module)]
    if name not in classes:
        raise UserError(f"{file}: {unknown('class', name, classes)}")
    register_block(found[name], slot=slot)
    if (entry := (f"{found['__file__']}:{name}", slot)) not in FROM_FILES:
        FROM_FILES.append(entry)
    return default_name(found[name])
