"""Folders are searched by content, videos are read by their own times, and what is cut off or damaged says so."""

import os
import shutil
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from fer_lib.demo.film import write_film
from fer_lib.errors import UserError
from fer_lib.frames import find_files, read_frames

GRADIENT = np.linspace(0, 255, 40 * 30).reshape(30, 40).astype(np.uint8)


def test_files_and_folders(tmp_path):
    for name in ("b/2.png", "b/c/1.JPG", "a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GRADIENT).save(tmp_path / name)
    (tmp_path / "b" / "notes.txt").write_text("no picture")
    found, passed = find_files([tmp_path / "b", tmp_path / "a.png", tmp_path / "b" / "2.png"])
    assert passed == {tmp_path / "b": [tmp_path / "b" / "notes.txt"]}
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["b/2.png", "b/c/1.JPG", "a.png"]
    with pytest.raises(UserError, match=r"none: no such file or folder"):
        find_files([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no pictures or videos"):
        find_files([tmp_path / "empty"])


def test_every_third_frame_of_a_video(tmp_path):
    path = tmp_path / "film.avi"
    film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    for number in range(8):
        film.write(np.full((48, 64, 3), (0, 0, 30 * number), np.uint8))  # blue, green, red
    film.release()
    frames = list(read_frames(path, every=3))
    assert [(frame.index, round(frame.seconds, 3)) for frame in frames] == [(0, 0.0), (3, 0.3), (6, 0.6)]
    assert [round(frame.picture[..., 0].mean() / 30) for frame in frames] == [0, 3, 6]  # red comes first
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    with pytest.raises(UserError, match=r"broken\.mp4: not a readable video"):
        list(read_frames(tmp_path / "broken.mp4"))


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("https://example.org/me.jpg", "an address, not a file; download it first"),
        ("rtsp://192.0.2.7/live", "a live stream"),
        ("file:///home/me.jpg", "name the file by its path"),
        ("0", "`fer demo` shows it"),
    ],
)
def test_addresses_and_cameras_get_a_sentence(word, words):
    from pathlib import Path

    with pytest.raises(UserError, match=words):
        find_files([Path(word)])


def test_a_folder_is_searched_by_content_and_what_is_passed_over_is_named(tmp_path):
    for name in ("a.png", ".hidden.png", "._a.png", "__MACOSX/x.png", ".Trash-0/y.png", "@eaDir/z.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GRADIENT).save(tmp_path / name)
    shutil.copy(tmp_path / "a.png", tmp_path / "b.download")
    (tmp_path / "c.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "d.txt").write_text("text")
    os.mkfifo(tmp_path / "e.png")
    write_clip(tmp_path / "f.mp4", [0, 0.1])
    (tmp_path / "f.mp4").rename(tmp_path / "f.backup")
    (tmp_path / "loop").symlink_to(tmp_path)
    found, passed = find_files([tmp_path])
    assert [path.name for path in found] == ["a.png", "b.download", "c.HEIC", "f.backup"]
    names = ["._a.png", ".Trash-0", ".hidden.png", "@eaDir", "__MACOSX", "d.txt", "e.png", "loop"]
    assert sorted(path.name for path in passed[tmp_path]) == sorted(names)
    assert len(list(read_frames(tmp_path / "f.backup"))) == 2


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "e.png")
    with pytest.raises(UserError, match=r"e\.png: a pipe or a device"):
        find_files([tmp_path / "e.png"])


# ---------------------------------------------------------------- videos


def write_clip(path, times):
    """A video whose n-th picture is of the grey level 10 n and shown at the n-th time."""
    with open(path, "wb") as file:
        write_film(((t, Image.new("RGB", (64, 48), (10 * n,) * 3)) for n, t in enumerate(times)), file)


def remuxed(path, name, form, **options):
    """The same stream in another container."""
    with av.open(str(path)) as source, av.open(str(path.with_name(name)), "w", format=form, options=options) as target:
        video = source.streams.video[0]
        stream = target.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path.with_name(name)


UNEVEN = [0, 1, 2, 3, 4, 5, 5.04, 5.08, 5.12]


@pytest.mark.parametrize(
    ("name", "form"), [("a.mkv", "matroska"), ("b.MTS", "mpegts"), ("c.3gp", "mp4"), ("d.x", "flv")]
)
def test_times_are_the_containers_own(tmp_path, name, form):
    write_clip(tmp_path / "film.mp4", UNEVEN)
    frames = list(read_frames(remuxed(tmp_path / "film.mp4", name, form)))
    assert [frame.seconds for frame in frames] == pytest.approx(UNEVEN, abs=2e-3)
    assert [round(frame.picture.mean() / 10) for frame in frames] == list(range(len(UNEVEN)))


def write_still(path):
    """Ten pictures a second: one of the grey level 40, two empty packets, which keep it, and one of the level 190."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        packets = []
        for at, grey in ((0, 40), (3, 190)):
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 64), (grey,) * 3))
            frame.pts, frame.time_base = at, Fraction(1, 10)
            packets += stream.encode(frame)
        first, last = packets + stream.encode()
        empty = [av.Packet(b"") for _ in range(2)]
        for at, packet in enumerate(empty, start=1):
            packet.pts = packet.dts = first.pts + at
            packet.stream, packet.time_base = stream, first.time_base
        target.mux([first, *empty, last])


def test_a_picture_that_stays_as_it_is_is_shown_again(tmp_path):
    """Theora writes empty packets for it; Nut takes them of any codec."""
    write_still(tmp_path / "film.nut")
    frames = list(read_frames(tmp_path / "film.nut"))
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert [round(frame.picture.mean(), -1) for frame in frames] == [40, 40, 40, 190]


def test_empty_packets_that_an_avi_counts_are_no_missing_end(tmp_path):
    write_still(tmp_path / "film.avi")
    assert [frame.seconds for frame in read_frames(tmp_path / "film.avi")] == pytest.approx([0, 0.3])


def test_a_live_recording_without_duration_has_times(tmp_path):
    write_clip(tmp_path / "film.mp4", UNEVEN)
    live = remuxed(tmp_path / "film.mp4", "live.mkv", "matroska", live="1")
    assert [frame.seconds for frame in read_frames(live)] == pytest.approx(UNEVEN, abs=2e-3)


def test_a_stream_of_pictures_alone_has_no_times(tmp_path):
    pictures = [Image.new("L", (64, 48), 10 * n) for n in range(3)]
    with open(tmp_path / "cam.mjpeg", "wb") as file:
        for picture in pictures:
            picture.save(file, "JPEG")
    assert [(f.index, f.seconds) for f in read_frames(tmp_path / "cam.mjpeg")] == [(0, None), (1, None), (2, None)]


@pytest.mark.parametrize(("name", "form"), [("a.mp4", "mp4"), ("b.mkv", "matroska"), ("c.flv", "flv")])
def test_a_film_that_is_cut_off_says_so_after_what_could_be_read(tmp_path, name, form):
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3)).astype(np.uint8)
    with open(tmp_path / "film.mp4", "wb") as file:
        write_film(((n / 10, Image.fromarray(picture)) for n, picture in enumerate(noise)), file)
    options = {"movflags": "faststart"} if form == "mp4" else {}
    whole = remuxed(tmp_path / "film.mp4", f"whole-{name}", form, **options)
    assert len(list(read_frames(whole))) == 40
    cut = tmp_path / name
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 7 // 10])
    frames, read = read_frames(cut), []
    with pytest.raises(UserError, match=rf"{name}: cut off: it ends after .*; \d+ frames were read"):
        read.extend(iter(lambda: next(frames).index, None))
    assert 0 < len(read) < 40
    with pytest.raises(UserError, match=f"{name}: cut off"):
        list(read_frames(cut, every=15))


def test_longer_sound_is_no_missing_picture(tmp_path):
    """A container lasts as long as its longest stream."""
    with av.open(str(tmp_path / "talk.mkv"), "w") as target:
        video, sound = target.add_stream("mpeg4", rate=10), target.add_stream("pcm_s16le", rate=8000)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            target.mux(video.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 48))).reformat(format="yuv420p")))
        target.mux(video.encode())
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 5 * 8000), np.int16), format="s16", layout="mono")
        samples.sample_rate = 8000
        target.mux(sound.encode(samples))
        target.mux(sound.encode())
    assert len(list(read_frames(tmp_path / "talk.mkv"))) == 10


def test_a_play_list_opens_nothing(tmp_path):
    write_clip(tmp_path / "secret.ts", [0, 0.1])
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n")
    (tmp_path / "concat.mkv").write_text("ffconcat version 1.0\nfile secret.ts\n")
    for name in ("list.mp4", "concat.mkv"):
        with pytest.raises(UserError, match=f"{name}: not a readable video"):
            list(read_frames(tmp_path / name))


def test_a_written_film_keeps_times_and_pictures(tmp_path):
    write_clip(tmp_path / "film.mp4", UNEVEN)
    frames = list(read_frames(tmp_path / "film.mp4"))
    assert [frame.seconds for frame in frames] == pytest.approx(UNEVEN, abs=1e-3)
    assert {frame.picture.shape for frame in frames} == {(48, 64, 3)}
