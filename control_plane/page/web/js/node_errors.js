// The server's node_errors, each with its node, and a way to the node in the text.

import { h } from "./dom.js";

/** Elements for `errors` ({id: {class_type, errors}}); `text`: the textarea with the workflow. */
export function nodeErrorList(errors, text) {
  const entries = Object.entries(errors ?? {});
  if (!entries.length) return [];
  return [h("ul.node-errors", { aria: { label: "Errors by node" } }, entries.map(([id, found]) => entry(id, found, text)))];
}

function entry(id, { class_type: type, errors }, text) {
  const where = id === "" ? "The workflow as a whole" : ["Node ", h("code", {}, id), type ? [" (", h("code", {}, type), ")"] : null];
  const at = id === "" ? -1 : positionOf(text.value, id);
  return h("li", { data: { node: id } },
    h("p.which", {}, where),
    errors.map((error) => h("p", { data: { type: error.type } }, error.message)),
    at < 0 ? null : h("button.inline.small", { type: "button", onclick: () => goTo(text, at, id) }, "Show it in the text"));
}

/** Where the node of this id begins; -1 when it cannot be told. */
function positionOf(value, id) {
  const key = JSON.stringify(id).replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const found = new RegExp(`${key}\\s*:\\s*\\{`).exec(value);
  return found ? found.index : -1;
}

function goTo(text, at, id) {
  const line = text.value.slice(0, at).split("\n").length - 1;
  text.focus();
  text.setSelectionRange(at, at + JSON.stringify(id).length);
  text.scrollTop = Math.max(0, line - 2) * parseFloat(getComputedStyle(text).lineHeight);
}
