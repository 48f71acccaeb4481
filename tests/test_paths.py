"""Where files lie, and how they are written: nothing is lost, cut, widened or half written."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fer_lib import paths
from fer_lib.errors import UserError
from fer_lib.paths import check_output, results_dir, setting_path, user_path, write_atomically, write_new


def put(path, text="new"):
    write_atomically(path, text.encode())


# ---------------------------------------------------------------- where


def test_relative_settings_count_from_the_checkout_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.delenv("FER_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert setting_path("data") == paths.ROOT / "data"
    assert results_dir() == paths.ROOT / "results"
    assert results_dir("smoke") == paths.ROOT / "results" / "smoke"
    assert results_dir(str(tmp_path)) == tmp_path
    monkeypatch.setenv("FER_RESULTS", "elsewhere")
    assert results_dir() == paths.ROOT / "elsewhere"
    monkeypatch.setattr(paths, "ROOT", tmp_path / "site-packages")
    assert setting_path("data") == tmp_path / "data"


def test_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a b") == setting_path("~/a b") == tmp_path / "a b"
    for wrong in ("", "~nobody-of-this-name/x"):
        with pytest.raises(UserError):
            user_path(wrong)


# ---------------------------------------------------------------- writing


def test_a_link_stays_and_what_it_points_to_is_written(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "file", tmp_path / "link"
    link.symlink_to("real/file")
    for text in ("first", "second"):  # the first makes what the link points to
        put(link, text)
        assert link.is_symlink()
        assert target.read_text() == text
    other = tmp_path / "other name"
    os.link(target, other)
    put(target, "third")
    assert other.read_text() == "third"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "link", "other name", "real"]


def test_a_file_keeps_its_mode(tmp_path):
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o600)
    put(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = os.umask(0o027)
    put(tmp_path / "fresh")
    os.umask(before)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o640


def test_devices_and_pipes_take_what_they_are_given(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    put(pipe)
    reader.join()
    assert read == ["new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    (tmp_path / "null").symlink_to(os.devnull)
    put(tmp_path / "null")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left on device: '.*file'"):
        write_atomically(path, fail)
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file", "old")]


def test_what_killed_processes_left_is_swept_and_what_others_write_is_not(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    dead = done.stdout.strip()
    of_this = (f".file.{dead}", ".file.99999999999", f".file.{os.getppid()}")
    for name in (*of_this, f".other.{dead}", ".file.old", "file.1"):
        (tmp_path / name).write_text("half")
    put(tmp_path / "file")
    assert {path.name for path in tmp_path.iterdir()} == {
        "file", f".file.{os.getppid()}", f".other.{dead}", ".file.old", "file.1",
    }  # fmt: skip


def test_a_new_file_replaces_nothing(tmp_path):
    def new(text, stem="photo"):
        return write_new(tmp_path, stem, ".jpg", lambda file: file.write(text.encode())).name

    (tmp_path / "photo-2.jpg").symlink_to("nowhere")
    assert [new("first"), new("second")] == ["photo.jpg", "photo-3.jpg"]
    assert (tmp_path / "photo.jpg").read_text() == "first"
    long = new("third", "ü" * 127)
    assert long.startswith("üüü")
    assert long.endswith("ü.jpg")
    assert len(list(tmp_path.iterdir())) == 4


def test_a_new_file_on_a_disk_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for name in ("photo.jpg", "photo-2.jpg"):
        assert write_new(tmp_path, "photo", ".jpg", lambda file: file.write(b"new")).name == name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo-2.jpg", "photo.jpg"]


def test_no_part_of_a_new_file_is_seen_before_it_is_whole(tmp_path):
    def fail(file):
        file.write(b"half")
        assert not list(tmp_path.glob("photo*"))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left on device: '.*photo.jpg'"):
        write_new(tmp_path, "photo", ".jpg", fail)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_a_file_system_that_takes_no_files_is_an_error_at_once():
    write = "from pathlib import Path; from fer_lib.paths import write_atomically as w; w(Path('/proc/x.csv'), b'a')"
    done = subprocess.run([sys.executable, "-c", write], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("No such file or directory: '/proc/x.csv'")


# ---------------------------------------------------------------- the guard


def test_the_guard_lets_pass_what_can_be_written(tmp_path):
    (tmp_path / "old").write_text("old")
    (tmp_path / "link").symlink_to("nothing yet")
    for name in ("new ü", "old", "link"):
        check_output(tmp_path / name, [tmp_path / "input", tmp_path / "other"])
    check_output(tmp_path / "a" / "b", folder=True)
    check_output(tmp_path, folder=True)
    check_output(paths.Path(os.devnull))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "old"]


WRONG = {
    "a folder": (".", "a folder, where the output needs a file"),
    "no folder": ("none/x", r"there is no folder .*none; make it first"),
    "the input": ("input", "is read as input"),
    "a link to the input": ("link", "is read as input"),
    "another name of the input": ("hard", "is read as input"),
    "a file as a folder": ("input/x", r"there is no folder"),
    "control characters": ("a\x1b[31mb", "a name with control characters"),
    "a line feed": ("a\nb", "a name with control characters"),
    "a long name": ("x" * 300, "a name of more than"),
    "a circle": ("circle", r"circle: "),
}


@pytest.mark.parametrize("kind", WRONG)
def test_the_guard_names_what_is_in_the_way(tmp_path, kind):
    (tmp_path / "input").write_text("precious")
    (tmp_path / "link").symlink_to("input")
    os.link(tmp_path / "input", tmp_path / "hard")
    (tmp_path / "circle").symlink_to("circle")
    before = sorted(tmp_path.iterdir())
    name, words = WRONG[kind]
    with pytest.raises(UserError, match=words):
        check_output(tmp_path / name, [tmp_path / "none of it", tmp_path / "input"])
    assert sorted(tmp_path.iterdir()) == before


def test_the_guard_of_folders(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("file", "file/inside/further"):
        with pytest.raises(UserError, match="a file, where a folder is needed"):
            check_output(tmp_path / name, folder=True)
