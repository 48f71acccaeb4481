"""The webcam notebook in a real JupyterLab and a real browser: a reader's whole visit, and all that may go wrong."""

import csv
import io
from urllib.parse import urlparse

import av
import numpy as np
import pytest
from PIL import Image

from fer_lib.demo.example import example_picture

pytestmark = pytest.mark.heavy
PATIENCE = 120_000  # ms; what is tested is that things happen, not how fast

# Keeps every track of the camera, so that the test sees whether it was really released. The one fake camera stands for
# every one that is chosen.
KEEP_TRACKS = """
window.tracks = [];
const original = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async ({ video }) => {
  if (window.refusal) throw new DOMException("refused", window.refusal);
  const { deviceId, ...wanted } = video;
  window.chosen = deviceId?.exact;
  const stream = await original({ video: wanted });
  window.tracks.push(...stream.getTracks());
  return stream;
};
"""


class Visit:
    """A page with the notebook, and what was noticed on it."""

    def __init__(self, context, address):
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.address = address
        self.wrong: list[str] = []
        self.page.on("console", lambda line: self.wrong.append(line.text) if line.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self._check(request.url))
        self.page.on("websocket", self._watch)
        self.sent = 0  # live pictures
        self.page.add_init_script(KEEP_TRACKS)
        self.page.goto(f"{address}/lab/tree/08_webcam_demo.ipynb")

    def _check(self, url):
        if urlparse(url).scheme not in ("data", "blob") and urlparse(url).hostname != "127.0.0.1":
            self.wrong.append(f"request to {url}")

    def _watch(self, socket):
        self._check(socket.url)
        socket.on("framesent", self._count)

    def _count(self, payload):
        self.sent += b'"type":"frame"' in (payload.encode() if isinstance(payload, str) else payload)

    def command(self, name):
        self.page.evaluate("name => window.jupyterapp.commands.execute(name)", name)

    def wait(self, condition, argument=None):
        """Wait until a JavaScript condition holds, which may use the notebook's `session`; a dying kernel ends it."""
        self.page.wait_for_function(
            f"""argument => {{
              const session = window.jupyterapp?.shell.currentWidget?.sessionContext;
              if (session && !window.watched) {{
                window.watched = true;
                session.statusChanged.connect((_, status) => {{ window.died ||= status === 'autorestarting'; }});
              }}
              if (window.died) throw new Error('the kernel died');
              return {condition};
            }}""",
            arg=argument,
        )

    def kernel_idle(self):
        self.wait("session?.session?.kernel?.status === 'idle'")

    def run_all(self):
        self.kernel_idle()
        self.command("notebook:run-all-cells")
        self.wait("document.querySelector('.fer-camera')")
        self.kernel_idle()

    def until(self, condition, argument=None):
        """Wait until a JavaScript condition on the widget's root element holds."""
        self.wait(f"(root => root && ({condition}))(document.querySelector('.fer-camera'))", argument)

    def status(self, words):
        self.until("root.querySelector('[role=status]').textContent.includes(argument)", words)

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def start(self):
        self.press("Start camera")
        self.until("root.dataset.state === 'running'")
        before = self.page.evaluate("Number(document.querySelector('.fer-camera').dataset.answered ?? 0)")
        self.until("Number(root.dataset.answered) > argument", before)

    def hear(self):
        """Keep from now on what the line below the buttons says, in `heard`."""
        self.page.evaluate(
            """() => {
              window.heard = [];
              const line = document.querySelector('.fer-camera [role=status]');
              new MutationObserver(() => window.heard.push(line.textContent)).observe(line, { childList: true });
            }"""
        )

    def released(self):
        """Wait until every camera that was ever opened has been let go."""
        self.wait("tracks.length && tracks.every(track => track.readyState === 'ended')")


@pytest.fixture(scope="module")
def visit(browser, lab):
    context = browser.new_context(permissions=["camera"], viewport={"width": 1200, "height": 1000})
    visit = Visit(context, lab[0])
    visit.run_all()
    yield visit
    context.close()


@pytest.fixture
def shown(lab):
    return lab[1]


def test_a_visit(visit, shown):
    page = visit.page
    assert "nowhere else. Nothing is stored unless you press Save" in page.locator(".fer-camera").inner_text()
    visit.start()
    visit.until("Number(root.dataset.answered) >= 10")
    visit.until("Number(root.dataset.boxes) >= 1")
    pixels = "canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data"
    visit.wait(f"(canvas => {pixels}.some(value => value))(document.querySelector('.fer-stage canvas'))")
    visit.until("[...root.querySelectorAll('.fer-share')].some(share => parseInt(share.textContent) > 0)")
    assert page.locator(".fer-share").count() == 7
    visit.until("/^net: tiny$/m.test(root.innerText)")
    visit.until("/[0-9.]+ pictures\\/s, \\d+ ms/.test(root.textContent)")
    visit.status("No face found")  # the film has a second without faces
    visit.until("Number(root.dataset.boxes) >= 2")  # and two with three

    visit.press("Take photo")
    visit.until("root.querySelector('.fer-still img').naturalWidth === 640")
    assert not (shown / "photos").exists(), "stored without being asked"
    visit.press("Save")
    visit.until(f"root.querySelector('.fer-still').textContent.includes('saved as {shown}/photos/photo-')")
    (photo,) = (shown / "photos").iterdir()
    assert Image.open(photo).size == (640, 480)

    visit.hear()
    page.get_by_label("show where the net looks (Grad-CAM)").check()
    visit.until("root.dataset.heat === 'shown'")
    heard = page.evaluate("window.heard")
    loading = [i for i, line in enumerate(heard) if "Loading what the heat map needs" in line]
    assert loading
    assert not [line for line in heard[loading[0] :] if "busy" in line]
    page.get_by_label("mirror").uncheck()

    visit.press("Stop")
    visit.released()
    assert page.evaluate("document.querySelector('.fer-stage video').srcObject") is None
    assert visit.wrong == []


def upload(visit, name, content):
    visit.page.locator(".fer-camera input[type=file]").set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": content}
    )


def slide(visit, label, key, times, shown):
    """Move a slider by keyboard."""
    slider = visit.page.get_by_label(label)
    for _ in range(times):
        slider.press(key)
    visit.until("[...root.querySelectorAll('output')].some(output => output.textContent.includes(argument))", shown)


# After every answer: the line read aloud, the words drawn on the boxes, the bars, and how many boxes there are.
WATCH = """root => {
  window.seen = [];
  new MutationObserver(() => window.seen.push({
    status: root.querySelector('[role=status]').textContent,
    words: JSON.parse(root.dataset.words),
    boxes: Number(root.dataset.boxes),
    bars: [...root.querySelectorAll('.fer-share')].map(share => share.textContent),
    names: [...root.querySelectorAll('.fer-bars > :nth-child(3n + 1)')].map(name => name.textContent),
  })).observe(root, { attributeFilter: ['data-answered'] });
}"""


def test_words_bars_and_boxes_agree_in_a_hundred_pictures(visit):
    slide(visit, "not sure below", "ArrowLeft", 4, "20 %")
    slide(visit, "smoothing", "ArrowRight", 1, "0.6 s")
    visit.page.locator(".fer-camera").evaluate(WATCH)
    visit.start()
    visit.wait("window.seen.length >= 100")
    visit.press("Stop")
    seen = visit.page.evaluate("window.seen")
    assert {bool(one["boxes"]) for one in seen} == {True, False}, "the film shows faces and an empty wall"
    for one in seen:
        assert len(one["words"]) == one["boxes"]
        if not one["boxes"]:
            assert one["status"].startswith("No face found")
            assert set(one["bars"]) == {"–"}
            continue
        shares = [int(share.removesuffix(" %")) for share in one["bars"]]
        first = one["words"][0]
        assert first.startswith("not sure") == (max(shares) < 20) or abs(max(shares) - 20) <= 1
        if not first.startswith("not sure"):
            name, share, _ = first.split()
            assert shares[one["names"].index(name)] == int(share) == max(shares)
        said = one["status"].rpartition("faces: ")[2].split(", ")
        assert said == [words.rstrip("0123456789 %") for words in one["words"]]
    visit.until("[...root.querySelectorAll('.fer-share')].every(share => share.textContent === '–')")
    visit.until("root.dataset.boxes === '0'")


def test_a_visit_with_two_nets_is_charted_and_recorded(visit):
    beside = visit.page.get_by_label("second model")
    beside.focus()
    beside.press("End")
    visit.page.get_by_role("button", name="Start camera").press("Enter")
    visit.until("root.dataset.words.includes(' | ')")
    visit.until("/^net: tiny; beside it: twin$/m.test(root.innerText)")
    visit.until(
        "[...root.querySelectorAll('.fer-share')].every(share => /\\d+ % \\| \\d+ %|–/.test(share.textContent))"
    )
    line = "chart => chart.getContext('2d').getImageData(0, 0, chart.width, chart.height).data.some(value => value)"
    visit.until(f"({line})(root.querySelector('.fer-chart'))")
    visit.press("Record")
    visit.until("root.dataset.boxes === '0'")
    visit.until("Number(root.dataset.boxes) >= 2")
    with visit.page.expect_download() as download:
        visit.press("Stop recording")
    visit.press("Stop")
    visit.until(f"!({line})(root.querySelector('.fer-chart'))")
    beside.press("Home")
    head, *rows = csv.reader(download.value.path().read_text().splitlines())
    assert head[:8] == ["time", "face", "net", "word", "left", "top", "width", "height"]
    assert head[8:] == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert {len(row) for row in rows} == {15}
    first, second = ([row for row in rows if row[2] == name] for name in ("tiny", "twin"))
    assert len(first) == len(second) > 0
    assert all(sum(map(float, row[8:])) == pytest.approx(1, abs=0.01) for row in rows)
    visit.until("!root.textContent.includes('beside it')")


def test_what_the_camera_cannot_do_is_said_on_a_card(visit):
    summary = visit.page.locator(".fer-camera summary")
    card = visit.page.locator(".fer-camera details")
    assert not card.get_by_text("Base no decision").is_visible()
    summary.press("Enter")
    card.get_by_text("Base no decision about a person on it").wait_for()
    summary.press("Enter")


def test_a_large_photo_is_reduced_in_the_browser(visit):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (3000, 4000, 3), np.uint8)
    noise[800:2240, 1000:2920] = np.asarray(Image.fromarray(example_picture()).resize((1920, 1440)))
    large = io.BytesIO()
    Image.fromarray(noise).save(large, "JPEG", quality=97)
    assert len(large.getvalue()) > 8e6
    upload(visit, "phone.jpg", large.getvalue())
    visit.until("root.querySelector('.fer-still').textContent.match(/faces|face|sure/)")
    visit.until("root.querySelector('.fer-still img').naturalWidth === 1280")
    heic = b"\0\0\0\x18ftypheic" + bytes(9_000_000)
    upload(visit, "phone.heic", heic)
    visit.status("phone.heic is a HEIC picture, which is not read here: save it as JPEG")


def test_a_video_file_is_looked_at_like_a_camera(visit):
    film = io.BytesIO()
    with av.open(film, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=2, width=640, height=480)
        for _ in range(50):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(example_picture(), format="rgb24")))
        container.mux(stream.encode())
    before = visit.page.evaluate("Number(document.querySelector('.fer-camera').dataset.answered ?? 0)")
    visit.page.locator(".fer-camera input[type=file]").set_input_files(
        {"name": "clip.webm", "mimeType": "video/webm", "buffer": film.getvalue()}
    )
    visit.until("Number(root.dataset.answered) > argument && root.dataset.boxes === '3'", before)
    visit.press("Take photo")
    visit.until("root.querySelectorAll('.fer-gallery button').length >= 2")
    visit.page.locator(".fer-gallery button").first.focus()
    visit.page.keyboard.press("Enter")
    shown = "root.querySelector('.fer-still img').src === root.querySelector('.fer-gallery img').src"
    visit.until(shown)
    visit.status("clip.webm has ended")
    visit.until("root.dataset.boxes === '0'")


def test_a_chosen_picture(visit):
    png = io.BytesIO()
    Image.fromarray(np.pad(example_picture(), ((10, 10), (0, 0), (0, 0)))).save(png, "PNG")
    upload(visit, "faces.png", png.getvalue())
    visit.status("3 faces: ")
    visit.until("root.querySelector('.fer-still img').naturalHeight === 500")
    upload(visit, "broken.png", b"\x89PNG\r\n\x1a\nnot a picture")
    visit.status("broken.png: not a readable picture")
    assert visit.wrong == []


REFUSALS = {
    "NotFoundError": "No camera was found",
    "NotReadableError": "The camera is busy",
    "OverconstrainedError": "The chosen camera is gone",
    "AbortError": "The camera could not be started: refused",
}


def test_a_camera_that_does_not_start_says_why(visit):
    page = visit.page
    for refusal, words in REFUSALS.items():
        page.evaluate("name => { window.refusal = name }", refusal)
        visit.press("Start camera")
        visit.status(words)
        visit.until("root.dataset.state === 'stopped' && !root.querySelector('button').disabled")
    page.evaluate("window.refusal = null")

    page.context.clear_permissions()
    visit.press("Start camera")
    visit.status("The browser did not allow the camera")
    page.context.grant_permissions(["camera"])

    page.evaluate("Object.defineProperty(navigator, 'mediaDevices', { value: undefined, configurable: true })")
    visit.press("Start camera")
    visit.status("on localhost and https pages only")
    page.evaluate("delete navigator.mediaDevices")

    page.evaluate("document.body.dataset.vscodeThemeKind = 'vscode-light'")
    visit.press("Start camera")
    visit.status("VS Code shows notebooks in a frame that has no camera. Type fer demo")
    page.evaluate("delete document.body.dataset.vscodeThemeKind")
    visit.start()
    visit.press("Stop")


def test_a_camera_is_chosen(visit):
    cameras = visit.page.get_by_label("camera", exact=True)
    visit.start()
    assert cameras.is_hidden(), "of one camera there is no choice"
    visit.press("Stop")
    visit.page.evaluate(
        """() => {
          const two = ['front', 'back'].map(label => ({ kind: 'videoinput', deviceId: label, label }));
          const found = { value: async () => two, configurable: true };
          Object.defineProperty(navigator.mediaDevices, 'enumerateDevices', found);
        }"""
    )
    visit.start()
    cameras.wait_for()
    cameras.select_option("back")
    visit.wait("window.chosen === 'back'")
    visit.until("root.dataset.state === 'running'")
    visit.press("Stop")
    visit.page.evaluate("delete navigator.mediaDevices.enumerateDevices")


def run_code(visit, code):
    """Execute code in the notebook's kernel, as another cell would, without waiting for it."""
    visit.page.evaluate(
        "code => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({ code }); }",
        code,
    )


def test_a_busy_kernel_is_said_and_survived(visit):
    visit.start()
    # A sleeping cell would not do: JupyterLab's subshells answer widgets beside it.
    freeze = "f'kill -STOP {os.getpid()}; sleep 6; kill -CONT {os.getpid()}'"
    run_code(visit, f"import os, subprocess; subprocess.Popen(['sh', '-c', {freeze}])")
    visit.status("The kernel is busy")
    sent = visit.sent
    visit.page.wait_for_timeout(1500)
    assert visit.sent == sent > 0, "pictures pile up before a busy kernel"
    count = visit.page.evaluate("Number(document.querySelector('.fer-camera').dataset.answered)")
    visit.until("Number(root.dataset.answered) > argument + 3", count)
    visit.press("Stop")


def test_a_failing_net_is_said_and_the_loop_goes_on(visit):
    run_code(visit, "good, camera.service.predictor.net = camera.service.predictor.net, None")
    visit.press("Start camera")
    visit.status("the kernel failed on this picture")
    run_code(visit, "camera.service.predictor.net = good")
    visit.until(
        "Number(root.dataset.answered) > 0 && !root.querySelector('[role=status]').textContent.includes('failed')"
    )
    visit.press("Stop")


def test_the_camera_stops_when_its_cell_is_cleared(visit):
    visit.start()
    visit.command("notebook:clear-all-cell-outputs")
    visit.released()
    visit.run_all()


def test_the_camera_stops_when_the_kernel_goes(visit):
    visit.start()
    visit.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    visit.released()
    visit.status("The kernel was restarted")
    visit.kernel_idle()
    visit.status("The kernel was restarted")  # and it stays until the cell is run again
    visit.run_all()
    visit.start()
    visit.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    visit.released()


def test_nothing_went_wrong_unseen(visit, shown):
    """After all that: no request beyond this machine, and nothing written but the photo."""
    assert [line for line in visit.wrong if line.startswith("request")] == []
    written = {path.name for path in shown.iterdir()} - {".ipynb_checkpoints", ".virtual_documents"}
    # The photo is there where this process made the visit that saves it; a second process opens a server of its own.
    assert written - {"photos"} == {"08_webcam_demo.ipynb"}
    assert "photos" not in written or len(list((shown / "photos").iterdir())) == 1
