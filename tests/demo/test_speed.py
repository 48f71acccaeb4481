"""Eight live pictures a second on a CPU of two cores, and batches that are worth it."""

import io
import statistics
import time

import numpy as np
import pytest
from PIL import Image

from fer_lib.checkpoints import best_checkpoint
from fer_lib.demo.example import example_picture
from fer_lib.demo.faces import create_detector
from fer_lib.demo.service import LIVE_VIEWS, Service

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def service(weight_files, tmp_path_factory):
    """With the shipped net where there is one."""
    shipped = best_checkpoint()
    made = Service(create_detector(), tmp_path_factory.mktemp("photos"), None if shipped else weight_files)
    made.choose_model(shipped.name if shipped else "tiny")
    return made


def test_eight_live_pictures_a_second(service, capsys):
    jpeg, picture = io.BytesIO(), np.full((480, 640, 3), 200, np.uint8)
    picture[:, 200:430] = example_picture()[:, :230]  # one face
    Image.fromarray(picture).save(jpeg, "JPEG", quality=80)
    rounds = []
    for _ in range(4):
        spent = {"decode": [], "detector": [], "net": [], "all": []}
        for _ in range(15):
            started = time.perf_counter()
            answer, _ = service.answer({"type": "frame", "id": 0}, jpeg.getvalue())
            spent["all"].append(1000 * (time.perf_counter() - started))
            assert len(answer["faces"]) == 1
            for part, milliseconds in answer["ms"].items():
                spent[part].append(milliseconds)
        rounds.append({part: round(statistics.median(times), 1) for part, times in spent.items()})
    with capsys.disabled():
        print(f"\nms a live picture, four medians of 15: {rounds}")
    assert min(one["all"] for one in rounds) <= 125


def test_a_thousand_cut_out_faces_at_once(service, capsys):
    """With one view a picture: the ten views of some recipes are a batch by themselves."""
    many = np.random.default_rng(0).integers(0, 256, (1000, 48, 48)).astype(np.uint8)
    predictor = service.predictor
    predictor.probabilities(many[:64], LIVE_VIEWS)
    ratios = []
    for _ in range(3):
        started = time.perf_counter()
        predictor.probabilities(many, LIVE_VIEWS)
        whole = time.perf_counter() - started
        started = time.perf_counter()
        for picture in many[:100]:
            predictor.probabilities(picture[None], LIVE_VIEWS)
        ratios.append(round(10 * (time.perf_counter() - started) / whole, 1))
    with capsys.disabled():
        print(f"\n1,000 faces one by one take {ratios} times as long as at once")
    assert max(ratios) >= 5
