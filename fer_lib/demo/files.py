"""`fer predict`: the expressions in files, folders and videos, as JSON, as CSV or drawn over the pictures."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from fer_lib.augment import VIEWS
from fer_lib.checkpoints import NO_CHECKPOINT, best_checkpoint, read_checkpoint
from fer_lib.demo.annotate import annotate
from fer_lib.demo.faces import DETECTORS, create_detector
from fer_lib.errors import UserError, unknown
from fer_lib.frames import Frame, find_files, read_frames
from fer_lib.paths import check_output, write_atomically
from fer_lib.predict import FACE_VIEWS, Detector, Predictor, Reading, read_faces
from fer_lib.texts import spreadsheet_cell

FORMATS = ("json", "csv", "pictures")


def predict_command(
    paths: Iterable[Path],
    *,
    model: str | None = None,
    form: str = "json",
    output: Path | None = None,
    detector: str = "mtcnn",
    every: int = 1,
    views: str = FACE_VIEWS,
    device: str = "auto",
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> int:
    """Do what `fer predict` says.

    Args:
        paths: pictures, videos, or folders of them.
        model: a weight file by name; None for :func:`fer_lib.checkpoints.best_checkpoint`.
        form: one of `FORMATS`.
        output: file, or folder for pictures; None for the terminal, or the folder ``drawn``.
        detector: see :func:`fer_lib.demo.faces.create_detector`.
        every: of a video, take every so-manyth frame.
        views: test views averaged, a name of :data:`fer_lib.augment.VIEWS`.
        device: see :func:`fer_lib.training.choose_device`.
        say: receives the name of every picture written.
        warn: receives a line for each file that cannot be read.

    Returns:
        0, or 1 where a file could not be read.

    Raises:
        UserError: an unknown option's value, or a path that does not exist.
    """
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    if every < 1:
        raise UserError(f"--every {every}: must be 1 or more")
    if views not in VIEWS:
        raise unknown("kind of test views", views, VIEWS)
    if detector not in DETECTORS:
        raise unknown("detector", detector, DETECTORS)
    checkpoint = read_checkpoint(model) if model else best_checkpoint()
    if checkpoint is None:
        raise UserError(NO_CHECKPOINT)
    files = find_files(paths)
    if form == "pictures":
        check_output(output or Path("drawn"), folder=True)
    elif output:
        check_output(output, files)
    unread: list[str] = []

    def report(line: str) -> None:
        unread.append(line)
        warn(line)

    predictor = Predictor(checkpoint, device)
    results = predict_files(files, create_detector(detector), predictor, every=every, views=views, warn=report)
    if form == "pictures":
        for path in write_pictures(results, output or Path("drawn"), checkpoint.name):
            say(str(path))
        return 1 if unread else 0

    def write(file: TextIO) -> None:
        if form == "csv":
            write_csv(results, file, predictor.classes, checkpoint.name)
        else:
            write_json(results, file, checkpoint.name)

    def write_bytes(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, "utf-8")
        write(text)
        text.detach()  # flushes, and leaves the file open

    if output is None:
        write(sys.stdout)
    else:
        write_atomically(output, write_bytes)
    return 1 if unread else 0


def predict_files(
    paths: Iterable[Path],
    detector: Detector,
    predictor: Predictor,
    *,
    every: int = 1,
    views: str = FACE_VIEWS,
    warn: Callable[[str], None] = lambda line: None,
) -> Iterator[tuple[Frame, list[Reading]]]:
    """Read the faces of files; what cannot be read is named and left out.

    Args:
        paths: pictures, videos, or folders of them.
        detector: finds the faces.
        predictor: names their expressions.
        every: of a video, take every so-manyth frame.
        views: see :meth:`fer_lib.predict.Predictor.probabilities`.
        warn: receives a line for each file that cannot be read.

    Raises:
        UserError: a path that does not exist, or a folder without pictures.
    """

    def frames() -> Iterator[Frame]:
        for file in files:
            try:
                yield from read_frames(file, every)
            except UserError as error:
                warn(str(error))

    files = find_files(paths)
    yield from read_faces(frames(), detector, predictor, views)


def write_json(results: Iterable[tuple[Frame, list[Reading]]], file: TextIO, net: str) -> None:
    """One JSON object a line and frame: file, frame and seconds of a video, size, net, and the list of faces."""
    for frame, readings in results:
        height, width = frame.picture.shape[:2]
        row: dict[str, Any] = {"file": str(frame.source)}
        if frame.index is not None:
            row |= {"frame": frame.index, "seconds": round(frame.seconds or 0.0, 3)}
        faces = [
            {
                "box": [round(value, 1) for value in reading.face.box],
                "confidence": round(reading.face.score, 4),
                "label": reading.label,
                "probabilities": {name: round(share, 4) for name, share in reading.probabilities.items()},
            }
            for reading in readings
        ]
        file.write(json.dumps(row | {"size": [width, height], "net": net, "faces": faces}) + "\n")


def write_csv(results: Iterable[tuple[Frame, list[Reading]]], file: TextIO, classes: Iterable[str], net: str) -> None:
    """One row a face; a frame without faces has one row of empty cells."""
    classes = list(classes)
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["file", "frame", "seconds", "left", "top", "width", "height", "label", *classes, "net"])
    for frame, readings in results:
        when = ["", ""] if frame.index is None else [frame.index, round(frame.seconds or 0.0, 3)]
        source = spreadsheet_cell(str(frame.source))
        for reading in readings:
            box = [round(value, 1) for value in reading.face.box]
            shares = [round(reading.probabilities[name], 4) for name in classes]
            table.writerow([source, *when, *box, reading.label, *shares, net])
        if not readings:
            table.writerow([source, *when, *[""] * (5 + len(classes)), net])


def write_pictures(results: Iterable[tuple[Frame, list[Reading]]], folder: Path, net: str) -> Iterator[Path]:
    """Write every frame with its boxes, words and the net's name as a JPEG in a folder.

    Names are the files' own with the frame's number, and a number where two files share one; nothing that lies
    there already is replaced.

    Yields:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for frame, readings in results:
        stem = frame.source.stem + ("" if frame.index is None else f"-{frame.index:06d}")
        yield save_new(annotate(frame.picture, readings, net), folder, stem)


def save_new(picture: Any, folder: Path, stem: str) -> Path:
    """Save a Pillow picture as ``STEM.jpg``, or as ``STEM-2.jpg`` and so on where that is taken."""
    number = 1
    while True:
        path = folder / (f"{stem}.jpg" if number == 1 else f"{stem}-{number}.jpg")
        try:
            with open(path, "xb") as file:
                picture.save(file, "JPEG", quality=92)
            return path
        except FileExistsError:
            number += 1
