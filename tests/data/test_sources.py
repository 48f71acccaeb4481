"""FER+, CK+ and folders of pictures: what is read, how it is joined, and what is refused."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_lib.data import CKPLUS_CLASSES, FER2013_CLASSES, FaceDataset, load_dataset
from fer_lib.data.ckplus import read_ck48, read_original
from fer_lib.data.ferplus import FERPLUS_CLASSES, add_votes, agreement, read_votes, with_majority_labels
from fer_lib.data.folder import Form, read_folder
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


@pytest.mark.parametrize("change", [(",", ";"), (",", "\t"), (",5,", ",5.0,"), ("Image name", "image name")])
def test_votes_that_a_spreadsheet_wrote_read_the_same(three, tmp_path, change):
    path = votes_file(tmp_path, TRAIN, VAL, TEST)
    plain = add_votes(three, path).votes
    path.write_text(path.read_text().replace(*change))
    assert (add_votes(three, path).votes == plain).all()


@pytest.mark.parametrize("content", ["\0" * 100, "x" * 200_000, TRAIN + "," + "9" * 40])
def test_another_file_is_no_table_of_votes(three, tmp_path, content):
    path = tmp_path / "fer2013new.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=r"fer2013new\.csv") as error:
        add_votes(three, path)
    assert len(str(error.value)) < 500 + len(str(path))


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


@pytest.mark.parametrize("folder", ["CK48", "ckplus", "ck+/ck+48"])
def test_ck48_lies_in_other_folders(tmp_path, folder):
    save(tmp_path / folder / "anger/S010_004_00000017.png")
    assert load_dataset("ckplus", tmp_path).subject.tolist() == ["S010"]


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
    assert read_folder(tmp_path, Form(96)).images.shape == (3, 96, 96)


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


def test_what_systems_leave_in_folders_is_passed_over_and_named(tmp_path):
    for name in ("happy/a.png", "happy/._a.png", "sad/b.jfif", "__MACOSX/happy/a.png", "sad/.Trashes/c.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (48, 48)).save(path, "PNG")
    (tmp_path / "sad/list.csv").write_text("b.jfif")
    os.mkfifo(tmp_path / "sad/pipe.png")
    dataset = read_folder(tmp_path)
    assert dataset.classes == ("happy", "sad")
    assert len(dataset) == 2
    happy, sad = dataset.notes
    assert happy.endswith("passed over 1 that is no pictures: ._a.png")
    assert sad.endswith("passed over 3 that are no pictures: .Trashes/, list.csv, pipe.png")


def test_what_lies_beside_the_folders_that_are_read_is_named(tmp_path):
    for name in ("train/happy/a.png", "train/loose.png", "eval/happy/b.png", "test_set/happy/c.png"):
        save(tmp_path / name)
    (tmp_path / "labels.csv").write_text("a")
    dataset = read_folder(tmp_path)
    assert dataset.split.tolist() == ["train", "test"]
    top, train = dataset.notes
    assert top.endswith("passed over 2 that are no folders of a split or a class: eval/, labels.csv")
    assert train.endswith("passed over 1 that is no folders of a split or a class: loose.png")


def test_all_corrupt_pictures_of_a_folder_are_named_at_once(tmp_path):
    save(tmp_path / "happy/a.png")
    for name in ("happy/b.png", "sad/c.png"):
        save(tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"^2 of 3 pictures cannot be read.*b\.png.*c\.png"):
        read_folder(tmp_path)
    for number in range(200):
        (tmp_path / f"happy/{number}.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"^202 of 203 pictures cannot be read.*; and 182 more$"):
        read_folder(tmp_path)


def test_numbers_are_no_class_names(tmp_path):
    save(tmp_path / "3/face.png")
    with pytest.raises(UserError, match="3: a number does not say which class it is"):
        load_dataset(f"folder:{tmp_path}")


def test_an_archive_is_no_folder(tmp_path):
    (tmp_path / "faces.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(UserError, match=r"faces\.zip: a zip archive: unpack it first, where a folder is needed"):
        load_dataset(f"folder:{tmp_path}/faces.zip")


# ---------------------------------------------------------------- other collections

RAF = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")


def test_rafdb_as_folders_of_numbers(tmp_path):
    for split in ("train", "test"):
        for number in range(1, 8):
            save(tmp_path / f"DATASET/{split}/{number}/{split}_0000{number}_aligned.jpg", 30 * number, (100, 100))
    dataset = load_dataset(f"folder:{tmp_path}")
    assert dataset.split.tolist() == ["train"] * 7 + ["test"] * 7
    for image, label in zip(dataset.images, dataset.labels, strict=True):
        assert dataset.classes[label] == RAF[round(image.mean() / 30) - 1]


def test_rafdb_as_the_publishers_list(tmp_path):
    lines = ["train_00001.jpg 5", "train_00002.jpg 1", "test_0001.jpg 4"]
    (tmp_path / "EmoLabel").mkdir()
    listed = tmp_path / "EmoLabel/list_patition_label.txt"
    listed.write_text("\n".join(lines) + "\n")
    for name in ("train_00001", "train_00002", "test_0001"):
        save(tmp_path / f"Image/original/{name}.jpg", 200)
        save(tmp_path / f"Image/aligned/{name}_aligned.jpg", 100)
    dataset = load_dataset(f"folder:{tmp_path}")
    assert [dataset.classes[label] for label in dataset.labels] == ["sad", "surprise", "happy"]
    assert dataset.split.tolist() == ["train", "train", "test"]
    assert (dataset.images == 100).all()
    listed.write_text("train_00001.jpg 8\n")
    with pytest.raises(UserError, match=r"line 1: 'train_00001\.jpg 8' is not of the form"):
        load_dataset(f"folder:{tmp_path}")
    listed.write_text("train_00009.jpg 1\n")
    with pytest.raises(UserError, match="line 1: no picture train_00009_aligned"):
        load_dataset(f"folder:{tmp_path}")


def test_jaffe_says_who_is_shown(tmp_path):
    for name in ("KA.AN1.39", "KA.HA2.30", "YM.SU3.60", "YM.NE1.49"):
        save(tmp_path / f"jaffe/{name}.tiff", size=(256, 256))
    (tmp_path / "jaffe/README").write_text("terms")
    dataset = load_dataset(f"folder:{tmp_path}/jaffe")
    assert [dataset.classes[label] for label in dataset.labels] == ["angry", "happy", "surprise", "neutral"]
    assert dataset.subject.tolist() == ["KA", "KA", "YM", "YM"]
    assert load_dataset(f"folder:{tmp_path}").subject.tolist() == dataset.subject.tolist()
    assert dataset.notes == (f"{tmp_path}/jaffe: passed over 1 that is no pictures of JAFFE: README",)


def test_ck48_with_neutral_is_refused_with_what_to_do(tmp_path):
    for name in ("anger/S010_004_00000017.png", "neutral/S010_004_00000001.png"):
        save(tmp_path / "CK+48" / name)
    with pytest.raises(UserError, match=r"neutral: CK\+ has no label neutral.*move it away.*folder:"):
        load_dataset("ckplus", tmp_path)
    assert load_dataset(f"folder:{tmp_path}/CK+48").classes == ("angry", "neutral")


# ---------------------------------------------------------------- FER+ as labels


def votes_of(dataset: FaceDataset, *rows: list[int]) -> FaceDataset:
    return replace(dataset, votes=np.array(rows), vote_classes=FERPLUS_CLASSES)


def test_majority_labels_by_hand(three):
    """Of the order neutral, happy, surprise, sad, angry, disgust, fear, contempt, unknown, not a face."""
    sad = [0, 0, 0, 6, 4, 0, 0, 0, 0, 0]
    no_face = [1, 0, 0, 0, 0, 0, 0, 0, 0, 9]
    contempt = [1, 1, 1, 0, 0, 1, 1, 5, 0, 0]  # of five votes, since single ones do not count
    labelled = with_majority_labels(votes_of(three, sad, no_face, contempt))
    assert [labelled.classes[label] for label in labelled.labels] == ["sad", "contempt"]
    assert labelled.split.tolist() == ["train", "test"]
    assert labelled.name == "ferplus"
    half = [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]
    assert len(with_majority_labels(votes_of(three, half, half, half))) == 0


def test_the_folders_of_ferplus_own_script(tmp_path):
    for folder, row in (
        ("FER2013Train", "fer0000000.png,0,8,2,0,0,0,0,0,0,0"),
        ("FER2013Valid", 'fer0028709.png,"(0, 0, 48, 48)",9,1,0,0,0,0,0,0,0,0'),
        ("FER2013Test", "fer0032298.png,0,0,0,0,0,0,0,0,0,10"),
    ):
        save(tmp_path / "ferplus/data" / folder / row.split(",")[0], 7)
        (tmp_path / "ferplus/data" / folder / "label.csv").write_text(row + "\n")
    dataset = load_dataset("ferplus", tmp_path)
    assert [dataset.classes[label] for label in dataset.labels] == ["happy", "neutral"]
    assert dataset.split.tolist() == ["train", "val"]
    assert load_dataset(f"folder:{tmp_path}/ferplus/data").fingerprint == dataset.fingerprint
    (tmp_path / "ferplus/data/FER2013Test/label.csv").write_text("fer0032298.png,1,2\n")
    with pytest.raises(UserError, match=r"label\.csv, line 1: not a picture's name and 10 votes"):
        load_dataset("ferplus", tmp_path)


def test_the_lists_of_ferplus_without_their_pictures(tmp_path):
    """As its repository is cloned: the votes are joined to fer2013.csv, where that is."""
    for folder in ("FER2013Train", "FER2013Valid", "FER2013Test"):
        (tmp_path / "ferplus/data" / folder).mkdir(parents=True)
        (tmp_path / "ferplus/data" / folder / "label.csv").write_text("fer0000000.png,0,8,2,0,0,0,0,0,0,0\n")
    with pytest.raises(UserError, match=r"without the pictures.*generate_training_data\.py"):
        load_dataset("ferplus", tmp_path)
    votes_file(tmp_path / "ferplus", TRAIN)
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n0," + "7 " * 2304 + ",Training\n")
    dataset = load_dataset("ferplus", tmp_path)
    assert [dataset.classes[label] for label in dataset.labels] == ["angry"]


@pytest.mark.data
def test_the_real_majority_labels(fer_data):
    """The pictures that have a majority, against the plain loop of the paper's description."""
    votes = load_dataset("fer2013", fer_data).votes.tolist()
    kept = 0
    for row in votes:
        counted = [count if count > 1 else 0 for count in row]
        kept += max(counted) > sum(counted) / 2 and counted.index(max(counted)) < 8
    assert len(load_dataset("ferplus", fer_data)) == kept
