"""Heat maps against hand-computed ones, measures against closed forms, and a net left as it was."""

import copy
import gc

import numpy as np
import pytest
import torch
from pytorch_grad_cam import EigenCAM
from scipy import stats
from torch import nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer

from fer_lib.errors import UserError
from fer_lib.explain import (
    METHODS,
    area_share,
    energy_share,
    heat_maps,
    pointing_game,
    randomized,
    rank_correlation,
    road,
)  # fmt: skip
from fer_lib.models import create_model
from fer_lib.models.base import Classifier

NARROW = {
    "li": {"width": 16},
    "hu": {"width": 8, "layers": (1, 1, 1, 1)},
    "gu": {"layers": (1, 1, 1, 1)},
    "zhang": {"width": 16, "layers": (1, 1, 1, 1)},
}


class TwoMaps(Classifier):
    """The picture and twice its negative as maps, their means as features, a linear layer of given weights."""

    def __init__(self):
        super().__init__(num_classes=2, in_channels=1, num_features=2)
        self.maps = nn.Conv2d(1, 2, 1, bias=False)
        self.fc = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.maps.weight.copy_(torch.tensor([1.0, -2.0]).view(2, 1, 1, 1))
            self.fc.weight.copy_(torch.tensor([[3.0, 1.0], [-1.0, 1.0]]))

    def extract(self, x):
        return self.maps(x)

    def classify(self, features):
        return self.fc(features)

    @property
    def last_map(self):
        return self.maps


PICTURE = torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]]])


def test_heat_maps_of_a_net_small_enough_for_paper():
    net = TwoMaps()
    # Class 0: gradients 3/4 and 1/4 everywhere; 3/4 x - 1/4 * 2x = x/4, which from least to most is (x - 1) / 4.
    wanted = np.array([[0, 0.25], [0.5, 1]])
    np.testing.assert_allclose(heat_maps(net, PICTURE, [0])[0], wanted, atol=1e-6)
    # Class 1: -1/4 x - 1/2 x is negative everywhere, and Grad-CAM keeps evidence for the class only.
    np.testing.assert_array_equal(heat_maps(net, PICTURE, [1])[0], 0)
    # LayerCAM drops negative gradients before the sum: class 1 keeps the second map alone, -2x * 1/4 < 0; and of -x
    # (a picture of negative values) the second map is positive.
    np.testing.assert_array_equal(heat_maps(net, PICTURE, [1], "LayerCAM")[0], 0)
    np.testing.assert_allclose(heat_maps(net, -PICTURE, [1], "LayerCAM")[0], wanted, atol=1e-6)
    # Grad-CAM++, class 0: sums S of the maps are 11 and -22, weights 4 g a with a = g^2 / (2 g^2 + S g^3).
    weights = [4 * g**3 / (2 * g**2 + s * g**3) for g, s in ((3 / 4, 11), (1 / 4, -22))]
    raw = np.maximum(weights[0] * PICTURE[0, 0].numpy() + weights[1] * -2 * PICTURE[0, 0].numpy(), 0)
    raw = (raw - raw.min()) / (raw.max() - raw.min())
    np.testing.assert_allclose(heat_maps(net, PICTURE, [0], "Grad-CAM++")[0], raw, atol=1e-5)


def test_flipping_the_sign_of_all_maps_turns_eigen_cam():
    """Heat lies where the activations are strong, whichever sign the SVD returns."""
    net = TwoMaps()
    with torch.no_grad():
        net.maps.weight.abs_()
    hot = heat_maps(net, PICTURE, [0], "Eigen-CAM")[0]
    assert hot.argmax() == 3
    with torch.no_grad():
        net.maps.weight.neg_()
    assert heat_maps(net, PICTURE, [0], "Eigen-CAM")[0].argmax() == 0


def test_eigen_cam_is_the_library_s_up_to_its_sign():
    torch.manual_seed(0)
    net, pictures = create_model("resnet18", width=8).eval(), torch.randn(4, 1, 48, 48)
    with EigenCAM(net, [net.layer4]) as cam:
        library = cam(pictures, None)
    with torch.no_grad():
        activations = net.layer4(net.layer3(net.layer2(net.layer1(net.relu(net.bn1(net.conv1(pictures)))))))
    ours = heat_maps(net, pictures, [0] * 4, "Eigen-CAM")
    strength = F.interpolate(activations.sum(1, keepdim=True), (48, 48), mode="bilinear")[:, 0].numpy()
    for map_, theirs, strong in zip(ours, library, strength, strict=True):
        correlation = np.corrcoef(map_.ravel(), theirs.ravel())[0, 1]
        assert correlation > 0.999 or correlation < 0.3  # the same, or the other half of a cut-off projection
        assert np.corrcoef(map_.ravel(), strong.ravel())[0, 1] > 0


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("method", METHODS)
def test_every_paper_s_net_is_explained_at_its_last_stage(name, method):
    torch.manual_seed(0)
    net, pictures = create_model(name, **NARROW[name]), torch.randn(3, 1, 48, 48)
    maps = heat_maps(net, pictures, [0, 3, 6], method)
    assert maps.shape == (3, 48, 48)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert maps.max((1, 2)).max() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["zhang", "hu", "li"])
def test_grad_cam_of_a_pooled_linear_head_is_the_class_s_weighted_map(name):
    """Zhou et al. (CVPR 2016): with a mean and a linear layer behind the map, Grad-CAM is CAM."""
    torch.manual_seed(1)
    net, pictures = create_model(name, **NARROW[name]).eval(), torch.randn(5, 1, 48, 48)
    kept = {}
    handle = net.layer4.register_forward_hook(lambda module, inputs, output: kept.update(map=output.detach()))
    net(pictures)
    handle.remove()
    targets = [0, 1, 2, 3, 4]
    cam = torch.einsum("nchw,nc->nhw", kept["map"], net.fc.weight[targets]).clamp_min(0)
    enlarged = F.interpolate(scaled(cam)[:, None], (48, 48), mode="bilinear", align_corners=False)[:, 0]
    np.testing.assert_allclose(heat_maps(net, pictures, targets), scaled(enlarged).detach().numpy(), atol=1e-4)


def scaled(maps: torch.Tensor) -> torch.Tensor:
    """Each map from 0 to 1."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp_min(1e-12)


def test_batches_change_nothing():
    torch.manual_seed(0)
    net, pictures = create_model("resnet18_cbam_ends", width=16), torch.randn(9, 1, 32, 32)
    targets = np.arange(9) % 7
    whole = heat_maps(net, pictures, targets)
    np.testing.assert_allclose(heat_maps(net, pictures, targets, batch_size=4), whole, atol=1e-4)
    assert heat_maps(net, pictures[:0], targets[:0]).shape == (0, 32, 32)


def test_net_is_left_as_it_was():
    net = create_model("resnet18_cbam_ends", width=16)
    net.train()
    net.layer1.eval()  # a part whose mode differs from the whole's
    net.conv1.requires_grad_(False)
    pictures = torch.randn(2, 1, 32, 32)
    net(pictures).sum().backward()
    state = copy.deepcopy(net.state_dict())
    gradients = {name: weight.grad for name, weight in net.named_parameters()}
    before = {name: gradient.clone() for name, gradient in gradients.items() if gradient is not None}
    flags = {name: weight.requires_grad for name, weight in net.named_parameters()}
    modes = {name: module.training for name, module in net.named_modules()}
    for method in METHODS:
        with torch.no_grad():  # a caller's mode does not matter
            heat_maps(net, pictures, [0, 1], method)
    with torch.inference_mode():
        road(net, pictures, [0, 1], heat_maps(net, pictures, [0, 1]), percentiles=[50])
    with pytest.raises(UserError):
        heat_maps(net, pictures, [0, 7])
    assert {name: module.training for name, module in net.named_modules()} == modes
    assert {name: weight.requires_grad for name, weight in net.named_parameters()} == flags
    assert all(weight.grad is gradients[name] for name, weight in net.named_parameters())
    assert all(torch.equal(gradients[name], value) for name, value in before.items())
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks or module._backward_hooks for module in net.modules())


def test_frozen_net_is_explained_too():
    torch.manual_seed(0)
    net, pictures = create_model("resnet18", width=8), torch.randn(2, 1, 32, 32)
    wanted = heat_maps(net, pictures, [0, 1])
    net.requires_grad_(False)
    np.testing.assert_array_equal(heat_maps(net, pictures, [0, 1]), wanted)


def test_no_memory_is_held_over_a_hundred_pictures():
    net, pictures = create_model("resnet18", width=8), torch.randn(1, 1, 24, 24)

    def held() -> int:
        return sum(o.numel() * o.element_size() for o in gc.get_objects() if issubclass(type(o), torch.Tensor))

    heat_maps(net, pictures, [0])
    gc.collect()
    gc.disable()  # what only the collector would find is a leak, too
    try:
        before = held()
        for index in range(100):
            heat_maps(net, pictures, [index % 7], list(METHODS)[index % 4])
        after = held()
    finally:
        gc.enable()
    assert after == before


def test_mistakes_are_named():
    net, pictures = create_model("resnet18", width=8), torch.randn(2, 1, 32, 32)
    with pytest.raises(UserError, match="unknown heat map 'GradCAM': did you mean Grad-CAM"):
        heat_maps(net, pictures, [0, 1], "GradCAM")
    with pytest.raises(UserError, match="targets must be 2 class indices"):
        heat_maps(net, pictures, [0])
    with pytest.raises(UserError, match="batch_size must be an integer of at least 1: got -1"):
        heat_maps(net, pictures, [0, 1], batch_size=-1)
    for layer in ("layer3", nn.Conv2d(1, 1, 1)):
        with pytest.raises(UserError, match=r"layer must be a module of the net, such as model\.layer3: got "):
            heat_maps(net, pictures, [0, 1], layer=layer)
    with pytest.raises(UserError, match=r"targets must lie in 0..6: got 0..7"):
        heat_maps(net, pictures, [0, 7])
    with pytest.raises(UserError, match=r"x must be \[B, 1, H, W\]"):
        heat_maps(net, pictures[0], [0])
    with pytest.raises(UserError, match=r"must give scores \[N, classes\] of pictures: got Tensor"):
        heat_maps(nn.Conv2d(1, 1, 1), pictures, [0, 1])


def test_without_targets_the_most_probable_class_is_explained():
    net, pictures = TwoMaps(), torch.cat([PICTURE, -PICTURE])
    assert net(pictures).argmax(1).tolist() == [0, 1]
    np.testing.assert_array_equal(heat_maps(net, pictures), heat_maps(net, pictures, [0, 1]))
    assert (heat_maps(net, pictures) != heat_maps(net, pictures, [1, 0])).any((1, 2)).all()


def test_a_transformer_is_not_explained_by_its_patches():
    net, pictures = VisionTransformer(32, 8, 1, 2, 24, 16, num_classes=7).eval(), torch.randn(2, 3, 32, 32)
    with pytest.raises(UserError, match="VisionTransformer ends in none; name a layer that puts one out"):
        heat_maps(net, pictures)
    assert heat_maps(net, pictures, layer=net.conv_proj).shape == (2, 32, 32)


# ------------------------------------------------------------ measures


def test_pointing_and_energy_by_hand():
    regions = np.zeros((4, 2, 2), bool)
    regions[:, 0] = True
    regions[3, 0, 1] = False
    maps = np.array([[[1, 0.5], [0.25, 0.25]], [[0.5, 0.5], [1, 0]], [[1, 0], [1, 0]], [[0, 0], [0, 0]]])
    np.testing.assert_array_equal(area_share(regions), [0.5, 0.5, 0.5, 0.25])
    np.testing.assert_array_equal(pointing_game(maps, regions), [1, 0, 0.5, 0.25])  # a tie; a flat map: the area
    np.testing.assert_array_equal(energy_share(maps, regions), [0.75, 0.5, 0.5, 0.25])


def test_random_maps_score_the_region_s_area():
    rng = np.random.default_rng(0)
    maps, regions = rng.random((2000, 12, 12)), rng.random((2000, 12, 12)) < 0.2
    assert pointing_game(maps, regions).mean() == pytest.approx(0.2, abs=0.03)
    assert energy_share(maps, regions).mean() == pytest.approx(0.2, abs=0.01)


def test_rank_correlation_is_scipy_s():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, (2, 6, 5, 5)).astype(float)  # with ties
    wanted = [stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), wanted)
    assert rank_correlation(np.zeros((1, 3, 3)), first[:1, :3, :3]) == 0


class Bright(Classifier):
    """Scores class 1 by the brightness of the top left quarter."""

    def __init__(self):
        super().__init__(num_classes=2, in_channels=1, num_features=1)
        self.maps = nn.Identity()

    def extract(self, x):
        return self.maps(x)[:, :, :12, :12]

    def classify(self, features):
        return torch.cat((-4 * features, 4 * features), 1)

    def parameters(self, recurse=True):
        return iter([torch.zeros(1)])

    @property
    def last_map(self):
        return self.maps


def test_road_tells_a_true_map_from_a_false_one():
    rng = torch.Generator().manual_seed(0)
    pictures = torch.randn(12, 1, 24, 24, generator=rng) * 0.1
    pictures[:, :, 2:10, 2:10] += 2  # a bright square on dark ground, inside the quarter that counts
    true = np.zeros((12, 24, 24), np.float32)
    true[:, 2:10, 2:10] = 1
    net, targets = Bright(), [1] * 12
    state = torch.get_rng_state()
    good = road(net, pictures, targets, true)
    assert torch.equal(torch.get_rng_state(), state)
    assert good.shape == (12,)
    assert good.min() > 0.1
    assert road(net, pictures, targets, 1 - true).max() < -0.1
    random = np.random.default_rng(0).random(true.shape).astype(np.float32)
    assert abs(road(net, pictures, targets, random).mean()) < 0.03
    # A map without heat is a random order, not the whole picture removed.
    assert abs(road(net, pictures, targets, 0 * true).mean()) < 0.03
    np.testing.assert_array_equal(road(net, pictures, targets, true), good)


def test_randomised_net_keeps_the_sizes_of_its_weights_and_forgets_the_rest():
    torch.manual_seed(0)
    net, pictures = create_model("resnet18_cbam_ends", width=16).eval(), torch.randn(16, 1, 32, 32)
    state = copy.deepcopy(net.state_dict())
    other = randomized(net, pictures, seed=1)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert not other.training
    for name, weight in other.named_parameters():
        torch.testing.assert_close(weight.flatten().sort()[0], state[name].flatten().sort()[0])
    assert not torch.equal(other.conv1.weight, net.conv1.weight)
    with torch.no_grad():
        logits = other(pictures)
    assert torch.isfinite(logits).all()
    assert logits.std(0).max() > 1e-3, "the signal has faded"
    again = randomized(net, pictures, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(other.state_dict().values(), again.state_dict().values(), strict=True))


def test_a_net_and_pictures_of_few_bits_are_explained():
    torch.manual_seed(0)
    net = create_model("resnet18_cbam", width=16).eval()
    pictures = torch.randn(2, 1, 32, 32).bfloat16()
    few = create_model("resnet18_cbam", width=16).bfloat16().eval()
    few.load_state_dict(net.state_dict())
    rounded = create_model("resnet18_cbam", width=16).eval()
    rounded.load_state_dict(few.state_dict())
    np.testing.assert_array_equal(heat_maps(few, pictures, [0, 1]), heat_maps(rounded, pictures.float(), [0, 1]))
    assert next(few.parameters()).dtype == torch.bfloat16


def test_wrapped_nets_have_the_maps_of_the_net_within():
    torch.manual_seed(0)
    net = create_model("resnet18_cbam", width=16).eval()
    pictures = torch.randn(2, 1, 32, 32)
    wanted = heat_maps(net, pictures, [0, 1])
    assert wanted.max() > 0.9
    for wrapped in (nn.DataParallel(net), torch.compile(net), torch.compile(nn.DataParallel(net))):
        np.testing.assert_array_equal(heat_maps(wrapped, pictures, [0, 1]), wanted)
        np.testing.assert_array_equal(
            road(wrapped, pictures, [0, 1], wanted, percentiles=[50]),
            road(net, pictures, [0, 1], wanted, percentiles=[50]),
        )


# ---------------------------------------------------------------- any net


def test_any_net_is_explained_as_pytorch_grad_cam_does():
    """torchvision's ResNet18 by its fourth stage, against the library's own call with that layer named."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from torchvision.models import resnet18

    torch.manual_seed(0)
    net, x = resnet18(num_classes=5).eval(), torch.randn(2, 3, 96, 96)
    with GradCAM(net, [net.layer4]) as cam:
        expected = cam(x, [ClassifierOutputTarget(1), ClassifierOutputTarget(3)])
    np.testing.assert_allclose(heat_maps(net, x, [1, 3]), expected, atol=1e-5)
    with GradCAM(net, [net.layer2]) as cam:
        expected = cam(x, [ClassifierOutputTarget(1), ClassifierOutputTarget(3)])
    np.testing.assert_allclose(heat_maps(net, x, [1, 3], layer=net.layer2), expected, atol=1e-5)
    with pytest.raises(UserError, match=r"targets must lie in 0\.\.4"):
        heat_maps(net, x, [1, 5])


def test_pooling_is_passed_over_and_what_has_no_map_is_refused():
    body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(4 * 49, 2))
    net = nn.Sequential(body, head).eval()
    x = torch.randn(2, 1, 12, 12)
    np.testing.assert_allclose(heat_maps(net, x, [0, 1]), heat_maps(net, x, [0, 1], layer=body), atol=1e-6)
    with pytest.raises(UserError, match="Sequential ends in none; name a layer that puts one out"):
        heat_maps(nn.Sequential(nn.Flatten(), nn.Linear(144, 2)), x, [0, 1])
