"use strict";

/* Depth as a 16-bit gray PNG in millimetres, as depth.py writes it: 0 = missing. */

const CRC = Uint32Array.from({ length: 256 }, (_, start) => {
  let value = start;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

async function depthPng(map) {
  const head = new DataView(new ArrayBuffer(13));
  head.setUint32(0, map.width);
  head.setUint32(4, map.height);
  head.setUint8(8, 16);  // bit depth; the rest of the head is 0: gray, deflate, no interlacing
  const rows = new DataView(new ArrayBuffer(map.height * (1 + 2 * map.width)));
  map.values.forEach((metres, index) => {
    const row = Math.floor(index / map.width), column = index % map.width;
    const units = isMeasured(metres) ? Math.min(Math.round(1000 * metres), 65534) : 0;
    rows.setUint16(row * (1 + 2 * map.width) + 1 + 2 * column, units);
  });
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(packed).arrayBuffer());
  return new Blob([
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk("IHDR", new Uint8Array(head.buffer)), chunk("IDAT", data), chunk("IEND", new Uint8Array())],
  { type: "image/png" });
}

function chunk(name, data) {
  const bytes = new Uint8Array(12 + data.length), view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(data, 8);
  let crc = 0xffffffff;
  for (const byte of bytes.subarray(4, 8 + data.length)) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  view.setUint32(8 + data.length, (crc ^ 0xffffffff) >>> 0);
  return bytes;
}
