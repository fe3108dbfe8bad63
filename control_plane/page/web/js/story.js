// What happened to a stream: its start, its workers' deaths, its errors, its end.

import { call, streamPath } from "./api.js";
import { h } from "./dom.js";
import { sentence } from "./refusals.js";
import { clock, endInWords, errorInWords, healthOf, plural } from "./words.js";

/** {element, update(status)} */
export function storyView(id) {
  const element = h("ol.story", { aria: { label: "Story" } });
  let shown = "";

  function update(status) {
    const key = JSON.stringify([status.started_at, status.ready_at, status.deaths, status.last_error, status.ended_at, status.restarts, status.node_errors, status.changes]);
    if (key === shown) return; // an open log must not close because another second went by
    shown = key;
    const entries = [
      entry(status.started_at, "", "Asked for", `Engine ${status.engine}${status.device ? ` on ${status.device}` : ""}.`),
      status.ready_at && entry(status.ready_at, "ok", "Ready", "Its workflow is loaded."),
      ...runsOf(status.changes ?? []).map(changeEntry),
      ...status.deaths.map((death, n) => deathEntry(id, death, n)),
      status.last_error && errorEntry(id, status),
      status.ended_at && endEntry(status),
    ].filter(Boolean);
    entries.sort((a, b) => a.at.localeCompare(b.at));
    element.replaceChildren(...entries.map((e) => e.item));
    if (status.restarts > status.deaths.length) {
      element.prepend(h("li", {}, h("span"), h("p.soft", {}, `${plural(status.restarts, "restart", "restarts")} in all; the last ten are told.`)));
    }
  }
  return { element, update, close() {} };
}

function entry(at, tone, title, ...more) {
  const item = h("li", {}, h("time", { dateTime: at, title: at }, clock(at)),
    h("div.what", { data: { tone } }, h("strong", {}, title), ...more.map((part) => (typeof part === "string" ? h("p", {}, part) : part))));
  return { at, item };
}

/** Node id and type, where a node is the reason. */
function nodeOf({ node_id: node, node_type: type }) {
  return node === null || node === undefined ? null : h("p", {}, "In node ", h("code", {}, node), type ? [" (", h("code", {}, type), ")"] : null);
}

const TURNING_MS = 5000; // changes of the same thing with less between them are one: a knob was turned

/** Changes that follow each other and are of the same things, as one each. */
function runsOf(changes) {
  const runs = [];
  for (const change of changes) {
    const things = change.what.map((line) => line.split(": ")[0]).join();
    const last = runs.at(-1);
    if (last?.things === things && Date.parse(change.time) - Date.parse(last.to.time) < TURNING_MS) last.to = change;
    else runs.push({ things, from: change, to: change });
  }
  return runs;
}

function changeEntry({ from, to }) {
  const first = new Map(from.what.map((line) => line.split(" -> ")));
  const lines = to.what.map((line) => {
    const [head, value] = line.split(" -> ");
    if (value === undefined || from === to) return line.replace(" -> ", " → ");
    const thing = head.split(": ")[0];
    const before = [...first.keys()].find((key) => key.startsWith(`${thing}: `)) ?? head;
    return `${before} → ${value}`;
  });
  const revisions = from === to ? `Revision ${to.revision}` : `Revisions ${from.revision} to ${to.revision}`;
  return entry(to.time, "", "Changed", ...lines, h("p.soft", {}, `${revisions}.`));
}

function deathEntry(id, death, n) {
  return entry(death.time, "bad", "A worker died", endInWords(death),
    death.message ? h("p", {}, death.message) : null, nodeOf(death), lastLines(id, (full) => full.deaths[n]?.log_tail));
}

function errorEntry(id, status) {
  const error = status.last_error;
  const node = status.node_errors ? ` ${plural(status.node_errors, "frame or piece of sound", "frames or pieces of sound")} met an error in a node so far.` : "";
  return entry(error.time, "bad", "Last error", h("p", {}, errorInWords({ ...error, node_id: null })), nodeOf(error),
    node ? h("p.soft", {}, node.trim()) : null, status.running ? null : lastLines(id, (full) => full.last_error?.log_tail));
}

function endEntry(status) {
  const { tone, word } = healthOf(status);
  return entry(status.ended_at, tone === "bad" ? "bad" : "ok", word, endInWords(status));
}

/** The end of the log, fetched when somebody wants to see it. */
function lastLines(id, pick) {
  const pre = h("pre", { tabIndex: 0, aria: { label: "Last lines of its log" } }, "Reading …");
  const details = h("details", {}, h("summary", {}, "Last lines of its log"), pre);
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    try {
      pre.textContent = pick(await call("GET", streamPath(id, "status"))) || "There are none.";
    } catch (error) {
      pre.textContent = sentence(error);
    }
  });
  return details;
}
