// The page: which view is shown, and what stands above all of them.

import { byId, h, setText } from "./dom.js";
import { overviewView } from "./overview.js";
import { stageView } from "./stage.js";
import { startView } from "./start.js";
import { store } from "./store.js";
import { setUpTheme } from "./theme.js";

const NAME = "comfytrickle";
const GRACE_MS = 1500; // a connection that is made again at once is not worth a word

let view = null;

/** #/  #/stream/ID  #/start[/camera|channel[/EXAMPLE[/SERVER]]] */
function makeView(parts) {
  const [what, ...rest] = parts;
  if (what === "stream" && rest[0]) return [stageView(rest[0]), rest[0]];
  if (what === "start") {
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
  if (!health) return;
  const [tone, word] = health.draining ? ["warn", "Shutting down"] : SERVICE[health.status];
  const { total, free } = health.slots;
  const text = [`${total - free} of ${total} ${total === 1 ? "place" : "places"} taken`, health.status === "OK" || health.status === "IDLE" ? null : health.reason];
  byId("service").replaceChildren(h("span.health", { data: { tone } }, word), h("span", {}, text.filter(Boolean).join(" · ")));
}

let lost = 0;
function showConnection() {
  clearTimeout(lost);
  const banner = byId("banner");
  if (store.connected) {
    banner.hidden = true;
    return;
  }
  lost = setTimeout(() => {
    setText(banner, "Not connected to the control plane: what you see is no longer live. Trying again …");
    banner.hidden = false;
  }, GRACE_MS);
}

setUpTheme();
store.addEventListener("health", showService);
store.addEventListener("connected", showConnection);
addEventListener("hashchange", () => {
  route();
  byId("view").focus({ preventScroll: true });
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says which view it is
  byId("view").focus();
});
showConnection();
route();
store.begin();
