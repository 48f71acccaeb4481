"""The report: a front page, a page behind every claim and every run, and the executed notebooks; static and offline."""

import hashlib
import html
import re
from collections.abc import Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import itables
import jinja2
import nbformat
from markupsafe import Markup
from matplotlib.figure import Figure
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import markdown2html_mistune
from pygments.formatters import HtmlFormatter

from fer_lib import plots
from fer_lib.claims import FIDELITY
from fer_lib.data.catalog import dataset_title
from fer_lib.errors import UserError
from fer_lib.kept import code_digest
from fer_lib.paths import refresh
from fer_lib.progress import track
from fer_lib.recipe import claimed_papers
from fer_lib.report import claim_pages, front, lists, run_pages, words
from fer_lib.report.notebooks import SCALES, executed_path, list_notebooks, scale_dir, title_and_lead
from fer_lib.runs import RunRecord
from fer_lib.study import groups
from fer_lib.study.answer import answer, net_by_net
from fer_lib.study.columns import markdown
from fer_lib.study.gains import ablation_table
from fer_lib.study.modules import LEGEND, module_caption, module_figure, module_words, modules_by_net, readable_by_net
from fer_lib.study.results import Study
from fer_lib.texts import numeral

TEMPLATES = Path(__file__).parent / "templates"
NAVIGATION = (
    ("index.html", "Answer"), ("claims.html", "Claims"), ("gains.html", "Modules compared"),
    ("evidence.html", "The papers' own numbers"), ("runs.html", "Runs"), ("methods.html", "Methods and limitations"),
    ("index.html#notebooks", "Notebooks"),
)  # fmt: skip
KEY = "<!-- made from {} -->"
"""First line of a notebook's page, which takes long to render: what it was made from."""


def render(scale: str = "paper") -> list[Path]:
    """Render every executed notebook of a scale, the front page, and at paper scale the pages behind its numbers.

    A page that is as it was is left alone, and pages of claims and runs that there are no more are removed.

    Args:
        scale: paper (``results/reports``) or smoke (``results/smoke/reports``).

    Returns:
        The pages, the front page last.

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
    study = Study.load() if scale == "paper" else None
    site = Site(folder, study)
    for number, source in enumerate(track(sources, "notebooks")):
        neighbours = [sources[at] if 0 <= at < len(sources) else None for at in (number - 1, number + 1)]
        site.notebook(source, *neighbours)
    if study:
        site.pages_behind(study)
    site.front(sources)
    site.sweep()
    return site.pages


class Site:
    """The pages of one report.

    Args:
        folder: where they are written.
        study: the study's results; None at smoke scale, which has none.
    """

    def __init__(self, folder: Path, study: Study | None) -> None:
        self.folder, self.study = folder, study
        self.pages: list[Path] = []
        nav = NAVIGATION if study else (("index.html", "Notebooks"),)
        smoke = "Smoke scale: drawn faces, seconds of training. Nothing here is a result."
        self.about = about(nav, words.STUDY if study else smoke)

    def write(self, name: str, text: str) -> None:
        """Write a page, unless it is there as it is."""
        self.pages.append(self.folder / name)
        refresh(self.folder / name, text.encode())

    def page(self, template: str, name: str, **context: Any) -> None:
        """Render one page from its template.

        Args:
            template: without suffixes.
            name: of the page, from the report's folder.
            **context: what the template needs.
        """
        self.write(name, render_template(template, self.about, name, **context))

    def sweep(self) -> None:
        """Remove pages of claims and runs that there are no more."""
        for path in {*self.folder.glob("claims/*.html"), *self.folder.glob("runs/*.html")} - {*self.pages}:
            path.unlink()

    # ------------------------------------------------------------ notebooks

    def notebook(self, source: Path, before: Path | None, after: Path | None) -> None:
        """A notebook's page, made anew where the executed copy, its neighbours or this package changed."""
        steps = [path and (f"{path.stem}.html", title_and_lead(nbformat.read(path, 4))[0]) for path in (before, after)]
        parts = (
            source.read_bytes(),
            repr(steps),
            repr(self.about["nav"]),
            code_digest("report", suffixes=(".py", ".j2", ".css", ".json")),
        )
        key = KEY.format(hashlib.sha256(repr(parts).encode()).hexdigest()[:20])
        path = self.folder / f"{source.stem}.html"
        if path.exists() and path.read_text(encoding="utf-8").endswith(f"{key}\n"):
            self.pages.append(path)
            return
        self.write(path.name, f"{render_page(source, self.about, *steps)}\n{key}\n")

    # ------------------------------------------------------------ the study's own pages

    def pages_behind(self, study: Study) -> None:
        """The pages behind the numbers."""
        contexts = list(claim_pages.claim_contexts(study))
        names = [(context["page"], _brief(context["title"])) for context in contexts]
        for context, before, after in zip(contexts, [None, *names], [*names[1:], None], strict=False):
            self.page("claim", context["page"], before=before, after=after, **context)
        for name, records in track(run_pages.trainings(study).items(), "pages of runs"):
            self.page("run", name, **run_pages.training_context(records, study))
        rows = run_pages.run_rows(study)
        self.page(
            "runs",
            "runs.html",
            title="Every run",
            rows=rows,
            count=len(study.records),
            problems=study.problems,
            data=sorted({_data(record) for record in study.records}),
        )
        self._claims(contexts)
        families, waiting = lists.families(study)
        self.page(
            "gains",
            "gains.html",
            title="What each module adds",
            families=families,
            waiting=waiting,
            headings=[(2, f["anchor"], f["title"]) for f in families],
            story=self.folder / "06_ablations.html" in self.pages,
            **_module_figures(study),
        )
        found = lists.evidence_context(study)
        headings = [
            (2, "brief", "In brief"),
            *((2, s["anchor"], s["title"]) for s in found["sections"]),
            (2, "gaps", "Gaps and contradictions"),
        ]
        self.page(
            "evidence", "evidence.html", title="What the papers' own numbers already say", headings=headings, **found
        )
        self._methods(study)

    def _claims(self, contexts: list[dict[str, Any]]) -> None:
        rows = claim_pages.claim_rows(contexts)
        columns = {"paper": 0, "kind": 2, "data": 4, "fidelity": 8, "verdict": 9}
        filters = [
            (at, name if name != "fidelity" else "test", sorted({row[name] for row in rows} - {""}))
            for name, at in columns.items()
        ]
        script, name = _datatables()
        verdicts = [word for word in words.VERDICTS if any(row["verdict"] == word for row in rows)]
        self.page(
            "claims", "claims.html", title="Every claim, and its verdict", shape="broad", rows=rows, filters=filters,
            unrun=sum(row["verdict"] == "not run" for row in rows), meanings=words.VERDICTS, verdicts=verdicts,
            fidelity=FIDELITY, script=Markup(script), jquery=Markup(name),
        )  # fmt: skip

    def _methods(self, study: Study) -> None:
        text = (Path(groups.__file__).parent / "REGISTRATION.md").read_text(encoding="utf-8")
        text = re.sub(r"(?<=[ (])-(?=\d)", "\N{MINUS SIGN}", text.split("\n", 1)[1])
        rules = markdown2html_mistune(re.sub(r"^#", "##", text, flags=re.MULTILINE))
        headings = {"limitations": "Limitations", "rules": "Rules", "papers": "The papers", "cite": "How to cite"}
        self.page(
            "methods",
            "methods.html",
            title="Methods, limitations, references",
            limitations=lists.limitations(study),
            rules=Markup(_tables(rules)),
            papers=[words.paper(name) for name in claimed_papers()],
            bibtex=words.BIBTEX,
            headings=[(2, anchor, text) for anchor, text in headings.items()],
        )

    def front(self, sources: list[Path]) -> None:
        """The first screen, and the notebooks."""
        cards, linked = [], self.folder / front.CKPLUS_PAGE in self.pages
        for source in sources:
            title, lead = title_and_lead(nbformat.read(source, as_version=4))
            cards.append({"href": f"{source.stem}.html", "title": title, "text": _first_sentence(lead)})
        behind: dict[str, Any] | None = None
        if study := self.study:
            attention, printed = answer(study, links=True).rsplit("\n\n", 1)
            behind = {
                "answer": Markup(markdown2html_mistune(attention)), "printed": Markup(markdown2html_mistune(printed)),
                "nets": Markup(markdown2html_mistune(net_by_net(study, links=True))),
                "legend": Markup(markdown2html_mistune(LEGEND)),
                "modules": Markup(markdown2html_mistune(markdown(readable_by_net(modules_by_net(study), links=True)))),
                "sure": {k: Markup(v) for k, v in front.how_sure(study, linked).items()},
                "cards": front.cards(study), "progress": front.progress_line(study), **_module_figures(study),
            }  # fmt: skip
        self.page("index", "index.html", title=words.TITLE, study=behind, cards=cards, shape="front")


# ---------------------------------------------------------------- templates


@cache
def _environment() -> jinja2.Environment:
    found = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True)
    found.filters["numeral"] = numeral
    return found


def about(nav: Sequence[tuple[str, str]], stamp: str) -> dict[str, Any]:
    """What all pages of a report share.

    Args:
        nav: address and name of each page of the navigation.
        stamp: what stands at the foot of every page: nothing that another run would change.
    """
    css = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    css += HtmlFormatter(style="friendly").get_style_defs(".highlight")
    return {"title": words.TITLE, "study": words.STUDY, "css": Markup(css), "nav": nav, "stamp": stamp}


def render_template(template: str, site: dict[str, Any], name: str, **context: Any) -> str:
    """One page as HTML.

    Args:
        template: its name without suffixes.
        site: of :func:`about`.
        name: the page, from the report's folder.
        **context: what the template needs.
    """
    up = "../" * name.count("/")
    defaults = {"description": words.DESCRIPTION, "headings": None, "results": f"{up}..", "shape": ""}
    return _environment().get_template(f"{template}.html.j2").render(defaults | context, site=site, up=up, here=name)


def render_page(source: Path, site: dict[str, Any], before: Any = None, after: Any = None) -> str:
    """One executed notebook as one HTML text that loads nothing from outside itself.

    Args:
        source: the executed copy.
        site: what all pages share.
        before: address and title of the notebook before it.
        after: of the one after it.
    """
    notebook = nbformat.read(source, as_version=4)
    exporter = HTMLExporter(
        template_name="fer", extra_template_basedirs=[str(TEMPLATES)], exclude_input_prompt=True,
        exclude_output_prompt=True,
    )  # fmt: skip
    title, lead = title_and_lead(notebook)
    body, _ = exporter.from_notebook_node(notebook)
    body = re.sub(r'href="(\d\d_\w+)\.ipynb', r'href="\1.html', _tables(body))
    body = body.replace('href="../tables/runs.md"', 'href="runs.html"')
    return render_template(
        "notebook", site, f"{source.stem}.html", title=title, description=lead[:300], body=Markup(body),
        headings=_headings(exporter, notebook), stamp=_notebook_stamp(notebook), before=before, after=after,
    )  # fmt: skip


def _tables(body: str) -> str:
    """Tables of notebooks as a reader wants them: no row numbers, numbers to the right, scrolled by keyboard too."""
    body = re.sub(r"<table.*?</table>", lambda found: _table(found[0]), body, flags=re.DOTALL)
    for kind, name in (("html", "Table"), ("png", "Figure")):
        opening = rf'<div class="(output_{kind}[^"]*)"'
        body = re.sub(opening, rf'<div class="\1" tabindex="0" role="region" aria-label="{name}"', body)
    return re.sub(r'<div class="output_markdown.*?</div>', lambda found: _scrolled(found[0]), body, flags=re.DOTALL)


def _scrolled(text: str) -> str:
    """A text whose tables scroll, and not the page."""
    wide = r'<div class="wide" tabindex="0" role="region" aria-label="Table">\g<0></div>'
    return re.sub(r"<table.*?</table>", wide, text, flags=re.DOTALL)


_NUMBER = r"[+\N{MINUS SIGN}]?\d[\d.,]*(?: ?%)?"
NUMBERS = re.compile(
    rf"{_NUMBER}(?: ± {_NUMBER})?(?:(?: to | of ){_NUMBER})?(?: \({_NUMBER} to {_NUMBER}\))?(?:, n = \d+)?|–|NaN"
)
"""What a cell of a column of numbers holds."""
NARROW = 18
"""Characters up to which a number stays on one line."""
LONG = 60
"""Characters from which a cell is text that wants room."""


def _table(table: str) -> str:
    head, opening, body = table.partition("<tbody>")
    numbers = re.findall(r"<tr>\s*<th>(\d+)</th>", body)
    if numbers and numbers == [str(n) for n in range(body.count("<tr>"))][: len(numbers)]:
        body = re.sub(r"(<tr>\s*)<th>\d+</th>", r"\1", body)
        head = re.sub(r"(<tr[^>]*>\s*)<th></th>", r"\1", head)
    body = re.sub(r"<td>-(?=\d)", "<td>\N{MINUS SIGN}", body).replace("<th>", '<th scope="row">')
    body = re.sub(r"(<td>[\d.,]+)%(?=</td>)", r"\1 %", body)
    rows = [re.findall(r"<td>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL)]
    columns = [[cell for cell in column if cell] for column in zip(*rows, strict=False)]
    right = [bool(column) and all(map(NUMBERS.fullmatch, column)) for column in columns]
    head = _one_row(head)
    texts = any(len(cell) >= LONG for column in columns for cell in column)
    titles = re.findall(r"<th>(.*?)</th>", head, re.DOTALL)[-len(right) :] if texts else []
    body = re.sub(r"<tr.*?</tr>", lambda row: _classes(row[0], "td", right, titles), body, flags=re.DOTALL)
    if texts:
        head = head.replace('class="dataframe"', 'class="text"', 1)
    head = re.sub(r"<tr.*?</tr>", lambda row: _classes(row[0], "th", right), head, flags=re.DOTALL)
    return re.sub(r"<th(?=[ >])", '<th scope="col"', head) + opening + body


def _one_row(head: str) -> str:
    """The head of a table whose second row names the index alone, in one row with those names."""
    rows = re.findall(r"<tr.*?</tr>", head, re.DOTALL)
    cells = [re.findall(r"<th>(.*?)</th>", row, re.DOTALL) for row in rows]
    if len(rows) != 2 or len(cells[0]) != len(cells[1]) or cells[1][-1]:
        return head
    merged = "".join(f"<th>{name or title}</th>" for title, name in zip(*cells, strict=True))
    return head.replace(rows[0], f"<tr>{merged}</tr>").replace(rows[1], "")


def _classes(row: str, tag: str, right: list[bool], titles: Sequence[str] = ()) -> str:
    """A row of a table whose cells of numbers and of long texts say so, and under which title they stand; the columns
    are the last cells of a row."""
    first = row.count(f"<{tag}>") - len(right)
    at = count(-max(0, first))

    def cell(found: re.Match[str]) -> str:
        number, text = next(at), found[1]
        numeric = 0 <= number < len(right) and right[number]
        kinds = ["num"] * numeric + ["wrap"] * (numeric and len(text) > NARROW) + ["long"] * (len(text) >= LONG)
        named = f' class="{" ".join(kinds)}"' if kinds else ""
        titled = f' data-title="{titles[number]}"' if 0 <= number < len(titles) else ""
        return f"<{tag}{named}{titled}>{text}</{tag}>"

    return re.sub(rf"<{tag}>(.*?)</{tag}>", cell, row, flags=re.DOTALL)


def _headings(exporter: HTMLExporter, notebook: nbformat.NotebookNode) -> list[tuple[int, str, str]]:
    """Level, anchor and text of every second- and third-level heading."""
    told = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    rendered = exporter.markdown2html({"output": {}}, told)
    found = re.findall(r'<h([23]) id="([^"]+)">(.*?)<a class="anchor-link"', rendered, re.DOTALL)
    return [
        (int(level), html.unescape(anchor), html.unescape(re.sub(r"<[^>]+>", "", text)))
        for level, anchor, text in found
    ]


def _notebook_stamp(notebook: nbformat.NotebookNode) -> str:
    stamp = notebook.metadata.get("fer", {})
    parameters = ", ".join(f"{name} = {value!r}" for name, value in stamp.get("parameters", {}).items())
    return (
        f"{stamp.get('source')} ({(stamp.get('source_blob') or '')[:10]}), {stamp.get('scale')} scale"
        f"{', ' + parameters if parameters else ''}; executed {stamp.get('executed')} "
        f"at commit {(stamp.get('commit') or 'unknown')[:10]}"
    )


def _first_sentence(text: str) -> str:
    """A text up to the end of its first sentence."""
    return re.split(r"(?<=[.?]) (?=[A-Z])", text)[0]


def _data(record: RunRecord) -> str:
    data = record.content["data"]
    return f"{dataset_title(data['name'])} (fingerprint {data['fingerprint'][:12]})"


def _brief(title: str) -> str:
    return title if len(title) <= 60 else f"{title[:57]}…"


def _module_figures(study: Study) -> dict[str, str]:
    """The figure of gains, wide and for a phone, and its caption."""
    control = ablation_table(study, claimed=False)
    shapes = {"figure": False, "tall": True}
    drawn = {name: inline_figure(module_figure(control, tall), module_words(control)) for name, tall in shapes.items()}
    return drawn | {"caption": module_caption(control)}


def inline_figure(figure: Figure, told: str) -> Markup:
    """A figure as part of a page, with its words for those who do not see it."""
    svg = plots.svg(figure).decode()
    return Markup(svg[svg.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{html.escape(told)}" ', 1))


@cache
def _datatables() -> tuple[str, str]:
    """DataTables with jQuery (MIT) as itables brings them along, and the name that jQuery bears in there."""
    script = (Path(itables.__file__).parent / "html" / "dt_bundle.js").read_text(encoding="utf-8")
    (exported,) = re.findall(r"export\s*\{([^}]*)\}", script)
    (name,) = re.findall(r"([\w$]+) as jQuery\b", exported)
    return script.replace("</script", "<\\/script"), name
