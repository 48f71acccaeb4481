"""Three hundred command lines that mean nothing: each is refused in one line, and nothing is written."""

import argparse
import shlex
import string
import subprocess

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fer_lib import cli
from fer_lib.queue import train, work

# No path: an output or a results folder may have any name.
FREE = {"--output", "--results", "--root"}
WORDS = st.text(string.ascii_letters + string.digits + "é€_./:=,*~%{}'\"\\\x1b\n\ud800", min_size=4, max_size=12)
NUMBERS = ["", "-1", "-7", "nan", "inf", "1e3", "0x1f", "9" * 30, "9" * 5000, "²", "1_0", "None"]
NONSENSE = st.sampled_from(NUMBERS) | WORDS


def commands(parser=None):
    """Every command's parser and the examples of its help."""
    parser = parser or cli.build_parser()
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        for inner in group.choices.values():
            yield from commands(inner)
    if not groups:
        for line in parser.epilog.splitlines()[1:]:
            yield parser, shlex.split(line)[1:]


EXAMPLES = list(commands())


@st.composite
def bad_lines(draw):
    """A line of the help with one thing in it that means nothing."""
    parser, line = draw(st.sampled_from(EXAMPLES))
    line = list(line)
    depth = len(parser.prog.split()) - 1
    options = [action for action in parser._actions if action.option_strings and action.nargs != 0]
    fault = draw(st.sampled_from(["value"] * 5 + ["argument", "nothing"] * 2 + ["command", "option", "flag", "end"]))
    if fault == "command":
        line[draw(st.integers(0, depth - 1))] = draw(WORDS)
    elif fault == "option":
        line += ["--" + draw(st.text(string.ascii_lowercase + "-", min_size=3, max_size=9)) + "x"]
    elif fault == "flag":
        line += [draw(st.sampled_from(["--dry-run", "--csv", "--json", "--no-browser"])) + "=" + draw(WORDS)]
    elif fault == "argument":
        line.insert(depth, draw(WORDS))
    elif fault == "value" and options:
        action = draw(st.sampled_from(options))
        option = action.option_strings[-1]
        line += [option, "" if option in FREE else draw(NONSENSE)]
    elif fault == "nothing" and options:
        line += draw(st.sampled_from(options)).option_strings[-1:]
    else:
        line = line[: draw(st.integers(0, depth - 1))]
    return line


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """An empty folder to stand in, without data, and nothing that would take long."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FER_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("FER_DATA", str(tmp_path / "data"))

    def must_not(*_, **__):
        raise AssertionError("this line should have been refused")

    for module in (train, work):
        monkeypatch.setattr(module, "load_dataset", must_not)
    monkeypatch.setattr(subprocess, "run", must_not)
    return tmp_path


@settings(
    max_examples=300, phases=[Phase.generate],  # a line is short enough to read as it is
    deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(bad_lines())
def test_a_line_that_means_nothing_is_refused_and_writes_nothing(nowhere, capsys, line):
    with pytest.raises(SystemExit) as ended:
        cli.main(line)
    out, err = capsys.readouterr()
    assert ended.value.code == 2, line
    assert (out, err.count("\n")) == ("", 1), line
    assert err.startswith("fer"), line
    assert not list(nowhere.iterdir()), line
