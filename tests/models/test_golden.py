"""Every block, net and loss against outputs and gradients of its official implementation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import golden_factories
import numpy as np
import pytest
import torch

from fer_lib.models import create_model
from fer_lib.models.describe import count_macs, count_parameters

GOLDEN = Path(__file__).parents[1] / "golden"
QUICK_NETS = {"net_resnet18_fer", "net_se_resnet18"}

IMAGENET = {"stem": "imagenet"}
FC4096 = {"head": "fc4096"}
# name in param_counts.json: model and options
COUNTED = {
    "resnet18": ("resnet18", IMAGENET),
    "resnet34": ("resnet34", IMAGENET),
    "resnet50": ("resnet50", IMAGENET),
    "resnet18_cifar_stem": ("resnet18", {}),
    "resnet34_cifar_stem": ("resnet34", {}),
    "epsanet50": ("gu", {}),
    "epsanet50_groups_2_4_8_16": ("gu", {"psa": {"groups": (2, 4, 8, 16)}}),
    "se_resnet18": ("resnet18_se", IMAGENET),
    "se_resnet34": ("resnet34_se", IMAGENET),
    "se_resnet50": ("resnet50_se", IMAGENET),
    "legacy_seresnet18 (SE with bias)": ("resnet18_se", {**IMAGENET, "se": {"bias": True}}),
    "seresnet50 (SE with bias)": ("resnet50_se", {**IMAGENET, "se": {"bias": True}}),
    "senet18_preact_cifar": ("senet18", {}),
    "cbam_resnet18": ("resnet18_cbam", IMAGENET),
    "cbam_resnet34": ("resnet34_cbam", IMAGENET),
    "cbam_resnet50": ("resnet50_cbam", IMAGENET),
    "bam_resnet50": ("resnet50_bam", IMAGENET),
    "eca_resnet50_k3333": ("resnet50_eca", {**IMAGENET, "eca": {"kernel_size": 3}}),
    "eca_resnet50_k5557": ("resnet50_eca", IMAGENET),
    "aff_resnet50": ("resnet50_aff", {**IMAGENET, "aff": {"reduction": 4}}),
    "acmix_resnet50": ("resnet50_acmix", IMAGENET),
    "spd_resnet50": ("resnet50_spd", {}),
    "vgg16": ("vggface", {}),
    "vgg16_bn": ("vgg16_bn", FC4096),
    "vgg19": ("vgg19", FC4096),
    "vgg19_bn": ("vgg19_bn", FC4096),
    "vgg16_bn_fer (512->7 head)": ("vgg16_bn", {}),
    "vgg19_bn_fer (512->7 head)": ("vgg19_bn", {}),
    "densenet121": ("densenet121", IMAGENET),
    "densenet121_cifar": ("densenet121", {}),
    "mobilenetv2": ("mobilenetv2", IMAGENET),
    "mobilenetv2_cifar": ("mobilenetv2", {}),
    "inceptionv4": ("inceptionv4", {}),
    "microexpnet_8cls": ("microexpnet", {}),
    "microexpnet_7cls": ("microexpnet", {}),
}


def cases():
    """Every file of the folder, whole nets but two marked heavy; where the whole set is at hand, it holds these too."""
    heavy = [pytest.mark.heavy, pytest.mark.skipif("FER_GOLDEN" in os.environ, reason="compared with the whole set")]
    params = []
    for path in sorted(GOLDEN.glob("*.npz")):
        block = path.stem.rpartition("-")[0]
        quick = not block.startswith("net_") or block in QUICK_NETS
        params.append(pytest.param(path, id=path.stem, marks=[] if quick else heavy))
    return params


@pytest.fixture
def double():
    """Blocks are built and compared in float64, as the vectors were computed."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def draw(random, kind, shape):
    """The rule that the parameters of whole nets were drawn by."""
    n = int(np.prod(shape))
    values = {
        "nbt": lambda: np.zeros(n),
        "bn_var": lambda: random.uniform(0.5, 1.5, n),
        "bn_weight": lambda: random.uniform(0.5, 1.5, n),
        "bn_mean": lambda: 0.3 * random.standard_normal(n),
        "bias": lambda: 0.2 * random.standard_normal(n),
        "bn_bias": lambda: 0.2 * random.standard_normal(n),
        "weight": lambda: random.standard_normal(n) * np.sqrt(1.6 / np.prod(shape[1:])),
    }[kind]()
    return values.reshape(shape).astype(np.float32)


def layers(entries):
    """Group (name, value) pairs by layer, without counters: {layer: ([names], [shapes without ones])}."""
    found = {}
    for name, value in entries.items():
        if name.endswith("num_batches_tracked"):
            continue
        names, shapes = found.setdefault(name.rpartition(".")[0] or name, ([], []))
        names.append(name)
        shapes.append([d for d in value.shape if d != 1])
    return found


def load(module, entries, unused):
    """Copy values layer by layer, in order among layers of one form; 1x1 convolutions are linear layers."""
    state = module.state_dict()
    own = list(layers(state).values())
    counterparts = {}
    for layer, (names, shapes) in layers(entries).items():
        if layer.startswith(tuple(unused)):
            continue
        own_names, _ = own.pop(next(i for i, (_, own_shapes) in enumerate(own) if own_shapes == shapes))
        for name, own_name in zip(names, own_names, strict=True):
            state[own_name].copy_(torch.from_numpy(entries[name]).reshape(state[own_name].shape))
            counterparts[name] = own_name
    assert not own, f"no counterpart for {own}"
    return counterparts


def assert_close(actual, expected, tolerance):
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    scale = np.sqrt((expected**2).mean())
    np.testing.assert_allclose(
        actual.reshape(expected.shape), expected, rtol=tolerance, atol=tolerance * scale / 10 + 1e-10
    )


@pytest.mark.parametrize("path", cases())
def test_equals_the_official_implementation(path, double):
    case = np.load(path)
    meta = json.loads(str(case["meta"]))
    module = golden_factories.FACTORIES[meta["block"]](**meta["args"])
    module.double().train(meta["mode"] == "train")

    if meta.get("is_net"):
        random = np.random.RandomState(meta["seed"])
        entries = {name: draw(random, kind, shape) for name, shape, kind in meta["params"]}
        shape = meta["input"]
        picture = np.random.RandomState(meta["seed"] + 1).standard_normal(shape) * 1.3 + 0.2
        inputs = [picture.astype(np.float32)]
    else:
        entries = {n: case[f"param::{n}"] for n, _, _ in meta["params"]}
        inputs = [case[f"in{i}"] for i in range(sum(key.startswith("in") for key in case.files))]
    names = load(module, entries, meta.get("unused", []))

    inputs = [torch.from_numpy(x) for x in inputs]
    inputs = [x.double().requires_grad_() if x.is_floating_point() else x for x in inputs]
    out = module(*inputs)
    assert_close(out.detach(), case["out0"], 1e-4)

    (out * torch.from_numpy(case["gout"]).double().reshape(out.shape)).sum().backward()
    if meta.get("is_net"):
        assert_close(inputs[0].grad.flatten()[torch.from_numpy(case["grad_idx"])], case["grad_sample"], 1e-3)
    for i, x in enumerate(inputs):
        if f"grad_in{i}" in case.files:
            assert_close(x.grad, case[f"grad_in{i}"], 1e-3)
    if "pgrad::centers" in case.files:
        (centers,) = module.parameters()
        assert_close(centers.grad, case["pgrad::centers"], 1e-3)
    state = module.state_dict()
    for key in case.files:
        if key.startswith("after::"):
            name = key.removeprefix("after::")
            if name in names:
                assert_close(state[names[name]], case[key], 1e-4)


@pytest.mark.parametrize("entry", COUNTED)
def test_has_the_published_number_of_parameters(entry):
    published = json.loads((GOLDEN / "param_counts.json").read_text())[entry]
    name, options = COUNTED[entry]
    with torch.device("meta"):
        net = create_model(name, published["num_classes"], published["macs_input"][1], **options)
    assert count_parameters(net) == published["params"]


def test_every_published_count_is_compared():
    assert set(json.loads((GOLDEN / "param_counts.json").read_text())) == set(COUNTED)


@pytest.mark.parametrize("entry", ["resnet50", "epsanet50", "acmix_resnet50", "mobilenetv2", "vgg16_bn"])
def test_counts_the_published_multiply_accumulates(entry):
    # fvcore also counts normalisations and pooling, so ours are a little fewer.
    published = json.loads((GOLDEN / "param_counts.json").read_text())[entry]
    name, options = COUNTED[entry]
    _, channels, pixels, _ = published["macs_input"]
    with torch.device("meta"):
        net = create_model(name, published["num_classes"], channels, **options)
    assert 0.95 < count_macs(net.eval(), pixels) / published["macs"] < 1.0


@pytest.mark.heavy
def test_verifies_against_the_whole_set():
    folder = os.environ.get("FER_GOLDEN")
    if not folder:
        pytest.skip("the whole set of golden cases is not at hand: set FER_GOLDEN to its folder")
    command = [
        sys.executable,
        f"{folder}/verify.py",
        "--cases",
        f"{folder}/cases",
        "--map",
        golden_factories.__file__,
        "--strict",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
