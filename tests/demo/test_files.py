"""`fer predict`: files, folders and videos in; JSON, CSV or pictures out; what cannot be read is named."""

import csv
import io
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny import tiny_dataset

from fer_lib.checkpoints import read_checkpoint
from fer_lib.cli import main
from fer_lib.demo.example import example_picture
from fer_lib.demo.files import write_csv
from fer_lib.frames import Frame, read_frames
from fer_lib.models import weights
from fer_lib.predict import Face, Predictor, Reading


@pytest.fixture
def fer(weight_files, tmp_path, monkeypatch, capsys):
    """Run `fer predict` in an empty folder, without the library's own nets; gives its status, output and errors."""
    monkeypatch.setattr(weights, "shipped", lambda name: tmp_path / "nothing")
    monkeypatch.setenv("FER_RESULTS", str(weight_files.parent))
    monkeypatch.chdir(tmp_path)

    def fer(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["predict", *map(str, arguments)])
        written = capsys.readouterr()
        return ended.value.code or 0, written.out, written.err

    return fer


@pytest.fixture
def album(tmp_path):
    """A picture with three faces, one with none, a broken one, and a film of four frames."""
    folder = tmp_path / "album"
    folder.mkdir()
    Image.fromarray(example_picture()).save(folder / "faces.png")
    Image.new("RGB", (100, 80), "grey").save(folder / "wall.jpg")
    (folder / "broken.jpg").write_bytes(b"nothing")
    film = cv2.VideoWriter(str(folder / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 2.0, (640, 480))
    for _ in range(4):
        film.write(example_picture()[..., ::-1])
    film.release()
    return folder


def test_json_has_one_line_a_frame_and_names_what_is_broken(fer, album):
    status, out, err = fer("album", "--every", 3)
    rows = {(row["file"], row.get("frame")): row for row in map(json.loads, out.splitlines())}
    assert list(rows) == [
        ("album/faces.png", None),
        ("album/film.avi", 0),
        ("album/film.avi", 3),
        ("album/wall.jpg", None),
    ]
    assert [len(row["faces"]) for row in rows.values()] == [3, 3, 3, 0]
    assert rows["album/film.avi", 3]["seconds"] == 1.5
    assert {row["net"] for row in rows.values()} == {"tiny"}
    for face in rows["album/faces.png", None]["faces"]:
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert face["label"] == max(face["probabilities"], key=face["probabilities"].get)
    assert status == 1
    assert err == "fer: album/broken.jpg: not a readable picture (no known format)\n"


def test_cut_out_faces_get_the_answers_of_the_net_itself(fer, tmp_path, weight_files):
    images = tiny_dataset().images[:20]
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number:02d}.png")
    status, out, err = fer(*sorted(tmp_path.glob("*.png")), "--detector", "none", "--device", "cpu")
    assert (status, err) == (0, "")
    said = [list(json.loads(line)["faces"][0]["probabilities"].values()) for line in out.splitlines()]
    expected = Predictor(read_checkpoint("tiny", weight_files), "cpu").probabilities(images)
    np.testing.assert_allclose(said, expected, atol=0.02)
    _, out, _ = fer(*sorted(tmp_path.glob("*.png")), "--detector", "none", "--device", "cpu", "--views", "one")
    said = [list(json.loads(line)["faces"][0]["probabilities"].values()) for line in out.splitlines()]
    one = Predictor(read_checkpoint("tiny", weight_files), "cpu").probabilities(images, "one")
    np.testing.assert_allclose(said, one, atol=1e-3)
    assert np.abs(one - expected).max() > 2e-3


def test_csv_has_one_row_a_face(fer, album, tmp_path):
    status, out, _ = fer("album/faces.png", "album/wall.jpg", "--format", "csv", "--output", "faces.csv")
    assert (status, out) == (0, "")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "faces.csv").read_text())))
    assert [row["file"] for row in rows] == ["album/faces.png"] * 3 + ["album/wall.jpg"]
    for row in rows[:3]:
        shares = {
            name: float(row[name]) for name in ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
        }
        assert row["label"] == max(shares, key=shares.get)
    assert rows[3]["label"] == ""
    assert {row["net"] for row in rows} == {"tiny"}


def test_the_drawn_picture_names_the_net(fer, album, tmp_path):
    assert fer("album/wall.jpg", "--format", "pictures")[0] == 0
    drawn = np.asarray(Image.open(tmp_path / "drawn" / "wall.jpg")).astype(int)
    corner = drawn[-20:, :60]
    assert (corner < 60).all(2).sum() > 100  # white on black, on a grey wall
    assert (corner > 200).all(2).sum() > 20
    assert (np.abs(drawn[:40] - 128) < 8).all()


def test_the_output_is_guarded_before_any_work(fer, album, tmp_path, monkeypatch):
    monkeypatch.setattr("fer_lib.demo.files.create_detector", lambda name: pytest.fail("it had begun"))
    before = {path: path.read_bytes() for path in album.iterdir()}
    (tmp_path / "link.csv").symlink_to("album/faces.png")
    for output, words in (
        ("album/faces.png", "album/faces.png: is read as input"),
        ("link.csv", "link.csv: is read as input"),
        ("album", "album: a folder"),
        ("none/x.json", "there is no folder"),
        ("a\x1b[2Jb", "a\\x1b[2Jb: a name with control characters"),
    ):
        status, out, err = fer("album", "--output", output)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert words in err
    status, _, err = fer("album", "--format", "pictures", "--output", "album/faces.png")
    assert (status, err) == (2, "fer: album/faces.png: a file, where a folder is needed for the output\n")
    assert {path: path.read_bytes() for path in album.iterdir()} == before


def test_names_are_text_to_terminals_and_spreadsheets(fer, tmp_path):
    for name in ("=1+1.png", "\x1b[31mred.png"):
        Image.new("RGB", (40, 40)).save(tmp_path / name)
    (tmp_path / "\x1b[2Jbroken.png").write_bytes(b"nothing")
    status, out, err = fer("=1+1.png", "\x1b[31mred.png", "\x1b[2Jbroken.png", "--format", "csv")
    assert status == 1
    assert [row["file"] for row in csv.DictReader(io.StringIO(out))] == ["'=1+1.png", "\\x1b[31mred.png"]
    assert "\x1b" not in out + err
    assert err.startswith("fer: \\x1b[2Jbroken.png: not a readable picture")


def test_a_nets_own_words_are_text_to_spreadsheets():
    frame = Frame(Path("a.png"), None, None, np.zeros((9, 9, 3), np.uint8))
    face = Reading(Face((0.0, 0.0, 9.0, 9.0), (0.0, 0.0, 9.0)), {"=1+1": 0.75, "happy": 0.25})
    table = io.StringIO()
    write_csv([(frame, [face])], table, face.probabilities, "@net")
    head, row = csv.reader(table.getvalue().splitlines())
    assert head[-3:] == ["'=1+1", "happy", "net"]
    assert row[-4:] == ["'=1+1", "0.75", "0.25", "'@net"]


@pytest.mark.parametrize(
    ("given", "way"),
    [("https://example.org/me.jpg", "download"), ("rtsp://192.0.2.7/live", "stream"), ("0", "fer demo")],
)
def test_an_address_or_the_number_of_a_camera_is_answered_with_a_sentence(fer, given, way):
    status, out, err = fer(given)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert given in err
    assert way in err


def test_a_file_that_is_named_like_a_camera_s_number_is_a_file(fer, tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "0", "PNG")
    assert json.loads(fer("0")[1])["file"] == "0"


def test_home_is_known_without_a_shell(fer, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.new("RGB", (40, 40)).save(tmp_path / "wall.png")
    assert fer("~/wall.png", "--output=~/wall.json")[0] == 0
    assert json.loads((tmp_path / "wall.json").read_text())["faces"] == []


def test_pictures_are_drawn_beside_nothing_is_replaced(fer, album, tmp_path):
    before = {path: path.read_bytes() for path in album.iterdir()}
    for _ in range(2):
        status, out, _ = fer("album/faces.png", "album/film.avi", "--every", 2, "--format", "pictures")
        assert status == 0
    names = ["faces", "film-000000", "film-000002"]
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == sorted(
        f"{name}{suffix}.jpg" for name in names for suffix in ("", "-2")
    )
    assert out.split() == [f"drawn/{name}-2.jpg" for name in names]
    drawn = np.asarray(Image.open(tmp_path / "drawn" / "faces.jpg")).astype(int)
    green = np.abs(drawn - (0, 158, 115)).max(2) < 60
    assert green.sum() > 1000
    assert {path: path.read_bytes() for path in album.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("none.jpg", "none.jpg: no such file or folder"),
        (". --format xml", "unknown format 'xml': choose from: csv, films, json, pictures"),
        (". --detector mtcn", "unknown detector 'mtcn': did you mean mtcnn?"),
        (". --model tinny", "unknown weight file 'tinny': did you mean tiny?"),
        (". --views tne", "unknown kind of test views 'tne': did you mean ten"),
        (". --every 0", "--every 0: must be 1 or more"),
        (".", ".: no pictures or videos in this folder"),
    ],
)
def test_a_mistake_is_named_in_one_line_and_nothing_written(fer, tmp_path, arguments, words):
    status, out, err = fer(*arguments.split(), "--output", "result")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"fer: {words}")
    assert not list(tmp_path.iterdir())


def test_without_a_weight_file_the_command_that_makes_one_is_named(fer, album, monkeypatch, tmp_path):
    monkeypatch.setenv("FER_RESULTS", str(tmp_path))
    status, _, err = fer("album")
    assert status == 2
    assert err == "fer: no weight file in results/checkpoints; make one from a trained run with: fer checkpoint RUN\n"


def test_a_film_comes_back_as_a_film(fer, album, tmp_path):
    status, out, _ = fer("album/film.avi", "--format", "films", "--views", "one")
    assert (status, out) == (0, "drawn/film.mp4\n")
    frames = list(read_frames(tmp_path / "drawn/film.mp4"))
    assert [frame.seconds for frame in frames] == [0, 0.5, 1, 1.5]
    plain = list(read_frames(album / "film.avi"))
    assert np.abs(frames[0].picture.astype(int) - plain[0].picture).max() > 100  # boxes and words
    assert fer("album/film.avi", "--format", "films", "--views", "one")[1] == "drawn/film-2.mp4\n"


def test_a_film_that_is_cut_off_is_no_success(fer, album, tmp_path):
    whole = (album / "film.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    status, out, err = fer("cut.avi")
    assert status == 1
    assert 0 < len(out.splitlines()) < 4
    assert "cut.avi: " in err
    assert err.count("\n") == 1


def test_faces_already_cut_out_are_told_of_the_way_to_read_them(fer, tmp_path):
    (tmp_path / "crops").mkdir()
    for number in range(3):
        Image.new("L", (48, 48), 80).save(tmp_path / "crops" / f"{number}.png")
    status, _, err = fer("crops", "--detector", "haar")
    assert status == 0
    assert err == (
        "fer: no face found in 3 of 3 small pictures; if they are faces already cut out, read them with"
        " --detector none\n"
    )
    assert fer("crops", "--detector", "none")[2] == ""


def test_a_name_that_is_no_utf8_keeps_the_table_readable(fer, tmp_path):
    os.mkdir(b"old")
    Image.new("L", (300, 300), 80).save(tmp_path / "a.png")
    shutil.copy(b"a.png", b"old/caf\xe9.png")
    shutil.copy(b"a.png", b"old/b.png")
    status, _, _ = fer("old", "--detector", "none", "--format", "csv", "--output", "o.csv")
    rows = list(csv.DictReader((tmp_path / "o.csv").read_text(encoding="utf-8").splitlines()))
    assert status == 0
    assert [row["file"] for row in rows] == ["old/b.png", "old/caf\\xe9.png"]


def test_what_is_passed_over_is_said_and_no_failure(fer, album):
    (album / "broken.jpg").unlink()
    (album / "notes.txt").write_text("none")
    status, _, err = fer("album", "--detector", "none", "--views", "one")
    assert (status, err) == (0, "fer: album: passed over 1 that is no pictures or videos: notes.txt\n")


def test_of_several_pictures_in_a_file_the_first_is_read_and_that_is_said(fer, album, tmp_path):
    first, *others = (Image.fromarray(np.roll(example_picture(), 40 * turn, 1)) for turn in range(3))
    for name in ("moving.gif", "moving.webp", "pages.tif"):
        first.save(tmp_path / name, save_all=True, append_images=others)
    first.save(tmp_path / "still.gif")
    first.save(tmp_path / "depth.jpg", format="MPO", save_all=True, append_images=others)  # one photo, of two lenses
    names = ("depth.jpg", "moving.gif", "moving.webp", "pages.tif", "still.gif")
    status, out, err = fer(*names, "--detector", "none", "--views", "one")
    assert status == 0
    assert [json.loads(line)["file"] for line in out.splitlines()] == list(names)
    assert err == "".join(
        f"fer: {name}: holds several pictures and the first is read; a video, such as an .mp4, is read whole\n"
        for name in ("moving.gif", "moving.webp", "pages.tif")
    )
