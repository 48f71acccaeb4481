"""Every model by name."""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import structs
from torch import nn

from fer_lib.errors import UserError, check_count, check_known, unknown
from fer_lib.models import paper_nets, published, small
from fer_lib.models.base import Classifier
from fer_lib.models.classical import build_classical
from fer_lib.models.features import FeatureMaps
from fer_lib.models.grammar import MODULES, build_resnet
from fer_lib.models.weights import find_weights, load_weights, read_header, spread_channels, trained_for, weight_files
from fer_lib.nets import BLOCKS, PIPELINES, STUDIED, WHOLE_MAP, check_net, is_classical, known_net
from fer_lib.paths import user_path
from fer_lib.plugins import default_name, load_file, look_up, options_of, register
from fer_lib.schema import check

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
    "densenet169": published.densenet169,
    "mobilenetv2": published.mobilenetv2,
    "inceptionv4": published.inceptionv4,
    "microexpnet": small.MicroExpNet,
    "lbcnn": small.LBCNN,
    "parallel_cnn": small.ParallelCNN,
}


def create_model(
    name: str,
    num_classes: int | None = None,
    in_channels: int = 1,
    *,
    pretrained: bool = False,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    in_chans: int | None = None,
    **options: Any,
) -> nn.Module:
    """Build a model, with random weights unless ``pretrained``. The keywords mean what they mean in timm.

    Args:
        name: of :func:`list_models`, or any name of the grammar of :mod:`fer_lib.nets` such as ``resnet18_eca_ends``.
        num_classes: length of the logits, by default 7 or that of the trained weights, whose classifier is replaced by
            a random one where it is another number; 0 for a net without a classifier, which puts out features.
        in_channels: channels of the pictures, 1 for grey. Trained weights of grey pictures are spread over more.
        pretrained: the net and the trained weights of that name, see ``list_models(pretrained=True)``. What pictures
            they were trained on is in the net's ``pretrained_cfg``. ImageNet's are for
            :func:`fer_lib.models.pretrained.load_pretrained`.
        features_only: the net's maps at each resolution, see :class:`fer_lib.models.features.FeatureMaps`.
        out_indices: which of these.
        in_chans: another name of ``in_channels``.
        **options: of the model, such as ``width=16`` or ``stem="imagenet"`` of a residual net.

    Returns:
        A module from float [B, in_channels, H, W] to logits [B, num_classes]: a
        :class:`fer_lib.models.base.Classifier`, trained ones in evaluation mode; or for the classical names a
        :class:`fer_lib.models.classical.ClassicalModel`, which is fitted instead of trained.

    Raises:
        UserError: the name, an option or its value is unknown or does not fit.
    """
    in_channels = in_channels if in_chans is None else in_chans
    if pretrained:
        if options:
            raise UserError(f"model {name}: its options are those of its weights; leave out {', '.join(options)}")
        model: nn.Module = _trained(name, num_classes, in_channels)
    else:
        check_net(name, options)
        classes = 7 if num_classes is None else num_classes
        if is_classical(name):
            return build_classical(name, classes, in_channels, **options)
        build = BUILDERS.get(name) or partial(build_resnet, name)
        without = classes == 0 and not isinstance(classes, bool)
        model = build(num_classes=1 if without else classes, in_channels=in_channels, **options)
        if without and isinstance(model, Classifier):
            model.reset_classifier(0)
    return FeatureMaps(model, out_indices) if features_only and isinstance(model, Classifier) else model


def _trained(name: str, num_classes: int | None, in_channels: int) -> Classifier:
    """The net of a weight file, in evaluation mode."""
    path = find_weights(name)
    header = read_header(path)
    model = net_from_file(path, header["recipe"], header["classes"])
    check_count("in_channels", in_channels)
    if in_channels != 1:
        spread_channels(model, in_channels)
    if num_classes is not None and num_classes != model.num_classes:
        model.reset_classifier(num_classes)
    model.pretrained_cfg = trained_for(header)
    return model.eval()


def net_from_file(path: Path, recipe: Mapping[str, Any], classes: Sequence[str]) -> Classifier:
    """A recipe's net with the weights of a safetensors file as float32, in evaluation mode on the CPU.

    Args:
        path: the weights, in any precision.
        recipe: the plain values of a recipe, see :meth:`fer_lib.recipe.Recipe.training`.
        classes: class names in the order of the net's outputs.

    Raises:
        UserError: the weights do not fit the recipe's net, or are NaN.
    """
    model = create_model(recipe["model"], num_classes=len(classes), **recipe.get("model_options", {}))
    if not isinstance(model, Classifier):
        raise UserError(f"{path}: {recipe['model']} is fitted and has no weights")
    load_weights(model, path, recipe["model"])
    return model.eval()


def list_models(filter: str = "", *, classical: bool = False, pretrained: bool = False) -> list[str]:
    """Names of the nets the study uses, in the order of its tables.

    Args:
        filter: only names of this pattern, as in ``resnet18*``.
        classical: the classical pipelines instead, which are fitted and not trained.
        pretrained: the nets with trained weights instead, those that the library brings and those of
            ``results/checkpoints``.
    """
    names = weight_files() if pretrained else PIPELINES if classical else STUDIED
    return fnmatch.filter(names, filter or "*")


# ---------------------------------------------------------------- blocks elsewhere, and blocks of your own


def attn_layer(block: str, **options: Any) -> Callable[..., nn.Module]:
    """A block of ours as timm's nets take it.

    ``timm.create_model("resnet18", block_args={"attn_layer": attn_layer("cbam", reduction=8)})`` puts CBAM at the end
    of every residual branch. In other nets the classes of :mod:`fer_lib.models.attention` do: ``CBAM(channels)``.

    Args:
        block: of :data:`fer_lib.nets.BLOCKS`, one that reweights a map. Not ``hybrid``: it ends in a ReLU, whose output
            the sum of timm's blocks writes over before its gradient is taken.
        **options: of the block.

    Raises:
        UserError: there is no such block, it does not reweight a map, or an option does not fit.
    """
    look_up(block, BLOCKS)
    known = [name for name, (slot, _) in BLOCKS.items() if slot in WHOLE_MAP and name != "hybrid"]
    check_known("block that reweights a map", block, known)
    settings = structs.asdict(check(BLOCKS[block][1], options, f"block {block}"))

    def make(channels: int, device: Any = None, dtype: Any = None) -> nn.Module:
        return MODULES[block](channels, **settings).to(device=device, dtype=dtype)

    return make


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
    check_known("slot", slot, WHOLE_MAP)
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
