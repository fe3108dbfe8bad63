// The numbers, switches and choices of a workflow's nodes, to be turned while it runs.

import { call } from "./api.js";
import { freshId, h } from "./dom.js";

const WAIT_MS = 120; // while a knob is turned, not every step is sent
const TYPING_MS = 1500; // who types has stopped when nothing more comes for so long
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

/**
 * {element, show(workflow, engine), inWords(error), close()}. `onTurn(workflow)`: returns a promise,
 * which rejects when the values are refused: then those knobs go back. Calls do not overlap.
 * `tell(words)`: why what stands in a knob is not sent; null: it is empty, which is no fault yet.
 */
export function knobsView(onTurn, tell) {
  const element = h("div.knobs");
  let workflow = null; // with what was turned
  let accepted = null; // as it runs
  let knobs = new Map(); // "node name" -> {show(value), refuse(back), label}
  let timer = 0;
  let busy = false;
  let again = false;
  let unsent = null; // what was told of a knob since the last turn

  async function send() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      do {
        again = false;
        await attempt();
      } while (again);
    } finally {
      busy = false;
    }
  }

  async function attempt() {
    const sent = structuredClone(workflow);
    try {
      await onTurn(sent);
      accepted = sent;
      if (unsent) tell(unsent); // the answer is to what was turned before that
    } catch {
      takeBack(sent); // the owner has said why
    }
  }

  /** What was refused goes back to what runs; what was turned meanwhile stays to be tried. */
  function takeBack(refused) {
    for (const [key, { node, name, refuse }] of knobs) {
      if (!accepted[node] || !refused[node]) continue; // meanwhile another workflow came
      const value = accepted[node].inputs[name];
      const given = refused[node].inputs[name];
      if (same(given, value) || !same(workflow[node].inputs[name], given)) continue;
      workflow[node].inputs[name] = value;
      refuse(() => knobs.get(key)?.show(value));
    }
  }

  function turned(node, name, value) {
    unsent = null;
    workflow[node].inputs[name] = value;
    clearTimeout(timer);
    timer = setTimeout(send, WAIT_MS);
  }

  /** `words`: why what stands there is no value; null: nothing stands there. */
  function odd(node, name, words) {
    const knob = knobs.get(`${node} ${name}`);
    unsent = words && `${knob.label} of node ${node}: ${words}.`;
    tell(unsent);
    if (words) knob.refuse(() => goBack(node, name));
  }

  /** To what runs, or is about to. */
  function goBack(node, name) {
    const knob = knobs.get(`${node} ${name}`);
    if (knob) knob.show(workflow[node].inputs[name]); // else another workflow came
  }

  async function show(given, engine) {
    workflow = structuredClone(given);
    accepted = structuredClone(given);
    knobs = new Map();
    const nodes = await catalogue(engine);
    const add = (node, name, made) => knobs.set(`${node} ${name}`, { node, name, ...made });
    const groups = Object.entries(workflow).map(([id, node]) => group(id, node, nodes[node.class_type], { turned, odd, goBack }, add));
    const found = groups.filter(Boolean);
    element.replaceChildren(...(found.length ? found : [h("p.soft", {}, "Nothing to turn: this workflow's nodes have no values of their own.")]));
  }

  /** A refusal by the names of the knobs; null when it is about none of them. */
  function inWords({ nodeErrors }) {
    const words = Object.entries(nodeErrors ?? {}).flatMap(([node, { errors }]) => errors.map((error) => {
      const knob = knobs.get(`${node} ${error.input_name}`);
      return knob && `${knob.label} of node ${node}: ${error.message.replace(`${error.input_name}: `, "")}.`;
    }));
    return words.length && words.every(Boolean) ? words.join(" ") : null;
  }

  return { element, show, inWords, close: () => clearTimeout(timer) };
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function group(id, node, info, on, add) {
  if (!info) return null;
  const specs = { ...info.input?.required, ...info.input?.optional };
  const rows = Object.entries(node.inputs ?? {})
    .filter(([name, value]) => specs[name] && !Array.isArray(value))
    .map(([name, value]) => {
      const made = knob(name, value, specs[name], {
        turned: (v) => on.turned(id, name, v),
        odd: (words) => on.odd(id, name, words),
        goBack: () => on.goBack(id, name),
      });
      if (made) add(id, name, made);
      return made?.element;
    })
    .filter(Boolean);
  if (!rows.length) return null;
  const title = node._meta?.title ?? info.display_name ?? node.class_type;
  return h("fieldset", { data: { node: id } }, h("legend", {}, title, " ", h("span.hint", {}, `node ${id}`)), rows);
}

/** {element, label, show(value), refuse(back)}; null for what cannot be turned. */
function knob(name, value, [type, options = {}], on) {
  const { turned } = on;
  const label = name.replaceAll("_", " ");
  if (Array.isArray(type) || type === "COMBO") return list(label, value, Array.isArray(type) ? type : options.options ?? [], turned);
  if (type === "INT" || type === "FLOAT") return number(label, value, type, options, on);
  if (type === "BOOLEAN") {
    const box = h("input", { type: "checkbox", checked: Boolean(value), onchange: () => turned(box.checked) });
    return { element: h("label.check", {}, box, label), label, show: (v) => (box.checked = v), refuse: (back) => back() };
  }
  if (type !== "STRING") return null;
  const text = options.multiline
    ? h("textarea", { rows: 3, value, oninput: () => turned(text.value) })
    : h("input", { value, oninput: () => turned(text.value) });
  return { element: h("label", {}, label, text), label, show: (v) => (text.value = v), refuse: typed(text) };
}

function list(label, value, choices, turned) {
  const select = h("select", { onchange: () => turned(choices[select.selectedIndex]) }, choices.map((c) => h("option", { selected: c === value }, String(c))));
  const show = (v) => (select.selectedIndex = choices.indexOf(v));
  return { element: h("label", {}, label, select), label, show, refuse: (back) => back() };
}

function number(label, value, type, options, on) {
  const whole = type === "INT";
  const { min = 0, max = whole ? 100 : 1 } = options;
  const step = options.step ?? (whole ? 1 : 0.01);
  const id = freshId("knob");
  const exact = h("input", { type: "number", id, min, max, step: whole ? 1 : "any", value, oninput: () => follow(exact, slider), onblur: leave });
  const wide = (max - min) / step > STEPS * 25;
  const slider = wide ? null : h("input", { type: "range", min, max, step, value, aria: { label: `${label}, slider` }, oninput: () => follow(slider, exact) });
  function follow(from, other) {
    const given = Number(from.value);
    if (from.value === "" || Number.isNaN(given)) return on.odd(null);
    if (whole && !Number.isInteger(given)) return on.odd(`a whole number is needed, not ${from.value}`);
    if (other) other.value = from.value;
    on.turned(given);
  }
  function leave() {
    if (exact.value === "") on.goBack();
  }
  function show(v) {
    exact.value = v;
    if (slider) slider.value = v;
  }
  const element = h("div.label", {}, h("label", { htmlFor: id }, label), slider ? h("div.turn", {}, slider, exact) : exact);
  return { element, label, show, refuse: typed(exact) };
}

/** How a field takes a refusal: at once, or, while somebody types in it, when they have stopped. */
function typed(field) {
  let timer = 0;
  let goBack = null;
  function settle() {
    clearTimeout(timer);
    goBack?.();
    forget();
  }
  function forget() {
    clearTimeout(timer);
    goBack = null;
    field.removeAttribute("aria-invalid");
  }
  field.addEventListener("input", forget, { capture: true }); // before it is looked at: it may be refused at once
  field.addEventListener("change", settle);
  return (back) => {
    goBack = back;
    if (document.activeElement !== field) return settle();
    field.setAttribute("aria-invalid", "true");
    timer = setTimeout(settle, TYPING_MS);
  };
}
