// Form fields by the server's names, so that its refusals find their place.

import { freshId, h } from "./dom.js";
import { sentence } from "./refusals.js";

/** A labelled control with room for what is wrong with it. */
export function field(label, control, hint = null) {
  control.id ||= freshId("field");
  const problem = h("span.problem", { id: `${control.id}-problem`, hidden: true });
  control.setAttribute("aria-describedby", problem.id);
  control.addEventListener("input", () => clear(control));
  return h("div.label", {}, h("label", { htmlFor: control.id }, label, hint && h("span.hint", {}, hint)), control, problem);
}

export function clear(control) {
  control.removeAttribute("aria-invalid");
  const problem = document.getElementById(`${control.id}-problem`);
  if (problem) problem.hidden = true;
}

/** The control of `form` that has the server's field name, and what it is called. */
export function controlOf(form, name) {
  const control = [...form.elements].find((e) => e.name && (e.name === name || `params.${e.name}` === name || e.name === `params.${name}`));
  return { control, label: control?.labels?.[0]?.firstChild.textContent ?? null };
}

/** Show a refusal at the control that it is about. False: there is none. */
export function showRefusal(form, error) {
  const { label } = controlOf(form, error.field);
  return showAt(form, error.field, sentence(error, label));
}

/** Show `words` at the control of `form` that has the server's field name. False: there is none. */
export function showAt(form, name, words) {
  const { control } = controlOf(form, name);
  const problem = control && document.getElementById(`${control.id}-problem`);
  if (!problem) return false;
  const around = control.closest("details");
  if (around) around.open = true;
  control.setAttribute("aria-invalid", "true");
  problem.textContent = words;
  problem.hidden = false;
  control.focus();
  return true;
}

export function clearAll(form) {
  for (const control of form.elements) if (control.id) clear(control);
}

export const number = (name, more = {}) => h("input", { type: "number", name, inputMode: "decimal", ...more });

export function choice(name, options, more = {}) {
  return h("select", { name, ...more }, options.map(([value, label]) => h("option", { value }, label)));
}

/** Width and height: the same at the start and while it runs. */
export function sizeFields() {
  return [
    field("Width", number("params.width", { min: 16, max: 4096, step: 2, placeholder: "as it comes" })),
    field("Height", number("params.height", { min: 16, max: 4096, step: 2, placeholder: "as it comes" })),
  ];
}

export const ON_ERROR = [
  ["restart", "Try another worker"],
  ["passthrough", "Show the frame as it came in"],
  ["stop", "End the stream"],
];

const fieldsOf = (form) => [...form.elements].filter((e) => e.name?.startsWith("params.") && e.type !== "textarea");

/** The filled-in params of a form, as the server takes them: "params.encode.crf" stands in encode. */
export function params(form) {
  const found = {};
  for (const control of fieldsOf(form)) {
    const value = control.value.trim();
    if (value === "") continue;
    const [last, ...outer] = control.name.split(".").slice(1).reverse();
    const holder = outer.reduceRight((within, name) => (within[name] ??= {}), found);
    holder[last] = value;
  }
  return found;
}

/** The other way round: what the server told into the fields. */
export function fillParams(form, given) {
  for (const control of fieldsOf(form)) {
    const value = control.name.split(".").slice(1).reduce((within, name) => within?.[name], given);
    control.value = value ?? "";
    if (control.tagName === "SELECT" && control.selectedIndex < 0) control.selectedIndex = 0;
  }
}
