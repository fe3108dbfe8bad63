// Light or dark: as the system says, until somebody chooses. theme_first.js sets it at the start.

import { byId, say } from "./dom.js";

const KEY = "comfytrickle-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export const themeChanges = new EventTarget();

function chosen() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage is switched off
  }
}

function show(theme) {
  document.documentElement.dataset.theme = theme;
  const other = theme === "dark" ? "light" : "dark";
  const button = byId("theme");
  button.textContent = theme === "dark" ? "☀" : "☾";
  button.title = `Switch to ${other}`;
  button.setAttribute("aria-label", `Switch to ${other} colours`);
  themeChanges.dispatchEvent(new Event("change"));
}

export function setUpTheme() {
  byId("theme").addEventListener("click", () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // storage is switched off: it holds until the page is loaded again
    }
    show(next);
    say(`${next} colours`);
  });
  system.addEventListener("change", () => chosen() ?? show(system.matches ? "dark" : "light"));
  show(document.documentElement.dataset.theme);
}
