"""Which run records may be believed: each sound in itself, made once, and all from the same data.

Tables are made from :func:`sound_records`; what it leaves out it names.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from fer_lib.data import is_drawn, picture_digests, run_parts
from fer_lib.data.facts import FACTS_DIR, find_facts, load_facts
from fer_lib.data.folds import protocol_digest
from fer_lib.kept import Kept, code_digest
from fer_lib.paths import ROOT
from fer_lib.progress import track
from fer_lib.recipe import BY_CLASS
from fer_lib.runs import HISTORY, PREDICTIONS, RunRecord, read_records, verify_record

MAX_BYTES = 64_000
FILES = ("run.json", HISTORY, PREDICTIONS)


def sound_records(runs: Path, *, kept: Path | None = None) -> tuple[list[RunRecord], list[str]]:
    """Read the records of a folder that pass every check.

    Each is held against itself (:func:`fer_lib.runs.verify_record`), then against the committed facts of its dataset,
    then against the other records. Where no facts are known, the majority of the records says what the data are;
    without a majority none of them is believed.

    Args:
        runs: the folder, such as ``results/runs``; may not exist.
        kept: a file of this machine with the records that this code found sound, by what they hold: these are not
            checked in themselves again. None: check everything.

    Returns:
        The sound records, sorted by name, and one line for each fault of the others.
    """
    records, problems = read_records(runs)
    sound = Kept(kept, code_digest(suffixes=(".py", ".npz", ".json")))
    digests = {record.path: _digest(record) for record in records} if kept else {}
    checked = {path for path, digest in digests.items() if digest in sound.known}
    for check in (
        partial(_faults_of_itself, checked=checked),
        _faults_of_data,
        partial(_faults_of_pictures, checked=checked),
    ):
        faults = check(records)
        problems += [f"{record.path}: {fault}" for record in records for fault in faults.get(record.path, [])]
        records = [record for record in records if not faults.get(record.path)]
    if kept and not checked.issuperset(record.path for record in records):
        # What changed while it was checked is not kept, nor what is no record of this folder any more.
        same = [d for r in records if (d := digests[r.path]) and (r.path in checked or d == _digest(r))]
        sound.keep({digest: [] for digest in same})
    return records, problems


def _digest(record: RunRecord) -> str:
    """SHA-256, hexadecimal, of a record's name and files; empty where one cannot be read."""
    digest = hashlib.sha256(record.path.name.encode())
    try:
        for name in FILES:
            digest.update(hashlib.sha256((record.path / name).read_bytes()).digest())
    except OSError:
        return ""
    return digest.hexdigest()


# ---------------------------------------------------------------- the checks

Faults = dict[Path, list[str]]


def _faults_of_itself(records: list[RunRecord], checked: set[Path]) -> Faults:
    return {
        record.path: _faults_of_place(record) if record.path in checked else faults_of_one(record)
        for record in track(records, "verifying")
    }


def faults_of_one(record: RunRecord) -> list[str]:
    """What is wrong with a record in itself, one line a fault."""
    try:
        faults = verify_record(record)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        return [f"run.json: not of the form it should have ({type(error).__name__}: {error})"]
    size = sum((record.path / name).stat().st_size for name in FILES)
    if size > MAX_BYTES:
        faults.append(f"{size:,} bytes, a record may have {MAX_BYTES:,}")
    return faults + _faults_of_place(record)


def _faults_of_place(record: RunRecord) -> list[str]:
    if _dataset(record).startswith("synthetic") and record.path.parent.resolve() == ROOT / "results" / "runs":
        return ["trained on drawn faces, which have no place among the study's runs; move it away"]
    return []


def _faults_of_data(records: list[RunRecord]) -> Faults:
    """Faults of fingerprints and class names."""
    faults: Faults = defaultdict(list)
    unknown = []
    for record in records:
        facts = find_facts(_dataset(record))
        if facts is None:
            unknown.append(record)
        elif _fingerprint(record) != facts.fingerprint:
            faults[record.path].append(
                f"made from another {_dataset(record)} (fingerprint {_fingerprint(record)[:12]}) than this study's "
                f"({facts.fingerprint[:12]}); if yours is the right one, run `fer data facts`"
            )
        elif record.classes != facts.faces.classes:
            classes, known = ", ".join(record.classes), ", ".join(facts.faces.classes)
            faults[record.path].append(f"run.json: classes are {classes}, in {_dataset(record)} they are {known}")
    for record, other in _outvoted(unknown, _dataset, lambda r: (_fingerprint(r), r.classes)):
        faults[record.path].append(f"made from another {_dataset(record)} or other classes than {other}")
    return faults


def _faults_of_pictures(records: list[RunRecord], checked: set[Path]) -> Faults:
    """Faults of which pictures a run was trained and tested on, and of the order of their labels."""
    faults: Faults = defaultdict(list)
    unknown = []
    for record in records:
        dataset, kept = _dataset(record), record.content["data"].get("pictures")
        if find_facts(dataset) is None:
            unknown.append(record)
            continue
        if record.path in checked:
            continue
        labels, pictures, train = _expected(dataset, *_pictures(record)[1:])
        if (said := record.content["data"]["counts"]["train"]) != train:
            faults[record.path].append(f"run.json: data.counts.train is {said}, the spec's training part has {train}")
        if kept is None and not _splits_as_then(dataset, _protocol(record)):
            faults[record.path].append(f"protocol {_protocol(record)} splits {dataset} otherwise than it did then")
        for part in pictures if kept else ():
            if kept.get(part) != pictures[part]:
                faults[record.path].append(f"run.json: data.pictures.{part} are not those of the spec")
        for part, expected in labels.items():
            if not np.array_equal(record.predictions.get(f"{part}/labels", np.empty(0, np.uint8)), expected):
                faults[record.path].append(f"{PREDICTIONS}: {part}/labels or their order are not {dataset}'s")
    for record, other in _outvoted(unknown, _pictures, _labels):
        faults[record.path].append(f"{PREDICTIONS}: labels or their order differ from those of {other}")
    return faults


@cache
def _expected(dataset: str, *split: Any) -> tuple[dict[str, np.ndarray], dict[str, str], int]:
    """Labels of the val and test pictures, the digests of all parts, and how many pictures are trained on."""
    faces = load_facts(dataset).faces
    folds = run_parts(faces, *split)
    chosen = {part: np.concatenate([getattr(fold, part) for fold in folds]) for part in ("val", "test")}
    labels = {part: faces.labels[positions] for part, positions in chosen.items()}
    return labels, picture_digests(folds), sum(len(fold.train) for fold in folds)


@cache
def _splits_as_then(dataset: str, protocol: str) -> bool:
    """Whether a protocol's folds are still those of the time of the records that do not say their pictures."""
    pinned = json.loads((FACTS_DIR / "splits.json").read_text())
    return protocol_digest(load_facts(dataset).faces, protocol) == pinned[dataset].get(protocol)


def _outvoted(
    records: Iterable[RunRecord], key: Callable[[RunRecord], Hashable], value: Callable[[RunRecord], Hashable]
) -> list[tuple[RunRecord, str]]:
    """Records whose value is not that of most records with the same key, and a record to hold them against."""
    groups = defaultdict(list)
    for record in records:
        groups[key(record)].append((record, value(record)))
    found = []
    for members in groups.values():
        votes = Counter(of for _, of in members).most_common(2)
        tie = len(votes) == 2 and votes[0][1] == votes[1][1]
        for record, own in members:
            if tie or own != votes[0][0]:
                found.append((record, next(other.id for other, of in members if of != own)))
    return found


def _dataset(record: RunRecord) -> str:
    return record.spec["recipe"]["dataset"]


def _fingerprint(record: RunRecord) -> str:
    return record.content["data"]["fingerprint"]


def _protocol(record: RunRecord) -> str:
    return record.spec["recipe"]["protocol"]


def _pictures(record: RunRecord) -> tuple[Any, ...]:
    """What decides which pictures are trained on and tested, and in which order; the seed where it draws the split."""
    spec = record.spec
    seed = spec["seed"] if is_drawn(_protocol(record)) else 0
    leave_out = spec["recipe"].get("leave_out")
    return (
        _fingerprint(record),
        _protocol(record),
        spec["fold"],
        seed,
        leave_out,
        spec["limit_train"],
        spec.get("limit_test"),
        spec.get("limits") == BY_CLASS,
    )


def _labels(record: RunRecord) -> tuple[Any, ...]:
    return tuple((name, array.tobytes()) for name, array in record.predictions.items() if name.endswith("/labels"))
