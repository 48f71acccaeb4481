"""The environment: one place of pins, two ways to install it, and the two commands that do everything."""

import re
import tomllib
from collections import defaultdict

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fer_lib.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}


def flat(requirements: list[Requirement]) -> list[Requirement]:
    """Requirements, and those of our own extras in the place of their names."""
    found = []
    for wanted in requirements:
        own = wanted.name == PROJECT["name"]
        found += [inner for extra in wanted.extras for inner in flat(EXTRAS[extra])] if own else [wanted]
    return list({str(wanted): wanted for wanted in found}.values())


CORE = [Requirement(line) for line in PROJECT["dependencies"]]
WANTED = CORE + flat(EXTRAS["all"])
LINES = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.strip()]


def pins(python: str, system: str) -> dict[str, list[Requirement]]:
    """The pins that hold for a Python version on an operating system, by name."""
    chosen = default_environment() | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": system,
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[system],
        "os_name": "posix",
        "platform_machine": {"linux": "x86_64", "darwin": "arm64"}[system],
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    found = defaultdict(list)
    for line in LINES:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(chosen):
            found[canonicalize_name(requirement.name)].append(requirement)
    return found


def test_every_line_is_one_exact_version():
    assert len(LINES) > 100
    for line in LINES:
        requirement = Requirement(line)
        kinds = [(specifier.operator, "*" in specifier.version) for specifier in requirement.specifier]
        assert kinds == [("==", False)], line
        assert not re.search(r"https?:|@|--", line), line


@pytest.mark.parametrize("system", ["linux", "darwin"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_every_dependency_is_pinned_once_inside_its_range(python, system):
    found = pins(python, system)
    assert max(map(len, found.values())) == 1, [name for name, versions in found.items() if len(versions) > 1]
    for wanted in WANTED:
        if wanted.marker and not wanted.marker.evaluate({"python_version": python}):
            continue
        (pin,) = found[canonicalize_name(wanted.name)]
        (specifier,) = pin.specifier
        assert wanted.specifier.contains(specifier.version, prereleases=True), f"{pin} is outside {wanted}"


def test_the_ranges_allow_what_is_promised():
    ranges = {wanted.name: wanted.specifier for wanted in WANTED}
    assert len(ranges) == len(WANTED)
    assert ranges["torch"].contains("2.11.0")
    assert ranges["torchvision"].contains("0.26.0")
    assert PROJECT["requires-python"] == ">=3.11"


def test_conda_users_get_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"]
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert sorted(pip) == ["-e .", "-r requirements.txt"]
    conda = {re.split(r"[=<>]", entry)[0] for entry in environment["dependencies"] if isinstance(entry, str)}
    assert conda <= {"python", "pip", "make", "git"}  # no second place of pins
    (python,) = (entry for entry in environment["dependencies"] if str(entry).startswith("python"))
    assert re.fullmatch(r"python=3\.1[123]", python)


def test_the_workflow_runs_the_same_two_commands():
    path = ROOT / ".github" / "workflows" / "ci.yml"
    steps = [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]
    targets = [word for step in steps for word in re.findall(r"^make (.*)$", step.get("run", ""), re.MULTILINE)]
    named = " ".join(targets).split()
    assert {"reproduce", "test"} <= set(named)
    makefile = (ROOT / "Makefile").read_text()
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_hooks_check_style_and_strip_notebooks():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {"ruff-check", "ruff-format", "nbstripout"} <= {hook["id"] for repo in hooks for hook in repo["hooks"]}


def test_the_command_is_installed():
    assert PROJECT["scripts"] == {"fer": "fer_lib.cli:main"}
