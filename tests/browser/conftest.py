"""JupyterLab in a headless Chromium whose camera plays a film of drawn faces."""

import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from fer_lib.demo.example import example_picture
from fer_lib.paths import ROOT

NOTEBOOK = "08_webcam_demo.ipynb"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; CI installs one, elsewhere the test is left out where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    installers = [[sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"]]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        installers.append(["sh", "-c", "apt-get update -qq && apt-get install -y -qq chromium"])
    while True:
        with sync_api.sync_playwright() as playwright:
            found = [playwright.chromium.executable_path, *map(shutil.which, BROWSERS)]
        for path in found:
            if path and Path(path).exists():
                return path
        if not os.environ.get("CI") or not installers:
            pytest.skip("no Chromium: apt-get install chromium, or python -m playwright install chromium")
        subprocess.run(installers.pop(0), check=False)


@pytest.fixture(scope="session")
def film(tmp_path_factory) -> Path:
    """What the fake camera plays: two seconds of three faces in motion, one second of an empty wall."""
    path = tmp_path_factory.mktemp("film") / "faces.mjpeg"
    faces = example_picture()
    with open(path, "wb") as file:
        for number in range(90):
            moved = np.roll(faces, (number % 30, number % 20), (0, 1)) if number < 60 else np.full_like(faces, 200)
            jpeg = io.BytesIO()
            Image.fromarray(moved).save(jpeg, "JPEG", quality=85, subsampling="4:2:0")
            file.write(jpeg.getvalue())
    return path


@pytest.fixture(scope="session")
def lab_results(tmp_path_factory, weight_files) -> Path:
    """The results that the kernels see: the weight file ``tiny``, and the same net as ``twin``."""
    results = tmp_path_factory.mktemp("results")
    folder = shutil.copytree(weight_files, results / "checkpoints")
    for suffix in (".md", ".safetensors"):
        shutil.copy(folder / f"tiny{suffix}", folder / f"twin{suffix}")
    return results


@pytest.fixture(scope="session")
def lab(tmp_path_factory, lab_results):
    """A running JupyterLab: its address, and the folder it shows, which holds the notebook."""
    home = tmp_path_factory.mktemp("lab")
    shown, config = home / "shown", home / "config"
    shown.mkdir()
    notebook = nbformat.read(ROOT / "notebooks" / NOTEBOOK, 4)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source += f"\nMODEL = 'tiny'\nPIPELINE = 0\nFOLDER = {str(shown / 'photos')!r}"
    nbformat.write(notebook, shown / NOTEBOOK)
    (config / "labconfig").mkdir(parents=True)
    (config / "labconfig" / "default_setting_overrides.json").write_text(
        '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false},'
        ' "@jupyterlab/docmanager-extension:plugin": {"autosave": false}}'
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "FER_RESULTS": str(lab_results),
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    with open(home / "log", "w") as log:
        server = subprocess.Popen(
            [
                sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root",
                "--IdentityProvider.token=", "--ServerApp.password=", "--LabApp.expose_app_in_browser=True",
                "--LabApp.extension_manager=readonly", f"--ServerApp.root_dir={shown}",
            ],
            env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/api", server, home / "log")
            yield address, shown
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_for(address: str, server: subprocess.Popen, log: Path, seconds: float = 180) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def browser(chromium, film):
    """A headless Chromium whose camera plays the film."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-video-capture={film}",
                "--autoplay-policy=no-user-gesture-required",
            ],
        )
        yield started
        started.close()
