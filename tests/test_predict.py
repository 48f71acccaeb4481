"""Faces are cut as training pictures are made, and classified the same one by one and by the hundred."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_dataset

from fer_lib.augment import test_views as views_of
from fer_lib.checkpoints import load_net, read_checkpoint
from fer_lib.data.pictures import read_picture
from fer_lib.errors import UserError
from fer_lib.frames import Frame
from fer_lib.predict import Face, Predictor, cut_faces, read_faces


@pytest.fixture(scope="module")
def predictor(weight_files):
    return Predictor(read_checkpoint("tiny", weight_files), "cpu")


@pytest.fixture(scope="module")
def pictures():
    return tiny_dataset().images[:50]


def face(left, top, side):
    return Face((left, top, side, side), (left, top, side))


def test_a_whole_picture_is_cut_as_the_datasets_are_read(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (130, 130, 3)).astype(np.uint8)
    Image.fromarray(colour).save(tmp_path / "x.png")
    assert (cut_faces(colour, [face(0, 0, 130)])[0] == read_picture(tmp_path / "x.png", 48)).all()


def test_a_picture_of_the_data_comes_back_unchanged(pictures):
    frame = np.zeros((100, 120, 3), np.uint8)
    frame[20:68, 30:78] = pictures[0][..., None]
    assert (cut_faces(frame, [face(30, 20, 48)])[0] == pictures[0]).all()
    assert cut_faces(frame, []).shape == (0, 48, 48)


def test_outside_the_picture_its_rim_is_repeated():
    ramp = np.repeat(4 * np.arange(60, dtype=np.uint8)[None, :, None], 60, 0).repeat(3, 2)
    for picture, far in ((ramp, [(-200, 5), (100, 5)]), (ramp.swapaxes(0, 1), [(5, -200), (5, 100)])):
        before, after, partly = cut_faces(picture, [face(*place, 48) for place in [*far, (-10.5, -10.5)]])
        assert (before == 0).all()
        assert (after == 236).all()
        assert np.corrcoef(partly.mean(0) + partly.mean(1), np.arange(48))[0, 1] > 0.9


def test_fractions_of_pixels_count():
    """A ramp of one grey level a pixel moves by half a level with half a pixel."""
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 96, 0).repeat(3, 2)
    whole, half = cut_faces(ramp, [face(10, 0, 96), face(11, 0, 96)]).astype(float)
    assert np.allclose((half - whole)[:, 2:-2], 1, atol=1)
    assert 0.8 < (half - whole)[:, 2:-2].mean() < 1.2


@pytest.mark.parametrize("kind", ["flip", "jitter"])
def test_probabilities_are_the_mean_over_the_views(predictor, pictures, kind):
    """Against the two lines that define them."""
    net = load_net(predictor.checkpoint)
    with torch.inference_mode():
        seen = [net(view).softmax(1) for view in views_of(torch.from_numpy(pictures), kind, 24)]
    found = predictor.probabilities(pictures, kind)
    assert (found.shape, found.dtype) == ((50, 7), np.float32)
    np.testing.assert_allclose(found, torch.stack(seen).mean(0), atol=0.02)  # bfloat16 where the CPU has it
    assert predictor.probabilities(pictures[:0], kind).shape == (0, 7)


def test_a_face_is_looked_at_in_many_ways_unless_said_otherwise(predictor, pictures):
    found = predictor.probabilities(pictures)
    assert (found == predictor.probabilities(pictures, "jitter")).all()
    assert np.abs(found - predictor.probabilities(pictures, "flip")).max() > 1e-3


def test_one_by_one_and_all_at_once_agree(predictor, pictures):
    single = np.concatenate([predictor.probabilities(picture[None]) for picture in pictures])
    np.testing.assert_allclose(predictor.probabilities(pictures), single, atol=0.02)


def test_the_net_is_shown_batches(weight_files, pictures):
    """600 faces with two views each: five batches of 256 views at most, not 1,200 single pictures."""
    predictor = Predictor(read_checkpoint("tiny", weight_files), "cpu")
    shown = []
    predictor.net.register_forward_pre_hook(lambda net, inputs: shown.append(len(inputs[0])))
    predictor.probabilities(np.concatenate([pictures] * 12), "flip")
    assert shown == [256] * 4 + [176]


def test_every_frame_keeps_its_own_faces(predictor, pictures):
    """100 frames with 0, 1 or 2 faces: more than are classified together."""
    frames = [Frame(Path(f"{n}.png"), None, None, np.full((60, 60, 3), n, np.uint8)) for n in range(100)]
    answers = read_faces(frames, lambda picture: [face(0, 0, 60)] * (int(picture[0, 0, 0]) % 3), predictor)
    for n, (frame, readings) in enumerate(answers):
        assert frame is frames[n]
        assert len(readings) == n % 3
        if readings:
            expected = predictor.probabilities(np.full((1, 48, 48), n, np.uint8))[0]
            np.testing.assert_allclose(list(readings[-1].probabilities.values()), expected, atol=0.02)
            assert readings[-1].label == max(readings[-1].probabilities, key=readings[-1].probabilities.get)


def test_a_long_film_is_never_held_whole(predictor):
    asked = []
    frames = (asked.append(n) or Frame(Path("film"), n, n / 25, np.zeros((48, 48, 3), np.uint8)) for n in range(300))
    next(read_faces(frames, lambda picture: [], predictor))
    assert len(asked) < 100


def test_heat_lies_within_the_view_the_net_is_shown(predictor, pictures):
    maps = predictor.heat_maps(pictures[:5])
    assert maps.shape == (5, 48, 48)
    assert 0 <= maps.min() <= maps.max() <= 1
    outside = np.ones((48, 48), bool)
    outside[12:36, 12:36] = False
    assert not maps[:, outside].any()
    assert maps[:, 12:36, 12:36].any()


# ---------------------------------------------------------------- faces in any form


def test_a_face_of_any_size_is_read_whole(predictor, pictures):
    """Of a picture twice as large, the middle 48 pixels are another picture."""
    twice = np.asarray(Image.fromarray(pictures[0]).resize((96, 96), Image.Resampling.BICUBIC))
    large = predictor.probabilities(twice[None])
    again = np.asarray(Image.fromarray(twice).resize((48, 48), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(large, predictor.probabilities(again[None]))
    middle = predictor.probabilities(np.ascontiguousarray(twice[24:72, 24:72])[None])
    assert np.abs(middle - large).max() > 1e-4


def test_one_answer_whatever_a_face_comes_as(predictor, pictures, tmp_path):
    face = pictures[3]
    Image.fromarray(face).save(tmp_path / "face.png")
    colour = np.repeat(face[..., None], 3, 2)
    (wanted,) = predictor(face)
    assert wanted.label == predictor.classes[predictor.probabilities(face[None]).argmax()]
    for form in (
        tmp_path / "face.png", str(tmp_path / "face.png"), Image.fromarray(colour), colour, colour[None], colour / 255,
        torch.from_numpy(face), torch.from_numpy(face)[None], torch.from_numpy(colour).permute(2, 0, 1)[None],
    ):  # fmt: skip
        (found,) = predictor(form)
        assert found.probabilities == wanted.probabilities
    readings = predictor([face, Image.fromarray(pictures[4]), tmp_path / "face.png"])
    assert [reading.label for reading in readings][::2] == [wanted.label] * 2
    assert [r.label for r in predictor(pictures[:5])] == [r.label for r in predictor(torch.from_numpy(pictures[:5]))]
    assert predictor.heat_maps(colour).shape == (1, 48, 48)
    assert predictor([]) == []


def test_what_is_no_face_is_named(predictor, pictures):
    with pytest.raises(UserError, match="picture 1: None instead of a picture"):
        predictor([pictures[0], None])
