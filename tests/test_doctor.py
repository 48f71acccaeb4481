"""The examination: what it finds, and that a device that trains wrongly is told from one that does not."""

from types import SimpleNamespace

import pytest
import torch

from fer_lib import cli, doctor
from fer_lib.doctor import Finding, examine
from fer_lib.training import loop
from fer_lib.training.step import TrainStep

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def short(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "STEPS", 2)
    monkeypatch.setattr(doctor, "BATCH", 8)
    monkeypatch.setenv("FER_DATA", str(tmp_path))
    monkeypatch.setattr(doctor, "_speed", lambda name, device: "fast")


@pytest.fixture
def findings():
    def findings(**options):
        return {finding.what: finding for finding in examine("cpu", **options)}

    return findings


def test_a_sound_cpu(findings):
    found = findings()
    assert not [finding for finding in found.values() if finding.sound is False]
    assert torch.__version__ in found["versions"].text
    assert found["fer2013"].sound is None
    assert "fer data download fer2013" in found["fer2013"].remedy
    one, other = found["stopped and resumed"].text.removeprefix("last losses ").split(" and ")
    assert one == other


def test_data_that_are_missing_and_data_that_are_broken(findings, tmp_path, monkeypatch):
    assert findings(seconds=0)["fer2013"].text == f"not in {tmp_path}"
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n3,7 7,Training\n")
    found = findings(seconds=0)["fer2013"]
    assert found.sound is False
    assert "fer2013.csv, line 2: 2 pixels instead of 2,304" in found.text
    (tmp_path / "fer2013.csv").unlink()
    monkeypatch.setattr(doctor, "KAGGLE", tmp_path)
    assert "Add Input" in findings(seconds=0)["fer2013"].remedy


def test_a_results_folder_that_cannot_be_written_is_a_fault(findings, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FER_RESULTS", str(tmp_path / "file"))
    found = findings(seconds=0)["results"]
    assert found.sound is False
    assert found.text == f"{tmp_path / 'file'}: a file, where a folder is needed for the output"


@pytest.mark.parametrize(
    ("variable", "lasting"), [("COLAB_RELEASE_TAG", "/content/drive"), ("KAGGLE_KERNEL_RUN_TYPE", "/kaggle/working")]
)
def test_results_that_a_session_takes_with_it(findings, monkeypatch, variable, lasting):
    assert findings(seconds=0)["results"].sound
    monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("FER_RESULTS", "/content/fer/results")
    lost = findings(seconds=0)["results"]
    assert lost.sound is False
    assert lasting in lost.remedy
    monkeypatch.setenv("FER_RESULTS", f"{lasting}/fer/results")
    assert findings(seconds=0)["results"].sound


def test_what_would_begin_too_late_is_left_out(findings):
    found = findings(seconds=0)
    assert {found[what].sound for what in ("step in float32", "stopped and resumed")} == {None}


def test_a_step_that_gives_no_number_is_a_fault(findings, monkeypatch, capsys):
    run = TrainStep.run

    def broken(self):
        run(self)
        self.first_bad.fill_(0)

    monkeypatch.setattr(TrainStep, "run", broken)
    found = findings()
    assert found["step in float32"].sound is False
    assert "NaN or infinite" in found["step in float32"].text
    assert str(found["step in float32"]).startswith("FAULT step in float32")
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--device", "cpu"])
    assert ended.value.code == 1
    assert "FAULT" in capsys.readouterr().out


def test_a_training_that_goes_on_with_other_weights_is_a_fault(findings, monkeypatch):
    restore = loop._Trainer._restore

    def wrong(self, state):
        restore(self, state)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.mul_(1.1)

    monkeypatch.setattr(loop._Trainer, "_restore", wrong)
    finding = findings()["stopped and resumed"]
    assert finding.sound is False
    assert "that of a training at one go" in finding.text


@pytest.fixture
def gpu(monkeypatch):
    """A GPU, pretended."""

    def gpu(name, major, minor, made_for=("sm_75", "sm_80", "sm_90")):
        properties = SimpleNamespace(name=name, major=major, minor=minor, total_memory=24 * 2**30)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: made_for)
        monkeypatch.setattr(torch.version, "cuda", "13.2")

    return gpu


def test_what_a_gpu_is_asked(gpu):
    gpu("NVIDIA A10", 8, 6)
    asked = [what for what, _ in doctor._checks(torch.device("cuda"))]
    assert [what for what in asked if what.startswith("recorded")] == [
        "recorded, float32", "recorded, bfloat16", "recorded, float16",
    ]  # fmt: skip
    assert {what.split("/")[0] for what in asked if what.endswith("/fer2013")} == {"li", "hu", "gu", "zhang"}
    gpu("Tesla T4", 7, 5)
    asked = [what for what, _ in doctor._checks(torch.device("cuda"))]
    assert [what for what in asked if "16" in what] == ["step in float16", "recorded, float16"]


def test_a_recorded_step_is_held_against_the_plain_one(monkeypatch, gpu):
    gpu("NVIDIA A10", 8, 6)
    checks, plain = dict(doctor._checks(torch.device("cuda"))), []
    assert len(checks) > 5
    dataset = doctor.synthetic(train=16, val=8, test=8)
    recipe = doctor.with_changes(
        doctor.get_recipe(doctor.SMALL), dataset="synthetic", batch_size=8, epochs=2, precision="float32"
    )
    doctor._plain(recipe, dataset, CPU, plain)
    assert len(plain) == 2

    def replay(step):
        step.run()
        step.totals[0] += 0.1 * step.batch

    monkeypatch.setattr(TrainStep, "record", lambda step: setattr(step, "graph", SimpleNamespace(replay=step.run)))
    assert "within 0.00%" in doctor._like(recipe, dataset, CPU, plain, recorded=True)
    monkeypatch.setattr(
        TrainStep, "record", lambda step: setattr(step, "graph", SimpleNamespace(replay=lambda: replay(step)))
    )
    with pytest.raises(ArithmeticError, match="from that of the plain step"):
        doctor._like(recipe, dataset, CPU, plain, recorded=True)


def test_gpus_are_described(gpu):
    gpu("NVIDIA A10", 8, 6)
    assert doctor._gpu(torch.device("cuda", 0)) == Finding("cuda:0", "NVIDIA A10, 24 GiB, trains in bfloat16")
    gpu("Tesla T4", 7, 5)
    finding = doctor._gpu(torch.device("cuda", 0))
    assert finding.text.endswith("trains in float16")
    assert "no bfloat16" in finding.remedy
    gpu("Tesla P100", 6, 0)
    finding = doctor._gpu(torch.device("cuda", 1))
    assert finding.sound is False
    assert finding.text.startswith("Tesla P100 is sm_60, for which this torch is not made")
    assert "passed over" in finding.remedy
