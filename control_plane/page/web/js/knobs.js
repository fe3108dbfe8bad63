// The numbers, switches and choices of a workflow's nodes, to be turned while it runs.

import { call } from "./api.js";
import { freshId, h } from "./dom.js";

const WAIT_MS = 120; // while a knob is turned, not every step is sent
const STEPS = 400; // a slider over a wider range is too coarse to be of use

const catalogues = new Map(); // engine -> promise of its nodes

function catalogue(engine) {
  if (!catalogues.has(engine)) {
    const asked = call("GET", `/nodes?engine=${encodeURIComponent(engine)}`);
    asked.catch(() => catalogues.delete(engine)); // another time it may answer
    catalogues.set(engine, asked);
  }
  return catalogues.get(engine);
}

/** {element, show(workflow, engine)}. `onTurn(workflow)`: returns a promise; calls do not overlap. */
export function knobsView(onTurn) {
  const element = h("div.knobs");
  let workflow = null;
  let timer = 0;
  let busy = false;
  let again = false;

  async function send() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      do {
        again = false;
        await onTurn(workflow);
      } while (again);
    } finally {
      busy = false;
    }
  }

  function turned(node, name, value) {
    workflow[node].inputs[name] = value;
    clearTimeout(timer);
    timer = setTimeout(send, WAIT_MS);
  }

  async function show(given, engine) {
    workflow = structuredClone(given);
    const nodes = await catalogue(engine);
    const groups = Object.entries(workflow).map(([id, node]) => group(id, node, nodes[node.class_type], turned));
    const found = groups.filter(Boolean);
    element.replaceChildren(...(found.length ? found : [h("p.soft", {}, "Nothing to turn: this workflow's nodes have no values of their own.")]));
  }

  return { element, show, close: () => clearTimeout(timer) };
}

function group(id, node, info, turned) {
  if (!info) return null;
  const specs = { ...info.input?.required, ...info.input?.optional };
  const rows = Object.entries(node.inputs ?? {})
    .filter(([name, value]) => specs[name] && !Array.isArray(value))
    .map(([name, value]) => knob(name, value, specs[name], (v) => turned(id, name, v)))
    .filter(Boolean);
  if (!rows.length) return null;
  const title = node._meta?.title ?? info.display_name ?? node.class_type;
  return h("fieldset", { data: { node: id } }, h("legend", {}, title, " ", h("span.hint", {}, `node ${id}`)), rows);
}

function knob(name, value, [type, options = {}], turned) {
  const label = name.replaceAll("_", " ");
  if (Array.isArray(type) || type === "COMBO") return list(label, value, Array.isArray(type) ? type : options.options ?? [], turned);
  if (type === "INT" || type === "FLOAT") return number(label, value, type, options, turned);
  if (type === "BOOLEAN") {
    const box = h("input", { type: "checkbox", checked: Boolean(value), onchange: () => turned(box.checked) });
    return h("label.check", {}, box, label);
  }
  if (type !== "STRING") return null;
  const text = options.multiline
    ? h("textarea", { rows: 3, value, oninput: () => turned(text.value) })
    : h("input", { value, oninput: () => turned(text.value) });
  return h("label", {}, label, text);
}

function list(label, value, choices, turned) {
  const select = h("select", { onchange: () => turned(choices[select.selectedIndex]) }, choices.map((c) => h("option", { selected: c === value }, String(c))));
  return h("label", {}, label, select);
}

function number(label, value, type, options, turned) {
  const { min = 0, max = type === "INT" ? 100 : 1 } = options;
  const step = options.step ?? (type === "INT" ? 1 : 0.01);
  const id = freshId("knob");
  const exact = h("input", { type: "number", id, min, max, step: "any", value, oninput: () => follow(exact, slider) });
  const wide = (max - min) / step > STEPS * 25;
  const slider = wide ? null : h("input", { type: "range", min, max, step, value, aria: { label: `${label}, slider` }, oninput: () => follow(slider, exact) });
  function follow(from, other) {
    const given = Number(from.value);
    if (from.value === "" || Number.isNaN(given)) return;
    if (other) other.value = from.value;
    turned(type === "INT" ? Math.round(given) : given);
  }
  return h("div.label", {}, h("label", { htmlFor: id }, label), slider ? h("div.turn", {}, slider, exact) : exact);
}
