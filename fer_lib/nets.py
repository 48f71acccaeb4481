"""Names of the nets and the options of each, as checked data: what can be built, said without PyTorch.

Residual nets have the grammar ``resnet{18,34,50}[_BLOCK]...[_ends]``. ``resnet50`` is the plain net with the 3x3 stem
for small pictures. Every ``_BLOCK`` adds one of :data:`BLOCKS` at its official place in every residual block;
``_ends`` moves an attention block from there to two places, after the first convolution and after the last stage.
Several blocks may follow one another: ``resnet50_sc_coord_simam`` is hu's net.

What each option means is said where the net is built; a test holds names and defaults here against those there.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from fer_lib.errors import UserError, unknown
from fer_lib.schema import BelowOne, Count, NotNegative, Part, check

Odd = Literal[1, 3, 5, 7, 9, 11, 13, 15]
Stem = Literal["small", "pooled", "imagenet", "focus", "focus_pooled"]
Layers = tuple[Count, Count, Count, Count]
STEMS = {
    "small": "3x3 convolution, stride 1, no pooling: pictures of about 48 px",
    "pooled": "3x3 convolution, stride 1, then 3x3 max pooling of stride 2",
    "imagenet": "7x7 convolution of stride 2, then 3x3 max pooling of stride 2: pictures of 224 px",
    "focus": "space-to-depth and a 1x1 convolution, no pooling",
    "focus_pooled": "the same, then 3x3 max pooling of stride 2",
}
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}

# ---------------------------------------------------------------- blocks of residual nets


class Se(Part):
    reduction: Count = 16
    bias: bool = False


class Eca(Part):
    kernel_size: Odd | None = None


class Channel(Part):
    reduction: Count = 16
    bias: bool = True


class Cbam(Part):
    reduction: Count = 16
    kernel_size: Odd = 7
    plain: bool = False


class Bam(Part):
    reduction: Count = 16
    dilation: Count = 4


class Coord(Part):
    reduction: Count = 32


class Hybrid(Part):
    reduction: Count = 16
    kernel_size: Odd = 7


class Fusion(Part):
    reduction: Count = 4


class SimAM(Part):
    e_lambda: NotNegative = 1e-4


class Psa(Part):
    kernels: tuple[Odd, Odd, Odd, Odd] = (3, 5, 7, 9)
    groups: tuple[Count, Count, Count, Count] = (1, 4, 8, 16)


class Acmix(Part):
    kernel_att: Odd = 7
    heads: Count = 4
    kernel_conv: Odd = 3


BLOCKS: dict[str, tuple[str, type[Part]]] = {
    "se": ("branch", Se),
    "eca": ("branch", Eca),
    "channel": ("branch", Channel),
    "cbam": ("branch", Cbam),
    "coord": ("branch", Coord),
    "hybrid": ("branch", Hybrid),
    "mscam": ("branch", Fusion),
    "simam": ("inner", SimAM),
    "bam": ("after_stage", Bam),
    "psa": ("convolution", Psa),
    "acmix": ("convolution", Acmix),
    "aff": ("fusion", Fusion),
    "iaff": ("fusion", Fusion),
    "sc": ("downsampling", Part),
    "spd": ("downsampling", Part),
}
"""Slot and options of every block, see :class:`fer_lib.models.resnet.Slots`."""
WHOLE_MAP = ("branch", "inner", "after_stage")

# ---------------------------------------------------------------- options of nets


class Net(Part):
    least: ClassVar[int] = 1
    """Side in pixels of the smallest picture it takes."""

    @property
    def only(self) -> int | None:
        """Side in pixels of the only picture it takes; None where there are more."""
        return None


class Residual(Net):
    stem: Stem | None = None
    width: Annotated[int, Meta(ge=8)] = 64
    layers: Layers | None = None
    dropout: BelowOne = 0.0
    pool: Count | None = None
    branch_scale: NotNegative = 1.0


class Li(Net):
    layers: Layers = (2, 2, 2, 2)
    norm_prelu_after: tuple[Literal[1, 2, 3, 4], ...] = (4,)
    dropout: BelowOne = 0.3
    width: Annotated[int, Meta(ge=8)] = 64


class Hu(Residual):
    ca: Literal["coord", "se", "channel", ""] = "coord"
    simam: bool = True
    sc: bool = True


class Gu(Residual):
    stem: Stem = "imagenet"


class Zhang(Residual):
    dropout: BelowOne = 0.5


class SeNet(Net):
    width: Annotated[int, Meta(ge=16)] = 64
    dropout: BelowOne = 0.0


class Vgg(Net):
    head: Literal["linear", "fc4096"] = "linear"
    dropout: BelowOne = 0.5
    least: ClassVar[int] = 32


class VggFace(Net):
    dropout: BelowOne = 0.5
    least: ClassVar[int] = 32


class AlexNet(Net):
    dropout: BelowOne = 0.5
    least: ClassVar[int] = 63


class GoogLeNet(Net):
    dropout: BelowOne = 0.2
    least: ClassVar[int] = 15


class DenseNet(Net):
    stem: Literal["small", "imagenet"] = "small"
    dropout: BelowOne = 0.0
    least: ClassVar[int] = 8


class MobileNet(Net):
    stem: Literal["small", "imagenet"] = "small"
    dropout: BelowOne = 0.2


class Inception(Net):
    dropout: BelowOne = 0.0
    least: ClassVar[int] = 75


class MicroExpNet(Net):
    dropout: BelowOne = 0.5

    @property
    def only(self) -> int:
        return 84


class LbcNN(Net):
    channels: Count = 64
    num_weights: Count = 128
    depth: Count = 10
    full: Count = 512
    density: Annotated[float, Meta(gt=0, le=1)] = 0.5
    dropout: BelowOne = 0.5
    pixels: Annotated[int, Meta(ge=5)] = 48

    @property
    def only(self) -> int:
        return self.pixels


class ParallelCNN(Net):
    width: Annotated[int, Meta(ge=2)] = 32
    dropout: BelowOne = 0.5
    least: ClassVar[int] = 16


class Pipeline(Net):
    components: Count = 150
    dual: bool = False


OTHERS: dict[str, type[Net]] = {
    "li": Li,
    "hu": Hu,
    "gu": Gu,
    "zhang": Zhang,
    "senet18": SeNet,
    "vgg16": Vgg,
    "vgg16_bn": Vgg,
    "vgg19": Vgg,
    "vgg19_bn": Vgg,
    "vggface": VggFace,
    "alexnet": AlexNet,
    "googlenet": GoogLeNet,
    "densenet121": DenseNet,
    "mobilenetv2": MobileNet,
    "inceptionv4": Inception,
    "microexpnet": MicroExpNet,
    "lbcnn": LbcNN,
    "parallel_cnn": ParallelCNN,
}
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
    *("alexnet", "googlenet", "densenet121"),
)
"""Nets whose ImageNet weights share names and shapes with one of ours."""


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
    if not head.startswith("resnet") or not depth.isdecimal() or int(depth) not in DEPTHS:
        raise unknown("model", name, [f"resnet{d}" for d in DEPTHS])
    for block in blocks:
        if block not in BLOCKS:
            raise unknown(f"block in model {name!r}:", block, [*BLOCKS, "ends"])
    slots = [BLOCKS[block][0] for block in blocks]
    if ends and (not blocks or any(slot not in WHOLE_MAP for slot in slots)):
        raise UserError(f"unknown model {name!r}: _ends places blocks that reweight a map, such as cbam")
    for slot in ("convolution", "fusion"):
        if slots.count(slot) > 1:
            raise UserError(f"model {name!r}: two blocks both want to be the {slot}: keep one of them")
    if int(depth) < 50 and {"convolution", "downsampling"} & set(slots):
        raise UserError(f"model {name!r}: psa, acmix, sc and spd replace convolutions of a bottleneck: use resnet50")
    return int(depth), blocks, ends


def grammar_name(name: str, options: Mapping[str, Any]) -> str | None:
    """The name in the grammar of a residual net, the papers' included; None for the other nets.

    Args:
        name: of a model.
        options: of hu's net, ``ca``, ``simam`` and ``sc`` count.
    """
    if name == "hu":
        net = Hu(**{key: options[key] for key in ("ca", "simam", "sc") if key in options})
        return "_".join(["resnet50", *["sc"] * net.sc, *([net.ca] if net.ca else []), *["simam"] * net.simam])
    return {"gu": "resnet50_psa", "zhang": "resnet34_cbam_ends"}.get(name, name if name.startswith("resnet") else None)


def check_net(name: str, options: Mapping[str, Any]) -> Net:
    """Hold a model's name and options against what can be built.

    Args:
        name: of :data:`STUDIED` or :data:`PIPELINES`, or any name of this module's grammar.
        options: as for :func:`fer_lib.models.create_model`.

    Returns:
        The options with the net's own defaults, those of its blocks left out.

    Raises:
        UserError: the name, an option or its value is unknown, or two of them do not go together.
    """
    where, kind = f"model {name}", Pipeline if is_classical(name) else OTHERS.get(name, Residual)
    if kind is Residual and not name.startswith("resnet"):
        raise unknown("model", name, [*STUDIED, *PIPELINES])
    if not issubclass(kind, Residual):
        return check(kind, dict(options), where)
    grammar = grammar_name(name, options)
    depth, blocks, ends = parse(grammar)
    own = {key: value for key, value in options.items() if key not in blocks or (key == "simam" and kind is Hu)}
    net = check(kind, own, where)
    for block in blocks:
        given = check(BLOCKS[block][1], options.get(block, {}) if block not in own else {}, f"{where}, block {block}")
        least = 4 * net.width if depth >= 50 and not ends else net.width
        if isinstance(given, Se | Channel | Cbam | Bam | Hybrid | Fusion) and given.reduction > least:
            raise UserError(f"{where}: {least} channels must be at least {block}'s reduction of {given.reduction}")
        if block == "psa" and net.width % 64:
            raise UserError(f"{where}: psa needs a width that is a multiple of 64: got {net.width}")
    allowed = (None, "focus") if "spd" in blocks else (None, "small", "imagenet")
    if {"sc", "spd"} & set(blocks) and net.stem not in allowed:
        raise UserError(f"{where}: it replaces the stem's own stride, so leave stem = {net.stem!r} out")
    return net
