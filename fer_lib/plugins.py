"""Parts of your own: where their code is found, and a digest of it, so that a run knows the code that made it.

A block, a loss or a dataset is registered by :func:`fer_lib.models.register_block`,
:func:`fer_lib.losses.register_loss` or :func:`fer_lib.data.register_dataset`, which note it here. The code that calls
them is looked for when a name is asked for that is not ours (:func:`look_up`): in the Python files of the folder
``FER_PAPERS``, and in installed packages with an entry point of the group ``fer_lib.plugins``, which names a module,
or a function to be called.
"""

import ast
import copy
import hashlib
import importlib.metadata
import importlib.util
import inspect
import linecache
import re
import sys
import typing
from collections.abc import Callable, Container, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from fer_lib.errors import UserError, first_line
from fer_lib.paths import own_papers
from fer_lib.schema import Part

GROUP = "fer_lib.plugins"
"""The entry points of installed plug-ins."""
CODE: dict[str, str] = {}
"""Digest of the code behind every part that is not ours, by kind and name, as in ``block gate``."""
_PREFIX = "fer_own_"
"""Of the names that files are imported under."""


# ---------------------------------------------------------------- finding the code


def look_up(name: str, known: Container[str]) -> None:
    """Load every plug-in, once, unless a name is known without them."""
    if name not in known:
        _load_all()


_loaded: list[str] = []


def _load_all() -> None:
    if _loaded:  # or being loaded: a plug-in may ask for names itself
        return
    _loaded.append(GROUP)
    try:
        for path in sorted(folder.glob("*.py")) if (folder := own_papers()) else ():
            load_file(path)
        for entry in importlib.metadata.entry_points(group=GROUP):
            where = f"plug-in {entry.name} ({entry.value})"
            if inspect.isfunction(found := _run(entry.load, where)):
                _run(found, where)
    except UserError:
        _loaded.clear()
        raise


def load_file(path: Path) -> ModuleType:
    """Import a Python file, again where its text or that of a file it imports from its own folder has changed.

    Raises:
        UserError: there is no such file, or it fails.
    """
    try:
        path = path.resolve()
        found = path.suffix == ".py" and path.is_file()
    except (OSError, RuntimeError, ValueError):
        found = False
    if not found:
        raise UserError(f"{path}: no Python file")
    name = f"{_PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    sources = _run(lambda: _sources(path, name), str(path))
    if name in sys.modules and sys.modules[name].__dict__["_fer_sources"] == sources:
        return sys.modules[name]
    own = {str(path.parent / source) for source in sources}
    for old in [key for key, module in sys.modules.items() if getattr(module, "__file__", None) in own]:
        del sys.modules[old]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: no Python file")
    load = spec.loader.exec_module
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    module.__dict__["_fer_sources"] = sources
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        _run(lambda: load(module), str(path))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _run(act: Callable[[], Any], where: str) -> Any:
    try:
        return act()
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    except (Exception, SystemExit) as error:
        raise UserError(f"{where}: cannot be loaded ({type(error).__name__}: {first_line(error)})") from error


# ---------------------------------------------------------------- registering


def register(kind: str, name: str, make: Callable[..., Any], taken: Container[str], *, about: str = "") -> None:
    """Note a part's code. A part of one's own may be registered again, as when a notebook's cell is run again.

    Args:
        kind: block, loss or dataset.
        name: letters and digits; an underscore would part it in a net's name.
        make: the class or function.
        taken: names that cannot be had.
        about: what else decides what it does, such as its place.

    Raises:
        UserError: a name that cannot be had, or code that cannot be read.
    """
    key = f"{kind} {name}"
    if not re.fullmatch(r"[a-z][a-z0-9]*", name):
        raise UserError(f"{key}: a name is small letters and digits without '_', which parts the words of a net's name")
    if name in taken and key not in CODE:
        raise UserError(f"{key}: the library has that name; choose another")
    CODE[key] = digest_of(make, about)


def default_name(make: Callable[..., Any]) -> str:
    """A name for a class, from its own: ``myattention`` of ``MyAttention``."""
    return re.sub(r"[^a-z0-9]", "", make.__name__.lower())


def options_of(make: Callable[..., Any], where: str, given: str) -> type[Any]:
    """The options of a constructor as checked data, from its annotations and defaults.

    Args:
        make: the class.
        where: what it is, which opens the message.
        given: the first argument, which the library gives.

    Raises:
        UserError: another first argument, or a further one without a default.
    """
    first, *rest = inspect.signature(make).parameters.values() or (None,)
    if first is None or first.name != given:
        raise UserError(f"{where}: its constructor must take {given} first, as __init__(self, {given}, ...)")
    options = [p for p in rest if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    for parameter in options:
        if parameter.default is parameter.empty:
            raise UserError(f"{where}: its constructor's argument {parameter.name!r} needs a default")
    try:
        hints = typing.get_type_hints(make.__init__)
    except (NameError, TypeError):
        hints = {}
    fields = [(p.name, _kind(hints.get(p.name), p.default), _default(p.default)) for p in options]
    return msgspec.defstruct("Options", fields, bases=(Part,), frozen=True)


def _kind(hint: Any, default: Any) -> Any:
    """The type that an option's values are held against."""
    try:
        if not isinstance(msgspec.inspect.type_info(hint), msgspec.inspect.CustomType):
            msgspec.convert(default, hint)
            return hint
    except (msgspec.ValidationError, TypeError):
        pass
    return type(default) if isinstance(default, bool | int | float | str) else Any


def _default(value: Any) -> Any:
    """A default of a field; of a list, a table or a set every one gets a copy."""
    if isinstance(value, list | dict | set):
        return msgspec.field(default_factory=partial(copy.deepcopy, value))
    return value


# ---------------------------------------------------------------- what the code is


def digest_of(make: Callable[..., Any], about: str = "") -> str:
    """SHA-256, hexadecimal, of a class's or function's file and of every file of its own folder or package that it
    imports, or of the cell of a notebook that defines it.

    Raises:
        UserError: its source cannot be found.
    """
    digest = hashlib.sha256(f"{about}\0{make.__qualname__}".encode())
    path = Path(_file_of(make))
    if path.is_file():
        for source, content in _sources(path.resolve(), make.__module__).items():
            digest.update(b"\0" + source.encode() + b"\0" + content)
    elif lines := linecache.getlines(str(path)):
        digest.update("".join(lines).encode())
    else:
        raise UserError(f"{make.__qualname__}: its source cannot be found; put it into a file")
    return digest.hexdigest()


def _file_of(make: Callable[..., Any]) -> str:
    """The file that defines a class or function; of a notebook's cell the name that Python has for it."""
    try:
        return inspect.getfile(make)
    except (OSError, TypeError):
        functions = filter(inspect.isfunction, vars(make).values())
        return next((function.__code__.co_filename for function in functions), "")


def _sources(path: Path, module: str) -> dict[str, bytes]:
    """The content of a file and of what it imports of its own folder or package, by name from there."""
    root, only = _root(path, module)
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in sorted(_imported(path, root, only))}


def _root(path: Path, module: str) -> tuple[Path, str | None]:
    """The folder that a file's imports are looked for in, and of installed code the one package that is its own."""
    root = path.parent
    while (root / "__init__.py").is_file() and not module.startswith(_PREFIX):
        root = root.parent
    installed = root != path.parent or any(root.glob("*.dist-info"))
    return root, Path(path.relative_to(root).parts[0]).stem if installed else None


def _imported(start: Path, root: Path, only: str | None) -> set[Path]:
    """A file and those that it imports from its root, and these in turn."""
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            for name in _names(path, root):
                if only in (None, name.split(".")[0]):
                    waiting += _files(name, root)
    return found


def _names(path: Path, root: Path) -> Iterator[str]:
    """What a file imports, wherever in its text, as full names."""
    package = path.relative_to(root).parts[:-1]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)


def _files(name: str, root: Path) -> Iterator[Path]:
    """The files of a module and of the packages around it."""
    for part in name.split("."):
        root /= part
        yield from (file for file in (root.with_suffix(".py"), root / "__init__.py") if file.is_file())
