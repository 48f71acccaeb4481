"""What the way through a camera picture costs: the measure on made-up cases, and the measurement on FER2013."""

import numpy as np
import pytest
from tiny import tiny_dataset

from fer_lib.checkpoints import best_checkpoint
from fer_lib.data import load_dataset
from fer_lib.demo.faces import create_detector
from fer_lib.demo.pipeline import measure_loss, paste
from fer_lib.predict import Face, Predictor


class Oracle:
    """A detector that knows where the pictures were pasted, as long as they are asked for in order."""

    def __init__(self, images, off=0.0, seed=0):
        rng = np.random.default_rng(seed)
        self.places = iter([paste(image, rng)[1] for image in images])
        self.off = off

    def __call__(self, frame):
        left, top, side = next(self.places)
        square = (left + self.off * side, top, side)
        return [Face((*square, side), square)]


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


class Nearest:
    """Stands for a predictor: gives a picture the label of the most similar one that it knows, wrong in a tenth."""

    def __init__(self, dataset):
        self.known = dataset.images.reshape(len(dataset), -1).astype(float)
        self.answers = np.where(np.arange(len(dataset)) % 10 == 0, (dataset.labels + 1) % 7, dataset.labels)

    def probabilities(self, pictures):
        given = pictures.reshape(len(pictures), 1, -1).astype(float)
        return np.eye(7)[self.answers[((given - self.known) ** 2).mean(2).argmin(1)]]


@pytest.fixture(scope="module")
def predictor(dataset):
    return Nearest(dataset)


def test_a_perfect_detector_loses_next_to_nothing(predictor, dataset):
    loss = measure_loss(dataset.images, dataset.labels, predictor, Oracle(dataset.images))
    assert (loss.pictures, loss.found) == (112, 1)
    assert loss.agreement > 0.98
    assert loss.direct == loss.direct_found == pytest.approx(1 - 12 / 112)
    assert loss.through == loss.through_all
    assert abs(loss.direct - loss.through) <= 1 - loss.agreement


def test_a_detector_that_is_off_loses_more_and_one_far_off_finds_nothing(predictor, dataset):
    exact = measure_loss(dataset.images, dataset.labels, predictor, Oracle(dataset.images))
    off = measure_loss(dataset.images, dataset.labels, predictor, Oracle(dataset.images, off=0.2))
    assert off.agreement < exact.agreement
    lost = measure_loss(dataset.images, dataset.labels, predictor, Oracle(dataset.images, off=0.3))
    assert (lost.found, lost.agreement, lost.through_all) == (0, 0, 0)
    assert lost.direct == exact.direct


def test_a_miss_counts_as_wrong(predictor, dataset):
    oracle = Oracle(dataset.images)
    seen = iter(range(len(dataset.images)))
    half = measure_loss(
        dataset.images, dataset.labels, predictor, lambda frame: oracle(frame) if next(seen) % 2 else oracle(frame)[1:]
    )
    assert half.found == 0.5
    assert half.through_all == pytest.approx(half.through / 2)


def test_pasting_keeps_the_picture_whole(dataset):
    rng = np.random.default_rng(3)
    for image in dataset.images[:50]:
        frame, (left, top, side) = paste(image, rng)
        assert frame.shape == (480, 640, 3)
        assert 0 <= left <= 640 - side
        assert 0 <= top <= 480 - side
        small = frame[top : top + side : side // 24, left : left + side : side // 24, 0]
        assert np.corrcoef(small[:24, :24].ravel(), image[::2, ::2].ravel())[0, 1] > 0.5


@pytest.fixture(scope="module")
def real_loss(fer_data):
    """The loss of the shipped net on 500 PrivateTest pictures with the default detector."""
    checkpoint = best_checkpoint()
    if checkpoint is None or checkpoint.data["name"] != "fer2013":
        pytest.skip("no weight file trained on FER2013 is shipped yet: fer checkpoint RUN makes one")
    dataset = load_dataset("fer2013")
    chosen = dataset.subset(dataset.indices("test")[:500])
    loss = measure_loss(chosen.images, chosen.labels, Predictor(checkpoint), create_detector())
    assert loss.found * loss.pictures >= 200, "too few faces found to say anything"
    return loss


@pytest.mark.data
@pytest.mark.heavy
def test_nine_pasted_pictures_in_ten_keep_their_class(real_loss):
    """Measured: 91.2 % of 441 found; of 3,201 found on PublicTest, on which the views were chosen, 90.5 %."""
    assert real_loss.agreement >= 0.9, real_loss


@pytest.mark.data
@pytest.mark.heavy
def test_the_loss_through_the_whole_pipeline(real_loss, record_property, capsys):
    record_property("loss", str(real_loss))
    with capsys.disabled():
        print(f"\n{real_loss}")
    assert real_loss.direct_found - real_loss.through <= 0.04, real_loss


@pytest.mark.data
@pytest.mark.heavy
def test_squares_lie_where_the_publisher_s_do(fer_data):
    """On PublicTest, which fitted nothing; in pixels of 48, and the side as a logarithm."""
    dataset, detector, rng = load_dataset("fer2013"), create_detector(), np.random.default_rng(0)
    off = []
    for image in dataset.images[dataset.indices("val")[:150]]:
        frame, (left, top, side) = paste(image, rng)
        for face in detector(frame)[:1]:
            x, y, found = face.square
            move = np.array([x + found / 2 - left - side / 2, y + found / 2 - top - side / 2]) * 48 / side
            off.append([*move, np.log(found / side)])
    assert len(off) > 120
    assert np.abs(np.median(off, 0)).max() < 0.5
    assert abs(np.median(off, 0)[2]) < 0.03
    assert (np.median(np.abs(off), 0) < (1.4, 1.4, 0.1)).all(), np.median(np.abs(off), 0)
