"""Pages: everything inside the file, every link resolves, and what is committed is fresh, real and small."""

import html
import re
from collections import deque
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pandas as pd
import pytest

from fer_lib.paths import ROOT, results_dir
from fer_lib.report import front, pages, run_pages
from fer_lib.report.notebooks import NOTEBOOKS, git_blob, list_notebooks, runs_digest
from fer_lib.runs import read_record
from fer_lib.study.results import Study

EXECUTED = results_dir() / "executed"
REPORTS = results_dir() / "reports"
MACHINE_PATH = re.compile(r"(?:/root|/home|/work|/tmp|/Users)/\w+")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


class _Page(HTMLParser):
    """Collects what a page would load, its anchors and its pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads, self.links, self.ids, self.images = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        if tag == "a":
            self.links.append(attrs.get("href", ""))
        elif tag in ("img", "script", "link", "iframe", "source", "video"):
            self.loads += [value for name, value in attrs.items() if name in ("src", "href") and value]
        if tag == "img":
            self.images.append(attrs)


def problems(text: str) -> list[str]:
    text = re.sub(r"(<script[^>]*>).*?(</script>)", r"\1\2", text, flags=re.DOTALL)
    page = _Page(text)
    outside = [load[:60] for load in page.loads if not load.startswith("data:")]
    outside += re.findall(r"@import[^;]*|url\((?!data:|#)[^)]*\)", text)
    dangling = [link for link in page.links if link.startswith("#") and link[1:] not in page.ids]
    silent = ["img without alt" for image in page.images if not image.get("alt")]
    return outside + dangling + silent


@pytest.fixture
def executed(tmp_path) -> Path:
    figure = nbformat.v4.new_output("display_data", {"image/png": PIXEL})
    table = nbformat.v4.new_output(
        "display_data", {"text/html": "<table><thead><tr><th>a</th></tr></thead><tbody></tbody></table>"}
    )
    stderr = nbformat.v4.new_output("stream", name="stderr", text="a warning of this machine")
    cells = [
        nbformat.v4.new_markdown_cell("# Title\n\nLead.\n\n## Part *one*\n\n### Sub & part"),
        nbformat.v4.new_code_cell("show()", outputs=[figure, stderr], metadata={"alt": "one grey pixel"}),
        nbformat.v4.new_code_cell("show()", outputs=[table], metadata={"caption": "a < b"}),
    ]
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"fer": {"source": "notebooks/x.ipynb", "scale": "smoke"}}
    )
    nbformat.write(notebook, tmp_path / "x.ipynb")
    return tmp_path / "x.ipynb"


@pytest.fixture
def site(tmp_path) -> pages.Site:
    """A report of nothing but notebooks."""
    return pages.Site(tmp_path / "reports", None)


def test_page_stands_alone(executed, site):
    text = pages.render_page(executed, site.about)
    assert problems(text) == []
    page = _Page(text)
    assert [image["alt"] for image in page.images] == ["one grey pixel"]
    assert PIXEL in page.images[0]["src"]
    assert {"#Part-one", "#Sub-&-part"} <= set(page.links)
    assert "<title>Title ·" in text
    assert "smoke scale" in text
    assert "a warning of this machine" not in text
    assert 'class="figcaption">one grey pixel</p>' in text
    assert "<caption>a &lt; b</caption><thead>" in text


LIVE = "<script>alert(1)</script>"


@pytest.fixture
def hostile(tmp_path) -> Path:
    """Markup wherever a notebook's author, a parameter or a name can put text."""
    cells = [
        nbformat.v4.new_markdown_cell(f"# Title `{LIVE}`\n\nLead `{LIVE}`.\n\n## Part `{LIVE}` & more"),
        nbformat.v4.new_code_cell(f"NAME = '{LIVE}'", outputs=[nbformat.v4.new_output("stream", text=LIVE)]),
    ]
    stamp = {"source": LIVE, "scale": "smoke", "parameters": {"NAME": LIVE}, "executed": LIVE}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"fer": stamp})
    nbformat.write(notebook, tmp_path / "x.ipynb")
    return tmp_path / "x.ipynb"


def test_text_is_never_markup(hostile, site):
    text = pages.render_page(hostile, site.about)
    assert "alert(1)" in text
    assert "<script" not in text
    page = _Page(text)
    assert [link for link in page.links if link.startswith("#") and link[1:] not in page.ids] == []


def test_the_front_page_escapes_titles(hostile, site):
    site.front([hostile])
    text = site.pages[-1].read_text()
    assert "alert(1)" in text
    assert "<script" not in text


def test_the_check_itself_sees_a_page_that_reaches_out():
    assert problems('<img src="https://example.org/a.png" alt="x">')
    assert problems('<style>@import "x.css";</style>')
    assert problems('<a href="#nowhere">x</a>')
    assert problems(f'<img src="data:image/png;base64,{PIXEL}">')


def test_an_unchanged_notebook_is_not_rendered_again(executed, site, monkeypatch):
    site.notebook(executed, None, None)
    written = site.pages[-1].stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(pages, "render_page", None)  # calling it would fail
        site.notebook(executed, None, None)
    assert site.pages[-1].stat().st_mtime_ns == written
    notebook = nbformat.read(executed, 4)
    notebook.cells[0].source += "\n\nMore."
    nbformat.write(notebook, executed)
    site.notebook(executed, None, None)
    assert "More." in site.pages[-1].read_text()


def test_an_unchanged_page_keeps_its_time_and_a_page_of_no_run_goes(site):
    site.write("runs/a.html", "one")
    site.write("runs/b.html", "two")
    written = (site.folder / "runs/a.html").stat().st_mtime_ns
    again = pages.Site(site.folder, None)
    again.write("runs/a.html", "one")
    again.sweep()
    assert (site.folder / "runs/a.html").stat().st_mtime_ns == written
    assert not (site.folder / "runs/b.html").exists()


def test_a_further_run_writes_its_own_page_and_leaves_those_of_the_others(tmp_path, monkeypatch):
    names = ("narrow-eca-", "narrow-se-", "narrow-simam-")
    records = [read_record(next((results_dir() / "runs").glob(f"{name}*"))) for name in names]
    nothing = pd.DataFrame({"claim": [], "runs": []}, dtype=str)
    monkeypatch.setattr(run_pages, "claim_table", lambda study: nothing)  # the real one takes seconds
    times = []
    for count in (2, 3):
        study = Study(records[:count])
        site = pages.Site(tmp_path, study)
        for name, runs in run_pages.trainings(study).items():
            site.page("run", name, **run_pages.training_context(runs, study))
        times.append({path.name: path.stat().st_mtime_ns for path in site.pages})
    assert len(times[1]) == 3
    assert times[0].items() < times[1].items()


def test_a_papers_card_counts_the_numbers_that_have_a_verdict():
    counts = pd.Series({"not run": 4, "not testable": 3, "undecided": 2})
    assert front._card_verdict(["not run", "undecided"], counts, "") == "Not run yet; undecided; 2 of 9 numbers judged"
    assert front._card_verdict(["undecided"], counts[2:], "").endswith("; 2 of 2 numbers judged")


def test_numbers_stand_to_the_right_where_their_column_has_nothing_else():
    def table(*rows):
        cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        return pages._table(f"<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody>{cells}</tbody></table>")

    text = table(("300", "-1.5"), ("cosine", "61.2 ± 0.4, n = 3"), ("", "0.1 (−0.2 to +0.4)"))
    assert '<th scope="col">a</th><th scope="col" class="num">b</th>' in text
    assert '<td>300</td><td class="num">\N{MINUS SIGN}1.5</td>' in text
    assert '<td class="num">61.2 ± 0.4, n = 3</td>' in text
    assert f'<td class="long" data-title="a">{"word " * 20}</td>' in table(("word " * 20, "1"))


def test_the_name_of_the_rows_stands_in_the_one_row_of_headings():
    text = pages._table(
        "<table><thead><tr><th></th><th>a</th></tr><tr><th>class</th><th></th></tr></thead>"
        "<tbody><tr><th>x</th><td>1</td></tr></tbody></table>"
    )
    assert text.count("<tr>") == 2
    assert '<th scope="col">class</th><th scope="col" class="num">a</th>' in text


def test_tables_of_notebooks_lose_row_numbers_and_keep_names():
    numbered = pages._table(
        "<table><thead><tr><th></th><th>a</th></tr></thead><tbody><tr><th>0</th><td>1.5</td></tr></tbody></table>"
    )
    assert "<th>0</th>" not in numbered
    assert '<td class="num">1.5</td>' in numbered
    assert '<th scope="col" class="num">a</th>' in numbered
    named = pages._table(
        "<table><thead><tr><th></th><th>a</th></tr></thead><tbody><tr><th>x</th><td>b</td></tr></tbody></table>"
    )
    assert '<th scope="row">x</th>' in named


# ---------------------------------------------------------------- what is committed


def committed() -> list[Path]:
    return sorted(REPORTS.rglob("*.html"))


@pytest.mark.parametrize("name", list_notebooks())
def test_committed_copy_is_fresh_real_and_small(name):
    path = EXECUTED / f"{name}.ipynb"
    assert path.exists(), "run `make report`"
    stamp = nbformat.read(path, 4).metadata.fer
    assert stamp.source_blob == git_blob(NOTEBOOKS / f"{name}.ipynb"), "the source changed: run `make report`"
    assert stamp.runs == runs_digest(), "results/runs changed: run `make report`"
    assert stamp.scale == "paper"
    assert not MACHINE_PATH.findall(path.read_text())
    assert path.stat().st_size <= 1_000_000


def test_every_committed_page_stands_alone_is_small_and_tells_what_it_is():
    assert {f"{name}.html" for name in list_notebooks()} < {path.name for path in committed()}, "run `make report`"
    for path in committed():
        text = path.read_text()
        assert problems(text) == [], path
        assert not MACHINE_PATH.findall(text), path
        assert path.stat().st_size <= 1_000_000, path
        assert re.search(r"<title>[^<]{10,}</title>", text), path
        assert '<meta name="description" content="' in text, path


def test_every_link_of_every_page_leads_somewhere():
    ids = {path: _Page(path.read_text()).ids for path in committed()}
    for path in committed():
        for link in _Page(path.read_text()).links:
            name, _, anchor = link.partition("#")
            target = (path.parent / unquote(name)).resolve() if name else path
            assert target.exists(), f"{path.name}: {link}"
            assert not anchor or unquote(anchor) in ids[target], f"{path.name}: {link}"


def test_the_front_page_links_a_notebook_only_where_its_page_is(monkeypatch):
    row = {"split": "picture_10fold", "inflation": 44.8, "accuracy": 99.3, "system": "Nearest neighbour, raw pixels"}
    monkeypatch.setattr(front, "protocol_audit", lambda study: pd.DataFrame([row]))
    there, absent = (front.how_sure(Study(), page)["Strong"] for page in (True, False))
    assert f"<a href='{front.CKPLUS_PAGE}'>45 points</a> (Nearest neighbour: 54.5 → 99.3 %)" in there
    assert front.CKPLUS_PAGE not in absent
    assert "are worth 45 points (Nearest" in absent


def test_a_wide_table_of_a_text_scrolls_by_itself():
    body = '<div class="output_markdown x"><p>Told.</p><table><tr><td>1</td></tr></table></div><p>Next</p>'
    made = pages._tables(body)
    assert '<p>Told.</p><div class="wide" tabindex="0" role="region" aria-label="Table"><table' in made
    assert made.endswith("</table></div></div><p>Next</p>")


def test_a_claims_page_stays_where_it_is():
    assert (REPORTS / "claims" / "gu-ckplus-psa_joint.html").exists()


def test_from_the_front_page_every_run_record_is_three_clicks_away():
    start = REPORTS / "index.html"
    clicks, queue = {start: 0}, deque([start])
    while queue:
        path = queue.popleft()
        if path.suffix != ".html" or clicks[path] == 3:
            continue
        for link in _Page(path.read_text()).links:
            target = (path.parent / unquote(link.partition("#")[0])).resolve() if link.partition("#")[0] else path
            if target not in clicks:
                clicks[target] = clicks[path] + 1
                queue.append(target)
    records = sorted((results_dir() / "runs").glob("*/run.json"))
    assert len(records) >= 10
    assert [path for path in records if path.resolve() not in clicks] == []


def test_the_front_page_gives_the_answer_that_the_readme_gives():
    readme = (ROOT / "README.md").read_text()
    (answer,) = re.findall(r"<!-- answer: .*?-->\s+(.+?)\s+<!-- answer: end -->", readme, re.DOTALL)
    shown = html.unescape(re.sub(r"<[^>]+>", "", (REPORTS / "index.html").read_text()))
    for paragraph in re.split(r"\n+(?:- )?", answer.replace("**", "")):
        assert paragraph in shown
