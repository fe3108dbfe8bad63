// The pictures of a stream over a WebSocket, both ways. A message is a header of 44 bytes, little
// endian, and a JPEG:
//
//   0 "CTF1"   4 kind u8   5 side u8   6 flags u16   8 seq u64   16 pts i64   24 time f64
//   32 width u32   36 height u32   40 reserved u32
//
// kind 1: JPEG. side 0: as it came in, 1: as it went out, 2: both of one frame beside each other, the
// former on the left. flags bit 0: the picture stands for one that failed. pts in 1/90000 s. time is
// the sender's clock, which comes back with what became of the frame. Text messages are JSON, about
// what happened to what was sent.

import { address, streamPath, subprotocols } from "./api.js";

const HEADER = 44;
const MAGIC = 0x31465443; // "CTF1" read as little endian
const JPEG = 1;
const PAUSES_MS = [500, 1000, 2000, 4000];

export const IN = 0;
export const OUT = 1;
export const BOTH = 2;

/** {side, marked, seq, time, jpeg} or null for what is no picture. */
export function parse(buffer) {
  if (buffer.byteLength <= HEADER) return null;
  const view = new DataView(buffer);
  if (view.getUint32(0, true) !== MAGIC || view.getUint8(4) !== JPEG) return null;
  return {
    side: view.getUint8(5),
    marked: (view.getUint16(6, true) & 1) === 1,
    seq: Number(view.getBigUint64(8, true)),
    time: view.getFloat64(24, true),
    jpeg: new Blob([new Uint8Array(buffer, HEADER)], { type: "image/jpeg" }),
  };
}

/** A message with a picture for the stream to work on. */
export async function message(blob, { seq, seconds, time, width, height }) {
  const jpeg = new Uint8Array(await blob.arrayBuffer());
  const buffer = new ArrayBuffer(HEADER + jpeg.length);
  const view = new DataView(buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint8(4, JPEG);
  view.setUint8(5, IN);
  view.setBigUint64(8, BigInt(seq), true);
  view.setBigInt64(16, BigInt(Math.round(seconds * 90000)), true);
  view.setFloat64(24, time, true);
  view.setUint32(32, width, true);
  view.setUint32(36, height, true);
  new Uint8Array(buffer, HEADER).set(jpeg);
  return buffer;
}

/** A connection that is made again until it is closed. */
export class Frames {
  #socket = null;
  #closed = false;
  #timer = 0;
  #attempt = 0;

  /** `wish`: side, fps, width, send. `on.frame(picture)`, `on.note(object)`, `on.lost()`: optional. */
  constructor(id, wish, on) {
    const query = new URLSearchParams(wish);
    this.url = address(`${streamPath(id, "frames")}?${query}`);
    this.url.protocol = this.url.protocol === "https:" ? "wss:" : "ws:";
    this.on = on;
    this.#connect();
  }

  get waiting() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  send(buffer) {
    this.#socket.send(buffer);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    if (socket.readyState === WebSocket.CONNECTING) {
      socket.onopen = () => socket.close(1000); // closing it now would be an error on the console
    } else {
      socket.close(1000);
    }
  }

  #connect() {
    const socket = new WebSocket(this.url, subprotocols());
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      this.#attempt = 0;
      if (typeof data === "string") this.#note(JSON.parse(data));
      else this.#frame(parse(data));
    };
    socket.onclose = () => {
      if (this.#closed) return;
      this.on.lost?.();
      const pause = PAUSES_MS[Math.min(this.#attempt++, PAUSES_MS.length - 1)];
      this.#timer = setTimeout(() => this.#connect(), pause);
    };
    this.#socket = socket;
  }

  #note(note) {
    if (note.type === "ended") this.#closed = true; // it would be refused from now on
    this.on.note?.(note);
  }

  #frame(picture) {
    if (picture) this.on.frame?.(picture);
  }
}

/** Draws the newest picture on the canvases, by side; one that comes while another is decoded waits,
 *  or is replaced by a newer one. */
export class Painter {
  #busy = false;
  #next = null;

  constructor(canvases, onPaint = () => {}) {
    this.canvases = canvases;
    this.onPaint = onPaint;
  }

  async paint(picture) {
    this.#next = picture;
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (this.#next) {
        const now = this.#next;
        this.#next = null;
        await this.#draw(now);
      }
    } finally {
      this.#busy = false;
    }
  }

  async #draw(picture) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(picture.jpeg);
    } catch {
      return; // a damaged JPEG: the next one comes soon
    }
    if (picture.side === BOTH) {
      const half = bitmap.width / 2;
      put(this.canvases[IN], bitmap, 0, half);
      put(this.canvases[OUT], bitmap, half, half);
    } else {
      put(this.canvases[picture.side], bitmap, 0, bitmap.width);
    }
    bitmap.close();
    this.onPaint(picture);
  }
}

function put(canvas, bitmap, left, width) {
  const { height } = bitmap;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.getContext("2d").drawImage(bitmap, left, 0, width, height, 0, 0, width, height);
  canvas.dataset.painted = Number(canvas.dataset.painted ?? 0) + 1;
}
