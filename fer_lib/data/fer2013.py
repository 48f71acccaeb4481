"""Readers of FER2013 in the four forms it is passed around in.

FER2013: Goodfellow et al., "Challenges in representation learning: a report on three machine learning
contests", ICONIP 2013. 35,887 grey pictures of 48 x 48 pixels, published by Kaggle.

* ``fer2013.csv``: columns emotion, pixels, Usage; all rows labelled.
* ``icml_face_data.csv``: the same rows, columns emotion, Usage, pixels with spaces in the header.
* ``train.csv`` + ``test.csv``: Usage is the file. The challenge's own test.csv has no labels and is refused.
* folders ``train`` and ``test`` of class folders: see `read_folders`.

Columns may be parted by semicolons or tabs, names have capitals or not, and labels be written as 3.0, as spreadsheets
do. Every row is checked. What is not checked here is the total: a file that holds fewer rows, each of them complete, is
read as it is, and ``fer data check`` says what is missing.
"""

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from fer_lib.data.dataset import FACE_SIDE, FER2013_CLASSES, SPLITS, FaceDataset
from fer_lib.data.folder import list_pictures
from fer_lib.data.foreign import what_it_is
from fer_lib.data.pictures import read_pictures
from fer_lib.errors import UserError
from fer_lib.paths import write_atomically

PIXELS = FACE_SIDE**2
USAGES = ("Training", "PublicTest", "PrivateTest")
# Published pictures per class (FER2013_CLASSES) and split; zhang's Table I prints the same 21 numbers.
PUBLISHED = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "val": (467, 56, 496, 895, 653, 415, 607),
    "test": (491, 55, 528, 879, 594, 416, 626),
}

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Pictures uint8, labels int64 and usages int64, numbers in :data:`USAGES`, a row each."""
_CACHE_FORMAT = 1
_BATCH_ROWS = 256  # 2 MB of text: enough for NumPy to pay off, little enough for a processor's cache
_EMOTIONS = {f"{i}{point}".encode(): i for i in range(7) for point in ("", ".0", ",0")}
_USAGES = {usage.lower().encode(): i for i, usage in enumerate(USAGES)}
_COLUMNS = ("emotion", "pixels", "Usage")
_SHOWN = 60  # characters of a foreign line that a message quotes


def read_csv(path: Path, cache: Path | None = None) -> FaceDataset:
    """Read ``fer2013.csv`` or ``icml_face_data.csv``.

    Args:
        path: the file.
        cache: folder for the parsed copy that makes the next reading quick, or None for no cache.

    Raises:
        UserError: naming file, line and fault of the first row that is not as published.
    """
    return _cached([path], cache, lambda: _read_rows(path, usage=None))


def read_train_test(train: Path, test: Path, cache: Path | None = None) -> FaceDataset:
    """Read ``train.csv`` (Training) and a labelled ``test.csv`` (PublicTest, then PrivateTest).

    A Usage column in test.csv is obeyed. Without one, the first half is PublicTest and the second half is
    PrivateTest where the numbers of labels are those published; any other file is "test" as a whole.

    Args:
        train: the file of training rows.
        test: the file of test rows, with labels.
        cache: folder for the parsed copy, or None.

    Raises:
        UserError: naming file, line and fault; also for the challenge's test.csv, which has no labels.
    """

    def read() -> Rows:
        parts = [_read_rows(train, usage="Training"), _read_rows(test, usage="PrivateTest")]
        _part_public(*parts[1][1:])
        images, labels, usages = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return images, labels, usages

    return _cached([train, test], cache, read)


def _part_public(labels: np.ndarray, usages: np.ndarray) -> None:
    """Mark the first half of the merged test rows as PublicTest, in place, if the published counts say so."""
    half = sum(PUBLISHED["val"])
    merged = len(labels) == 2 * half and (usages == _USAGES[b"privatetest"]).all()
    if merged and tuple(np.bincount(labels[:half], minlength=7)) == PUBLISHED["val"]:
        usages[:half] = _USAGES[b"publictest"]


def read_folders(path: Path) -> FaceDataset:
    """Read a copy of FER2013 as folders ``train`` and ``test`` of class folders of pictures.

    In the widespread Kaggle copy, ``train`` is Training, and ``test`` is PublicTest and PrivateTest merged.
    Where its file names still begin with the Usage (``PublicTest_…``, ``PrivateTest_…``), the three splits
    are restored from them; else all of ``test`` is "test" and there is no "val". Pictures are sorted by
    class and name, so they cannot be joined to FER+ votes by row, and JPEG copies differ in pixels.

    Args:
        path: the folder that holds ``train`` and ``test``, or ``validation`` in its place.

    Raises:
        UserError: for an unknown or empty class folder or corrupt pictures, naming them.
    """
    found, notes = list_pictures(path, FER2013_CLASSES)
    by_usage = dict(zip(USAGES, SPLITS, strict=True))
    split = [by_usage.get(file.name.split("_")[0], split) for split, _, file in found]
    return FaceDataset(
        name="fer2013",
        images=read_pictures([file for _, _, file in found], FACE_SIDE),
        labels=np.array([label for _, label, _ in found], np.int64),
        classes=FER2013_CLASSES,
        split=np.array(split),
        source=path.name,
        notes=notes,
    )


def holds_fer2013(path: Path) -> bool:
    """Whether folders of splits look like FER2013's, by their seven classes and the size of a first picture.

    Other collections of faces are passed around in folders of the same names: RAF-DB's pictures have 100 pixels a
    side, AffectNet's 96 or more.
    """
    try:
        found, _ = list_pictures(path, FER2013_CLASSES)
        with Image.open(found[0][2]) as picture:
            is_small = picture.size == (FACE_SIDE, FACE_SIDE)
        return is_small and len({label for _, label, _ in found}) == len(FER2013_CLASSES)
    except (OSError, UserError):
        return False


def _cached(sources: list[Path], cache: Path | None, read: Callable[[], Rows]) -> FaceDataset:
    """Take the rows from the cache if it was made from these very sources, else read and cache them."""
    states = [path.stat() for path in sources]
    key = " ".join([str(_CACHE_FORMAT), *(f"{state.st_size}:{state.st_mtime_ns}" for state in states)])
    source = "+".join(path.name for path in sources)
    file = cache / f"{source}.npz" if cache else None
    rows = _load_cache(file, key) if file else None
    if rows is None:
        rows = read()
        if file:
            _save_cache(file, key, rows)
    images, labels, usages = rows
    return FaceDataset("fer2013", images, labels, FER2013_CLASSES, np.array(SPLITS)[usages], source)


def _load_cache(file: Path, key: str) -> Rows | None:
    try:
        with np.load(file, allow_pickle=False) as saved:
            if str(saved["key"]) == key:
                return saved["images"], saved["labels"], saved["usages"]
    except Exception:  # absent, foreign or damaged: whatever NumPy and zipfile say, the source is read again
        pass
    return None


def _save_cache(file: Path, key: str, rows: Rows) -> None:
    images, labels, usages = rows
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(
            file, lambda out: np.savez(out, key=np.array(key), images=images, labels=labels, usages=usages)
        )
    except OSError as error:
        warnings.warn(f"no cache of {file.stem}, reading stays slow: {error}", stacklevel=2)


def _read_rows(path: Path, usage: str | None) -> Rows:
    """Parse one CSV file.

    Args:
        path: the file.
        usage: the Usage of all rows if the file has no such column; None if it must have one.

    Returns:
        Pictures uint8 [N, 48, 48], labels int64 [N], usages int64 [N] (indices into USAGES).
    """
    with path.open("rb") as file:
        if foreign := what_it_is(file.peek(512)[:512]):
            raise UserError(f"{path}: {foreign}")
        line = file.readline()
        comma = max((b",", b";", b"\t"), key=line.count)
        header = [name.strip(b' "\r\n\xef\xbb\xbf').decode(errors="replace") for name in line.split(comma)]
        plain = [name.lower() for name in header]
        columns = {name: plain.index(name.lower()) for name in _COLUMNS if name.lower() in plain}
        needed = ["pixels", "emotion", *([] if usage else ["Usage"])]
        for name in needed:
            if name not in columns:
                found = ", ".join(header)
                found = repr(found if len(found) <= _SHOWN else f"{found[:_SHOWN]}…")
                hint = f"; the first line must name the columns {', '.join(_COLUMNS)}"
                if name == "emotion":
                    hint = "; a test.csv without labels cannot be used, take fer2013.csv"
                raise UserError(f"{path}, line 1: no column {name!r} in {found}{hint}")
        batches = list(_batches(file, path, comma, len(header), columns, usage))
    if not batches:
        raise UserError(f"{path}: no rows after the header")
    images, labels, usages = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return images.reshape(-1, FACE_SIDE, FACE_SIDE), labels, usages


def _batches(
    file: Iterable[bytes], path: Path, comma: bytes, width: int, columns: dict[str, int], usage: str | None
) -> Iterator[Rows]:
    """Yield pixels uint8 [B, 2304], labels and usages of some hundred rows at a time."""
    numbered = enumerate(file, start=2)
    emotion_at, pixels_at = columns["emotion"], columns["pixels"]
    while lines := list(itertools.islice(numbered, _BATCH_ROWS)):
        texts, places, labels, usages = [], [], [], []
        for number, line in lines:
            if not line.strip():
                continue
            fields = [field.strip(b' "\r\n') for field in line.split(comma)]
            place = f"{path}, line {number}"
            if len(fields) != width:
                hint = "; is the file truncated?" if len(fields) < width else ""
                raise UserError(f"{place}: {len(fields)} fields instead of {width}{hint}")
            texts.append(fields[pixels_at])
            places.append(place)
            labels.append(_lookup(_EMOTIONS, fields[emotion_at], place, "emotion", "0 to 6, the classes of FER2013"))
            name = fields[columns["Usage"]] if "Usage" in columns else str(usage).encode()
            usages.append(_lookup(_USAGES, name, place, "Usage", ", ".join(USAGES)))
        if texts:
            yield _parse_pixels(texts, places), np.array(labels, np.int64), np.array(usages, np.int64)


def _lookup(table: dict[bytes, int], field: bytes, place: str, column: str, allowed: str) -> int:
    if field.lower() not in table:
        shown = field[:_SHOWN].decode(errors="replace")
        raise UserError(f"{place}: {column} {shown!r} is not one of {allowed}")
    return table[field.lower()]


def _parse_pixels(texts: list[bytes], places: list[str]) -> np.ndarray:
    """Parse rows of 2,304 numbers that spaces part, all rows at once. Rows that are not so are left to `_parse_row`."""
    if all(texts) and not b"".join(texts).translate(None, b"0123456789 "):
        with suppress(ValueError):  # a number above 255, or rows of unequal lengths
            values = np.loadtxt(texts, np.uint8, comments=None, ndmin=2)
            if values.shape[1] == PIXELS:
                return values
    return np.array([_parse_row(row, place) for row, place in zip(texts, places, strict=True)], np.uint8)


def _parse_row(text: bytes, place: str) -> list[int]:
    """The same for one row, number by number: the definition of what is accepted, and the error otherwise."""
    words = text.split()
    if len(words) != PIXELS:
        hint = "; is the file truncated?" if len(words) < PIXELS else ""
        raise UserError(f"{place}: {len(words):,} pixels instead of {PIXELS:,}{hint}")
    for i, word in enumerate(words):
        if not (word.isdigit() and int(word) <= 255):
            shown = word[:_SHOWN].decode(errors="replace")
            raise UserError(f"{place}: pixel {i} is {shown!r}, not a whole number from 0 to 255")
    return [int(word) for word in words]
