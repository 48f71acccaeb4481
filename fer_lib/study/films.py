"""Persons, films and frames of CK+: what the splits of its pictures share, and what they test."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from fer_lib.clusters import ByPerson, by_person
from fer_lib.data import PROTOCOLS, FaceDataset, ckplus, is_drawn, run_parts
from fer_lib.data.facts import load_facts
from fer_lib.data.folds import PROTOCOL_WORDS, kind_of
from fer_lib.errors import UserError
from fer_lib.recipe import get_recipe
from fer_lib.study.groups import Group

DRAWS = 20
"""Draws of a split over which its neighbours are counted."""

PUBLISHED = {
    "persons": ckplus.SUBJECTS,
    "films": ckplus.SEQUENCES,
    "pictures": sum(ckplus.PUBLISHED),
    "test pictures, 2:1": 327,
    "test pictures, copied folds": 990,
}
"""Of CK+'s labelled films (Lucey et al. 2010; 123 persons with the unlabelled ones), its usual copy, and its splits."""


def film_counts(dataset: FaceDataset) -> pd.DataFrame:
    """Persons, films, pictures and what the splits test, beside what is published of CK+.

    Args:
        dataset: pictures with subjects and sequences.

    Returns:
        One row per count: here, and published, for CK+.

    Raises:
        UserError: a copy of CK+ whose counts are not the published ones, naming them; or a dataset that does not say
            who is shown, and in which film.
    """
    subject, sequence = check_films(dataset)
    is_ckplus = dataset.name == "ckplus"
    here = {
        "persons": len(np.unique(subject)),
        "films": len(np.unique(sequence)),
        "pictures": len(dataset),
        "test pictures, 2:1": len(tested(dataset, "picture_2to1", 0).pictures),
    }
    if is_ckplus:
        wrong = [f"{here[name]} {name} for {PUBLISHED[name]}" for name in here if here[name] != PUBLISHED[name]]
        if wrong:
            raise UserError(
                f"{dataset.source} is not CK+ as published: {', '.join(wrong)}; `fer data check` says what is missing"
            )
        here["test pictures, copied folds"] = len(tested(dataset, "copied_10fold", 0).pictures)
    table = pd.DataFrame({"here": here})
    return table.assign(published=pd.Series(PUBLISHED)) if is_ckplus else table


def film_distances(dataset: FaceDataset) -> pd.DataFrame:
    """How far the nearest picture is: of the same film, of the same person elsewhere, of another person.

    Args:
        dataset: pictures with subjects and sequences.

    Returns:
        One row for each of the three: the median over pictures of the root mean square difference of pixels to the
        nearest such picture (grey levels of 255), and the share of pictures of which it is the nearest of all
        (percent).
    """
    subject, sequence = check_films(dataset)
    flat = dataset.images.reshape(len(dataset), -1).astype(np.float64)
    square = (flat**2).sum(1)
    far = np.sqrt(np.maximum(square[:, None] + square - 2 * flat @ flat.T, 0) / flat.shape[1])
    np.fill_diagonal(far, np.inf)
    film, person = sequence[:, None] == sequence, subject[:, None] == subject
    kinds = {"the same film": film, "the same person, another film": person & ~film, "another person": ~person}
    nearest = np.array([np.where(mask, far, np.inf).min(1) for mask in kinds.values()])  # [kinds, N]
    columns = {
        "median difference, grey levels": [np.median(at[np.isfinite(at)]) for at in nearest],
        "is the nearest of all, %": 100 * np.bincount(nearest.argmin(0), minlength=len(kinds)) / len(dataset),
    }
    return pd.DataFrame(columns, index=list(kinds)).round(1)


def check_films(dataset: FaceDataset) -> tuple[np.ndarray, np.ndarray]:
    """Who is shown, and in which film: str [N] each.

    Raises:
        UserError: the dataset does not say it; naming those that do.
    """
    if dataset.subject is None or dataset.sequence is None:
        raise UserError(f"{dataset.name} does not say who is shown, and in which film: use ckplus or synthetic_films")
    return dataset.subject, dataset.sequence


# ---------------------------------------------------------------- what the splits share


def ckplus_protocol_table(dataset: FaceDataset) -> pd.DataFrame:
    """How much of each protocol's test pictures a net has met in training.

    Args:
        dataset: CK+, with subjects and sequences.

    Returns:
        One row per protocol: split (in words), drawn, folds, draws, test pictures of a draw over all folds, and the
        shares of them (percent, over the draws) of whose sequence, and of whose subject, training has another picture.
    """
    rows = []
    for protocol, folds in PROTOCOLS.items():
        if protocol == "official":
            continue
        draws = [tested(dataset, protocol, seed) for seed in range(DRAWS if is_drawn(protocol) else 1)]
        rows.append(
            {
                "split": PROTOCOL_WORDS[kind_of(protocol)],
                "drawn": "by the seed" if is_drawn(protocol) else "once",
                "folds": folds,
                "draws": len(draws),
                "test pictures": len(draws[0].pictures),
                **met_in_training(draws),
            }
        )
    shares = {"same_sequence": "same sequence, %", "same_subject": "same subject, %"}
    return pd.DataFrame(rows).rename(columns=shares).round(1)


class Tested(NamedTuple):
    """What one draw of a split tests.

    Attributes:
        pictures: positions of the test pictures, folds joined, int64 [N].
        same_sequence: share of them of whose sequence training has another picture.
        same_subject: the same of the subject.
    """

    pictures: np.ndarray
    same_sequence: float
    same_subject: float


def met_in_training(draws: Sequence[Tested]) -> dict[str, float]:
    """The means over draws of ``same_sequence`` and ``same_subject``, in percent."""
    names = ("same_sequence", "same_subject")
    return {name: 100 * float(np.mean([getattr(draw, name) for draw in draws])) for name in names}


def tested(dataset: FaceDataset, protocol: str, seed: int) -> Tested:
    """What a protocol tests of a dataset with subjects and sequences."""
    parts = run_parts(dataset, protocol, None, seed)
    met = [np.concatenate([np.isin(of[part.test], of[part.train]) for part in parts]) for of in check_films(dataset)]
    of_subject, of_sequence = (float(mask.mean()) for mask in met)
    return Tested(np.concatenate([part.test for part in parts]), of_sequence, of_subject)


def tested_of_ckplus(protocol: str, seed: int) -> Tested:
    """The same of CK+, from its committed facts."""
    return _tested_of_ckplus(protocol, seed if is_drawn(protocol) else 0)


@cache
def _tested_of_ckplus(protocol: str, seed: int) -> Tested:
    return tested(load_facts("ckplus").faces, protocol, seed)


# ---------------------------------------------------------------- who is read right


def answers_by_person(group: Group) -> ByPerson:
    """Right and wrong answers of all complete seeds of a group on CK+, by who is shown."""
    faces = load_facts("ckplus").faces
    names, person = np.unique(check_films(faces)[0], return_inverse=True)
    shown, right = [], []
    protocol = get_recipe(group.recipe).protocol
    for seed, (labels, predicted) in zip(group.seeds, group.classified("test"), strict=True):
        pictures = tested_of_ckplus(protocol, seed).pictures
        if not np.array_equal(faces.labels[pictures], labels):
            raise UserError(f"{group.recipe}, seed {seed}: its test labels are not CK+'s; see fer study verify")
        shown.append(person[pictures])
        right.append(labels == predicted)
    return by_person(np.concatenate(shown), np.concatenate(right), len(names))


def scores_by_person(protocol: str, scores: Sequence[np.ndarray]) -> np.ndarray:
    """What runs score above their mean on the pictures of each person of CK+, who takes the place of a picture.

    Args:
        protocol: one whose split is fixed.
        scores: of every run on the protocol's test pictures, in their order, [N] each.

    Returns:
        float64 [runs, persons], whose mean over persons varies with the choice of persons as a run's mean score does.
    """
    faces = load_facts("ckplus").faces
    names, person = np.unique(check_films(faces)[0][tested_of_ckplus(protocol, 0).pictures], return_inverse=True)
    sums = [np.bincount(person, of_run - of_run.mean()) for of_run in scores]
    return np.stack(sums) * len(names) / len(person)
