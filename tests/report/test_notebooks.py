"""The runner: parameters are checked by name, failures keep their copy, copies are stamped."""

import hashlib

import nbformat
import pytest

from fer_lib.cli import main
from fer_lib.errors import UserError
from fer_lib.explore import parameters
from fer_lib.report import notebooks
from fer_lib.report.notebooks import execute, git_blob, list_notebooks, own_parameters, parse_parameters, title_and_lead

SCALES = """
[cell_seconds]
smoke = 20
paper = 20
[smoke.01_small]
NUMBER = 3
[paper]
"""
PARAMETERS = 'NUMBER = 1  # doubled\nRATE = 0.5\nNAME = "a"\nSHOWN = False\nEND = ""  # what the last cell executes'


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A folder of one notebook that doubles a number, with its scales and results beside it."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "scales.toml").write_text(SCALES)
    cells = [
        nbformat.v4.new_markdown_cell("# A small one\n\nIt *doubles* a [number](x).\n\n## Part"),
        nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print(2 * NUMBER)"),
        nbformat.v4.new_code_cell("assert NUMBER < 10, 'too large'"),
        nbformat.v4.new_code_cell("import time\ntime.sleep(60 if NUMBER == 9 else 0)"),
        nbformat.v4.new_code_cell("exec(END)"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "01_small.ipynb")
    monkeypatch.setattr(notebooks, "NOTEBOOKS", folder)
    monkeypatch.setenv("FER_RESULTS", str(tmp_path / "results"))
    return tmp_path


def outputs(path):
    return [o.text for c in nbformat.read(path, 4).cells for o in c.get("outputs", []) if o.output_type == "stream"]


def test_scale_and_changes_reach_the_notebook_and_its_stamp(house):
    path = execute("01_small", scale="smoke")
    assert path == house / "results" / "smoke" / "executed" / "01_small.ipynb"
    assert outputs(path) == ["6\n"]
    stamp = nbformat.read(path, 4).metadata.fer
    source = house / "notebooks" / "01_small.ipynb"
    content = source.read_bytes()
    assert stamp.source_blob == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == git_blob(source)
    assert (stamp.scale, stamp.parameters) == ("smoke", {"NUMBER": 3})
    assert str(house) not in path.read_text(), "an executed copy holds a path of this machine"

    paper = execute("notebooks/01_small.ipynb", scale="paper", changes={"NUMBER": 4})
    assert outputs(paper) == ["8\n"]
    assert paper.parent == house / "results" / "executed"


def test_failing_cell_is_quoted_and_its_copy_kept(house):
    with pytest.raises(UserError, match=r"01_small: cell .*assert NUMBER < 10.* AssertionError: too large") as caught:
        execute("01_small", changes={"NUMBER": 11})
    assert "\n" not in str(caught.value)
    folder = house / "results" / "smoke" / "executed"
    assert [path.name for path in folder.iterdir()] == ["01_small.failed.ipynb"]
    execute("01_small")
    assert [path.name for path in folder.iterdir()] == ["01_small.ipynb"]


def test_cell_has_a_time_limit(house):
    (house / "notebooks" / "scales.toml").write_text(SCALES.replace("smoke = 20", "smoke = 4"))
    with pytest.raises(UserError, match="longer than 4 s"):
        execute("01_small", changes={"NUMBER": 9})


def test_unknown_parameter_is_refused_before_anything_runs(house, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["notebook", "01_small", "-p", "NUMBR=5"])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error == "fer: 01_small.ipynb: unknown parameter 'NUMBR': did you mean NUMBER?\n"
    assert not (house / "results").exists()


def test_unknown_notebook_and_malformed_parameter(house):
    with pytest.raises(UserError, match="unknown notebook '01_smal': did you mean 01_small"):
        execute("01_smal")
    with pytest.raises(UserError, match="write NAME=VALUE"):
        parse_parameters(["EPOCHS"])
    assert parse_parameters(["A=3", "B=x=y", "C="]) == {"A": "3", "B": "x=y", "C": ""}


def test_a_text_becomes_what_the_notebook_s_own_value_is(house):
    assert own_parameters("01_small") == {"NUMBER": 1, "RATE": 0.5, "NAME": "a", "SHOWN": False, "END": ""}
    given = parse_parameters(["NUMBER=4", "RATE=1", "NAME=007", "SHOWN=true"])
    stamp = nbformat.read(execute("01_small", changes=given), 4).metadata.fer
    assert stamp.parameters == {"NUMBER": 4, "RATE": 1.0, "NAME": "007", "SHOWN": True}
    assert {name: type(value) for name, value in stamp.parameters.items()} == {
        "NUMBER": int, "RATE": float, "NAME": str, "SHOWN": bool,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("NUMBER=1e1", "NUMBER must be a whole number, not '1e1'; the notebook's own is 1"),
        ("NUMBER=true", "NUMBER must be a whole number, not 'true'"),
        ("RATE=fast", "RATE must be a number, not 'fast'"),
        ("RATE=nan", "RATE must be a number, not 'nan'"),
        ("SHOWN=1", "SHOWN must be True or False, not '1'"),
    ],
)
def test_a_parameter_of_another_type_is_refused_before_anything_runs(house, given, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["notebook", "01_small", "-p", given])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"fer: 01_small.ipynb: parameter {words}")
    assert error.count("\n") == 1
    assert not (house / "results").exists()


def test_a_list_takes_one_text_or_several():
    assert parameters._like([], "optimizer.lr=0.05") == ["optimizer.lr=0.05"]
    assert parameters._like([], "['optimizer.lr=0.05', 'epochs=9']") == ["optimizer.lr=0.05", "epochs=9"]
    for bad in ("[1]", "[", [1]):
        with pytest.raises((ValueError, SyntaxError)):
            parameters._like([], bad)


def test_scales_are_held_to_the_same_types(house):
    scales = house / "notebooks" / "scales.toml"
    scales.write_text(SCALES.replace("NUMBER = 3", 'RATE = "fast"'))
    with pytest.raises(UserError, match="RATE must be a number"):
        execute("01_small")


DEATHS = {
    "a cell ends it": ("import os; os.kill(os.getpid(), 9)", "the kernel died while a cell ran"),
    "its process leaves": ("import os; os._exit(3)", "the kernel died while a cell ran"),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_kernel_that_dies_is_one_line_and_its_copy_is_kept(house, death):
    code, words = DEATHS[death]
    with pytest.raises(UserError, match=words) as caught:
        execute("01_small", changes={"END": code})
    assert "\n" not in str(caught.value)
    folder = house / "results" / "smoke" / "executed"
    assert [path.name for path in folder.iterdir()] == ["01_small.failed.ipynb"]
    assert outputs(folder / "01_small.failed.ipynb") == ["6\n"]  # what was executed until then


def test_a_kernel_that_does_not_start_is_one_line(house, monkeypatch):
    spec = house / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text('{"argv": ["/no/such/python"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(house / "jupyter"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    with pytest.raises(UserError, match="the kernel could not be started") as caught:
        execute("01_small")
    assert "\n" not in str(caught.value)


def test_a_source_is_never_overwritten_by_its_copy(house):
    source = house / "notebooks" / "01_small.ipynb"
    before = source.read_bytes()
    (house / "linked.ipynb").symlink_to(source)
    for output in (source, house / "linked.ipynb"):
        with pytest.raises(UserError, match="is read as input"):
            execute("01_small", output=output)
    with pytest.raises(UserError, match="a folder, where the output needs a file"):
        execute("01_small", output=house)
    assert source.read_bytes() == before


def test_a_folder_with_braces_spaces_and_other_letters(house, monkeypatch):
    monkeypatch.setenv("FER_RESULTS", str(house / "Мой {x} résultats"))
    assert outputs(execute("01_small")) == ["6\n"]


def test_title_and_lead(house):
    notebook = nbformat.read(house / "notebooks" / "01_small.ipynb", 4)
    assert title_and_lead(notebook) == ("A small one", "It doubles a number.")


SOURCES = {name: nbformat.read(notebooks.NOTEBOOKS / f"{name}.ipynb", 4) for name in list_notebooks()}


@pytest.mark.parametrize("name", SOURCES)
def test_source_is_thin_and_clean(name):
    notebook = SOURCES[name]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code), "sources carry no outputs"
    assert "widgets" not in notebook.metadata
    assert notebook.metadata.kernelspec.name == "python3"
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) == 1
    assert max(len(cell.source.splitlines()) for cell in code) <= 25
    assert not any(line.startswith("class ") for cell in code for line in cell.source.splitlines())
    assert all(title_and_lead(notebook))


@pytest.mark.parametrize("name", SOURCES)
def test_every_figure_has_words_for_those_who_cannot_see_it(name):
    for cell in SOURCES[name].cells:
        if cell.cell_type == "code" and cell.source.strip().splitlines()[-1:][0].startswith("plots."):
            assert cell.metadata.get("alt"), cell.source


@pytest.mark.heavy
def test_without_data_notebook_01_goes_on_with_drawn_faces_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_DATA", str(tmp_path / "none"))
    given = {"DATASET": "fer2013", "CKPLUS": True}
    said = "".join(outputs(execute("01_data_exploration", changes=given, output=tmp_path / "made.ipynb")))
    assert f"FER2013 not found in {tmp_path}/none" in said
    assert "shows drawn faces" in said
    assert "CK+ is not shown" in said
    with pytest.raises(UserError, match="MissingData"):  # what is committed is never made from them
        execute("01_data_exploration", scale="paper", output=tmp_path / "made.ipynb")
