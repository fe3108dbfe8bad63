// What a stream's workflow says beside its picture: its last texts, the newest at the end.

import { address, refusal, request, streamPath, token } from "./api.js";
import { copied, h, setText } from "./dom.js";
import { sentence } from "./refusals.js";
import { store } from "./store.js";
import { clock, count } from "./words.js";

/** {element, update(), close()}. Hidden as long as nothing was said. */
export function textsView(id) {
  const title = h("h2", { id: `texts-${id}` }, "Texts");
  const list = h("ol.said", { tabIndex: 0, role: "log", aria: { labelledby: title.id, live: "off" } });
  const hold = h("button.slim", { type: "button", aria: { pressed: "false" }, onclick: toggle }, "Hold");
  const words = h("span.soft.small.number");
  const all = h("a.small", { href: address(streamPath(id, "text")).href, target: "_blank", onclick: readAll }, "The last 500");
  const element = h("section.panel.stack", { hidden: true, aria: { labelledby: title.id } },
    h("div.row.spread", {}, title, h("span.row", {}, words, all, hold)), list);
  const rows = new Map(); // entry -> its row
  let held = false;

  function toggle() {
    held = !held;
    hold.setAttribute("aria-pressed", String(held));
    setText(hold, held ? "Go on" : "Hold");
    update();
  }

  /** A link brings no token: with one, the texts are fetched and saved as a file. */
  async function readAll(event) {
    if (token() === null) return;
    event.preventDefault();
    try {
      const answer = await request("GET", streamPath(id, "text"));
      if (!answer.ok) throw await refusal(answer);
      const url = URL.createObjectURL(await answer.blob());
      h("a", { href: url, download: `${id}-texts.jsonl` }).click();
      URL.revokeObjectURL(url);
    } catch (error) {
      setText(words, sentence(error));
    }
  }

  function update() {
    const said = store.texts.get(id);
    element.hidden = !said?.entries.length;
    if (element.hidden || held) return;
    setText(words, said.skipped ? `${count(said.total)} so far, ${count(said.skipped)} not shown: the newest of each second are` : `${count(said.total)} so far`);
    for (const [entry, row] of rows) {
      if (said.entries.includes(entry)) continue;
      row.element.remove();
      rows.delete(entry);
    }
    for (const entry of said.entries) {
      if (!rows.has(entry)) {
        rows.set(entry, makeRow(entry));
        list.append(rows.get(entry).element);
      }
      rows.get(entry).update();
    }
    list.scrollTop = list.scrollHeight;
  }

  store.addEventListener("texts", heard);
  function heard({ detail }) {
    if (detail === null || detail === id) update();
  }
  update();
  return { element, update, close: () => store.removeEventListener("texts", heard) };
}

function makeRow(entry) {
  const time = h("time");
  const times = h("span.soft.small.number");
  const copy = h("button.slim", { type: "button", aria: { label: `Copy the text of node ${entry.node}` } }, "Copy");
  const text = h("span.text", {}, entry.text);
  copy.addEventListener("click", () => copied(copy, entry.text, text));
  const element = h("li", { data: { node: entry.node } },
    h("p.row.small.soft", {}, time, h("span", {}, "node ", h("code", {}, entry.node)), times),
    h("p.words", {}, text, entry.truncated ? h("span.soft", {}, " … (cut)") : null), copy);
  return {
    element,
    update() {
      const at = new Date(entry.at).toISOString();
      if (time.dateTime !== at) Object.assign(time, { dateTime: at, title: at, textContent: clock(at) });
      setText(times, entry.times > 1 ? `${count(entry.times)} times` : "");
    },
  };
}
