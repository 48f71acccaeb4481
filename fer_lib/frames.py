"""Pictures and videos from anywhere, as frames: uint8 RGB [H, W, 3] and the time at which each is shown."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_lib.data.foreign import beginning_of, what_it_is
from fer_lib.data.pictures import MAX_PIXELS, SUFFIXES, decode_picture, is_picture
from fer_lib.data.walk import is_regular, walk
from fer_lib.errors import UserError
from fer_lib.extras import from_extra
from fer_lib.paths import user_path

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

VIDEO_SUFFIXES = {
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".asf", ".mpg", ".mpeg", ".flv", ".3gp", ".ts", ".mts",
    ".m2ts", ".ogv", ".ogg", ".vob", ".mxf", ".mjpeg", ".mjpg", ".h264", ".264", ".h265", ".hevc",
}  # fmt: skip
"""Names of videos; a file of another name is one if its content is."""
# A stream without a container begins like a picture, or like anything: only its name says what it is.
_STREAMS = {
    ".mjpeg": "mjpeg", ".mjpg": "mjpeg", ".h264": "h264", ".264": "h264", ".h265": "hevc", ".hevc": "hevc",
}  # fmt: skip
# FFmpeg opens play lists too, which make it open other files and addresses: none of them is here.
_CONTAINERS = "mov,matroska,avi,asf,flv,mpeg,mpegts,ogg,mxf,rm,dv,nut,ivf,wtv"
SLACK = 0.5  # seconds by which a container's own duration may be longer than what is in it


@dataclass(frozen=True)
class Frame:
    """A picture and where it comes from.

    Attributes:
        source: the file.
        index: number of the frame in a video, from 0; None for a picture.
        seconds: time of the frame in a video, by the time stamps of its container; None for a picture, and for a video
            that keeps no times.
        picture: uint8 RGB [H, W, 3].
    """

    source: Path
    index: int | None
    seconds: float | None
    picture: np.ndarray


def find_files(paths: Iterable[Path]) -> tuple[list[Path], dict[Path, list[Path]]]:
    """The picture and video files that some paths name, folders searched to the bottom, in order.

    Args:
        paths: files and folders; ``~`` is understood.

    Returns:
        The files, and for each folder what was passed over in it: other files, hidden ones, pipes and devices, folders
        of the system. Files are told by content where the suffix does not tell.

    Raises:
        UserError: a path that does not exist or is no regular file, or a folder without pictures.
    """
    found, passed = [], {}
    for given in paths:
        path = given if given.exists() else user_path(given)
        if path.is_dir():
            inside, passed[path] = walk(path, _is_wanted)
            if not inside:
                raise UserError(f"{path}: no pictures or videos in this folder")
            found += inside
        elif is_regular(path):
            found.append(path)
        elif path.exists():
            raise UserError(f"{path}: a pipe or a device, not a file; save what it gives as a file first")
        else:
            raise UserError(_absent(str(given)))
    return list(dict.fromkeys(found)), {folder: names for folder, names in passed.items() if names}


def _absent(text: str) -> str:
    text = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+:)/+", r"\1//", text)  # a path has squeezed the slashes of an address
    if re.match(r"file:/", text):
        return f"{text}: an address; name the file by its path, without file://"
    if re.match(r"(rtsp|rtmp|rtp|udp|mms|srt)s?:/", text):
        return f"{text}: an address of a live stream, which is not read here; record a file of it first, as with ffmpeg"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        return f"{text}: an address, not a file; download it first"
    if text == "-":
        return "-: no such file; `fer predict` reads files, not what is piped into it"
    if re.fullmatch(r"\d+|(/dev/)?video\d+|webcam|camera", text):
        return f"{text}: no such file; if a camera is meant: `fer demo` shows it, `fer predict` reads files"
    return f"{text}: no such file or folder"


def _is_wanted(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES or is_picture(file) or _is_video(file)


def _is_video(file: Path) -> bool:
    try:
        with _opened(file) as container:
            return bool(container.streams.video)
    except UserError:
        return False


def read_frames(file: Path, every: int = 1) -> Iterator[Frame]:
    """The one frame of a picture file, or the frames of a video as they are unpacked.

    Args:
        file: a picture or a video, whatever its suffix.
        every: of a video, take one frame in so many.

    Raises:
        UserError: not readable, or too large; or, after the frames that could be read, a video that is damaged or cut
            off, saying where.
    """
    suffix = file.suffix.lower()
    if suffix in _STREAMS or not (is_picture(file) or (suffix in SUFFIXES and not _is_video(file))):
        yield from _read_video(file, every)
    else:
        yield Frame(file, None, None, decode_picture(file))


@contextmanager
def _opened(file: Path) -> "Iterator[InputContainer]":
    with from_extra("demo"):
        import av  # loads FFmpeg, and only here
    try:
        # An open file, since FFmpeg reads addresses and patterns in names; and it never hears of other files.
        with open(file, "rb") as content:
            stream = _STREAMS.get(file.suffix.lower())
            options = {} if stream else {"format_whitelist": _CONTAINERS}
            container = av.open(content, "r", format=stream, options=options)
            with container:
                yield container
    except UserError:
        raise
    except (OSError, ValueError) as error:  # PyAV's own errors are of these kinds as well
        raise UserError(f"{file}: {_why_unread(file, error)}") from None


def _why_unread(file: Path, error: Exception) -> str:
    if not os.access(file, os.R_OK):
        return getattr(error, "strerror", None) or str(error)
    if foreign := what_it_is(beginning_of(file)):
        return foreign
    is_video = file.suffix.lower() in VIDEO_SUFFIXES
    return "not a readable video" if is_video else "neither a picture nor a readable video"


def _read_video(file: Path, every: int) -> Iterator[Frame]:
    import av

    with _opened(file) as container:
        video = container.streams.best("video")
        if not isinstance(video, av.VideoStream) or video.disposition & av.stream.Disposition.attached_pic:
            raise UserError(f"{file}: sound without pictures")
        if video.width * video.height > MAX_PIXELS:
            raise UserError(f"{file}: pictures of more than {MAX_PIXELS:,} pixels; make the video smaller first")
        progress = _Progress(container, video)
        index = 0
        for frame in progress.frames():
            seconds = progress.seconds(frame, index)  # of those passed over as well: it learns how far apart they are
            if index % every == 0:
                picture = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4)
                yield Frame(file, index, seconds, np.ascontiguousarray(picture))
            index += 1
        if not index:
            raise UserError(f"{file}: not a readable video: no picture of it can be unpacked")
        if fault := progress.fault():
            raise UserError(f"{file}: {fault}; {index} frames were read")


class _Progress:
    """How far a video has been unpacked, and what was found wrong with it on the way."""

    def __init__(self, container: "InputContainer", video: "VideoStream") -> None:
        self.container, self.video = container, video
        self.start = (container.start_time or 0) / 1_000_000
        self.end = self.start  # of all that was read, sound included
        self.shown = self.gap = 0.0  # time of the latest picture, and the longest way between two
        self.packets = self.damaged = 0
        self.broken = False

    def frames(self) -> "Iterator[VideoFrame]":
        """The pictures that can be unpacked, in the order in which they are shown."""
        import av

        packets, latest = self.container.demux(), None
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError:
                self.broken = True
                return
            if packet.pts is not None:
                until = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self.end = max(self.end, until)
            if packet.stream is not self.video:
                continue
            if latest is not None and not packet.size and packet.pts is not None:
                found, latest.pts = [latest], packet.pts  # an empty packet, as in Theora: the picture stays as it is
                self.packets += 1
            else:
                self.packets += packet.size > 0
                try:
                    found = [frame for frame in packet.decode() if isinstance(frame, av.VideoFrame)]
                except av.error.FFmpegError:
                    self.damaged += 1
                    continue
                self.damaged += packet.is_corrupt or any(frame.is_corrupt for frame in found)
            for latest in found:
                yield latest

    def seconds(self, frame: "VideoFrame", index: int) -> float | None:
        """When a picture is shown, counted from the start of the film."""
        if self.container.format.name in ("mjpeg", "jpeg_pipe"):
            return None  # nothing but pictures, one after the other
        if frame.time is None:
            rate = self.video.guessed_rate or self.video.average_rate
            return float(index / rate) if rate else None
        seconds = max(0.0, frame.time - self.start)
        self.gap, self.shown = max(self.gap, seconds - self.shown), seconds
        return seconds

    def fault(self) -> str:
        """What is wrong with the film that was read to its end, or nothing."""
        lasts, read = (self.container.duration or 0) / 1_000_000, self.end - self.start
        # Some containers count the time before their start as well, which must not look like a missing end.
        early = self.end + max(SLACK, 1.5 * self.gap) < lasts
        # A trimmed MP4, and an AVI of uneven times, count pictures that are not there, yet last as long as they say.
        complete = self.packets >= self.video.frames > 0
        if self.broken or (early and not complete):
            return f"cut off: it ends after {read:.1f} s" + (f" of {lasts:.1f} s" if read < lasts - SLACK else "")
        if self.damaged:
            return f"damaged: {self.damaged} of its pictures cannot be unpacked, or not wholly"
        return ""
