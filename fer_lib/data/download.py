"""Fetches what may be fetched, and says where to get the rest."""

import contextlib
import errno
import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from fer_lib.data.catalog import COMPETITION, data_root
from fer_lib.data.fer2013 import read_csv
from fer_lib.errors import UserError, unknown

FILE = "icml_face_data.csv"
_ELSEWHERE = {
    "ferplus": "FER+ is not on Kaggle: take fer2013new.csv from https://github.com/microsoft/FERPlus and put it into"
    " {root}/fer2013/",
    "ckplus": "CK+ is given to those who sign its agreement: ask the Affect Analysis Group of the University of"
    " Pittsburgh, then unpack CK+48, or cohn-kanade-images and Emotion, into {root}/ckplus/",
}


def download(dataset: str, root: str | Path | None = None) -> Path:
    """Fetch a dataset from its publisher into the data root.

    Only FER2013 can be fetched, by Kaggle's own client with the user's own account. The file is checked row
    by row before it takes its place, so that a broken download leaves nothing behind.

    Args:
        dataset: "fer2013"; "ferplus" and "ckplus" are answered with where to get them.
        root: the data root; see `catalog.data_root`.

    Returns:
        The file written.

    Raises:
        UserError: if the dataset cannot be fetched, or was not, saying what to do.
    """
    root = data_root(root)
    if dataset in _ELSEWHERE:
        raise UserError(_ELSEWHERE[dataset].format(root=root))
    if dataset != "fer2013":
        raise unknown("dataset to download", dataset, ["fer2013", *_ELSEWHERE])
    client = _kaggle_client()
    target = root / "fer2013" / FILE
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that moving the file is atomic.
        with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as folder:
            _fetch(client, Path(folder))
            read_csv(Path(folder) / FILE)
            (Path(folder) / FILE).replace(target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def _kaggle_client() -> Any:
    advice = "see https://www.kaggle.com/docs/api, or put fer2013.csv into the folder fer2013 of the data root by hand"
    try:
        # The client prints its advice over many lines, and ends the process without an account.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            import kaggle

            kaggle.api.authenticate()
    except ModuleNotFoundError as error:
        raise UserError(f"Kaggle's client is not installed: pip install kaggle; {advice}") from error
    except (Exception, SystemExit) as error:  # each release of it has its own way to say this
        raise UserError(f"Kaggle's client finds no account (KAGGLE_API_TOKEN or kaggle.json): {advice}") from error
    return kaggle.api


def _fetch(client: Any, folder: Path) -> None:
    page = f"https://www.kaggle.com/c/{COMPETITION}"
    try:
        client.competition_download_file(COMPETITION, FILE, path=str(folder), quiet=True)
    except (Exception, SystemExit) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"Kaggle did not send {FILE} ({reason}): accept the rules at {page}/rules first") from error
    archive = folder / f"{FILE}.zip"
    if archive.exists():
        try:
            with zipfile.ZipFile(archive) as content:
                content.extract(FILE, folder)
        except (zipfile.BadZipFile, KeyError) as error:
            raise UserError(f"Kaggle sent a broken {archive.name}: try again") from error
    if not (folder / FILE).exists():
        raise UserError(f"Kaggle sent {', '.join(f.name for f in folder.iterdir()) or 'nothing'} instead of {FILE}")
