// What happened to a stream: its start, its workers' deaths, its errors, its end.

import { call, inWords, streamPath } from "./api.js";
import { h } from "./dom.js";
import { clock, exitInWords, healthOf, plural } from "./words.js";

/** {element, update(status)} */
export function storyView(id) {
  const element = h("ol.story", { aria: { label: "Story" } });
  let shown = "";

  function update(status) {
    const key = JSON.stringify([status.started_at, status.ready_at, status.deaths, status.last_error, status.ended_at, status.restarts, status.node_errors]);
    if (key === shown) return; // an open log must not close because another second went by
    shown = key;
    const entries = [
      entry(status.started_at, "", "Asked for", `Engine ${status.engine}${status.device ? ` on ${status.device}` : ""}.`),
      status.ready_at && entry(status.ready_at, "ok", "Ready", "Its workflow is loaded."),
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

function how(end) {
  if (end.signal ?? end.exit_signal) return ` (${end.signal ?? end.exit_signal})`;
  return end.exit_code ? ` (exit code ${end.exit_code})` : "";
}

function deathEntry(id, death, n) {
  return entry(death.time, "bad", "A worker died", exitInWords(death.exit_cause).replace(/\.$/, how(death) + "."),
    death.message ? h("p", {}, death.message) : null, nodeOf(death), lastLines(id, (full) => full.deaths[n]?.log_tail));
}

function errorEntry(id, status) {
  const error = status.last_error;
  const node = status.node_errors ? ` ${plural(status.node_errors, "frame", "frames")} met an error in a node so far.` : "";
  return entry(error.time, "bad", `Last error: ${error.kind}`, h("p", {}, error.message), nodeOf(error),
    node ? h("p.soft", {}, node.trim()) : null, status.running ? null : lastLines(id, (full) => full.last_error?.log_tail));
}

function endEntry(status) {
  const { tone, word } = healthOf(status);
  return entry(status.ended_at, tone === "bad" ? "bad" : "ok", word, exitInWords(status.exit_cause).replace(/\.$/, how(status) + "."));
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
      pre.textContent = inWords(error);
    }
  });
  return details;
}
