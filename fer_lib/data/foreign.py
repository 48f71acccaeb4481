"""What a file is that is not what it should be, by its first bytes, and what its owner can do."""

import re
from pathlib import Path

_BEGINNINGS = (
    (b"version https://git-lfs.", "a pointer of Git LFS, not the file itself: run `git lfs pull` where it came from"),
    (b"\xd0\xcf\x11\xe0", "a document of an office program: save its table as CSV"),
    (b"PAR1", "a Parquet table, as Hugging Face has them, which is not read here: get the publisher's own files"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"BZh", "a bzip2 archive: unpack it first"),
    (b"\xfd7zXZ\0", "an xz archive: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive: unpack it first"),
    (b"%PDF-", "a PDF document: save its pictures as JPEG or PNG"),
    (b"%!PS", "PostScript, which is not run here: save it as JPEG or PNG"),
    (b"\x89HDF", "an HDF5 file, as Keras and MATLAB write them"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\xff\xfe", "text in UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16: save it as UTF-8"),
)
_OFFICE = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/", b"mimetypeapplication/vnd.oasis.")
_MARKUP = re.compile(rb"<[!?a-z]")
_JSON = re.compile(rb"""[{\[]\s*["{\[]""")
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def is_heic(beginning: bytes) -> bool:
    """Whether a file that begins so is a picture of an iPhone's own kind, for which Pillow needs a plug-in."""
    return beginning[4:8] == b"ftyp" and beginning[8:12] in _HEIC


def what_it_is(beginning: bytes) -> str:
    """What a file is, and what to do, where it is one of the things that people mistake for another.

    Args:
        beginning: its first bytes, 262 or more.

    Returns:
        Words that go on from "it is", or nothing where it is none of them.
    """
    if not beginning:
        return "an empty file: fetch it again"
    if is_heic(beginning):
        return "a HEIC picture, which is not read here: save it as JPEG, or send it from the phone as JPEG"
    text = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if _MARKUP.match(text) and b"<svg" in text:
        return "an SVG drawing: save it as PNG"
    if _JSON.match(text):
        return "JSON text, perhaps what a server sent in place of the file: look into it, and fetch the file again"
    if _MARKUP.match(text):
        return "a web page, not the file it leads to: fetch the file itself, after logging in if need be"
    if beginning.startswith(b"PK\x03\x04") and beginning[30:].startswith(_OFFICE):  # the name of its first member
        return "a document of an office program: save its table as CSV"
    if beginning[257:262] == b"ustar":
        return "a tar archive: unpack it first"
    return next((words for start, words in _BEGINNINGS if beginning.startswith(start)), "")


def beginning_of(file: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        OSError: it cannot be read.
    """
    with open(file, "rb") as opened:
        return opened.read(512)
