"""Executed notebooks as self-contained HTML pages, and the index that a reader opens first."""

import html
import re
from pathlib import Path

import jinja2
import nbformat
from markupsafe import Markup
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from fer_lib import plots
from fer_lib.errors import UserError
from fer_lib.paths import results_dir, write_atomically
from fer_lib.report.notebooks import SCALES, executed_path, list_notebooks, scale_dir, title_and_lead
from fer_lib.study.answer import answer
from fer_lib.study.claim_table import BRIEF, claim_table, headline_claims, readable_claims
from fer_lib.study.verify import sound_records

TEMPLATES = Path(__file__).parent / "templates"
TITLE = "Do attention modules improve facial-expression recognition?"
LEAD = (
    "A reproducibility study of four papers that add attention modules to residual networks (FER2013, CK+). "
    "Every accuracy they print stands beside ours, with its spread, its protocol and a verdict."
)


def render(scale: str = "paper") -> list[Path]:
    """Render every executed notebook of a scale, and the index.

    Args:
        scale: paper (``results/reports``) or smoke (``results/smoke/reports``).

    Returns:
        The pages, the index last.

    Raises:
        UserError: nothing has been executed at this scale.
    """
    if scale not in SCALES:
        raise UserError(f"unknown scale {scale!r}: choose smoke or paper")
    folder = scale_dir(scale) / "reports"
    sources = [path for name in list_notebooks() if (path := executed_path(name, scale)).exists()]
    if not sources:
        raise UserError(
            f"{executed_path('*', scale).parent}: no executed notebook; run `fer notebook NAME --scale {scale}`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    pages = []
    for source in sources:
        page = folder / f"{source.stem}.html"
        _write(page, render_page(source))
        pages.append(page)
    index = folder / "index.html"
    _write(index, _index(sources, scale))
    return [*pages, index]


def _write(page: Path, text: str) -> None:
    write_atomically(page, lambda file: file.write(text.encode()))


def render_page(source: Path) -> str:
    """One executed notebook as one HTML text that names no file or address outside itself, the index aside."""
    notebook = nbformat.read(source, as_version=4)
    exporter = HTMLExporter(
        template_name="fer", extra_template_basedirs=[str(TEMPLATES)], exclude_input_prompt=True,
        exclude_output_prompt=True,
    )  # fmt: skip
    title, _ = title_and_lead(notebook)
    page = {"title": title, "css": _css(), "stamp": _stamp(notebook), "headings": _headings(exporter, notebook)}
    body, _ = exporter.from_notebook_node(notebook, resources={"page": page})
    return body


def _headings(exporter: HTMLExporter, notebook: nbformat.NotebookNode) -> list[tuple[int, str, str]]:
    """Level, anchor and text of every second- and third-level heading."""
    markdown = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    rendered = exporter.markdown2html({"output": {}}, markdown)
    found = re.findall(r'<h([23]) id="([^"]+)">(.*?)<a class="anchor-link"', rendered, re.DOTALL)
    return [
        (int(level), html.unescape(anchor), html.unescape(re.sub(r"<[^>]+>", "", text)))
        for level, anchor, text in found
    ]


def _stamp(notebook: nbformat.NotebookNode) -> str:
    stamp = notebook.metadata.get("fer", {})
    parameters = ", ".join(f"{name} = {value!r}" for name, value in stamp.get("parameters", {}).items())
    return (
        f"{stamp.get('source')} ({(stamp.get('source_blob') or '')[:10]}), {stamp.get('scale')} scale"
        f"{', ' + parameters if parameters else ''}; executed {stamp.get('executed')} "
        f"at commit {(stamp.get('commit') or 'unknown')[:10]}"
    )


def _index(sources: list[Path], scale: str) -> str:
    cards = []
    for source in sources:
        notebook = nbformat.read(source, as_version=4)
        title, lead = title_and_lead(notebook)
        cards.append({"href": f"{source.stem}.html", "title": title, "text": lead, "stamp": _stamp(notebook)})
    records, problems = sound_records(results_dir() / "runs")
    table = headline_claims(claim_table(records))
    figure = plots.svg(plots.claims(table)).decode()
    figure = figure[figure.index("<svg") :].replace(
        "<svg ", '<svg role="img" aria-label="Accuracies the papers print beside ours; the table below holds them." ', 1
    )
    data = sorted({f"{r.content['data']['name']} {r.content['data']['fingerprint'][:12]}" for r in records})
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True)
    return environment.get_template("index.html.j2").render(
        title=TITLE if scale == "paper" else f"{TITLE} (smoke scale: nothing here is a result)",
        lead=LEAD,
        answer=answer(records),
        css=Markup(_css()),
        figure=Markup(figure),
        claims=Markup(readable_claims(table)[list(BRIEF)].to_html(index=False, border=0)),
        cards=cards,
        stamp="; ".join(
            [f"{len(records)} recorded runs", f"data: {', '.join(data) or 'none'}"]
            + [f"left out: {problem.removeprefix(f'{results_dir()}/')}" for problem in problems]
        ),
    )


def _css() -> str:
    return (TEMPLATES / "page.css").read_text(encoding="utf-8") + HtmlFormatter().get_style_defs(".highlight")
