// A worker's log as it grows.

import { request, refusal, streamPath } from "./api.js";
import { h } from "./dom.js";
import { readPieces } from "./lines.js";

const KEPT = 2000; // lines
const TAIL = 200;
const LEVEL = /^\S+ (DEBUG|INFO|WARNING|ERROR|CRITICAL) /;

/** {element, close()} */
export function logView(id) {
  const box = h("pre.log", { tabIndex: 0, role: "log", aria: { label: "Log of the worker", live: "off" } });
  const state = h("span.soft.small", { role: "status" }, "Reading …");
  const follow = h("input", { type: "checkbox", checked: true });
  const again = h("button.slim", { type: "button", hidden: true, onclick: read }, "Read again");
  const element = h("div.stack", {},
    h("div.row.spread", {}, h("label.check", {}, follow, "Stay at the newest line"), h("span.row", {}, state, again)), box);
  follow.addEventListener("change", toEnd);

  let ending = null;
  let waiting = [];
  let drawing = 0;
  let level = "info"; // of the last line that has one: a traceback's lines belong to it

  function toEnd() {
    if (follow.checked) box.scrollTop = box.scrollHeight;
  }

  function draw() {
    drawing = 0;
    box.append(...waiting);
    waiting = [];
    while (box.childElementCount > KEPT) box.firstElementChild.remove();
    toEnd();
  }

  function add(line) {
    const found = LEVEL.exec(line);
    if (found) level = found[1] === "CRITICAL" ? "error" : found[1].toLowerCase();
    waiting.push(h(`span.${level}`, {}, line + "\n"));
    drawing ||= requestAnimationFrame(draw);
  }

  async function read() {
    ending?.abort();
    const mine = (ending = new AbortController());
    again.hidden = true;
    box.replaceChildren();
    try {
      const path = streamPath(id, `logs?tail=${TAIL}&follow=1`);
      const answer = await request("GET", path, { signal: mine.signal });
      if (!answer.ok) throw await refusal(answer);
      state.textContent = "Live";
      await readPieces(answer.body, "\n", add, { keepLast: true });
      state.textContent = "The stream has ended";
    } catch (error) {
      if (mine.signal.aborted) return;
      state.textContent = `Cut off: ${error.message}`;
    }
    again.hidden = false;
  }

  function onVisibility() {
    if (document.hidden) ending?.abort(); // a browser has six connections to a server, for all its tabs
    else read();
  }
  document.addEventListener("visibilitychange", onVisibility);
  read();
  return {
    element,
    close() {
      document.removeEventListener("visibilitychange", onVisibility);
      cancelAnimationFrame(drawing);
      ending?.abort();
    },
  };
}
