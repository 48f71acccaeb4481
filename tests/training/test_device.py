"""Devices that people have, stood in for: which is chosen, in which precision, and why not."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from tiny import tiny_dataset, tiny_recipe
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fer_lib import cli
from fer_lib.errors import UserError
from fer_lib.recipe import RunSpec
from fer_lib.training import autocast_dtype, choose_device, device_name, fit, step, usable_gpus
from fer_lib.training.device import sum_dtype
from fer_lib.training.randomness import get_random, set_random, undisturbed_random

GPUS = {"P100": (6, 0), "T4": (7, 5), "A10": (8, 6), "H100": (9, 0), "B200": (10, 0)}
MADE_FOR = ["sm_75", "sm_80", "sm_90", "compute_90"]
MPS = torch.device("mps")


@pytest.fixture
def machine(monkeypatch):
    """A machine with some GPUs and a torch that was compiled for :data:`MADE_FOR`."""

    def machine(*names, mps=False):
        found = [
            SimpleNamespace(name=name, major=GPUS[name][0], minor=GPUS[name][1], total_memory=2**34) for name in names
        ]
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(found))
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda gpu: found[gpu.index])
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: MADE_FOR)
        monkeypatch.setattr(torch.version, "cuda", "13.2")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return machine


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ("", "cpu"), ("T4", "cuda:0"), ("T4 T4", "cuda:0"), ("H100", "cuda:0"),
        ("P100", "cpu"), ("P100 T4", "cuda:1"),
        ("A10", "cuda:0"),  # what was made for sm_80 runs on sm_86
        ("B200", "cuda:0"),  # by compute_90, the general form
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:cuda.0 is passed over")
def test_auto_takes_the_first_gpu_that_this_torch_can_run(machine, names, chosen):
    machine(*names.split())
    assert choose_device() == torch.device(chosen)
    if chosen != "cpu":
        assert choose_device("cuda") == torch.device(chosen)


def test_what_was_made_for_an_earlier_generation_runs_in_its_general_form_alone(machine, monkeypatch):
    machine("H100")
    for made_for, kind in ((["sm_80"], "cpu"), (["sm_80", "compute_80"], "cuda")):
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda made_for=made_for: made_for)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert choose_device().type == kind


def test_a_gpu_that_this_torch_cannot_run_is_named_in_one_line(machine):
    machine("P100", "T4")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        assert usable_gpus() == usable_gpus() == [torch.device("cuda:1")]
    (line,) = (str(warning.message) for warning in told)
    assert line == (
        "cuda:0 is passed over: P100 is sm_60, for which this torch is not made (sm_75 sm_80 sm_90 compute_90)"
    )
    with pytest.raises(UserError, match=r"device 'cuda:0': P100 is sm_60.*use --device cpu, another GPU"):
        choose_device("cuda:0")
    machine("P100")
    with pytest.raises(UserError, match="device 'cuda': P100 is sm_60"), pytest.warns(UserWarning, match="passed over"):
        choose_device("cuda")


def test_the_command_says_it_in_one_line(machine, capsys):
    machine("P100")
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "narrow/none/fer2013", "--dry-run"])
    assert ended.value.code == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fer: cuda:0 is passed over: P100 is sm_60")


def test_apples_gpu_is_found_where_there_is_no_other(machine):
    machine(mps=True)
    assert choose_device() == choose_device("mps") == MPS
    assert autocast_dtype(MPS) == torch.float32
    assert "threads" not in device_name(MPS)  # by which the pace knows a CPU
    machine("T4", mps=True)
    assert choose_device().type == "cuda"


@pytest.mark.parametrize(("name", "dtype"), [("T4", torch.float16), ("A10", torch.bfloat16), ("H100", torch.bfloat16)])
def test_a_gpu_without_bfloat16_trains_in_float16(machine, name, dtype):
    machine("H100", name)  # another one beside it changes nothing
    assert autocast_dtype(torch.device("cuda:1")) == dtype
    assert autocast_dtype(torch.device("cuda:1"), "float32") == torch.float32


def test_a_cpu_without_onednn_trains_in_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())  # as on a Mac: nothing to ask
    assert autocast_dtype(torch.device("cpu")) == torch.float32


class NoFloat64(TorchDispatchMode):
    """Refuses what Apple's GPUs refuse, on the CPU."""

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        out = op(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, out)):
            assert getattr(leaf, "dtype", None) != torch.float64, f"{op} makes or takes float64"
        return out


def test_no_float64_is_made_where_there_is_none(tmp_path, monkeypatch):
    """A whole training with its evaluations; on the CPU, so that the arithmetic alone is a Mac's."""
    spec = RunSpec(tiny_recipe(precision="float32"))
    (plain := tmp_path / "plain").mkdir()
    usual = fit(spec, tiny_dataset(), plain, device="cpu", say=print)
    with pytest.raises(AssertionError, match="float64"), NoFloat64():
        fit(spec, tiny_dataset(), tmp_path, device="cpu", say=print)
    assert (sum_dtype(MPS), sum_dtype(torch.device("cuda"))) == (torch.float32, torch.float64)
    monkeypatch.setattr(step, "sum_dtype", lambda device: torch.float32)
    with NoFloat64():
        found = fit(spec, tiny_dataset(), tmp_path, device="cpu", say=print)
    assert all(torch.equal(found.weights[name], value) for name, value in usual.weights.items())
    for one, other in zip(found.history, usual.history, strict=True):
        assert one["train_accuracy"] == other["train_accuracy"]
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-6)


def test_random_numbers_of_apples_gpu_are_kept(monkeypatch):
    states = [torch.tensor([1, 2])]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda device: states[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state, device: states.append(state))
    kept = get_random(MPS)
    with undisturbed_random(MPS):
        states.append(torch.tensor([3, 4]))
    assert states[-1].tolist() == [1, 2]
    states.append(torch.tensor([5, 6]))
    set_random(kept, MPS)
    assert states[-1].tolist() == [1, 2]
    set_random({"cpu": torch.get_rng_state()}, MPS)  # a checkpoint of another device
    assert states[-1].tolist() == [1, 2]
