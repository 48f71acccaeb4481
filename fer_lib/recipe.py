"""Recipes: all that defines a training except the seed, read from ``papers/*.toml``."""

import dataclasses
import hashlib
import json
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from fer_lib.data import PROTOCOLS
from fer_lib.errors import UserError, unknown

PAPERS_DIR = Path(__file__).parent / "papers"
SELF_EVIDENT = ("name", "title", "dataset", "sources")
"""Fields that need no source: a recipe's name says its dataset."""


@dataclass(frozen=True)
class Recipe:
    """One way to train one net, as a paper (or this study) defines it."""

    name: str
    """``paper/system/dataset``, as in ``zhang/cbam_ends/fer2013``."""
    title: str
    """What tables call the system."""
    dataset: str
    """A name of :func:`fer_lib.data.load_dataset`."""
    protocol: str
    """How the pictures are split: a name of :data:`fer_lib.data.PROTOCOLS`."""
    model: str
    """A name of :func:`fer_lib.models.create_model`."""
    augment: dict[str, Any]
    """Fields of :class:`fer_lib.augment.Augmentation`."""
    test_views: str
    """The views averaged at test time: one, flip, five, ten or jitter."""
    loss: dict[str, Any]
    """``name`` and options of :func:`fer_lib.losses.create_loss`."""
    optimizer: dict[str, Any]
    """``name``, ``lr`` and options of :mod:`fer_lib.training.optimisers`."""
    schedule: dict[str, Any]
    """``name`` and options of :mod:`fer_lib.training.optimisers`."""
    batch_size: int
    epochs: int
    model_options: dict[str, Any] = field(default_factory=dict)
    clamp_gradient: float | None = None
    """Every gradient element is clamped to plus or minus this."""
    clip_norm: float | None = None
    """The gradient of the net as a whole is scaled down to this Euclidean length, after the clamp."""
    ema: float | None = None
    """Decay of an exponential moving average of the weights, which is then what is evaluated and kept."""
    early_stopping: int | None = None
    """End the training after this many epochs without a better validation accuracy."""
    pretrained: str | None = None
    """ImageNet weights the net starts from, a name of :func:`fer_lib.models.load_pretrained`."""
    balance: dict[str, dict[str, float]] = field(default_factory=dict)
    """How often a class's training pictures occur in an epoch: ``{class: {count: n}}`` or ``{class: {factor: f}}``."""
    leave_out: str | None = None
    """Training pictures that most FER+ annotators put into this class are left out, as in ``not_face``."""
    sources: dict[str, str] = field(default_factory=dict, compare=False)
    """Where each value above comes from: the place in the paper, or the code it follows."""

    def __post_init__(self) -> None:
        for name in ("clamp_gradient", "clip_norm", "ema", "early_stopping"):
            value = getattr(self, name)
            if value is not None and not value > 0:  # 0 would be left out of the identity, as if it were not there
                raise UserError(f"recipe {self.name}: {name} must be above 0, not {value!r}; leave it out for none")

    def training(self) -> dict[str, Any]:
        """All that can change the outcome of a training, as plain JSON values.

        An optional field at its default is left out, so that a field added later changes no earlier run's identity.
        """
        values = dataclasses.asdict(self)
        optional = {f.name for f in dataclasses.fields(self) if not _is_required(f)}
        return {k: v for k, v in values.items() if k not in ("title", "sources") and (v or k not in optional)}


@dataclass(frozen=True)
class RunSpec:
    """A recipe, a seed and a fold: what is trained once. Its identity is the hash of all of it.

    Args:
        recipe: the recipe; its name, data, epochs and every hyper-parameter count.
        seed: seeds initialisation, order, augmentation and dropout.
        fold: the test fold, 0-based, for protocols with folds; else None.
        limit_train: train on this many pictures only, the first of the training part; None for all.
        limit_test: evaluate on this many pictures of the val and test parts only; None for all.
    """

    recipe: Recipe
    seed: int = 0
    fold: int | None = None
    limit_train: int | None = None
    limit_test: int | None = None

    def __post_init__(self) -> None:
        folds = PROTOCOLS[self.recipe.protocol]
        if folds == 1 and self.fold is not None:
            raise UserError(f"--fold {self.fold}: protocol {self.recipe.protocol!r} has no folds; leave it out")
        if folds > 1 and (self.fold is None or not 0 <= self.fold < folds):
            raise UserError(f"--fold {self.fold}: protocol {self.recipe.protocol!r} needs a fold from 0 to {folds - 1}")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: must be 0 or more")
        for name in ("limit_train", "limit_test"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise UserError(f"--{name.replace('_', '-')} {limit}: must be 1 or more")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: what ``run.json`` keeps and what the identity hashes."""
        spec = {
            "recipe": self.recipe.training(),
            "seed": self.seed,
            "fold": self.fold,
            "limit_train": self.limit_train,
        }
        return spec if self.limit_test is None else spec | {"limit_test": self.limit_test}

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

    Args:
        spec: as :func:`spec_digest`.
    """
    fold = "" if spec["fold"] is None else f"-f{spec['fold']}"
    return f"{spec['recipe']['name'].replace('/', '-')}-s{spec['seed']}{fold}-{spec_digest(spec)[:8]}"


def with_changes(
    recipe: Recipe,
    *,
    dataset: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    width: int | None = None,
    blocks: int | None = None,
) -> Recipe:
    """A recipe with another dataset, fewer epochs, another batch size or a smaller net, to try things out.

    A dataset that brings its own split is used with it; the class counts follow the dataset.

    Args:
        recipe: what is changed.
        dataset: another dataset.
        epochs: another number of epochs.
        batch_size: another number of pictures a step.
        width: channels of a residual net's first stage.
        blocks: residual blocks in each of its four stages.

    Raises:
        UserError: a number below 1.
    """
    changes: dict[str, Any] = {}
    numbers = {"epochs": epochs, "batch_size": batch_size, "width": width, "blocks": blocks}
    for option, value in numbers.items():
        if value is not None and value < 1:
            raise UserError(f"--{option.replace('_', '-')} {value}: must be 1 or more")
    changes |= {name: numbers[name] for name in ("epochs", "batch_size") if numbers[name] is not None}
    smaller = {"width": width, "layers": None if blocks is None else [blocks] * 4}
    if smaller := {name: value for name, value in smaller.items() if value is not None}:
        changes["model_options"] = recipe.model_options | smaller
    if dataset is not None and dataset != recipe.dataset:
        changes["dataset"] = dataset
        changes["protocol"] = "subject_10fold" if dataset == "ckplus" else "official"
    return dataclasses.replace(recipe, **changes)


@cache
def load_papers() -> dict[str, dict[str, Any]]:
    """The parsed ``papers/*.toml``, by paper id."""
    return {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(PAPERS_DIR.glob("*.toml"))}


@cache
def list_recipes() -> dict[str, Recipe]:
    """Every recipe of every paper, by name, in the papers' order."""
    return {
        recipe.name: recipe
        for paper, content in load_papers().items()
        for recipe in parse_recipes(paper, content.get("recipe", []))
    }


def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UserError: there is none; the nearest names are suggested.
    """
    recipes = list_recipes()
    if name not in recipes:
        raise unknown("recipe", name, recipes)
    return recipes[name]


def parse_recipes(paper: str, tables: list[dict[str, Any]]) -> list[Recipe]:
    """Turn a paper's ``[[recipe]]`` tables into recipes, following ``extends`` within the paper.

    Args:
        paper: the paper's id, which prefixes every name.
        tables: the parsed tables, in the file's order.

    Raises:
        UserError: a field that does not exist, is missing or has a value of another type, a name that is missing
            or taken, an unknown protocol, an ``extends`` that names no earlier recipe, or a value that is neither
            inherited nor has a source.
    """
    fields = {f.name: f for f in dataclasses.fields(Recipe)}
    required = {name for name, f in fields.items() if _is_required(f)}
    kinds = {name: dict if get_origin(hint) is dict else hint for name, hint in get_type_hints(Recipe).items()}
    raw: dict[str, dict[str, Any]] = {}
    for table in tables:
        values = dict(table)
        where = f"papers/{paper}.toml, recipe {values.get('name', '(no name)')}"
        if values.get("name") in (None, *raw):
            raise UserError(f"{where}: every recipe needs a name of its own")
        parent = values.pop("extends", None)
        own = [key for key in values if key not in SELF_EVIDENT]
        if parent is not None:
            if parent not in raw:
                raise UserError(f"{where}: extends {parent!r}, which is no earlier recipe of this file")
            values = raw[parent] | values
        for key, value in values.items():
            if key not in fields:
                raise UserError(f"{where}: {unknown('field', key, fields)}")
            if not isinstance(value, kinds[key]):
                raise UserError(f"{where}: {key} = {value!r} has the wrong type")
        if missing := required - values.keys():
            raise UserError(f"{where}: missing {', '.join(sorted(missing))}")
        if values["protocol"] not in PROTOCOLS:
            raise UserError(f"{where}: {unknown('protocol', values['protocol'], PROTOCOLS)}")
        sources = table.get("sources", {})
        for key in own:
            # The publisher's own split is no choice that would need a reason.
            if key not in sources and not (key == "protocol" and values[key] == "official"):
                raise UserError(f"{where}: {key} has no source; say in [recipe.sources] where it comes from")
        if parent is not None:
            sources = raw[parent]["sources"] | sources
        raw[values["name"]] = values | {"sources": sources}
    return [Recipe(**(values | {"name": f"{paper}/{name}"})) for name, values in raw.items()]


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
