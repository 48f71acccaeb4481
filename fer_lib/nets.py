"""Names of the nets and the options of each, as checked data: what can be built, said without PyTorch.

Residual nets have the grammar ``resnet{18,34,50}[_BLOCK]...[_ends]``. ``resnet50`` is the plain net with the 3x3 stem
for small pictures. Every ``_BLOCK`` adds one of :data:`BLOCKS` at its official place in every residual block;
``_ends`` moves an attention block from there to two places, after the first convolution and after the last stage.
Several blocks may follow one another: ``resnet50_sc_coord_simam`` is hu's net.

What each option means is said where the net is built; a test holds names and defaults here against those there.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta, defstruct

from fer_lib.errors import UserError, unknown
from fer_lib.plugins import CODE, look_up
from fer_lib.schema import BelowOne, Count, NotNegative, Part, check

Odd = Literal[1, 3, 5, 7, 9, 11, 13, 15]
Width = Annotated[int, Meta(ge=8)]
Four = tuple[Count, Count, Count, Count]
STEMS = {
    "small": "3x3 convolution, stride 1, no pooling: pictures of about 48 px",
    "pooled": "3x3 convolution, stride 1, then 3x3 max pooling of stride 2",
    "imagenet": "7x7 convolution of stride 2, then 3x3 max pooling of stride 2: pictures of 224 px",
    "focus": "space-to-depth and a 1x1 convolution, no pooling",
    "focus_pooled": "the same, then 3x3 max pooling of stride 2",
}
Stem: Any = Literal[tuple(STEMS)]
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


def _options(**fields: tuple[Any, Any]) -> type[Any]:
    """A table of settings, of each its type and its default."""
    return defstruct("Options", [(name, *field) for name, field in fields.items()], bases=(Part,), frozen=True)


# ---------------------------------------------------------------- blocks of residual nets

_FUSION = _options(reduction=(Count, 4))
BLOCKS: dict[str, tuple[str, type[Any]]] = {
    "se": ("branch", _options(reduction=(Count, 16), bias=(bool, False))),
    "eca": ("branch", _options(kernel_size=(Odd | None, None))),
    "channel": ("branch", _options(reduction=(Count, 16), bias=(bool, True))),
    "cbam": ("branch", _options(reduction=(Count, 16), kernel_size=(Odd, 7), plain=(bool, False))),
    "coord": ("branch", _options(reduction=(Count, 32))),
    "hybrid": ("branch", _options(reduction=(Count, 16), kernel_size=(Odd, 7))),
    "mscam": ("branch", _FUSION),
    "simam": ("inner", _options(e_lambda=(NotNegative, 1e-4))),
    "bam": ("after_stage", _options(reduction=(Count, 16), dilation=(Count, 4))),
    "psa": ("convolution", _options(kernels=(tuple[Odd, Odd, Odd, Odd], (3, 5, 7, 9)), groups=(Four, (1, 4, 8, 16)))),
    "acmix": ("convolution", _options(kernel_att=(Odd, 7), heads=(Count, 4), kernel_conv=(Odd, 3))),
    "aff": ("fusion", _FUSION),
    "iaff": ("fusion", _FUSION),
    "sc": ("downsampling", Part),
    "spd": ("downsampling", Part),
}
"""Slot and options of every block, see :class:`fer_lib.models.resnet.Slots`; those of your own are added by
:func:`fer_lib.models.register_block`."""
WHOLE_MAP = ("branch", "inner", "after_stage")

# ---------------------------------------------------------------- nets


class Net(NamedTuple):
    """What is known of a net before it is built.

    Attributes:
        options: their types and defaults.
        least: side in pixels of the smallest picture it takes.
        only: side in pixels of the only picture it takes; None where there are more.
    """

    options: type[Any]
    least: int = 1
    only: int | None = None


def _residual(**changes: tuple[Any, Any]) -> Net:
    own: dict[str, tuple[Any, Any]] = {"stem": (Stem | None, None), "width": (Width, 64), "layers": (Four | None, None)}
    own |= {"dropout": (BelowOne, 0.0), "pool": (Count | None, None), "branch_scale": (NotNegative, 1.0)}
    return Net(_options(**own | changes))


def _with_dropout(share: float, least: int = 1, only: int | None = None, **more: tuple[Any, Any]) -> Net:
    return Net(_options(dropout=(BelowOne, share), **more), least, only)


_RESIDUAL = _residual()
_VGG = _with_dropout(0.5, 32, head=(Literal["linear", "fc4096"], "linear"))
_STEM = (Literal["small", "imagenet"], "small")
OTHERS: dict[str, Net] = {
    "li": _with_dropout(
        0.3,
        layers=(Four, (2, 2, 2, 2)),
        norm_prelu_after=(tuple[Literal[1, 2, 3, 4], ...], (4,)),
        width=(Width, 64),
        hybrid=(bool, True),
        coord=(bool, True),
    ),
    "hu": _residual(ca=(Literal["coord", "se", "channel", ""], "coord"), simam=(bool, True), sc=(bool, True)),
    "gu": _residual(stem=(Stem, "imagenet")),
    "zhang": _residual(dropout=(BelowOne, 0.5)),
    "senet18": _with_dropout(0.0, width=(Annotated[int, Meta(ge=16)], 64)),
    "vgg16": _VGG,
    "vgg16_bn": _VGG,
    "vgg19": _VGG,
    "vgg19_bn": _VGG,
    "vggface": _with_dropout(0.5, 32),
    "alexnet": _with_dropout(0.5, 63),
    "googlenet": _with_dropout(0.2, 15),
    "densenet121": _with_dropout(0.0, 8, stem=_STEM),
    "densenet169": _with_dropout(0.0, 8, stem=_STEM),
    "mobilenetv2": _with_dropout(0.2, stem=_STEM),
    "inceptionv4": _with_dropout(0.0, 75),
    "microexpnet": _with_dropout(0.5, only=84),
    "lbcnn": _with_dropout(
        0.5,
        channels=(Count, 64),
        num_weights=(Count, 128),
        depth=(Count, 10),
        full=(Count, 512),
        density=(Annotated[float, Meta(gt=0, le=1)], 0.5),
        pixels=(Annotated[int, Meta(ge=5)], 48),
    ),
    "parallel_cnn": _with_dropout(0.5, 16, width=(Annotated[int, Meta(ge=2)], 32)),
}
_TITLES = {
    "channel": "channel attention", "coord": "coordinate attention", "hybrid": "hybrid attention", "mscam": "MS-CAM",
    "simam": "SimAM", "acmix": "ACmix", "iaff": "iAFF", "spd": "space-to-depth", "bn": "batch normalisation",
    "senet18": "SENet18", "vggface": "VGG-Face's net", "alexnet": "AlexNet", "googlenet": "GoogLeNet",
    "densenet121": "DenseNet121", "densenet169": "DenseNet169", "mobilenetv2": "MobileNetV2",
    "inceptionv4": "InceptionV4", "microexpnet": "MicroExpNet", "parallel_cnn": "parallel CNN",
}  # fmt: skip
"""What nets and blocks are called where capitals are not enough."""
PIPELINES = (
    *("lbp_svm", "lbp_knn", "lbp_pca_svm", "hog_svm", "hog_knn", "hog_pca_svm"),
    *("gabor_svm", "gabor_pca_svm", "pixels_nn"),
)
"""The classical pipelines, which are fitted once and not trained."""

_STUDIED_BLOCKS = {
    18: " _se _eca _cbam _bam _coord _simam _mscam _aff _iaff",
    34: " _cbam _cbam_ends",
    50: " _se _eca _cbam _bam _coord _simam _acmix _aff _iaff _psa _sc _sc_coord _coord_simam _spd",
}
STUDIED = (
    *(f"resnet{depth}{blocks}" for depth, names in _STUDIED_BLOCKS.items() for blocks in names.split(" ")),
    *(name for name in OTHERS if name not in ("vgg16", "vgg19")),
)
"""The nets the study uses, in the order of its tables."""

PRETRAINED = (
    *("resnet18", "resnet34", "resnet50", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"),
    *("alexnet", "googlenet", "densenet121", "densenet169"),
)
"""Nets whose ImageNet weights share names and shapes with one of ours."""


def net_title(name: str) -> str:
    """A net in words, as ``ResNet18 + CBAM at both ends`` for ``resnet18_cbam_ends``; an unknown name as it is."""
    if name not in OTHERS and name not in PIPELINES and not name.startswith("resnet"):
        return name
    head, *blocks = [name] if name in _TITLES else name.removesuffix("_ends").split("_")
    first = _TITLES.get(head, head.upper().replace("RESNET", "ResNet"))
    parts = [first, *(_TITLES.get(block, block.upper()) for block in blocks)]
    return " + ".join(parts) + " at both ends" * name.endswith("_ends")


def is_classical(name: str) -> bool:
    """Whether a model is a pipeline that is fitted once: it has no weights, no epochs and uses no chance."""
    return name in PIPELINES


def parse(name: str) -> tuple[int, list[str], bool]:
    """Split a residual net's name into depth, blocks and whether they stand at the ends only.

    Raises:
        UserError: the name is not of the grammar.
    """
    head, *blocks = name.split("_")
    ends = bool(blocks) and blocks[-1] == "ends"
    if ends:
        blocks.pop()
    depth = head.removeprefix("resnet")
    if not head.startswith("resnet") or depth not in map(str, DEPTHS):
        raise unknown("model", name, [f"resnet{d}" for d in DEPTHS])
    for block in blocks:
        look_up(block, BLOCKS)
        if block not in BLOCKS:
            raise unknown(f"block in model {name!r}:", block, [*BLOCKS, "ends"])
    slots = [BLOCKS[block][0] for block in blocks]
    if ends and (not blocks or any(slot not in WHOLE_MAP for slot in slots)):
        raise UserError(f"unknown model {name!r}: _ends places blocks that reweight a map, such as cbam")
    for slot in ("convolution", "fusion", "downsampling"):
        if slots.count(slot) > 1:
            raise UserError(f"model {name!r}: two blocks both want to be the {slot}: keep one of them")
    if int(depth) < 50 and {"convolution", "downsampling"} & set(slots):
        raise UserError(f"model {name!r}: psa, acmix, sc and spd replace convolutions of a bottleneck: use resnet50")
    return int(depth), blocks, ends


def known_net(name: str) -> Net:
    """What is known of a model.

    Raises:
        UserError: there is no such model.
    """
    if is_classical(name):
        own: dict[str, tuple[Any, Any]] = {}
        if "_pca" in name:
            own["components"] = (Count, 150)
        if "_svm" in name:
            own["dual"] = (bool, False)
        return Net(_options(**own))
    if name.startswith("resnet"):
        return _RESIDUAL
    if name not in OTHERS:
        raise unknown("model", name, [*STUDIED, *PIPELINES])
    return OTHERS[name]


def hu_name(ca: str = "coord", simam: bool = True, sc: bool = True) -> str:
    """The name of hu's net in the grammar."""
    return "_".join(["resnet50", *["sc"] * sc, *[ca] * bool(ca), *["simam"] * simam])


def check_net(name: str, options: Mapping[str, Any]) -> Net:
    """Hold a model's name and options against what can be built.

    Args:
        name: of :data:`STUDIED` or :data:`PIPELINES`, or any name of this module's grammar.
        options: as for :func:`fer_lib.models.create_model`.

    Returns:
        What is known of the net, with the size that its options choose.

    Raises:
        UserError: the name, an option or its value is unknown, or two of them do not go together.
    """
    where, known = f"model {name}", known_net(name)
    grammar = {"gu": "resnet50_psa", "zhang": "resnet34_cbam_ends", "hu": "resnet50_coord_se_channel"}.get(name, name)
    depth, blocks, ends = parse(grammar) if grammar.startswith("resnet") else (0, [], False)
    net = check(known.options, {key: value for key, value in options.items() if key not in blocks}, where)
    for block in blocks:
        if name == "hu" and block in options and block != net.ca:
            raise UserError(f"{where}: options of {block} are for ca = {block!r}")
        given = check(BLOCKS[block][1], options.get(block, {}), f"{where}, block {block}")
        least = 4 * net.width if depth >= 50 and not ends else net.width
        own = f"block {block}" in CODE  # which sees to its channels itself
        if block != "coord" and not own and getattr(given, "reduction", 1) > least:
            raise UserError(f"{where}: {least} channels must be at least {block}'s reduction of {given.reduction}")
        if block == "psa" and net.width % 64:
            raise UserError(f"{where}: psa needs a width that is a multiple of 64: got {net.width}")
    allowed = (None, "focus") if "spd" in blocks else (None, "small", "imagenet")
    if ({"sc", "spd"} & set(blocks) or getattr(net, "sc", False)) and net.stem not in allowed:
        raise UserError(f"{where}: it replaces the stem's own stride, so leave stem = {net.stem!r} out")
    return known._replace(only=getattr(net, "pixels", known.only))
