// The camera of whoever looks at the page, as the source of a stream: pictures go out as JPEGs over
// the stream's WebSocket. It goes on while other parts of the page are shown.

import { Frames, message } from "./frames.js";

const FPS = 30;
const QUALITY = 0.85;
const UNSENT_BYTES = 400_000; // more than that waits in the browser: the way is too slow, skip some
const IN_FLIGHT = 4; // pictures that the server has not answered

export const canUseCamera = () => Boolean(navigator.mediaDevices?.getUserMedia);

/** Asks for it. Throws Error with words for people. */
export async function openCamera() {
  if (!canUseCamera()) {
    throw new Error("A browser gives its camera only to pages from https:// or from this very machine (http://127.0.0.1, http://localhost).");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: FPS } },
      audio: false,
    });
  } catch (error) {
    const words = {
      NotAllowedError: "The camera was not allowed. The lock or camera sign in the address bar changes that.",
      NotFoundError: "No camera was found.",
      NotReadableError: "The camera is in use by another program.",
    };
    throw new Error(words[error.name] ?? `The camera cannot be used: ${error.message}`);
  }
}

/** Feeds one stream from a MediaStream, which it owns. `size`: what is sent, {width, height}. */
export class CameraFeed extends EventTarget {
  sent = 0;
  dropped = 0;
  skipped = 0; // never sent: the way, or the server, was behind
  problem = null;
  #video = document.createElement("video");
  #canvas; // off screen: toBlob of one on screen waits until the page has nothing else to do
  #frames = null;
  #timer = 0;
  #unanswered = 0;
  #encoding = false;
  #begun = performance.now();

  constructor(id, media, size) {
    super();
    this.id = id;
    this.media = media;
    this.size = size;
    this.#canvas = new OffscreenCanvas(size.width, size.height);
    this.#video.muted = true;
    this.#video.playsInline = true;
    this.#video.srcObject = media;
    media.getVideoTracks()[0].addEventListener("ended", () => this.#fail("The camera was unplugged or taken away."));
  }

  async begin() {
    await this.#video.play();
    this.#frames = new Frames(this.id, { side: "none", send: 1 }, {
      note: (note) => this.#heard(note),
      lost: () => (this.#unanswered = 0),
    });
    this.#timer = setInterval(() => this.#send(), 1000 / FPS);
  }

  close() {
    clearInterval(this.#timer);
    this.#frames?.close();
    for (const track of this.media.getTracks()) track.stop();
    this.#video.srcObject = null;
    this.#tell();
  }

  #fail(words) {
    this.problem = words;
    this.close();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }

  async #send() {
    if (!this.#frames.isOpen || this.#encoding) return;
    if (this.#unanswered >= IN_FLIGHT || this.#frames.waiting > UNSENT_BYTES) {
      this.skipped += 1;
      return;
    }
    this.#encoding = true;
    try {
      const seconds = (performance.now() - this.#begun) / 1000;
      const time = Date.now() / 1000;
      this.#draw();
      const blob = await this.#canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
      const bytes = await message(blob, { seq: this.sent, seconds, time, ...this.size });
      if (!this.#frames.isOpen) return;
      this.#frames.send(bytes);
      this.sent += 1;
      this.#unanswered += 1;
    } finally {
      this.#encoding = false;
    }
  }

  /** The middle of the camera's picture, in the shape that is sent. */
  #draw() {
    const { videoWidth, videoHeight } = this.#video;
    const { width, height } = this.size;
    const scale = Math.min(videoWidth / width, videoHeight / height);
    const [w, h] = [width * scale, height * scale];
    this.#canvas.getContext("2d").drawImage(this.#video, (videoWidth - w) / 2, (videoHeight - h) / 2, w, h, 0, 0, width, height);
  }

  #heard(note) {
    if (note.type === "accepted" || note.type === "dropped") this.#unanswered = Math.max(0, this.#unanswered - 1);
    if (note.type === "dropped") this.dropped += 1;
    if (note.type === "refused") this.dropped += note.count;
    if (note.type === "error") this.problem = note.message;
    if (note.type === "ended") this.close();
    this.#tell();
  }
}

const feeds = new Map(); // stream id -> CameraFeed

export const feedOf = (id) => feeds.get(id) ?? null;

/** The size to send: what the stream wants, else the camera's own, 640 wide at most, even. */
export function sizeFor(media, { width, height }) {
  if (width && height) return { width, height };
  const given = media.getVideoTracks()[0].getSettings();
  const scale = Math.min(1, 640 / (given.width || 640));
  const even = (n) => Math.max(16, 2 * Math.round((n * scale) / 2));
  return { width: even(given.width || 640), height: even(given.height || 360) };
}

export async function feed(id, media, wanted) {
  stopFeeding(id);
  const made = new CameraFeed(id, media, sizeFor(media, wanted));
  feeds.set(id, made);
  await made.begin();
  return made;
}

export function stopFeeding(id) {
  feeds.get(id)?.close();
  feeds.delete(id);
}
