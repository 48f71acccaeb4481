"""Parts of one's own: what can be registered, what is refused, and that a run's identity knows their code."""

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny import tiny_recipe
from torch import nn

from fer_lib import losses, nets, parts, plugins
from fer_lib.data import FER2013_CLASSES, catalog, load_dataset, register_dataset, synthetic
from fer_lib.errors import UserError
from fer_lib.losses import CrossEntropy, Loss, create_loss, register_loss
from fer_lib.models import create_model, grammar, register_block, registry
from fer_lib.models.attention import BAM
from fer_lib.models.conformance import check_block
from fer_lib.models.describe import meta_net
from fer_lib.recipe import RunSpec, list_recipes, load_papers, with_changes

GATE = """
import torch
from torch import nn


class MyAttention(nn.Module):
    def __init__(self, channels: int, strength: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 1, 1))
        self.strength = strength

    def forward(self, x):
        return x * torch.sigmoid(self.strength * self.weight)
"""


@pytest.fixture(autouse=True)
def tables_as_before():
    """What a test registers is gone after it."""
    tables = (nets.BLOCKS, grammar.MODULES, parts.LOSSES, losses.LOSSES, catalog.KNOWN, plugins.CODE)
    before = [dict(table) for table in tables]
    yield
    for table, content in zip(tables, before, strict=True):
        table.clear()
        table.update(content)
    registry.FROM_FILES.clear()


@pytest.fixture
def gate_file(tmp_path) -> Path:
    path = tmp_path / "my_module.py"
    path.write_text(GATE)
    return path


class Gate(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.conv(x))


# ---------------------------------------------------------------- blocks


@pytest.mark.parametrize("slot", ["branch", "after_stage"])
def test_a_block_is_built_at_its_place(slot):
    register_block(Gate, slot=slot)
    net = create_model("resnet18_gate", width=8, layers=[1, 1, 1, 1], gate={"reduction": 2})
    found = [name for name, module in net.named_modules() if isinstance(module, Gate)]
    places = {
        "branch": [f"layer{stage}.0.attention" for stage in (1, 2, 3, 4)],
        "after_stage": [f"layer{stage}.1" for stage in (1, 2, 3)],
    }
    assert found == places[slot]
    ends = create_model("resnet18_gate_ends", width=8, layers=[1, 1, 1, 1])
    assert [name for name, module in ends.named_modules() if isinstance(module, Gate)] == ["attention1", "layer4.1"]


def test_two_blocks_after_the_stages_stand_in_a_row():
    register_block(Gate, slot="after_stage")
    for name in ("resnet18_bam_gate", "resnet18_gate_bam"):
        kinds = [type(module) for module in create_model(name, width=16, layers=[1, 1, 1, 1]).modules()]
        assert (kinds.count(BAM), kinds.count(Gate)) == (3, 3)


class Stepped(Gate):
    def __init__(self, channels):
        super().__init__(channels)
        self.rates = [rate.item() for rate in torch.linspace(0, 1, channels)]


def test_one_that_reads_values_where_it_is_built_cannot_be_counted():
    register_block(Stepped)
    create_model("resnet18_stepped", width=8)
    with pytest.raises(UserError, match="resnet18_stepped cannot be counted, as it cannot be built without values"):
        meta_net("resnet18_stepped", width=8)


def test_its_options_are_checked():
    register_block(Gate)
    with pytest.raises(UserError, match="block gate: unknown key 'reductoin': did you mean reduction"):
        create_model("resnet18_gate", gate={"reductoin": 2})
    with pytest.raises(UserError, match="block gate: reduction = 'two': expected a whole number"):
        create_model("resnet18_gate", gate={"reduction": "two"})


class Pyramid(nn.Module):
    """Sizes as a list, as published modules have them."""

    def __init__(self, channels: int, kernels=[3, 5], weights={"a": 1}):  # noqa: B006
        super().__init__()
        self.kernels, self.weights = kernels, weights

    def forward(self, x):
        return x


def test_defaults_may_be_lists_and_tables():
    register_block(Pyramid, "pyramid")
    net = create_model("resnet18_pyramid", width=8, layers=[1, 1, 1, 1])
    placed = [module for module in net.modules() if isinstance(module, Pyramid)]
    assert len(placed) == 4
    assert all((module.kernels, module.weights) == ([3, 5], {"a": 1}) for module in placed)
    changed = create_model("resnet18_pyramid", width=8, pyramid={"kernels": [7]})
    assert next(m.kernels for m in changed.modules() if isinstance(m, Pyramid)) == [7]
    assert next(m.kernels for m in net.modules() if isinstance(m, Pyramid)) == [3, 5]


def no_channels(self, dim):
    nn.Module.__init__(self)


def no_default(self, channels, heads):
    nn.Module.__init__(self)


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (Gate, {"name": "my_gate"}, "block my_gate: a name is small letters and digits without '_'"),
        (Gate, {"name": "se"}, "block se: the library has that name"),
        (Gate, {"name": "ends"}, "block ends: the library has that name"),
        (Gate, {"name": "width"}, "block width: the library has that name"),
        (Gate, {"slot": "brnch"}, "unknown slot 'brnch': did you mean branch"),
        (dict, {}, "no class of torch.nn.Module"),
        (type("A", (nn.Module,), {"__init__": no_channels}), {}, "block A: its constructor must take channels first"),
        (type("A", (nn.Module,), {"__init__": no_default}), {}, "block A: its constructor's argument 'heads' needs a"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_registered(make, options, words):
    before = dict(nets.BLOCKS), dict(plugins.CODE)
    with pytest.raises(UserError, match=words):
        register_block(make, **options)
    assert before == (nets.BLOCKS, plugins.CODE)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("my_module.py", "write FILE:CLASS"),
        ("my_module.py:MyAttenton", "unknown class 'MyAttenton': did you mean MyAttention"),
        ("other.py:MyAttention", "other.py: no Python file"),
        ("broken.py:MyAttention", r"broken.py: cannot be loaded \(ZeroDivisionError: division by zero\)"),
    ],
)
def test_a_file_that_does_not_serve(reference, words, gate_file):
    gate_file.with_name("broken.py").write_text("1 / 0\n")
    with pytest.raises(UserError, match=words):
        registry.register_file(f"{gate_file.parent}/{reference}")


# ---------------------------------------------------------------- identity


def net_of(gate_file, slot="branch"):
    """The run of a net with the file's module as it is now."""
    name = registry.register_file(f"{gate_file}:MyAttention", slot)
    return RunSpec(dataclasses.replace(tiny_recipe(), model=f"resnet18_{name}")).run_id


def test_other_code_is_another_run(gate_file):
    first = net_of(gate_file)
    assert net_of(gate_file) == first
    gate_file.write_text(GATE.replace("sigmoid", "tanh"))
    second = net_of(gate_file)
    assert second != first
    assert net_of(gate_file, "after_stage") not in (first, second)
    gate_file.write_text(GATE)
    assert net_of(gate_file) == first


def test_what_a_file_imports_from_its_folder_is_its_code_too(gate_file):
    helper = gate_file.with_name("own_helper.py")
    gate_file.write_text(
        f"from own_helper import gate\n{GATE.replace('strength: float = 1.0', 'strength: int = gate')}"
    )
    helper.write_text("gate = 1\n")
    first = net_of(gate_file)
    gate_file.with_name("unrelated.py").write_text("gate = 3\n")
    assert net_of(gate_file) == first
    helper.write_text("gate = 20\n")
    assert net_of(gate_file) != first
    assert grammar.MODULES["myattention"](8).strength == 20  # and it is the new code that is trained


def test_a_recipe_is_not_trained_with_other_code_than_it_was_made_of(gate_file):
    net_of(gate_file)
    recipe = dataclasses.replace(tiny_recipe(), model="resnet18_myattention")
    recipe.check_code()
    gate_file.write_text(GATE.replace("sigmoid", "tanh"))
    net_of(gate_file)
    with pytest.raises(UserError, match="the code of block myattention has changed since"):
        recipe.check_code()
    assert dataclasses.replace(recipe, epochs=1).code != recipe.code


def test_a_recipe_without_parts_of_ones_own_is_what_it_was():
    assert "code" not in tiny_recipe().training()


# ---------------------------------------------------------------- losses and data


def test_a_loss_is_built_by_its_name_and_in_the_identity():
    class Doubled(Loss):
        def __init__(self, num_classes, factor: float = 2.0):
            super().__init__(num_classes)
            self.factor = factor

        def forward(self, logits, targets, features=None):
            return self.factor * CrossEntropy(self.num_classes)(logits, targets)

    register_loss(Doubled)
    logits, targets = torch.randn(4, 7), torch.tensor([0, 1, 2, 3])
    found = create_loss("doubled", 7, 64, factor=3)(logits, targets, None)
    torch.testing.assert_close(found, 3 * nn.functional.cross_entropy(logits, targets))
    assert tiny_recipe(loss={"name": "doubled"}).code.keys() == {"loss doubled"}
    with pytest.raises(UserError, match="loss doubled: unknown key 'gamma'"):
        tiny_recipe(loss={"name": "doubled", "gamma": 2})


def few():
    return synthetic(train=14, val=7, test=7)


def test_a_dataset_is_loaded_by_its_name_and_in_the_identity():
    register_dataset("mine", few, FER2013_CLASSES, title="my faces")
    assert load_dataset("mine").name == "mine"
    assert len(load_dataset("mine").images) == 28
    recipe = with_changes(tiny_recipe(), dataset="mine")
    assert recipe.code.keys() == {"dataset mine"}
    with pytest.raises(UserError, match="mine cannot be split by unknown protocol 'picture_2to1'"):
        with_changes(recipe, settings=["protocol=picture_2to1", "schedule={name='constant'}"])
    register_dataset("two", few, ("happy", "sad"))
    with pytest.raises(UserError, match="dataset two: has the classes"):
        load_dataset("two")
    with pytest.raises(UserError, match="dataset fer2013: the library has that name"):
        register_dataset("fer2013", few, FER2013_CLASSES)


def test_a_paper_of_ones_own_needs_a_name_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_PAPERS", str(tmp_path))
    (tmp_path / "li.toml").write_text("")
    with pytest.raises(UserError, match="there is a paper 'li' already"):
        load_papers.__wrapped__()
    monkeypatch.setenv("FER_PAPERS", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"FER_PAPERS=.*: no such folder"):
        load_papers.__wrapped__()


ABOUT = '[paper]\nid = "mine"\ntitle = "T"\nauthors = "A"\nidea = "I"\n'
RECIPES = """
[[recipe]]
name = "plain/drawn"
title = "plain"
dataset = "synthetic"
protocol = "official"
model = "resnet18"
augment = { crop = 44 }
test_views = "one"
loss = { name = "cross_entropy" }
optimizer = { name = "adam", lr = 0.001 }
schedule = { name = "constant" }
batch_size = 16
epochs = 1
[recipe.sources]
protocol = "o"
model = "o"
augment = "o"
test_views = "o"
loss = "o"
optimizer = "o"
schedule = "o"
batch_size = "o"
epochs = "o"
[[recipe]]
name = "gate/drawn"
title = "gate"
extends = "plain/drawn"
model = "resnet18_se"
[recipe.sources]
model = "o"
"""


def ablation(baseline, *recipes, **more):
    return "".join(
        f"{key} = {value!r}\n" for key, value in {"baseline": baseline, "recipes": [*recipes], **more}.items()
    )


@pytest.mark.parametrize(
    ("about", "table", "words"),
    [
        ("", ablation("plain/drawn", "gate/drawn", first="gate/drawn", family="gates"), None),
        (
            "",
            ablation("plain/drawn", "gatex/drawn"),
            r"ablation\[0\].recipes: unknown recipe 'gatex/drawn': did you mean gate",
        ),
        ("", ablation("plein/drawn", "gate/drawn"), r"ablation\[0\].baseline: unknown recipe 'plein/drawn'"),
        ("", ablation("plain/drawn"), "recipes: name one or more, each once, and not the baseline"),
        ("", ablation("plain/drawn", "gate/drawn", "gate/drawn"), "recipes: name one or more, each once"),
        ("", ablation("plain/drawn", "gate/drawn", "plain/drawn"), "recipes: name one or more, each once"),
        (
            "",
            "baseline = 'plain/drawn'\nrecipe = ['gate/drawn']\n",
            r"ablation\[0\]: unknown key 'recipe': did you mean recipes",
        ),
        (
            "headlines = { 'gate' = 'plain/drawn' }\n",
            ablation("plain/drawn", "gate/drawn"),
            "headlines: unknown recipe 'gate'",
        ),
    ],
)
def test_slips_in_a_paper_of_ones_own_are_named_with_its_file(tmp_path, monkeypatch, about, table, words):
    monkeypatch.setenv("FER_PAPERS", str(tmp_path))
    file = tmp_path / "mine.toml"
    file.write_text(f"{ABOUT}{about}[[ablation]]\n{table}{RECIPES}")
    monkeypatch.setattr("fer_lib.recipe.load_papers", load_papers.__wrapped__)
    if words is None:
        assert "mine/gate/drawn" in list_recipes.__wrapped__()
        return
    with pytest.raises(UserError, match=f"{file}: .*{words}") as caught:
        list_recipes.__wrapped__()
    assert "\n" not in str(caught.value)


def test_a_paper_of_ones_own_bears_the_name_of_its_file(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_PAPERS", str(tmp_path))
    (tmp_path / "other.toml").write_text(ABOUT)
    with pytest.raises(UserError, match=r"other.toml: paper.id is 'mine', must be the file's name"):
        load_papers.__wrapped__()


# ---------------------------------------------------------------- conformance


def faults(make, count=5):
    """The demands among the first five, which need no net, that a module fails."""
    register_block(make, name="tried")
    return {
        f.name: f.seen for f, _ in zip(check_block("tried", "resnet18_tried"), range(count), strict=False) if not f.met
    }


def test_a_sound_module_passes():
    assert faults(Gate) == {}


def with_forward(forward):
    def init(self, channels):
        nn.Module.__init__(self)
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    return type("Tried", (nn.Module,), {"__init__": init, "forward": forward})


@pytest.mark.parametrize(
    ("forward", "fault"),
    [
        (lambda self, x: self.weight * x[:, :, 1:], "shapes"),
        (lambda self, x: (self.weight * x).add_(1).float().double(), "shapes"),
        (lambda self, x: self.weight * (x - x.mean(0)), "batch of one"),
        (lambda self, x: self.weight * x.as_strided(x.shape, torch.empty(x.shape).stride()), "channels last"),
        (lambda self, x: self.weight * x.half().div(1e4).exp().mul(7e4), "shapes"),
        (lambda self, x: self.weight.detach() * x, "gradient"),
        (lambda self, x: self.weight * x * x.detach().sigmoid(), "gradient"),
    ],
)
def test_a_module_with_a_fault_is_named(forward, fault):
    assert fault in faults(with_forward(forward))
