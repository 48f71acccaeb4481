"""The ``fer`` command: arguments in, one call, lines out."""

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn, TextIO

from fer_lib import commands
from fer_lib.errors import UserError, is_out_of_memory
from fer_lib.texts import one_line, printable

TABLES = (
    "claims", "evidence", "statements", "control", "start", "alike", "ablations", "ensemble", "rules", "leaks",
    "ferplus", "ceiling", "protocols", "reach", "cleaning", "classes", "calibration", "reliability", "cost", "runs",
)  # fmt: skip
"""Names of :data:`fer_lib.study.tables.TABLES`, which is slow to import for a text of help."""
RESULTS_HELP = "folder that holds runs/ (default: FER_RESULTS, else results)"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status: 0 done, 2 a user error, 75 stopped and resumable."""
    try:
        with _as_text():
            parsed = build_parser().parse_args(arguments)
            status = parsed.act(parsed)
            sys.stdout.flush()  # here, where a full disk is still an error of ours
    except UserError as error:
        _fail(str(error))
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        sys.stdout = None  # type: ignore[assignment]
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if is_out_of_memory(error):
            _fail("out of memory; free some, or ask for less at once")
        if not isinstance(error, OSError):
            raise
        if not error.filename:
            sys.stdout = None  # type: ignore[assignment]  # it cannot be written to
        _fail(f"{error.filename or 'output'}: {error.strerror or error}")
    sys.exit(status or 0)


def _fail(message: str) -> NoReturn:
    print(f"fer: {one_line(message)}", file=sys.stderr)
    sys.exit(2)


class _AsText:
    """A stream on which a control character in the name of a file or a field of a record is shown, not obeyed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if hasattr(stream, "reconfigure"):  # what a legacy code page lacks is shown by its number
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        self._stream.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _as_text() -> Iterator[None]:
    with redirect_stdout(_AsText(sys.stdout)), redirect_stderr(_AsText(sys.stderr)):
        yield


class _Parser(argparse.ArgumentParser):
    """A parser that suggests what a mistyped command or option may have meant."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)  # type: ignore[arg-type]

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """Refuse an unknown option where it stands: left to argparse, only the outermost parser would."""
        namespace, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return namespace, rest

    def error(self, message: str) -> NoReturn:
        option = re.match(r"unrecognized arguments: (\S+)", message)
        command = re.match(r"argument COMMAND: invalid choice: '([^']*)'", message)
        if option:
            message = self._unknown("argument", option[1].split("=")[0], self._option_string_actions)
        elif command:
            names = next(a.choices for a in self._actions if isinstance(a, argparse._SubParsersAction))
            message = self._unknown("command", command[1], names)
        self.exit(2, f"{self.prog}: {one_line(message)}; see {self.prog} --help\n")

    @staticmethod
    def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        return f"unknown {kind} {name!r}" + (f": did you mean {near[0]}?" if near else "")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(
        prog="fer",
        description=__doc__.splitlines()[0].replace("``", ""),
        epilog=_examples("fer recipes", "fer train zhang/cbam_ends/fer2013 --seed 0", "fer study tables"),
    )
    group = parser.add_subparsers(metavar="COMMAND", required=True)

    data = group.add_parser(
        "data", help="check or download the datasets", epilog=_examples("fer data check", "fer data download fer2013")
    ).add_subparsers(metavar="COMMAND", required=True)
    check = _command(
        data, "check", commands.data_check, "compare the data at hand with what the papers state", "fer data check"
    )
    check.add_argument("--root", type=_path, help="folder of the data (default: FER_DATA, else data)")
    download = _command(
        data,
        "download",
        commands.data_download,
        "fetch what may be fetched, and say where to get the rest",
        "fer data download fer2013",
    )
    download.add_argument("dataset", help="fer2013, ferplus or ckplus")
    download.add_argument("--root", type=_path, help="folder to fill (default: FER_DATA, else data)")

    facts = _command(
        data,
        "facts",
        commands.data_facts,
        "write labels, votes and copies of the real data into the library, for audits without pictures",
        "fer data facts",
    )
    facts.add_argument("--root", type=_path, help="folder of the data (default: FER_DATA, else data)")

    recipes = _command(group, "recipes", commands.recipes, "list the recipes", "fer recipes", "fer recipes zhang")
    recipes.add_argument("paper", nargs="?", help="of this paper only")

    train = _command(
        group,
        "train",
        commands.train,
        "train one run, continue it, or load it if it is complete",
        "fer train zhang/cbam_ends/fer2013 --seed 0",
        "fer train zhang/cbam_ends/ckplus --fold 3 --time-limit 9m",
        "fer train zhang/cbam_ends/fer2013 --dataset synthetic --epochs 2 --limit-train 256 --results /tmp/try",
    )
    train.add_argument("recipe", help="a name of `fer recipes`")
    train.add_argument("--seed", type=_whole(0, 2**31 - 1), default=0, help="default: 0")
    train.add_argument("--fold", type=int, help="test fold, from 0, of a recipe with cross-validation")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    train.add_argument("--time-limit", type=_seconds, metavar="T", help="stop after T (90s, 9m, 1h30m), resumable")
    train.add_argument("--results", type=_path, help=RESULTS_HELP)
    train.add_argument("--dry-run", action="store_true", help="say what would be trained, and train nothing")
    _add_changes(train)

    models = _command(
        group,
        "models",
        commands.models,
        "list the models, their size and cost",
        "fer models",
        "fer models resnet34_cbam_ends gu --device cpu",
    )
    models.add_argument("name", nargs="*", help="these only")
    models.add_argument(
        "--pixels", type=_whole(1, 4096), default=48, help="picture size for nets that take any (default: 48)"
    )
    models.add_argument("--device", default="auto", help="where to measure the time of a picture (default: auto)")

    export = _command(
        group,
        "export",
        commands.export,
        "write a trained net as ONNX",
        "fer export narrow_resnet18",
        "fer export zhang-cbam_ends-fer2013-s0-1a2b3c4d --output zhang.onnx",
    )
    export.add_argument(
        "name",
        help="a weight file of results/checkpoints, or a folder's name in results/runs that holds weights.safetensors",
    )
    export.add_argument("--output", type=_path, help="default: the name with .onnx, in this folder")
    export.add_argument(
        "--results", type=_path, help="folder that holds runs/ and checkpoints/ (default: FER_RESULTS, else results)"
    )

    checkpoint = _command(
        group,
        "checkpoint",
        commands.checkpoint,
        "make a small weight file and its model card from a run, for results/checkpoints",
        "fer checkpoint zhang-cbam_ends-fer2013-s0-1a2b3c4d --name zhang",
    )
    checkpoint.add_argument("run", help="a folder's name in results/runs that holds weights.safetensors")
    checkpoint.add_argument("--name", help="name of the weight file (default: the recipe's, with - for /)")
    checkpoint.add_argument("--results", type=_path, help=RESULTS_HELP)

    predict = _command(
        group,
        "predict",
        commands.predict,
        "name the expressions in pictures, folders and videos",
        "fer predict party.jpg",
        "fer predict holidays/ --format csv --output holidays.csv",
        "fer predict clip.mp4 --every 10 --views one --format films --output drawn/",
    )
    predict.add_argument(
        "path", nargs="+", type=_path, metavar="PICTURE", help="a picture, a video, or a folder of them"
    )
    predict.add_argument("--model", help="a weight file of results/checkpoints (default: the best of FER2013's nets)")
    predict.add_argument(
        "--format",
        default="json",
        help="json (one line a picture), csv, pictures, or films, which keeps a video one (default: json)",
    )
    predict.add_argument(
        "--output",
        type=_path,
        help="file to write, or for pictures and films the folder (default: this terminal, drawn/)",
    )
    predict.add_argument("--detector", default="mtcnn", help="mtcnn, haar, or none for cut-out faces (default: mtcnn)")
    predict.add_argument("--every", type=int, default=1, metavar="N", help="of a video, every Nth frame (default: 1)")
    predict.add_argument(
        "--views",
        default="jitter",
        help="looks at each face: one (fastest), flip, five, ten or jitter (the default)",
    )
    predict.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")

    demo = _command(
        group,
        "demo",
        commands.demo,
        "open the webcam notebook in JupyterLab",
        "fer demo",
        "fer demo --no-browser --port 8899",
    )
    demo.add_argument("--no-browser", action="store_true", help="start the server only, and print its address")
    demo.add_argument(
        "--port", type=_whole(1, 65535), default=8888, help="of the server on this machine (default: 8888)"
    )

    compare = _command(
        group,
        "compare",
        commands.compare,
        "train a net with and without attention modules of your own, and show them beside the recorded ones",
        "fer compare my_module.py:MyAttention --check",
        "fer compare my_module.py:MyAttention --dry-run",
        "fer compare my_module.py:MyAttention --at after_stage --jobs 2",
        "fer compare a.py:One b.py:Two se --recipe control/none/fer2013 --seeds 5 --set optimizer.lr=0.05",
    )
    compare.add_argument("module", nargs="+", help="FILE:CLASS, or the name of a block of the library or a plug-in")
    compare.add_argument(
        "--recipe", default="narrow/none/fer2013", help="of the net without it (default: narrow/none/fer2013)"
    )
    compare.add_argument("--at", help="branch, after_stage or ends (default: branch, or a named block's own place)")
    compare.add_argument(
        "--seeds", type=_whole(1, 1000), metavar="N", help="of each net (default: 5, of drawn faces 3)"
    )
    compare.add_argument("--check", action="store_true", help="try what a net asks of the module, and train nothing")
    compare.add_argument("--dry-run", action="store_true", help="say what would be trained, and train nothing")
    compare.add_argument("--time-limit", type=_seconds, metavar="T", help="stop after T (90s, 9m, 1h30m), resumable")
    compare.add_argument("--jobs", type=int, default=1, metavar="N", help="processes that share the runs (default: 1)")
    compare.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    compare.add_argument("--results", type=_path, help="folder for runs/ and compare/ (default: results/own)")
    _add_changes(compare, limits=False)

    study = group.add_parser(
        "study",
        help="the runs and what they say",
        epilog=_examples("fer study status", "fer study run --dry-run", "fer study table control", "fer study tables"),
    ).add_subparsers(metavar="COMMAND", required=True)
    queue = _command(
        study,
        "run",
        commands.study_run,
        "train what the study still misses, most urgent first; one that was stopped goes on",
        "fer study run --dry-run",
        "fer study run --papers control --seeds 1 --time-limit 9m",
        "fer study run --recipes zhang/cbam_ends/fer2013 zhang/plain/fer2013 --jobs 3",
        "fer study run --papers narrow --dataset synthetic --epochs 1 --limit-train 64 --results /tmp/try",
    )
    _add_choice(queue)
    queue.add_argument("--time-limit", type=_seconds, metavar="T", help="stop after T (90s, 9m, 1h30m), resumable")
    queue.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes that share the device and the runs (default: 1); on a CPU, one for each core trains most "
        "pictures a second",
    )
    queue.add_argument("--results", type=_path, help=RESULTS_HELP)
    queue.add_argument("--dry-run", action="store_true", help="list what would be trained, and train nothing")
    _add_changes(queue)
    state = _command(
        study,
        "status",
        commands.study_status,
        "which runs are done, running, failed or missing, and the minutes they will take",
        "fer study status",
        "fer study status --papers li gu",
    )
    _add_choice(state)
    state.add_argument("--results", type=_folder, help=RESULTS_HELP)
    _add_changes(state)
    for name, run, text in (
        ("tables", commands.study_tables, "rebuild tables, figures and the README's table from results/runs"),
        (
            "verify",
            commands.study_verify,
            "recompute every run's metrics from its predictions, and name every bad record",
        ),
    ):
        command = _command(study, name, run, text, f"fer study {name}", f"fer study {name} --results /tmp/try")
        command.add_argument("--results", type=_folder, help=RESULTS_HELP)
    table = _command(
        study,
        "table",
        commands.study_table,
        "print one table",
        "fer study table control",
        "fer study table claims --csv",
    )
    table.add_argument("name", metavar="TABLE", help=f"one of {', '.join(TABLES)}")
    table.add_argument("--csv", action="store_true", help="every column, as CSV (default: Markdown)")
    table.add_argument("--results", type=_folder, help=RESULTS_HELP)
    show = _command(
        study,
        "show",
        commands.study_show,
        "one run in full",
        "fer study show zhang-cbam_ends-fer2013-s0-1a2b3c4d",
        "fer study show zhang-cbam_ends-fer2013-s0-1a2b3c4d --json",
    )
    show.add_argument("run", help="a folder's name in results/runs")
    show.add_argument("--json", action="store_true", help="the whole run.json instead")
    show.add_argument("--results", type=_folder, help=RESULTS_HELP)

    bench = group.add_parser(
        "bench",
        help="measure the speed beside the loop that people publish",
        epilog=_examples("fer bench train", "fer bench augment --seconds 20"),
    ).add_subparsers(metavar="COMMAND", required=True)
    for name, text in (
        ("train", "images per second of a training, and where the time goes"),
        ("attention", "the gradients of CBAM's maxima, and a net with CBAM beside the plain one"),
        ("augment", "whole batches against one picture at a time"),
        ("data", "reading fer2013.csv, and bringing batches to the device"),
        ("predict", "probabilities, with one view and with ten"),
        ("faces", "cut-out faces at once against one by one, and live camera pictures"),
    ):
        suite = _command(
            bench, name, commands.bench, text, f"fer bench {name}", f"fer bench {name} --device cpu --seconds 20"
        )
        if name in ("train", "predict"):
            suite.add_argument(
                "--models", nargs="+", default=["resnet18"], metavar="NAME[:BATCH]",
                help="default: resnet18, in batches of 128 on a GPU, 64 elsewhere",
            )  # fmt: skip
        suite.add_argument(
            "--seconds", type=_span, default=60.0, metavar="S", help="how long it may take (default: 60)"
        )
        if name in ("train", "data", "predict"):
            suite.add_argument(
                "--workers", type=_whole(0, 256), help="of the published DataLoader (default: 8 with a GPU, else 0)"
            )
        suite.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
        suite.add_argument("--results", type=_path, help="folder for benchmarks/ (default: FER_RESULTS, else results)")
        suite.set_defaults(suite=name)

    doctor = _command(
        group,
        "doctor",
        commands.doctor,
        "what this machine has for the study, and whether its device trains rightly",
        "fer doctor",
        "fer doctor --device cuda",
    )
    doctor.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    doctor.add_argument(
        "--seconds", type=float, default=60.0, metavar="S", help="begin no check after this long (default: 60)"
    )

    notebook = _command(
        group,
        "notebook",
        commands.notebook,
        "execute one notebook headlessly",
        "fer notebook 05_zhang_cbam --scale smoke",
        "fer notebook 05_zhang_cbam --scale paper -p SEED=1 -p EPOCHS=3",
    )
    notebook.add_argument("name", help="a notebook of notebooks/, with or without .ipynb")
    notebook.add_argument("--scale", choices=("smoke", "paper"), default="smoke", help="default: smoke")
    notebook.add_argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="replace a parameter; repeatable",
    )
    notebook.add_argument(
        "--output", type=_path, help="executed copy (default: results/smoke or results, in executed/)"
    )

    pages = _command(group, "report", commands.report, "render executed notebooks to HTML, with an index", "fer report")
    pages.add_argument("--scale", choices=("smoke", "paper"), default="paper", help="default: paper")
    return parser


def _command(
    group: "argparse._SubParsersAction[_Parser]",
    name: str,
    act: Callable[[argparse.Namespace], int | None],
    text: str,
    *examples: str,
) -> argparse.ArgumentParser:
    command = group.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", epilog=_examples(*examples)
    )
    command.set_defaults(act=act)
    return command


def _add_choice(command: argparse.ArgumentParser) -> None:
    """The options that choose runs of the study's matrix, and where they run."""
    command.add_argument("--papers", nargs="+", default=[], metavar="P", help="only these, as in `fer recipes`")
    command.add_argument("--recipes", nargs="+", default=[], metavar="R", help="only these, or these besides --papers")
    command.add_argument("--seeds", type=int, metavar="N", help="N seeds of each (default: as many as the study wants)")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")


def _add_changes(command: argparse.ArgumentParser, limits: bool = True) -> None:
    """The options that make another recipe of a recipe."""
    other = command.add_argument_group("changes to the recipe (each makes a different run)")
    other.add_argument("--dataset", help="synthetic, fer2013, ferplus, ckplus or folder:PATH")
    other.add_argument("--epochs", type=int)
    other.add_argument("--batch-size", type=int)
    other.add_argument("--precision", help="float32, bfloat16 or float16 (default: the fastest that the device has)")
    other.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other value, as in optimizer.lr=0.05; none takes one out; repeatable",
    )
    if limits:
        other.add_argument("--limit-train", type=int, metavar="N", help="train on N pictures, drawn class by class")
        other.add_argument("--limit-test", type=int, metavar="N", help="evaluate on N pictures of each part, drawn so")


def _examples(*lines: str) -> str:
    return "examples:\n" + "\n".join(f"  {line}" for line in lines)


def _path(text: str) -> Path:
    """A file or folder, with ``~`` for the home folder also where no shell replaced it, as in ``--results=~/x``."""
    from fer_lib.paths import user_path

    try:
        return user_path(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _folder(text: str) -> Path:
    """A folder that exists: results are read from it."""
    if not _path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no folder")
    return _path(text)


def _whole(least: int, most: int) -> Callable[[str], int]:
    """A whole number within limits."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,10}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return parse


def _span(text: str) -> float:
    """A number of seconds above 0, whole or not."""
    if not re.fullmatch(r"\d{1,6}(\.\d*)?|\.\d+", text) or not float(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return float(text)


def _seconds(text: str) -> float:
    """Parse 90s, 9m, 1h30m or a plain number of seconds."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text)
    if not text or not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 90s, 9m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


if __name__ == "__main__":
    main()
