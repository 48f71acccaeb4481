"""The losses of the four papers, each called as ``loss(logits, targets, features)``.

Logits are float [B, C]; targets are int64 [B] or, after mixing pictures, float [B, C] of rows that sum to 1;
features are float [B, D] and read only by the losses with centers. All arithmetic is in float32 at least, and in
logarithms, so that logits of up to 1e38 give finite values and gradients.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from msgspec import structs
from torch import Tensor, nn
from torch.nn import functional as F

from fer_lib import parts
from fer_lib.errors import UserError, check_count, check_known
from fer_lib.plugins import default_name, look_up, options_of, register
from fer_lib.schema import check_named

REDUCTIONS = ("mean", "sum", "none")


class Loss(nn.Module):
    """Common ground: checks, and centers that need no moving.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int):
        super().__init__()
        check_count("num_classes", num_classes, at_least=2)
        self.num_classes = num_classes

    def update_centers(self, features: Tensor, targets: Tensor) -> None:
        """Move the centers as published; call it after each optimiser step. Without centers, nothing."""

    def _check(self, logits: Tensor, targets: Tensor) -> None:
        if logits.dim() != 2 or logits.shape[1] != self.num_classes:
            raise UserError(f"logits must be [B, {self.num_classes}]: got {list(logits.shape)}")
        self._check_targets(targets, len(logits))

    def _check_targets(self, targets: Tensor, batch: int) -> None:
        soft = targets.is_floating_point()
        expected = [batch, self.num_classes] if soft else [batch]
        if list(targets.shape) != expected:
            kind = "float" if soft else "int64"
            raise UserError(f"{kind} targets must be {expected}: got {list(targets.shape)}")
        # Reading values on an accelerator would stall it, and cannot be compiled.
        if soft or targets.device.type != "cpu" or torch.compiler.is_compiling():
            return
        if batch and not 0 <= int(targets.min()) <= int(targets.max()) < self.num_classes:
            raise UserError(
                f"targets must lie in 0..{self.num_classes - 1}: got {int(targets.min())}..{int(targets.max())}"
            )


class CrossEntropy(Loss):
    """Softmax cross-entropy.

    Args:
        num_classes: C.
        label_smoothing: e; the target of every class becomes (1 - e) t + e / C.
        class_weights: C factors, one a class; the mean is then a weighted one, as in torch.
        reduction: ``"mean"`` over the pictures, ``"sum"``, or ``"none"``, float [B].
    """

    class_weights: Tensor | None

    def __init__(
        self,
        num_classes: int,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        reduction: str = "mean",
    ):
        super().__init__(num_classes)
        check_known("reduction", reduction, REDUCTIONS)
        self.label_smoothing, self.reduction = label_smoothing, reduction
        self.register_buffer("class_weights", _class_weights(class_weights, num_classes))

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:
        self._check(logits, targets)
        logits = _full(logits)
        if targets.is_floating_point():
            targets = targets.to(logits.dtype)
        weights = None if self.class_weights is None else self.class_weights.to(logits.dtype)
        return F.cross_entropy(logits, targets, weights, reduction=self.reduction, label_smoothing=self.label_smoothing)


class Focal(Loss):
    """Focal loss on softmax probabilities: -alpha (1 - p_t)^gamma ln p_t (Lin et al., ICCV 2017).

    Args:
        num_classes: C.
        alpha: factor of the whole.
        gamma: how much well-classified pictures are played down; 0 gives alpha times the cross-entropy.
        reduction: ``"mean"`` over the pictures, ``"sum"``, or ``"none"``, float [B].
        label_smoothing: as for :class:`CrossEntropy`.
        class_weights: C factors of the classes' terms; the mean stays over the pictures.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        num_classes: int,
        alpha: float = 0.25,
        gamma: float = 2.0,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
    ):
        super().__init__(num_classes)
        check_known("reduction", reduction, REDUCTIONS)
        self.alpha, self.gamma, self.reduction, self.label_smoothing = alpha, gamma, reduction, label_smoothing
        self.register_buffer("class_weights", _class_weights(class_weights, num_classes))

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:
        self._check(logits, targets)
        logits = _full(logits)
        soft = _soft(targets, self.num_classes, logits.dtype)
        soft = (1 - self.label_smoothing) * soft + self.label_smoothing / self.num_classes
        terms = self._terms(soft, *_log_probabilities(logits))
        if self.class_weights is not None:
            terms = terms * self.class_weights.to(terms.dtype)
        if self.reduction == "none":
            return -terms.sum(1)
        total = -terms.sum()
        return total / len(logits) if self.reduction == "mean" else total

    def _terms(self, soft: Tensor, log_p: Tensor, log_rest: Tensor) -> Tensor:
        return self.alpha * (self.gamma * log_rest).exp() * soft * log_p


class FocalLi(Focal):
    """li's focal loss (eq. 4), which counts the wrong classes too.

    -sum_n sum_i [alpha (1-p)^gamma y ln p + (1-alpha) p^gamma (1-y) ln(1-p)] with p the softmax probability.
    The paper sums over the pictures n; ``reduction="mean"``, the default, divides by their number. It gives
    neither alpha nor gamma: the defaults are those of Lin et al.
    """

    def _terms(self, soft: Tensor, log_p: Tensor, log_rest: Tensor) -> Tensor:
        negative = (1 - self.alpha) * (self.gamma * log_p).exp() * (1 - soft) * log_rest
        return super()._terms(soft, log_p, log_rest) + negative


class CenterTerm(Loss):
    """Squared distance of every picture's features from its class's center (Wen et al., ECCV 2016).

    Called as ``term(features, targets)``. With soft targets every class's distance counts by its share.

    Args:
        num_classes: C.
        feature_dim: D.
        reduction: ``half_mean`` (half the mean over the pictures), ``half_sum``, ``mean`` or ``sum``. Wen et al.
            print half the sum and normalise by the batch in their code; KaiyangZhou/pytorch-center-loss takes the
            mean without the half.
        center_rate: alpha of the published update (:meth:`update_centers`).
        center_update: ``"published"``, the centers are a buffer that :meth:`update_centers` moves, or
            ``"gradient"``, they are a parameter for the optimiser.
    """

    centers: Tensor

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        reduction: str = "half_mean",
        center_rate: float = 0.5,
        center_update: str = "published",
    ):
        super().__init__(num_classes)
        check_count("feature_dim, the net's num_features,", feature_dim)
        self.reduction, self.center_rate = reduction, center_rate
        self.published = center_update == "published"
        centers = torch.zeros(num_classes, feature_dim)
        if self.published:
            self.register_buffer("centers", centers)
        else:
            self.centers = nn.Parameter(centers)

    def forward(self, features: Tensor, targets: Tensor) -> Tensor:
        soft, features = self._prepare(features, targets)
        squared = (features.unsqueeze(1) - self.centers.to(features.dtype)).square().sum(2)
        total = (soft * squared).sum()
        if self.reduction.startswith("half"):
            total = total / 2
        return total / len(features) if self.reduction.endswith("mean") else total

    @torch.no_grad()
    def update_centers(self, features: Tensor, targets: Tensor) -> None:
        """Move the centers by -center_rate * :meth:`center_delta`; nothing where they move by gradient.

        Args:
            features: of the batch the optimiser has just seen, float [B, D].
            targets: of that batch.
        """
        if self.published:
            self.centers -= self.center_rate * self.center_delta(features, targets).to(self.centers.dtype)

    @torch.no_grad()
    def center_delta(self, features: Tensor, targets: Tensor) -> Tensor:
        """The published direction, float [C, D]: sum_i (c - x_i) / (1 + n) over the class's n pictures."""
        soft, features = self._prepare(features, targets)
        count = soft.sum(0).unsqueeze(1)
        return (count * self.centers.to(features.dtype) - soft.T @ features) / (1 + count)

    def _prepare(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if features is None or features.dim() != 2 or features.shape[1] != self.centers.shape[1]:
            got = None if features is None else list(features.shape)
            raise UserError(f"features must be [B, {self.centers.shape[1]}]: got {got}")
        self._check_targets(targets, len(features))
        features = _full(features)
        return _soft(targets, self.num_classes, features.dtype), features


class IslandTerm(CenterTerm):
    """Center term plus lambda1 times the sum over ordered pairs of centers of cos(c_j, c_k) + 1.

    Cai et al., FG 2018; gu eq. 7, whose sum names one index twice and means this one. The cosine with a zero
    center counts as 0. The pair term depends on the centers alone: with published updates it reaches the net
    through them.

    Args:
        num_classes: C.
        feature_dim: D.
        lambda1: weight of the pair term.
        reduction: as for :class:`CenterTerm`.
        center_rate: as for :class:`CenterTerm`.
        center_update: as for :class:`CenterTerm`.
    """

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        lambda1: float = 10.0,
        reduction: str = "half_mean",
        center_rate: float = 0.5,
        center_update: str = "published",
    ):
        super().__init__(num_classes, feature_dim, reduction, center_rate, center_update)
        self.lambda1 = lambda1

    def forward(self, features: Tensor, targets: Tensor) -> Tensor:
        unit, _ = self._unit_centers()
        cosines = unit @ unit.T
        pairs = self.num_classes * (self.num_classes - 1)
        return super().forward(features, targets) + self.lambda1 * (cosines.sum() - cosines.trace() + pairs)

    @torch.no_grad()
    def center_delta(self, features: Tensor, targets: Tensor) -> Tensor:
        """Cai et al.'s direction, whose pair part carries lambda1 / (C - 1); it is not the exact gradient."""
        unit, norm = self._unit_centers()
        others = unit.sum(0) - unit
        along = (others * unit).sum(1, keepdim=True) * unit
        push = self.lambda1 / (self.num_classes - 1) * (others - along) / norm
        return super().center_delta(features, targets) + torch.where(self._is_zero(), 0.0, push)

    def _is_zero(self) -> Tensor:
        return (self.centers == 0).all(1, keepdim=True)

    def _unit_centers(self) -> tuple[Tensor, Tensor]:
        """Centers of length 1, or 0 for a zero center, [C, D], and their lengths [C, 1] (1 for a zero center).

        The zero rows are replaced before the division, so that their gradient is 0 and not 0/0.
        """
        centers = _full(self.centers)
        zero = self._is_zero()
        safe = torch.where(zero, torch.ones_like(centers), centers)
        norm = torch.linalg.vector_norm(safe, dim=1, keepdim=True)
        return torch.where(zero, 0.0, safe / norm), torch.where(zero, 1.0, norm)


class Joint(Loss):
    """Cross-entropy plus a weighted term on the features (gu eq. 8).

    The weight must fit the features' length, which nothing bounds. The center term pulls a picture's features by
    ``weight * |x - c|``, at the start their whole length, where the cross-entropy pulls by about a half. In gu's net
    (2,048 features, random start, 48 px pictures of CK+) that is 52.7 against 0.54 at weight 1, and twenty steps take
    the features' scatter from 683 to 7; at Cai et al.'s 0.01 it is 0.53 and 26. In a ResNet18 of width 8 (64
    features, 12 epochs of gu's CK+ training, one seed) it is 6.9 against 0.54, and at weight 1 the classes first fall
    on one point (scatter within 0.14, between 0.014, cosines of the centers 0.999). Test accuracies there, in percent:

    ======  =======  ==========================  ========
    weight  lambda1  otherwise                   accuracy
    ======  =======  ==========================  ========
    0                cross-entropy alone             90.8
    1       0.1                                      44.0
    1       10                                       39.1
    1       0        no pair term                    45.3
    1       0.1      centers start as means          52.9
    1       0.1      features of length 1            70.0
    1/64    0.1                                      91.7
    0.01    0.1                                      93.0
    0.01    0                                        89.6
    0.01    10       Cai et al.                      90.8
    ======  =======  ==========================  ========

    So the weight of the center term, beside the length of the features, is what hurts a small net most; the pair term
    changes little. These are single seeds, without records. Recorded, three seeds each, are ten epochs on FER2013
    (ladder.toml, 128 features): 55.6 % with cross-entropy, 55.6 with Cai et al.'s weights, 48.2 at weight 1.

    Args:
        num_classes: C.
        term: the term with the centers.
        weight: its factor.
        label_smoothing: of the cross-entropy.
        class_weights: of the cross-entropy.
    """

    def __init__(
        self,
        num_classes: int,
        term: CenterTerm,
        weight: float,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
    ):
        super().__init__(num_classes)
        self.cross_entropy = CrossEntropy(num_classes, label_smoothing, class_weights)
        self.term = term
        self.weight = weight

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:
        return self.cross_entropy(logits, targets) + self.weight * self.term(features, targets)

    def update_centers(self, features: Tensor, targets: Tensor) -> None:
        """Move the term's centers (:meth:`CenterTerm.update_centers`)."""
        self.term.update_centers(features, targets)


# name: class, and class of the term
LOSSES: dict[str, tuple[type[Loss], type[CenterTerm] | None]] = {
    "cross_entropy": (CrossEntropy, None),
    "focal": (Focal, None),
    "focal_li": (FocalLi, None),
    "center": (Joint, CenterTerm),
    "island": (Joint, IslandTerm),
    "joint": (Joint, IslandTerm),
}


def create_loss(name: str, num_classes: int, feature_dim: int | None = None, **options: Any) -> Loss:
    """Build a loss by name.

    ``cross_entropy``; ``focal`` (Lin et al.); ``focal_li`` (li eq. 4); and cross-entropy plus a term on the
    features: ``center`` (Wen et al., weight 0.003), ``island`` (Cai et al., weight 0.01, lambda1 10) and
    ``joint`` (gu eq. 8, weight 1; gu gives no lambda1, 0.1 is ours; see :class:`Joint` for what weight 1 does).

    Args:
        name: of :data:`LOSSES`.
        num_classes: C.
        feature_dim: the net's ``num_features``, for the losses with centers.
        **options: of its type in :data:`fer_lib.parts.LOSSES`.

    Returns:
        A module called as ``loss(logits, targets, features)``, whose ``state_dict`` holds the centers. After
        each optimiser step call ``loss.update_centers(features, targets)``; with ``center_update="gradient"``
        give ``loss.parameters()`` to the optimiser.

    Raises:
        UserError: the name or an option is unknown or does not fit.
    """
    look_up(name, parts.LOSSES)
    settings = structs.asdict(check_named("loss", parts.LOSSES, {"name": name, **options}))
    make, make_term = LOSSES[name]
    if make_term is None:
        return make(num_classes, **settings)
    if feature_dim is None:
        raise UserError(f"loss {name!r} has centers: give feature_dim, the net's num_features")
    own = {key: settings.pop(key) for key in ("weight", "label_smoothing", "class_weights")}
    return Joint(num_classes, make_term(num_classes, feature_dim, **settings), **own)


def register_loss(make: type[Loss], name: str | None = None) -> type[Loss]:
    """Take a loss of your own: recipes name it as they do ours. Also a decorator.

    Args:
        make: a class of :class:`Loss`, built as ``make(num_classes, **options)`` with a default for every option and
            called as ``loss(logits, targets, features)``.
        name: what recipes call it, small letters and digits; by default the class's own name in small letters.

    Returns:
        The class.

    Raises:
        UserError: the class or the name does not fit.
    """
    if not (isinstance(make, type) and issubclass(make, Loss)):
        raise UserError(f"{make!r} is no class of fer_lib.losses.Loss")
    name = name or default_name(make)
    options = options_of(make, f"loss {make.__name__}", "num_classes")
    register("loss", name, make, LOSSES)
    parts.LOSSES[name], LOSSES[name] = options, (make, None)
    return make


def _full(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()


def _soft(targets: Tensor, num_classes: int, dtype: torch.dtype) -> Tensor:
    if targets.is_floating_point():
        return targets.to(dtype)
    return F.one_hot(targets, num_classes).to(dtype)


def _log_probabilities(logits: Tensor) -> tuple[Tensor, Tensor]:
    """ln p and ln(1 - p) of the softmax, [B, C] each; the latter from the other classes' sum, so no 1 - p."""
    log_sum = logits.logsumexp(1, keepdim=True)
    own = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    rest = logits.unsqueeze(1).masked_fill(own, -math.inf).logsumexp(2)
    return logits - log_sum, rest - log_sum


def _class_weights(weights: Sequence[float] | None, num_classes: int) -> Tensor | None:
    if weights is None:
        return None
    if len(weights) != num_classes:
        raise UserError(f"class_weights must be {num_classes} numbers: got {weights!r}")
    return torch.as_tensor(weights, dtype=torch.float32)
