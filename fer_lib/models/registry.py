"""Every model by name."""

from collections.abc import Callable
from functools import partial

from torch import nn

from fer_lib.models import paper_nets, published, small
from fer_lib.models.classical import build_classical
from fer_lib.models.grammar import build_resnet
from fer_lib.nets import PIPELINES, STUDIED, check_net, is_classical

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


def create_model(name: str, num_classes: int = 7, in_channels: int = 1, **options) -> nn.Module:
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
