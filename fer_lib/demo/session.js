// What the camera keeps of a visit, in this browser alone: a chart of the last seconds, a recording as CSV, and the
// reduction of large photos.

const CHART_SECONDS = 30;
// Of Okabe and Ito's palette, told apart by every eye; grey for what is neutral.
const COLOURS = ["#d55e00", "#009e73", "#cc79a7", "#e69f00", "#0072b2", "#56b4e9", "#777777"];
const LARGEST_SIDE = 4096; // pixels; the detector looks at fewer

const seconds = () => performance.now() / 1000;

// The smoothed probabilities of one face over the last seconds.
class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.clear();
  }

  clear() {
    this.points = [];
    this.number = null;
    this.draw([]);
  }

  add(face, classes) {
    if (face.number !== this.number) this.points = []; // another face begins anew
    this.number = face.number;
    const now = seconds();
    this.points = [...this.points.filter(({ at }) => now - at < CHART_SECONDS), { at: now, shares: face.probabilities }];
    this.draw(classes);
  }

  draw(classes) {
    const { width, height } = this.canvas;
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    const now = seconds();
    classes.forEach((_, i) => {
      context.strokeStyle = COLOURS[i % COLOURS.length];
      context.lineWidth = 2;
      context.beginPath();
      this.points.forEach(({ at, shares }, k) => {
        const x = width * (1 - (now - at) / CHART_SECONDS);
        const y = 2 + (height - 4) * (1 - shares[i]);
        k ? context.lineTo(x, y) : context.moveTo(x, y);
      });
      context.stroke();
    });
  }
}

// One row a face, net and answer; begun and ended by the reader.
class Recording {
  constructor() {
    this.rows = null;
  }

  begin(classes) {
    this.rows = [["time", "face", "net", "word", "left", "top", "width", "height", ...classes]];
  }

  add(faces, net, second) {
    const time = new Date().toISOString();
    for (const { number, box, second: beside, ...first } of faces) {
      for (const [name, said] of [[net, first], [second, beside]]) {
        if (said) this.rows?.push([time, number, name, said.label, ...box, ...said.probabilities]);
      }
    }
  }

  // The text of a CSV file.
  end() {
    const cell = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
    const text = this.rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
    this.rows = null;
    return text;
  }
}

function download(text, name) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

async function isHeic(file) {
  const kind = new TextDecoder("latin1").decode(await file.slice(4, 12).arrayBuffer());
  return /^ftyp(hei[cxms]|hev[cx]|mif1|msf1)$/.test(kind);
}

// A picture as it can be sent: as it is if it is small, else reduced to a JPEG; null where this browser cannot read it.
async function reduced(file, largest) {
  if (file.size <= largest) return file;
  let picture;
  try {
    picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return null;
  }
  let side = LARGEST_SIDE;
  for (;;) {
    const scale = Math.min(1, side / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(picture.width * scale);
    canvas.height = Math.round(picture.height * scale);
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    if (!blob || blob.size <= largest) return blob;
    side /= 2;
  }
}
