"""The committed report in a real browser: complete in itself, quiet, and readable on a desk and on a phone."""

from urllib.parse import urlparse

import pytest

from fer_lib.paths import ROOT

pytestmark = pytest.mark.heavy
PAGES = sorted((ROOT / "results" / "reports").glob("*.html"))


@pytest.mark.parametrize("page_path", PAGES, ids=lambda path: path.stem)
@pytest.mark.parametrize("width", [1200, 390])
def test_a_page_asks_for_nothing_outside_complains_of_nothing_and_fits(browser, page_path, width):
    context = browser.new_context(viewport={"width": width, "height": 900})
    page, wrong = context.new_page(), []
    page.on("console", lambda line: wrong.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))

    def check(request):
        address = urlparse(request.url)
        if address.scheme != "data" and address.path != str(page_path):
            wrong.append(f"request to {request.url}")

    page.on("request", check)
    page.goto(page_path.as_uri())
    assert page.title()
    assert page.locator("h1").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    nameless = page.evaluate(
        """[...document.querySelectorAll('img, svg')].filter(figure => {
             const name = figure.getAttribute('alt') ?? figure.getAttribute('aria-label');
             return !name || name.startsWith('No description');
           }).length"""
    )
    assert nameless == 0, f"{nameless} figures without alternative text"
    broken = page.evaluate("[...document.images].filter(image => !image.naturalWidth).length")
    assert broken == 0, f"{broken} pictures do not show"
    context.close()
    assert wrong == []


@pytest.mark.parametrize("page_path", PAGES, ids=lambda path: path.stem)
def test_every_link_leads_somewhere(browser, page_path):
    context = browser.new_context()
    page = context.new_page()
    page.goto(page_path.as_uri())
    for address in page.evaluate("[...document.querySelectorAll('a[href]')].map(link => link.getAttribute('href'))"):
        if address.startswith("#"):
            assert page.evaluate("name => document.getElementById(name) !== null", address[1:]), address
        else:
            assert (page_path.parent / address).exists(), address
    context.close()


def test_a_comparison_is_seen_whole_on_a_desk(browser):
    """Its last column is the reading, which nobody should have to scroll to."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.goto((ROOT / "results" / "reports" / "06_ablations.html").as_uri())
    tables = "[...document.querySelectorAll('.output_html')].filter(output => output.querySelector('table'))"
    assert page.evaluate(f"{tables}.length") >= 3
    assert page.evaluate(f"{tables}.filter(output => output.scrollWidth > output.clientWidth).length") == 0
    context.close()
