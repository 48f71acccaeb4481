"""The benchmarks: what is timed is the library's own step, and the arithmetic of what is shown."""

import json

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from fer_lib.augment import Augmentation
from fer_lib.bench import measure, published, suites
from fer_lib.bench.measure import Laps, Spread, compare, table
from fer_lib.bench.suites import _Epochs, _Setting, run_benchmark
from fer_lib.demo.faces import create_detector
from fer_lib.errors import UserError
from fer_lib.frames import decode_picture
from fer_lib.models import create_model
from fer_lib.models.attention import CBAM
from fer_lib.training import predict_probabilities
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
    assert Spread.of([3.0, 1.0, 8.0]) == Spread(3.0, 1.0, 8.0)


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


def test_the_published_pipelines_do_the_same_work():
    images, labels = _Setting(CPU, 0).pictures(8)
    for name, side in (("control", 44), ("gu", 48), ("plain", 48)):
        picture, label = published.Pictures(images, labels, name)[3]
        assert (picture.shape, picture.dtype, label) == ((1, side, side), torch.float32, labels[3])
    flips = [t for t in published.TRANSFORMS["control"].transforms if isinstance(t, v2.RandomHorizontalFlip)]
    assert flips  # as in control.toml


def test_faces_are_timed_with_the_weight_file_at_hand(setting, weight_files, monkeypatch, tmp_path):
    monkeypatch.setenv("FER_RESULTS", str(weight_files.parent))
    (batches, live), more = suites.SUITES["faces"](setting, (), 0.1)
    assert more == {"weight_file": "tiny"}
    assert min(batches["seconds_per_image"]["ours"].values()) > 0
    assert set(live["breakdown"]) == {"decode", "detector", "net"}
    assert sum(live["breakdown"].values()) == pytest.approx(1)
    assert min(live["breakdown"].values()) > 0
    picture = decode_picture(suites._camera_picture())
    assert picture.shape == (480, 640, 3)
    assert [len(create_detector(name)(picture)) for name in ("mtcnn", "haar")] == [1, 1]
    monkeypatch.setenv("FER_RESULTS", str(tmp_path))
    with pytest.raises(UserError, match="no weight file in results/checkpoints"):
        suites.SUITES["faces"](setting, (), 0.1)


@pytest.mark.parametrize(("views", "tolerance"), [("one", 1e-5), ("ten", 1e-5)])
def test_both_ways_predict_the_same(setting, views, tolerance):
    torch.manual_seed(0)
    net = create_model("resnet18", num_classes=7, width=8, layers=[1, 1, 1, 1]).eval()
    images = torch.from_numpy(setting.pictures(6)[0])
    theirs = published.predict(setting.loader(6, 4, views, shuffle=False), net, CPU)
    ours = predict_probabilities(net, images, views=views)
    assert torch.allclose(ours, theirs, atol=tolerance)


def test_both_ways_attend_to_the_same():
    ours, theirs = (block(16).train() for block in (CBAM, published.CBAM))
    torch.nn.init.ones_(ours.spatial.bn.weight)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 16, 5, 5)
    outs = [block(x.clone().requires_grad_()) for block in (ours, theirs)]
    assert torch.equal(*outs)


def test_both_ways_read_the_same(tmp_path, setting):
    from fer_lib.data.fer2013 import read_csv

    images, labels = setting.pictures(5)
    rows = [f"{y},{' '.join(map(str, x.ravel()))},Training" for x, y in zip(images, labels, strict=True)]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    theirs = published.read_csv(tmp_path / "fer2013.csv")
    ours = read_csv(tmp_path / "fer2013.csv")
    assert np.array_equal(ours.images, theirs[0])
    assert np.array_equal(ours.images, images)
    assert np.array_equal(ours.labels, theirs[1])


def test_the_report(tmp_path, monkeypatch):
    row = {
        "what": "a net", "macs": 10**9, "tflops": 0.5, "share_of_matmul": 0.25, "breakdown": {"forward": 1.0},
        "seconds_per_image": {"ours": vars(Spread(0.01, 0.01, 0.02)), "published": vars(Spread(0.04, 0.03, 0.05))},
        "ratio": vars(Spread(4.0, 3.0, 5.0)), "repeats": 5,
    }  # fmt: skip
    monkeypatch.setitem(suites.SUITES, "train", lambda *_: ([row], {"matmul_tflops": 2.0}))
    lines = []
    path = run_benchmark("train", device="cpu", results=tmp_path, say=lines.append)
    assert path.parent == tmp_path / "benchmarks"
    assert path.name.startswith("train-")
    content = json.loads(path.read_text())
    assert content["rows"] == [row]
    assert content["matmul_tflops"] == 2.0
    assert content["environment"]["torch"] == torch.__version__
    assert lines == [table([row])]
    assert "100.0              25.0  4.00 (3.00 to 5.00)" in lines[0]
    assert "0.5 TFLOP/s, 25.0% of a large matrix product" in lines[0]


def test_mistakes_are_named(setting):
    with pytest.raises(UserError, match="resnet18:many: write NAME"):
        setting.models(["resnet18:many"])
    assert setting.models(["resnet18", "gu:32"]) == [("resnet18", 64), ("gu", 32)]
    with pytest.raises(UserError, match="--seconds 0"):
        run_benchmark("train", seconds=0)


def test_matmul_flops(monkeypatch):
    monkeypatch.setattr(measure, "_clock", lambda act, device: 0.5)
    assert measure.matmul_flops(CPU, torch.float32) == 2 * 1024**3 / 0.5
