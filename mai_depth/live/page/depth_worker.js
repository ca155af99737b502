"use strict";

/* Runs the network for the page, with LiteRT.js. A classic worker, because LiteRT.js calls importScripts. */

importScripts("depth_map.js");

// LiteRT.js writes its log as errors. Real errors are thrown as well, and the page reports them.
for (const level of ["log", "info", "warn", "error"]) console[level] = console.debug;

const WRONG_M = 1e-3;  // if WebGPU and WASM differ by more, WebGPU is wrong

let litert, model, colors, belowMetres, file, canvas, numbers;
let wasm, graph;  // the network on the CPU, and the one in use: that or the GPU's
let limits = null, isWebGpuTried = false;

async function open(here) {
  ({ model, colors, alert_below_m: belowMetres } = here);
  litert = await import("./litert/litert.js");
  const folder = new URL("litert/", self.location.href).href;
  self.Module = { locateFile: (name) => folder + name };
  await litert.loadLiteRt(folder);
  const fetched = await fetch(model.file);
  if (!fetched.ok) throw new Error(`${model.file}: HTTP ${fetched.status}`);
  file = new Uint8Array(await fetched.arrayBuffer());
  graph = wasm = await litert.loadAndCompile(file, { accelerator: "wasm" });
  canvas = new OffscreenCanvas(model.width, model.height);
  const Numbers = { float32: Float32Array, uint8: Uint8Array }[model.input];
  numbers = new Numbers(3 * model.width * model.height);
}

/* One run: the answer and its milliseconds. Tensors are freed by hand: 400 leaked ones crash LiteRT.js. */
async function run(used) {
  const begin = performance.now();
  const picture = new litert.Tensor(numbers, [1, model.height, model.width, 3]);
  let answers = [];
  try {
    answers = await used.run([picture]);
    const values = await answers[0].data();
    return { values, ms: performance.now() - begin };
  } finally {
    for (const tensor of [picture, ...answers]) tensor.delete();
  }
}

/* Switches to WebGPU if it is right and faster. Its second run is compared: with some drivers
   (LiteRT issue 8065) the first is right and all others are wrong. */
async function tryWebGpu(right) {
  isWebGpuTried = true;
  if (!model.webgpu || !litert.getWebGpuDevice()) return null;
  let faster = null;
  try {
    faster = await litert.loadAndCompile(file, { accelerator: "webgpu", gpuOptions: { precision: "fp32" } });
    if (faster.options.accelerator !== "webgpu" || !faster.isFullyAccelerated) throw new Error("it cannot run all of this network");
    await run(faster);
    const second = await run(faster), again = await run(wasm);
    const verdict = { differs_m: farthestOff(second.values, right), ms: second.ms, wasm_ms: again.ms };
    verdict.is_wrong = verdict.differs_m > WRONG_M;
    verdict.is_used = !verdict.is_wrong && verdict.ms < verdict.wasm_ms;
    if (verdict.is_used) graph = faster;
    else faster.delete();
    return verdict;
  } catch (error) {
    faster?.delete();
    return { fault: textOf(error) };
  }
}

/* The answer to the picture in `numbers`. If WebGPU fails, WASM takes over for good. */
async function answer() {
  try {
    return await run(graph);
  } catch (error) {
    if (graph === wasm) throw error;
    graph = wasm;
    self.postMessage({ type: "webgpu", verdict: { fault: textOf(error) } });
    return run(graph);
  }
}

function textOf(error) { return String(error?.message || error); }

function farthestOff(values, right) {
  return values.reduce((most, metres, index) => {
    const off = Math.abs(metres - right[index]);
    return Math.max(most, Number.isNaN(off) ? Infinity : off);
  }, 0);
}

async function show({ number, bitmap, scale, still, camera_fps, camera_ms }) {
  const begin = performance.now();
  const box = place(bitmap, model), pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "#fff";  // behind a transparent picture, instead of the one before
  pen.fillRect(0, 0, model.width, model.height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, box.left, box.top, box.width, box.height);
  bitmap.close();
  numbersOf(pen.getImageData(0, 0, model.width, model.height).data, model, box, numbers);
  const asked = performance.now();
  const { values, ms } = await answer();
  const answered = performance.now();
  const map = cut(values, { width: model.output[1], height: model.output[0] }, box, model, scale);
  limits = followed(still ? null : limits, depthRange(map));
  const [near_m, far_m] = limits, nearest_m = nearestInMiddle(map);
  const measured = performance.now();
  const drawn = colored(map, near_m, far_m, colors);
  const pictures = await Promise.all([
    createImageBitmap(canvas, box.left, box.top, box.width, box.height),
    createImageBitmap(drawn, { resizeWidth: box.width, resizeHeight: box.height })]);
  const head = {
    number, near_m, far_m, ticks: ticks(near_m, far_m), nearest_m, camera_fps, camera_ms,
    alert: belowMetres !== null && nearest_m !== null && nearest_m < belowMetres, network_ms: ms,
    around_ms: measured - answered + asked - begin, drawing_ms: performance.now() - measured,
  };
  self.postMessage({ type: "frame", head, pictures, map, scale }, [...pictures, map.values.buffer]);
  if (!isWebGpuTried) self.postMessage({ type: "webgpu", verdict: await tryWebGpu(values) });
}

let turn = Promise.resolve();  // one message at a time, since some wait for the network

self.onmessage = ({ data }) => {
  turn = turn.then(async () => {
    try {
      if (data.type === "open") {
        await open(data.here);
        self.postMessage({ type: "ready" });
      } else await show(data);
    } catch (error) {
      self.postMessage({ type: "fault", text: textOf(error) });
    }
  });
};
