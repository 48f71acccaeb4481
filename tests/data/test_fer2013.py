"""FER2013's readers: against a plain parser, against each other, with broken files, and with the real one."""

import csv
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fer_lib.data import FER2013_CLASSES, load_dataset
from fer_lib.data.fer2013 import PUBLISHED, read_csv, read_folders, read_train_test
from fer_lib.errors import UserError

USAGES = ["Training", "PublicTest", "PrivateTest"]
SPLITS = ["train", "val", "test"]


@dataclass
class Rows:
    """A small FER2013 of our own, Training first, as published."""

    emotions: list[int]
    pixels: np.ndarray
    usages: list[str]

    def lines(self, columns: str, keep: slice = slice(None)) -> list[str]:
        values = [
            {"emotion": str(emotion), "pixels": " ".join(map(str, row)), "Usage": usage}
            for emotion, row, usage in zip(self.emotions, self.pixels.tolist(), self.usages, strict=True)
        ]
        return [columns, *(",".join(row[c.strip()] for c in columns.split(",")) for row in values[keep])]


def write(path: Path, lines: list[str], end: str = "\n") -> Path:
    path.write_bytes((end.join(lines) + end).encode())
    return path


@pytest.fixture(scope="module")
def rows() -> Rows:
    random = np.random.default_rng(0)
    return Rows(
        emotions=random.integers(0, 7, 9).tolist(),
        pixels=random.integers(0, 256, (9, 2304)) // random.choice([1, 20, 200], (9, 1)),
        usages=["Training"] * 4 + ["PublicTest"] * 2 + ["PrivateTest"] * 3,
    )


def plain_reference(path: Path) -> tuple[list, list, list]:
    """The same file by the standard library's CSV reader and int()."""
    with path.open(newline="") as file:
        table = [{k.strip(): v.strip() for k, v in row.items()} for row in csv.DictReader(file)]
    return (
        [[int(word) for word in row["pixels"].split()] for row in table],
        [int(row["emotion"]) for row in table],
        [SPLITS[USAGES.index(row["Usage"])] for row in table],
    )


def test_the_forms_of_the_file_agree(rows, tmp_path):
    one = read_csv(write(tmp_path / "fer2013.csv", rows.lines("emotion,pixels,Usage")))
    assert one.images.reshape(9, -1).tolist() == rows.pixels.tolist()
    assert one.labels.tolist() == rows.emotions
    assert one.split.tolist() == ["train"] * 4 + ["val"] * 2 + ["test"] * 3
    assert one.classes == FER2013_CLASSES
    icml = read_csv(write(tmp_path / "icml_face_data.csv", rows.lines("emotion, Usage, pixels"), end="\r\n"))
    train = write(tmp_path / "train.csv", rows.lines("emotion,pixels", slice(4)))
    test = write(tmp_path / "test.csv", rows.lines("emotion,pixels,Usage", slice(4, 9)))
    two = read_train_test(train, test)
    assert one.fingerprint == icml.fingerprint == two.fingerprint
    assert two.source == "train.csv+test.csv"


def test_quoted_fields_as_in_the_challenge_are_read(rows, tmp_path):
    lines = rows.lines("emotion,pixels,Usage")
    quoted = [",".join(f'"{field}"' for field in line.split(",")) for line in lines]
    plain = read_csv(write(tmp_path / "plain.csv", lines))
    assert read_csv(write(tmp_path / "quoted.csv", quoted)).fingerprint == plain.fingerprint


def test_a_test_file_without_usage_is_parted_by_the_published_counts(tmp_path):
    blank = " ".join(["0"] * 2304)
    halves = [np.repeat(range(7), PUBLISHED[split]).tolist() for split in ("val", "test")]
    train = write(tmp_path / "train.csv", ["emotion,pixels", f"0,{blank}"])
    test = write(tmp_path / "test.csv", ["emotion,pixels", *(f"{label},{blank}" for label in halves[0] + halves[1])])
    parted = read_train_test(train, test)
    assert tuple(parted.counts()["val"].values()) == PUBLISHED["val"]
    assert tuple(parted.counts()["test"].values()) == PUBLISHED["test"]
    write(test, ["emotion,pixels", *(f"{label},{blank}" for label in halves[1] + halves[0])])
    assert "val" not in read_train_test(train, test).counts()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_well_formed_file_reads_as_the_plain_reader_reads_it(data, tmp_path):
    number = st.one_of(st.integers(0, 255), st.sampled_from([0, 9, 10, 99, 100, 255]))
    written = st.one_of(number.map(str), number.map("{:03d}".format))
    columns = data.draw(st.permutations(["emotion", "pixels", "Usage"]))
    gap = data.draw(st.sampled_from(["", " "]))
    lines = [f",{gap}".join(columns)]
    for _ in range(data.draw(st.integers(1, 5))):
        few = data.draw(st.lists(written, min_size=1, max_size=40))
        values = {
            "pixels": data.draw(st.sampled_from([" ", "  "])).join(np.resize(few, 2304).tolist()),
            "emotion": str(data.draw(st.integers(0, 6))),
            "Usage": data.draw(st.sampled_from(USAGES)),
        }
        lines.append(f",{gap}".join(values[column] for column in columns))
    path = write(tmp_path / "any.csv", lines, data.draw(st.sampled_from(["\n", "\r\n"])))
    pixels, labels, split = plain_reference(path)
    dataset = read_csv(path)
    assert dataset.images.reshape(len(labels), -1).tolist() == pixels
    assert dataset.labels.tolist() == labels
    assert dataset.split.tolist() == split


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("emotion;pixels;Usage", "{e};{p};{u}"),
        ("emotion\tpixels\tUsage", "{e}\t{p}\t{u}"),
        ("Emotion,Pixels,usage", "{e}.0,{p},{U}"),
        ("emotion;pixels;Usage", "{e},0;{p};{u}"),  # with a decimal comma
        ('"","emotion","pixels","Usage"', '"7","{e}","{p}","{u}"'),
        ("\ufeffemotion, Usage, pixels", "{e}, {u}, {p}"),
    ],
)
def test_what_spreadsheets_make_of_the_file_reads_the_same(rows, tmp_path, header, row):
    plain = rows.lines("emotion,pixels,Usage")
    fields = [line.split(",") for line in plain[1:]]
    other = [row.format(e=e, p=p, u=u, U=u.upper()) for e, p, u in fields]
    read = read_csv(write(tmp_path / "other.csv", [header, *other]))
    assert read.fingerprint == read_csv(write(tmp_path / "plain.csv", plain)).fingerprint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (b"\n <!DOCTYPE html><title>Sign in</title>", "a web page"),
        (b"<div class='error'>", "a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied", "a web page"),
        (b'{"code":403,"message":"Forbidden"}', "JSON text"),
        ("emotion,pixels,Usage\n".encode("utf-16"), "UTF-16"),
        (b"3," + b"7 " * 2304, "the first line must name the columns emotion, pixels, Usage"),
        (bytes(5000), "the first line must name the columns"),
    ],
)
def test_a_file_that_is_something_else_is_named_in_a_short_line(tmp_path, content, words):
    path = tmp_path / "fer2013.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        read_csv(path)
    assert len(str(error.value)) < 500 + len(str(path))


def _with_pixel(row: str, place: int, value: str) -> str:
    emotion, pixels, usage = row.split(",")
    words = pixels.split(" ")
    words[place] = value
    return ",".join([emotion, " ".join(words), usage])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda row: _with_pixel(row, 7, "256"), "pixel 7 is '256'"),
        (lambda row: _with_pixel(row, 2303, "1000"), "pixel 2303 is '1000'"),
        (lambda row: _with_pixel(row, 0, "abc"), "pixel 0 is 'abc'"),
        (lambda row: _with_pixel(row, 0, "-1"), "pixel 0 is '-1'"),
        (lambda row: _with_pixel(row, 5, "1.5"), "pixel 5 is '1.5'"),
        (lambda row: _with_pixel(row, 5, "1:"), "pixel 5 is '1:'"),
        (lambda row: _with_pixel(row, 9, ""), "2,303 pixels instead of 2,304"),
        (lambda row: _with_pixel(row, 9, "1 2"), "2,305 pixels instead of 2,304"),
        (lambda row: "7" + row[1:], "emotion '7' is not one of 0 to 6"),
        (lambda row: row[1:], "emotion '' is not one of"),
        (lambda row: row.replace("PublicTest", "Validation"), "Usage 'Validation' is not one of Training,"),
        (lambda row: row[: row.index(",", 3)], "2 fields instead of 3"),
        (lambda row: row + ",", "4 fields instead of 3"),
        (lambda row: "\xff\xfe\x00", "1 fields instead of 3"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(rows, tmp_path, spoil, words):
    lines = rows.lines("emotion,pixels,Usage")
    lines[5] = spoil(lines[5])
    path = write(tmp_path / "fer2013.csv", lines)
    with pytest.raises(UserError, match="line 6") as error:
        read_csv(path, cache=tmp_path / ".cache")
    assert words in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / ".cache").exists()


def test_one_pixel_too_few_and_one_too_many_do_not_make_up_for_each_other(rows, tmp_path):
    lines = rows.lines("emotion,pixels,Usage")
    lines[4], lines[5] = _with_pixel(lines[4], 9, "1 2"), lines[5].replace(" ", "", 1)
    with pytest.raises(UserError, match="line 5: 2,305 pixels"):
        read_csv(write(tmp_path / "fer2013.csv", lines))


@pytest.mark.parametrize("lost", [3, 11, 12, 13, 500, 4000])
def test_a_file_cut_off_within_its_last_row_is_refused(rows, tmp_path, lost):
    path = write(tmp_path / "fer2013.csv", rows.lines("emotion,pixels,Usage"))
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(UserError, match="line 10"):
        read_csv(path)


def test_missing_columns_and_labels_are_named(rows, tmp_path):
    train = write(tmp_path / "train.csv", rows.lines("emotion,pixels", slice(4)))
    with pytest.raises(UserError, match="no column 'Usage'"):
        read_csv(train)
    with pytest.raises(UserError, match=r"test\.csv, line 1: no column 'emotion'.*without labels"):
        read_train_test(train, write(tmp_path / "test.csv", rows.lines("pixels", slice(4, 9))))
    with pytest.raises(UserError, match="no rows after the header"):
        read_csv(write(tmp_path / "fer2013.csv", ["emotion,pixels,Usage"]))
    (tmp_path / "fer2013.csv").write_bytes(b"")
    with pytest.raises(UserError, match=r"fer2013\.csv: an empty file"):
        read_csv(tmp_path / "fer2013.csv")


def test_a_changed_source_invalidates_the_cache(rows, tmp_path):
    lines, cache = rows.lines("emotion,pixels,Usage"), tmp_path / ".cache"
    path = write(tmp_path / "fer2013.csv", lines)
    first = read_csv(path, cache)
    (kept,) = cache.iterdir()
    written = kept.stat().st_mtime_ns
    assert read_csv(path, cache).fingerprint == first.fingerprint
    assert kept.stat().st_mtime_ns == written
    # Of the same size, at another time.
    lines[1] = f"{(rows.emotions[0] + 1) % 7}{lines[1][1:]}"
    state = path.stat()
    write(path, lines)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert path.stat().st_size == state.st_size
    assert read_csv(path, cache).labels[0] == (rows.emotions[0] + 1) % 7
    # And a damaged cache is as good as none.
    kept.write_bytes(kept.read_bytes()[:1000])
    assert read_csv(path, cache).labels[0] == (rows.emotions[0] + 1) % 7
    assert [file.name for file in cache.iterdir()] == [kept.name]


def test_the_cache_is_what_is_read(rows, tmp_path):
    """Seen by a file whose content changed while its size and time did not."""
    lines, cache = rows.lines("emotion,pixels,Usage"), tmp_path / ".cache"
    path = write(tmp_path / "fer2013.csv", lines)
    first = read_csv(path, cache)
    state = path.stat()
    write(path, [lines[0], *lines[:0:-1]])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert read_csv(path, cache).fingerprint == first.fingerprint
    assert read_csv(path).fingerprint != first.fingerprint


def test_an_unwritable_cache_is_a_warning(rows, tmp_path):
    path = write(tmp_path / "fer2013.csv", rows.lines("emotion,pixels,Usage"))
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match=r"no cache of fer2013\.csv"):
        assert len(read_csv(path, cache=tmp_path / "taken")) == 9


def test_class_folders(tmp_path):
    def save(name: str, tone: int) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (48, 48), tone).save(tmp_path / name)

    save("train/happy/Training_1.png", 1)
    save("train/angry/Training_2.png", 2)
    save("test/happy/im0.png", 3)
    merged = read_folders(tmp_path)
    assert merged.counts().keys() == {"train", "test"}
    assert merged.labels.tolist() == [0, 3, 3]
    assert merged.images[:, 0, 0].tolist() == [2, 1, 3]
    (tmp_path / "test/happy/im0.png").unlink()
    save("test/happy/PrivateTest_4.png", 4)
    save("test/happy/PublicTest_5.png", 5)
    parted = read_folders(tmp_path)
    assert parted.split.tolist() == ["train", "train", "test", "val"]
    assert parted.images[:, 0, 0].tolist() == [2, 1, 4, 5]


@pytest.mark.data
def test_the_real_file_has_the_published_counts(fer_data):
    counts = load_dataset("fer2013", fer_data).counts()
    assert {split: tuple(row.values()) for split, row in counts.items()} == {
        "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
        "val": (467, 56, 496, 895, 653, 415, 607),
        "test": (491, 55, 528, 879, 594, 416, 626),
    }


@pytest.mark.data
def test_the_real_file_reads_as_the_plain_reader_reads_it(fer_data):
    dataset = load_dataset("fer2013", fer_data)
    with (fer_data / "fer2013" / "fer2013.csv").open(newline="") as file:
        for i, row in enumerate(csv.DictReader(file)):
            if i % 400 == 0 or i == 35_886:
                assert dataset.images[i].ravel().tolist() == [int(word) for word in row["pixels"].split()]
                assert dataset.labels[i] == int(row["emotion"])


@pytest.mark.data
@pytest.mark.heavy
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_the_real_file_is_read_quickly_and_from_the_cache_at_once(fer_data, tmp_path):
    # In a process of its own, for its peak memory (which getrusage would mix with this one's); processor
    # time, for the machine may be busy.
    measure = """
import sys, time
from pathlib import Path
from fer_lib.data.fer2013 import read_csv
start = time.process_time()
read_csv(Path(sys.argv[1]), Path(sys.argv[2]))
seconds = time.process_time() - start
print(seconds, Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""
    path = fer_data / "fer2013" / "fer2013.csv"
    for limit in (10, 0.5):
        command = [sys.executable, "-c", measure, str(path), str(tmp_path)]
        seconds, kilobytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert float(seconds) <= limit
        assert float(kilobytes) <= 1e6


@pytest.mark.parametrize("comma", [";", "\t"])
def test_spreadsheets_write_other_commas_and_points(rows, tmp_path, comma):
    lines = rows.lines("emotion,pixels,Usage")
    plain = read_csv(write(tmp_path / "a.csv", lines))
    other = [line.replace(",", ".0,", 1) if n else line for n, line in enumerate(lines)]
    found = read_csv(write(tmp_path / "b.csv", [line.replace(",", comma) for line in other]))
    assert found.fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 301072766\n", "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html>\n<html lang=en>", "a web page"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        ("emotion,pixels,Usage\n".encode("utf-16"), "text in UTF-16"),
    ],
)
def test_what_is_no_table_is_called_by_its_name(tmp_path, content, words):
    (tmp_path / "fer2013.csv").write_bytes(content)
    with pytest.raises(UserError, match=rf"fer2013\.csv: {words}"):
        read_csv(tmp_path / "fer2013.csv")
