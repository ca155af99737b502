"use strict";

/* Frames from the server's camera. Each is acknowledged once it is drawn; only then is the next one sent. */

const decoder = new TextDecoder();

const connection = {
  socket: null, isWanted: false, waiting: 0, lagAsked: 0, retryMs: 250,

  open() {
    this.isWanted = true;
    const address = new URL("frames", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = this.socket = new WebSocket(address.href);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      if (socket === this.socket) typeof data === "string" ? this.hear(JSON.parse(data)) : this.receive(data);
    };
    socket.onclose = () => {
      if (!this.isWanted || socket !== this.socket) return;
      say("Connection lost; trying again.");
      setTimeout(() => this.isWanted && this.open(), this.retryMs);
      this.retryMs = Math.min(2 * this.retryMs, 4000);
    };
  },

  close() {
    this.isWanted = false;
    this.socket?.close();
    this.socket = null;
  },

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  },

  hear(message) {
    if (message.type !== "hello") { hear(message); return; }
    this.retryMs = 250;
    this.waiting = 0;
    say("Waiting for the camera.");
    begin(message.colors, message.alert_below_m);
  },

  async receive(data) {
    const length = new DataView(data).getUint32(0, true);
    const next = JSON.parse(decoder.decode(new Uint8Array(data, 4, length)));
    if (!this.isWelcome(next)) return;
    const middle = 4 + length + next.photo_bytes;
    const pictures = await Promise.all([data.slice(4 + length, middle), data.slice(middle)].map(
      (jpeg) => createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }))));
    if (source === this && this.isWelcome(next)) show(next, pictures);
  },

  /* Whether a frame is drawn: while frozen, none but the one on the page, sent again in a new calibration. */
  isWelcome(next) {
    if (next.again) return next.number === head?.number;
    if (frozen) this.waiting = next.number;
    return !frozen;
  },

  drawn(number) {
    const message = { ack: number, frozen, ...point };
    if (performance.now() - this.lagAsked > 500) {
      this.lagAsked = performance.now();
      message.lag = true;
    }
    this.send(message);
  },

  goOn() {
    if (this.waiting) this.drawn(this.waiting);
    this.waiting = 0;
  },

  calibrate(metres) { this.send({ type: "calibrate", ...point, distance_m: metres }); },

  reset() { this.send({ type: "reset" }); },

  async depthFile(number) {
    const answer = await fetch(`depth.png?frame=${number}`);
    return answer.ok ? answer.blob() : null;
  },
};
