"""The committed report in a real browser: complete in itself, quiet, accessible, readable on a desk and on a phone."""

from urllib.parse import unquote, urlparse

import pytest
from axe_playwright_python.sync_playwright import Axe

from fer_lib.paths import results_dir

pytestmark = pytest.mark.heavy
REPORTS = results_dir() / "reports"
PAGES = sorted(REPORTS.glob("*.html"))
BEHIND = [page for kind in ("claims", "runs") for page in sorted((REPORTS / kind).glob("*.html"))]
WIDTHS = (1280, 768, 390)


@pytest.fixture(scope="module")
def page(browser):
    """One page for all addresses, which notes what went wrong since the last."""
    context = browser.new_context()
    page = context.new_page()
    page.wrong = []
    page.on("console", lambda line: page.wrong.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("request", lambda request: _note_request(page, request.url))
    yield page
    context.close()


def _note_request(page, url):
    address = urlparse(url)
    if address.scheme != "data" and unquote(address.path) != str(page.opened):
        page.wrong.append(f"request to {url}")


def visit(page, path, width=1280):
    page.opened, page.wrong[:] = path, []
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(path.as_uri())


def check(page, path):
    visit(page, path)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        found = page.evaluate("document.documentElement.scrollWidth")
        assert found <= width, f"{path.name} scrolls sideways at {width} px: {found}"
    assert page.title()
    assert page.locator("h1").count() == 1
    nameless = page.evaluate(
        """[...document.querySelectorAll('img, svg')].filter(figure => {
             const name = figure.getAttribute('alt') ?? figure.getAttribute('aria-label');
             return !name || name.startsWith('No description');
           }).length"""
    )
    assert nameless == 0, f"{path.name}: {nameless} figures without alternative text"
    broken = page.evaluate("[...document.images].filter(image => !image.naturalWidth).length")
    assert broken == 0, f"{path.name}: {broken} pictures do not show"
    assert page.wrong == [], path.name


def faults(page):
    """What axe-core calls serious or critical."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(v["id"], v["nodes"][0]["html"][:120]) for v in found if v["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_asks_for_nothing_outside_complains_of_nothing_fits_and_is_accessible(page, path):
    check(page, path)
    assert faults(page) == []


def test_the_pages_behind_the_numbers_do_too(page):
    assert len(BEHIND) > 100
    # They are of two templates: every eighth is opened, and every fortieth asked by axe-core, which takes seconds each.
    for path in BEHIND[::8]:
        check(page, path)
    for path in BEHIND[::40]:
        visit(page, path)
        assert faults(page) == [], path.name


def test_the_first_screen_holds_the_answer(page):
    visit(page, REPORTS / "index.html")
    for name in (".answer", "figure svg", "#sure"):
        box = page.locator(f"{name} >> visible=true").first.bounding_box()
        assert box["y"] + box["height"] <= 800, name
    assert page.locator("#papers").bounding_box()["y"] < 700


def test_claims_are_sorted_and_filtered_by_keyboard(page):
    visit(page, REPORTS / "claims.html")
    rows = "#claims tbody tr"
    shown = page.locator(rows).count()
    page.locator("select[data-column='9']").focus()
    page.keyboard.press("Home")  # all
    everything = page.locator(rows).count()
    assert everything > shown
    page.locator("select[data-column='0']").focus()
    page.keyboard.type("Zhang")
    assert set(page.locator(f"{rows} td:first-child").all_inner_texts()) == {"Zhang, Chen & Wei"}
    page.locator("select[data-column='0']").press("Home")
    page.locator("input[type=search]").focus()
    page.keyboard.type("SimAM")
    assert 0 < page.locator(rows).count() < everything
    page.locator("input[type=search]").fill("")
    page.locator("#claims thead th", has_text="printed").locator("[role=button], .dt-column-order").last.focus()
    page.keyboard.press("Enter")
    orders = "[...document.querySelectorAll('#claims tbody td[data-order]:nth-of-type(4)')].map(c => +c.dataset.order)"
    values = page.evaluate(orders)
    assert values == sorted(values)


def test_the_table_of_claims_is_read_without_javascript(browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((REPORTS / "claims.html").as_uri())
    assert page.locator("#claims tbody tr").count() > 150
    assert not page.locator(".filters").is_visible()
    context.close()
