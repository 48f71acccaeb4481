"""Classical pipelines behind the interface of the nets."""

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve
from skimage.feature import local_binary_pattern
from skimage.filters import gabor_kernel
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from fer_lib.models import create_model, list_models

STRIPES = 4


def stripes(n, seed, noise=0.5):
    """Noisy stripes in four directions, [n, 1, 48, 48], with their direction."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, STRIPES, n)
    rows, columns = np.mgrid[:48, :48]
    angles = np.pi * labels / STRIPES
    waves = np.cos(angles)[:, None, None] * columns + np.sin(angles)[:, None, None] * rows
    pictures = np.sin(1.3 * waves + random.uniform(0, 6, n)[:, None, None]) + random.normal(0, noise, waves.shape)
    return torch.from_numpy(pictures).float().unsqueeze(1), labels


@pytest.mark.parametrize("name", list_models(classical=True))
def test_learns_directions(name):
    model = create_model(name, num_classes=STRIPES, **({"components": 20} if "_pca_" in name else {}))
    model.fit(*stripes(120, 0))
    images, labels = stripes(60, 1)
    logits = model(images)
    assert logits.shape == (60, STRIPES)
    assert logits.dtype == torch.float32
    assert (logits.argmax(1).numpy() == labels).mean() > 0.9


def test_scale_of_the_pictures_does_not_matter_to_lbp():
    model = create_model("lbp_svm")
    images, _ = stripes(3, 2)
    np.testing.assert_allclose(model.describe(images), model.describe(0.25 * images + 7))


def test_gabor_features_are_statistics_of_filtered_pictures():
    images, _ = stripes(3, 4)
    found = create_model("gabor_svm").describe(images[:, :, :40])  # a picture that is not square
    expected = []
    for image in images[:, 0, :40].numpy():
        row = []
        for frequency in (0.1, 0.2, 0.35):
            for angle in range(4):
                kernel = gabor_kernel(frequency, np.pi * angle / 4)
                magnitude = np.abs(fftconvolve(image - image.mean(), kernel, mode="same"))
                for top in range(0, 40, 8):
                    for left in range(0, 48, 8):
                        cell = magnitude[top : top + 8, left : left + 8]
                        row += [cell.mean(), cell.std()]
        expected.append(row)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_lbp_features_are_shares_of_patterns_in_every_cell():
    images, _ = stripes(3, 5)
    found = create_model("lbp_svm").describe(images).reshape(3, 36, 59)
    np.testing.assert_allclose(found.sum(2), 1, atol=1e-6)
    grey = images[1, 0].numpy()
    grey = np.round((grey - grey.min()) * 255 / (grey.max() - grey.min())).astype(np.uint8)
    codes = local_binary_pattern(grey, 8, 1, "nri_uniform")[8:16, 16:24]  # second row, third column
    counts = [(codes == pattern).sum() for pattern in range(59)]
    np.testing.assert_allclose(found[1, 8], np.array(counts) / 64, atol=1e-6)


def test_the_temperature_leaves_the_svms_answers():
    images, labels = stripes(120, 6, noise=4)
    model = create_model("hog_svm", num_classes=STRIPES).fit(images, labels)
    features = model.describe(images)
    scaler = StandardScaler().fit(features)
    svm = LinearSVC(C=0.001, dual=False, tol=0.01).fit(scaler.transform(features), labels)
    unseen, _ = stripes(60, 7, noise=4)
    expected = svm.decision_function(scaler.transform(model.describe(unseen)))
    logits = model(unseen).numpy()
    np.testing.assert_array_equal(logits.argmax(1), expected.argmax(1))
    # Differences of logits are the decision values' times one number.
    ratio = np.diff(logits, axis=1) / np.diff(expected, axis=1)
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-3)


def test_probabilities_do_not_boast():
    """Labels that nothing can predict leave every class about as likely as the others, however well they are learnt."""
    images, _ = stripes(200, 8)
    labels = np.random.default_rng(0).integers(0, STRIPES, 200)
    model = create_model("hog_svm", num_classes=STRIPES).fit(images, labels)
    assert (model(images).argmax(1).numpy() == labels).mean() > 0.8
    probabilities = model(stripes(100, 9)[0]).softmax(1)
    assert probabilities.max(1).values.mean() < 0.4
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)


def test_knn_gives_shares_of_five_votes():
    images, labels = stripes(80, 10)
    model = create_model("lbp_knn", num_classes=STRIPES).fit(images, labels)
    shares = model(stripes(20, 11)[0]).softmax(1).numpy() * 5
    np.testing.assert_allclose(shares, shares.round(), atol=1e-3)


def test_the_nearest_neighbour_is_the_nearest_in_raw_pixels():
    images, labels = stripes(80, 0)
    others = stripes(40, 1)[0]
    model = create_model("pixels_nn", num_classes=STRIPES).fit(images, labels)
    far = ((others.double().flatten(1)[:, None] - images.double().flatten(1)) ** 2).sum(2)
    assert model(others).argmax(1).tolist() == labels[far.argmin(1).numpy()].tolist()
    sure = model.probabilities(model.describe(others)).max(1)
    assert (sure == 1).all()


@pytest.mark.parametrize("name", ["hog_svm", "lbp_svm"])
def test_the_dual_gives_the_same_classifier(name):
    images, labels = stripes(100, 0, noise=2.0)
    others = stripes(100, 1, noise=2.0)[0]
    shares = [create_model(name, num_classes=STRIPES, dual=dual).fit(images, labels)(others) for dual in (False, True)]
    assert (shares[0].argmax(1) == shares[1].argmax(1)).float().mean() >= 0.98
    assert (shares[0].exp() - shares[1].exp()).abs().max() < 0.03


def test_absent_classes_score_lowest():
    model = create_model("hog_svm", num_classes=7)
    images, labels = stripes(40, 3)
    logits = model.fit(images[labels < 2], labels[labels < 2])(images)
    assert set(logits.argmax(1).tolist()) <= {0, 1}
    assert logits.isfinite().all()


def test_wrong_use_is_named():
    model = create_model("lbp_knn")
    with pytest.raises(ValueError, match="must be fitted"):
        model(torch.zeros(1, 1, 48, 48))
    with pytest.raises(ValueError, match=r"x must be \[B, 1, H, W\]"):
        model.fit(torch.zeros(2, 3, 48, 48), [0, 1])
    pictures = torch.rand(3, 1, 48, 48)
    for labels, message in (
        ([0, 1], r"labels must be \[3\], one for each picture: its shape is \[2\]"),
        ([0, 0, 7], r"labels must lie in \[0, 6\]: they range from 0 to 7"),
        ([0, 0, 1], r"labels must hold two classes or more, each twice or more: got \[2, 1\]"),
        ([2, 2, 2], r"two classes or more"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(pictures, labels)
    with pytest.raises(ValueError, match="in_channels must be 1"):
        create_model("lbp_knn", in_channels=3)
    with pytest.raises(ValueError, match="model hog_svm: unknown key"):
        create_model("hog_svm", width=16)
