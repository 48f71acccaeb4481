"""Every model by name, and the rows of the papers' tables it serves."""

import inspect
from collections.abc import Callable
from functools import partial

from torch import nn

from fer_lib.errors import unknown
from fer_lib.models import paper_nets, published, small
from fer_lib.models.classical import CLASSICAL, build_classical
from fer_lib.models.grammar import build_resnet

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

# The nets the study uses, and the rows of the papers each serves; an empty string marks our own controls.
NETS: dict[str, str] = {
    "resnet18": "li Table 2",
    "resnet18_se": "",
    "resnet18_eca": "",
    "resnet18_cbam": "",
    "resnet18_bam": "",
    "resnet18_coord": "",
    "resnet18_simam": "",
    "resnet18_mscam": "",
    "resnet18_aff": "",
    "resnet18_iaff": "",
    "resnet34": "li Table 2",
    "resnet34_cbam": "",
    "resnet34_cbam_ends": "zhang Tables II, III (without dropout)",
    "resnet50": "hu Tables 1-3; gu Tables 3-5 (Basic, ResNet); zhang Table III (Fei)",
    "resnet50_se": "gu Table 3",
    "resnet50_eca": "hu Table 2; gu Table 3",
    "resnet50_cbam": "gu Table 3",
    "resnet50_bam": "hu Table 2",
    "resnet50_coord": "hu Tables 1-3",
    "resnet50_simam": "hu Tables 2, 3",
    "resnet50_acmix": "hu Table 2",
    "resnet50_aff": "gu Table 3",
    "resnet50_iaff": "",
    "resnet50_psa": "gu Tables 3, 4",
    "resnet50_sc": "hu Table 1",
    "resnet50_sc_coord": "hu Table 1",
    "resnet50_coord_simam": "hu Table 3",
    "resnet50_spd": "",
    "li": "li Table 2 (proposed)",
    "hu": "hu Table 3 (proposed)",
    "gu": "gu Tables 3-5 (proposed)",
    "zhang": "zhang Tables II, III (proposed)",
    "senet18": "li Table 2",
    "vgg16_bn": "zhang Table II",
    "vgg19_bn": "li Table 2; gu Table 5",
    "vggface": "zhang Table II",
    "alexnet": "zhang Table III (ROI)",
    "googlenet": "zhang Table III (ROI)",
    "densenet121": "li Table 2; gu Table 5",
    "mobilenetv2": "gu Table 5",
    "inceptionv4": "gu section 3.3.3",
    "microexpnet": "zhang Table II",
    "lbcnn": "zhang Table II",
    "parallel_cnn": "li Table 2 (our design)",
}


def create_model(name: str, num_classes: int = 7, in_channels: int = 1, **options) -> nn.Module:
    """Build a model with random weights.

    Args:
        name: of :func:`list_models`, or any name of :mod:`fer_lib.models.grammar` such as ``resnet18_eca_ends``.
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
    if name.startswith("resnet"):
        return build_resnet(name, num_classes, in_channels, **options)
    if name in CLASSICAL:
        build = partial(build_classical, name)
    elif name in BUILDERS:
        build = BUILDERS[name]
    else:
        raise unknown("model", name, [*NETS, *CLASSICAL])
    parameters = inspect.signature(build).parameters
    known = [p for p in parameters if p not in ("num_classes", "in_channels", "options")]
    if "options" not in parameters:
        for option in options:
            if option not in known:
                raise unknown(f"option of model {name!r}:", option, known)
    return build(num_classes=num_classes, in_channels=in_channels, **options)


def list_models(classical: bool = False) -> list[str]:
    """Names of the nets the study uses, in the order of its tables.

    Args:
        classical: the classical pipelines instead, which are fitted and not trained.
    """
    return list(CLASSICAL) if classical else list(NETS)


def paper_rows(name: str) -> str:
    """The rows of the papers' tables a model serves, empty for a control of our own."""
    return NETS.get(name) or CLASSICAL.get(name, "")
