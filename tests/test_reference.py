"""The reference: built from the docstrings, with every part in it and no reference of Sphinx left as it is."""

import html
import re
import subprocess
import sys

import pytest

from fer_lib.paths import ROOT

pytest.importorskip("pdoc")


@pytest.mark.heavy
def test_the_reference(tmp_path):
    subprocess.run([sys.executable, ROOT / "docs" / "reference.py", tmp_path], cwd=ROOT, check=True)
    pages = {page.relative_to(tmp_path).with_suffix("").as_posix(): page for page in tmp_path.rglob("*.html")}
    assert {"fer_lib/models/attention", "fer_lib/losses", "fer_lib/data/catalog", "fer_lib/predict"} <= pages.keys()
    cbam = html.unescape(re.sub(r"<[^>]*>", "", pages["fer_lib/models/attention"].read_text()))
    assert re.search(r"class\s+CBAM.*Arguments:\s+channels:\s+C\.", cbam, re.DOTALL)
    for name, page in pages.items():
        prose = "".join(re.findall(r'<div class="docstring">(.*?)</div>', page.read_text(), re.DOTALL))
        assert not (left := re.findall(r":(?:func|class|mod|meth|data|attr):", prose)), f"{name}: {left}"
    linked = re.findall(r'href="([^"#:]+\.html)', pages["fer_lib/training/loop"].read_text())
    assert linked
    for link in linked:
        assert (pages["fer_lib/training/loop"].parent / link).exists(), link
