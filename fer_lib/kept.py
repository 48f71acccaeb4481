"""Answers that take long and follow from the code alone, kept in a file of this machine."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fer_lib.paths import PACKAGE, results_dir, study_results, write_atomically


def code_digest(*parts: str, suffixes: tuple[str, ...] = (".py", ".toml")) -> str:
    """SHA-256, hexadecimal, of the library's sources, the same in a checkout and in a wheel of it.

    Args:
        parts: files and folders of ``fer_lib``; by default all of it.
        suffixes: of the files that count.
    """
    digest = hashlib.sha256()
    for path in sorted(path for part in parts or ("",) for path in [PACKAGE / part, *(PACKAGE / part).rglob("*")]):
        if path.suffix in suffixes and not path.is_relative_to(PACKAGE / "shipped"):
            digest.update(path.relative_to(PACKAGE.parent).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


_FOUND: dict[str, dict[str, Any]] = defaultdict(dict)
"""What this process has found, by the code and the question."""


def kept_in(results: Path) -> Path | None:
    """The folder ``logs/`` of results, in which answers about them are kept.

    None where other results than the reader's own have no such folder: what is only read is left as it is.
    """
    logs = results / "logs"
    return logs if logs.is_dir() or results in (results_dir(), study_results()) else None


class Kept:
    """Answers by question, plain JSON values, as one version of the code gives them.

    The file may be missing, damaged, of other code or impossible to write: then answers are only found again.

    Args:
        path: the file; None keeps nothing beyond this process.
        code: what the answers follow from, see :func:`code_digest`.
    """

    def __init__(self, path: Path | None, code: str) -> None:
        self._path, self._code = path, code
        self.known: dict[str, Any] = {}
        if path:
            with suppress(OSError, ValueError, RecursionError):
                content = json.loads(path.read_bytes())
                if isinstance(content, dict) and content.get("code") == code and isinstance(content.get("known"), dict):
                    self.known = content["known"]

    def __call__(self, question: str, find: Callable[[], Any]) -> Any:
        """The answer to a question, found if it is not known."""
        if question not in self.known:
            found = _FOUND[self._code]
            if question not in found:
                found[question] = find()
            self.keep({**self.known, question: found[question]})
        return self.known[question]

    def keep(self, known: dict[str, Any]) -> None:
        """Put other answers in the place of all that are known."""
        self.known = known
        content = json.dumps({"code": self._code, "known": known}, indent=0).encode()
        if self._path:
            with suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(self._path, content)
