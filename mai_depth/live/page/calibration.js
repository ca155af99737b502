"use strict";

/* Fits this device's camera factor to the clicked points, as the server does (calibration.py). */

const DISAGREES = 1.25;

function fitScale(points) {
  const logs = points.map(({ answered, measured }) => Math.log(measured / answered));
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length;
  const squares = logs.reduce((sum, log) => sum + (log - mean) ** 2, 0);
  const rising = [...logs].sort((one, other) => one - other), half = rising.length >> 1;
  const median = rising.length % 2 ? rising[half] : (rising[half - 1] + rising[half]) / 2;
  return {
    scale: Math.exp(mean),
    error: logs.length > 1 ? Math.sqrt(squares / (logs.length - 1) / logs.length) : null,
    disagreeing: logs.filter((log) => Math.abs(log - median) > Math.log(DISAGREES)).length,
  };
}

/* The factor for a picture of `size` beside one of `first`, both [width, height], as Camera.factor in
   camera_file.py: a turned phone has the same focal length, but its picture is padded. */
function turnedBy(first, size, model) {
  const inWidths = ([width, height]) =>
    Math.max(width, height) / Math.max(width, height * model.width / model.height);
  return inWidths(size) / inWidths(first);
}

/* The message that the server's Calibration would send (measuring.py); `size` is that of the first picture. */
function toldOf(points, model, size) {
  if (!points.length) return { points: 0, text: "" };
  const { scale, error, disagreeing } = fitScale(points), count = points.length;
  const off = error === null ? "" : ` +- ${(100 * error).toFixed(1)} %`;
  return {
    points: count, disagreeing, text: `depth x ${scale.toFixed(3)}${off} (${count} point${count > 1 ? "s" : ""})`,
    file: {
      kind: "mai_depth camera", scale, standard_error: error, points: count,
      network: model.name, network_sha256: model.sha256, size,
    },
  };
}
