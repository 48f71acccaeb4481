"""Faces as PyTorch, torchvision and timm take them, in any size and colour and with any class names."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.transforms import v2

from fer_lib.data import FER2013_CLASSES, FaceDataset, load_dataset, synthetic
from fer_lib.data.ferplus import FERPLUS_CLASSES, with_majority_labels
from fer_lib.errors import UserError
from fer_lib.losses import create_loss


@pytest.fixture(scope="module")
def faces():
    return synthetic(train=40, val=14, test=14)


def test_a_loader_gets_what_the_arrays_hold(faces):
    train = faces.torch("train")
    assert (len(train), train.classes) == (40, faces.classes)
    images, labels = next(iter(DataLoader(train, batch_size=40)))
    chosen = faces.subset(faces.indices("train"))
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert torch.equal((255 * images[:, 0]).round().to(torch.uint8), torch.from_numpy(chosen.images))
    assert labels.tolist() == chosen.labels.tolist() == train.targets.tolist()
    assert len(faces.torch()) == len(faces)


@pytest.mark.parametrize(
    "transform",
    [
        v2.Compose([v2.Resize(64), v2.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]),
        transforms.Compose([transforms.Resize(64), transforms.ToTensor()]),
    ],
)
def test_transforms_of_torchvision(faces, transform):
    images, _ = next(iter(DataLoader(faces.torch("val", transform), batch_size=14)))
    assert images.shape == (14, 1, 64, 64)
    assert 0 <= images.min() < images.max() <= 1


def test_targets_are_transformed_too(faces):
    assert faces.torch("test", target_transform=lambda label: -label)[3][1] == -faces.torch("test")[3][1]


def test_what_there_is_not_is_named(faces):
    with pytest.raises(UserError, match=r"unknown split of synthetic: 'tests': did you mean test\?"):
        faces.torch("tests")
    with pytest.raises(UserError, match="synthetic: no votes of FER"):
        faces.torch(targets="votes")
    with pytest.raises(UserError, match="unknown targets 'soft'"):
        faces.torch(targets="soft")
    for several in (slice(0, 3), [1, 2]):  # a dataset of PyTorch gives one at a time
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            faces.torch()[several]


def with_votes() -> FaceDataset:
    votes = np.zeros((3, 10), np.int64)
    of = FERPLUS_CLASSES.index
    votes[0, [of("happy"), of("neutral"), of("fear")]] = 6, 3, 1  # one annotator alone does not count
    votes[1, [of("contempt"), of("unknown")]] = 7, 3
    votes[2, [of("not_face"), of("sad")]] = 9, 1
    labels = np.array([FER2013_CLASSES.index(name) for name in ("happy", "neutral", "sad")])
    return FaceDataset(
        "fer2013", np.zeros((3, 48, 48), np.uint8), labels, FER2013_CLASSES, np.array(["train"] * 3), "x",
        votes=votes, vote_classes=FERPLUS_CLASSES,
    )  # fmt: skip


def test_votes_as_soft_targets():
    """By hand, of FER2013's seven classes and of FER+'s eight."""
    dataset = with_votes()
    shares = dataset.vote_shares()
    expected = np.zeros((3, 7))
    expected[0, [FER2013_CLASSES.index("happy"), FER2013_CLASSES.index("neutral")]] = 6 / 9, 3 / 9
    expected[1, FER2013_CLASSES.index("neutral")] = 1  # contempt is no class here: its own label
    expected[2, FER2013_CLASSES.index("sad")] = 1
    np.testing.assert_allclose(shares, expected)
    ferplus = with_majority_labels(dataset)
    assert [ferplus.classes[label] for label in ferplus.labels] == ["happy", "contempt"]
    assert ferplus.vote_shares()[1].tolist() == [0] * 7 + [1]
    _, targets = next(iter(DataLoader(ferplus.torch("train", targets="votes"), batch_size=2)))
    assert (targets.shape, targets.dtype) == ((2, 8), torch.float32)
    for loss in ("cross_entropy", "focal", "focal_li"):
        assert create_loss(loss, 8)(torch.zeros(2, 8), targets).isfinite()


@pytest.mark.data
def test_the_real_votes_as_targets(fer_data):
    dataset = load_dataset("ferplus", fer_data)
    shares = dataset.vote_shares()
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    assert (shares.argmax(1) == dataset.labels).all()


# ---------------------------------------------------------------- folders


def save(path, colour, size=(20, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_any_class_names_sizes_and_colours(tmp_path):
    save(tmp_path / "train/bored/a.png", (255, 0, 0))
    save(tmp_path / "train/Happiness/b.png", (0, 0, 255))
    save(tmp_path / "val/Attentive/c.png", (0, 255, 0))
    grey = load_dataset(f"folder:{tmp_path}")
    assert grey.classes == ("happy", "attentive", "bored")
    assert grey.images.shape == (3, 48, 48)
    rgb = load_dataset(f"folder:{tmp_path}", size=112, colour=True)
    assert rgb.images.shape == (3, 112, 112, 3)
    assert rgb.images[:, 50, 50].tolist() == [[0, 0, 255], [255, 0, 0], [0, 255, 0]]
    image, label = rgb.torch("val")[0]
    assert (image.shape, label) == ((3, 112, 112), 1)
    shown, _ = rgb.torch("val", v2.PILToTensor())[0]
    assert shown.shape == (3, 112, 112)
    with pytest.raises(UserError, match="dataset fer2013: size and colour are for folder:PATH"):
        load_dataset("fer2013", colour=True)
    with pytest.raises(UserError, match="size must be an integer of at least 1: got 0"):
        load_dataset(f"folder:{tmp_path}", size=0)
    with pytest.raises(UserError, match="dataset must be a name, such as fer2013 or folder:PATH: got "):
        load_dataset(tmp_path)


def test_a_relative_folder_counts_from_the_checkout_and_says_so(tmp_path, monkeypatch):
    save(tmp_path / "faces" / "train" / "happy" / "a.png", (255, 0, 0))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"no such folder; a relative path counts from .*: {tmp_path / 'faces'}\?$"):
        load_dataset("folder:faces")
    with pytest.raises(UserError, match=r"/nowhere: no such folder$"):
        load_dataset("folder:nowhere")


def test_affectnet_as_published(tmp_path):
    root = tmp_path / "AffectNet"
    for part, number, expression in (
        ("train_set", 5, "1"), ("train_set", 12, "7"), ("val_set", 3, "0"), ("val_set", 4, "9"),
    ):  # fmt: skip
        save(root / part / "images" / f"{number}.jpg", (number, 0, 0))
        (root / part / "annotations").mkdir(exist_ok=True)
        np.save(root / part / "annotations" / f"{number}_exp.npy", np.array(expression))
    dataset = load_dataset(f"folder:{tmp_path}")
    assert [dataset.classes[label] for label in dataset.labels] == ["contempt", "happy", "neutral"]
    assert dataset.split.tolist() == ["train", "train", "val"]
    assert dataset.notes == ("1 pictures of AffectNet without an expression are left out",)
    np.save(root / "val_set/annotations/3_exp.npy", np.array("11"))
    with pytest.raises(UserError, match=r"3_exp\.npy: expression 11, AffectNet's are 0 to 10"):
        load_dataset(f"folder:{tmp_path}")


def test_a_recipe_refuses_colours(tmp_path):
    from tiny import tiny_recipe

    from fer_lib.queue.train import train_run
    from fer_lib.recipe import RunSpec

    save(tmp_path / "train/happy/a.png", "red")
    colours = load_dataset(f"folder:{tmp_path}", colour=True)
    with pytest.raises(UserError, match=r"pictures of \[48, 48, 3\], which are for FaceDataset.torch"):
        train_run(RunSpec(tiny_recipe()), results=tmp_path / "results", device="cpu", dataset=colours)


def test_a_dataset_shows_itself_in_a_line(faces):
    assert repr(faces) == "FaceDataset('synthetic', 68 pictures 48x48, 7 classes; train 40, val 14, test 14)"
    assert repr(faces.torch("val")) == "TorchFaces(14 pictures, 7 classes)"
