// Form fields by the server's names, so that its refusals find their place.

import { freshId, h } from "./dom.js";

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

/** Show `words` at the control of `form` that has the server's field name. False: there is none. */
export function showAt(form, name, words) {
  const control = [...form.elements].find((e) => e.name && (e.name === name || `params.${e.name}` === name || e.name === `params.${name}`));
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

/** Width, height and rate: the same at the start and while it runs. */
export function sizeFields() {
  return [
    field("Width", number("params.width", { min: 16, max: 4096, step: 2, placeholder: "as it comes" })),
    field("Height", number("params.height", { min: 16, max: 4096, step: 2, placeholder: "as it comes" })),
    field("Most frames per s", number("params.max_framerate", { min: 0.1, max: 240, step: "any", placeholder: "no limit" })),
  ];
}

export const ON_ERROR = [
  ["restart", "Try another worker"],
  ["passthrough", "Show the frame as it came in"],
  ["stop", "End the stream"],
];

/** The filled-in params of a form, by their names without "params.". */
export function params(form) {
  const found = {};
  for (const control of form.elements) {
    if (!control.name?.startsWith("params.") || control.type === "textarea") continue;
    if (control.value.trim() !== "") found[control.name.slice(7)] = control.value.trim();
  }
  return found;
}
