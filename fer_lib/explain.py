"""Where a net looks: class activation maps, and measures of whether they can be trusted.

The maps are pytorch-grad-cam's. A map alone is a picture to believe in; the measures below ask whether its heat lies
where the expression shows (pointing game, energy), whether the places it names matter to the net (ROAD), and
whether it depends on what the net has learned (randomised weights).
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from fer_lib.errors import UserError, check_count, check_known
from fer_lib.extras import from_extra
from fer_lib.models.base import Classifier, kept_modes, observed

with from_extra("explain"):
    from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, LayerCAM
    from pytorch_grad_cam.base_cam import BaseCAM
    from pytorch_grad_cam.metrics.road import ROADCombined
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget
    from scipy import stats


class OrientedEigenCAM(EigenCAM):  # type: ignore[misc]  # the library has no types
    """Eigen-CAM whose sign is fixed: heat is where the activations are strong.

    The first principal component of a map has no sign of its own, and the library takes the one that its SVD
    happens to return. The publication's own map is positive where non-negative activations are. The SVD is thin
    and batched here, since a full one of 2,048 channels takes a second a picture.
    """

    def get_cam_image(
        self,
        input_tensor: Any,
        target_layer: Any,
        target_category: Any,
        activations: Any,
        grads: Any,
        eigen_smooth: Any,
    ) -> np.ndarray:
        """Projections of every place on the first principal component, float32 [N, H, W]."""
        n, channels, height, width = activations.shape
        places = activations.reshape(n, channels, height * width).swapaxes(1, 2)
        centred = places - places.mean(1, keepdims=True)
        component = np.linalg.svd(centred, full_matrices=False)[2][:, 0]
        projection = (centred @ component[:, :, None])[..., 0]
        turned = (projection * centred.sum(2)).sum(1) < 0
        return np.where(turned[:, None], -projection, projection).reshape(n, height, width).astype(np.float32)


METHODS: dict[str, type[BaseCAM]] = {
    "Grad-CAM": GradCAM,
    "Grad-CAM++": GradCAMPlusPlus,
    "LayerCAM": LayerCAM,
    "Eigen-CAM": OrientedEigenCAM,
}
"""Selvaraju et al., ICCV 2017; Chattopadhay et al., WACV 2018; Jiang et al., TIP 2021; Muhammad & Yeasin, IJCNN
2020."""


def unwrapped(model: nn.Module) -> nn.Module:
    """The net itself, within what DataParallel, DistributedDataParallel and torch.compile put around it."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif (inner := getattr(model, "_orig_mod", None)) is not None:
            model = inner
        else:
            return model


def heat_maps(
    model: nn.Module,
    inputs: Tensor,
    targets: Sequence[int] | np.ndarray | None = None,
    method: str = "Grad-CAM",
    batch_size: int = 64,
    layer: nn.Module | None = None,
) -> np.ndarray:
    """Explain a net's scores by its last map.

    The net is left as it was: mode, gradients and what requires them.

    Args:
        model: any net of pictures to scores, also within DataParallel or compiled; dropout and batch normalisation act
            as in evaluation.
        inputs: normalised pictures, float [N, C, H, W], of any precision, as the net's weights may be.
        targets: the class to explain of every picture, [N]; None for the one that the net finds most probable.
            Eigen-CAM knows no class.
        method: one of :data:`METHODS`.
        batch_size: pictures in one pass.
        layer: the submodule whose map explains, such as ``model.layer3``; None for the last that puts out one of more
            than one place, pooling aside.

    Returns:
        float32 [N, H, W], each map from 0 to 1, bilinearly enlarged from the net's last map. A map without any
        heat, or of one place, is 0 everywhere.

    Raises:
        UserError: an unknown method, targets that do not fit, or a model that has no maps.
    """
    check_known("heat map", method, METHODS)
    check_count("batch_size", batch_size)
    model = unwrapped(model)
    if not isinstance(model, nn.Module):
        raise UserError(f"model must be a net with maps: got {type(model).__name__}")
    if layer is not None and not any(layer is module for module in model.modules()):
        raise UserError(f"layer must be a module of the net, such as model.layer3: got {layer!r:.60}")
    if any(weights.dtype != torch.float32 for weights in model.parameters()):
        # NumPy, in which the library reckons, has no bfloat16.
        copies: dict[int, Any] = {}
        model, inputs = copy.deepcopy(model, copies).float(), inputs.float()
        layer = copies.get(id(layer), layer)
    last: nn.Module | None
    if isinstance(model, Classifier):
        model.check_input(inputs)
        last, classes = model.last_map, model.num_classes
    else:
        last, classes = _last_map(model, inputs)
    layer = last if layer is None else layer
    if layer is None:
        raise UserError(
            f"model must be a net whose scores come from a map [N, C, H, W]: {type(model).__name__} ends in none; name"
            " a layer that puts one out"
        )
    wanted = None if targets is None else _checked(np.asarray(targets), len(inputs), classes)
    maps = np.zeros((len(inputs), *inputs.shape[2:]), np.float32)
    with torch.inference_mode(False), torch.enable_grad(), _undisturbed(model):
        cam = METHODS[method](model, [layer])
        try:
            for start in range(0, len(inputs), batch_size):
                batch = slice(start, start + batch_size)
                # The weights need no gradient, so the graph must start at the pictures.
                pictures = inputs[batch].detach().to(torch.float32, copy=True).requires_grad_()
                explained = None if wanted is None else [ClassifierOutputTarget(int(one)) for one in wanted[batch]]
                maps[batch] = cam(pictures, explained)  # None: the library takes the highest score
        finally:
            # Not as a context: the library's own would swallow an IndexError.
            cam.activations_and_grads.release()
    return maps


def _checked(targets: np.ndarray, count: int, classes: int) -> np.ndarray:
    if targets.shape != (count,) or not np.issubdtype(targets.dtype, np.integer):
        raise UserError(f"targets must be {count} class indices: got {targets.shape} {targets.dtype}")
    if count and not (targets.min() >= 0 and targets.max() < classes):
        raise UserError(f"targets must lie in 0..{classes - 1}: got {targets.min()}..{targets.max()}")
    return targets


def _last_map(model: nn.Module, inputs: Tensor) -> tuple[nn.Module | None, int]:
    """The last module of a net that puts out a map of more than one place, once a picture, and the number of classes.

    What pools is passed over: it may enlarge a map to the size that a head asks for. So is what comes before the
    tokens [N, places, C] of a transformer, which are no map, and hide from it what explains the scores.
    """
    order: list[nn.Module] = []
    places = 0

    def note(module: nn.Module, given: Any, output: Any) -> None:
        nonlocal places
        if isinstance(output, Tensor) and output.dim() == 4 and output.shape[2] * output.shape[3] > 1:
            order.append(module)
            places = output.shape[2] * output.shape[3]
        elif isinstance(output, Tensor) and output.dim() == 3 and order:
            tokens, width = output.shape[1:]
            if 0 <= tokens - places < 8 and width != places:  # one a place, and a few that stand for the whole
                order.clear()

    with torch.no_grad(), observed(model, ((module, note) for module in model.modules() if not _pools(module))):
        scores = model(inputs[:1])
    if not isinstance(scores, Tensor) or scores.dim() != 2:
        raise UserError(f"model must give scores [N, classes] of pictures: got {type(scores).__name__}")
    once = [module for module in order if order.count(module) == 1]
    return (once[-1] if once else None), scores.shape[1]


def _pools(module: nn.Module) -> bool:
    return type(module).__module__ == nn.AdaptiveAvgPool2d.__module__


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Freeze a net's weights, and give modes, gradients and flags back as they were."""
    weights = [(weight, weight.requires_grad, weight.grad) for weight in model.parameters()]
    try:
        with kept_modes(model):
            model.requires_grad_(False)
            yield
    finally:
        for weight, needed, gradient in weights:
            weight.requires_grad_(needed)
            weight.grad = gradient


# ------------------------------------------------------------ does the heat lie where it should?


def area_share(regions: np.ndarray) -> np.ndarray:
    """Share of the picture that the region covers: what a map that knows nothing scores in the two measures below.

    Args:
        regions: bool [N, H, W].

    Returns:
        float64 [N].
    """
    return regions.mean((1, 2))


def pointing_game(maps: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Whether the hottest place lies in the region (Zhang et al., IJCV 2018, without their margin of 15 pixels).

    Args:
        maps: float [N, H, W].
        regions: bool [N, H, W].

    Returns:
        float64 [N]: 1 for a hit, 0 for a miss; where several places are hottest, the share of them that hit, so that
        a flat map scores the region's area.
    """
    hottest = maps == maps.max((1, 2), keepdims=True)
    return (hottest & regions).sum((1, 2)) / hottest.sum((1, 2))


def energy_share(maps: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Share of the heat that lies in the region (the energy-based pointing game of Wang et al., CVPRW 2020).

    Args:
        maps: float [N, H, W], not negative.
        regions: bool [N, H, W].

    Returns:
        float64 [N]; the region's area for a map without heat.
    """
    total = maps.sum((1, 2), dtype=np.float64)
    inside = (maps * regions).sum((1, 2), dtype=np.float64)
    return np.where(total > 0, inside / np.where(total > 0, total, 1), area_share(regions))


# ------------------------------------------------------------ do the places matter to the net?


def road(
    model: nn.Module,
    inputs: Tensor,
    targets: Sequence[int] | np.ndarray,
    maps: np.ndarray,
    percentiles: Sequence[int] = (20, 40, 60, 80),
    seed: int = 0,
) -> np.ndarray:
    """Remove and debias (Rong et al., ICML 2022): what blurring out the hottest places costs, against the coldest.

    Pixels are replaced by noisy linear interpolation of their neighbours; the score is half the difference of the
    class's probability, averaged over shares of the picture. Above 0, the map names places that matter; a random
    map scores about 0.

    Args:
        model: the net, also within DataParallel or compiled; used in evaluation mode.
        inputs: normalised pictures, float [N, C, H, W].
        targets: the class explained, [N].
        maps: float [N, H, W].
        percentiles: where the heat is cut: 80 removes the hottest or the coldest 20 %.
        seed: of the noise, and of the order among equally hot places, all of which the library would remove at once.

    Returns:
        float64 [N], from -0.5 to 0.5.
    """
    model = unwrapped(model)
    shuffle = np.random.default_rng(seed)
    flat = maps.reshape(len(maps), -1)
    order = np.lexsort((shuffle.random(flat.shape), flat), axis=1)
    ranks = np.empty(flat.shape, np.float32)
    np.put_along_axis(ranks, order, np.linspace(0, 1, flat.shape[1], dtype=np.float32)[None], 1)
    classes = [ClassifierOutputSoftmaxTarget(int(target)) for target in targets]
    with torch.random.fork_rng(), _undisturbed(model):
        torch.manual_seed(seed)
        model.eval()
        scores = ROADCombined(list(percentiles))(inputs.detach(), ranks.reshape(maps.shape), classes, model)
    return scores.astype(np.float64)


# ------------------------------------------------------------ does the map depend on what was learned?


def randomized(model: nn.Module, inputs: Tensor, seed: int = 0) -> nn.Module:
    """A copy of a net that has forgotten all it learned (Adebayo et al., NeurIPS 2018, all layers at once).

    The entries of every weight are shuffled, so that each layer keeps the sizes of its weights, and the statistics
    of batch normalisation are taken anew, so that the signal neither fades nor explodes.

    Args:
        model: the net.
        inputs: the pictures to take the statistics from, float [N, C, H, W], N at least 2.
        seed: of the shuffling.
    """
    copied = copy.deepcopy(unwrapped(model))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in copied.parameters():
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].view_as(weight))
    update_bn([inputs], copied)
    return copied.eval()


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of the maps of each picture, as in the sanity checks of Adebayo et al. (2018).

    Args:
        first: float [N, H, W].
        second: float [N, H, W].

    Returns:
        float64 [N]; 0 where a map is flat.
    """
    ranks = [stats.rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    a, b = (rank - rank.mean(1, keepdims=True) for rank in ranks)
    norm = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return np.divide((a * b).sum(1), norm, out=np.zeros(len(a)), where=norm > 0)
