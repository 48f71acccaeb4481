"""The augmentations against torchvision on the same drawn parameters, and what their draws must hold."""

import itertools
import math

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as V
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import InterpolationMode

from fer_lib import augment
from fer_lib.augment import Augmentation, Draws, face_view, gaussian_noise, mix, normalize
from fer_lib.errors import UserError

SIZE = 48
# On the 0..1 scale: a fiftieth of a grey level, for white noise, the hardest picture to resample.
TOLERANCE = 1 / 255 / 50
BILINEAR = InterpolationMode.BILINEAR

EVERYTHING = {
    "crop": 44,
    "flip": 0.5,
    "rotate": [-30, 30, 0.8],
    "shear": [-10, 10],
    "scale": [0.8, 1.2],
    "shift": [-0.1, 0.1],
    "brightness": [0.5, 1.5],
    "contrast": [0.5, 1.5],
    "gamma": [0.5, 2],
    "noise": [0.01, 0.1, 0.5],
    "erase": {"p": 0.5},
    "mixup": 0.4,
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int, size: int = SIZE, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (n, size, size), generator=seeded(seed), dtype=torch.uint8)


def raw(images: torch.Tensor) -> torch.Tensor:
    """Undo `normalize`."""
    return images * augment.STD + augment.MEAN


def drawn(recipe: dict, n: int, size: int = SIZE, seed: int = 1) -> tuple[Augmentation, Draws]:
    augmentation = Augmentation.from_dict(recipe)
    return augmentation, augmentation.draw(n, size, seeded(seed))


def crop(x, d):
    return V.crop(x, int(d("top")), int(d("left")), 44, 44)


def enlarge(x, side=84):
    return V.resize(x, [side, side], BILINEAR, antialias=False)


def affine(x, d):
    rotate, shift, scale, shear = d("rotate", 0), (d("shift_x", 0), d("shift_y", 0)), d("scale", 1), d("shear", 0)
    return V.affine(x, -rotate, [s * SIZE for s in shift], scale, [shear, 0.0], BILINEAR)


def resized_crop(x, d, out=SIZE):
    side = int(d("window"))
    return V.resized_crop(x, int(d("top")), int(d("left")), side, side, [out, out], BILINEAR, antialias=False)


def erase(x, d):
    box = [int(d(f"erase_{name}")) for name in ("top", "left", "height", "width")]
    return V.erase(x, *box, torch.tensor(0.25))


def flip(x, d):
    return V.hflip(x) if d("flip") else x


COUNTERPARTS = {
    "nothing": ({}, lambda x, d: x),
    "crop": ({"crop": 44}, crop),
    "resize": ({"resize": 84}, lambda x, d: enlarge(x)),
    "crop, resize": ({"crop": 44, "resize": 84}, lambda x, d: enlarge(crop(x, d))),
    "crop, resize, flip": ({"crop": 44, "resize": 63, "flip": 0.5}, lambda x, d: enlarge(flip(crop(x, d), d), 63)),
    "flip": ({"flip": 0.5}, flip),
    "area": ({"area": [0.3, 1]}, resized_crop),
    "area, resize": ({"area": [0.3, 1], "resize": 75}, lambda x, d: resized_crop(x, d, 75)),
    "resize, light and box": (
        {"resize": 63, "brightness": [0.5, 2], "erase": {"p": 1, "value": 0.25}},
        lambda x, d: erase(V.adjust_brightness(enlarge(x, 63), d("brightness")), d),
    ),
    "rotate": ({"rotate": [-90, 90, 0.7]}, lambda x, d: V.rotate(x, d("rotate"), BILINEAR)),
    "shear": ({"shear": [-30, 30]}, affine),
    "scale": ({"scale": [0.5, 2]}, affine),
    "shift": ({"shift": [-0.3, 0.3]}, affine),
    "brightness": ({"brightness": [0, 3]}, lambda x, d: V.adjust_brightness(x, d("brightness"))),
    "contrast": ({"contrast": [0, 3]}, lambda x, d: V.adjust_contrast(x, d("contrast"))),
    "gamma": ({"gamma": [0.3, 3]}, lambda x, d: V.adjust_gamma(x, d("gamma"))),
    "erase": ({"erase": {"p": 0.7, "value": 0.25}}, erase),
    "affine, crop, flip": (
        {
            "rotate": [-45, 45],
            "shear": [-20, 20],
            "scale": [0.7, 1.4],
            "shift": [-0.2, 0.2],
            "crop": 44,
            "flip": 0.5,
        },
        lambda x, d: flip(crop(affine(x, d), d), d),
    ),
    "area, flip": ({"area": [0.5, 1], "flip": 0.5}, lambda x, d: flip(resized_crop(x, d), d)),
    "light and box": (
        {"brightness": [0.5, 2], "contrast": [0.5, 2], "gamma": [0.5, 2], "erase": {"p": 1, "value": 0.25}},
        lambda x, d: erase(
            V.adjust_gamma(V.adjust_contrast(V.adjust_brightness(x, d("brightness")), d("contrast")), d("gamma")),
            d,
        ),
    ),
}


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_agrees_with_torchvision_picture_by_picture(name):
    recipe, counterpart = COUNTERPARTS[name]
    images = pictures(48)
    augmentation, draws = drawn(recipe, len(images))
    result = raw(augmentation.apply(images, draws))
    assert result.dtype == torch.float32
    for i, image in enumerate(images):

        def parameter(column, absent=None, i=i):
            return draws[column][i].item() if column in draws else absent

        expected = counterpart(image[None] / 255, parameter)
        torch.testing.assert_close(result[i], expected, atol=TOLERANCE, rtol=0)


def test_an_enlarged_affine_map_is_still_one_warp():
    """On a plane of grey, which bilinear sampling repeats exactly, one warp equals the warps one by one."""
    steps = torch.arange(SIZE, dtype=torch.uint8)
    planes = torch.stack([2 * steps[:, None] + 3 * steps, 2 * steps[:, None] + (SIZE - 1 - steps)])
    geometry = {"rotate": [-30, 30], "shear": [-10, 10], "scale": [1.1, 1.3], "shift": [-0.05, 0.05], "flip": 0.5}
    augmentation, draws = drawn({**geometry, "crop": 44, "resize": 84}, 20)
    images = planes.repeat(10, 1, 1)
    result = raw(augmentation.apply(images, draws))
    for i, image in enumerate(images):

        def parameter(column, absent=None, i=i):
            return draws[column][i].item() if column in draws else absent

        x = crop(affine(image[None] / 255, parameter), parameter)
        expected = enlarge(V.hflip(x) if parameter("flip") else x)
        inside = slice(20, 64)  # away from the corners, which the rotation leaves black
        torch.testing.assert_close(result[i][:, inside, inside], expected[:, inside, inside], atol=TOLERANCE, rtol=0)


def test_crops_and_flips_copy_pixels():
    images = pictures(64)
    augmentation, draws = drawn({"crop": 44, "flip": 0.5}, len(images))
    result = augmentation.apply(images, draws)
    for i, image in enumerate(images):
        expected = V.crop(image[None], int(draws["top"][i]), int(draws["left"][i]), 44, 44)
        expected = V.hflip(expected) if draws["flip"][i] else expected
        assert torch.equal(result[i], normalize(expected / 255))


def test_outside_the_picture_is_black():
    augmentation, draws = drawn({"shift": [0.5, 0.5]}, 1)
    result = raw(augmentation.apply(torch.full((1, SIZE, SIZE), 255, dtype=torch.uint8), draws))[0, 0]
    assert result[:24].abs().max() == 0
    assert result[:, :24].abs().max() == 0
    assert result[24:, 24:].min() > 1 - 1e-6


def test_normalisation_is_fixed():
    images = torch.tensor([0.0, 0.5, 1.0])
    assert normalize(images).tolist() == [-2, 0, 2]
    assert images.tolist() == [0, 0.5, 1]


def test_pictures_are_left_as_they_are():
    images = pictures(8)
    before = images.clone()
    for recipe in ({}, {"flip": 1.0}, EVERYTHING):
        augmentation, draws = drawn(recipe, 8)
        parameters = draws.values.clone()
        augmentation.apply(images, draws)
        assert torch.equal(images, before)
        assert torch.equal(draws.values, parameters)


def test_pictures_stay_at_their_place():
    """Every picture has a grey of its own; whatever the geometry, its middle keeps it."""
    greys = torch.arange(1, 256, dtype=torch.uint8)
    geometry = {key: EVERYTHING[key] for key in ("crop", "flip", "rotate", "shear", "scale")}
    augmentation, draws = drawn(geometry, 255)
    result = raw(augmentation.apply(greys[:, None, None].expand(-1, SIZE, SIZE), draws))
    torch.testing.assert_close(result[:, 0, 22, 22] * 255, greys.float(), atol=1e-2, rtol=0)


def test_batches_and_resumed_epochs_see_the_same():
    """Slices of an epoch's draws give what the whole gives, however the epoch is cut."""
    images = pictures(50)
    augmentation, draws = drawn(EVERYTHING, 50)
    whole = augmentation.apply(images, draws)
    for batch in (1, 7, 16, 32):
        parts = [augmentation.apply(images[i : i + batch], draws[i : i + batch]) for i in range(0, 50, batch)]
        torch.testing.assert_close(torch.cat(parts), whole, atol=2e-5, rtol=0)
    order = torch.randperm(50, generator=seeded(2))
    shuffled = augmentation.apply(images[order], draws[order])
    torch.testing.assert_close(shuffled, whole[order], atol=2e-5, rtol=0)


def test_the_generator_alone_decides():
    first, again, other = (drawn(EVERYTHING, 20, seed=seed)[1] for seed in (3, 3, 4))
    assert first.columns == again.columns
    assert torch.equal(first.values, again.values)
    assert not torch.equal(first.values, other.values)


def test_applying_reads_nothing_back_to_the_host():
    """A meta tensor has no values: any step that depended on one would raise."""
    for recipe in ({}, {"crop": 44, "flip": 0.5}, {**EVERYTHING, "area": [0.5, 1, 0.5], "resize": 84}):
        augmentation, draws = drawn(recipe, 6)
        result = augmentation.apply(pictures(6).to("meta"), draws.to("meta"))
        assert result.shape == (6, 1, *2 * [augmentation.view(SIZE).resize])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_what_the_cpu_gives():
    images = pictures(64)
    augmentation, draws = drawn(EVERYTHING, 64)
    on_device = images.cuda(), draws.to("cuda")
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = augmentation.apply(*on_device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(result.cpu(), augmentation.apply(images, draws), atol=1e-3, rtol=0)


def test_every_parameter_differs_between_pictures():
    recipe = {**EVERYTHING, "area": [0.3, 1], "noise": [0.01, 0.1]}
    _, draws = drawn(recipe, 2000)
    few = {"flip": 2, "left": 20, "top": 20, "window": 15}
    for column in draws.columns:
        distinct = draws[column].unique()
        least = few.get(column, 20 if column.startswith("erase") else 900)
        assert len(distinct) >= least, column
    # No parameter is another one's copy.
    correlation = np.corrcoef(draws.values.numpy(), rowvar=False)
    bound = {("window", "left"), ("window", "top"), ("left", "top")} | {
        (a, b) for a in draws.columns for b in draws.columns if a.startswith("erase") and b.startswith("erase")
    }
    for i, a in enumerate(draws.columns):
        for j, b in enumerate(draws.columns[:i]):
            if (a, b) not in bound and (b, a) not in bound:
                assert abs(correlation[i, j]) < 0.1, (a, b)


@pytest.mark.parametrize("name", ["rotate", "shear", "scale", "shift", "brightness", "contrast", "gamma", "noise"])
def test_magnitudes_are_uniform_over_their_range_in_their_share(name):
    low, high, p, n = 0.2, 0.7, 0.3, 20_000
    _, draws = drawn({name: [low, high, p]}, n)
    neutral = 1.0 if name in ("scale", "brightness", "contrast", "gamma") else 0.0
    columns = ["shift_x", "shift_y"] if name == "shift" else [name]
    for column in columns:
        values = draws[column].numpy()
        changed = values[values != neutral]
        assert abs(len(changed) / n - p) < 4 * math.sqrt(p * (1 - p) / n)
        assert changed.min() >= low - 1e-6
        assert changed.max() <= high + 1e-6
        assert stats.kstest(changed, stats.uniform(low, high - low).cdf).pvalue > 1e-3
    if name == "shift":
        assert torch.equal(draws["shift_x"] == 0, draws["shift_y"] == 0)


def test_crop_windows_cover_every_place_equally():
    _, draws = drawn({"crop": 44, "flip": 0.25}, 25_000)
    places = (draws["top"] * 5 + draws["left"]).long()
    counts = torch.bincount(places, minlength=25)
    assert len(counts) == 25
    assert stats.chisquare(counts).pvalue > 1e-3
    assert abs(draws["flip"].mean() - 0.25) < 0.012


def test_area_windows_lie_in_the_picture_and_cover_their_shares():
    _, draws = drawn({"area": [0.5, 1]}, 20_000)
    for column in ("left", "top"):
        assert draws[column].min() == 0
        assert (draws[column] + draws["window"]).max() == SIZE
    share = (draws["window"] / SIZE) ** 2
    assert share.min() > 0.48
    assert share.max() == 1
    assert abs(share.mean() - 0.75) < 0.005
    # Where no window is drawn, the crop's own is meant.
    _, draws = drawn({"area": [0.5, 0.6, 0.5], "crop": 44}, 1000)
    assert 400 < (draws["window"] == 44).sum() < 600


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(sorted),
    st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)).map(sorted),
    st.integers(8, 64),
    st.integers(0, 2**31),
)
def test_boxes_lie_in_the_output(area, ratio, size, seed):
    _, draws = drawn({"erase": {"p": 1, "area": area, "ratio": ratio}}, 100, size, seed)
    top, left, height, width = (draws[f"erase_{name}"] for name in ("top", "left", "height", "width"))
    assert torch.equal(draws.values, draws.values.round())
    assert min(top.min(), left.min()) >= 0
    assert min(height.min(), width.min()) >= 1
    assert max((top + height).max(), (left + width).max()) <= size


def test_boxes_cover_their_areas_ratios_and_places():
    _, draws = drawn({"erase": {"p": 0.4, "area": [0.1, 0.3], "ratio": [0.5, 2]}, "crop": 44}, 40_000)
    there = draws["erase_height"] > 0
    assert abs(there.float().mean() - 0.4) < 0.01
    boxes = draws[there.nonzero().flatten()]
    area = boxes["erase_height"] * boxes["erase_width"] / 44**2
    ratio = (boxes["erase_height"] / boxes["erase_width"]).log2()
    assert abs(area.mean() - 0.2) < 0.002
    assert 0.09 < area.min() < 0.11 < 0.29 < area.max() < 0.31
    assert abs(ratio.mean()) < 0.02
    assert -1.1 < ratio.min() < -0.9 < 0.9 < ratio.max() < 1.1
    for start, length in (("erase_top", "erase_height"), ("erase_left", "erase_width")):
        assert boxes[start].min() == 0
        assert (boxes[start] + boxes[length]).max() == 44
        place = (boxes[start] + 0.5) / (45 - boxes[length])  # uniform between the two ends
        assert stats.kstest(place.numpy(), "uniform").statistic < 0.03


def numpy_noise(seed: int, size: int) -> np.ndarray:
    """The documented hash and Box-Muller transform in unsigned integers and float64."""

    def mixed(x):
        x = np.asarray(x, np.uint64)
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
        return x ^ (x >> np.uint64(16))

    position = np.arange((size * size + 1) // 2, dtype=np.uint64)
    bits = mixed((mixed(seed) + position) & np.uint64(0xFFFFFFFF))
    radius = np.sqrt(-2 * np.log(((bits & np.uint64(0xFFFF)) + 0.5) / 65536))
    angle = 2 * np.pi * (bits >> np.uint64(16)) / 65536
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[: size * size].reshape(size, size)


@pytest.mark.parametrize("size", [44, 47])
def test_noise_is_the_documented_function(size):
    seeds = [0, 1, 12_345, 2**24 - 1]
    noise = gaussian_noise(torch.tensor(seeds, dtype=torch.float32), size)
    assert noise.shape == (4, 1, size, size)
    for seed, picture in zip(seeds, noise, strict=True):
        np.testing.assert_allclose(picture[0].numpy(), numpy_noise(seed, size), atol=2e-5)


def test_noise_is_standard_normal_and_independent():
    # Neighbouring seeds, the hardest case for a hash.
    noise = gaussian_noise(torch.arange(1000, dtype=torch.float32), 44).flatten(1).double()
    count = noise.numel()
    assert abs(noise.mean()) < 4 / math.sqrt(count)
    assert abs(noise.var() - 1) < 4 * math.sqrt(2 / count)
    assert abs((noise**4).mean() - 3) < 4 * math.sqrt(96 / count)
    assert stats.kstest(noise[::50].flatten(), "norm").pvalue > 1e-3
    # Between pictures, pixels, rows and the two pixels of one hash: products of independent pairs average 0.
    square = noise.view(-1, 44, 44)
    pairs = {
        "pictures": (noise[1:], noise[:-1]),
        "columns": (square[:, :, 1:], square[:, :, :-1]),
        "rows": (square[:, 1:], square[:, :-1]),
        "one hash": (noise[:, :968], noise[:, 968:]),
    }
    for name, (a, b) in pairs.items():
        for power in (1, 2):
            product = (a**power - (power - 1)) * (b**power - (power - 1))
            assert abs(product.mean()) < 4 * product.std() / math.sqrt(product.numel()), (name, power)


def test_noise_has_the_stated_variance_in_a_picture():
    grey = torch.full((400, SIZE, SIZE), 128, dtype=torch.uint8)
    augmentation, draws = drawn({"noise": [0.0316, 0.0316]}, 400)
    change = raw(augmentation.apply(grey, draws)) - 128 / 255
    assert abs(change.mean()) < 4 * 0.0316 / 960
    assert change.var().item() == pytest.approx(0.001, rel=0.01)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_weights_follow_their_beta_distribution(alpha):
    _, draws = drawn({"mixup": alpha}, 20_000)
    weight = draws["mixup"]
    assert weight.min() >= 0
    assert weight.max() <= 1
    assert weight.mean().item() == pytest.approx(0.5, abs=0.01)
    assert weight.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)


def test_mixing_blends_pictures_and_targets_alike():
    images = torch.randn(9, 1, 44, 44, generator=seeded())
    targets = torch.eye(7)[[0, 1, 2, 3, 4, 5, 6, 0, 1]]
    _, draws = drawn({"mixup": 1.0}, 9)
    mixed, soft = mix(images, targets, draws)
    for i in range(9):
        weight = draws["mixup"][i]
        torch.testing.assert_close(mixed[i], weight * images[i] + (1 - weight) * images[i - 1])
        torch.testing.assert_close(soft[i], weight * targets[i] + (1 - weight) * targets[i - 1])
    torch.testing.assert_close(soft.sum(1), torch.ones(9))


@pytest.mark.parametrize("size", [48, 44, 41])
def test_views_are_torchvisions(size):
    images = pictures(5)
    center = V.center_crop(images, [size, size])
    expected = {
        "one": [center],
        "flip": [center, V.center_crop(V.hflip(images), [size, size])],
        "five": V.five_crop(images, [size, size]),
        "ten": V.ten_crop(images, [size, size]),
    }
    for kind, views in expected.items():
        result = augment.test_views(images, kind, size)
        assert result.shape == (len(views), 5, 1, size, size)
        assert torch.equal(result, normalize(torch.stack(list(views))[:, :, None] / 255))
        enlarged = augment.test_views(images, kind, size, 84)
        expected_large = torch.stack([enlarge(view / 255) for view in views])[:, :, None]
        torch.testing.assert_close(raw(enlarged), expected_large, atol=TOLERANCE, rtol=0)


def test_jittered_views_are_crops_resized_and_their_mirror_images():
    images = pictures(5)
    views = augment.test_views(images, "jitter", 40)
    assert views.shape == (32, 5, 1, 40, 40)
    assert torch.equal(views[16:], views[:16].flip(4))
    assert augment.test_views(images, "jitter", 40, 84).shape == (32, 5, 1, 84, 84)
    inside = slice(1, -1)  # the rim of a smaller window sees its outer neighbours, which a crop lacks
    for i, (top, left) in enumerate([(6, 6), (6, 10), (10, 6), (10, 10)]):  # the center's is 8, 8
        cropped = images[:, None, top : top + 32, left : left + 32] / 255
        expected = V.resize(cropped, [40, 40], antialias=False)
        torch.testing.assert_close(raw(views[i])[..., inside, inside], expected[..., inside, inside], atol=1e-4, rtol=0)


def test_jittered_views_are_of_several_sizes_and_repeat_the_rim():
    ramp = torch.arange(0, 240, 5, dtype=torch.uint8).expand(1, 48, 48)
    views = raw(augment.test_views(ramp, "jitter", 48)) * 255
    for i, (size, shift) in enumerate(itertools.product((0.8, 0.93, 1.07, 1.2), (-2, 2, -2, 2))):
        row, middle = views[i, 0, 0, 20], 5 * (23.5 + shift)  # 5 grey levels a pixel; the shifts down change nothing
        torch.testing.assert_close(row[23:25].mean(), torch.tensor(middle), atol=1e-2, rtol=0)
        torch.testing.assert_close(row[16:32].diff(), torch.full((15,), 5 * size), atol=1e-2, rtol=0)
    left = views[12, 0, 0, 20]  # from 6.8 pixels left of the picture to 2.8 right of it
    assert left[:5].eq(0).all()
    torch.testing.assert_close(left[-2:], torch.full((2,), 235.0), atol=1e-2, rtol=0)


def test_views_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="unknown kind of test views 'fiv': did you mean five"):
        augment.test_views(pictures(1), "fiv", 44)
    with pytest.raises(UserError, match="50 pixels do not fit into pictures of 48"):
        augment.test_views(pictures(1), "one", 50)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"rotat": [0, 1]}, "augmentation: unknown key 'rotat': did you mean rotate"),
        ({"erase": {"p": 1, "ara": [0, 1]}}, "erase: unknown key 'ara': did you mean area"),
        ({"rotate": 10}, "rotate = 10: expected a list or nothing, got a whole number"),
        ({"rotate": [10, -10]}, r"rotate = \[10, -10\]: low 10 is above high -10"),
        ({"rotate": [0, 10, 1.5]}, r"rotate\[2\] = 1.5: expected a number <= 1.0"),
        ({"rotate": ["0", 10]}, r"rotate\[0\] = '0': expected a number, got text"),
        ({"scale": [0, 1]}, r"scale\[0\] = 0: expected a number >= 0.1"),
        ({"flip": True}, "flip = True: expected a number, got true or false"),
        ({"flip": float("nan")}, "flip = nan: expected a number"),
        ({"crop": 44.0}, "crop = 44.0: expected a whole number or nothing"),
        ({"erase": 0.5}, "erase = 0.5: expected a table"),
        ({"erase": {}}, "lacks erase.p"),
        ({"erase": {"p": 1, "area": [0.1, 0.2, 0.5]}}, "erase.area = .*: expected a list of length 2"),
        ({"erase": {"p": 1, "area": [0.2, 0.1]}}, "erase = .*: low 0.2 is above high 0.1"),
        ({"mixup": -1}, "mixup = -1: expected a number >= 0"),
        ([], "augmentation: expected a table, got a list"),
    ],
)
def test_wrong_recipes_are_named(recipe, message):
    with pytest.raises(UserError, match=message):
        Augmentation.from_dict(recipe)


def test_resize_does_not_shrink():
    with pytest.raises(UserError, match="'resize': 40 pixels are fewer than the 48 shown; it enlarges"):
        drawn({"resize": 40}, 1)
    assert face_view({"crop": 44, "resize": 44}) == (44, 44)


def test_crops_larger_than_the_picture_are_refused():
    with pytest.raises(UserError, match="44 pixels do not fit into pictures of 32"):
        drawn({"crop": 44}, 1, size=32)


@pytest.mark.parametrize("images", [pictures(2) / 255, pictures(2)[:, :40], pictures(2)[0]])
def test_other_pictures_are_refused(images):
    augmentation, draws = drawn({"flip": 0.5}, 2)
    with pytest.raises(ValueError, match=r"pictures must be uint8 \[B, H, H\]"):
        augmentation.apply(images, draws)
