"""FER+, CK+ and folders of pictures: what is read, how it is joined, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_lib.data import CKPLUS_CLASSES, FER2013_CLASSES, FaceDataset, load_dataset
from fer_lib.data.ckplus import read_ck48, read_original
from fer_lib.data.ferplus import FERPLUS_CLASSES, add_votes, agreement, read_votes
from fer_lib.data.folder import read_folder
from fer_lib.errors import UserError

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def save(path: Path, tone=0, size=(48, 48), mode="L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, tone).save(path)
    return path


# ---------------------------------------------------------------- FER+


@pytest.fixture
def three() -> FaceDataset:
    return FaceDataset(
        name="fer2013",
        images=np.zeros((3, 48, 48), np.uint8),
        labels=np.array([0, 3, 4]),
        classes=FER2013_CLASSES,
        split=np.array(["train", "val", "test"]),
        source="fer2013.csv",
    )


def votes_file(folder: Path, *rows: str) -> Path:
    path = folder / "fer2013new.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


TRAIN = "Training,fer0.png,4,0,0,1,5,0,0,0,0,0"
VAL = "PublicTest,fer1.png,0,7,3,0,0,0,0,0,0,0"
TEST = "PrivateTest,,0,0,0,0,0,0,0,0,0,10"


def test_votes_are_joined_by_row(three, tmp_path):
    joined = add_votes(three, votes_file(tmp_path, TRAIN, VAL, TEST))
    assert joined.vote_classes == FERPLUS_CLASSES
    assert joined.votes[0].tolist() == [4, 0, 0, 1, 5, 0, 0, 0, 0, 0]
    assert joined.votes[2, FERPLUS_CLASSES.index("not_face")] == 10
    assert agreement(joined).tolist() == [True, True, False]
    assert joined.fingerprint == three.fingerprint


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([TRAIN, VAL], "2 rows of votes for 3 pictures"),
        ([TRAIN, TEST, VAL], "line 3: Usage 'PrivateTest' but"),
        ([TRAIN, VAL, TEST + ",1"], "line 4: 13 fields instead of 12"),
        ([TRAIN, VAL.replace("7", "x"), TEST], "line 3: a vote is not a whole number"),
        ([TRAIN, VAL.replace("7", "-7"), TEST], "line 3: a vote is not a whole number"),
        (["Train" + TRAIN[8:], VAL, TEST], "line 2: Usage 'Train'"),
    ],
)
def test_votes_that_do_not_fit_are_refused(three, tmp_path, rows, words):
    path = votes_file(tmp_path, *rows)
    with pytest.raises(UserError, match=words) as error:
        add_votes(three, path)
    assert str(path) in str(error.value)


def test_another_file_is_no_votes(tmp_path):
    (tmp_path / "fer2013new.csv").write_text("emotion,pixels,Usage\n")
    with pytest.raises(UserError, match="not the header"):
        read_votes(tmp_path / "fer2013new.csv")


@pytest.mark.data
def test_the_real_votes(fer_data):
    """Rows without a face, and pluralities outside the seven classes, as counted by others."""
    dataset = load_dataset("fer2013", fer_data)
    assert dataset.votes.shape == (35_887, 10)
    most = np.array(dataset.vote_classes)[dataset.votes.argmax(1)]
    for name, counts in {"not_face": (150, 11, 16), "unknown": (170, 25, 27), "contempt": (165, 24, 27)}.items():
        assert tuple((most[dataset.indices(split)] == name).sum() for split in ("train", "val", "test")) == counts


# ---------------------------------------------------------------- CK+


def test_ck48_reads_subject_and_sequence_from_the_names(tmp_path):
    save(tmp_path / "CK+48/sadness/S011_002_00000019.png", 30)
    save(tmp_path / "CK+48/anger/S010_004_00000018.png", 20)
    save(tmp_path / "CK+48/anger/S010_004_00000017.png", 10)
    save(tmp_path / "CK+48/contempt/S138_008_00000009.png", 40)
    dataset = load_dataset("ckplus", tmp_path)
    assert dataset.classes == CKPLUS_CLASSES
    assert dataset.labels.tolist() == [0, 0, 4, 6]
    assert dataset.images[:, 5, 5].tolist() == [10, 20, 30, 40]
    assert dataset.subject.tolist() == ["S010", "S010", "S011", "S138"]
    assert dataset.sequence.tolist() == ["S010_004", "S010_004", "S011_002", "S138_008"]
    assert set(dataset.split) == {""}


def test_ck48_refuses_a_name_without_subject(tmp_path):
    save(tmp_path / "anger/face1.png")
    with pytest.raises(UserError, match=r"face1\.png: the name must say"):
        read_ck48(tmp_path)


@pytest.fixture
def original(tmp_path) -> Path:
    """Two sequences with a label, one without, in the original tree."""
    for sequence, frames in (("S010/004", 5), ("S011/001", 4), ("S011/002", 4)):
        subject, number = sequence.split("/")
        for frame in range(1, frames + 1):
            picture = Image.new("L", (64, 48), 255)
            picture.paste(10 * frame, (8, 0, 56, 48))  # the central square
            path = tmp_path / f"cohn-kanade-images/{sequence}/{subject}_{number}_{frame:08d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
    for name, text in (("S010/004/S010_004_00000005", "   7.0000000e+00\n"), ("S011/001/S011_001_00000004", "2.0")):
        path = tmp_path / f"Emotion/{name}_emotion.txt"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path


def test_the_original_tree_gives_the_last_three_frames_cut_square(original):
    dataset = load_dataset("ckplus", original)
    assert dataset.sequence.tolist() == ["S010_004"] * 3 + ["S011_001"] * 3
    assert [dataset.classes[label] for label in dataset.labels] == ["surprise"] * 3 + ["contempt"] * 3
    assert dataset.images.min((1, 2)).tolist() == [30, 40, 50, 20, 30, 40]
    assert dataset.images.max((1, 2)).tolist() == [30, 40, 50, 20, 30, 40]


@pytest.mark.parametrize("text", ["0.0", "8", "", "happy", "nan"])
def test_a_label_out_of_range_is_named(original, text):
    label = original / "Emotion/S011/001/S011_001_00000004_emotion.txt"
    label.write_text(text)
    with pytest.raises(UserError, match=r"S011_001_00000004_emotion\.txt: label"):
        read_original(original / "cohn-kanade-images", original / "Emotion")


def test_a_sequence_without_pictures_is_named(original):
    for frame in (original / "cohn-kanade-images/S010/004").iterdir():
        frame.unlink()
    with pytest.raises(UserError, match=r"S010/004: 0 pictures for the label"):
        load_dataset("ckplus", original)


@pytest.mark.data
def test_the_real_ckplus(fer_data):
    dataset = load_dataset("ckplus", fer_data)
    assert list(dataset.counts()[""].values()) == [135, 177, 75, 207, 84, 249, 54]
    assert len(set(dataset.subject)) == 118
    assert np.unique(dataset.sequence, return_counts=True)[1].tolist() == [3] * 327


# ---------------------------------------------------------------- folders


def test_a_folder_of_any_size_and_colour(tmp_path):
    save(tmp_path / "Happiness/a.png", (255, 0, 0), (100, 60), "RGB")
    save(tmp_path / "anger/b.PNG", (0, 255, 0, 128), (20, 20), "RGBA")
    save(tmp_path / "neutral/c.bmp", 77, (48, 48))
    (tmp_path / "neutral/notes.txt").write_text("not a picture")
    (tmp_path / ".hidden").mkdir()
    dataset = load_dataset(f"folder:{tmp_path}")
    assert dataset.classes == ("angry", "happy", "neutral")
    assert dataset.labels.tolist() == [0, 1, 2]
    # Luma of pure red, ITU-R 601, and of pure green of which one half is the white below.
    assert dataset.images[:, 24, 24].tolist() == [202, 76, 77]
    assert dataset.images.shape == (3, 48, 48)
    assert set(dataset.split) == {""}
    assert str(tmp_path) not in dataset.name + dataset.source
    assert read_folder(tmp_path, size=96).images.shape == (3, 96, 96)


def test_a_level_of_splits_is_optional(tmp_path):
    for i, name in enumerate(("validation/sad", "test/sad", "train/sad", "train/contempt")):
        save(tmp_path / name / "x.png", i)
    dataset = read_folder(tmp_path)
    assert dataset.split.tolist() == ["train", "train", "val", "test"]
    assert dataset.classes == ("sad", "contempt")
    assert dataset.images[:, 0, 0].tolist() == [2, 3, 0, 1]


def test_faults_of_a_folder_are_named(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        load_dataset(f"folder:{tmp_path}/nowhere")
    with pytest.raises(UserError, match="no class folders"):
        read_folder(tmp_path)
    save(tmp_path / "happy/a.png")
    (tmp_path / "sad").mkdir()
    with pytest.raises(UserError, match="sad: no pictures in this class folder"):
        read_folder(tmp_path)
    save(tmp_path / "sad/b.png")
    save(tmp_path / "hapy/c.png")
    with pytest.raises(UserError, match="hapy: unknown class 'hapy': did you mean happy"):
        read_folder(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a picture", "cut"])
def test_a_corrupt_picture_is_named(tmp_path, content):
    good = save(tmp_path / "happy/a.png", size=(200, 200))
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
    Image.fromarray(noise).save(good)
    bad = tmp_path / "happy/b.png"
    bad.write_bytes(good.read_bytes()[:9000] if content == "cut" else content)
    with pytest.raises(UserError, match=r"b\.png: not a readable picture") as error:
        read_folder(tmp_path)
    assert "\n" not in str(error.value)
