"""`fer demo`: the camera alone, a page without code whose address holds a token."""

import os
import re
import socket
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.heavy
PATIENCE = 150_000  # ms


@pytest.fixture
def address(tmp_path, weight_files):
    """The page's address as the command prints it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "FER_RESULTS": str(weight_files.parent),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYTHONUNBUFFERED": "1",
    }
    with open(tmp_path / "log", "w") as log:
        command = [sys.executable, "-m", "fer_lib.cli", "demo", "--no-browser", "--port", str(port)]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            until = time.monotonic() + 180
            while server.poll() is None and time.monotonic() < until:
                if found := re.search(r"http://127\.0\.0\.1:\d+/\?token=\w+", (tmp_path / "log").read_text()):
                    yield found[0]
                    break
                time.sleep(0.3)
            else:
                pytest.fail((tmp_path / "log").read_text()[-2000:])
        finally:
            os.killpg(server.pid, 15)
            server.wait(30)


def test_one_button_starts_the_camera(browser, address):
    context = browser.new_context(permissions=["camera"])
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    refused = page.goto(address.partition("?")[0])
    assert refused.status in (401, 403) or "token" in page.url or "login" in page.url
    page.goto(address)
    page.get_by_role("button", name="Start camera").click()
    page.wait_for_function("Number(document.querySelector('.fer-camera').dataset.answered) >= 5")
    assert page.locator(".jp-CodeCell .jp-InputArea, .highlight").count() == 0
    assert "import" not in page.locator("body").inner_text()
    page.get_by_role("button", name="Stop", exact=True).click()
    context.close()
