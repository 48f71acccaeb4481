"""The classical pipelines the papers name: hand-made features, optionally PCA, then SVM or kNN.

Names are ``FEATURE[_pca]_CLASSIFIER`` with features lbp, hog and gabor and classifiers svm and knn; besides them
``pixels_nn``, which knows nothing of faces. The papers give no settings; those here are usual ones, each said where
it stands. Everything is deterministic: no seed enters. scikit-image and scikit-learn are imported where they are
needed, since training nets does without.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fer_lib.errors import UserError, check_count
from fer_lib.extras import from_extra

CELL = 8
PATTERNS = 59  # uniform ones of 8 neighbours, all others counting as one
GABOR_FREQUENCIES = (0.1, 0.2, 0.35)  # cycles per pixel
GABOR_ANGLES = 4
LEAST_PROBABILITY = 1e-6


class ClassicalModel(nn.Module):
    """A fitted pipeline behind the interface of the nets; it has no weights and no gradient.

    Call :meth:`fit` once, then the model itself. ``state_dict`` holds nothing: fit again instead of loading.

    The softmax of its logits are probabilities: of the SVM, its decision values divided by one temperature (Guo
    et al., ICML 2017), which is fitted on the values that each half of the pictures gets from an SVM of the other
    half, and which leaves the predicted class as it is; of kNN, the shares of the neighbours' votes, of nn all or
    nothing.

    Attributes:
        num_classes: length of the logits.
        in_channels: always 1.
        input_size: always ``None``; pictures must be of the size it was fitted on.

    Args:
        feature: ``"lbp"``, ``"hog"``, ``"gabor"`` or ``"pixels"``.
        classifier: ``"svm"`` (linear, one against the rest, squared hinge, C = 0.001), ``"knn"`` (5 neighbours,
            Euclidean), both on standardised features, or ``"nn"`` (the nearest neighbour, of features as they are).
        components: of the PCA between the two, ``None`` for no PCA.
        num_classes: length of the logits.
        dual: solve the dual problem of the SVM: the same classifier within the solver's tolerance, several times
            sooner where the pictures are fewer than the features.
    """

    in_channels = 1
    input_size = None

    def __init__(self, feature: str, classifier: str, components: int | None, num_classes: int, dual: bool = False):
        super().__init__()
        check_count("num_classes", num_classes, at_least=2)
        self.feature, self.classifier, self.components = feature, classifier, components
        self.num_classes = num_classes
        self.dual = dual
        self.pipeline = None

    def fit(self, images: Tensor, labels: Sequence[int] | np.ndarray | Tensor) -> "ClassicalModel":
        """Fit the pipeline to pictures.

        Args:
            images: float or uint8 [N, 1, H, W], of any range that all pictures share.
            labels: int [N].

        Returns:
            The model itself.

        Raises:
            UserError: as :meth:`fit_features`, or ``images`` is not [N, 1, H, W].
        """
        return self.fit_features(self.describe(images), labels)

    def fit_features(self, features: np.ndarray, labels: Sequence[int] | np.ndarray | Tensor) -> "ClassicalModel":
        """Fit the pipeline to what :meth:`describe` gave, float32 [N, D], and labels, int [N].

        Raises:
            UserError: ``labels`` does not fit the features or the classes, or holds a class only once, or one only.
        """
        with from_extra("study"):
            from sklearn.decomposition import PCA
            from sklearn.neighbors import KNeighborsClassifier
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import StandardScaler

        labels = self._check_labels(labels, len(features))
        steps = [] if self.classifier == "nn" else [StandardScaler()]
        if self.components is not None:
            steps.append(PCA(min(self.components, *features.shape), random_state=0))
        if self.classifier == "svm":
            steps.append(_calibrated_svm(self.dual))
        else:
            steps.append(KNeighborsClassifier(1 if self.classifier == "nn" else min(5, len(labels))))
        self.pipeline = make_pipeline(*steps).fit(features, labels)
        return self

    def _check_labels(self, labels: Sequence[int] | np.ndarray | Tensor, count: int) -> np.ndarray:
        labels = np.asarray(labels)
        if labels.shape != (count,):
            raise UserError(f"labels must be [{count}], one for each picture: its shape is {list(labels.shape)}")
        known, counts = np.unique(labels, return_counts=True)
        if known[0] < 0 or known[-1] >= self.num_classes:
            raise UserError(
                f"labels must lie in [0, {self.num_classes - 1}]: they range from {known[0]} to {known[-1]}"
            )
        if len(known) < 2 or counts.min() < 2:
            raise UserError(f"labels must hold two classes or more, each twice or more: got {counts.tolist()}")
        return labels

    def forward(self, x: Tensor) -> Tensor:
        """Logits of pictures [B, 1, H, W]: logarithms of :meth:`probabilities`, float32 [B, num_classes].

        Raises:
            UserError: the model has not been fitted, or ``x`` is not [B, 1, H, W].
        """
        shares = self.probabilities(self.describe(x))
        return torch.from_numpy(np.log(shares)).to(x.device)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Probabilities float32 [N, num_classes] of what :meth:`describe` gave; none is below 1e-6.

        Raises:
            UserError: the model has not been fitted.
        """
        if self.pipeline is None:
            raise UserError("a classical model must be fitted before it is called: model.fit(images, labels)")
        shares = np.zeros((len(features), self.num_classes), np.float32)
        shares[:, self.pipeline.classes_] = self.pipeline.predict_proba(features)
        return shares.clip(LEAST_PROBABILITY)

    def describe(self, images: Tensor) -> np.ndarray:
        """Features of pictures [N, 1, H, W], float32 [N, D].

        Raises:
            UserError: ``images`` is not [N, 1, H, W].
        """
        if images.dim() != 4 or images.shape[1] != 1:
            raise UserError(f"x must be [B, 1, H, W]: its shape is {list(images.shape)}")
        extract = {"lbp": _lbp, "hog": _hog, "gabor": _gabor, "pixels": _pixels}[self.feature]
        return extract(images[:, 0].detach().cpu().float().numpy()).astype(np.float32)


def build_classical(
    name: str, num_classes: int = 7, in_channels: int = 1, components: int = 150, dual: bool = False
) -> ClassicalModel:
    """Build the pipeline a name spells.

    Args:
        name: of :data:`fer_lib.nets.PIPELINES`.
        num_classes: length of the logits.
        in_channels: must be 1.
        components: of the PCA, where the name has one.
        dual: of the SVM, where the name has one, see :class:`ClassicalModel`.

    Raises:
        UserError: ``in_channels`` is not 1.
    """
    if in_channels != 1:
        raise UserError(f"in_channels must be 1 for model {name!r}: got {in_channels}")
    feature, *middle, classifier = name.split("_")
    return ClassicalModel(feature, classifier, components if middle else None, num_classes, dual)


def _calibrated_svm(dual: bool) -> object:
    """A linear SVM. The solver of the primal draws no random number; that of the dual draws the same ones always."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import StratifiedKFold
    from sklearn.svm import LinearSVC

    # The tolerance is liblinear's own for the primal; scikit-learn's is a hundred times smaller and twice as slow.
    svm = LinearSVC(C=0.001, dual=dual, tol=0.01, random_state=0)
    # Halves in the pictures' order: frames of one film, which lie side by side, mostly stay together.
    return CalibratedClassifierCV(svm, method="temperature", cv=StratifiedKFold(2), ensemble=False)


def _cells(maps: np.ndarray) -> list[np.ndarray]:
    """Squares of about CELL pixels that cover maps [..., H, W]."""
    rows = np.array_split(maps, max(1, maps.shape[-2] // CELL), -2)
    return [cell for row in rows for cell in np.array_split(row, max(1, maps.shape[-1] // CELL), -1)]


def _pixels(images: np.ndarray) -> np.ndarray:
    """Every pixel as it is."""
    return images.reshape(len(images), -1)


def _lbp(images: np.ndarray) -> np.ndarray:
    """Histograms of uniform local binary patterns over cells (Ojala et al., 2002; Shan et al., 2009).

    8 neighbours at radius 1, whose 59 patterns are counted in each cell.
    """
    with from_extra("study"):
        from skimage.feature import local_binary_pattern

    codes = np.stack([local_binary_pattern(_to_uint8(image), 8, 1, "nri_uniform") for image in images]).astype(int)
    # Every picture counts in a range of its own, so that one call serves all.
    own_range = PATTERNS * np.arange(len(codes))[:, None]
    shares = []
    for cell in _cells(codes):
        flat = cell.reshape(len(codes), -1)
        counts = np.bincount((flat + own_range).ravel(), minlength=PATTERNS * len(codes))
        shares.append(counts.reshape(-1, PATTERNS) / flat.shape[1])
    return np.concatenate(shares, 1)


def _hog(images: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients: 9 angles, cells of 8 px, blocks of 2x2 (Dalal & Triggs, 2005)."""
    with from_extra("study"):
        from skimage.feature import hog

    return np.stack([hog(image, 9, (CELL, CELL), (2, 2)) for image in images])


def _gabor(images: np.ndarray) -> np.ndarray:
    """Mean and spread, over cells, of the magnitudes of Gabor filters: 3 frequencies, 4 angles.

    Magnitudes with a linear SVM are Bartlett et al.'s (CVPR Workshops 2003); they take 5 scales, 8 angles and
    every pixel, of which cells keep the size manageable.
    """
    with from_extra("study"):
        from skimage.filters import gabor_kernel

    kernels = [
        gabor_kernel(frequency, np.pi * angle / GABOR_ANGLES)
        for frequency in GABOR_FREQUENCIES
        for angle in range(GABOR_ANGLES)
    ]
    height, width = images.shape[1:]
    # Convolutions as products of spectra. Half a kernel of room keeps what wraps around out of the picture, and
    # multiples of 8 transform fast.
    room = max(max(kernel.shape) for kernel in kernels) // 2
    size = [-(-(side + room) // 8) * 8 for side in (height, width)]
    centred = torch.from_numpy(images - images.mean((1, 2), keepdims=True))
    spectra = [torch.fft.fft2(torch.from_numpy(kernel).to(torch.complex64), size) for kernel in kernels]
    batches = []
    for batch in centred.split(256):
        pictures = torch.fft.fft2(batch, size)
        features = []
        for kernel, spectrum in zip(kernels, spectra, strict=True):
            top, left = ((side - 1) // 2 for side in kernel.shape)
            filtered = torch.fft.ifft2(pictures * spectrum)[:, top : top + height, left : left + width]
            features += [f(cell, (1, 2)) for cell in _cells(filtered.abs().numpy()) for f in (np.mean, np.std)]
        batches.append(np.stack(features, 1))
    return np.concatenate(batches)


def _to_uint8(image: np.ndarray) -> np.ndarray:
    """Grey levels 0-255: rounding makes the patterns ignore differences that are numerical noise."""
    low, high = image.min(), image.max()
    return np.round((image - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
