"""Sheets of pictures and counts, which show what a table cannot: copies, doubtful faces, augmentation, balance."""

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from fer_lib import plots
from fer_lib.augment import MEAN, STD, Augmentation
from fer_lib.data import FaceDataset, split_indices
from fer_lib.data.ckplus import NOTICE, PUBLISHABLE_SUBJECTS
from fer_lib.data.dataset import votes_of
from fer_lib.recipe import get_recipe
from fer_lib.study.films import check_films
from fer_lib.training.balance import class_counts


def class_sheet(dataset: FaceDataset, each: int = 2, seed: int = 0) -> Figure:
    """A few pictures of each class, of its training part where the publisher made one.

    Args:
        dataset: where the pictures come from.
        each: pictures of a class; all if it has fewer.
        seed: chooses them.
    """
    rng, of_class = np.random.default_rng(seed), _shown_by_class(dataset)
    picks = [rng.choice(found, min(each, len(found)), replace=False) for found in of_class.values()]
    chosen = [pick[row] for row in range(each) for pick in picks if row < len(pick)]
    return plots.pictures(dataset.images[chosen], [dataset.classes[label] for label in dataset.labels[chosen]])


def mean_sheet(dataset: FaceDataset) -> Figure:
    """The mean face of each class, of its training part where the publisher made one."""
    of_class = _shown_by_class(dataset)
    means = np.stack([dataset.images[found].mean(0) for found in of_class.values()])
    return plots.pictures(means, [dataset.classes[label] for label in of_class])


def _shown(dataset: FaceDataset) -> np.ndarray:
    """Positions of the training part's pictures, or of all where the publisher made no parts."""
    train = dataset.indices("train")
    return train if len(train) else np.arange(len(dataset))


def _shown_by_class(dataset: FaceDataset) -> dict[int, np.ndarray]:
    """The same for each class that has any."""
    shown = _shown(dataset)
    return {int(label): shown[dataset.labels[shown] == label] for label in np.unique(dataset.labels[shown])}


def leak_sheet(dataset: FaceDataset, pairs: int = 7, seed: int = 0) -> Figure:
    """Test pictures above the training picture that is equal to them in every pixel, with the label of each.

    Args:
        dataset: with a training and a test part.
        pairs: how many to show; all if there are fewer.
        seed: chooses them.

    Raises:
        ValueError: no test picture occurs in training.
    """
    train = dataset.indices("train")
    seen = {dataset.images[index].tobytes(): index for index in train}
    test = [index for index in dataset.indices("test") if dataset.images[index].tobytes() in seen]
    if not test:
        raise ValueError(f"{dataset.name}: no test picture occurs in training")
    chosen = np.sort(np.random.default_rng(seed).choice(test, min(pairs, len(test)), replace=False))
    copies = [seen[dataset.images[index].tobytes()] for index in chosen]
    titles = [
        f"{part}: {dataset.classes[dataset.labels[index]]}"
        for part, row in (("test", chosen), ("training", copies))
        for index in row
    ]
    return plots.pictures(dataset.images[np.concatenate([chosen, copies])], titles, columns=len(chosen))


def no_face_sheet(dataset: FaceDataset, pictures: int = 14, seed: int = 0) -> Figure:
    """Some of the different pictures in which most FER+ annotators saw no face, with FER2013's label of each.

    Args:
        dataset: FER2013 with FER+'s votes.
        pictures: how many to show; all if there are fewer.
        seed: chooses them.
    """
    distinct = {dataset.images[index].tobytes(): index for index in no_faces(dataset)}
    picks = np.random.default_rng(seed).choice(list(distinct.values()), min(pictures, len(distinct)), replace=False)
    return plots.pictures(dataset.images[picks], [dataset.classes[dataset.labels[index]] for index in picks])


def no_faces(dataset: FaceDataset) -> np.ndarray:
    """Positions of the pictures that FER+'s annotators call no face more often than anything else, int64, ascending."""
    return np.flatnonzero(votes_of(dataset).argmax(1) == dataset.vote_classes.index("not_face"))


def agreement_figure(dataset: FaceDataset) -> Figure:
    """What FER+'s annotators call the pictures of each FER2013 class most often, in percent of the class.

    Args:
        dataset: FER2013 with FER+'s votes.
    """
    table = pd.crosstab(
        pd.Categorical.from_codes(dataset.labels, dataset.classes),
        pd.Categorical.from_codes(votes_of(dataset).argmax(1), dataset.vote_classes),
        dropna=False,
    )
    return plots.shares(table, "FER+: the most frequent choice", "FER2013's label")


def ckplus_sheet(dataset: FaceDataset, each: int = 2) -> Figure:
    """Faces of CK+ at the peak of each expression, of subjects whose pictures may be published.

    Args:
        dataset: CK+, with subjects and sequences.
        each: subjects per expression.
    """
    subject = np.full(len(dataset), "") if dataset.subject is None else dataset.subject
    may = np.flatnonzero(np.isin(subject, PUBLISHABLE_SUBJECTS))
    frames = pd.DataFrame({"label": dataset.labels[may], "subject": subject[may], "index": may})
    last = frames.groupby(["label", "subject"])["index"].last()
    picks = last.groupby("label").head(each).tolist()
    figure = plots.pictures(dataset.images[picks], [dataset.classes[dataset.labels[index]] for index in picks])
    figure.supxlabel(NOTICE, fontsize=8)
    return figure


def film_sheet(dataset: FaceDataset, persons: int = 3, films: int = 2) -> Figure:
    """Films of a few people, frame by frame; of CK+ those whose pictures may be published.

    Args:
        dataset: pictures with subjects and sequences.
        persons: how many, those with most films first.
        films: of each.
    """
    subject, sequence = check_films(dataset)
    may = np.isin(subject, PUBLISHABLE_SUBJECTS) if dataset.name == "ckplus" else np.ones(len(dataset), bool)
    filmed: dict[str, list[str]] = {}
    for person, film in sorted(set(zip(subject[may].tolist(), sequence[may].tolist(), strict=True))):
        filmed.setdefault(person, []).append(film)
    chosen = sorted(filmed, key=lambda person: -len(filmed[person]))[:persons]
    picks = [
        int(index) for person in chosen for film in filmed[person][:films] for index in np.flatnonzero(sequence == film)
    ]
    titles = [f"{subject[index]}, {dataset.classes[dataset.labels[index]]}" for index in picks]
    figure = plots.pictures(dataset.images[picks], titles, columns=len(picks) // max(1, len(chosen)))
    if dataset.name == "ckplus":
        figure.supxlabel(NOTICE, fontsize=8)
    return figure


def epoch_counts(recipe: str, dataset: FaceDataset) -> dict[str, dict[str, int]]:
    """Training pictures per class as published, and as an epoch of a recipe shows them.

    Args:
        recipe: name of the recipe.
        dataset: where the pictures come from; a class that the recipe balances and that has none is left out.

    Returns:
        ``{"published" or the recipe's title: {class: pictures}}``, as :func:`fer_lib.plots.class_counts` takes it.
    """
    wanted = get_recipe(recipe)
    parted = len(dataset.indices("train")) and len(dataset.indices("test"))
    train = split_indices(dataset, wanted.protocol, 0, wanted.leave_out).train if parted else _shown(dataset)
    labels = torch.from_numpy(dataset.labels[train])
    published = torch.bincount(labels, minlength=len(dataset.classes)).tolist()
    here = [name for name, count in zip(dataset.classes, published, strict=True) if count]
    balance = {name: often for name, often in wanted.balance.items() if name in here}
    shown = dict(enumerate(published)) | class_counts(balance, dataset.classes, labels)
    return {
        "published": dict(zip(dataset.classes, published, strict=True)),
        wanted.title: {name: shown[label] for label, name in enumerate(dataset.classes)},
    }


def augmentation_sheet(recipe: str, dataset: FaceDataset, seed: int = 0, rows: int = 3, draws: int = 6) -> Figure:
    """Some training pictures as they are, each followed by what a recipe's augmentation makes of it.

    Args:
        recipe: name of the recipe.
        dataset: where the pictures come from.
        seed: chooses the pictures and the draws.
        rows: pictures; all if there are fewer.
        draws: augmented versions of each.
    """
    augmentation = Augmentation.from_dict(get_recipe(recipe).augment)
    generator = torch.Generator().manual_seed(seed)
    shown = _shown(dataset)
    chosen = shown[torch.randperm(len(shown), generator=generator)[:rows].numpy()]
    images = torch.from_numpy(dataset.images[chosen])
    side = images.shape[-1]
    repeated = images.repeat_interleave(draws, 0)
    augmented = augmentation.apply(repeated, augmentation.draw(len(repeated), side, generator))
    drawn = ((augmented * STD + MEAN) * 255).clamp(0, 255)[:, 0].numpy().astype(float)
    margin = side - drawn.shape[-1]  # a smaller picture stands in the middle of a white one, so that one scale holds
    frame = (margin // 2, margin - margin // 2)
    framed = np.pad(drawn, ((0, 0), frame, frame), constant_values=255)
    sheet = np.insert(framed, np.arange(0, len(framed), draws), images.numpy(), axis=0)
    titles = ["as it is", *[f"draw {i + 1}" for i in range(draws)]] * len(chosen)
    return plots.pictures(sheet, titles, columns=draws + 1)
