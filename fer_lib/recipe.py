"""Recipes: all that defines a training except the seed, read from ``papers/*.toml``."""

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fer_lib.data import FACE_SIDE, PROTOCOLS, FaceDataset, Parts, is_drawn, run_parts
from fer_lib.data.catalog import KNOWN, classes_of, known_dataset
from fer_lib.data.ferplus import FERPLUS_CLASSES
from fer_lib.data.folds import COPIES
from fer_lib.errors import UserError, check_known, check_least, unknown
from fer_lib.nets import PRETRAINED, check_net, is_classical, net_title, parse
from fer_lib.parts import LOSSES, OPTIMISERS, SCHEDULES, VIEWS, Augment, Often, Plateau
from fer_lib.paths import own_papers
from fer_lib.plugins import CODE, look_up
from fer_lib.schema import Count, Name, Part, Positive, Text, check, check_named, checked_fields, read_toml, shown

PAPERS_DIR = Path(__file__).parent / "papers"
SELF_EVIDENT = ("name", "title", "dataset", "seeds", "sources")
"""Fields that need no source: a recipe's name says its dataset, and seeds are how often it is run, not how."""
NO_PART = ("title", "seeds", "sources")
"""Fields that are no part of a run's identity."""
PRECISIONS = ("float32", "bfloat16", "float16")
if TYPE_CHECKING:  # a checker of types sees texts, as it cannot run the right-hand sides below
    Protocol = str
    Precision = str
    Views = str
    Recorded = dict[str, Any]
else:
    Protocol, Precision, Views = Literal[tuple(PROTOCOLS)], Literal[PRECISIONS], Literal[tuple(VIEWS)]


@dataclass(frozen=True)
class Recipe:
    """One way to train one net, as a paper (or this study) defines it."""

    name: Name
    """``paper/system/dataset``, as in ``zhang/cbam_ends/fer2013``."""
    title: Text
    """What tables call the system."""
    dataset: Text
    """A name of :func:`fer_lib.data.load_dataset`."""
    protocol: Protocol
    """How the pictures are split: a name of :data:`fer_lib.data.PROTOCOLS`."""
    model: str
    """A name of :func:`fer_lib.models.create_model`."""
    augment: dict[str, Any]
    """Fields of :class:`fer_lib.parts.Augment`."""
    test_views: Views
    """The views averaged at test time."""
    loss: dict[str, Any]
    """``name`` and options of :data:`fer_lib.parts.LOSSES`."""
    optimizer: dict[str, Any]
    """``name`` and options of :data:`fer_lib.parts.OPTIMISERS`."""
    schedule: dict[str, Any]
    """``name`` and options of :data:`fer_lib.parts.SCHEDULES`."""
    batch_size: Count
    epochs: Count
    model_options: dict[str, Any] = field(default_factory=dict)
    clamp_gradient: Positive | None = None
    """Every element of the net's gradient is clamped to plus or minus this."""
    pretrained: str | None = None
    """What the net starts from: ImageNet weights by a name of :func:`fer_lib.models.pretrained.load_pretrained`, or a
    file of weights."""
    balance: dict[str, dict[str, float]] = field(default_factory=dict)
    """How often a class's training pictures occur in an epoch: ``{class: {count: n}}`` or ``{class: {factor: f}}``."""
    leave_out: str | None = None
    """Training pictures that most FER+ annotators put into this class are left out, as in ``not_face``; or those that
    also occur in a held-out part, :data:`fer_lib.data.folds.COPIES`."""
    precision: Precision | None = None
    """What it is trained in by choice; else the device's own, see :func:`fer_lib.training.autocast_dtype`."""
    seeds: Count | None = field(default=None, compare=False)
    """How many seeds the study wants of it, if not as many as of others of its kind; no part of the identity."""
    sources: dict[str, Text] = field(default_factory=dict, compare=False)
    """Where each value above comes from: the place in the paper, or the code it follows."""
    code: dict[str, str] = field(default_factory=dict, init=False)
    """Digests of the parts that are not ours (:data:`fer_lib.plugins.CODE`): other code is another recipe."""

    def __post_init__(self) -> None:
        check(_Fields, {key: value for key, value in vars(self).items() if key != "code"}, f"recipe {self.name}")
        try:
            _check_parts(self)
        except UserError as error:
            raise UserError(f"recipe {self.name}: {error}") from None
        object.__setattr__(self, "code", _own_code(self))

    def check_code(self) -> None:
        """Refuse to train with other code than the identity says.

        Raises:
            UserError: a part that is not ours is not at hand, or has changed since the recipe was made.
        """
        found = _own_code(self)
        for part, digest in self.code.items():
            if found.get(part) != digest:
                state = "has changed since the recipe was made" if part in found else "is not at hand"
                raise UserError(f"recipe {self.name}: the code of {part} {state}; start again")

    @property
    def is_classical(self) -> bool:
        """Whether it fits a pipeline once instead of training a net."""
        return is_classical(self.model)

    @property
    def chance(self) -> bool:
        """Whether the seed can change the outcome: the training's, or the split's if that is drawn."""
        return not self.is_classical or is_drawn(self.protocol)

    @property
    def folds(self) -> int:
        """Runs that a seed takes: one for each fold of the protocol. A pipeline that is fitted in closed form does
        all folds of a drawn protocol in one run, as it takes seconds and there are many draws."""
        return 1 if is_drawn(self.protocol) and self.is_classical else PROTOCOLS[self.protocol]

    def training(self) -> dict[str, Any]:
        """All that can change the outcome of a training, as plain JSON values.

        An optional field at its default is left out, so that a field added later changes no earlier run's identity.
        """
        return dict(self._training)

    @cached_property
    def _training(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        optional = {f.name for f in dataclasses.fields(self) if f.name in vars(Recipe) or f.default_factory is dict}
        return {k: v for k, v in values.items() if k not in NO_PART and (v or k not in optional)}


_Fields = checked_fields(Recipe, without=("code",))
if not TYPE_CHECKING:
    Recorded = checked_fields(Recipe, without=NO_PART, strict=False)
    """The values of :meth:`Recipe.training` in a record; an option that a later version took away does no harm."""


def _own_code(recipe: Recipe) -> dict[str, str]:
    """The digests of a recipe's parts that are not ours; first, whatever they need is loaded."""
    blocks = parse(recipe.model)[1] if recipe.model.startswith("resnet") else []
    classes_of(recipe.dataset)
    look_up(recipe.loss.get("name", ""), ("", *LOSSES))
    parts = [*(f"block {name}" for name in blocks), f"loss {recipe.loss.get('name')}", f"dataset {recipe.dataset}"]
    return {part: CODE[part] for part in sorted({*parts}) if part in CODE}


def _check_parts(recipe: Recipe) -> None:
    """Refuse what cannot be trained: an unknown option, a value outside its limits, or two that do not go together."""
    net = check_net(recipe.model, recipe.model_options)
    if recipe.is_classical:
        empty = ("augment", "loss", "optimizer", "schedule", "balance", "pretrained", "precision")
        for key, only in {"epochs": 1, "test_views": "one", **dict.fromkeys(empty)}.items():
            if (value := getattr(recipe, key) or None) != only:
                raise UserError(f"{key} must be {only or 'empty'}, as {recipe.model} is fitted once: got {value!r}")
    else:
        if recipe.batch_size < 2:
            raise UserError("batch_size = 1: batch normalisation needs two pictures or more")
        look_up(recipe.loss.get("name", ""), LOSSES)
        if getattr(check_named("loss", LOSSES, recipe.loss), "reduction", "") == "none":
            raise UserError("loss: reduction = 'none' is not for a training, which needs one number")
        check_named("optimizer", OPTIMISERS, recipe.optimizer)
        schedule = check_named("schedule", SCHEDULES, recipe.schedule)
        side = check(Augment, recipe.augment, "augment").view(FACE_SIDE).resize
        if side < net.least or side != (net.only or side):
            takes = f"{net.only} pixels only" if net.only else f"{net.least} pixels or more"
            raise UserError(f"model {recipe.model} takes pictures of {takes}, augment makes {side}")
        if isinstance(schedule, Plateau) and recipe.protocol != "official":
            raise UserError(
                f"the plateau schedule reads the validation accuracy, and protocol {recipe.protocol!r} has no such part"
            )
    _check_data(recipe)


def _check_data(recipe: Recipe) -> None:
    """Refuse what the dataset does not have."""
    dataset, protocol = recipe.dataset, recipe.protocol
    known = known_dataset(dataset)
    if not known and not dataset.startswith("folder:"):
        raise unknown("dataset", dataset, [*KNOWN, "folder:PATH"])
    if known and protocol not in known.protocols:
        raise UserError(f"{dataset} cannot be split by {unknown('protocol', protocol, known.protocols)}")
    classes = classes_of(dataset)
    for name, often in recipe.balance.items():
        if classes and name not in classes:
            raise unknown("class of balance", name, classes)
        check(Often, often, f"balance of {name}")
    weights = recipe.loss.get("class_weights")
    if classes and weights and len(weights) != len(classes):
        raise UserError(f"loss: class_weights must be {len(classes)} numbers, one for each class: got {len(weights)}")
    if recipe.leave_out not in (None, COPIES, *FERPLUS_CLASSES):
        raise unknown("thing to leave out", recipe.leave_out, [COPIES, *FERPLUS_CLASSES])
    if recipe.leave_out in FERPLUS_CLASSES and dataset in KNOWN and dataset not in ("fer2013", "ferplus"):
        raise UserError(f"leave_out = {recipe.leave_out!r}: {dataset} has no votes of FER+")
    start = recipe.pretrained
    if start and start not in PRETRAINED and not (Path(start).suffix or len(Path(start).parts) > 1):
        raise unknown("pretrained weights", start, PRETRAINED)


BY_CLASS = "by_class"
"""How limited parts are drawn. Records that do not say it hold the first pictures of each part."""


@dataclass(frozen=True, repr=False)
class RunSpec:
    """A recipe, a seed and a fold: what is trained once. Its identity is the hash of all of it.

    Args:
        recipe: the recipe; its name, data, epochs and every hyper-parameter count.
        seed: seeds initialisation, order, augmentation and dropout.
        fold: the test fold, 0-based, of a recipe with folds; else None.
        limit_train: train on this many pictures only, drawn by :func:`fer_lib.data.folds.draw_by_class`; None for all.
        limit_test: evaluate on this many pictures of the val and test parts only; None for all.
    """

    recipe: Recipe
    seed: int = 0
    fold: int | None = None
    limit_train: int | None = None
    limit_test: int | None = None

    def __repr__(self) -> str:
        return f"RunSpec({self.run_id!r})"

    def __post_init__(self) -> None:
        folds = self.recipe.folds
        if folds == 1 and self.fold is not None:
            raise UserError(f"--fold {self.fold}: a run of {self.recipe.name} takes no fold; leave it out")
        if folds > 1 and (self.fold is None or not 0 <= self.fold < folds):
            raise UserError(f"--fold {self.fold}: protocol {self.recipe.protocol!r} needs a fold from 0 to {folds - 1}")
        check_least("--seed", self.seed, 0)
        check_least("--limit-train", self.limit_train)
        check_least("--limit-test", self.limit_test)

    def parts(self, dataset: FaceDataset) -> list[Parts]:
        """The pictures that it trains and is tested on, see :func:`fer_lib.data.run_parts`."""
        recipe, limits = self.recipe, (self.limit_train, self.limit_test)
        return run_parts(dataset, recipe.protocol, self.fold, self.seed, recipe.leave_out, *limits)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: what ``run.json`` keeps and what the identity hashes."""
        spec = {
            "recipe": self.recipe.training(),
            "seed": self.seed,
            "fold": self.fold,
            "limit_train": self.limit_train,
        }
        if self.limit_test is not None:
            spec["limit_test"] = self.limit_test
        if self.limit_train is not None or self.limit_test is not None:
            spec["limits"] = BY_CLASS
        return spec

    @property
    def digest(self) -> str:
        """What identifies it, see :func:`spec_digest`."""
        return spec_digest(self.as_dict())

    @property
    def run_id(self) -> str:
        """What names it, see :func:`spec_name`."""
        return spec_name(self.as_dict())


def spec_digest(spec: dict[str, Any]) -> str:
    """SHA-256, hexadecimal, of the canonical JSON of :meth:`RunSpec.as_dict`, or of what ``run.json`` keeps of it."""
    canonical = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def spec_name(spec: dict[str, Any]) -> str:
    """A readable name that no other spec has, as in ``zhang-cbam_ends-fer2013-s0-1a2b3c4d``.

    It names the dataset that was trained on, also where that is not the recipe's own.

    Args:
        spec: as :func:`spec_digest`.
    """
    net, _, dataset = spec["recipe"]["name"].rpartition("/")
    if dataset in KNOWN:
        dataset = spec["recipe"]["dataset"].partition(":")[0]
    fold = "" if spec["fold"] is None else f"-f{spec['fold']}"
    return f"{net}/{dataset}-s{spec['seed']}{fold}-{spec_digest(spec)[:8]}".lstrip("/").replace("/", "-")


def with_changes(
    recipe: Recipe,
    *,
    dataset: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    precision: str | None = None,
    width: int | None = None,
    blocks: int | None = None,
    settings: Sequence[str] = (),
) -> Recipe:
    """A recipe with another dataset, fewer epochs, another batch size or precision or a smaller net, to try things out.

    A dataset that brings its own split is used with it; the class counts follow the dataset.

    Args:
        recipe: what is changed.
        dataset: another dataset.
        epochs: another number of epochs.
        batch_size: another number of pictures a step.
        precision: what to train in, by choice.
        width: channels of a residual net's first stage.
        blocks: residual blocks in each of its four stages.
        settings: other values, applied last, each as ``optimizer.lr=0.05``: a field of :class:`Recipe`, or a key of a
            table in it, and a TOML value. A word needs no quotes, ``none`` takes a value out.

    Raises:
        UserError: a number below 1, a recipe that the dataset cannot serve, or a setting that a recipe cannot have.
    """
    chosen = {"epochs": epochs, "batch_size": batch_size, "precision": precision}
    changes: dict[str, Any] = {key: value for key, value in chosen.items() if value is not None}
    smaller = {"width": width, "layers": None if blocks is None else [blocks] * 4}
    if smaller := {name: value for name, value in smaller.items() if value is not None}:
        changes["model_options"] = recipe.model_options | smaller
    if dataset is not None and dataset != recipe.dataset:
        known = known_dataset(dataset)
        changes |= {"dataset": dataset, "protocol": known.protocols[0] if known else "official"}
    return dataclasses.replace(recipe, **_settled(recipe, changes, settings))


SETTABLE = tuple(f.name for f in dataclasses.fields(Recipe) if f.name not in (*NO_PART, "name", "code"))
"""What ``--set`` can change: all that decides a training."""
_EMPTY: dict[str, Any] = {f.name: {} for f in dataclasses.fields(Recipe) if f.default_factory is dict}
"""What ``none`` leaves of a table that may be empty."""


def _settled(recipe: Recipe, changes: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Changes to a recipe with ``KEY=VALUE`` texts on top."""
    changes = dict(changes)
    for setting in settings:
        key, equals, text = setting.partition("=")
        name, *path = key.strip().split(".")
        if not equals:
            raise UserError(f"--set {setting}: write KEY=VALUE, as in optimizer.lr=0.05")
        if name not in SETTABLE:
            raise UserError(f"--set {setting}: {unknown('value of a recipe', name, SETTABLE)}")
        value = _toml_value(text.strip())
        if path:
            value = _replaced(changes.get(name, getattr(recipe, name)), path, value, setting)
        elif value is None and name in _EMPTY:
            value = _EMPTY[name]
        changes[name] = value
    return changes


def _toml_value(text: str) -> Any:
    """What a text means in TOML, or the text itself; None for ``none``."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return None if text == "none" else text


def _replaced(table: Any, path: Sequence[str], value: Any, setting: str) -> dict[str, Any]:
    """A table with another value at a path, or without it."""
    if not isinstance(table, dict):
        raise UserError(f"--set {setting}: {path[0]} would be a key of {table!r}, which is no table")
    key, *rest = path
    if rest:
        value = _replaced(table.get(key, {}), rest, value, setting)
    return {k: v for k, v in {**table, key: value}.items() if v is not None}


class About(Part, frozen=True):
    """The table ``[paper]`` of a paper's file."""

    id: Name
    title: Text
    authors: Text
    idea: Text
    short: Text | None = None
    """The authors' family names."""
    year: int | None = None
    reference: Text | None = None
    """Where it was published, as far as its text says."""
    caveat: Text | None = None
    """What a reader must know first of its numbers, in a line."""
    headlines: dict[Name, Name] | None = None
    """The recipes of what it is quoted for, and of the plain net beside each, their names without the paper's."""


class Ablation(Part, frozen=True):
    """A comparison: recipes of the paper against one of them, their names without the paper's."""

    baseline: Name
    recipes: list[Name]
    first: Name | None = None
    """The one of the recipes that is tested first and alone: the paper's proposed net."""
    question: Text | None = None
    family: Text | None = None
    """What its recipes are, where the paper's file has another family with the same baseline."""

    def __post_init__(self) -> None:
        if self.first is not None and self.first not in self.recipes:
            raise ValueError(f"first: {self.first} is none of the recipes")
        if not self.recipes or len({self.baseline, *self.recipes}) <= len(self.recipes):
            raise ValueError("recipes: name one or more, each once, and not the baseline")


class Contradiction(Part, frozen=True):
    """Where a paper contradicts itself, and how we read it."""

    place: Text
    problem: Text
    reading: Text


class Paper(Part, frozen=True):
    """A paper's file; its claims and recipes are held against types of their own."""

    paper: About
    ablation: tuple[Ablation, ...] = ()
    contradiction: tuple[Contradiction, ...] = ()
    claim: tuple[dict[str, Any], ...] = ()
    recipe: tuple[dict[str, Any], ...] = ()


@cache
def load_papers() -> dict[str, dict[str, Any]]:
    """The parsed ``papers/*.toml`` by paper id, then those of the folder ``FER_PAPERS``.

    Raises:
        UserError: a file is no TOML or holds something else than a paper does, naming file and key; or two papers
            have one id.
    """
    papers: dict[str, dict[str, Any]] = {}
    for folder in filter(None, (PAPERS_DIR, own_papers())):
        for path in sorted(folder.glob("*.toml")):
            if path.stem in papers:
                raise UserError(f"{path}: there is a paper {path.stem!r} already; give the file another name")
            papers[path.stem] = read_toml(path)
            found = check(Paper, papers[path.stem], paper_file(path.stem))
            if found.paper.id != path.stem:
                raise UserError(f"{paper_file(path.stem)}: paper.id is {found.paper.id!r}, must be the file's name")
    return papers


def paper_file(paper: str) -> str:
    """Where a paper's file lies, as messages name it."""
    own = own_papers()
    return str(own / f"{paper}.toml") if own and not (PAPERS_DIR / f"{paper}.toml").exists() else f"papers/{paper}.toml"


@cache
def paper_names() -> dict[str, str]:
    """Authors, and the year where it is known, of each paper; the title of what is our own; by the file's name."""
    names = {}
    for name, content in load_papers().items():
        about = content["paper"]
        year = f" ({about['year']})" if "year" in about else ""
        names[name] = about.get("short", about.get("title", name)) + year
    return names


def claimed_papers() -> list[str]:
    """The papers that claim something: all files but those of our own comparisons."""
    return [name for name, content in load_papers().items() if content.get("claim")]


def family_of(name: str) -> str:
    """The family with a name of its own that a recipe is compared in; empty for none."""
    paper, _, short = name.partition("/")
    tables = load_papers().get(paper, {}).get("ablation", [])
    return next((table["family"] for table in tables if "family" in table and short in table["recipes"]), "")


def called(name: str) -> str:
    """A recipe, a paper's net or another net in words; an unknown recipe as it is."""
    if "/" in name:
        return list_recipes()[name].title if name in list_recipes() else name
    if name in load_papers():
        return f"{load_papers()[name]['paper'].get('short', name)}'s net"
    return net_title(name)


@cache
def list_recipes() -> dict[str, Recipe]:
    """Every recipe of every paper, by name, in the papers' order."""
    found: dict[str, Recipe] = {}
    for paper, content in load_papers().items():
        recipes = {recipe.name: recipe for recipe in parse_recipes(paper, content.get("recipe", []))}
        _check_names(paper, content, [name.removeprefix(f"{paper}/") for name in recipes])
        found |= recipes
    return found


def _check_names(paper: str, content: dict[str, Any], recipes: list[str]) -> None:
    """Refuse an ablation or a headline of a recipe that the file does not have."""
    used = [
        (f"ablation[{number}].{key}", name)
        for number, table in enumerate(content.get("ablation", []))
        for key, names in (("baseline", [table["baseline"]]), ("recipes", table["recipes"]))
        for name in names
    ]
    used += [("paper.headlines", name) for pair in content["paper"].get("headlines", {}).items() for name in pair]
    for key, name in used:
        if name not in recipes:
            raise UserError(f"{paper_file(paper)}: {key}: {unknown('recipe', name, recipes)}")


def add_recipe(recipe: Recipe) -> None:
    """Make a recipe one of :func:`list_recipes`, in this process, in the place of one of its name."""
    list_recipes()[recipe.name] = recipe


@cache
def headlines() -> dict[str, str]:
    """The recipes of what the papers are quoted for, FER2013 first, and the plain net beside each."""
    named = {
        f"{paper}/{name}": f"{paper}/{plain}"
        for paper, content in load_papers().items()
        for name, plain in content["paper"].get("headlines", {}).items()
    }
    return dict(sorted(named.items(), key=lambda pair: not pair[0].endswith("/fer2013")))


def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UserError: there is none; the nearest names are suggested.
    """
    recipes = list_recipes()
    check_known("recipe", name, recipes)
    return recipes[name]


def parse_recipes(paper: str, tables: list[dict[str, Any]]) -> list[Recipe]:
    """Turn a paper's ``[[recipe]]`` tables into recipes, following ``extends`` within the paper.

    Args:
        paper: the paper's id, which prefixes every name.
        tables: the parsed tables, in the file's order.

    Raises:
        UserError: a recipe that cannot be trained, a name that is missing or taken, an ``extends`` that names no
            earlier recipe, or a value that is neither inherited nor has a source; naming file, recipe and key.
    """
    raw: dict[str, dict[str, Any]] = {}
    recipes = []
    for table in tables:
        where = f"{paper_file(paper)}, recipe {paper}/{shown(table.get('name', '(no name)'))}"
        if table.get("name") in (None, *raw):
            raise UserError(f"{where}: every recipe needs a name of its own")
        parent, sources = table.get("extends"), table.get("sources", {})
        if parent not in (None, *raw):
            raise UserError(f"{where}: extends {parent!r}, which is no earlier recipe of this file")
        own = {key: value for key, value in table.items() if key != "extends"}
        values = (raw[parent] if parent else {}) | own | {"name": f"{paper}/{table['name']}"}
        check(_Fields, values, where)
        for key in own:
            # The publisher's own split is no choice that would need a reason.
            if key not in (*SELF_EVIDENT, *sources) and (key, own[key]) != ("protocol", "official"):
                raise UserError(f"{where}: {key} has no source; say in [recipe.sources] where it comes from")
        if strange := [key for key in sources if key not in values]:
            raise UserError(f"{where}: sources name {unknown('key', strange[0], values)}")
        raw[table["name"]] = values | {"sources": (raw[parent]["sources"] if parent else {}) | sources}
        try:
            recipes.append(Recipe(**raw[table["name"]]))
        except UserError as error:
            raise UserError(f"{paper_file(paper)}, {error}") from None
    return recipes
