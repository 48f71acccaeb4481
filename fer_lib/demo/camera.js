// The browser's half of fer_lib.demo.camera: takes pictures, sends them as JPEG, draws what the kernel answers.

const IN_FLIGHT = 2; // pictures under way at once: one in the kernel, one on the wire; others are never taken
const LIVE_WIDTH = 640; // pixels
const BUSY_AFTER = 3000; // ms without an answer
const GIVE_UP_AFTER = 30000; // loading what Grad-CAM needs takes seconds
const LARGEST_UPLOAD = 8e6; // bytes; the notebook server closes a connection on messages above 10 MiB
const KEPT_STILLS = 24; // as many as the kernel keeps
const GREEN = "#009e73";

const LIMITS =
  "The word is what people who looked at such a picture would have called it, not what anybody feels. A net is right " +
  "on two or three of four pictures of its own kind, less often through a camera, least on fear, disgust, profiles, " +
  "covered or badly lit faces, and people unlike those in its data. Base no decision about a person on it.";
const PRIVACY =
  "Pictures go from this browser to this notebook's kernel and nowhere else. Nothing is stored unless you press Save.";
const REFUSED = {
  NotAllowedError:
    "The browser did not allow the camera. Allow it beside the address bar and press Start again, or choose a file.",
  NotFoundError: "No camera was found. Connect one and press Start again, or choose a file.",
  NotReadableError: "The camera is busy: close the program that uses it and press Start again, or choose a file.",
  OverconstrainedError: "The chosen camera is gone. Choose another one and press Start again.",
};
const IN_VSCODE =
  "VS Code shows notebooks in a frame that has no camera. Type fer demo in a terminal, which opens the camera in your " +
  "browser, or choose a file here.";
const INSECURE =
  "Browsers offer the camera on localhost and https pages only, and this page is neither. " +
  "Open the notebook through http://localhost (for example with an ssh tunnel), or choose a file.";

function element(kind, parent, properties = {}) {
  const made = Object.assign(document.createElement(kind), properties);
  parent.append(made);
  return made;
}

// The part of a box that `object-fit: contain` gives to a picture, in canvas pixels.
function fitted(width, height, across, down) {
  const scale = Math.min(across / width, down / height);
  return { scale, left: (across - width * scale) / 2, top: (down - height * scale) / 2 };
}

// A heat map of bytes as a translucent picture from blue over green to red.
function painted(heat) {
  const side = Math.round(Math.sqrt(heat.byteLength));
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  for (let i = 0; i < heat.byteLength; i++) {
    const value = heat.getUint8(i) / 255;
    image.data[4 * i] = 255 * Math.max(0, 2 * value - 1);
    image.data[4 * i + 1] = 255 * (1 - Math.abs(2 * value - 1));
    image.data[4 * i + 2] = 255 * Math.max(0, 1 - 2 * value);
    image.data[4 * i + 3] = 150 * Math.min(1, 2 * value);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function render({ model, el }) {
  // ---------------------------------------------------------------- what the reader sees
  const root = element("div", el, { className: "fer-camera" });
  // JupyterLab would take the arrow keys of lists and sliders for itself, and move to another cell.
  root.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
  const bar = element("div", root, { className: "fer-bar" });
  const startButton = element("button", bar, { textContent: "Start camera" });
  const stopButton = element("button", bar, { textContent: "Stop", disabled: true });
  const photoButton = element("button", bar, { textContent: "Take photo", disabled: true });
  const fileButton = element("button", bar, { textContent: "Choose file…" });
  const recordButton = element("button", bar, { textContent: "Record", disabled: true });
  const fileInput = element("input", bar, { type: "file", accept: "image/*,video/*", hidden: true });
  const cameras = element("select", bar, { hidden: true, ariaLabel: "camera" });
  const options = element("div", root, { className: "fer-bar" });
  const models = element("select", options, { ariaLabel: "model" });
  const beside = element("select", options, { ariaLabel: "second model" });
  const mirror = labelled("mirror");
  const explain = labelled("show where the net looks (Grad-CAM)");
  const threshold = slider("not sure below", 0, 0.95, 0.05, (value) => `${Math.round(100 * value)} %`);
  const smoothing = slider("smoothing", 0, 3, 0.1, (value) => `${value.toFixed(1)} s`);
  element("div", root, { className: "fer-quiet", textContent: PRIVACY });
  const note = element("div", root, { className: "fer-status fer-wrong" });
  const status = element("div", root, { className: "fer-status", role: "status" });
  const body = element("div", root, { className: "fer-body" });
  const stage = element("div", body, { className: "fer-stage" });
  const video = element("video", stage, { muted: true, playsInline: true, autoplay: true });
  const overlay = element("canvas", stage);
  const side = element("div", body, { className: "fer-side" });
  const bars = element("div", side, { className: "fer-bars" });
  const chartCanvas = element("canvas", side, { width: 300, height: 90, className: "fer-chart" });
  chartCanvas.setAttribute("role", "img");
  chartCanvas.setAttribute("aria-label", "probabilities of the largest face over the last 30 seconds");
  const net = element("div", root, { className: "fer-quiet" });
  const figures = element("div", root, { className: "fer-quiet" });
  const still = element("div", root, { className: "fer-still", hidden: true });
  const stillWords = element("div", still);
  const stillPicture = element("img", still, { alt: "" });
  const saveButton = element("button", still, { textContent: "Save" });
  const saved = element("span", still, { className: "fer-quiet" });
  const gallery = element("div", root, { className: "fer-gallery", ariaLabel: "photos taken" });
  gallery.setAttribute("role", "group");
  const card = element("details", root, { className: "fer-quiet" });
  element("summary", card, { textContent: "What this cannot do" });
  element("p", card, { textContent: LIMITS });
  const capture = document.createElement("canvas");
  const chart = new Chart(chartCanvas);
  const recording = new Recording();

  function labelled(text) {
    const label = element("label", options);
    const box = element("input", label, { type: "checkbox" });
    label.append(` ${text}`);
    return box;
  }

  function slider(text, min, max, step, shown) {
    const label = element("label", options, { textContent: `${text} ` });
    const input = element("input", label, { type: "range", min, max, step });
    const value = element("output", label);
    input.show = (number) => {
      input.value = number;
      value.textContent = ` ${shown(number)}`;
    };
    return input;
  }

  function say(text, wrong = false) {
    if (status.textContent !== text) status.textContent = text;
    status.classList.toggle("fer-wrong", wrong);
  }

  // ---------------------------------------------------------------- camera
  const flying = new Map(); // id of a live picture -> when it was taken
  const waiting = new Map(); // id of a photo, file or saving -> what it is
  const view = Math.random().toString(36).slice(2); // answers reach every view of the widget
  let stream = null;
  let film = null; // address of the video file that is played instead
  let attempt = 0; // number of the latest start or stop: what an earlier one still awaits is out of date
  let taken = 0;
  let lastAnswer = 0; // when the kernel last answered, or the camera was started
  let loading = false; // the kernel loads what the heat map needs, and answers late meanwhile
  let answered = []; // times of the latest answers
  let stillId = null;
  const stills = new Map(); // id of a photo -> its address and words

  async function start() {
    stop();
    if (document.body.dataset.vscodeThemeKind) return say(IN_VSCODE, true); // set in all of its frames
    if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) return say(INSECURE, true);
    const mine = ++attempt;
    say("Waiting for the camera…");
    startButton.disabled = true;
    stopButton.disabled = false;
    try {
      const wanted = { width: { ideal: 640 }, height: { ideal: 480 } };
      if (cameras.value) wanted.deviceId = { exact: cameras.value };
      const opened = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
      if (mine !== attempt) return opened.getTracks().forEach((track) => track.stop());
      stream = opened;
      stream.getTracks().forEach((track) => track.addEventListener("ended", () => stop("The camera was disconnected.")));
      video.srcObject = stream;
      await video.play();
      if (mine !== attempt) return;
    } catch (error) {
      if (mine === attempt) stop(REFUSED[error.name] ?? `The camera could not be started: ${error.message}`);
      return;
    }
    begin();
    listCameras(mine);
  }

  function begin() {
    lastAnswer = performance.now();
    loading = false;
    stopButton.disabled = photoButton.disabled = recordButton.disabled = false;
    root.dataset.state = "running";
    say("Looking for faces…");
  }

  // A video file is looked at as a camera is, and is never sent as a whole.
  async function play(file) {
    stop();
    const mine = ++attempt;
    film = URL.createObjectURL(file);
    video.src = film;
    video.onended = () => stop(`${file.name} has ended.`, false);
    try {
      await video.play();
    } catch (error) {
      if (mine === attempt) stop(`${file.name}: this browser cannot play it (${error.message}); use fer predict for it.`);
      return;
    }
    if (mine === attempt) begin();
  }

  function stop(reason = "", wrong = Boolean(reason)) {
    attempt++;
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    video.onended = null;
    if (film) {
      video.removeAttribute("src");
      video.load();
      URL.revokeObjectURL(film);
      film = null;
    }
    if (recording.rows) endRecording();
    flying.clear();
    answered = [];
    nobody();
    startButton.disabled = false;
    stopButton.disabled = photoButton.disabled = recordButton.disabled = true;
    root.dataset.state = "stopped";
    figures.textContent = net.textContent = "";
    say(reason, wrong);
  }

  // No box, no bar and no line of a face that is no longer there.
  function nobody() {
    overlay.getContext("2d").clearRect(0, 0, overlay.width, overlay.height);
    root.dataset.boxes = 0;
    root.dataset.words = "[]";
    showShares(null);
    chart.clear();
  }

  function record() {
    if (recording.rows) return endRecording();
    recording.begin(model.get("classes"));
    recordButton.textContent = "Stop recording";
  }

  function endRecording() {
    recordButton.textContent = "Record";
    download(recording.end(), `expressions-${new Date().toISOString().slice(0, 19)}.csv`);
  }

  async function listCameras(mine) {
    // Names are known only once the reader has allowed a camera.
    const found = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "videoinput");
    if (mine !== attempt || !stream) return;
    const current = stream.getVideoTracks()[0].getSettings().deviceId;
    cameras.replaceChildren();
    found.forEach((device, i) =>
      element("option", cameras, { value: device.deviceId, textContent: device.label || `camera ${i + 1}` }),
    );
    if (current) cameras.value = current;
    cameras.hidden = found.length < 2;
  }

  function snapshot(width, quality) {
    const scale = Math.min(1, width / video.videoWidth);
    capture.width = Math.round(video.videoWidth * scale);
    capture.height = Math.round(video.videoHeight * scale);
    capture.getContext("2d").drawImage(video, 0, 0, capture.width, capture.height);
    return new Promise((resolve) => capture.toBlob(resolve, "image/jpeg", quality));
  }

  const newId = () => `${view}-${++taken}`;

  async function send(message, blob) {
    // A kernel that is gone refuses the message.
    const buffers = blob ? [await blob.arrayBuffer()] : [];
    try {
      model.send(message, undefined, buffers);
    } catch (error) {
      stop(`The kernel cannot be reached (${error.message}); the camera was stopped.`);
    }
  }

  async function pump() {
    if (!(stream || film) || video.readyState < 2 || flying.size >= IN_FLIGHT || document.hidden) return;
    const id = newId();
    const mine = attempt;
    flying.set(id, performance.now());
    const blob = await snapshot(LIVE_WIDTH, 0.8);
    if (mine !== attempt) return;
    if (blob) send({ type: "frame", id, explain: explain.checked }, blob);
    else flying.delete(id);
  }

  function watch() {
    if (!(stream || film) || !flying.size) return;
    const now = performance.now();
    const silence = now - Math.max(lastAnswer, Math.min(...flying.values()));
    for (const [id, time] of flying) {
      // Lost on the way, since later ones were answered: its place is free again.
      if (now - time > GIVE_UP_AFTER && silence < BUSY_AFTER) flying.delete(id);
    }
    if (silence > GIVE_UP_AFTER) {
      stop(`The kernel has not answered for ${GIVE_UP_AFTER / 1000} s; the camera was stopped.`);
    } else if (silence > BUSY_AFTER && !loading) {
      say("The kernel is busy, perhaps with another cell; pictures wait until it is free.", true);
    }
  }

  // ---------------------------------------------------------------- answers
  function showAnswer(answer, heats) {
    const sent = flying.get(answer.id);
    flying.delete(answer.id);
    const now = (lastAnswer = performance.now());
    answered = [...answered.filter((time) => now - time < 2000), now];
    const seconds = (now - answered[0]) / 1000;
    const rate = answered.length > 1 ? (answered.length - 1) / seconds : 0;
    const ms = answer.ms;
    figures.textContent =
      `${rate.toFixed(1)} pictures/s, ${Math.round(now - sent)} ms from camera to answer ` +
      `(in the kernel: unpacking ${ms.decode}, detector ${ms.detector}, net ${ms.net} ms)`;
    if (answer.faces.length) {
      draw(answer, heats);
      showShares(answer.faces[0]);
      chart.add(answer.faces[0], model.get("classes"));
      recording.add(answer.faces, answer.net, model.get("second"));
    } else nobody();
    net.textContent = netUsed(answer);
    loading = Boolean(answer.loading);
    const found = answer.faces.length
      ? facesFound(answer.faces)
      : "No face found: turn towards the camera and into the light.";
    say(loading ? `${found} Loading what the heat map needs…` : found);
    root.dataset.answered = Number(root.dataset.answered ?? 0) + 1; // last: now all that is shown is of this answer
  }

  const netUsed = (answer) =>
    answer.net ? `net: ${answer.net}${model.get("second") && `; beside it: ${model.get("second")}`}` : "";

  // By the first net, and by the second where there is one.
  const called = (face) => `${face.label || "a face"}${face.second ? ` | ${face.second.label}` : ""}`;

  function facesFound(faces) {
    const words = faces.map(called);
    return faces.length === 1 ? words[0] : `${faces.length} faces: ${words.join(", ")}`;
  }

  function draw(answer, heats) {
    overlay.width = stage.clientWidth;
    overlay.height = stage.clientHeight;
    const context = overlay.getContext("2d");
    const [width, height] = answer.size;
    const { scale, left, top } = fitted(width, height, overlay.width, overlay.height);
    const place = ([x, y, across, down = across]) => [
      left + scale * (mirror.checked ? width - x - across : x), top + scale * y, scale * across, scale * down,
    ];
    context.font = "bold 16px sans-serif";
    context.textBaseline = "top";
    context.lineWidth = 3;
    answer.faces.forEach((face, i) => {
      if (heats[i]) {
        const [x, y, across, down] = place(face.square);
        context.save();
        context.translate(mirror.checked ? x + across : x, y);
        context.scale(mirror.checked ? -1 : 1, 1);
        context.drawImage(painted(heats[i]), 0, 0, across, down);
        context.restore();
        root.dataset.heat = "shown";
      }
      const [x, y, across, down] = place(face.box);
      context.strokeStyle = context.fillStyle = GREEN;
      context.strokeRect(x, y, across, down);
      const words = wordsOf(face);
      if (words) {
        const line = Math.max(0, y - 22);
        context.fillRect(x, line, context.measureText(words).width + 10, 22);
        context.fillStyle = "white";
        context.fillText(words, x + 5, line + 3);
      }
    });
    root.dataset.boxes = answer.faces.length;
    root.dataset.words = JSON.stringify(answer.faces.map(wordsOf));
  }

  // The kernel has smoothed the probabilities and chosen the word: box, bars and chart show the same numbers.
  function wordsOf(face) {
    const known = model.get("classes").indexOf(face.label);
    const share = known < 0 ? "" : ` ${Math.round(100 * face.probabilities[known])} %`;
    return `${face.label}${share}${face.second ? ` | ${face.second.label}` : ""}`;
  }

  // Of the largest face, by each net; none of nobody.
  function showShares(face) {
    const nets = [face?.probabilities, face?.second?.probabilities];
    model.get("classes").forEach((_, i) => {
      const [, rail, share] = [0, 1, 2].map((column) => bars.children[3 * i + column]);
      nets.forEach((of, k) => (rail.children[k].style.width = `${100 * (of?.[i] ?? 0)}%`));
      share.textContent = nets
        .filter((of) => of?.length)
        .map((of) => `${Math.round(100 * of[i])} %`)
        .join(" | ") || "–";
    });
  }

  function buildBars() {
    bars.replaceChildren();
    model.get("classes").forEach((name, i) => {
      const title = element("div", bars, { textContent: name });
      title.style.borderLeft = `4px solid ${COLOURS[i % COLOURS.length]}`; // its line in the chart
      const rail = element("div", bars, { className: "fer-rail" });
      element("div", rail);
      element("div", rail);
      element("div", bars, { className: "fer-share", textContent: "–" });
    });
  }

  function showStill(answer, buffers) {
    waiting.delete(answer.id);
    const found = answer.faces.length ? facesFound(answer.faces) : "No face found in this picture.";
    const words = `${found}${answer.net && ` (net: ${answer.net})`}`;
    stills.set(answer.id, { src: URL.createObjectURL(new Blob(buffers, { type: "image/jpeg" })), words });
    for (const old of [...stills.keys()].slice(0, -KEPT_STILLS)) {
      URL.revokeObjectURL(stills.get(old).src);
      stills.delete(old);
    }
    show(answer.id);
    gallery.replaceChildren();
    for (const [id, { src, words: alt }] of stills) {
      const button = element("button", gallery, { title: alt, onclick: () => show(id) });
      element("img", button, { src, alt });
    }
    gallery.hidden = stills.size < 2;
    if (stream || film) return;
    say(found);
    showShares(answer.faces[0]);
  }

  // One of the photos taken, large.
  function show(id) {
    stillId = id;
    stillPicture.src = stills.get(id).src;
    stillWords.textContent = stillPicture.alt = stills.get(id).words;
    saveButton.disabled = false;
    saved.textContent = ` writes into the folder ${model.get("folder")} of the kernel`;
    still.hidden = false;
  }

  function receive(answer, buffers = []) {
    if (answer.id !== undefined && !flying.has(answer.id) && !waiting.has(answer.id)) return;
    if (answer.type === "answer") showAnswer(answer, buffers);
    else if (answer.type === "still") showStill(answer, buffers);
    else if (answer.type === "saved") {
      waiting.delete(answer.id);
      saved.textContent = ` ${answer.text}`;
    } else {
      // The picture failed, the camera goes on.
      if (flying.delete(answer.id)) lastAnswer = performance.now();
      if (waiting.get(answer.id) === "save") saveButton.disabled = false;
      waiting.delete(answer.id);
      root.dataset.errors = Number(root.dataset.errors ?? 0) + 1;
      say(answer.text, true);
    }
  }

  // ---------------------------------------------------------------- what the reader does
  async function takePhoto() {
    const id = newId();
    waiting.set(id, "photo");
    send({ type: "photo", id }, await snapshot(4096, 0.92));
  }

  async function sendFile(file) {
    if (!file) return;
    if (file.type.startsWith("video/")) return play(file);
    const megabytes = (file.size / 1e6).toFixed(1);
    const picture = await reduced(file, LARGEST_UPLOAD);
    if (!picture && (await isHeic(file))) {
      return say(`${file.name} is a HEIC picture, which is not read here: save it as JPEG.`, true);
    }
    if (!picture) {
      return say(`${file.name} has ${megabytes} MB, and this browser cannot reduce it; use fer predict for it.`, true);
    }
    const id = newId();
    waiting.set(id, "picture");
    say(picture === file ? "Waiting for the kernel…" : `Reduced from ${megabytes} MB. Waiting for the kernel…`);
    send({ type: "picture", id, name: file.name }, picture);
  }

  function save() {
    const id = newId();
    waiting.set(id, "save");
    saveButton.disabled = true;
    send({ type: "save", id, still: stillId });
  }

  function set(name, value) {
    model.set(name, value);
    model.save_changes();
  }

  function showModel() {
    models.replaceChildren();
    for (const { name, title } of model.get("models")) element("option", models, { value: name, textContent: title });
    models.value = model.get("model");
    models.hidden = !models.options.length;
    beside.replaceChildren();
    element("option", beside, { value: "", textContent: "no second net" });
    for (const { name } of model.get("models")) element("option", beside, { value: name, textContent: name });
    beside.value = model.get("second");
    beside.hidden = models.options.length < 2;
    root.classList.toggle("fer-two", Boolean(beside.value));
    note.textContent = model.get("note");
    note.hidden = !note.textContent;
  }

  function showSwitches() {
    mirror.checked = model.get("mirror");
    explain.checked = model.get("explain");
    threshold.show(model.get("threshold"));
    smoothing.show(model.get("smoothing"));
    stage.classList.toggle("fer-mirrored", mirror.checked);
  }

  startButton.onclick = start;
  stopButton.onclick = () => stop();
  photoButton.onclick = takePhoto;
  saveButton.onclick = save;
  fileButton.onclick = () => fileInput.click();
  fileInput.onchange = () => {
    sendFile(fileInput.files[0]);
    fileInput.value = "";
  };
  cameras.onchange = start;
  models.onchange = () => set("model", models.value);
  beside.onchange = () => set("second", beside.value);
  threshold.oninput = () => threshold.show(Number(threshold.value));
  smoothing.oninput = () => smoothing.show(Number(smoothing.value));
  threshold.onchange = () => set("threshold", Number(threshold.value));
  smoothing.onchange = () => set("smoothing", Number(smoothing.value));
  recordButton.onclick = record;
  mirror.onchange = () => set("mirror", mirror.checked);
  explain.onchange = () => set("explain", explain.checked);

  // ---------------------------------------------------------------- from beginning to end
  const listeners = {
    "msg:custom": receive,
    "change:models": showModel,
    "change:model": showModel,
    "change:second": showModel,
    "change:threshold": showSwitches,
    "change:smoothing": showSwitches,
    "change:note": showModel,
    "change:classes": () => {
      if (recording.rows) endRecording(); // its columns are the other net's
      chart.clear();
      buildBars();
    },
    "change:mirror": showSwitches,
    "change:explain": showSwitches,
    // The kernel was restarted, or the widget closed in it.
    comm_live_update: () => (stream || film) && stop("The kernel was restarted: run the cell again."),
    "comm:close": () => (stream || film) && stop(),
    destroy: () => stop(),
  };
  const leave = () => stop();
  Object.entries(listeners).forEach(([name, listener]) => model.on(name, listener));
  window.addEventListener("pagehide", leave);
  const timers = [setInterval(pump, 15), setInterval(watch, 500)];
  showModel();
  showSwitches();
  buildBars();
  gallery.hidden = true;
  stop();

  return () => {
    timers.forEach(clearInterval);
    window.removeEventListener("pagehide", leave);
    Object.entries(listeners).forEach(([name, listener]) => model.off(name, listener));
    stop();
    for (const { src } of stills.values()) URL.revokeObjectURL(src);
  };
}

export default { render };
