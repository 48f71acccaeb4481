"""Trained nets come back from their weight file, and leave as ONNX with all that is needed to use them."""

import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tiny import tiny_dataset, tiny_recipe

from fer_lib.augment import test_views as views_of
from fer_lib.checkpoints import load_net, read_checkpoint
from fer_lib.cli import main
from fer_lib.demo.faces import create_detector
from fer_lib.demo.service import Service
from fer_lib.errors import UserError
from fer_lib.models import list_models
from fer_lib.predict import Predictor
from fer_lib.queue.train import train_run
from fer_lib.recipe import RunSpec
from fer_lib.study.weights import export_run, load_trained, trained_models

SHIPPED = "narrow_resnet18"
PLAIN, TWIN = "halved_resnet18", "halved_resnet18_cbam_ends"


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    spec = RunSpec(tiny_recipe(epochs=1))
    folder = tmp_path_factory.mktemp("results")
    return train_run(spec, results=folder, device="cpu", say=lambda line: None, dataset=tiny_dataset())


@pytest.fixture(scope="module")
def pictures(record):
    dataset = tiny_dataset()
    images = torch.from_numpy(dataset.images[dataset.indices("test")])
    return views_of(images, "one", record.spec["recipe"]["augment"]["crop"])[0]


def test_the_net_comes_back_with_the_recorded_predictions(record, pictures):
    net = load_trained(record)
    assert not net.training
    with torch.inference_mode():
        predicted = net(pictures).argmax(1).numpy()
    # The record was predicted in bfloat16 where the CPU has it, so that a tie may fall the other way.
    assert (predicted == record.predictions["test/val_selected/plain"]).mean() >= 0.9


def test_the_exported_file_computes_the_same_and_describes_itself(record, pictures, tmp_path):
    path = tmp_path / "net.onnx"
    export_run(record, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: pictures.numpy()})
    with torch.inference_mode():
        expected = load_trained(record)(pictures).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    metadata = {entry.key: json.loads(entry.value) for entry in onnx.load(path).metadata_props}
    assert metadata["classes"] == list(record.classes)
    assert metadata["provenance"]["run"] == record.id
    crop = record.spec["recipe"]["augment"]["crop"]
    assert (metadata["preprocessing"]["size"], metadata["preprocessing"]["resize"]) == (crop, 48)


def test_a_shipped_weight_file_is_exported_by_its_name(weight_files, pictures, tmp_path, capsys):
    path = tmp_path / "tiny.onnx"
    with pytest.raises(SystemExit) as done:
        main(["export", "tiny", "--results", str(weight_files.parent), "--output", str(path)])
    assert (done.value.code, capsys.readouterr().out) == (0, f"{path}\n")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"pictures": pictures.numpy()})
    checkpoint = read_checkpoint("tiny", weight_files)
    with torch.inference_mode():
        np.testing.assert_allclose(logits, load_net(checkpoint)(pictures).numpy(), atol=1e-4)
    metadata = {entry.key: json.loads(entry.value) for entry in onnx.load(path).metadata_props}
    assert metadata["provenance"]["weight_file"] == "tiny"
    assert metadata["provenance"]["test_accuracy"] == checkpoint.accuracy["test"]["plain"]
    with pytest.raises(SystemExit) as done:
        main(["export", "tinny", "--results", str(weight_files.parent)])
    assert done.value.code == 2
    assert capsys.readouterr().err == "fer: unknown run or weight file 'tinny': did you mean tiny?\n"


def test_an_export_never_replaces_the_weights_it_reads(weight_files, capsys):
    weights = weight_files / "tiny.safetensors"
    before = weights.read_bytes()
    with pytest.raises(SystemExit) as done:
        main(["export", "tiny", "--results", str(weight_files.parent), "--output", str(weights)])
    assert done.value.code == 2
    assert capsys.readouterr().err == f"fer: {weights}: is read as input; choose another place for the output\n"
    assert weights.read_bytes() == before


def test_missing_or_foreign_weights_are_named(record, tmp_path, monkeypatch):
    path = record.weights
    content = path.read_bytes()
    try:
        path.write_bytes(content[:100])
        with pytest.raises(UserError, match="does not fit"):
            load_trained(record)
        path.unlink()
        with pytest.raises(UserError, match=r"weights\.safetensors: missing"):
            export_run(record, tmp_path / "none.onnx")
        assert not (tmp_path / "none.onnx").exists()
    finally:
        path.write_bytes(content)


def test_models_with_trained_weights_are_known_by_name(weight_files, tmp_path, monkeypatch, capsys):
    """Those that the library brings and those of one's own, the same wherever trained nets are listed."""
    monkeypatch.setenv("FER_RESULTS", str(tmp_path))  # as an installed library stands: no results of the repository's
    assert trained_models() == {"resnet18": [PLAIN, SHIPPED], "resnet18_cbam_ends": [TWIN]}
    own = shutil.copytree(weight_files, tmp_path / "checkpoints")
    (own / "y.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert trained_models()["resnet18"] == [PLAIN, SHIPPED, "tiny"]
    names = [PLAIN, TWIN, SHIPPED, "tiny", "y"]
    assert list_models(pretrained=True) == names  # which is told what it is when it is asked for
    assert [net["name"] for net in Service(create_detector("none"), tmp_path).models()] == names
    with pytest.raises(SystemExit):
        main(["models", "resnet18", "--device", "cpu"])
    assert f"{PLAIN} {SHIPPED} tiny  li Table 2" in capsys.readouterr().out


def test_a_weight_file_of_a_run_of_papers_of_ones_own_is_found_beside_the_studys(record, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FER_PAPERS", str(tmp_path))
    runs = tmp_path / "results" / "runs"
    shutil.copytree(record.path, runs / record.id)
    with pytest.raises(SystemExit):
        main(["checkpoint", record.id, "--name", "mine"])
    assert capsys.readouterr().out.splitlines()[0] == str(tmp_path / "results" / "checkpoints" / "mine.safetensors")
    assert {SHIPPED, "mine"} <= set(list_models(pretrained=True))
    assert Predictor("mine", "cpu").classes == record.classes
