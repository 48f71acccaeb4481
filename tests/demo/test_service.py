"""Whatever the browser sends, the kernel answers; nothing is stored unless asked, and then in one folder."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from fer_lib.demo.example import example_picture
from fer_lib.demo.faces import create_detector
from fer_lib.demo.service import KEPT_STILLS, MAX_FACES, Service
from fer_lib.errors import UserError
from fer_lib.predict import Face


def encoded(picture, form="JPEG", **options):
    buffer = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(buffer, form, **options)
    return buffer.getvalue()


FACES = encoded(example_picture(), quality=92)
SMALL = encoded(Image.new("L", (8, 8)))


@pytest.fixture
def service(weight_files, tmp_path):
    made = Service(create_detector("mtcnn"), tmp_path / "photos", weight_files)
    made.choose_model("tiny")
    made.sure = 0.0
    return made


def frame(service, content, **message):
    return service.answer({"type": "frame", "id": 7, **message}, content)


def test_a_live_picture(service):
    answer, buffers = frame(service, FACES)
    assert (answer["type"], answer["id"], answer["size"], buffers) == ("answer", 7, [640, 480], [])
    assert (len(answer["faces"]), answer["net"]) == (3, "tiny")
    assert [face["number"] for face in answer["faces"]] == [1, 2, 3]
    for face in answer["faces"]:
        assert sum(face["probabilities"]) == pytest.approx(1, abs=1e-3)
        best = int(np.argmax(face["probabilities"]))
        sure = face["probabilities"][best] >= service.sure
        assert face["label"] == (service.predictor.classes[best] if sure else "not sure")
    assert set(answer["ms"]) == {"decode", "detector", "net"}


def test_reasons_come_with_the_faces_when_asked_for_and_the_camera_does_not_wait_for_them(service, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(service, "_load_heat", lambda: None)  # which ends at once where an earlier test has loaded it
        assert frame(service, SMALL, explain=True)[0]["loading"], "said also while nobody is there"
        answer, heats = frame(service, FACES, explain=True)
        assert (answer["loading"], heats, len(answer["faces"])) == (True, [], 3)
    frame(service, FACES, explain=True)
    assert service._heat.wait(120)
    answer, heats = frame(service, FACES, explain=True)
    assert "loading" not in answer
    assert [len(heat) for heat in heats] == [48 * 48] * len(answer["faces"])
    assert any(np.frombuffer(heat, np.uint8).max() == 255 for heat in heats)
    assert frame(service, SMALL, explain=True)[0]["type"] == "answer"


def test_below_the_stated_confidence_no_expression_is_named(service):
    service.sure = 1.0
    assert {face["label"] for face in frame(service, FACES)[0]["faces"]} == {"not sure"}
    answer, _ = service.answer({"type": "photo", "id": "a"}, FACES)
    assert {face["label"] for face in answer["faces"]} == {"not sure"}


def test_a_second_net_reads_the_same_faces(service):
    assert "second" not in frame(service, FACES)[0]["faces"][0]
    service.choose_second("tiny")
    for face in frame(service, FACES)[0]["faces"]:
        assert face["second"]["probabilities"] == pytest.approx(face["probabilities"], abs=0.2)
    answer, _ = service.answer({"type": "photo", "id": "a"}, FACES)
    assert [face["second"]["label"] for face in answer["faces"]] == [face["label"] for face in answer["faces"]]
    service.predictor.classes = ("other",)
    with pytest.raises(UserError, match="knows other expressions"):
        service.choose_second("tiny")
    service.choose_second("")
    assert service.second is None


def test_photos_taken_before_can_still_be_saved(service, tmp_path):
    for name in "ab":
        service.answer({"type": "photo", "id": name}, FACES)
    assert service.answer({"type": "save", "id": "c", "still": "a"})[0]["type"] == "saved"
    for name in range(KEPT_STILLS):
        service.answer({"type": "photo", "id": str(name)}, SMALL)
    assert "take it again" in service.answer({"type": "save", "id": "c", "still": "a"})[0]["text"]


def test_two_threads_are_answered_one_after_the_other(service):
    """JupyterLab's subshells are threads, and two of them in one OpenCV net at once end the kernel."""
    detector, meet = service.detector, threading.Barrier(2)

    def watched(picture):
        with pytest.raises(threading.BrokenBarrierError):
            meet.wait(0.2)  # until a second caller comes in, and nobody may
        meet.reset()
        return detector(picture)

    service.detector = watched
    with ThreadPoolExecutor(2) as pool:
        frames = pool.submit(frame, service, FACES), pool.submit(service.read, example_picture())
    answer, readings = (future.result() for future in frames)
    assert len(answer[0]["faces"]) == len(readings) == 3


def test_a_crowd_does_not_hold_up_the_live_picture(service):
    service.detector = lambda picture: [Face((0, 0, 9, 9), (0, 0, 9))] * 50
    assert len(frame(service, FACES)[0]["faces"]) == MAX_FACES


BROKEN = {
    "corrupt": FACES[:2000],
    "empty": b"",
    "text": b"hello",
    "bomb": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\0\0\0\0",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_picture_is_said_and_the_next_one_answered(service, kind):
    answer, buffers = frame(service, BROKEN[kind])
    assert (answer["type"], answer["id"], buffers) == ("error", 7, [])
    assert "\n" not in answer["text"]
    assert frame(service, FACES)[0]["type"] == "answer"


@pytest.mark.parametrize("message", [None, "frame", ["frame"], {}, {"type": "film"}, {"type": ["frame"]}])
def test_a_message_that_is_none_of_the_camera_s_is_answered(service, message):
    answer, buffers = service.answer(message, FACES)
    assert (answer["type"], buffers) == ("error", [])


@pytest.mark.parametrize(
    ("picture", "size"),
    [
        (encoded(Image.new("L", (1, 1)), "PNG"), [1, 1]),
        (encoded(Image.new("L", (7680, 4320))), [7680, 4320]),
        (encoded(Image.new("RGBA", (64, 48)), "PNG"), [64, 48]),
        (encoded(Image.new("CMYK", (64, 48))), [64, 48]),
        (
            encoded(Image.new("P", (64, 48)), "GIF", save_all=True, append_images=[Image.new("P", (64, 48), 9)]),
            [64, 48],
        ),
    ],
    ids=["1x1", "8K", "RGBA", "CMYK", "animation"],
)
def test_strange_pictures_are_read(service, picture, size):
    answer, (jpeg,) = service.answer({"type": "picture", "id": 1, "name": "x"}, picture)
    assert (answer["type"], answer["size"], answer["faces"]) == ("still", size, [])
    assert max(Image.open(io.BytesIO(jpeg)).size) <= 1280


@pytest.mark.parametrize("part", ["net", "detector"])
def test_an_exception_in_the_kernel_reaches_the_reader(service, part):
    def fails(*_):
        raise ZeroDivisionError("oh")

    good = service.predictor.net, service.detector
    if part == "net":
        service.predictor.net = fails
    else:
        service.detector = fails
    answer, _ = frame(service, FACES)
    assert answer["type"] == "error"
    assert answer["text"].startswith("the kernel failed on this picture: ")
    service.predictor.net, service.detector = good
    assert frame(service, FACES)[0]["type"] == "answer"


def test_nothing_is_stored_unless_asked(service, tmp_path):
    frame(service, FACES)
    answer, (jpeg,) = service.answer({"type": "photo", "id": "a"}, FACES)
    assert answer["type"] == "still"
    assert not list(tmp_path.iterdir())
    for _ in range(2):
        saved, _ = service.answer({"type": "save", "id": "b", "still": "a"})
        assert saved["type"] == "saved"
    first, second = sorted((tmp_path / "photos").iterdir())
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    drawn = np.asarray(Image.open(first)).astype(int)
    assert np.abs(drawn - np.asarray(Image.open(io.BytesIO(jpeg)))).mean() < 2, "saved is what was shown"
    assert np.abs(drawn - example_picture()).max() > 60, "the boxes are drawn"


def test_only_the_photo_shown_is_saved_whatever_its_name(service, tmp_path):
    service.answer({"type": "picture", "id": "a", "name": "../../evil.jpg"}, FACES)
    assert service.answer({"type": "save", "id": "b", "still": "z"})[0]["type"] == "error"
    service.answer({"type": "save", "id": "b", "still": "a", "name": "../../evil.jpg"})
    (photo,) = (tmp_path / "photos").iterdir()
    assert photo.name.startswith("photo-")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_folder_that_cannot_be_written_is_named(service, tmp_path):
    (tmp_path / "photos").write_text("a file is in the way")
    service.answer({"type": "photo", "id": "a"}, FACES)
    answer, _ = service.answer({"type": "save", "id": "b", "still": "a"})
    assert answer["type"] == "error"
    assert "photos" in answer["text"]


def test_unknown_messages_are_answered(service):
    assert service.answer({"type": "dance", "id": 1})[0]["type"] == "error"
    assert service.answer({})[0]["type"] == "error"


def test_without_a_weight_file_faces_are_marked_and_not_named(tmp_path):
    service = Service(create_detector("mtcnn"), tmp_path, tmp_path / "none")
    assert (service.models(), service.net) == ([], "")
    answer, heats = frame(service, FACES, explain=True)
    assert [(face["label"], face["probabilities"]) for face in answer["faces"]] == [("", [])] * 3
    assert heats == []
    with pytest.raises(UserError, match="fer checkpoint RUN"):
        service.choose_model("tiny")
