"""The widget's half in the kernel: what is synchronised, what is answered, which model is in use."""

import io
import shutil

import pytest
from PIL import Image

from fer_lib.demo.camera import Camera
from fer_lib.demo.example import example_picture
from fer_lib.errors import UserError


@pytest.fixture
def camera(weight_files, tmp_path, monkeypatch):
    """A camera with two models, whose messages are kept in ``sent``."""
    folder = shutil.copytree(weight_files, tmp_path / "checkpoints")
    for suffix in ("md", "safetensors"):
        shutil.copy(folder / f"tiny.{suffix}", folder / f"other.{suffix}")
    made = Camera("tiny", folder=tmp_path / "photos", checkpoints=folder)
    made.sent = []
    monkeypatch.setattr(made, "send", lambda content, buffers=None: made.sent.append((content, buffers)))
    return made


def test_a_frame_is_answered_with_binary_buffers(camera):
    picture = io.BytesIO()
    Image.fromarray(example_picture()).save(picture, "JPEG")
    camera._receive(camera, {"type": "photo", "id": "x"}, [memoryview(picture.getvalue())])
    ((answer, buffers),) = camera.sent
    assert (answer["type"], answer["id"], len(answer["faces"])) == ("still", "x", 3)
    assert buffers[0][:2] == b"\xff\xd8"
    camera._receive(camera, {"type": "frame", "id": "y"}, [])
    assert camera.sent[1][0]["type"] == "error"


def test_no_picture_is_part_of_the_state(camera):
    """What is synchronised may be saved with the notebook."""
    before = {key: value for key, value in camera.get_state().items() if key not in ("_esm", "_css")}
    test_a_frame_is_answered_with_binary_buffers(camera)
    after = {key: value for key, value in camera.get_state().items() if key not in ("_esm", "_css")}
    assert before == after
    assert not any(isinstance(value, bytes | memoryview) for value in after.values())


def test_models_are_shown_with_their_accuracy_and_changed(camera):
    assert [model["name"] for model in camera.models] == ["other", "tiny"]
    assert all("% of the test pictures right" in model["title"] for model in camera.models)
    assert len(camera.classes) == 7
    camera.model = "other"
    assert camera.service.predictor.checkpoint.name == "other"


def test_the_controls_reach_what_answers(camera):
    camera.threshold, camera.smoothing, camera.second = 0.9, 1.5, "other"
    service = camera.service
    assert (service.sure, service.tracker.smoothing, service.second_tracker.smoothing) == (0.9, 1.5, 1.5)
    assert service.second.checkpoint.name == "other"
    camera.second = ""
    assert service.second is None


def test_a_model_that_cannot_be_loaded_leaves_the_old_one(camera, tmp_path):
    (tmp_path / "checkpoints" / "other.md").unlink()
    camera.model = "other"
    assert camera.model == "tiny"
    assert camera.service.predictor.checkpoint.name == "tiny"
    ((answer, _),) = camera.sent
    assert answer["type"] == "error"
    assert "other.md: missing" in answer["text"]


def test_without_a_weight_file_the_reader_is_told_the_command(tmp_path):
    camera = Camera(checkpoints=tmp_path)
    assert (camera.model, camera.models, camera.classes) == ("", [], [])
    assert "no weight file" in camera.note
    assert "fer checkpoint RUN" in camera.note


def test_unknown_names_are_refused(weight_files):
    with pytest.raises(UserError, match="unknown weight file 'tinny'"):
        Camera("tinny", checkpoints=weight_files)
    with pytest.raises(UserError, match="unknown detector"):
        Camera("tiny", detector="eyes", checkpoints=weight_files)
