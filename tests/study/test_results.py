"""A study's results are read, verified and grouped once, and a record that changed is never taken for a sound one."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from tiny import tiny_recipe, write_run

from fer_lib.recipe import RunSpec
from fer_lib.study import verify
from fer_lib.study.results import Study, once
from fer_lib.study.tables import build_table


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    for seed in range(3):
        write_run(results / "runs", RunSpec(tiny_recipe(), seed), correct=13)
    return results


@pytest.fixture
def results(written, tmp_path):
    """Three records that were found sound."""
    results = shutil.copytree(written, tmp_path / "results")
    (results / "logs").mkdir()
    assert len(Study.load(results).records) == 3
    return results


@pytest.fixture
def checked(monkeypatch):
    """Names of the records that are checked in themselves."""
    names, check = [], verify.verify_record

    def counted(record):
        names.append(record.id)
        return check(record)

    monkeypatch.setattr(verify, "verify_record", counted)
    return names


def runs(results):
    return sorted(path for path in (results / "runs").iterdir() if not path.name.endswith(".partial"))


def kept(results):
    return results / "logs" / "sound.json"


# ---------------------------------------------------------------- what was found sound is not checked again


def test_sound_records_are_checked_once(results, checked):
    study = Study.load(results)
    assert [record.path for record in study.records] == runs(results)
    assert (checked, study.problems) == ([], ())


@pytest.mark.parametrize("name", ["run.json", "history.csv.gz", "predictions.npz"])
def test_a_changed_file_is_checked_again_and_its_fault_found(results, checked, name):
    first, second, _ = runs(results)
    before = (first / name).stat()
    content = bytearray((first / name).read_bytes())
    content[100] ^= 4  # of the spec, or of what is compressed
    (first / name).write_bytes(bytes(content))
    shutil.copystat(second / name, first / name)
    assert (first / name).stat().st_size == before.st_size  # neither size nor time gives it away
    study = Study.load(results)
    assert {record.path for record in study.records} == {*runs(results)} - {first}
    assert set(checked) <= {first.name}
    assert all(problem.startswith(str(first)) for problem in study.problems)
    assert Study.load(results).problems == study.problems  # nor is it sound the next time


def test_a_record_under_another_name_is_checked_again(results):
    first = runs(results)[0]
    first.rename(first.with_name("another"))
    (problem,) = Study.load(results).problems
    assert problem.endswith(f"folder is named another, run.json says {first.name}")


def test_a_record_that_was_mended_is_sound_again(results):
    file = runs(results)[0] / "run.json"
    whole = file.read_bytes()
    file.write_text("{}")
    assert len(Study.load(results).records) == 2
    file.write_bytes(whole)
    assert len(Study.load(results).records) == 3


def test_other_code_checks_again(results, checked, monkeypatch):
    monkeypatch.setattr(verify, "code_digest", lambda **_: "another")
    Study.load(results)
    assert len(checked) == 3


@pytest.mark.parametrize(
    "content", [b"", b"[", b"null", b"[1]", b'{"code": 1}', b'{"known": 3}', b"\xff" * 9, b"[" * 9999]
)
def test_a_damaged_file_only_costs_time(results, checked, content):
    kept(results).write_bytes(content)
    assert len(Study.load(results).records) == len(checked) == 3
    assert len(Study.load(results).records) == len(checked) == 3  # it was written anew


def test_a_folder_that_cannot_be_written_only_costs_time(results, checked):
    shutil.rmtree(results / "logs")
    (results / "logs").write_text("in the way")
    assert len(Study.load(results).records) == len(checked) == 3
    assert (results / "logs").read_text() == "in the way"


def test_nothing_is_kept_in_results_that_are_only_read(results, checked):
    shutil.rmtree(results / "logs")
    build_table("runs", results)
    assert len(checked) == 3
    assert [path.name for path in results.iterdir()] == ["runs"]


def test_what_is_found_is_kept_in_the_readers_own_results(results, checked, monkeypatch):
    shutil.rmtree(results / "logs")
    monkeypatch.setenv("FER_RESULTS", str(results))
    build_table("runs")
    build_table("runs")
    assert len(checked) == 3


def test_nothing_is_written_where_nothing_is(tmp_path):
    assert Study.load(tmp_path / "nowhere").records == ()
    assert list(tmp_path.iterdir()) == []


def test_records_that_are_gone_are_forgotten(results):
    shutil.rmtree(runs(results)[0])
    write_run(results / "runs", RunSpec(tiny_recipe(), 7), correct=13)
    Study.load(results)
    assert len(json.loads(kept(results).read_text())["known"]) == 3


# ---------------------------------------------------------------- tables


def test_a_table_is_built_once_for_a_study_and_options_and_each_has_a_copy():
    built = []

    @once
    def table(study, *names, factor=1):
        built.append((names, factor))
        return pd.DataFrame({"value": np.arange(2) * factor})

    study, other = Study(), Study()
    mine = table(study)
    mine.loc[0, "value"] = 9
    assert table(study)["value"].tolist() == [0, 1]
    assert table(study, "a", factor=3)["value"].tolist() == [0, 3]
    table(other)
    assert built == [((), 1), (("a",), 3), ((), 1)]
