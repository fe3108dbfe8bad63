// Every other figure of a stream, and its status as JSON.

import { call, streamPath } from "./api.js";
import { h, setText } from "./dom.js";
import { sentence } from "./refusals.js";
import { soundInWords } from "./sound.js";
import { bytes, clock, count } from "./words.js";

const ROWS = [
  ["Source", (s) => [s.subscribe_url ?? "the page's camera, or another caller", s.source && ` (${s.source})`].filter(Boolean).join("")],
  ["Sink", (s) => [s.publish_url ?? "none: watched here alone", s.sink && s.publish_url && ` (${s.sink})`].filter(Boolean).join("")],
  ["State", (s) => s.state],
  ["Engine", (s) => [s.engine, s.detail.graph].filter(Boolean).join(", ")],
  ["Device", (s) => s.device ?? "–"],
  ["Worker", (s) => (s.pid === null ? "–" : `process ${s.pid}`)],
  ["Frame size", (s) => (s.width === null ? "–" : `${s.width} × ${s.height}`)],
  ["Nodes", (s) => (s.detail.live_nodes === undefined ? "–" : `${s.detail.live_nodes} for every frame, ${s.detail.constant_nodes} computed once`)],
  ["Codecs", (s) => [s.detail.codec_in, s.detail.encoder].filter(Boolean).join(" in, ") + (s.detail.encoder ? " out" : "") || "–"],
  ["Frames", (s) => `${count(s.frames.in)} in, ${count(s.frames.out)} out${s.frames.passed_through ? `, ${count(s.frames.passed_through)} of them as they came in` : ""}`],
  ["Segments", (s) => `${count(s.segments.in)} in, ${count(s.segments.out)} out, ${count(s.segments.lost)} lost`],
  ["Bytes", (s) => `${bytes(s.bytes.in)} in, ${bytes(s.bytes.out)} out`],
  ["Sound", (s) => soundInWords(s) ?? "–"],
  ["Transport retries", (s) => count(s.transport_retries)],
  ["Memory", (s) => `${bytes(s.memory.rss)}${s.memory.device === null ? "" : `, ${bytes(s.memory.device)} on the device`}`],
  ["Params", (s) => `revision ${s.params_revision}`],
  ["Started", (s) => clock(s.started_at)],
];

/** {element, update(status), close()} */
export function detailsView(id) {
  const cells = ROWS.map(() => h("dd"));
  const json = h("pre.log", { tabIndex: 0, hidden: true, aria: { label: "Status as JSON" } });
  const button = h("button.slim", { type: "button", onclick: show }, "Show the whole status");
  const element = h("div.stack", {},
    h("dl.facts-list", {}, ROWS.map(([name], n) => [h("dt", {}, name), cells[n]])), h("p", {}, button), json);
  async function show() {
    json.hidden = false;
    try {
      json.textContent = JSON.stringify(await call("GET", streamPath(id, "status")), null, 2);
      button.textContent = "Read it again";
    } catch (error) {
      json.textContent = sentence(error);
    }
  }
  return {
    element,
    update(status) {
      ROWS.forEach(([, text], n) => setText(cells[n], text(status)));
    },
    close() {},
  };
}
