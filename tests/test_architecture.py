"""The house's order: every file imports from floors below its own, and the training needs few packages."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import fer_lib

LIBRARY = Path(fer_lib.__file__).parent
# A module belongs to the floor of the longest name here that is its own or a package it lies in.
FLOORS = {
    "fer_lib.errors": 0,
    "fer_lib.extras": 0,
    "fer_lib.schema": 0,
    "fer_lib.parts": 0,
    "fer_lib.nets": 0,
    "fer_lib.paths": 0,
    "fer_lib.plugins": 0,
    "fer_lib.kept": 0,
    "fer_lib.texts": 0,
    "fer_lib.progress": 0,
    "fer_lib.data": 0,
    "fer_lib.augment": 0,
    "fer_lib.frames": 0,
    "fer_lib.models": 0,
    "fer_lib.losses": 0,
    "fer_lib.metrics": 0,
    "fer_lib.statistics": 0,
    "fer_lib.clusters": 0,
    "fer_lib.plots": 0,
    "fer_lib.recipe": 1,
    "fer_lib.claims": 1,
    "fer_lib.selection": 1,
    "fer_lib.training": 2,
    "fer_lib.runs": 2,
    "fer_lib.checkpoints": 2,
    "fer_lib.predict": 2,
    "fer_lib.explain": 2,
    "fer_lib.queue": 3,
    "fer_lib.study": 4,
    "fer_lib.demo": 4,
    "fer_lib.explore": 4,
    "fer_lib.report": 5,
    "fer_lib.bench": 5,
    "fer_lib.doctor": 4,
    "fer_lib.options": 6,
    "fer_lib.commands": 6,
    "fer_lib.cli": 6,
    "fer_lib.__main__": 6,
}
NOT_FOR_TRAINING = {
    "cv2", "ipykernel", "matplotlib", "nbformat", "onnx", "onnxruntime", "pandas", "papermill", "scipy", "seaborn",
    "skimage", "sklearn", "timm", "typer", "yaml",
}  # fmt: skip
FOR_TRAINING = {"torch", "torchvision", "PIL", "filelock", "msgspec", "numpy", "safetensors", "fer_lib"} | set(
    sys.stdlib_module_names
)


def modules() -> dict[str, Path]:
    """Every module of the library by name."""
    found = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        parts = path.relative_to(LIBRARY.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def floor(module: str) -> int | None:
    """The floor a module stands on."""
    while module and module not in FLOORS:
        module = module.rpartition(".")[0]
    return FLOORS.get(module)


def imports(module: str) -> Iterator[str]:
    """The modules of the library that a module imports, wherever in its text."""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                base = package.split(".")[: len(package.split(".")) - node.level + 1]
                source = ".".join([*base, *([source] if source else [])])
            for alias in node.names:
                name = f"{source}.{alias.name}"
                if name in MODULES:
                    yield name
                elif source in MODULES:
                    yield source


@pytest.mark.parametrize("module", [module for module in MODULES if module != "fer_lib"])
def test_every_module_stands_on_a_floor_and_imports_from_below(module):
    assert floor(module) is not None, f"{module} has no floor"
    for other in imports(module):
        if other == "fer_lib":
            continue
        above = floor(other) > floor(module)
        assert not above, f"{module} (floor {floor(module)}) imports {other} (floor {floor(other)})"


def test_this_file_reads_imports_rightly():
    assert "fer_lib.recipe" in set(imports("fer_lib.claims"))
    assert {"fer_lib.queue.train", "fer_lib.training"} <= set(imports("fer_lib.commands"))  # inside functions
    assert "fer_lib.plots" in set(imports("fer_lib.study.tables"))  # from fer_lib import plots
    assert floor("fer_lib.models.resnet") == 0


def test_no_circles():
    # A package counts as its __init__: importing a module inside it runs that first.
    graph = {module: {other for other in imports(module) if other != module} for module in MODULES}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_only_the_command_line_prints():
    for module, path in MODULES.items():
        if module in ("fer_lib.cli", "fer_lib.commands"):
            continue
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        printed = [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
        assert not printed, f"{module}, lines {printed}"


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_training_path_loads_few_packages():
    loaded = set(run("import sys, fer_lib.queue.train\nprint(*{name.split('.')[0] for name in sys.modules})"))
    assert "torch" in loaded
    assert not loaded & NOT_FOR_TRAINING


def test_the_training_path_names_few_packages():
    """What torch itself happens to load is no excuse: the sources may name only these packages at module level."""
    needed, waiting = set(), ["fer_lib.queue.train"]
    while waiting:
        module = waiting.pop()
        if module not in needed:
            needed.add(module)
            waiting += [other for other in imports_at_module_level(module) if other in MODULES]
    assert "fer_lib.models.classical" in needed
    for module in needed:
        named = {name.split(".")[0] for name in imports_at_module_level(module)}
        assert named <= FOR_TRAINING, f"{module}: {named - FOR_TRAINING}"


def imports_at_module_level(module: str) -> Iterator[str]:
    """Names of the modules, ours and others', that importing a module imports, with the packages around them."""
    for node in ast.parse(MODULES[module].read_text()).body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative imports are not followed here"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))
