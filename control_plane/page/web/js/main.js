// The page: which view is shown, and what stands above all of them.

import { isLost, lostSince, watchConnection } from "./connection.js";
import { byId, h } from "./dom.js";
import { overviewView } from "./overview.js";
import { stageView } from "./stage.js";
import { startView } from "./start.js";
import { store } from "./store.js";
import { setUpTheme } from "./theme.js";
import { clock } from "./words.js";

const NAME = "comfytrickle";

let view = null;

/** #/  #/stream/ID  #/start[/camera|channel[/EXAMPLE[/SERVER]]]  #/start/again/ID */
function makeView(parts) {
  const [what, ...rest] = parts;
  if (what === "stream" && rest[0]) return [stageView(rest[0]), rest[0]];
  if (what === "start") {
    if (rest[0] === "again") return [startView({ again: rest[1] }), "Start again"];
    const [source, example, server] = rest;
    const urls = server ? { subscribe: `${server}/in`, publish: `${server}/out` } : {};
    return [startView({ source: source || undefined, example, ...urls }), "Start a stream"];
  }
  return [overviewView(), null];
}

function route() {
  view?.close();
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  const [made, title] = makeView(parts);
  view = made;
  byId("view").replaceChildren(made.element);
  byId("start-link").hidden = parts[0] === "start";
  document.title = title ? `${title} · ${NAME}` : NAME;
  scrollTo(0, 0);
}

const SERVICE = {
  LOADING: ["wait", "Loading"],
  IDLE: ["ok", "Ready"],
  OK: ["ok", "Running"],
  ERROR: ["bad", "Cannot start streams"],
};

function showService() {
  const { health } = store;
  if (isLost()) {
    const since = h("span", {}, `since ${clock(new Date(lostSince()).toISOString())}`);
    return byId("service").replaceChildren(h("span.health", { data: { tone: "bad" } }, "Not connected"), since);
  }
  if (!health) return byId("service").replaceChildren();
  const [tone, word] = health.draining ? ["warn", "Shutting down"] : SERVICE[health.status];
  const { total, free } = health.slots;
  const text = [`${total - free} of ${total} ${total === 1 ? "place" : "places"} taken`, health.status === "OK" || health.status === "IDLE" ? null : health.reason];
  byId("service").replaceChildren(h("span.health", { data: { tone } }, word), h("span", {}, text.filter(Boolean).join(" · ")));
}

setUpTheme();
store.addEventListener("health", showService);
addEventListener("hashchange", () => {
  route();
  byId("view").focus({ preventScroll: true });
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says which view it is
  byId("view").focus();
});
watchConnection(showService);
route();
store.begin();
