// Making elements. Text is only ever set as text: what a log or an error says is never markup.

export const byId = (id) => document.getElementById(id);

/**
 * h("a.card", {href: "#/", onclick: go, aria: {label: "x"}}, "text", child, ...)
 * Properties that are not the element's own are set as attributes; null and false leave them out.
 */
export function h(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const svg = tag === "svg" || tag === "polyline";
  const element = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "aria") setAll(element, "aria-", value);
    else if (key === "data") Object.assign(element.dataset, value);
    else if (!svg && key in element && key !== "list" && key !== "form") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function setAll(element, prefix, values) {
  for (const [key, value] of Object.entries(values)) {
    if (value !== null && value !== undefined) element.setAttribute(prefix + key, value);
  }
}

/** Set text only when it differs, so that screen readers and selections are left alone. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let count = 0;
/** An id for labels and descriptions. */
export const freshId = (what) => `${what}-${++count}`;

/** Said to screen readers, once, when it is their turn. */
export function say(text) {
  const place = byId("said");
  place.textContent = "";
  requestAnimationFrame(() => (place.textContent = text));
}

/** A function that runs `work` when it has not been called again for `ms`. */
export function debounced(work, ms) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), ms);
  };
}

/** Copies `text`, and says so on the button that was pressed; `shown` is where it stands. */
export async function copied(button, text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(shown); // no right to the clipboard: ready for Ctrl-C
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 1600);
}

/** A command to copy. */
export function copyBox(text) {
  const button = h("button.slim", { type: "button", onclick: () => copied(button, text, pre) }, "Copy");
  const pre = h("pre", { tabIndex: 0 }, text);
  return h("div.copy", {}, pre, button);
}
