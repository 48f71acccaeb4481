"""Classical pipelines behind the interface of the nets."""

import numpy as np
import pytest
import torch

from fer_lib.models import create_model, list_models

STRIPES = 4


def stripes(n, seed):
    """Noisy stripes in four directions, [n, 1, 48, 48], with their direction."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, STRIPES, n)
    rows, columns = np.mgrid[:48, :48]
    angles = np.pi * labels / STRIPES
    waves = np.cos(angles)[:, None, None] * columns + np.sin(angles)[:, None, None] * rows
    pictures = np.sin(1.3 * waves + random.uniform(0, 6, n)[:, None, None]) + random.normal(0, 0.5, waves.shape)
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
    with pytest.raises(ValueError, match="in_channels must be 1"):
        create_model("lbp_knn", in_channels=3)
    with pytest.raises(ValueError, match="option of model 'hog_svm'"):
        create_model("hog_svm", width=16)
