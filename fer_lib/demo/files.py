"""`fer predict`: the expressions in files, folders and videos, as JSON, as CSV or drawn over pictures and films."""

import csv
import io
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from PIL import Image

from fer_lib.checkpoints import best_checkpoint, read_checkpoint
from fer_lib.data.pictures import is_one_of_several
from fer_lib.data.walk import passed_over
from fer_lib.demo.annotate import annotate
from fer_lib.demo.faces import DETECTORS, create_detector
from fer_lib.demo.film import write_film
from fer_lib.errors import UserError, check_known, check_least
from fer_lib.frames import Frame, find_files, read_frames
from fer_lib.models.weights import NO_WEIGHTS
from fer_lib.parts import VIEWS
from fer_lib.paths import check_output, write_atomically, write_new
from fer_lib.predict import FACE_VIEWS, Detector, Predictor, Reading, read_faces
from fer_lib.progress import track
from fer_lib.texts import one_line, spreadsheet_cell

FORMATS = ("json", "csv", "pictures", "films")
CUT_OUT = 256  # pictures with no longer side, and about square, may be faces that were cut out


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
        output: file, or folder for pictures and films; None for the terminal, or the folder ``drawn``.
        detector: see :func:`fer_lib.demo.faces.create_detector`.
        every: of a video, take one frame in so many.
        views: test views averaged, a name of :data:`fer_lib.parts.VIEWS`.
        device: see :func:`fer_lib.training.choose_device`.
        say: receives the name of every picture written.
        warn: receives a line for each file that cannot be read, and for what else the reader should know.

    Returns:
        0, or 1 where a file could not be read.

    Raises:
        UserError: an unknown option's value, or a path that does not exist.
    """
    check_known("format", form, FORMATS)
    check_least("--every", every)
    check_known("kind of test views", views, VIEWS)
    check_known("detector", detector, DETECTORS)
    checkpoint = read_checkpoint(model) if model else best_checkpoint()
    if checkpoint is None:
        raise UserError(NO_WEIGHTS)
    found, passed = find_files(paths)
    drawn = form in ("pictures", "films")
    if drawn:
        check_output(output or Path("drawn"), folder=True)
    elif output:
        check_output(output, found)
    for folder, names in passed.items():
        warn(passed_over(names, folder, "pictures or videos"))
    unread: list[str] = []
    small, missed = 0, 0

    def report(line: str) -> None:
        unread.append(line)
        warn(line)

    def counted(frames: Iterable[tuple[Frame, list[Reading]]]) -> Iterator[tuple[Frame, list[Reading]]]:
        nonlocal small, missed
        for frame, readings in frames:
            if frame.index is None and is_one_of_several(frame.source):
                several = "holds several pictures and the first is read; a video, such as an .mp4, is read whole"
                warn(f"{frame.source}: {several}")
            short, long = sorted(frame.picture.shape[:2])
            if frame.index is None and long <= min(CUT_OUT, 1.2 * short):
                small, missed = small + 1, missed + (not readings)
            yield frame, readings

    predictor = Predictor(checkpoint, device)
    files = track(found, "reading") if output and not drawn else found  # else the lines of output say how far it is
    results = counted(predict_files(files, create_detector(detector), predictor, every=every, views=views, warn=report))

    def write(file: TextIO) -> None:
        if form == "csv":
            write_csv(results, file, predictor.classes, checkpoint.name)
        else:
            write_json(results, file, checkpoint.name)

    def write_bytes(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, "utf-8")
        write(text)
        text.detach()  # flushes, and leaves the file open

    if drawn:
        for path in write_pictures(results, output or Path("drawn"), checkpoint.name, films=form == "films"):
            say(one_line(str(path)))
    elif output:
        write_atomically(output, write_bytes)
    else:
        write(sys.stdout)
    if missed:
        warn(
            f"no face found in {missed} of {small} small pictures; if they are faces already cut out, read them"
            " with --detector none"
        )
    return 1 if unread else 0


def predict_files(
    files: Iterable[Path],
    detector: Detector,
    predictor: Predictor,
    *,
    every: int = 1,
    views: str = FACE_VIEWS,
    warn: Callable[[str], None] = lambda line: None,
) -> Iterator[tuple[Frame, list[Reading]]]:
    """Read the faces of files; what cannot be read is named and left out.

    Args:
        files: pictures and videos, see :func:`fer_lib.frames.find_files`.
        detector: finds the faces.
        predictor: names their expressions.
        every: of a video, take one frame in so many.
        views: see :meth:`fer_lib.predict.Predictor.probabilities`.
        warn: receives a line for each file that cannot be read, or not to its end.
    """

    def frames() -> Iterator[Frame]:
        for file in files:
            try:
                yield from read_frames(file, every)
            except UserError as error:
                warn(str(error))

    yield from read_faces(frames(), detector, predictor, views)


def write_json(results: Iterable[tuple[Frame, list[Reading]]], file: TextIO, net: str) -> None:
    """One JSON object a line and frame: file, frame and seconds of a video, size, net, and the list of faces."""
    for frame, readings in results:
        height, width = frame.picture.shape[:2]
        row: dict[str, Any] = {"file": str(frame.source)}
        if frame.index is not None:
            row |= {"frame": frame.index, "seconds": _rounded(frame.seconds)}
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
    net, named = spreadsheet_cell(net), {name: spreadsheet_cell(name) for name in classes}
    table.writerow(["file", "frame", "seconds", "left", "top", "width", "height", "label", *named.values(), "net"])
    for frame, readings in results:
        when = ["", ""] if frame.index is None else [frame.index, _rounded(frame.seconds)]
        # A name whose bytes are no UTF-8 shows them as numbers: the table must stay readable.
        source = spreadsheet_cell(os.fsencode(frame.source).decode(errors="backslashreplace"))
        for reading in readings:
            box = [round(value, 1) for value in reading.face.box]
            shares = [round(reading.probabilities[name], 4) for name in classes]
            table.writerow([source, *when, *box, named[reading.label], *shares, net])
        if not readings:
            table.writerow([source, *when, *[""] * (5 + len(classes)), net])


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def write_pictures(
    results: Iterable[tuple[Frame, list[Reading]]], folder: Path, net: str, films: bool = False
) -> Iterator[Path]:
    """Write every frame with its boxes, words and the net's name as a JPEG in a folder.

    Names are the files' own with the frame's number, and a number where two files share one; nothing that lies
    there already is replaced.

    Args:
        results: as read.
        folder: made if need be.
        net: name of the net.
        films: write a video as a video, see :func:`fer_lib.demo.film.write_film`, and not frame by frame.

    Yields:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for (source, is_film), frames in itertools.groupby(results, lambda row: (row[0].source, row[0].index is not None)):
        drawn = ((frame, annotate(frame.picture, readings, net)) for frame, readings in frames)
        if films and is_film:
            yield write_new(folder, source.stem, ".mp4", partial(write_film, ((f.seconds, p) for f, p in drawn)))
            continue
        for frame, picture in drawn:
            yield save_new(picture, folder, source.stem + (f"-{frame.index:06d}" if is_film else ""))


def save_new(picture: Image.Image, folder: Path, stem: str) -> Path:
    """Save a picture as a JPEG of a new name, see :func:`fer_lib.paths.write_new`."""
    return write_new(folder, stem, ".jpg", lambda file: picture.save(file, "JPEG", quality=92))
