"""Pages: everything inside the file, and what is committed is fresh, real and small."""

import html
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

from fer_lib.paths import ROOT
from fer_lib.report.notebooks import NOTEBOOKS, git_blob, list_notebooks, runs_digest
from fer_lib.report.pages import _index, render_page

EXECUTED = ROOT / "results" / "executed"
REPORTS = ROOT / "results" / "reports"
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
    page = _Page(text)
    outside = [load[:60] for load in page.loads if not load.startswith("data:")]
    outside += re.findall(r"@import[^;]*|url\((?!data:|#)[^)]*\)", text)
    dangling = [link for link in page.links if link.startswith("#") and link[1:] not in page.ids]
    silent = ["img without alt" for image in page.images if not image.get("alt")]
    return outside + dangling + silent


@pytest.fixture
def executed(tmp_path) -> Path:
    figure = nbformat.v4.new_output("display_data", {"image/png": PIXEL})
    stderr = nbformat.v4.new_output("stream", name="stderr", text="a warning of this machine")
    cells = [
        nbformat.v4.new_markdown_cell("# Title\n\nLead.\n\n## Part *one*\n\n### Sub & part"),
        nbformat.v4.new_code_cell("show()", outputs=[figure, stderr], metadata={"alt": "one grey pixel"}),
    ]
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"fer": {"source": "notebooks/x.ipynb", "scale": "smoke"}}
    )
    nbformat.write(notebook, tmp_path / "x.ipynb")
    return tmp_path / "x.ipynb"


def test_page_stands_alone(executed):
    text = render_page(executed)
    assert problems(text) == []
    page = _Page(text)
    assert [image["alt"] for image in page.images] == ["one grey pixel"]
    assert PIXEL in page.images[0]["src"]
    assert {"#Part-one", "#Sub-&-part"} <= set(page.links)
    assert "<title>Title</title>" in text
    assert "smoke scale" in text
    assert "a warning of this machine" not in text


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


def test_text_is_never_markup(hostile):
    text = render_page(hostile)
    assert "alert(1)" in text
    assert "<script" not in text
    page = _Page(text)
    assert [link for link in page.links if link.startswith("#") and link[1:] not in page.ids] == []


def test_the_index_escapes_titles_and_stamps(hostile):
    text = _index([hostile], "smoke")
    assert "alert(1)" in text
    assert "<script" not in text


def test_the_check_itself_sees_a_page_that_reaches_out():
    assert problems('<img src="https://example.org/a.png" alt="x">')
    assert problems('<style>@import "x.css";</style>')
    assert problems('<a href="#nowhere">x</a>')
    assert problems(f'<img src="data:image/png;base64,{PIXEL}">')


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


@pytest.mark.parametrize("name", [*list_notebooks(), "index"])
def test_committed_page_stands_alone_and_is_small(name):
    path = REPORTS / f"{name}.html"
    assert path.exists(), "run `make report`"
    text = path.read_text()
    assert problems(text) == []
    assert not MACHINE_PATH.findall(text)
    assert path.stat().st_size <= 1_000_000


def test_index_leads_to_every_page():
    links = _Page((REPORTS / "index.html").read_text()).links
    assert {f"{name}.html" for name in list_notebooks()} <= set(links)


def test_index_gives_the_answer_that_the_readme_gives():
    readme = (ROOT / "README.md").read_text()
    (answer,) = re.findall(r"<!-- answer: .*?-->\s+(.+?)\s+<!-- answer: end -->", readme, re.DOTALL)
    assert f"<p>{answer}</p>" in html.unescape((REPORTS / "index.html").read_text())
