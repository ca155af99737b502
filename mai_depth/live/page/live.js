"use strict";

const get = (id) => document.getElementById(id);
const photo = get("photo"), depth = get("depth");
const narrow = matchMedia("(max-width: 44rem)");

let source = null;  // where the frames come from: `connection` or `ownCamera`
let head, photoPicture, depthPicture, colors;
let point = null, frozen = false, drawnAt = [];
let belowMetres = null, speaks = false;
let recorder = null, film = null, sound = null, calibration = { points: 0 };

function say(text) { get("status").textContent = text; }

/* Shows a frame of the source: its head, and its photo and coloured depth. */
function show(next, pictures) {
  if (!head) say("Live");
  for (const picture of [photoPicture, depthPicture]) picture?.close();
  [photoPicture, depthPicture] = pictures;
  head = next;
  draw();
  showReadings();
  source.drawn(head.number);
}

/* Handles a message of the server, or of `ownCamera` in its place. */
function hear(message) {
  if (message.type === "status") say(message.text || "Live");
  else if (message.type === "distance") showDistance(message.distance_m);
  else if (message.type === "lag") get("lag").textContent = `${message.ms.toFixed(0)} ms`;
  else if (message.type === "calibration") showCalibration(message);
  else if (message.type === "error") get("calibration").textContent = message.text;
}

function begin(colorTable, alertBelowMetres) {
  colors = colorTable;
  belowMetres = alertBelowMetres;
  get("sound").hidden = belowMetres === null;
  get("bar").dataset.drawn = "";
}

function draw() {
  if (!head) return;
  for (const [canvas, picture] of [[photo, photoPicture], [depth, depthPicture]]) {
    if (canvas.width !== picture.width || canvas.height !== picture.height) {
      canvas.width = picture.width;
      canvas.height = picture.height;
    }
    const pen = canvas.getContext("2d");
    pen.drawImage(picture, 0, 0);
    mark(pen, canvas.width, canvas.height);
  }
  drawLegend();
  if (film) drawFilm();
}

function mark(pen, width, height) {
  pen.setLineDash([6, 6]);
  pen.lineWidth = 1.5;
  pen.strokeStyle = head.alert ? "#ff3030" : "#ffffffb0";
  pen.strokeRect(width / 3, height / 3, width / 3, height / 3);
  pen.setLineDash([]);
  if (!point) return;
  const x = point.x * width, y = point.y * height;
  for (const [style, thick] of [["#000", 5], ["#fff", 2]]) {
    pen.strokeStyle = style;
    pen.lineWidth = thick;
    pen.beginPath();
    pen.arc(x, y, 9, 0, 7);
    pen.moveTo(x - 16, y); pen.lineTo(x - 5, y); pen.moveTo(x + 5, y); pen.lineTo(x + 16, y);
    pen.moveTo(x, y - 16); pen.lineTo(x, y - 5); pen.moveTo(x, y + 5); pen.lineTo(x, y + 16);
    pen.stroke();
  }
}

function drawLegend() {
  const bar = get("bar"), direction = narrow.matches ? "to left" : "to bottom";
  if (colors && bar.dataset.drawn !== direction) {
    const stops = colors.filter((_, index) => index % 15 === 0).map((rgb) => `rgb(${rgb})`);
    bar.style.background = `linear-gradient(${direction}, ${stops})`;
    bar.dataset.drawn = direction;
  }
  const ticks = get("ticks");
  while (ticks.childElementCount < head.ticks.length) ticks.append(document.createElement("span"));
  while (ticks.childElementCount > head.ticks.length) ticks.lastChild.remove();
  head.ticks.forEach(([label, metres], index) => {
    const share = (metres - head.near_m) / (head.far_m - head.near_m);
    const tick = ticks.children[index];
    tick.textContent = label;
    tick.style.left = narrow.matches ? `${Math.min(95, Math.max(3, 100 * share))}%` : "";
    tick.style.top = `${100 * (1 - share)}%`;
  });
}

function metresText(metres) {
  return metres === null || metres === undefined ? "–" : `${metres.toFixed(2)} m`;
}

function showReadings() {
  const now = performance.now();
  drawnAt = [...drawnAt.filter((at) => now - at < 2000), now];
  const seen = drawnAt.length > 1 ? 1000 * (drawnAt.length - 1) / (now - drawnAt[0]) : 0;
  get("nearest").textContent = metresText(head.nearest_m);
  get("fps").textContent = head.camera_fps === null ? "–"
    : `${seen.toFixed(0)} (camera ${head.camera_fps.toFixed(0)})`;
  get("times").textContent = `camera ${head.camera_ms.toFixed(1)}, network `
    + `${head.network_ms.toFixed(1)}, around it ${head.around_ms.toFixed(1)}, drawing `
    + `${head.drawing_ms.toFixed(1)}`;
  if (document.body.classList.contains("near") !== head.alert) {
    document.body.classList.toggle("near", head.alert);
    get("alert").textContent = head.alert ? `Something is nearer than ${metresText(belowMetres)}` : "";
    get("alert").hidden = !head.alert;
  }
  if (head.alert) beep();
}

function showDistance(metres) {
  get("distance").textContent = metresText(metres);
  if (speaks) get("spoken").textContent = `${metresText(metres)} at the point`;
  speaks = false;
}

function choose(x, y) {
  point = { x: Math.min(Math.max(x, 0), 1), y: Math.min(Math.max(y, 0), 1) };
  speaks = true;
  draw();
  if (head) source.drawn(head.number);
}

for (const canvas of [photo, depth]) {
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    choose((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  });
}

depth.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const step = steps[event.key], far = event.shiftKey ? 40 : 5;
  if (step) {
    const from = point || { x: 0.5, y: 0.5 };
    choose(from.x + far * step[0] / depth.width, from.y + far * step[1] / depth.height);
  } else if (event.key === "Enter") choose(point?.x ?? 0.5, point?.y ?? 0.5);
  else if (event.key === "Escape") { point = null; draw(); get("distance").textContent = "–"; }
  else return;
  event.preventDefault();
});

get("freeze").addEventListener("click", () => {
  freeze(!frozen);
  say(frozen ? "Frozen" : "Live");
  if (!frozen) source?.goOn();
});

function freeze(isFrozen) {
  frozen = isFrozen;
  get("freeze").setAttribute("aria-pressed", frozen);
  get("freeze").textContent = frozen ? "Resume" : "Freeze";
}

function stamp() {
  return new Date().toISOString().replace(/[:.]/g, "-").slice(0, 19);
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function both(canvas) {
  const wide = Math.round(photo.width * 0.16);
  canvas.width = (2 * photo.width + wide) & ~1;
  canvas.height = photo.height & ~1;
  return canvas;
}

function drawBoth(canvas) {
  const pen = canvas.getContext("2d"), size = Math.max(12, Math.round(photo.height / 26));
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(photoPicture, 0, 0);
  pen.drawImage(depthPicture, photo.width, 0);
  const left = 2 * photo.width + size / 2, rows = photo.height - 2 * size;
  for (let row = 0; row < rows; row += 1) {
    pen.fillStyle = `rgb(${colors[Math.round(255 * row / rows)]})`;
    pen.fillRect(left, size + row, size, 1);
  }
  pen.fillStyle = "#000";
  pen.font = `${size}px sans-serif`;
  pen.textBaseline = "middle";
  for (const [label, metres] of head.ticks) {
    const share = (head.far_m - metres) / (head.far_m - head.near_m);
    pen.fillText(label, left + 1.3 * size, size + rows * share);
  }
}

get("save").addEventListener("click", async () => {
  if (!head) return;
  const canvas = both(document.createElement("canvas")), number = head.number, name = stamp();
  drawBoth(canvas);
  const units = await source.depthFile(number);
  canvas.toBlob((blob) => download(blob, `live-${name}.png`), "image/png");
  if (units) download(units, `live-${name}_depth.png`);
  else say("The 16-bit depth of this frame is gone; freeze before you save.");
});

function drawFilm() {
  drawBoth(film);
}

get("record").addEventListener("click", () => {
  if (recorder) { recorder.stop(); return; }
  if (!head || !window.MediaRecorder) { say("This browser cannot record."); return; }
  const kinds = ["video/mp4;codecs=avc1.42E01F", "video/mp4", "video/webm;codecs=vp9", "video/webm"];
  const kind = kinds.find((name) => MediaRecorder.isTypeSupported(name));
  film = both(document.createElement("canvas"));
  drawFilm();
  const parts = [], name = stamp();
  recorder = new MediaRecorder(film.captureStream(), { mimeType: kind, videoBitsPerSecond: 6e6 });
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = () => {
    download(new Blob(parts, { type: kind }), `live-${name}.${kind.includes("mp4") ? "mp4" : "webm"}`);
    recorder = film = null;
    get("record").textContent = "Record";
    get("record").setAttribute("aria-pressed", false);
  };
  recorder.start(1000);
  get("record").textContent = "Stop recording";
  get("record").setAttribute("aria-pressed", true);
});

function beep() {
  if (!sound || sound.busyUntil > sound.currentTime) return;
  const tone = sound.createOscillator(), volume = sound.createGain();
  sound.busyUntil = sound.currentTime + 0.4;
  volume.gain.value = 0.15;
  tone.frequency.value = 880;
  tone.connect(volume).connect(sound.destination);
  tone.start();
  tone.stop(sound.currentTime + 0.15);
}

get("sound").addEventListener("click", () => {
  if (sound) { sound.close(); sound = null; } else { sound = new AudioContext(); sound.busyUntil = 0; }
  get("sound").setAttribute("aria-pressed", sound !== null);
});

get("calibrate").addEventListener("submit", (event) => {
  event.preventDefault();
  const metres = parseFloat(get("metres").value.replace(",", "."));
  if (!point) get("calibration").textContent = "Click a point in a picture first.";
  else if (!(metres > 0)) get("calibration").textContent = "Type the distance in metres first.";
  else source?.calibrate(metres);
});

get("reset").addEventListener("click", () => source?.reset());

get("download").addEventListener("click", () => download(
  new Blob([JSON.stringify(calibration.file, null, 2)], { type: "application/json" }),
  "camera.json"));

function showCalibration(message) {
  calibration = message;
  const points = message.points;
  get("reset").disabled = get("download").disabled = points === 0;
  get("calibration").textContent = points === 0 ? message.text || "Not calibrated." : `Calibrated: ${message.text}.`
    + (message.disagreeing ? ` Off by more than a quarter: ${message.disagreeing} of ${points}; `
      + "reset and measure again." : "");
}
