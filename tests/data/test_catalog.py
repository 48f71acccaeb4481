"""Finding datasets by name, checking them, and fetching them."""

import os
import re
import shutil
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fer_lib import paths
from fer_lib.data import catalog, load_dataset
from fer_lib.data.audit import audit
from fer_lib.data.check import check_report
from fer_lib.data.dataset import FER2013_CLASSES, FaceDataset
from fer_lib.data.download import COMPETITION, download
from fer_lib.data.facts import facts_of
from fer_lib.errors import UserError

ROW = "3," + " ".join(["7"] * 2304)
KAGGLE = "challenges-in-representation-learning-facial-expression-recognition-challenge"


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


# ---------------------------------------------------------------- finding


@pytest.mark.parametrize("folder", ["fer2013", "", KAGGLE, f"fer2013/{KAGGLE}"])
def test_fer2013_is_found_wherever_archives_put_it(tmp_path, folder):
    write(tmp_path / folder / "fer2013.csv", "emotion,pixels,Usage", f"{ROW},Training")
    assert len(load_dataset("fer2013", tmp_path)) == 1
    assert (tmp_path / ".cache/fer2013.csv.npz").exists()


def test_the_variable_names_the_root(tmp_path, monkeypatch):
    write(tmp_path / "fer2013/fer2013.csv", "emotion,pixels,Usage", f"{ROW},Training")
    monkeypatch.setenv("FER_DATA", str(tmp_path))
    assert load_dataset("fer2013").source == "fer2013.csv"
    monkeypatch.delenv("FER_DATA")
    (tmp_path / "data").mkdir()
    shutil.move(tmp_path / "fer2013", tmp_path / "data")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    for place in ("", "notebooks", "data"):  # where a kernel or a shell stands makes no difference
        monkeypatch.chdir(tmp_path / place)
        assert load_dataset("fer2013").source == "fer2013.csv"
    monkeypatch.setattr(paths, "ROOT", tmp_path / "site-packages")  # an installed wheel has no checkout
    with pytest.raises(UserError, match=re.escape(f"FER2013 not found in {tmp_path}/data/data: ")):
        load_dataset("fer2013")
    monkeypatch.chdir(tmp_path)
    assert load_dataset("fer2013").source == "fer2013.csv"


@pytest.mark.parametrize("value", ["~/faces", "faces"])
def test_a_home_or_a_relative_folder_in_the_variable(tmp_path, monkeypatch, value):
    write(tmp_path / "faces/fer2013/fer2013.csv", "emotion,pixels,Usage", f"{ROW},Training")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("FER_DATA", value)
    assert load_dataset("fer2013").source == "fer2013.csv"
    monkeypatch.setenv("FER_DATA", "~nobody-of-this-name/faces")
    with pytest.raises(UserError, match="no such home folder"):
        load_dataset("fer2013")


def test_the_other_forms_are_found(tmp_path):
    train, test = ("emotion,pixels", ROW), ("emotion,pixels,Usage", f"{ROW},PublicTest")
    write(tmp_path / "a/fer2013/train.csv", *train)
    write(tmp_path / "a/fer2013/test.csv", *test)
    assert load_dataset("fer2013", tmp_path / "a").split.tolist() == ["train", "val"]
    for split in ("train", "test"):
        (tmp_path / "b" / split / "sad").mkdir(parents=True)
        Image.new("L", (48, 48)).save(tmp_path / "b" / split / "sad" / "x.jpg")
    assert load_dataset("fer2013", tmp_path / "b").split.tolist() == ["train", "test"]


@pytest.mark.parametrize("name", ["fer2013", "ckplus"])
def test_missing_data_say_where_they_were_looked_for(tmp_path, name):
    with pytest.raises(UserError) as error:
        load_dataset(name, tmp_path / "none")
    message = str(error.value)
    assert "\n" not in message
    for part in (str(tmp_path / "none"), f"fer data download {name}", "FER_DATA", f"{name}/"):
        assert part in message
    assert not (tmp_path / "none").exists()


def test_capitals_make_no_difference(tmp_path):
    write(tmp_path / "FER2013/FER2013.CSV", "emotion,pixels,Usage", f"{ROW},Training")
    assert len(load_dataset("fer2013", tmp_path)) == 1


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        ("fer2013/images/train fer2013/images/validation", ["train", "val"]),
        ("fer2013/Train fer2013/Test", ["train", "test"]),
        ("archive/train archive/test", ["train", "test"]),
        ("FER-2013/training_set FER-2013/Public_Test FER-2013/private-test", ["train", "val", "test"]),
        ("fer2013/archive/Training fer2013/archive/PublicTest fer2013/archive/PrivateTest", ["train", "val", "test"]),
    ],
)
def test_folder_copies_lie_in_other_folders_under_other_names(tmp_path, folders, splits):
    for folder in folders.split():
        (tmp_path / folder / "sad").mkdir(parents=True)
        Image.new("L", (48, 48)).save(tmp_path / folder / "sad" / "x.jpg")
    assert load_dataset("fer2013", tmp_path).split.tolist() == splits


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("fer2013/fer2013.csv.zip", b"PK\x03\x04", r"fer2013/fer2013\.csv\.zip is a zip archive: unpack it first"),
        ("archive.7z", b"7z\xbc\xaf\x27\x1c", r"archive\.7z is a 7-Zip archive"),
        ("fer2013/fer2013.csv.txt", b"emotion,pixels,Usage\n", r"fer2013\.csv\.txt may be it: name it fer2013\.csv"),
        (
            "fer2013/fer2013.xlsx",
            b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml",
            r"xlsx is a document of an office",
        ),
        ("fer2013/train.parquet", b"PAR1", r"train\.parquet is a Parquet table"),
        ("fer2013.csv.crdownload", b"emotion", "is a download that has not ended"),
        ("fer2013/angry/1.png", b"", "fer2013/ holds the folder angry"),
        ("fer2013/fer2013.tar.gz", b"\x1f\x8b", r"fer2013\.tar\.gz is a gzip archive"),
        ("fer2013/fer2013 (1).csv", b"emotion,pixels,Usage\n", r"fer2013 \(1\)\.csv may be it: name it fer2013\.csv"),
    ],
)
def test_what_lies_there_instead_is_named(tmp_path, name, content, words):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content + bytes(100))
    with pytest.raises(UserError, match=f"FER2013 not found.*; .*{words}.*FER_DATA"):
        load_dataset("fer2013", tmp_path)


@pytest.mark.parametrize("name", ["ckextended.csv", "CK+Extended.csv"])
def test_ckextended_is_named(tmp_path, name):
    write(tmp_path / "ckplus" / name, "emotion,pixels,Usage", f"{ROW},Training")
    with pytest.raises(UserError, match=re.escape(f"{name} is CK+ with neutral and without subjects")):
        load_dataset("ckplus", tmp_path)


def test_a_data_root_that_is_no_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none: .*; there is no such folder"):
        load_dataset("fer2013", tmp_path / "none")
    (tmp_path / "data.zip").write_bytes(b"PK\x03\x04" + bytes(60))
    with pytest.raises(UserError, match=r"data\.zip: .*; it is a zip archive: unpack it first"):
        load_dataset("ckplus", tmp_path / "data.zip")
    os.mkfifo(tmp_path / "fer2013.csv")
    (tmp_path / "train.csv").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"fer2013\.csv is a pipe.*; train\.csv is a link that leads nowhere"):
        load_dataset("fer2013", tmp_path)


def test_votes_beside_a_folder_copy_are_not_called_missing(tmp_path):
    for split in ("train", "test"):
        (tmp_path / "fer2013" / split / "sad").mkdir(parents=True)
        Image.new("L", (48, 48)).save(tmp_path / "fer2013" / split / "sad" / "x.png")
    write(tmp_path / "fer2013/fer2013new.csv", "Usage,Image name")
    text, _ = check_report(tmp_path)
    assert "fer2013new.csv: its rows are those of fer2013.csv, and cannot be joined to a copy in folders" in text
    assert "no FER+ votes" not in text
    with pytest.raises(UserError, match=r"cannot be joined.*put fer2013\.csv into"):
        load_dataset("ferplus", tmp_path)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UserError, match="unknown dataset 'fer2031': did you mean fer2013"):
        load_dataset("fer2031")


# ---------------------------------------------------------------- audit


def test_the_audit_of_a_dataset_counted_by_hand():
    tones = [1, 1, 1, 2, 2, 3, 4, 4, 5]
    images = np.zeros((9, 2, 2), np.uint8)
    images[:, 0, 0] = tones
    images[5] = 9  # blank
    dataset = FaceDataset(
        name="made",
        images=images,
        labels=np.array([0, 0, 1, 2, 3, 3, 4, 5, 6]),
        classes=FER2013_CLASSES,
        split=np.array(["train", "test", "test", "val", "val", "train", "train", "val", "test"]),
        source="made",
    )
    found = audit(dataset)
    assert (found.pictures, found.distinct, found.groups, found.copies, found.largest) == (9, 5, 3, 7, 3)
    assert (found.contradictory, found.across_splits, found.blank) == (3, 2, 1)
    assert found.leaks["train", "test"] == 2
    assert found.leaks_same_label["train", "test"] == 1
    assert (found.leaks["test", "train"], found.leaks["train", "val"], found.leaks["test", "val"]) == (1, 1, 0)
    tested = [tone for tone, part in zip(tones, dataset.split, strict=True) if part == "test"]
    assert facts_of(dataset).in_train("test").tolist() == [tone == 1 for tone in tested]


@pytest.mark.data
def test_the_audit_of_the_real_fer2013(fer_data):
    dataset = load_dataset("fer2013", fer_data)
    found = audit(dataset)
    assert (found.pictures, found.distinct, found.groups, found.copies) == (35_887, 34_032, 1_518, 3_373)
    assert (found.largest, found.contradictory, found.across_splits, found.blank) == (12, 59, 556, 12)
    assert (found.leaks["train", "test"], found.leaks_same_label["train", "test"]) == (288, 279)
    assert found.leaks["train", "val"] == 279
    assert [round(100 * share, 2) for share in found.agreement.values()] == [62.35, 62.11, 62.19]
    assert facts_of(dataset).in_train("test").sum() == 288


# ---------------------------------------------------------------- check


@pytest.mark.data
def test_the_report_on_the_real_data(fer_data):
    text, ok = check_report(fer_data)
    assert ok
    figures = {line[2:58].strip(): line[58:].split()[0] for line in text.splitlines() if "  as " in line}
    assert figures["of the 21 counts of zhang's Table I"] == "21"
    assert figures["distinct pictures"] == "981"  # of CK+, whose line comes last
    assert figures["groups of identical pictures"] == "1,518"
    assert figures["of these with contradictory labels"] == "59"
    assert figures["PrivateTest pictures that occur in Training"] == "288"
    assert figures["blank pictures"] == "12"
    assert figures["sequences"] == "327"
    assert "34,032" in text
    assert "PrivateTest 62.19%" in text
    assert load_dataset("fer2013", fer_data).fingerprint in text
    assert str(fer_data) not in text


def test_the_report_shows_what_is_wrong(tmp_path):
    write(tmp_path / "fer2013.csv", "emotion,pixels,Usage", *[f"{ROW},Training"] * 3)
    text, ok = check_report(tmp_path)
    assert not ok
    assert "PUBLISHED: 7,215" in text
    assert "PUBLISHED: 35,887" in text
    assert "CK+ not found" in text


def test_nothing_at_hand_is_not_ok(tmp_path):
    text, ok = check_report(tmp_path)
    assert not ok
    assert "FER2013 not found" in text


# ---------------------------------------------------------------- download


class FakeKaggle:
    """Kaggle's client as far as it is used, sending what it is told to send."""

    def __init__(self, send=None, account: bool = True) -> None:
        self.send, self.account = send, account

    def authenticate(self) -> None:
        if not self.account:
            print("a page of advice")
            raise SystemExit(1)

    def competition_download_file(self, competition: str, name: str, path: str, quiet: bool) -> None:
        assert (competition, name) == (COMPETITION, "icml_face_data.csv")
        self.send(Path(path))


def use(monkeypatch, client: FakeKaggle) -> None:
    monkeypatch.setitem(sys.modules, "kaggle", SimpleNamespace(api=client))


GOOD = "\n".join(["emotion, Usage, pixels", "3,Training," + " ".join(["7"] * 2304)]) + "\n"


def send_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "icml_face_data.csv.zip", "w") as archive:
        archive.writestr("icml_face_data.csv", GOOD)


def send_plain(folder: Path) -> None:
    (folder / "icml_face_data.csv").write_text(GOOD)


@pytest.mark.parametrize("send", [send_zip, send_plain])
def test_a_download_lands_where_it_is_looked_for(tmp_path, monkeypatch, send):
    use(monkeypatch, FakeKaggle(send))
    assert download("fer2013", tmp_path) == tmp_path / "fer2013/icml_face_data.csv"
    assert load_dataset("fer2013", tmp_path).labels.tolist() == [3]
    assert [file.name for file in (tmp_path / "fer2013").iterdir()] == ["icml_face_data.csv"]


def send_half(folder: Path) -> None:
    (folder / "icml_face_data.csv").write_text(GOOD[:-100])


def send_broken_zip(folder: Path) -> None:
    (folder / "icml_face_data.csv.zip").write_bytes(b"PK and no more")


def send_refusal(folder: Path) -> None:
    raise RuntimeError("403 - Forbidden\nYou must accept this competition's rules")


def send_until_full(folder: Path) -> None:
    (folder / "icml_face_data.csv").write_text(GOOD[:500])
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("send", "words"),
    [
        (send_half, "pixels instead of 2,304"),
        (send_broken_zip, "broken"),
        (send_refusal, "accept the rules at https"),
        (send_until_full, "No space left on device"),
        (lambda folder: None, "sent nothing"),
    ],
)
def test_a_failed_download_leaves_nothing_behind(tmp_path, monkeypatch, send, words):
    write(tmp_path / "fer2013/icml_face_data.csv", "what was there before")
    use(monkeypatch, FakeKaggle(send))
    with pytest.raises(UserError, match=words) as error:
        download("fer2013", tmp_path)
    assert "\n" not in str(error.value)
    assert [file.name for file in (tmp_path / "fer2013").iterdir()] == ["icml_face_data.csv"]
    assert (tmp_path / "fer2013/icml_face_data.csv").read_text() == "what was there before\n"


def test_without_account_or_client_the_way_is_told(tmp_path, monkeypatch, capsys):
    use(monkeypatch, FakeKaggle(account=False))
    with pytest.raises(UserError, match=r"no account.*kaggle\.json"):
        download("fer2013", tmp_path)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setitem(sys.modules, "kaggle", None)
    with pytest.raises(UserError, match="pip install kaggle"):
        download("fer2013", tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_fetched_says_where_it_is(tmp_path):
    with pytest.raises(UserError, match="microsoft/FERPlus"):
        download("ferplus", tmp_path)
    with pytest.raises(UserError, match="agreement"):
        download("ckplus", tmp_path)
    with pytest.raises(UserError, match="did you mean fer2013"):
        download("fer2012", tmp_path)


# ---------------------------------------------------------------- a notebook of Kaggle


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    """What is attached to a notebook, where nothing else says where data lie."""
    monkeypatch.setattr(catalog, "KAGGLE", tmp_path / "input")
    monkeypatch.setattr(paths, "ROOT", tmp_path / "checkout")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FER_DATA", raising=False)
    (tmp_path / "input").mkdir()
    return tmp_path / "input"


def class_folders(folder, classes, side=48):
    for split in ("train", "test"):
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            Image.new("L", (side, side)).save(folder / split / name / "x.jpg")


@pytest.mark.parametrize("place", ["faces-of-somebody", "datasets/somebody/faces", f"competitions/{KAGGLE}"])
def test_what_is_attached_is_found_under_any_name(kaggle, place):
    write(kaggle / place / "fer2013.csv", "emotion,pixels,Usage", f"{ROW},Training")
    assert load_dataset("fer2013").source == "fer2013.csv"
    assert [path.name for path in kaggle.rglob("*") if path.is_file()] == [
        "fer2013.csv"
    ]  # nothing can be written there
    (kaggle / "expressions" / "CK+48" / "happy").mkdir(parents=True)
    Image.new("L", (48, 48)).save(kaggle / "expressions" / "CK+48" / "happy" / "S010_004_00000017.png")
    assert len(load_dataset("ckplus")) == 1


def test_the_folder_copy_is_told_from_other_faces(kaggle):
    class_folders(kaggle / "affectnet", FER2013_CLASSES, side=96)
    class_folders(kaggle / "five-of-seven", FER2013_CLASSES[:5])
    with pytest.raises(UserError, match=r"FER2013 not found in .*attach it to the notebook"):
        load_dataset("fer2013")
    class_folders(kaggle / "some-slug", FER2013_CLASSES)
    assert load_dataset("fer2013").source == "some-slug"


def test_what_the_user_says_goes_before_what_is_attached(kaggle, tmp_path, monkeypatch):
    write(kaggle / "fer2013" / "fer2013.csv", "emotion,pixels,Usage", f"{ROW},Training")
    write(tmp_path / "mine" / "fer2013.csv", "emotion,pixels,Usage", f"{ROW},Training", f"{ROW},Training")
    assert len(load_dataset("fer2013")) == 1
    monkeypatch.setenv("FER_DATA", str(tmp_path / "mine"))
    assert len(load_dataset("fer2013")) == 2
    monkeypatch.delenv("FER_DATA")
    (tmp_path / "mine").rename(tmp_path / "data")
    assert len(load_dataset("fer2013")) == 2
