"""Classical pipelines leave the same record as a trained net."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny import tiny_dataset

from fer_lib.data import load_dataset, split_indices, synthetic_films
from fer_lib.errors import UserError
from fer_lib.models import create_model
from fer_lib.queue.train import train_run
from fer_lib.recipe import RunSpec, get_recipe
from fer_lib.runs import RULES, read_record, verify_record
from fer_lib.study.weights import load_trained
from fer_lib.training import Interrupted, Stop


def recipe(model, **changes):
    fitted = {"name": f"classical/{model}/synthetic", "dataset": "synthetic", "model": model}
    return dataclasses.replace(get_recipe("classical/hog_svm/fer2013"), **fitted, **changes)


def train(spec, results, **options):
    return train_run(spec, results=results, dataset=tiny_dataset(), **({"say": lambda line: None} | options))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def record(results):
    return train(RunSpec(recipe("hog_svm")), results)


def test_a_fit_leaves_a_sound_record(record):
    assert verify_record(read_record(record.path)) == []
    assert record.epochs == 1
    assert [record.content["metrics"][rule]["epoch"] for rule in RULES] == [1, 1, 1]
    assert len({record.accuracy("test", rule, kind) for rule in RULES for kind in ("plain", "tta")}) == 1
    assert {"scikit-learn", "scikit-image"} <= record.content["environment"].keys()
    assert record.content["environment"]["precision"] == "float64"
    history = record.history
    assert history["lr"].tolist() == [0.0]
    assert history["train_accuracy"][0] > 0.9
    assert history["val_accuracy"][0] == pytest.approx(record.accuracy("val"), abs=1e-3)


def test_its_predictions_are_the_pipelines_own(record):
    dataset = tiny_dataset()
    parts = {part: dataset.subset(dataset.indices(part)) for part in ("train", "test")}
    images = {part: subset.images[:, None].astype(np.float32) for part, subset in parts.items()}
    model = create_model("hog_svm", num_classes=7)
    model.fit(torch.from_numpy(images["train"]), parts["train"].labels)
    expected = model(torch.from_numpy(images["test"])).argmax(1).numpy()
    np.testing.assert_array_equal(record.predictions["test/last/plain"], expected)
    np.testing.assert_array_equal(record.predictions["test/labels"], parts["test"].labels)


def test_every_seed_gives_one_outcome_and_says_so(record, results):
    lines = []
    other = train(RunSpec(recipe("hog_svm"), seed=1), results, say=lines.append)
    assert other.id != record.id
    assert "deterministic: every seed gives this outcome" in lines
    for name, array in record.predictions.items():
        np.testing.assert_array_equal(other.predictions[name], array)


def test_a_drawn_cross_validation_is_one_run_of_all_folds(tmp_path):
    films = synthetic_films(persons=14)
    changes = {
        "protocol": "subject_10fold_drawn",
        "model_options": {"dual": True},
        "name": "classical/films/synthetic",
        "dataset": "synthetic_films",
    }
    drawn = dataclasses.replace(recipe("hog_svm"), **changes)
    runs = [train_run(RunSpec(drawn, seed), results=tmp_path, dataset=films, say=lambda line: None) for seed in (0, 1)]
    model = create_model("hog_svm", num_classes=7, dual=True)
    features = model.describe(torch.from_numpy(films.images).unsqueeze(1))
    for seed, record in enumerate(runs):
        assert verify_record(read_record(record.path)) == []
        assert record.content["data"]["counts"] == {"train": 9 * len(films), "val": 0, "test": len(films)}
        expected, labels = [], []
        for fold in range(10):
            parts = split_indices(films, "subject_10fold_drawn", fold, seed=seed)
            model.fit_features(features[parts.train], films.labels[parts.train])
            expected.append(model.probabilities(features[parts.test]).argmax(1))
            labels.append(films.labels[parts.test])
        np.testing.assert_array_equal(record.predictions["test/last/plain"], np.concatenate(expected))
        np.testing.assert_array_equal(record.predictions["test/labels"], np.concatenate(labels))
    assert runs[0].accuracy() != runs[1].accuracy()


def test_it_has_no_weights_to_load(record):
    assert sorted(path.name for path in record.path.iterdir()) == ["history.csv.gz", "predictions.npz", "run.json"]
    with pytest.raises(UserError, match="hog_svm leaves no weights"):
        load_trained(record)


def test_limits_count(results):
    record = train(RunSpec(recipe("lbp_knn"), limit_train=50, limit_test=10), results)
    assert record.content["data"]["counts"] == {"train": 50, "val": 10, "test": 10}
    with pytest.raises(UserError, match=r"dataset synthetic, training part: labels must hold two classes or more"):
        train(RunSpec(recipe("lbp_knn"), limit_train=2), results)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 2}, "epochs must be 1, as hog_svm is fitted once: got 2"),
        ({"test_views": "ten"}, "test_views must be one"),
        ({"augment": {"flip": 0.5}}, "augment must be empty"),
        ({"pretrained": "resnet50"}, "pretrained must be empty"),
    ],
)
def test_what_a_fit_does_not_have_is_refused(results, changes, message):
    with pytest.raises(UserError, match=message):
        train(RunSpec(recipe("hog_svm", **changes)), results)


def test_it_can_be_stopped_before_the_fit(results):
    spec = RunSpec(recipe("gabor_svm"))
    with Stop(0) as stop, pytest.raises(Interrupted, match="stopped by the time limit before the fit; start it again"):
        train(spec, results, stop=stop)
    assert not (results / "runs" / spec.run_id).exists()


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "fold", "least"),
    [
        # Above what the largest class alone gives, 24.5 % and 25.4 %, by far more than chance explains.
        ("classical/hog_pca_svm/fer2013", None, 0.30),
        ("zhang/gabor_svm/ckplus", 0, 0.60),
    ],
)
def test_real_faces_are_told_apart(fer_data, tmp_path, name, fold, least):
    spec = RunSpec(get_recipe(name), fold=fold, limit_train=1000, limit_test=1000)
    record = train_run(spec, results=tmp_path, dataset=load_dataset(spec.recipe.dataset), say=lambda line: None)
    assert verify_record(record) == []
    assert record.accuracy() > least
