"""The pretrained start: what fits is loaded, what does not is said, and nothing is silent."""

import pickle
import re
import urllib.error

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fer_lib.errors import UserError
from fer_lib.models import create_model
from fer_lib.models.pretrained import load_pretrained


@pytest.fixture
def imagenet_file(tmp_path):
    """Random weights in the layout of torchvision's ResNet50."""
    import torchvision

    torch.manual_seed(1)
    weights = torchvision.models.resnet50().state_dict()
    torch.save(weights, tmp_path / "resnet50.pth")
    return tmp_path / "resnet50.pth", weights


def test_loads_what_fits_by_name_and_shape_and_lists_the_rest(imagenet_file):
    path, weights = imagenet_file
    net = create_model("gu")
    start = {key: value.clone() for key, value in net.state_dict().items()}
    report = load_pretrained(net, str(path))
    state = net.state_dict()
    for key in report.loaded:
        assert torch.equal(state[key], weights[key])
    for key in report.skipped:
        assert torch.equal(state[key], start[key])
    assert set(report.loaded) | set(report.skipped) == set(state)
    assert "layer1.0.conv1.weight" in report.loaded
    assert report.skipped["conv1.weight"] == "shape [64, 1, 7, 7], the source's is [64, 3, 7, 7]"
    assert report.skipped["fc.weight"] == "shape [7, 2048], the source's is [1000, 2048]"
    assert report.skipped["layer1.0.conv2.branches.0.weight"] == "not in the source"
    assert "layer1.0.conv2.weight" in report.unused
    lines = report.lines()
    assert lines[0].startswith(f"resnet50.pth: {len(report.loaded)} of {len(state)} entries loaded")
    assert len(lines) == 1 + len(state) + len(report.unused)


def test_a_whole_resnet_computes_what_torchvisions_does(imagenet_file):
    import torchvision

    path, weights = imagenet_file
    theirs = torchvision.models.resnet50()
    theirs.load_state_dict(weights)
    net = create_model("resnet50", num_classes=1000, in_channels=3, stem="imagenet")
    assert not load_pretrained(net, str(path)).skipped
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(x), theirs.eval()(x), rtol=1e-4, atol=1e-4)


def test_reads_safetensors(tmp_path):
    torch.manual_seed(2)
    source = create_model("resnet18", width=16)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    net = create_model("resnet18_cbam", width=16)
    report = load_pretrained(net, str(tmp_path / "weights.safetensors"))
    assert set(report.loaded) == set(source.state_dict())
    assert all("attention" in key for key in report.skipped)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torch's folder of downloads, empty, on a machine without a network."""

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torch.hub.urlopen", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_a_name_loads_torchvisions_own_file_from_the_cache(imagenet_file, hub):
    path, weights = imagenet_file
    path.rename(hub / "resnet50-0676ba61.pth")  # as torchvision's download calls it
    net = create_model("gu")
    report = load_pretrained(net, "resnet50")
    assert report.source == "torchvision resnet50 IMAGENET1K_V1"
    assert torch.equal(net.state_dict()["layer4.2.conv3.weight"], weights["layer4.2.conv3.weight"])
    # 16 bottlenecks with two 1x1 convolutions, four shortcuts, and the batch normalisations behind each and conv1.
    convolutions = 2 * 16 + 4
    normalisations = 3 * 16 + 4 + 1
    assert len(report.loaded) == convolutions + 5 * normalisations


def test_no_network_is_an_error_and_not_a_random_start(hub):
    net = create_model("resnet18", stem="imagenet")
    start = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(ValueError, match=r"'resnet18' could not be downloaded .*no network.*put the file of .*pth"):
        load_pretrained(net, "resnet18")
    assert all(torch.equal(start[key], value) for key, value in net.state_dict().items())
    assert not list(hub.iterdir())


def test_a_broken_download_is_named(hub):
    broken = hub / "resnet18-f37072fd.pth"
    broken.write_bytes(b"half of it")
    with pytest.raises(ValueError, match=r"resnet18-f37072fd\.pth cannot be read .*: delete it"):
        load_pretrained(create_model("resnet18", stem="imagenet"), "resnet18")


def test_wrong_sources_are_named(tmp_path):
    net = create_model("resnet18", width=16)
    with pytest.raises(ValueError, match="unknown pretrained weights 'resnet5': did you mean resnet50"):
        load_pretrained(net, "resnet5")
    with pytest.raises(ValueError, match="no file"):
        load_pretrained(net, str(tmp_path / "missing.pth"))
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        load_pretrained(net, str(tmp_path / "broken.safetensors"))
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="no state dict"):
        load_pretrained(net, str(tmp_path / "list.pth"))
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="fit no entry"):
        load_pretrained(net, str(tmp_path / "other.pth"))


# ---------------------------------------------------------------- files as people have them


class Meter:
    """An object of somebody's training script."""


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(3)
    return create_model("resnet18_se", width=16).state_dict()


def prefixed(state, prefix):
    return {f"{prefix}{key}": value for key, value in state.items()}


@pytest.mark.parametrize(
    ("wrap", "words"),
    [
        (lambda s: s, r"w\.t7: "),
        (lambda s: prefixed(s, "module."), r"w\.t7 \(without 'module\.'\): "),
        (lambda s: prefixed(s, "_orig_mod."), r"w\.t7: "),
        (lambda s: prefixed(s, "module._orig_mod.backbone."), r"without 'module\.backbone\.'"),
        (lambda s: {"net": s, "acc": 73.1, "epoch": 3}, r"under 'net'"),
        (
            lambda s: {"state_dict": prefixed(s, "model."), "loss": {"centers": torch.zeros(7, 9)}},
            "'state_dict', without",
        ),
        (lambda s: {"net": s, "acc": np.float64(0.7), "best": np.mean(np.ones(3, np.float32))}, r"under 'net'"),
        (lambda s: {"checkpoint": {"model": s}, "run": np.str_("a")}, r"under 'checkpoint\.model'"),
        (lambda s: {"optimizer": {"state": torch.zeros(3)}, "model": s}, r"under 'model'"),
    ],
)
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_weights_are_found_where_they_lie(tmp_path, source, wrap, words, new):
    torch.save(wrap(source), tmp_path / "w.t7", _use_new_zipfile_serialization=new)
    net = create_model("resnet18_se", width=16)
    report = load_pretrained(net, str(tmp_path / "w.t7"))
    assert re.search(words, report.lines()[0])
    assert not report.skipped
    assert all(torch.equal(value, source[key]) for key, value in net.state_dict().items())


def test_entries_beside_the_prefix_are_said_to_be_unused(tmp_path, source):
    torch.save(prefixed(source, "model.") | {"loss.centers": torch.zeros(7, 9)}, tmp_path / "w.ckpt")
    report = load_pretrained(create_model("resnet18_se", width=16), str(tmp_path / "w.ckpt"))
    assert report.unused == ("loss.centers",)


def test_safetensors_under_another_suffix(tmp_path, source):
    save_file(source, tmp_path / "w.pth")
    assert not load_pretrained(create_model("resnet18_se", width=16), str(tmp_path / "w.pth")).skipped


def test_an_address_is_no_file():
    with pytest.raises(UserError, match=r"https://example\.org/w\.pth is an address, not a file; download it first"):
        load_pretrained(create_model("resnet18_se", width=16), "https://example.org/w.pth")


def test_a_file_in_the_home_folder(tmp_path, source, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(source, tmp_path / "w.pth")
    assert not load_pretrained(create_model("resnet18_se", width=16), "~/w.pth").skipped


def test_no_foreign_code_is_run_and_nobody_is_told_to_run_it(tmp_path, source):
    net = create_model("resnet18_se", width=16)
    torch.save({"state_dict": source, "meter": Meter()}, tmp_path / "objects.pth")
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))
    torch.save(source, tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:2000])
    (tmp_path / "page.pth").write_bytes(b"<!DOCTYPE html><html>")
    (tmp_path / "lfs.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "keras.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    (tmp_path / "lua.t7").write_bytes(b"\4\0\0\0\1\0\0\0")
    (tmp_path / "arrays.pkl").write_bytes(pickle.dumps({"fc.bias": np.zeros(7)}))
    torch.save(source | {"fc.bias": source["fc.bias"] / 0}, tmp_path / "nan.pth")
    for name, words in {
        "objects.pth": r"holds Python objects \(.*Meter\).*save the weights alone",
        "script.pt": "is TorchScript.*save the weights alone",
        "cut.pth": "cannot be read: it is cut off",
        "page.pth": "is a web page",
        "lfs.safetensors": "is a pointer of Git LFS",
        "keras.h5": "is an HDF5 file",
        "lua.t7": "is a file of Lua's Torch 7",
        "arrays.pkl": "holds Python objects beside tensors",
        "nan.pth": r"fc\.bias of .*nan\.pth' is NaN or infinite",
    }.items():
        with pytest.raises(UserError, match=words) as error:
            load_pretrained(net, str(tmp_path / name))
        assert not {"\n", "\x1b"} & set(str(error.value))
        assert "weights_only" not in str(error.value)
