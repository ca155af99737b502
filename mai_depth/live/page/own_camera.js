"use strict";

/* Frames from this device's own camera, or one picture: the network runs in the page, and no picture leaves it. */

const CAMERA_FAULTS = {
  NotAllowedError: "The camera is not allowed; allow it in the address bar and start it again.",
  NotFoundError: "This device has no camera; choose a picture instead.",
  NotReadableError: "The camera is busy; close the program that uses it and start it again.",
};

const ownCamera = {
  here: null, worker: null, isReady: null, video: null, stream: null, still: null,
  verdict: undefined, points: [], scale: 1, first: null, map: null, mapScale: 1, size: null, asked: null,
  number: 0, isBusy: false, isAwaited: false, takenAt: 0, wanted: 0,

  /* Loads the network in a worker, once; the promise is kept. */
  load() {
    this.isReady ??= new Promise((resolve, reject) => {
      say("Loading the network.");
      this.worker = new Worker("depth_worker.js");
      this.worker.onerror = (event) => reject(new Error(event.message || "its worker cannot be started"));
      this.worker.onmessage = ({ data }) => {
        if (data.type === "ready") resolve();
        else if (data.type === "frame") this.receive(data);
        else if (data.type === "webgpu") this.tell(data.verdict);
        else { reject(new Error(data.text)); this.isBusy = false; say(`The network failed: ${data.text}`); }
      };
      this.worker.postMessage({ type: "open", here: this.here });
    });
    return this.isReady;
  },

  tell(verdict) {
    this.verdict = verdict;
    get("engine").textContent = engineText(verdict);
  },

  /* Becomes the source of the page's frames; returns false if this browser cannot run the network. */
  async take() {
    if (source !== this) connection.close();
    source = this;
    get("server").setAttribute("aria-pressed", false);
    head = undefined;
    freeze(false);
    begin(this.here.colors, this.here.alert_below_m);
    this.tellCalibration();
    try {
      await this.load();
      return source === this;
    } catch (error) {
      this.isReady = null;
      this.worker?.terminate();
      say(`The network does not run in this browser (${error.message}).`);
      return false;
    }
  },

  async startCamera() {
    this.stop();
    const wanted = this.wanted;
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: {
        width: { ideal: this.here.model.width }, height: { ideal: this.here.model.height },
        facingMode: "environment" } });
    } catch (error) {
      say(CAMERA_FAULTS[error.name] || `The camera cannot be opened (${error.message}).`);
      return;
    }
    if (wanted !== this.wanted) {  // pressed again while the browser asked for permission
      for (const track of stream.getTracks()) track.stop();
      return;
    }
    this.stream = stream;
    this.press(true);
    if (!await this.take() || wanted !== this.wanted) { this.stop(); return; }
    stream.getVideoTracks()[0].onended = () => { this.stop(); say("The camera is gone; start it again."); };
    this.still = null;
    this.video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: stream });
    await this.video.play();
    this.next();
  },

  stop() {
    this.wanted += 1;
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = this.video = null;
    this.press(false);
  },

  press(isOn) {
    get("camera").setAttribute("aria-pressed", isOn);
    get("camera").textContent = isOn ? "Stop the camera" : "Start the camera";
  },

  async showPicture(file) {
    this.stop();
    const wanted = this.wanted;
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      say(`${file.name}: not a picture that this browser can read.`);
      return;
    }
    if (!await this.take() || wanted !== this.wanted) return;
    this.still = bitmap;
    this.next();
  },

  /* Asks for the next frame of the camera, or for the picture. */
  next() {
    const { video } = this;
    if (video) {
      const wait = video.requestVideoFrameCallback ?? requestAnimationFrame;
      wait.call(video.requestVideoFrameCallback ? video : window, () => {
        if (video === this.video && !frozen) this.submit(video, false);
      });
    } else if (this.still) this.submit(this.still, true);
  },

  async submit(picture, still) {
    this.isAwaited = this.isBusy;  // a picture was chosen meanwhile
    if (this.isBusy) return;
    this.isBusy = true;
    this.takenAt = performance.now();
    try {
      const bitmap = await createImageBitmap(picture);
      this.number += 1;
      this.asked = [bitmap.width, bitmap.height];
      this.worker.postMessage({
        type: "frame", number: this.number, bitmap, still, scale: this.scaleOf(this.asked),
        camera_fps: still ? null : this.stream?.getVideoTracks()[0].getSettings().frameRate ?? null,
        camera_ms: performance.now() - this.takenAt }, [bitmap]);
    } catch {  // the camera has stopped meanwhile
      this.isBusy = false;
    }
  },

  receive({ head: next, pictures, map, scale }) {
    this.isBusy = false;
    if (this.isAwaited) { this.next(); return; }
    if (source !== this || frozen) return;
    [this.map, this.mapScale, this.size] = [map, scale, this.asked];
    show(next, pictures);
    if (scale !== this.scaleOf(this.size)) this.showRescaled();  // calibrated meanwhile
    hear({ type: "lag", ms: performance.now() - this.takenAt });
    if (this.video) this.next();
  },

  /* The network's metres at the point, before any factor; 0 if there are none. */
  answered() {
    if (!this.map || !point) return 0;
    const { values, width, height } = this.map;
    const column = Math.min(Math.floor(point.x * width), width - 1);
    const row = Math.min(Math.floor(point.y * height), height - 1);
    return values[row * width + column] / this.mapScale;
  },

  drawn() {
    if (point) hear({ type: "distance", distance_m: this.answered() * this.mapScale || null });
  },

  goOn() { this.next(); },

  calibrate(metres) {
    const answered = this.answered();
    if (!isMeasured(answered)) { hear({ type: "error", text: "There is no depth at this point." }); return; }
    this.first ??= this.size;
    this.points.push({ answered: answered * turnedBy(this.first, this.size, this.here.model), measured: metres });
    this.rescale(fitScale(this.points).scale);
    hear({ type: "distance", distance_m: this.mapScale * answered });
  },

  reset() {
    [this.points, this.first] = [[], null];
    this.rescale(1);
  },

  /* The factor for a picture of [width, height]: the phone may have been turned since the calibration. */
  scaleOf(size) {
    return this.first ? this.scale * turnedBy(this.first, size, this.here.model) : this.scale;
  },

  tellCalibration() {
    hear({ type: "calibration", ...toldOf(this.points, this.here.model, this.first) });
  },

  rescale(scale) {
    this.scale = scale;
    this.tellCalibration();
    this.showRescaled();
  },

  /* The frame on the page in the new scale, also while frozen; its colours stay as they are. */
  showRescaled() {
    if (!this.map || !head) return;
    const scale = this.scaleOf(this.size), ratio = scale / this.mapScale;
    const nearest_m = head.nearest_m && head.nearest_m * ratio;
    this.map.values = this.map.values.map((metres) => metres * ratio);
    this.mapScale = scale;
    const near_m = head.near_m * ratio, far_m = head.far_m * ratio;
    head = {
      ...head, near_m, far_m, nearest_m, ticks: ticks(near_m, far_m),
      alert: belowMetres !== null && nearest_m !== null && nearest_m < belowMetres,
    };
    draw();
    showReadings();
  },

  depthFile() { return depthPng(this.map); },
};

/* The line that says what the network runs on. */
function engineText(verdict) {
  if (!verdict) return "Runs on WASM.";
  if (verdict.fault) return `Runs on WASM; WebGPU failed (${verdict.fault}).`;
  const millimetres = 1000 * verdict.differs_m;
  const off = `${millimetres < 10 ? millimetres.toPrecision(2) : millimetres.toFixed(0)} mm`;
  if (verdict.is_wrong) return `Runs on WASM; WebGPU is off by ${off}.`;
  const times = `${verdict.ms.toFixed(1)} ms, on WASM ${verdict.wasm_ms.toFixed(1)} ms`;
  return verdict.is_used ? `Runs on WebGPU: ${times}, at most ${off} apart.` : `Runs on WASM; WebGPU is right but slower: ${times}.`;
}
