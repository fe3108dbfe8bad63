// Tabs: one panel at a time, made when it is first shown and ended when another takes its place.

import { freshId, h } from "./dom.js";

/** `panels`: [[name, make]], where make() gives {element, update?(status), close()}. */
export function tabsView(label, panels) {
  const id = freshId("tabs");
  let open = null;
  let status = null;
  const panel = h("div.tab-panel", { id: `${id}-panel`, role: "tabpanel", tabIndex: 0 });
  const buttons = panels.map(([name], n) =>
    h("button", { type: "button", role: "tab", id: `${id}-${n}`, aria: { controls: `${id}-panel` }, onclick: () => show(n) }, name));
  const list = h("div.tabs", { role: "tablist", aria: { label }, onkeydown: move }, buttons);

  function show(n) {
    open?.close();
    buttons.forEach((button, at) => {
      button.setAttribute("aria-selected", at === n);
      button.tabIndex = at === n ? 0 : -1;
    });
    open = panels[n][1]();
    panel.setAttribute("aria-labelledby", `${id}-${n}`);
    panel.replaceChildren(open.element);
    if (status) open.update?.(status);
  }

  function move(event) {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const next = (to + buttons.length) % buttons.length;
    buttons[next].focus();
    show(next);
  }

  show(0);
  return {
    element: h("section.panel", {}, list, panel),
    update(given) {
      status = given;
      open.update?.(given);
    },
    close: () => open.close(),
  };
}
