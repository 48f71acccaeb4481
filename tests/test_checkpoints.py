"""Weight files: small, whole, built from their own header, and never used when something is off."""

import dataclasses
import hashlib
import json
import pickle
import shutil

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
import torchvision.transforms.functional as V
from tiny import tiny_dataset, tiny_recipe, write_run

from fer_lib.augment import normalize
from fer_lib.checkpoints import best_checkpoint, list_checkpoints, load_net, read_checkpoint, write_checkpoint
from fer_lib.cli import main
from fer_lib.data.facts import load_facts
from fer_lib.errors import UserError
from fer_lib.models import create_model
from fer_lib.predict import Predictor
from fer_lib.queue.train import train_run
from fer_lib.recipe import RunSpec
from fer_lib.runs import read_record
from fer_lib.study.weights import load_trained


@pytest.fixture
def folder(weight_files, tmp_path):
    """A copy of the weight file that a test may spoil."""
    return shutil.copytree(weight_files, tmp_path / "checkpoints")


@pytest.fixture(scope="module")
def record(weight_files):
    (folder,) = (weight_files.parent / "runs").iterdir()
    return read_record(folder)


def test_the_net_comes_back_as_the_run_left_it(weight_files, record):
    """Half precision has 11 bits: every number within one part in 2,000."""
    ours, theirs = load_net(read_checkpoint("tiny", weight_files)), load_trained(record)
    assert not ours.training
    for (name, one), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert one.dtype == other.dtype, name
        torch.testing.assert_close(one, other, rtol=2**-11, atol=1e-7)


def test_half_the_size_of_the_run_s_own_file(weight_files, record):
    size = (weight_files / "tiny.safetensors").stat().st_size
    assert 0.4 < size / (record.path / "weights.safetensors").stat().st_size < 0.62


def test_the_header_tells_what_the_net_is_worth(weight_files, record):
    checkpoint = read_checkpoint("tiny", weight_files)
    assert checkpoint.accuracy["test"]["tta"] == record.accuracy()
    assert checkpoint.accuracy["val"]["plain"] == record.accuracy("val", kind="plain")
    assert (checkpoint.run, checkpoint.classes, checkpoint.view.size) == (record.id, record.classes, 24)
    assert f"{100 * record.accuracy():.1f} % of the test pictures" in checkpoint.title


def test_a_net_is_shown_faces_as_large_as_in_its_training(weight_files):
    plain = read_checkpoint("tiny", weight_files)
    checkpoint = dataclasses.replace(plain, recipe=plain.recipe | {"augment": {"crop": 24, "resize": 40}})
    pictures = tiny_dataset().images[:6]
    predictor = Predictor(checkpoint, "cpu")
    faces = V.resize(V.center_crop(torch.from_numpy(pictures), [24, 24]).float() / 255, [40, 40], antialias=False)
    with torch.inference_mode():
        expected = predictor.net(normalize(faces)[:, None]).softmax(1)
    found = predictor.probabilities(pictures, "one")
    np.testing.assert_allclose(found, expected, atol=0.02)  # bfloat16, where the CPU has it
    maps = predictor.heat_maps(pictures)
    assert maps.shape == pictures.shape
    assert maps[:, 12:36, 12:36].any(axis=(1, 2)).all()
    maps[:, 12:36, 12:36] = 0
    assert not maps.any()


def test_the_card_states_data_accuracy_limits_and_licence(weight_files, record):
    card = (weight_files / "tiny.md").read_text()
    for heading in ("## Data", "## Accuracy", "## Limits", "## Licence"):
        assert heading in card
    assert f"{record.accuracy():.2%}" in card
    assert "70 pictures of synthetic" in card
    checksum = hashlib.sha256((weight_files / "tiny.safetensors").read_bytes()).hexdigest()
    assert f"\nsha256: {checksum}\n" in card


def test_one_changed_bit_is_noticed(folder):
    path = folder / "tiny.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"tiny\.safetensors: its SHA-256 is not the one in tiny\.md"):
        read_checkpoint("tiny", folder)


def test_a_pointer_in_the_place_of_the_weights_is_named(folder):
    """As a clone without Git LFS leaves it."""
    (folder / "tiny.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(UserError, match=r"tiny\.safetensors: a pointer of Git LFS.*git lfs pull"):
        read_checkpoint("tiny", folder)


def test_a_card_that_is_no_text_is_no_card(folder):
    (folder / "tiny.md").write_bytes(b"\xff\xfe\0")
    with pytest.raises(UserError, match=r"tiny\.md: missing or without a line"):
        read_checkpoint("tiny", folder)


def test_no_card_no_net(folder):
    (folder / "tiny.md").unlink()
    with pytest.raises(UserError, match=r"tiny\.md: missing"):
        read_checkpoint("tiny", folder)


def with_checksum(folder, content):
    """Put a file in the place of the weights, with a card that vouches for it."""
    (folder / "tiny.safetensors").write_bytes(content)
    (folder / "tiny.md").write_text(f"sha256: {hashlib.sha256(content).hexdigest()}\n")


class Explosive:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_a_pickle_is_never_executed(folder):
    with_checksum(folder, pickle.dumps(Explosive()))
    with pytest.raises(UserError, match="no weight file of `fer checkpoint`"):
        read_checkpoint("tiny", folder)


def test_weights_of_another_net_are_refused(folder):
    with safetensors.safe_open(folder / "tiny.safetensors", "pt") as file:
        metadata = file.metadata()
    other = create_model("resnet18", width=16, layers=[1, 1, 1, 1])
    with_checksum(folder, safetensors.torch.save(other.state_dict(), metadata))
    with pytest.raises(UserError, match="does not fit resnet18"):
        load_net(read_checkpoint("tiny", folder))


def test_a_foreign_safetensors_file_is_refused(folder):
    with_checksum(folder, safetensors.torch.save({"a": torch.zeros(2)}))
    with pytest.raises(UserError, match="no weight file of `fer checkpoint`"):
        read_checkpoint("tiny", folder)


def test_names(folder, tmp_path):
    assert list_checkpoints(folder) == ["tiny"]
    with pytest.raises(UserError, match="unknown weight file 'tinny': did you mean tiny"):
        read_checkpoint("tinny", folder)
    with pytest.raises(UserError, match="unknown weight file"):
        read_checkpoint("../checkpoints/tiny", folder)
    assert best_checkpoint(tmp_path / "none") is None
    with pytest.raises(UserError, match=r"no weight file in results/checkpoints; .*fer checkpoint RUN"):
        read_checkpoint("tiny", tmp_path / "none")


FER2013 = {"fingerprint": load_facts("fer2013").fingerprint, "counts": {"train": 28709, "val": 3589, "test": 3589}}
LIMITED = FER2013 | {"counts": {"train": 12, "val": 12, "test": 12}}
OWN = {"fingerprint": "f" * 64, "counts": {"train": 12, "val": 12, "test": 12}}


@pytest.mark.parametrize(
    ("nets", "taken"),
    [
        # Not on the test pictures, where the other one is better.
        ({"a": (FER2013, 0.6, 0.1), "b": (FER2013, 0.2, 0.8)}, "a"),
        ({"own": (OWN, 1.0, 1.0), "fer": (FER2013, 0.6, 0.6)}, "fer"),
        ({"toy": (LIMITED, 1.0, 1.0), "fer": (FER2013, 0.6, 0.6)}, "fer"),
        ({"own": (OWN, 1.0, 1.0), "tiny": None}, "tiny"),  # trained on 70 pictures
    ],
)
def test_the_net_is_chosen_by_the_pictures_it_comes_from(folder, nets, taken):
    with safetensors.safe_open(folder / "tiny.safetensors", "pt") as file:
        metadata = file.metadata()
    for name, made in nets.items():
        if made is None:
            continue
        data, val, test = made
        content = json.loads(metadata["checkpoint"])
        content["data"] |= data
        content["accuracy"] = {"val": {"plain": val, "tta": val}, "test": {"plain": test, "tta": test}}
        file = safetensors.torch.save({}, metadata | {"checkpoint": json.dumps(content)})
        (folder / f"{name}.safetensors").write_bytes(file)
        (folder / f"{name}.md").write_text(f"sha256: {hashlib.sha256(file).hexdigest()}\n")
    if taken != "tiny":
        (folder / "tiny.safetensors").unlink()
    assert best_checkpoint(folder).name == taken


def test_a_number_too_large_for_half_precision_stays_exact(tmp_path):
    recipe = tiny_recipe(epochs=1)
    record = train_run(RunSpec(recipe), results=tmp_path, device="cpu", say=lambda line: None, dataset=tiny_dataset())
    path = record.path / "weights.safetensors"
    weights = safetensors.torch.load_file(path)
    name = next(key for key in weights if key.endswith("running_var"))
    weights[name][0] = 123456.0
    safetensors.torch.save_file(weights, path)
    made = write_checkpoint(record, "large", tmp_path / "checkpoints")
    assert load_net(made).state_dict()[name][0] == 123456.0


def test_a_large_net_is_refused_and_nothing_written(tmp_path):
    record = write_run(tmp_path / "runs", RunSpec(tiny_recipe()), correct=10)
    safetensors.torch.save_file({"w": torch.zeros(9_000_000)}, record.path / "weights.safetensors")
    with pytest.raises(UserError, match=r"18\.0 MB in float16, a weight file may have 16"):
        write_checkpoint(record, folder=tmp_path / "checkpoints")
    with pytest.raises(UserError, match=r"--name '\.\./x'"):
        write_checkpoint(record, "../x", tmp_path / "checkpoints")
    (record.path / "weights.safetensors").unlink()
    with pytest.raises(UserError, match=r"weights\.safetensors: missing"):
        write_checkpoint(record, folder=tmp_path / "checkpoints")
    assert not (tmp_path / "checkpoints").exists()


def test_the_weights_of_another_run_are_not_replaced(record, folder):
    """The same run again makes the same weights, as after a process that was killed between the two files."""
    before = safetensors.torch.load_file(folder / "tiny.safetensors")
    (folder / "tiny.md").unlink()
    assert write_checkpoint(record, "tiny", folder).run == record.id
    kept = (folder / "tiny.safetensors").read_bytes()
    torch.testing.assert_close(safetensors.torch.load(kept), before, rtol=0, atol=0)
    other = shutil.copytree(record.path, folder / "other-run")
    content = json.loads((other / "run.json").read_text()) | {"id": "other-run"}
    (other / "run.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"tiny\.safetensors: holds the weights of {record.id}; choose another --name"):
        write_checkpoint(read_record(other), "tiny", folder)
    (folder / "foreign.safetensors").write_bytes(b"somebody's")
    with pytest.raises(UserError, match=r"foreign\.safetensors: no weight file of `fer checkpoint`"):
        write_checkpoint(record, "foreign", folder)
    assert (folder / "tiny.safetensors").read_bytes() == kept
    assert (folder / "foreign.safetensors").read_bytes() == b"somebody's"


def test_the_command_makes_both_files(record, tmp_path, monkeypatch, capsys):
    """Into the folder that --results names, as `fer export` looks there."""
    monkeypatch.setenv("FER_RESULTS", str(tmp_path / "other"))
    results = shutil.copytree(record.path.parents[1], tmp_path / "results")
    with pytest.raises(SystemExit) as ended:
        main(["checkpoint", record.id, "--results", str(results)])
    assert not ended.value.code
    names = ["test-tiny-synthetic.safetensors", "test-tiny-synthetic.md"]
    assert capsys.readouterr().out.split() == [str(results / "checkpoints" / name) for name in names]
    assert read_checkpoint("test-tiny-synthetic", results / "checkpoints").run == record.id
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", list_checkpoints() or ["none yet"])
def test_every_shipped_file_is_whole_and_small(name):
    if name == "none yet":
        pytest.skip("no weight file is shipped yet: fer checkpoint RUN makes one")
    checkpoint = read_checkpoint(name)
    assert checkpoint.path.stat().st_size <= 16_000_000
    assert "synthetic" not in checkpoint.data["name"]
    load_net(checkpoint)
