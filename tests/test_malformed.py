"""Malformed files of every kind: one line that names the file, never a traceback, and the rest goes on."""

import hashlib
import json
import math

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_claims import table as claim_table
from test_recipe import table as recipe_table
from tiny import tiny_recipe, write_run

from fer_lib import recipe as recipe_module
from fer_lib.checkpoints import load_net, read_checkpoint
from fer_lib.claims import parse_claim
from fer_lib.errors import UserError
from fer_lib.models import create_model
from fer_lib.recipe import RunSpec, load_papers, parse_recipes
from fer_lib.study.verify import sound_records

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\x1b[31mred"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
FUZZ = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def places(content, at=()):
    """The path to every value of nested tables and lists."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from places(value, (*at, key))


def replaced(content, path, value):
    """A copy with another value at a path; nothing at all for the value ``...``."""
    copy = json.loads(json.dumps(content))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return copy


def mutations(content):
    return st.tuples(st.sampled_from(list(places(content))), JUNK | st.just(...))


def message(call, *arguments):
    """What a call complains of; None if it does not."""
    try:
        call(*arguments)
    except UserError as error:
        return str(error)


def is_one_line(text):
    return text.isprintable()


# ---------------------------------------------------------------- run records

SPEC = RunSpec(tiny_recipe())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two sound records, the first of which is about to be spoilt."""
    folder = tmp_path_factory.mktemp("runs")
    records = [write_run(folder, RunSpec(tiny_recipe(), seed), correct=13) for seed in range(3)]
    return folder, records[0]


def test_no_malformed_record_stops_the_others_or_counts(runs):
    folder, record = runs
    path = record.path / "run.json"
    content = json.loads(path.read_text())

    @FUZZ
    @given(mutations(content))
    def holds(mutation):
        spoilt = replaced(content, *mutation)
        path.write_text(json.dumps(spoilt))
        records, problems = sound_records(folder)
        assert len(records) in (2, 3)
        assert all(is_one_line(line) and str(record.path) in line for line in problems)
        if len(records) == 3:  # what counts has no NaN in it and could be written by us
            json.dumps(spoilt, allow_nan=False)
        else:
            assert problems

    try:
        holds()
    finally:
        path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("time.seconds", math.nan),
        ("time.seconds", "3.9"),
        ("time.finished", "yesterday"),
        ("time.last_session_started", "2026-11-27T10:00:00"),  # of which zone?
        ("time.sessions", 0),
        ("data.counts.test", -1),
        ("data.fingerprint", "a fingerprint"),
        ("spec.seed", "0"),
        ("spec.recipe.epochs", math.inf),
        ("spec.recipe.name", "li/hybrid\x1b[2J"),
        ("classes", ["happy"]),
        ("environment.device", "\x9bK"),
        ("environment.device", "evil\u202egpj.exe"),
        ("environment.precision", "much"),
        ("environment.numpy", ""),
        ("time.seconds", 1e308),
        ("metrics.val_selected.test.tta.per_class_recall", "all"),
        ("metrics.last.epoch", 3.0),
    ],
)
def test_nonsense_is_named_with_its_field(runs, place, value):
    folder, record = runs
    path = record.path / "run.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(replaced(content, place.split("."), value)))
    try:
        records, problems = sound_records(folder)
    finally:
        path.write_text(json.dumps(content))
    assert len(records) == 2
    assert len(problems) == 1
    assert problems[0].startswith(f"{path}: {place}")
    assert is_one_line(problems[0])


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": 1' + "0" * 5000 + "}", '{"schema": NaN}', "\x00"])
def test_a_hostile_run_json_is_one_line(runs, text):
    folder, record = runs
    path = record.path / "run.json"
    content = path.read_text()
    path.write_text(text)
    try:
        records, problems = sound_records(folder)
    finally:
        path.write_text(content)
    assert (len(records), len(problems)) == (2, 1)
    assert str(path) in problems[0]


# ---------------------------------------------------------------- papers

ABOUT = '[paper]\nid = "d"\ntitle = "T"\nauthors = "A"\nidea = "I"\n'
RECIPE = recipe_table(
    augment={"crop": 44, "flip": 0.5, "rotate": [-10, 10], "erase": {"p": 0.5, "area": [0.02, 0.2]}},
    loss={"name": "joint", "weight": 1.0, "lambda1": 0.1},
    optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True},
    schedule={"name": "step", "start": 80, "every": 5, "factor": 0.9},
    model="resnet18_cbam",
    model_options={"width": 16, "layers": [1, 1, 1, 1], "cbam": {"reduction": 8}},
    balance={"disgust": {"count": 100}},
)


@FUZZ
@given(mutations(RECIPE))
def test_a_malformed_recipe_is_one_line(mutation):
    said = message(parse_recipes, "demo", [replaced(RECIPE, *mutation)])
    assert said is None or (is_one_line(said) and said.startswith("papers/demo.toml, recipe demo/"))


@FUZZ
@given(mutations(claim_table()))
def test_a_malformed_claim_is_one_line(mutation):
    said = message(parse_claim, "demo", replaced(claim_table(), *mutation))
    assert said is None or (is_one_line(said) and said.startswith("papers/demo.toml, claim "))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[paper\n", "unreadable .*line 1"),
        ("\xff", "unreadable"),
        ('[paper]\nid = "demo"\n', "lacks paper.title"),
        (
            '[paper]\nid = "d"\ntitle = "T"\nauthors = "A"\nidea = "I"\n[[clam]]\n',
            "unknown key 'clam': did you mean claim",
        ),
        (ABOUT + "recipe = 3\n", "paper: unknown key 'recipe'"),
    ],
)
def test_a_broken_paper_names_its_file(tmp_path, monkeypatch, text, words):
    monkeypatch.setattr(recipe_module, "PAPERS_DIR", tmp_path)
    (tmp_path / "demo.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=f"demo.toml: {words}") as caught:
        load_papers.__wrapped__()
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- weight files


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Writes a weight file of a tiny net with the header given, and its card."""
    folder = tmp_path_factory.mktemp("checkpoints")
    recipe = tiny_recipe()
    state = create_model(recipe.model, **recipe.model_options).state_dict()
    content = {
        "recipe": recipe.training(),
        "classes": [f"class {n}" for n in range(7)],
        "run": SPEC.run_id,
        "data": {"name": "synthetic", "fingerprint": "0" * 64, "counts": {"train": 70, "val": 21, "test": 21}},
        "accuracy": {"val": {"plain": 0.5, "tta": 0.5}, "test": {"plain": 0.5, "tta": 0.5}},
    }

    def write(header, **changes):
        data = safetensors.torch.save(state | changes, {"checkpoint": json.dumps(header), "model": recipe.model})
        (folder / "net.safetensors").write_bytes(data)
        (folder / "net.md").write_text(f"sha256: {hashlib.sha256(data).hexdigest()}\n")
        return folder

    return write, content


def test_a_malformed_header_is_one_line(weights):
    write, content = weights
    assert read_checkpoint("net", write(content)).run == SPEC.run_id

    @FUZZ
    @given(mutations(content))
    def holds(mutation):
        folder = write(replaced(content, *mutation))
        said = message(read_checkpoint, "net", folder)
        assert said is None or (is_one_line(said) and str(folder / "net.safetensors") in said)

    holds()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(weights, value):
    write, content = weights
    checkpoint = read_checkpoint("net", write(content, **{"fc.bias": torch.tensor([0.0] * 6 + [value])}))
    with pytest.raises(UserError, match=r"fc\.bias has weights that are NaN or infinite"):
        load_net(checkpoint)
