"""A video with boxes and words drawn over it."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from typing import BinaryIO

from PIL import Image

TICKS = 90_000  # a second's time stamps, as MPEG counts them
RATE = 25  # pictures a second where a video keeps no times


def write_film(frames: Iterable[tuple[float | None, Image.Image]], file: BinaryIO) -> None:
    """Write an MP4, without sound, each picture shown at its own time.

    Args:
        frames: seconds and picture; the first says how large the film is.
        file: open for writing, and seekable.
    """
    import av

    frames = iter(frames)
    first = next(frames)
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=RATE)
        assert isinstance(stream, av.VideoStream), "both codecs are of videos"
        stream.width, stream.height = (max(2, length // 2 * 2) for length in first[1].size)  # even, as H.264 wants it
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        latest = -1
        for number, (seconds, picture) in enumerate(chain([first], frames)):
            latest = max(latest + 1, round((number / RATE if seconds is None else seconds) * TICKS))
            frame = av.VideoFrame.from_image(picture).reformat(stream.width, stream.height, "yuv420p")
            frame.pts, frame.time_base = latest, stream.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
