"""The classical pipelines the papers name: hand-made features, optionally PCA, then SVM or kNN.

Names are ``FEATURE[_pca]_CLASSIFIER`` with features lbp, hog and gabor and classifiers svm and knn. The papers
give no settings; those here are the usual ones of scikit-image and scikit-learn, which are imported where they
are needed.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fer_lib.errors import UserError
from fer_lib.models.base import check_count

# name: rows of the papers it serves
CLASSICAL: dict[str, str] = {
    "lbp_svm": "li section 1; gu section 1",
    "lbp_knn": "li section 1; gu section 1",
    "lbp_pca_svm": "li section 1",
    "hog_svm": "li section 1; gu section 1",
    "hog_knn": "li section 1; gu section 1",
    "hog_pca_svm": "li section 1",
    "gabor_svm": "zhang Table III (GPS)",
    "gabor_pca_svm": "",
}
GABOR_FREQUENCIES = (0.1, 0.2, 0.35)
GABOR_ANGLES = 4
CELL = 8


class ClassicalModel(nn.Module):
    """A fitted pipeline behind the interface of the nets; it has no weights and no gradient.

    Call :meth:`fit` once, then the model itself. ``state_dict`` holds nothing: fit again instead of loading.

    Attributes:
        num_classes: length of the logits.
        in_channels: always 1.
        input_size: always ``None``; pictures must be those sizes it was fitted on.

    Args:
        feature: ``"lbp"``, ``"hog"`` or ``"gabor"``.
        classifier: ``"svm"`` (linear, one against the rest) or ``"knn"`` (5 neighbours).
        components: of the PCA between the two, ``None`` for no PCA.
        num_classes: length of the logits.
    """

    in_channels = 1
    input_size = None

    def __init__(self, feature: str, classifier: str, components: int | None, num_classes: int):
        super().__init__()
        check_count("num_classes", num_classes, at_least=2)
        self.feature, self.classifier, self.components = feature, classifier, components
        self.num_classes = num_classes
        self.pipeline = None

    def fit(self, images: Tensor, labels: Sequence[int] | np.ndarray | Tensor) -> "ClassicalModel":
        """Fit the pipeline.

        Args:
            images: float or uint8 [N, 1, H, W], of any range that all pictures share.
            labels: int [N].

        Returns:
            The model itself.
        """
        from sklearn.decomposition import PCA
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import LinearSVC

        features = self.describe(images)
        labels = np.asarray(labels)
        steps = [StandardScaler()]
        if self.components is not None:
            steps.append(PCA(min(self.components, *features.shape), random_state=0))
        if self.classifier == "svm":
            steps.append(LinearSVC(C=0.01, dual="auto", random_state=0))
        else:
            steps.append(KNeighborsClassifier(min(5, len(labels))))
        self.pipeline = make_pipeline(*steps).fit(features, labels)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Scores of pictures, float [B, num_classes]; a class absent from the fit scores lowest.

        Raises:
            UserError: the model has not been fitted, or ``x`` is not [B, 1, H, W].
        """
        if self.pipeline is None:
            raise UserError("a classical model must be fitted before it is called: model.fit(images, labels)")
        features = self.describe(x)
        if self.classifier == "svm":
            scores = self.pipeline.decision_function(features)
            if scores.ndim == 1:
                scores = np.stack((-scores, scores), 1)
        else:
            scores = np.log(self.pipeline.predict_proba(features) + 1e-6)
        logits = np.full((len(features), self.num_classes), scores.min() - 1.0)
        logits[:, self.pipeline.classes_] = scores
        return torch.from_numpy(logits).to(x.device, torch.float32)

    def describe(self, images: Tensor) -> np.ndarray:
        """Features of pictures [N, 1, H, W], float64 [N, D]."""
        if images.dim() != 4 or images.shape[1] != 1:
            raise UserError(f"x must be [B, 1, H, W]: its shape is {list(images.shape)}")
        extract = {"lbp": _lbp, "hog": _hog, "gabor": _gabor}[self.feature]
        return np.stack([extract(image) for image in images[:, 0].detach().cpu().float().numpy()])


def build_classical(name: str, num_classes: int = 7, in_channels: int = 1, components: int = 150) -> ClassicalModel:
    """Build the pipeline a name spells.

    Args:
        name: of :data:`CLASSICAL`.
        num_classes: length of the logits.
        in_channels: must be 1.
        components: of the PCA, where the name has one.

    Raises:
        UserError: ``in_channels`` is not 1.
    """
    if in_channels != 1:
        raise UserError(f"in_channels must be 1 for model {name!r}: got {in_channels}")
    check_count("components", components)
    feature, *middle, classifier = name.split("_")
    return ClassicalModel(feature, classifier, components if middle else None, num_classes)


def _cells(image: np.ndarray) -> list[np.ndarray]:
    """Squares of about CELL pixels that cover a map."""
    rows = np.array_split(image, max(1, image.shape[0] // CELL), 0)
    return [cell for row in rows for cell in np.array_split(row, max(1, image.shape[1] // CELL), 1)]


def _lbp(image: np.ndarray) -> np.ndarray:
    """Histograms of uniform local binary patterns (8 neighbours, radius 1) over cells (Ojala et al., 2002)."""
    from skimage.feature import local_binary_pattern

    codes = local_binary_pattern(_to_uint8(image), 8, 1, "nri_uniform")
    return np.concatenate([np.bincount(c.astype(int).ravel(), minlength=59) / c.size for c in _cells(codes)])


def _hog(image: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients: 9 angles, cells of 8 px, blocks of 2x2 (Dalal & Triggs, 2005)."""
    from skimage.feature import hog

    return hog(image, 9, (CELL, CELL), (2, 2))


def _gabor(image: np.ndarray) -> np.ndarray:
    """Mean and spread, over cells, of the magnitudes of Gabor filters: 3 frequencies, 4 angles."""
    from scipy.signal import fftconvolve
    from skimage.filters import gabor_kernel

    centred = image - image.mean()
    features = []
    for frequency in GABOR_FREQUENCIES:
        for angle in range(GABOR_ANGLES):
            kernel = gabor_kernel(frequency, np.pi * angle / GABOR_ANGLES)
            magnitude = np.abs(fftconvolve(centred, kernel, mode="same"))
            features += [f(cell) for cell in _cells(magnitude) for f in (np.mean, np.std)]
    return np.array(features)


def _to_uint8(image: np.ndarray) -> np.ndarray:
    """Grey levels 0-255: rounding makes the patterns ignore differences that are numerical noise."""
    low, high = image.min(), image.max()
    return np.round((image - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
