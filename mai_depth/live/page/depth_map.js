"use strict";

/* What the server does in Python with pictures and depth maps, for the network in the browser. */

const MIN_DEPTH_M = Math.fround(0.001);  // depth.py: what is not above it was not measured
const MEMORY_FRAMES = 20;   // video.py: the colours follow the scene in about this many frames
const MIN_SPREAD = 1.05;    // colormap.py: a wall seen head-on is one colour

function isMeasured(metres) { return Number.isFinite(metres) && metres > MIN_DEPTH_M; }

/* Where a picture lies in the network's input: whole, with its aspect kept (placement.py). */
function place(picture, network) {
  const scale = Math.min(network.width / picture.width, network.height / picture.height);
  const width = Math.max(1, Math.round(scale * picture.width));
  const height = Math.max(1, Math.round(scale * picture.height));
  return {
    left: Math.floor((network.width - width) / 2), top: Math.floor((network.height - height) / 2),
    width, height,
  };
}

/* For each column or row of the input, the one to read: outside the picture, that of its mirror image. */
function mirrored(length, first, size) {
  return Int32Array.from({ length }, (_, at) => {
    const turn = (((at - first) % (2 * size)) + 2 * size) % (2 * size);
    return first + Math.min(turn, 2 * size - 1 - turn);
  });
}

/* Fills `numbers`, the input's RGB, from the RGBA of a canvas on which the picture lies at `box`. */
function numbersOf(rgba, network, box, numbers) {
  const columns = mirrored(network.width, box.left, box.width);
  const rows = mirrored(network.height, box.top, box.height);
  let at = 0;
  for (let row = 0; row < network.height; row += 1) {
    const start = rows[row] * network.width;
    for (let column = 0; column < network.width; column += 1) {
      const from = 4 * (start + columns[column]);
      numbers[at] = rgba[from];
      numbers[at + 1] = rgba[from + 1];
      numbers[at + 2] = rgba[from + 2];
      at += 3;
    }
  }
}

/* The part of the network's answer that shows the picture, scaled to this camera's metres. */
function cut(answer, size, box, network, scale) {
  const across = size.width / network.width, down = size.height / network.height;
  const left = Math.round(across * box.left), top = Math.round(down * box.top);
  const width = Math.max(1, Math.round(across * box.width));
  const height = Math.max(1, Math.round(down * box.height));
  const values = new Float32Array(width * height);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const metres = scale * answer[(top + row) * size.width + left + column];
      values[row * width + column] = Number.isFinite(metres) ? metres : 0;
    }
  }
  return { values, width, height };
}

/* The measured depths in every `step`-th row and column of `box`, in rising order. */
function samples(map, step, box = { left: 0, top: 0, right: map.width, bottom: map.height }) {
  const found = [];
  for (let row = box.top; row < box.bottom; row += step) {
    for (let column = box.left; column < box.right; column += step) {
      const metres = map.values[row * map.width + column];
      if (isMeasured(metres)) found.push(metres);
    }
  }
  return Float32Array.from(found).sort();
}

function percentile(rising, share) {
  const at = share * (rising.length - 1) / 100, below = Math.floor(at);
  const above = Math.min(below + 1, rising.length - 1);
  return rising[below] + (at - below) * (rising[above] - rising[below]);
}

/* The depths between which the colours are spread (colormap.depth_range). */
function depthRange(map) {
  const rising = samples(map, 8);
  if (!rising.length) return [0, 1];
  const near = percentile(rising, 2), far = percentile(rising, 98);
  const middle = Math.sqrt(near * far), spread = Math.sqrt(MIN_SPREAD);
  return [Math.min(near, middle / spread), Math.max(far, middle * spread)];
}

/* The same for a video: a running average, so that its colours do not flicker. */
function followed(before, limits) {
  if (!before) return limits;
  return before.map((limit, index) => limit + (limits[index] - limit) / MEMORY_FRAMES);
}

/* How near the nearest thing in the middle third is (drawing.nearest_in_middle). */
function nearestInMiddle(map) {
  const across = Math.floor(map.width / 3), down = Math.floor(map.height / 3);
  const rising = samples(map, 4, {
    left: across, top: down, right: map.width - across, bottom: map.height - down });
  return rising.length ? percentile(rising, 2) : null;
}

/* Round depths for the scale (colormap.ticks). */
function ticks(near, far) {
  const count = 6, spread = Math.max(far - near, 1e-6);
  for (let exponent = Math.floor(Math.log10(spread)) - 1; ; exponent += 1) {
    for (const digit of [1, 2, 5]) {
      const step = digit * 10 ** exponent;
      const first = Math.ceil(near / step - 1e-9), last = Math.floor(far / step + 1e-9);
      if (last - first + 1 > count) continue;
      let values = Array.from({ length: Math.max(last - first + 1, 0) }, (_, index) => (first + index) * step);
      if (!values.length) values = [(near + far) / 2];
      return values.map((metres, index) => [
        metres.toFixed(Math.max(-exponent, 0)) + (index === values.length - 1 ? " m" : ""), metres]);
    }
  }
}

/* Colours a map: `colors` runs from far to near, and what was not measured is black. */
function colored(map, near, far, colors) {
  const picture = new ImageData(map.width, map.height), pixels = picture.data;
  const slope = 255 / Math.max(far - near, 1e-6);
  for (let index = 0; index < map.values.length; index += 1) {
    const metres = map.values[index], at = 4 * index;
    pixels[at + 3] = 255;
    if (!isMeasured(metres)) continue;
    const color = colors[Math.round(Math.min(255, Math.max(0, slope * (far - metres))))];
    pixels[at] = color[0];
    pixels[at + 1] = color[1];
    pixels[at + 2] = color[2];
  }
  return picture;
}
