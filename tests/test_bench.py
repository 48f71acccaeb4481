"""The benchmarks: what is timed is the library's own step, and the arithmetic of what is shown."""

import json

import pytest
import torch
from torchvision.transforms import v2

from fer_lib.augment import Augmentation
from fer_lib.bench import attention, measure, published, training
from fer_lib.bench.measure import Laps, compare, spread, table
from fer_lib.bench.training import _Epochs, _Setting, bench_training
from fer_lib.errors import UserError
from fer_lib.models.attention import CBAM
from fer_lib.training.step import TrainStep

CPU = torch.device("cpu")


@pytest.fixture
def setting():
    return _Setting(CPU, workers=0)


def test_a_ratio_of_known_times(monkeypatch):
    """One way takes 10 s a round of 4 pictures, the other 30 s, by a clock that only they move."""
    now = [0.0]
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])

    def work(seconds):
        def prepare(rounds):
            def act():
                now[0] += rounds * seconds

            return act

        return prepare

    found = compare(work(10.0), work(30.0), images=4, seconds=600, device=CPU)
    assert found["seconds_per_image"]["ours"] == {"median": 2.5, "low": 2.5, "high": 2.5}
    assert found["ratio"]["median"] == pytest.approx(3)
    assert now[0] == pytest.approx(10 + 10 + 30 + 30 + 600)  # a warming and a trial round of both, then the time asked


def test_spread():
    assert spread([3.0, 1.0, 8.0]) == {"median": 3.0, "low": 1.0, "high": 8.0}


def test_laps_of_known_waits(monkeypatch):
    clock = iter([0.0, 1.0, 4.0, 6.0, 10.0])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    laps = Laps(CPU)
    for name in ("start", "a", "b", "a", "c"):
        laps.mark(name)
    assert laps.shares() == {"a": 0.3, "b": 0.3, "c": 0.4}


def test_the_step_that_is_timed_is_the_training_s_own(setting, monkeypatch):
    taken = []
    monkeypatch.setattr(TrainStep, "run", lambda step: taken.append((step.batch, step.dtype, step.augmentation)))
    epochs = _Epochs(setting, "resnet18", 16)
    epochs.prepare(3)()
    assert len(taken) == 3
    batch, dtype, augmentation = taken[0]
    assert (batch, dtype) == (16, setting.dtype)
    assert augmentation == Augmentation.from_dict(epochs.recipe.augment)


def test_the_breakdown_is_of_the_whole_epoch(setting):
    shares = _Epochs(setting, "resnet18", 2).breakdown(rounds=2)
    assert set(shares) == {"augment", "forward", "backward", "optimiser", "rest"}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["backward"] > shares["augment"]  # a net's backward pass against one warp of two pictures


def test_the_published_pipeline_does_the_same_work():
    images, labels = _Setting(CPU, 0).pictures(8)
    picture, label = published.Pictures(images, labels)[3]
    assert (picture.shape, picture.dtype, label) == ((1, 44, 44), torch.float32, labels[3])
    flips = [t for t in published.TRANSFORM.transforms if isinstance(t, v2.RandomHorizontalFlip)]
    assert flips  # as in control.toml


def test_the_report(tmp_path, monkeypatch):
    row = {
        "what": "resnet18, 44 px, batch 64", "model": "resnet18", "batch": 64,
        "macs": 10**9, "tflops": 0.6, "share_of_matmul": 0.3, "breakdown": {"forward": 1.0},
        "seconds_per_image": {"ours": spread([0.01, 0.01, 0.02]), "published": spread([0.03, 0.04, 0.05])},
        "ratio": spread([3.0, 4.0, 5.0]), "repeats": 5,
    }  # fmt: skip
    found = {name: value for name, value in row.items() if name in ("seconds_per_image", "ratio", "repeats")}
    monkeypatch.setattr(training, "compare", lambda *_: found)
    monkeypatch.setattr(training, "matmul_flops", lambda *_: 2e12)
    monkeypatch.setattr(training, "count_macs", lambda *_: 10**9)
    monkeypatch.setattr(_Epochs, "breakdown", lambda self: {"forward": 1.0})
    lines = []
    path = bench_training(device="cpu", results=tmp_path, say=lines.append)
    assert path.parent == tmp_path / "benchmarks"
    assert path.name.startswith("train-")
    content = json.loads(path.read_text())
    assert content["rows"] == [row]
    assert content["matmul_tflops"] == 2.0
    assert content["environment"]["torch"] == torch.__version__
    assert lines == [table([row])]
    assert "100.0              25.0  4.00 (3.00 to 5.00)" in lines[0]
    assert "0.6 TFLOP/s, 30.0% of a large matrix product" in lines[0]


def test_mistakes_are_named(setting):
    for text, words in (("resnet18:many", "resnet18:many: write NAME"), ("resnet81", "did you mean resnet18")):
        with pytest.raises(UserError, match=words):
            setting.models([text])
    assert setting.models(["resnet18", "gu:32"]) == [("resnet18", 64), ("gu", 32)]


def test_what_is_timed_of_cbam_is_cbam():
    torch.manual_seed(0)
    net, x = CBAM(16), torch.randn(2, 16, 5, 5)
    for name in ("ours", "amax", "average"):
        timed = attention.CBAM(16, attention.OURS if name == "ours" else attention.OTHERS[name])
        timed.load_state_dict(net.state_dict())
        assert torch.equal(timed(x), net(x)) == (name != "average")


def test_the_report_of_cbam(tmp_path, monkeypatch):
    taken = []

    def measured(ours, other, images, seconds, device, name):
        taken.append(seconds)
        for way in (ours, other):
            way(1)()
        return {
            "seconds_per_image": {"ours": spread([0.01, 0.01, 0.02]), name: spread([0.03, 0.04, 0.05])},
            "ratio": spread([3.0, 4.0, 5.0]), "repeats": 5,
        }  # fmt: skip

    monkeypatch.setattr(attention, "compare", measured)
    monkeypatch.setattr(attention, "BATCH", 2)
    lines = []
    path = attention.bench_attention(seconds=8, device="cpu", results=tmp_path, say=lines.append)
    assert sum(taken) == pytest.approx(8)
    rows = json.loads(path.read_text())["rows"]
    others = [name for row in rows for name in row["seconds_per_image"] if name != "ours"]
    assert others == ["amax", "amax", "average", "average", "plain"]
    assert "ours, img/s       amax, img/s  ratio" in lines[0]


def test_matmul_flops(monkeypatch):
    monkeypatch.setattr(measure, "_clock", lambda act, device: 0.5)
    assert measure.matmul_flops(CPU, torch.float32) == 2 * 1024**3 / 0.5
